"""Phonons of finite displacements with phonopy: from forces on frames to frequencies."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from mlip.errors import DataError
from mlip.validation.physics.frames import FrameSet
from mlip.validation.reference import FloatArray

REST = re.compile(r"(\d+)x(\d+)x(\d+)-rest")
DISPLACED = re.compile(r"(\d+)x(\d+)x(\d+)-(\d+)of(\d+)")
# Points of the mesh are about 2 pi / 40 Å apart, as of a box of that size.
MESH_ANGSTROM = 40.0
POINTS_PER_BRANCH = 51
SMEARING_THZ = 0.15
SYMMETRY_ANGSTROM = 1.0e-3
SAME_ANGSTROM = 1.0e-4


@dataclass(frozen=True)
class Bands:
    """Frequencies along the path of seekpath (doi:10.1016/j.commatsci.2016.10.015).

    Attributes
    ----------
    distances : tuple of ndarray, shape (Q,)
        Of each branch, 1/Å without 2 pi.
    frequencies_thz : tuple of ndarray, shape (Q, B)
    labels : tuple of (str, str)
        Ends of each branch.
    """

    distances: tuple[FloatArray, ...]
    frequencies_thz: tuple[FloatArray, ...]
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Phonons:
    """Phonons of one crystal; imaginary frequencies are negative. No LO-TO splitting.

    Attributes
    ----------
    mesh_thz : ndarray, shape (Q, B)
        On the irreducible points of the mesh, ascending.
    weights : ndarray, shape (Q,)
    dos_thz, dos : ndarray, shape (E,)
        Frequencies and density of states, states per THz and primitive cell.
    bands : Bands
    """

    mesh_thz: FloatArray
    weights: FloatArray
    dos_thz: FloatArray
    dos: FloatArray
    bands: Bands

    @property
    def lowest_thz(self) -> float:
        """Return the lowest frequency of mesh and path."""
        return float(min(self.mesh_thz.min(), *(f.min() for f in self.bands.frequencies_thz)))


def displaced_frames(
    atoms: Atoms, repeats: tuple[int, int, int], displacement_angstrom: float
) -> list[tuple[str, Atoms]]:
    """Return (point, frame): the supercell at rest and phonopy's displacements of it."""
    phonopy = _phonopy(atoms, repeats)
    phonopy.generate_displacements(distance=displacement_angstrom)
    size = "x".join(map(str, repeats))
    displaced = phonopy.supercells_with_displacements
    frames = [(f"{size}-rest", _atoms(phonopy.supercell))]
    for number, cell in enumerate(displaced, start=1):
        frames.append((f"{size}-{number:04d}of{len(displaced):04d}", _atoms(cell)))
    return frames


def phonons_of(frames: FrameSet, forces: FloatArray, what: str) -> Phonons:
    """Compute phonons from forces on the frames of `displaced_frames`.

    Parameters
    ----------
    frames : FrameSet
        One at rest and every displacement; each moves one atom.
    forces : ndarray, shape (F, N, 3)
        In eV/Å. Those of the frame at rest are taken off the others.
    what : str
        For errors.

    Raises
    ------
    DataError
        If a displacement is missing, or the frames are no supercell with one atom moved.
    """
    repeats, rest, displaced = _roles(frames, what)
    if not np.isfinite(forces).all():
        raise DataError(f"{what}: a force is not finite.")
    count = int(np.prod(repeats))
    base = frames.atoms(rest)
    # phonopy puts the images of an atom one after the other, the one of the first cell first.
    unit = Atoms(
        base.symbols[::count],
        base.positions[::count],
        cell=base.cell.array / np.array(repeats)[:, None],
        pbc=True,
    )
    phonopy = _phonopy(unit, repeats)
    wrong = _offset(phonopy.supercell.positions - base.positions, base)
    if np.abs(wrong).max() > SAME_ANGSTROM:
        raise DataError(
            f"{what}: the frame at rest is no {'x'.join(map(str, repeats))} supercell in "
            "phonopy's order of atoms. Make the structures again."
        )
    moves = []
    for frame in displaced:
        shift = _offset(frames.coords[frame] - base.positions, base)
        moved = np.flatnonzero(np.linalg.norm(shift, axis=1) > SAME_ANGSTROM)
        if len(moved) != 1:
            raise DataError(
                f"{what}: point {frames.points[frame]} moves {len(moved)} atoms, expected one."
            )
        moves.append(
            {
                "number": int(moved[0]),
                "displacement": shift[moved[0]],
                "forces": forces[frame] - forces[rest],
            }
        )
    phonopy.dataset = {"natom": len(base), "first_atoms": moves}
    phonopy.produce_force_constants(show_drift=False)
    phonopy.symmetrize_force_constants(show_drift=False)
    return _frequencies(phonopy)


def rms_difference(one: Phonons, other: Phonons) -> float:
    """Return the rms difference in THz over the mesh, modes of a point in order of frequency."""
    squares = np.square(one.mesh_thz - other.mesh_thz).mean(axis=1)
    return float(np.sqrt(np.average(squares, weights=other.weights)))


def _frequencies(phonopy: Any) -> Phonons:
    from phonopy.phonon.band_structure import get_band_qpoints_by_seekpath

    phonopy.run_mesh(MESH_ANGSTROM)
    mesh = phonopy.get_mesh_dict()
    phonopy.run_total_dos(sigma=SMEARING_THZ, use_tetrahedron_method=False)
    dos = phonopy.get_total_dos_dict()
    points, labels, connections = get_band_qpoints_by_seekpath(phonopy.primitive, POINTS_PER_BRANCH)
    phonopy.run_band_structure(points)
    bands = phonopy.get_band_structure_dict()
    return Phonons(
        np.asarray(mesh["frequencies"]),
        np.asarray(mesh["weights"], dtype=float),
        np.asarray(dos["frequency_points"]),
        np.asarray(dos["total_dos"]),
        Bands(
            tuple(np.asarray(d) for d in bands["distances"]),
            tuple(np.asarray(f) for f in bands["frequencies"]),
            _ends(labels, connections),
        ),
    )


def _ends(labels: list[str], connections: list[bool]) -> tuple[tuple[str, str], ...]:
    """Return the ends of each branch: a branch that is not joined to the next ends on its own."""
    names = [
        label.replace("$", "").replace("\\Gamma", "Γ").replace("\\mathrm", "") for label in labels
    ]
    names = [re.sub(r"[{}]", "", name) for name in names]
    ends, position = [], 0
    for joined in connections:
        ends.append((names[position], names[position + 1]))
        position += 1 if joined else 2
    return tuple(ends)


def _roles(frames: FrameSet, what: str) -> tuple[tuple[int, int, int], int, list[int]]:
    rests = [k for k, point in enumerate(frames.points) if REST.fullmatch(point)]
    found = {k: m for k, p in enumerate(frames.points) if (m := DISPLACED.fullmatch(p))}
    if len(rests) != 1 or len(found) + 1 != len(frames.points) or not found:
        raise DataError(
            f"{what}: points {', '.join(frames.points[:4])}, ...: expected one like 2x2x2-rest and "
            "the others like 2x2x2-0001of0012."
        )
    rest = REST.fullmatch(frames.points[rests[0]])
    assert rest is not None
    sizes = {match.groups()[:3] for match in found.values()} | {rest.groups()}
    totals = {int(match[5]) for match in found.values()}
    if len(sizes) != 1 or len(totals) != 1:
        raise DataError(f"{what}: frames of several supercells. Keep one size a reference.")
    missing = sorted(set(range(1, max(totals) + 1)) - {int(m[4]) for m in found.values()})
    if missing:
        raise DataError(
            f"{what}: {len(missing)} of {max(totals)} displacements are missing (first: number "
            f"{missing[0]}). Label all structures; a label that did not converge does not count."
        )
    a, b, c = (int(value) for value in rest.groups())
    return (a, b, c), rests[0], list(found)


def _offset(shift: FloatArray, atoms: Atoms) -> FloatArray:
    """Return differences of positions, shape (N, 3), to the nearest image."""
    fractional = shift @ np.linalg.inv(atoms.cell.array)
    return np.asarray((fractional - np.round(fractional)) @ atoms.cell.array)


def _phonopy(atoms: Atoms, repeats: tuple[int, int, int]) -> Any:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell.array, positions=atoms.positions
    )
    with warnings.catch_warnings():
        # phonopy 4 warns of the primitive cell that is asked for here.
        warnings.filterwarnings("ignore", message="primitive_matrix")
        return Phonopy(
            cell,
            supercell_matrix=np.diag(repeats),
            primitive_matrix="auto",
            symprec=SYMMETRY_ANGSTROM,
        )


def _atoms(cell: Any) -> Atoms:
    return Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)
