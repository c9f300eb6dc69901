"""Centres with fixed ligands, such as tetrahedra, and how each of them is turned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.anions.anion_rules import AnionRules, anion_rules
from analysis.anions.bonds import find_bonds
from analysis.anions.persistence import read_frame
from analysis.anions.units import bonding_atoms
from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError
from analysis.hops.net_hops import averages
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory

# Fewer directions than those of a tetrahedron are left to other measures.
MIN_LIGANDS = 4
# Newton steps after which a polar factor must have converged.
POLAR_STEPS = 12


@dataclass(frozen=True)
class RotatingUnits:
    """Centres of one element and the ligands that they have in the first frame.

    Attributes
    ----------
    element : str
        Of the centres.
    centres : (U,) int array
        Rows of the centres.
    bond_unit : (B,) int array
        Unit of every bond, ascending.
    ligands : (B,) int array
        Rows of the ligands.
    shifts : (B, 3) int array
        Cell vectors to add to the unwrapped ligand to reach it from its centre.
    cutoffs_angstrom : (B,) float array
        Longest bond.
    """

    element: str
    centres: IntArray
    bond_unit: IntArray
    ligands: IntArray
    shifts: IntArray
    cutoffs_angstrom: FloatArray

    def take(self, units: IntArray) -> RotatingUnits:
        """Return some of the units, ascending."""
        bonds = np.flatnonzero(np.isin(self.bond_unit, units))
        return RotatingUnits(
            self.element,
            self.centres[units],
            np.searchsorted(units, self.bond_unit[bonds]),
            self.ligands[bonds],
            self.shifts[bonds],
            self.cutoffs_angstrom[bonds],
        )


def rotating_units(trajectory: Trajectory, rules: AnionRules | None = None) -> list[RotatingUnits]:
    """Find the network formers with at least four ligands in the first frame, by element.

    Raises
    ------
    AnalysisError
        If an element is not in the table, or there is no such unit.
    """
    rules = rules or anion_rules()
    rows, kinds = bonding_atoms(trajectory.species.tolist(), rules)
    frame = read_frame(trajectory, 0)
    cutoffs = rules.pair_matrix(rules.cutoffs_angstrom, 0.0)
    bonds = find_bonds(kinds, frame.positions[rows], frame.cell, cutoffs)
    is_former = np.array([element in rules.formers for element in rules.elements])[kinds]
    # Each bond once, from former to ligand.
    forward, backward = (
        is_former[a] & ~is_former[b] for a, b in ((bonds.i, bonds.j), (bonds.j, bonds.i))
    )
    centre = np.concatenate([bonds.i[forward], bonds.j[backward]])
    ligand = np.concatenate([bonds.j[forward], bonds.i[backward]])
    shift = np.concatenate([bonds.shift[forward], -bonds.shift[backward]])
    found = []
    for kind, element in enumerate(rules.elements):
        degree = np.bincount(centre, minlength=len(rows))
        chosen = np.flatnonzero((kinds == kind) & is_former & (degree >= MIN_LIGANDS))
        if not len(chosen):
            continue
        mine = np.flatnonzero(np.isin(centre, chosen))
        mine = mine[np.lexsort((ligand[mine], centre[mine]))]
        found.append(
            RotatingUnits(
                element,
                rows[chosen],
                np.searchsorted(chosen, centre[mine]),
                rows[ligand[mine]],
                shift[mine],
                cutoffs[kind, kinds[ligand[mine]]],
            )
        )
    if not found:
        raise AnalysisError(
            f"{trajectory.path}: no atom has {MIN_LIGANDS} ligands in the first frame, so nothing "
            "has an orientation to follow"
        )
    return found


def directions(
    trajectory: Trajectory,
    units: RotatingUnits,
    width: int,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> Iterator[tuple[IntArray, RotatingUnits, FloatArray]]:
    """Yield the unit vectors from centres to ligands of the units whose bonds all last.

    Parameters
    ----------
    trajectory : Trajectory
    units : RotatingUnits
    width : int
        A bond lasts if its length, averaged over every interval of so many frames, stays below
        the cutoff.
    max_bytes : int
        Size limit of the positions held at once.

    Yields
    ------
    kept : (u,) int array
        Which of the units.
    block : RotatingUnits
        Those units alone.
    vectors : (F, b, 3) float array
        Unit vectors along their bonds.
    """
    bonds_per_unit = max(1, -(-len(units.bond_unit) // len(units.centres)))
    # Positions of the ligands, of their centres, the vectors and their averages.
    per_block = max(1, int(max_bytes) // (trajectory.n_frames * 24 * 4 * bonds_per_unit))
    for start in range(0, len(units.centres), per_block):
        chosen = np.arange(start, min(start + per_block, len(units.centres)))
        block = units.take(chosen)
        rows, place = np.unique(np.concatenate([block.centres, block.ligands]), return_inverse=True)
        # Bonds are vectors in the cell, so lattice-preserving positions are wanted here whatever
        # the convention of displacements.
        positions = trajectory.source.read(0, trajectory.n_frames, rows)
        centre = place[: len(chosen)][block.bond_unit]
        vectors = positions[:, place[len(chosen) :]] - positions[:, centre]
        vectors += block.shifts @ trajectory.cells
        lengths = np.linalg.norm(vectors, axis=2)
        broken = (averages(lengths, width) > block.cutoffs_angstrom).any(axis=0)
        lasting = np.bincount(block.bond_unit[broken], minlength=len(chosen)) == 0
        bonds = lasting[block.bond_unit]
        kept = np.flatnonzero(lasting)
        if len(kept):
            vectors = vectors[:, bonds] / lengths[:, bonds, None]
            yield chosen[kept], block.take(kept), vectors


def orientations(vectors: FloatArray, bond_unit: IntArray) -> FloatArray:
    """Return the rotation of every unit against its first interval.

    Parameters
    ----------
    vectors : (K, b, 3) float array
        Averaged directions of the bonds.
    bond_unit : (b,) int array
        Unit of every bond, ascending and complete.

    Returns
    -------
    (K, u, 3, 3) float array
        Rotation matrices that turn the directions of the first interval best into the others.
    """
    begin = np.searchsorted(bond_unit, np.arange(bond_unit[-1] + 1))
    covariance = np.empty((len(vectors), len(begin), 3, 3))
    for i in range(3):
        for j in range(3):
            products = vectors[:, :, i] * vectors[0, :, j]
            covariance[:, :, i, j] = np.add.reduceat(products, begin, axis=1)
    return nearest_rotations(covariance.reshape(-1, 3, 3)).reshape(covariance.shape)


def nearest_rotations(matrices: FloatArray) -> FloatArray:
    """Return the rotation R that maximises the trace of R^T M, for (m, 3, 3) matrices M.

    Notes
    -----
    The solution is that of Kabsch, Acta Cryst. A 32, 922 (1976), doi 10.1107/S0567739476001873.
    For a positive determinant it is the orthogonal polar factor, found several times faster than
    by singular values with the iteration X <- (X + X^-T) / 2 (Higham, SIAM J. Sci. Stat. Comput.
    7, 1160 (1986), doi 10.1137/0907079).
    """
    # Components first: whole rows of numbers are added and multiplied several times faster.
    turned = np.ascontiguousarray(matrices.transpose(1, 2, 0))
    scale = np.sqrt((turned**2).sum(axis=(0, 1)) / 3.0)
    turned /= np.where(scale > 0, scale, 1.0)
    cofactors = np.empty_like(turned)
    proper = np.ones(len(matrices), dtype=bool)
    for step in range(POLAR_STEPS):
        for i, j in np.ndindex(3, 3):
            below, above, right, left = (i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3
            cofactors[i, j] = turned[below, right] * turned[above, left]
            cofactors[i, j] -= turned[below, left] * turned[above, right]
        determinant = (turned[0] * cofactors[0]).sum(axis=0)
        if step == 0:
            # What is nearly flat or inverted is left to the singular values.
            proper = determinant > 1e-3
            turned[:, :, ~proper] = cofactors[:, :, ~proper] = np.eye(3)[:, :, None]
            determinant[~proper] = 1.0
        new = 0.5 * (turned + cofactors / determinant)
        change = np.abs(new - turned).max(axis=(0, 1))
        turned = new
        if not (change > 1e-10).any():
            break
    rotations = np.ascontiguousarray(turned.transpose(2, 0, 1))
    hard = np.flatnonzero(~proper | ~(change <= 1e-10))
    if len(hard):
        left_vectors, _, right_vectors = np.linalg.svd(matrices[hard])
        left_vectors[:, :, 2] *= np.linalg.det(left_vectors @ right_vectors)[:, None]
        rotations[hard] = left_vectors @ right_vectors
    return rotations
