"""Frames on which the engines are compared: hot ones, in orthogonal and in tilted cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
from ase.cell import Cell
from ase.io import write

from mlip.files import write_text
from mlip.validation.reference import FloatArray, ReferenceSystem

SHEAR = 0.06
TILT_ANGSTROM = 1e-3


@dataclass(frozen=True)
class ParityFrames:
    """Frames of one composition, cells turned so that a lies along x and b in xy.

    Attributes
    ----------
    name : str
    cell_kinds : tuple of str, length F
        'orthogonal', 'triclinic', or 'sheared' for an orthogonal one tilted on purpose.
    symbols : tuple of str, length N
    coords : ndarray, shape (F, N, 3)
        In Å.
    cells : ndarray, shape (F, 3, 3)
        In Å, lower triangular.
    """

    name: str
    cell_kinds: tuple[str, ...]
    symbols: tuple[str, ...]
    coords: FloatArray
    cells: FloatArray


def choose_frames(systems: Sequence[ReferenceSystem], count: int) -> list[ParityFrames]:
    """Choose frames for the comparison.

    The orthogonal system, and the triclinic one if there is any, with the most elements and
    then the fewest atoms; of each the `count` frames with the largest forces. Without a
    triclinic system the hottest orthogonal frame is sheared by 6 % as well.

    Parameters
    ----------
    systems : sequence of ReferenceSystem
        At least one, none empty.
    count : int
        Frames of each chosen system.
    """
    by_richness = sorted(systems, key=lambda s: (-len(set(s.symbols)), s.n_atoms, s.name))
    tilted = [s for s in by_richness if _is_tilted(s.cells[0])]
    straight = [s for s in by_richness if not _is_tilted(s.cells[0])]
    chosen = [_hottest(group[0], count) for group in (straight, tilted) if group]
    if tilted:
        return chosen
    (frames,) = chosen
    shear = np.eye(3)
    shear[1, 0], shear[2, 0], shear[2, 1] = SHEAR, -SHEAR / 2, SHEAR / 3
    return [
        ParityFrames(
            frames.name,
            (*frames.cell_kinds, "sheared"),
            frames.symbols,
            np.concatenate([frames.coords, frames.coords[:1] @ shear]),
            np.concatenate([frames.cells, frames.cells[:1] @ shear]),
        )
    ]


def write_test_system(directory: Path, frames: ParityFrames, type_map: Sequence[str]) -> None:
    """Write frames as a DeePMD system; the labels are zeros, since only predictions are read."""
    count, atoms = frames.coords.shape[:2]
    folder = directory / "set.000"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(directory / "type_map.raw", "\n".join(type_map) + "\n")
    types = [str(type_map.index(symbol)) for symbol in frames.symbols]
    write_text(directory / "type.raw", "\n".join(types) + "\n")
    np.save(folder / "coord.npy", frames.coords.reshape(count, -1))
    np.save(folder / "box.npy", frames.cells.reshape(count, 9))
    np.save(folder / "energy.npy", np.zeros(count))
    np.save(folder / "force.npy", np.zeros((count, atoms * 3)))
    np.save(folder / "virial.npy", np.zeros((count, 9)))


def write_lammps_data(
    path: Path, frames: ParityFrames, frame: int, type_map: Sequence[str]
) -> None:
    """Write one frame as a LAMMPS data file; atom types follow the type map."""
    atoms = ase.Atoms(
        frames.symbols, positions=frames.coords[frame], cell=frames.cells[frame], pbc=True
    )
    write(path, atoms, format="lammps-data", specorder=list(type_map), masses=True)


def _hottest(system: ReferenceSystem, count: int) -> ParityFrames:
    size = np.square(system.forces).mean(axis=(1, 2))
    order = np.argsort(-size, kind="stable")[:count]
    coords, cells, kinds = [], [], []
    for frame in order:
        cell, rotation = Cell(system.cells[frame]).standard_form()
        coords.append(system.coords[frame] @ rotation.T)
        cells.append(np.asarray(cell))
        kinds.append("triclinic" if _is_tilted(system.cells[frame]) else "orthogonal")
    return ParityFrames(
        system.name, tuple(kinds), system.symbols, np.array(coords), np.array(cells)
    )


def _is_tilted(cell: FloatArray) -> bool:
    lower, _ = Cell(cell).standard_form()
    return bool(np.abs(np.tril(np.asarray(lower), -1)).max() > TILT_ANGSTROM)
