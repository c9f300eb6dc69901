"""Partial radial distribution functions and coordination numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.blocks import N_BLOCKS, used_frames
from analysis.constants import FloatArray, IntArray
from analysis.pairs.neighbours import neighbour_search
from analysis.pairs.pair_counts import BIN_ANGSTROM, bin_edges, binned_pairs
from analysis.trajectory import Trajectory


@dataclass(frozen=True)
class PairDistribution:
    """Distribution of species j around species i.

    Attributes
    ----------
    i, j : str
        Species; i <= j alphabetically.
    r_angstrom : (B,) float array
        Bin centres.
    edges_angstrom : (B + 1,) float array
    g : (B,) float array
        Partial g(r), mean over frames.
    g_blocks : (n_blocks, B) float array
        The same in blocks of consecutive frames.
    cn_ij, cn_ji : (B,) float arrays
        Running number of j around i, and of i around j, up to the upper edge of each bin.
    cn_ij_blocks, cn_ji_blocks : (n_blocks, B) float arrays
    expected_pairs : (B,) float array
        Pairs in each bin, summed over frames, if g were 1; sets the counting noise.
    n_frames : int
        Frames averaged over.
    """

    i: str
    j: str
    r_angstrom: FloatArray
    edges_angstrom: FloatArray
    g: FloatArray
    g_blocks: FloatArray
    cn_ij: FloatArray
    cn_ji: FloatArray
    cn_ij_blocks: FloatArray
    cn_ji_blocks: FloatArray
    expected_pairs: FloatArray
    n_frames: int

    @property
    def label(self) -> str:
        """Name of the pair, such as Li-S."""
        return f"{self.i}-{self.j}"


def pair_distributions(
    trajectory: Trajectory,
    *,
    r_max_angstrom: float | None = None,
    bin_angstrom: float = BIN_ANGSTROM,
    stride: int | None = None,
) -> list[PairDistribution]:
    """Compute g(r) and the running coordination number of every pair of species.

    Parameters
    ----------
    trajectory : Trajectory
    r_max_angstrom : float, optional
        Largest distance; by default 10 Angstrom or half the smallest perpendicular cell width,
        whichever is smaller.
    bin_angstrom : float
        Bin width; the range is cut to a whole number of bins.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Returns
    -------
    list of PairDistribution
        For all pairs i <= j, without those that have fewer than two atoms to pair.

    Raises
    ------
    RangeError
        If `r_max_angstrom` exceeds half the smallest perpendicular width, or holds no bin.

    Notes
    -----
    g_ij(r) = <n_ij(r)> V / (N_i N_j v(r)) with the exact shell volume v and the volume V of each
    frame; N_j - 1 in place of N_j for like pairs (Allen and Tildesley, Computer Simulation of
    Liquids, 2nd ed., section 8.2, with the self term removed from the density).
    """
    edges = bin_edges(trajectory, r_max_angstrom, bin_angstrom)
    n_bins = len(edges) - 1
    used = used_frames(trajectory, stride)
    n_blocks = min(N_BLOCKS, len(used))

    kinds, codes = np.unique(trajectory.species, return_inverse=True)
    numbers = np.bincount(codes)
    n_kinds = len(kinds)
    counts = np.zeros((n_blocks, n_kinds, n_kinds, n_bins))  # ordered pairs per frame
    densities = np.zeros_like(counts)  # the same times V
    frames_in_block = np.zeros(n_blocks)
    search = neighbour_search(float(edges[-1]))
    for n, frame in enumerate(trajectory.frames(used.step)):
        block = n * n_blocks // len(used)
        histogram = _histogram(search, frame.positions, frame.cell, codes, n_kinds, edges)
        counts[block] += histogram
        densities[block] += histogram * abs(np.linalg.det(frame.cell))
        frames_in_block[block] += 1
    counts /= frames_in_block[:, None, None, None]
    densities /= frames_in_block[:, None, None, None]
    inverse_volumes = float((1.0 / trajectory.volumes[:: used.step]).sum())
    weights = frames_in_block / frames_in_block.sum()
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)

    result = []
    for a, b in itertools.combinations_with_replacement(range(n_kinds), 2):
        pairs = int(numbers[a] * (numbers[b] - (a == b)))
        if pairs == 0:
            continue
        g_blocks = densities[:, a, b] / (pairs * shells)
        cn_ij = np.cumsum(counts[:, a, b], axis=-1) / numbers[a]
        cn_ji = np.cumsum(counts[:, a, b], axis=-1) / numbers[b]
        result.append(
            PairDistribution(
                i=str(kinds[a]),
                j=str(kinds[b]),
                r_angstrom=0.5 * (edges[1:] + edges[:-1]),
                edges_angstrom=edges,
                g=weights @ g_blocks,
                g_blocks=g_blocks,
                cn_ij=weights @ cn_ij,
                cn_ji=weights @ cn_ji,
                cn_ij_blocks=cn_ij,
                cn_ji_blocks=cn_ji,
                # One count for each unordered pair.
                expected_pairs=pairs / (1 + (a == b)) * shells * inverse_volumes,
                n_frames=len(used),
            )
        )
    return result


def _histogram(
    search: Any,
    positions: FloatArray,
    cell: FloatArray,
    codes: IntArray,
    n_kinds: int,
    edges: FloatArray,
) -> FloatArray:
    """Count ordered pairs, (n_kinds, n_kinds, n_bins)."""
    n_bins = len(edges) - 1
    flat = np.zeros(n_kinds * n_kinds * n_bins)
    for i, j, bins in binned_pairs(search, positions, cell, edges):
        kind = codes[i] * n_kinds + codes[j]
        flat += np.bincount(kind * n_bins + bins, minlength=len(flat))
    half = flat.reshape(n_kinds, n_kinds, n_bins)
    return half + half.transpose(1, 0, 2)
