"""Pairs of atoms within range, binned by distance: what every g(r) is counted from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.pairs.neighbours import neighbour_pairs
from analysis.trajectory import Trajectory

BIN_ANGSTROM = 0.02
DEFAULT_R_MAX_ANGSTROM = 10.0
# Pairs histogrammed at once, so that scratch arrays stay near 100 MB.
PAIR_CHUNK = 2_000_000


def largest_r_max(trajectory: Trajectory) -> float:
    """Return half the smallest perpendicular cell width over all frames, Angstrom."""
    cells = trajectory.cells
    # Width between the faces spanned by the other two vectors is 1 / |reciprocal vector|.
    reciprocal = np.linalg.norm(np.linalg.inv(cells), axis=1)
    return float(0.5 / reciprocal.max())


def bin_edges(
    trajectory: Trajectory, r_max_angstrom: float | None, bin_angstrom: float
) -> FloatArray:
    """Return the edges of bins from zero to `r_max_angstrom`, by default what the cell allows.

    Raises
    ------
    RangeError
        If `r_max_angstrom` exceeds half the smallest perpendicular width, or holds no bin.
    """
    limit = largest_r_max(trajectory)
    if r_max_angstrom is None:
        r_max_angstrom = min(DEFAULT_R_MAX_ANGSTROM, limit)
    elif r_max_angstrom > limit * (1 + 1e-9):
        raise RangeError(
            f"{trajectory.path}: r_max {r_max_angstrom:g} Angstrom exceeds half the smallest "
            f"perpendicular cell width; at most {limit:.4f} Angstrom is allowed"
        )
    n_bins = (
        int(r_max_angstrom / bin_angstrom + 1e-9) if min(r_max_angstrom, bin_angstrom) > 0 else 0
    )
    if n_bins < 1:
        raise RangeError(f"r_max {r_max_angstrom:g} Angstrom holds no bin of {bin_angstrom:g}")
    return np.arange(n_bins + 1) * bin_angstrom


def binned_pairs(
    search: Any, positions: FloatArray, cell: FloatArray, edges: FloatArray
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield both atoms and the bin of every pair within range, each pair once, in chunks."""
    i, j, distances = neighbour_pairs(search, positions, cell, "ijd", copy=False)
    n_bins, width = len(edges) - 1, edges[1]
    for start in range(0, len(distances), PAIR_CHUNK):
        part = slice(start, start + PAIR_CHUNK)
        bins = (distances[part] / width).astype(np.int64)
        inside = bins < n_bins
        yield i[part][inside], j[part][inside], bins[inside]
