"""Bonds of one frame by distance, and bonds that last over several frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.pairs.neighbours import neighbour_pairs, neighbour_search


@dataclass(frozen=True)
class Bonds:
    """Bonds between atoms, each once.

    Attributes
    ----------
    i, j : (B,) int arrays
        Atoms, i <= j; i = j for an atom bonded to its own image.
    shift : (B, 3) int array
        Cell vectors to add to atom j, as its positions were given, to reach it from i.
    length_angstrom : (B,) float array
    """

    i: IntArray
    j: IntArray
    shift: IntArray
    length_angstrom: FloatArray

    def take(self, which: np.ndarray) -> Bonds:
        """Return some of the bonds, by mask or index."""
        return Bonds(self.i[which], self.j[which], self.shift[which], self.length_angstrom[which])

    def within(self, cutoffs: FloatArray, kinds: IntArray) -> Bonds:
        """Return the bonds no longer than the cutoff of their pair of kinds."""
        return self.take(self.length_angstrom <= cutoffs[kinds[self.i], kinds[self.j]])


def find_bonds(
    kinds: IntArray, positions: FloatArray, cell: FloatArray, cutoffs: FloatArray
) -> Bonds:
    """Find all pairs of atoms no farther apart than the cutoff of their pair of kinds.

    Parameters
    ----------
    kinds : (M,) int array
        Kind of every atom, an index of `cutoffs`.
    positions : (M, 3) float array
        Angstrom; need not be wrapped. `Bonds.shift` counts from them as they are, so a bond
        between unwrapped atoms keeps its shift when they leave the cell together.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom, periodic in three directions. It may be smaller than
        a bond, triclinic and left-handed.
    cutoffs : (K, K) float array
        Symmetric, Angstrom; pairs with 0 never bond.

    Returns
    -------
    Bonds

    Raises
    ------
    AnalysisError
        If a number is not finite or the cell has no volume.
    """
    search = neighbour_search(cutoffs.max())
    i, j, shift, length = neighbour_pairs(search, positions, cell, "ijSd")
    near = length <= cutoffs[kinds[i], kinds[j]]
    i, j, shift, length = i[near], j[near], shift[near], length[near]
    turned = (i > j) | ((i == j) & (_first_nonzero(shift) < 0))
    i, j = np.where(turned, j, i), np.where(turned, i, j)
    return Bonds(i, j, np.where(turned[:, None], -shift, shift), length)


def lasting_bonds(frames: Sequence[Bonds], n_atoms: int, at_least: int) -> Bonds:
    """Return the bonds that are there in at least so many of the frames.

    Parameters
    ----------
    frames : sequence of Bonds
        Of the same `n_atoms` unwrapped atoms.
    n_atoms, at_least : int

    Returns
    -------
    Bonds
        With the mean of their lengths while made.
    """
    if len(frames) == 1:
        return frames[0]
    i, j = (np.concatenate([getattr(bonds, end) for bonds in frames]) for end in ("i", "j"))
    shift = np.concatenate([bonds.shift for bonds in frames])
    length = np.concatenate([bonds.length_angstrom for bonds in frames])
    if not len(i):
        return frames[0]
    # One integer a bond: atoms, then the shift within the range that occurs.
    key = i * n_atoms + j
    low = shift.min(axis=0)
    for axis, span in enumerate(shift.max(axis=0) - low + 1):
        key = key * int(span) + (shift[:, axis] - low[axis])
    _, first, which, times = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True
    )
    mean = np.bincount(which, weights=length) / times
    keep = times >= at_least
    rows = first[keep]
    return Bonds(i[rows], j[rows], shift[rows], mean[keep])


def _first_nonzero(shift: IntArray) -> IntArray:
    """Return the sign of the first component that is not zero."""
    sign = np.sign(shift)
    return np.where(sign[:, 0] != 0, sign[:, 0], np.where(sign[:, 1] != 0, sign[:, 1], sign[:, 2]))
