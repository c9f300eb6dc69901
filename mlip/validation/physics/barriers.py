"""Energies along the path of an ion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip.errors import DataError, InputError
from mlip.validation.physics.frames import FrameSet
from mlip.validation.reference import FloatArray

# The least that have a highest one between two ends.
FEWEST_IMAGES = 3


@dataclass(frozen=True)
class Path:
    """Energies along a path.

    Attributes
    ----------
    length_angstrom : ndarray, shape (F,)
        Way from the first image, root of the summed squares of all moves.
    energy_ev : ndarray, shape (F,)
        Above the first image.
    """

    length_angstrom: FloatArray
    energy_ev: FloatArray

    @property
    def barrier_ev(self) -> float:
        """Return the highest image above the first."""
        return float(self.energy_ev.max())

    @property
    def reaction_ev(self) -> float:
        """Return the last image above the first."""
        return float(self.energy_ev[-1])


def interpolated_images(start: Atoms, end: Atoms, images: int, what: str) -> list[Atoms]:
    """Return images between two ends, ends included, on the image dependent pair potential.

    Distances between atoms change as evenly as they can, so that ions pass around each other;
    doi:10.1063/1.4878664.

    Raises
    ------
    InputError
        If the ends have different atoms or cells.
    """
    from ase.mep import NEB

    if tuple(start.symbols) != tuple(end.symbols) or not np.allclose(
        start.cell.array, end.cell.array, atol=1e-6
    ):
        raise InputError(
            f"{what}: the ends differ in composition, order of atoms or cell. Expected the same "
            "atoms in the same order and cell, only moved."
        )
    band = [start.copy() for _ in range(images - 1)] + [end.copy()]
    NEB(band, method="improvedtangent").interpolate(method="idpp", mic=True)
    return band


def image_names(images: int) -> list[str]:
    """Return the points of a path's set."""
    return [f"{number:03d}of{images:03d}" for number in range(1, images + 1)]


def path_energies(frames: FrameSet, energies: FloatArray, what: str) -> Path:
    """Return the energies, shape (F,) in eV, of images in order.

    Raises
    ------
    DataError
        If there are fewer than three images, one is missing, or an energy is not finite.
    """
    expected = frames.points[0].rpartition("of")[2]
    whole = expected.isdigit() and list(frames.points) == image_names(int(expected))
    if not whole or len(frames.points) < FEWEST_IMAGES:
        raise DataError(
            f"{what}: images {', '.join(frames.points)}; expected 001of007, 002of007, ... without "
            f"a gap, at least {FEWEST_IMAGES}. Label all images."
        )
    if not np.isfinite(energies).all():
        raise DataError(f"{what}: the energy of an image is not finite.")
    steps = [
        np.linalg.norm(_moves(frames, image, image + 1)) for image in range(len(frames.points) - 1)
    ]
    return Path(np.concatenate([[0.0], np.cumsum(steps)]), energies - energies[0])


def largest_move(frames: FrameSet) -> float:
    """Return how far the atom that moves most goes from the first to the last image, Å."""
    return float(np.linalg.norm(_moves(frames, 0, -1), axis=1).max())


def _moves(frames: FrameSet, one: int, other: int) -> FloatArray:
    """Return the moves of all atoms between two images, shape (N, 3), the short way round."""
    fractional = (frames.coords[other] - frames.coords[one]) @ np.linalg.inv(frames.cells[0])
    return np.asarray((fractional - np.round(fractional)) @ frames.cells[0])
