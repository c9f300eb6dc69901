"""Distinct part of the van Hove function: who stands where, a time after an ion stood here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.blocks import block_ratio
from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError, RangeError
from analysis.motion.membership import Membership
from analysis.pairs.neighbours import neighbour_search
from analysis.pairs.pair_counts import bin_edges, binned_pairs
from analysis.trajectory import Trajectory, centre_of_mass_path

BIN_ANGSTROM = 0.05
N_BLOCKS = 5
MAX_ORIGINS = 20
# Atoms searched at one lag over all its origins; larger cells get fewer origins.
MAX_ATOMS = 400_000
# Up to so many pairs of atoms it is faster to look at all than to search for the near ones.
MAX_ALL_PAIRS = 500_000
# Pairs looked at together, so that they stay in the cache.
PAIR_CHUNK = 20_000

Pairs = Iterator[tuple[IntArray, IntArray, IntArray]]


@dataclass(frozen=True)
class VanHoveDistinct:
    """Where atoms of one kind are, relative to where those of another were.

    Attributes
    ----------
    group : str
        Group of the earlier atoms; empty for all.
    time_ps : float
    r_angstrom : (B,) float array
        Bin centres.
    edges_angstrom : (B + 1,) float array
    ratio : (B,) float array
        G_d(r, t) over the mean density of the later atoms: g(r) at time zero, 1 after long. nan
        for a group that is empty.
    standard_error : (B,) float array
        Between blocks of time origins; nan for fewer than two.
    n_origins : int
        Time origins used.
    """

    group: str
    time_ps: float
    r_angstrom: FloatArray
    edges_angstrom: FloatArray
    ratio: FloatArray
    standard_error: FloatArray
    n_origins: int


def van_hove_distinct(
    trajectory: Trajectory,
    first_ids: IntArray,
    second_ids: IntArray,
    times_ps: Sequence[float],
    *,
    r_max_angstrom: float | None = None,
    bin_angstrom: float = BIN_ANGSTROM,
    drift_path: FloatArray | None = None,
    membership: Membership | None = None,
    max_origins: int = MAX_ORIGINS,
) -> list[VanHoveDistinct]:
    """Compute G_d(r, t) over the density, of `second_ids` around where `first_ids` were.

    Parameters
    ----------
    trajectory : Trajectory
    first_ids, second_ids : (n,), (m,) int arrays
        Rows of the atoms at the earlier and at the later time; the same, or without a common one.
    times_ps : sequence of float
        Lags, of which the nearest frames are taken; those beyond half the run are left out.
    r_max_angstrom : float, optional
        Largest distance; by default 10 Angstrom or half the smallest perpendicular cell width,
        whichever is smaller.
    bin_angstrom : float
    drift_path : (F, 3) float array, optional
        Path to subtract from every atom, Angstrom; by default the centre of mass of all atoms.
    membership : Membership, optional
        Groups of the earlier atoms at the earlier time.
    max_origins : int
        Most time origins, evenly spaced; fewer in cells of more than 20,000 atoms a pair.

    Returns
    -------
    list of VanHoveDistinct
        By group, then by lag.

    Raises
    ------
    RangeError
        If `r_max_angstrom` exceeds half the smallest perpendicular width, an atom is in one set
        with others that are not in both, a set is empty or the groups are of other ions.

    Notes
    -----
    G_d(r, t) = (1/N) <sum_{i != j} delta(r - |r_j(t0 + t) - r_i(t0)|)>: van Hove, Phys. Rev. 95,
    249 (1954), doi 10.1103/PhysRev.95.249, with N - 1 possible atoms in place of N for like ones.
    Distances are minimum images; where the cell changes, in the cell of the later frame, into
    which the earlier atoms are carried at their fractional coordinates.
    """
    alike = _require_sets(trajectory, first_ids, second_ids, membership)
    edges = bin_edges(trajectory, r_max_angstrom, bin_angstrom)
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    names = ("",) if membership is None else membership.names
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    search = neighbour_search(float(edges[-1]))
    atoms = len(first_ids) + len(second_ids)
    origins_wanted = min(max_origins, max(N_BLOCKS, MAX_ATOMS // atoms))
    found: list[list[VanHoveDistinct]] = [[] for _ in names]
    for lag in _lags(trajectory, times_ps):
        available = trajectory.n_frames - lag
        stride = -(-available // origins_wanted)
        origins = np.arange(0, available, stride)
        blocks = np.arange(len(origins)) * N_BLOCKS // len(origins)
        densities = np.zeros((N_BLOCKS, len(names), len(shells)))  # pairs times volume
        pairs = np.zeros((N_BLOCKS, len(names)))
        for origin, block in zip(origins, blocks, strict=True):
            cell = trajectory.cells[origin + lag]
            earlier = _positions(trajectory, origin, first_ids, drift_path)
            if not np.array_equal(trajectory.cells[origin], cell):
                earlier = earlier @ np.linalg.inv(trajectory.cells[origin]) @ cell
            later = _positions(trajectory, origin + lag, second_ids, drift_path)
            group = np.zeros(len(first_ids), dtype=np.int64)
            if membership is not None:
                group = membership.codes[origin].astype(np.int64)
            if len(earlier) * len(later) <= MAX_ALL_PAIRS:
                found_pairs = _all_pairs(earlier, later, cell, edges)
            else:
                found_pairs = _searched_pairs(search, earlier, later, cell, edges)
            near = _histogram(found_pairs, group, len(names), len(shells), alike)
            densities[block] += near * abs(np.linalg.det(cell))
            inside = np.bincount(group[group >= 0], minlength=len(names))
            pairs[block] += inside * (len(second_ids) - alike)
        used = np.unique(blocks)
        for g, name in enumerate(names):
            ratio = block_ratio(densities[used, g], pairs[used, g, None] * shells)
            found[g].append(
                VanHoveDistinct(
                    group=name,
                    time_ps=lag * trajectory.frame_interval_ps,
                    r_angstrom=0.5 * (edges[1:] + edges[:-1]),
                    edges_angstrom=edges,
                    ratio=ratio.value,
                    standard_error=ratio.standard_error,
                    n_origins=len(origins),
                )
            )
    return [item for items in found for item in items]


def _histogram(
    pairs: Pairs, group: IntArray, n_groups: int, n_bins: int, alike: bool
) -> FloatArray:
    """Count later atoms around the earlier ones of each group, (n_groups, n_bins)."""
    flat = np.zeros(n_groups * n_bins)
    for before, after, bins in pairs:
        counted = group[before] >= 0
        if alike:
            counted &= before != after
        flat += np.bincount(group[before[counted]] * n_bins + bins[counted], minlength=len(flat))
    return flat.reshape(n_groups, n_bins)


def _searched_pairs(
    search: Any, earlier: FloatArray, later: FloatArray, cell: FloatArray, edges: FloatArray
) -> Pairs:
    """Yield earlier atom, later atom and bin of the pairs within range, in chunks."""
    n_earlier = len(earlier)
    # One search over both sets: the house's neighbour search knows a single one.
    both = np.concatenate([earlier, later])
    for i, j, bins in binned_pairs(search, both, cell, edges):
        across = (i < n_earlier) != (j < n_earlier)
        i, j = i[across], j[across]
        yield np.minimum(i, j), np.maximum(i, j) - n_earlier, bins[across]


def _all_pairs(
    earlier: FloatArray, later: FloatArray, cell: FloatArray, edges: FloatArray
) -> Pairs:
    """Yield the same from the distances of all pairs.

    No distance counted exceeds half a perpendicular width of the cell, so that the nearest image
    is the one with fractional coordinates of at most a half.
    """
    if not (np.isfinite(earlier).all() and np.isfinite(later).all()):
        raise AnalysisError("a position is not a finite number.")
    to_fractional = np.linalg.inv(cell)
    before, after = (earlier @ to_fractional).T, (later @ to_fractional).T
    rows = max(1, PAIR_CHUNK // len(later))
    for start in range(0, len(earlier), rows):
        apart = after[:, None, :] - before[:, start : start + rows, None]
        apart -= np.rint(apart)
        vectors = np.tensordot(cell.T, apart, axes=1)
        bins = np.sqrt(np.einsum("kij,kij->ij", vectors, vectors)) / edges[1]
        row, column = np.nonzero(bins < len(edges) - 1)
        yield row + start, column, bins[row, column].astype(np.int64)


def _positions(
    trajectory: Trajectory, frame: int, ids: IntArray, drift_path: FloatArray
) -> FloatArray:
    return trajectory.source.read(frame, frame + 1, ids)[0] - drift_path[frame]


def _lags(trajectory: Trajectory, times_ps: Sequence[float]) -> IntArray:
    frames = np.round(np.asarray(times_ps, dtype=float) / trajectory.frame_interval_ps)
    lags = np.unique(frames.astype(np.int64))
    return lags[(lags >= 0) & (lags <= (trajectory.n_frames - 1) // 2)]


def _require_sets(
    trajectory: Trajectory,
    first_ids: IntArray,
    second_ids: IntArray,
    membership: Membership | None,
) -> bool:
    """Return whether both sets are the same atoms."""
    alike = np.array_equal(first_ids, second_ids)
    if not alike and len(np.intersect1d(first_ids, second_ids)):
        raise RangeError(
            f"{trajectory.path}: the two sets of atoms share some; give the same or separate ones"
        )
    if not len(first_ids) or len(second_ids) < 1 + alike:
        raise RangeError(
            f"{trajectory.path}: {len(first_ids)} and {len(second_ids)} atoms make no pair"
        )
    if membership is not None and (
        not np.array_equal(membership.ids, first_ids)
        or len(membership.codes) != trajectory.n_frames
    ):
        raise RangeError(
            f"{trajectory.path}: the groups are of other ions or frames than the earlier atoms"
        )
    return alike
