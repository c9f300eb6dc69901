"""Moves along a path that are not undone: its loop erasure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray

# Sites left longer ago than this many moves are forgotten, so that memory stays bounded.
REMEMBERED_SITES = 24


def loop_erased_hops(
    positions: FloatArray, hop_length_angstrom: float
) -> tuple[IntArray, FloatArray]:
    """Return step of arrival and length of every hop of `loop_erased`, (H,) each."""
    paths = loop_erased(positions, hop_length_angstrom)
    return paths.steps, np.linalg.norm(paths.ends - paths.starts, axis=1)


@dataclass(frozen=True)
class LoopErased:
    """Moves that are not undone.

    Attributes
    ----------
    steps : (H,) int array
        Index into time at which each move arrived.
    ions : (H,) int array
        Which of the n paths moved.
    starts, ends : (H, d) float arrays
        Points that the move connects.
    """

    steps: IntArray
    ions: IntArray
    starts: FloatArray
    ends: FloatArray


def loop_erased(positions: FloatArray, radius: float) -> LoopErased:
    """Find the moves that are not undone, such as net hops in averaged positions.

    Parameters
    ----------
    positions : (K, n, d) float array
        Paths of n points, such as unwrapped positions, Angstrom.
    radius : float
        Radius of a site, in the same unit.

    Returns
    -------
    LoopErased
    """
    n_ions, dimension = positions.shape[1:]
    size = REMEMBERED_SITES
    sites = np.zeros((n_ions, size, dimension))
    sites[:, 0] = positions[0]
    arrival = np.zeros((n_ions, size), dtype=np.int64)  # step at which the site was reached
    rattles = np.zeros((n_ions, size), dtype=bool)  # the ion came back to this site
    depth = np.zeros(n_ions, dtype=np.int64)
    found: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []

    def count(ions: IntArray, level: int) -> None:
        found.append((arrival[ions, level], ions, sites[ions, level - 1], sites[ions, level]))

    current = positions[0].copy()  # sites[:, depth], kept for speed
    for step in range(1, len(positions)):
        here = positions[step]
        offset = here - current
        left = np.flatnonzero(np.einsum("ij,ij->i", offset, offset) > radius**2)
        if not len(left):
            continue
        visited = int(depth[left].max()) + 1
        away = sites[left, :visited] - here[left, None]
        distance2 = np.einsum("ijk,ijk->ij", away, away)
        distance2[np.arange(visited) > depth[left, None]] = np.inf
        nearest = distance2.argmin(axis=1)
        back = distance2[np.arange(len(left)), nearest] <= radius**2
        returned = left[back]
        depth[returned] = nearest[back]
        rattles[returned, nearest[back]] = True
        current[returned] = sites[returned, nearest[back]]

        moved = left[~back]
        full = moved[depth[moved] == size - 1]
        if len(full):
            count(full, 1)
            for array in (sites, arrival, rattles):
                array[full, :-1] = array[full, 1:]
            depth[full] -= 1
        level = depth[moved] + 1
        sites[moved, level] = here[moved]
        arrival[moved, level] = step
        current[moved] = here[moved]
        rattles[moved, level] = False
        depth[moved] = level
    for level in range(1, size):
        # A last hop away from a site the ion is known to rattle about may still be undone.
        still_rattling = rattles[:, level - 1] & (depth == level)
        count(np.flatnonzero((depth >= level) & ~still_rattling), level)
    steps, ions, starts, ends = (np.concatenate(part) for part in zip(*found, strict=True))
    return LoopErased(steps, ions, starts, ends)
