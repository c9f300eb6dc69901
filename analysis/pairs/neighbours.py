"""Neighbours of atoms in a periodic cell: the one place that searches for them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError
from analysis.trajectory import Frame


def neighbour_search(cutoff_angstrom: float, *, both_ways: bool = False) -> Any:
    """Return a search for all pairs up to the cutoff, each once or each from both its atoms."""
    # vesin loads torch where it is installed, 2 s and 450 MB, only to accept its tensors.
    without_torch = not {"torch", "vesin"} & set(sys.modules)
    if without_torch:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        from vesin import NeighborList
    finally:
        if without_torch:
            del sys.modules["torch"]
    return NeighborList(cutoff=float(cutoff_angstrom), full_list=both_ways)


def neighbour_pairs(
    search: Any, positions: FloatArray, cell: FloatArray, columns: str, *, copy: bool = True
) -> tuple[Any, ...]:
    """Find the pairs of atoms within range, images of atoms among them.

    Parameters
    ----------
    search : object
        As `neighbour_search` returns it.
    positions : (N, 3) float array
        Angstrom; need not be wrapped.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom, periodic in three directions. It may be smaller than
        the range, triclinic and left-handed.
    columns : str
        What to return, one letter each: ``i`` and ``j``, the atoms; ``d``, their distance and
        ``D``, the vector from i to j, Angstrom; ``S``, the cell vectors to add to atom j, as its
        position was given, to reach it from i.
    copy : bool
        Without, the arrays are valid until the search is used again or gone.

    Returns
    -------
    tuple of arrays
        One for each letter, rows in no order; int64 or float64.

    Raises
    ------
    AnalysisError
        If a number is not finite or the cell has no volume.
    """
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise AnalysisError("a position or cell vector is not a finite number.")
    if abs(np.linalg.det(cell)) < 1e-6:
        raise AnalysisError("the cell has no volume; neighbours are searched in a periodic cell.")
    cell = np.ascontiguousarray(cell, dtype=float)
    fractional = positions @ np.linalg.inv(cell)
    image = np.floor(fractional)
    wrapped = (fractional - image) @ cell
    asked = columns + "".join(letter for letter in "ij" if "S" in columns and letter not in columns)
    found = dict(zip(asked, search.compute(wrapped, cell, True, asked, copy=copy), strict=True))
    for letter in "ij":
        if letter in found:
            found[letter] = found[letter].view(np.int64)
    if "S" in found:
        moved = (image[found["i"]] - image[found["j"]]).astype(np.int64)
        found["S"] = found["S"].astype(np.int64) + moved
    return tuple(found[letter] for letter in columns)


def neighbour_directions(
    frame: Frame, centres: IntArray, reach_angstrom: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Find the directions from some atoms to the neighbours that each kind of atom may be.

    Parameters
    ----------
    frame : Frame
    centres : (C,) int array
        Atoms to look from, sorted.
    reach_angstrom : (N,) float array
        Distance up to which each atom of the frame counts as a neighbour; 0 for those that
        never do.

    Returns
    -------
    owner : (B,) int array
        Row in `centres`, sorted.
    directions : (B, 3) float array
        Unit vectors.

    Raises
    ------
    AnalysisError
        If two of the atoms lie in one place.
    """
    atoms = np.union1d(centres, np.flatnonzero(reach_angstrom))
    search = neighbour_search(float(reach_angstrom.max()), both_ways=True)
    i, j, distances, vectors = neighbour_pairs(search, frame.positions[atoms], frame.cell, "ijdD")
    row = np.full(len(reach_angstrom), -1)
    row[centres] = np.arange(len(centres))
    owner, other = row[atoms[i]], atoms[j]
    near = (owner >= 0) & (distances <= reach_angstrom[other])
    owner, distances, vectors = owner[near], distances[near], vectors[near]
    if (distances == 0).any():
        raise AnalysisError(f"frame {frame.index}: two atoms lie in one place; remove one of them")
    order = np.argsort(owner, kind="stable")
    return owner[order], vectors[order] / distances[order, None]
