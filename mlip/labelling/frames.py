"""Structures to be labelled: reading them, and refusing what cannot be labelled."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from mlip.errors import DataError, InputError
from mlip.labelling.calculators import numbers_depend_on
from mlip.recipes.label import LabelRecipe

# Nothing bound is closer; nearer atoms are a fault of the structure (H2: 0.74 Å).
CLOSEST_ANGSTROM = 0.5
# Below this height of the cell, Gamma alone leaves tens of meV/Å in the forces of an insulator
# (training_data/reference/dft_convergence.md).
GAMMA_HEIGHT_ANGSTROM = 16.0
KEPT_INFO = ("phase", "temperature_kelvin", "config_type")


@dataclass(frozen=True)
class Frame:
    """One structure to be labelled.

    Attributes
    ----------
    atoms : Atoms
        Elements, positions and cell alone (Å).
    source : Path
        File that it came from.
    index : int
        Frame in the file, from 0.
    """

    atoms: Atoms
    source: Path
    index: int

    @property
    def name(self) -> str:
        """Return how messages call it."""
        return f"{self.source} frame {self.index}"


def read_frames(structures: Sequence[Path]) -> list[Frame]:
    """Read every frame of every file; a directory stands for its ``structure.extxyz``.

    Raises
    ------
    InputError
        If a file is missing, or none was given.
    DataError
        If a file cannot be read, or a frame is not a periodic crystal with whole atoms apart.
    """
    frames: list[Frame] = []
    for given in structures:
        path = given / "structure.extxyz" if given.is_dir() else given
        if not path.is_file():
            raise InputError(f"{path}: no such file. Expected a structure that ASE reads.")
        try:
            found = ase.io.read(path, index=":")
        except Exception as error:  # ASE readers raise whatever their format trips over
            raise DataError(
                f"{path}: ASE cannot read it ({type(error).__name__}: {error}). Expected "
                "extxyz, CIF, POSCAR or another structure format."
            ) from error
        if not found:
            raise DataError(f"{path}: no frame in it.")
        frames += [Frame(_bare(atoms), path, index) for index, atoms in enumerate(found)]
        for atoms, frame in zip(found, frames[-len(found) :], strict=True):
            _check(atoms, frame)
    if not frames:
        raise InputError("No structures given: name at least one file.")
    return frames


def small_cells(frames: Sequence[Frame]) -> str:
    """Return a warning if cells are small for the Gamma point alone, else an empty text."""
    low = [
        (height, frame)
        for frame in frames
        if (height := _height(frame.atoms)) < GAMMA_HEIGHT_ANGSTROM
    ]
    if not low:
        return ""
    height, frame = min(low, key=lambda pair: pair[0])
    return (
        f"Warning: {len(low)} of {len(frames)} cells are lower than "
        f"{GAMMA_HEIGHT_ANGSTROM:g} Å (smallest {height:.2f} Å, {frame.name}); only the Gamma "
        "point is sampled. Use a supercell, or level.sampling_width_angstrom."
    )


def frame_id(recipe: LabelRecipe, atoms: Atoms) -> str:
    """Return the name of a label: a hash of the structure (to 1e-8 Å) and the settings.

    Entries for elements that the structure does not hold do not count.
    """
    content: dict[str, Any] = {
        "level": numbers_depend_on(recipe, list(atoms.symbols)),
        "numbers": atoms.numbers.tolist(),
        "cell": _digits(atoms.cell.array),
        "positions": _digits(atoms.positions),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"h{digest[:19]}"  # a letter first: no reader takes it for a number


def _digits(values: np.ndarray) -> list[str]:
    return [f"{value:.8f}" for value in (np.round(values, 8) + 0.0).ravel()]


def _bare(atoms: Atoms) -> Atoms:
    info = {key: atoms.info[key] for key in KEPT_INFO if key in atoms.info}
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, info=info)
    if "origin" in atoms.arrays:
        bare.set_array("origin", atoms.arrays["origin"])
    return bare


def _check(given: Atoms, frame: Frame) -> None:
    if len(given) == 0:
        raise DataError(f"{frame.name}: it holds no atoms.")
    if not given.pbc.all() or abs(given.cell.volume) < 1.0:
        raise DataError(
            f"{frame.name}: expected a cell that is periodic in three directions, found "
            f"periodicity {given.pbc.tolist()} and volume {given.cell.volume:.3g} Å^3."
        )
    if not (np.isfinite(given.positions).all() and np.isfinite(given.cell.array).all()):
        raise DataError(f"{frame.name}: a position or cell vector is not a finite number.")
    occupancy = given.info.get("occupancy") or {}
    partial = [site for site in occupancy.values() if any(share < 1.0 for share in site.values())]
    if partial:
        raise DataError(
            f"{frame.name}: {len(partial)} kinds of site are partly occupied ({partial[0]}). "
            "Order the structure first (mlip build)."
        )
    if (given.numbers < 1).any():
        raise DataError(f"{frame.name}: an atom has no element.")
    distances = neighbor_list("d", frame.atoms, CLOSEST_ANGSTROM)
    if len(distances):
        raise DataError(
            f"{frame.name}: two atoms are {distances.min():.3f} Å apart (less than "
            f"{CLOSEST_ANGSTROM} Å): a fault of the structure."
        )


def _height(atoms: Atoms) -> float:
    """Return the smallest distance between opposite faces of the cell, Å."""
    a, b, c = atoms.cell.array
    volume = abs(atoms.cell.volume)
    areas = [math.hypot(*np.cross(u, v)) for u, v in ((b, c), (c, a), (a, b))]
    return volume / max(areas)
