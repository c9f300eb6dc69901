"""Frames on which the engines are compared: hot, in orthogonal, tilted and small cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
from ase.cell import Cell
from ase.io import write
from numpy.typing import NDArray

from mlip.files import write_text
from mlip.validation.reference import FloatArray, ReferenceSystem

SHEAR = 0.06
TILT_ANGSTROM = 1e-3
# Between an atom and the images of the others: farther than bonds, far below any cutoff.
SMALL_CELL_GAP_ANGSTROM = 3.0


@dataclass(frozen=True)
class ParityFrames:
    """Frames of one composition, cells turned so that a lies along x and b in xy.

    Attributes
    ----------
    name : str
    cell_kinds : tuple of str, length F
        'orthogonal', 'triclinic', 'sheared' for an orthogonal one tilted on purpose, 'boxed'
        for the atoms of a triclinic one alone in an orthogonal box, or 'small' for one atom of
        each element in a box shorter than twice the cutoff.
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
    """Choose frames for the comparison: orthogonal and tilted cells, and a small one.

    The orthogonal and the triclinic system with the most elements and then the fewest atoms; of
    each the `count` frames with the largest forces. If none of these is triclinic, the hottest
    is sheared by 6 % as well; if none is orthogonal, the atoms of the hottest are put into an
    orthogonal box. The small cell, in which an atom
    sees several images of every other, is cut out of the hottest frame.

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
    # A cell that varies may be of one kind in the first frame and of the other in the hottest.
    kinds = {kind for group in chosen for kind in group.cell_kinds}
    if "triclinic" not in kinds:
        chosen[0] = _with_sheared(chosen[0])
    if "orthogonal" not in kinds:
        chosen.append(_boxed(chosen[0]))
    return [*chosen, small_cell(chosen[0])]


def small_cell(frames: ParityFrames) -> ParityFrames:
    """Return one atom of each element, near each other, in an orthogonal box around them.

    The box leaves 3 Å between the atoms and their images, so that its edges are shorter than
    twice any cutoff in use: neighbours are met through several periods.
    """
    from ase.geometry import get_distances

    symbols, first = frames.symbols, frames.coords[0]
    rarest = min(dict.fromkeys(symbols), key=symbols.count)
    centre = symbols.index(rarest)
    vectors, distances = get_distances(first[centre], first, cell=frames.cells[0], pbc=True)
    nearest = [
        min((k for k, name in enumerate(symbols) if name == element), key=lambda k: distances[0, k])
        for element in dict.fromkeys(symbols)
    ]
    chosen = [centre if symbols[k] == rarest else k for k in nearest]
    name = f"{frames.name}, one atom of each element"
    return _in_box(name, "small", tuple(symbols[k] for k in chosen), vectors[0, chosen])


def _boxed(frames: ParityFrames) -> ParityFrames:
    return _in_box(f"{frames.name} in a box", "boxed", frames.symbols, frames.coords[0])


def _in_box(name: str, kind: str, symbols: tuple[str, ...], coords: FloatArray) -> ParityFrames:
    shifted = coords - coords.min(axis=0)
    cell = np.diag(shifted.max(axis=0) + SMALL_CELL_GAP_ANGSTROM)
    return ParityFrames(name, (kind,), symbols, shifted[None], cell[None])


def _with_sheared(frames: ParityFrames) -> ParityFrames:
    shear = np.eye(3)
    shear[1, 0], shear[2, 0], shear[2, 1] = SHEAR, -SHEAR / 2, SHEAR / 3
    return ParityFrames(
        frames.name,
        (*frames.cell_kinds, "sheared"),
        frames.symbols,
        np.concatenate([frames.coords, frames.coords[:1] @ shear]),
        np.concatenate([frames.cells, frames.cells[:1] @ shear]),
    )


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
    path: Path,
    frames: ParityFrames,
    frame: int,
    elements: Sequence[str],
    order: NDArray[np.int64] | None = None,
) -> None:
    """Write one frame as a LAMMPS data file.

    Parameters
    ----------
    path : Path
    frames : ParityFrames
    frame : int
    elements : sequence of str
        Of the atom types, in order.
    order : ndarray of int, shape (N,), optional
        Which atom of the frame comes at each place; as they are by default.
    """
    atoms = ase.Atoms(
        frames.symbols, positions=frames.coords[frame], cell=frames.cells[frame], pbc=True
    )
    chosen = atoms if order is None else atoms[order]
    write(path, chosen, format="lammps-data", specorder=list(elements), masses=True)


def _hottest(system: ReferenceSystem, count: int) -> ParityFrames:
    size = np.square(system.forces).mean(axis=(1, 2))
    order = np.argsort(-size, kind="stable")[:count]
    coords, cells, kinds = [], [], []
    for frame in order:
        cell, rotation = Cell(system.cells[frame]).standard_form()
        # LAMMPS knows right-handed cells only; the inverted frame has the same energy.
        if np.linalg.det(cell) < 0:
            cell, rotation = -cell, -rotation
        coords.append(system.coords[frame] @ rotation.T)
        cells.append(np.asarray(cell))
        kinds.append("triclinic" if _is_tilted(system.cells[frame]) else "orthogonal")
    return ParityFrames(
        system.name, tuple(kinds), system.symbols, np.array(coords), np.array(cells)
    )


def _is_tilted(cell: FloatArray) -> bool:
    lower, _ = Cell(cell).standard_form()
    return bool(np.abs(np.tril(np.asarray(lower), -1)).max() > TILT_ANGSTROM)
