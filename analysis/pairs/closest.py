"""Closest approach by pair of elements, and density: whether a frame is believable at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.constants import G_CM3_PER_AMU_ANGSTROM3, FloatArray
from analysis.pairs.neighbours import neighbour_pairs, neighbour_search

WITHIN_ANGSTROM = 3.0


class FrameGeometry(NamedTuple):
    """What a frame shows without a potential.

    Attributes
    ----------
    closest_angstrom : dict of str to float
        As `closest_distances` returns it.
    density_g_cm3 : float
    """

    closest_angstrom: dict[str, float]
    density_g_cm3: float


def frame_geometry(
    symbols: Sequence[str], positions: FloatArray, cell: FloatArray
) -> FrameGeometry:
    """Return closest distances (up to 3 Angstrom) and mass density of a periodic frame.

    Parameters
    ----------
    symbols : sequence of str, length N
    positions : (N, 3) float array
        Angstrom.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.

    Raises
    ------
    AnalysisError
        If a number is not finite or the cell has no volume.
    """
    from ase.data import atomic_masses, atomic_numbers

    closest = closest_distances(symbols, positions, cell)
    mass = sum(float(atomic_masses[atomic_numbers[symbol]]) for symbol in symbols)
    volume = abs(float(np.linalg.det(cell)))
    return FrameGeometry(closest, mass / volume * G_CM3_PER_AMU_ANGSTROM3)


def closest_distances(
    symbols: Sequence[str],
    positions: FloatArray,
    cell: FloatArray,
    *,
    within_angstrom: float = WITHIN_ANGSTROM,
) -> dict[str, float]:
    """Return the smallest distance of each pair of elements.

    Parameters
    ----------
    symbols : sequence of str, length N
    positions : (N, 3) float array
        Angstrom.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom; periodic in three directions.
    within_angstrom : float
        Range of the search.

    Returns
    -------
    dict of str to float
        Angstrom by pair, elements in alphabetical order ("Li-P"); images of one atom count.
        A pair that is nowhere within range has no entry.

    Raises
    ------
    AnalysisError
        If a number is not finite or the cell has no volume.
    """
    search = neighbour_search(within_angstrom)
    i, j, distance = neighbour_pairs(search, positions, cell, "ijd")
    kinds, code = np.unique(np.array(symbols, dtype=str), return_inverse=True)
    smallest = np.full((len(kinds), len(kinds)), np.inf)
    one, other = np.minimum(code[i], code[j]), np.maximum(code[i], code[j])
    np.minimum.at(smallest, (one, other), distance)
    return {
        f"{kinds[a]}-{kinds[b]}": float(smallest[a, b])
        for a in range(len(kinds))
        for b in range(a, len(kinds))
        if np.isfinite(smallest[a, b])
    }
