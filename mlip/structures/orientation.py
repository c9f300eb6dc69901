"""Cells of a crystal with other lattice vectors as axes."""

from __future__ import annotations

import math

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.recipes.ordering import Orientation
from mlip.structures.geometry import supercell


def oriented(atoms: ase.Atoms, orientation: Orientation) -> ase.Atoms:
    """Return the same crystal with other axes, turned so that a lies along x and b in xy.

    The volume, the atoms and their order stay.
    """
    return supercell(with_axes(atoms, axes_matrix(atoms, orientation)), (1, 1, 1))


def axes_matrix(atoms: ase.Atoms, orientation: Orientation) -> NDArray[np.int64]:
    """Return the new lattice vectors in rows in terms of the old ones; the determinant is 1."""
    if orientation.normal is not None:
        return plane_axes(atoms.cell.array, orientation.normal)
    assert orientation.axes is not None  # the recipe model requires one of the two
    matrix = np.eye(3, dtype=np.int64)[["abc".index(name) for name in orientation.axes]]
    if round(np.linalg.det(matrix)) < 0:
        matrix[2] *= -1
    return matrix


def plane_axes(cell: NDArray[np.float64], normal: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return lattice vectors of which the first two span a lattice plane.

    The plane (h k l) holds the lattice vectors u with h.u = 0; the third has h.u = 1, one plane
    further along the normal (Giacovazzo et al., Fundamentals of Crystallography (2011),
    section 1.4). They are short: the pair is reduced (Lagrange, Gauss), and the third leans as
    little as it can.

    Parameters
    ----------
    cell : ndarray, shape (3, 3)
        Lattice vectors in rows, Å.
    normal : tuple of int
        Miller indices; a common divisor is dropped.
    """
    h = np.array(normal, dtype=np.int64) // math.gcd(*normal)
    u, v, w = _planar_basis(h)
    u, v = _reduced_pair(u, v, cell)
    in_plane = np.array([u, v]) @ cell
    lean = np.linalg.lstsq(in_plane.T, w @ cell, rcond=None)[0]
    w = w - np.rint(lean).astype(np.int64) @ np.array([u, v])
    matrix = np.array([u, v, w])
    if np.linalg.det(matrix @ cell) < 0:
        matrix[0] *= -1
    # Turning u round changes the handedness, not the plane or the side that w lies on.
    return matrix


def with_axes(atoms: ase.Atoms, matrix: NDArray[np.int64]) -> ase.Atoms:
    """Return the crystal in the cell of other lattice vectors; atoms are wrapped into it."""
    turned = ase.Atoms(atoms.symbols, atoms.positions, cell=matrix @ atoms.cell.array, pbc=True)
    turned.wrap()
    return turned


def _planar_basis(
    h: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return a basis u, v, w of the integer vectors with h.u = h.v = 0 and h.w = 1."""
    basis = np.eye(3, dtype=np.int64)
    value = h.copy()
    # Euclid's algorithm on h, the same steps on the basis, until one entry is left.
    while np.count_nonzero(value) > 1:
        small = min(np.flatnonzero(value), key=lambda k: abs(int(value[k])))
        for k in range(3):
            if k != small and value[k]:
                times = value[k] // value[small]
                value[k] -= times * value[small]
                basis[k] -= times * basis[small]
    last = int(np.flatnonzero(value)[0])
    others = [k for k in range(3) if k != last]
    return basis[others[0]], basis[others[1]], basis[last] * int(np.sign(value[last]))


def _reduced_pair(
    u: NDArray[np.int64], v: NDArray[np.int64], cell: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    while True:
        long, short = (u, v) if _square(u, cell) >= _square(v, cell) else (v, u)
        times = round(float((long @ cell) @ (short @ cell)) / _square(short, cell))
        if times == 0 or _square(long - times * short, cell) >= _square(long, cell) - 1e-9:
            return short, long
        u, v = long - times * short, short


def _square(vector: NDArray[np.int64], cell: NDArray[np.float64]) -> float:
    return float(((vector @ cell) ** 2).sum())
