"""Labelled frames of one trajectory, as every reader returns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlip.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# CODATA 2018, doi 10.1103/RevModPhys.93.025010.
HARTREE_EV = 27.211386245988
BOHR_ANGSTROM = 0.529177210903
EV_PER_ANGSTROM3_GPA = 160.2176634


@dataclass(frozen=True)
class Frames:
    """Labelled frames of one system in time order.

    Attributes
    ----------
    symbols : tuple of str
        (N,) chemical symbols.
    coords : (F, N, 3) array
        Positions, Å.
    cells : (F, 3, 3) array
        Cell vectors in rows, Å.
    energies : (F,) array
        Potential energy, eV.
    forces : (F, N, 3) array
        In eV/Å.
    virials : (F, 3, 3) array or None
        In eV, potential part only, W = sum r (x) f, so that the pressure is tr W / 3V.
    steps : (F,) int array
        Step number, or index, in the source.
    times_ps : (F,) array or None
        Time of each frame, ps; None if the source has no time axis.
    files : tuple of Path
        What was read.
    level : mapping of str to str
        The first-principles settings that could be read; empty if unknown.
    virial_origin : str
        Why the virial is known to hold no kinetic part; empty if that is not known.
    unconverged : int or None
        Frames dropped because their SCF did not converge; None if not decidable.
    notes : tuple of str
        For the certificate.
    """

    symbols: tuple[str, ...]
    coords: FloatArray
    cells: FloatArray
    energies: FloatArray
    forces: FloatArray
    virials: FloatArray | None
    steps: IntArray
    times_ps: FloatArray | None
    files: tuple[Path, ...]
    level: Mapping[str, str] = field(default_factory=dict)
    virial_origin: str = ""
    unconverged: int | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def volumes(self) -> FloatArray:
        """(F,) cell volumes, Å^3."""
        return np.abs(np.linalg.det(self.cells))


def select(frames: Frames, index: IntArray | slice) -> Frames:
    """Return the frames at `index`."""
    return replace(
        frames,
        coords=frames.coords[index],
        cells=frames.cells[index],
        energies=frames.energies[index],
        forces=frames.forces[index],
        virials=None if frames.virials is None else frames.virials[index],
        steps=frames.steps[index],
        times_ps=None if frames.times_ps is None else frames.times_ps[index],
    )


def even_times(count: int, timestep_fs: float | None) -> FloatArray | None:
    """Return the times of equally spaced frames, ps; None if the spacing is unknown."""
    if timestep_fs is None:
        return None
    return np.asarray(np.arange(count) * timestep_fs * 1e-3, dtype=np.float64)


def reorder_atoms(frames: Frames, order: IntArray) -> Frames:
    """Return the frames with the atoms in another order."""
    return replace(
        frames,
        symbols=tuple(frames.symbols[k] for k in order),
        coords=frames.coords[:, order],
        forces=frames.forces[:, order],
    )


def checked(frames: Frames, where: Path) -> Frames:
    """Return `frames` if shapes agree, every number is finite and every cell has a volume.

    Raises
    ------
    DataError
        Naming the array, the first bad frame and its step.
    """
    count, atoms = len(frames.energies), len(frames.symbols)
    if count == 0:
        if frames.unconverged:
            raise DataError(
                f"{where}: none of {frames.unconverged} frames converged. Label again with more "
                "electronic steps."
            )
        raise DataError(f"{where}: no labelled frames. Check that the run finished a step.")
    if atoms == 0:
        raise DataError(f"{where}: no atoms.")
    expected: dict[str, tuple[FloatArray | None, tuple[int, ...]]] = {
        "positions": (frames.coords, (count, atoms, 3)),
        "cells": (frames.cells, (count, 3, 3)),
        "energies": (frames.energies, (count,)),
        "forces": (frames.forces, (count, atoms, 3)),
        "virials": (frames.virials, (count, 3, 3)),
        "times": (frames.times_ps, (count,)),
    }
    for name, (array, shape) in expected.items():
        if array is None:
            continue
        if array.shape != shape:
            raise DataError(
                f"{where}: {name} have shape {array.shape}, expected {shape} for {count} "
                f"energies and {atoms} atoms. The file is truncated or was misread."
            )
        finite = np.isfinite(array.reshape(count, -1)).all(axis=1)
        if not finite.all():
            bad = int(np.argmin(finite))
            raise DataError(
                f"{where}: {name} of frame {bad} (step {frames.steps[bad]}) are not finite; "
                f"{int((~finite).sum())} of {count} frames are affected. Remove these frames."
            )
    flat = frames.volumes < 1e-3 * atoms
    if flat.any():
        bad = int(np.argmax(flat))
        raise DataError(
            f"{where}: the cell of frame {bad} (step {frames.steps[bad]}) has volume "
            f"{frames.volumes[bad]:.3g} Å^3. Only periodic cells can be ingested."
        )
    return frames
