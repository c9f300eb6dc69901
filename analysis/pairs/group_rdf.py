"""Radial distribution functions around the atoms of a region or of one kind of anion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.blocks import N_BLOCKS, used_frames
from analysis.constants import FloatArray, IntArray
from analysis.groups import Groups
from analysis.pairs.neighbours import neighbour_search
from analysis.pairs.pair_counts import BIN_ANGSTROM, bin_edges, binned_pairs
from analysis.trajectory import Frame, Trajectory


@dataclass(frozen=True)
class GroupDistribution:
    """Distribution of a species around the atoms of a group, such as ``Li glass`` or ``S PS4``.

    Attributes
    ----------
    group : str
        Of the central atoms.
    species : str
        Of their neighbours, wherever these are.
    r_angstrom : (B,) float array
        Bin centres.
    edges_angstrom : (B + 1,) float array
    g : (B,) float array
        Relative to the mean density of `species` in the whole cell: it tends to 1 at large
        distance only where the surroundings of the group are as the cell.
    g_blocks : (n_blocks, B) float array
        nan in blocks of frames where the group is empty.
    cn : (B,) float array
        Running number of neighbours, up to the upper edge of each bin.
    cn_blocks : (n_blocks, B) float array
    mean_atoms : float
        Central atoms a frame.
    n_frames : int
    """

    group: str
    species: str
    r_angstrom: FloatArray
    edges_angstrom: FloatArray
    g: FloatArray
    g_blocks: FloatArray
    cn: FloatArray
    cn_blocks: FloatArray
    mean_atoms: float
    n_frames: int


def group_distributions(
    trajectory: Trajectory,
    groups: Groups,
    *,
    r_max_angstrom: float | None = None,
    bin_angstrom: float = BIN_ANGSTROM,
    stride: int | None = None,
) -> list[GroupDistribution]:
    """Compute g(r) and the running number of every species around the atoms of each group.

    Parameters
    ----------
    trajectory : Trajectory
    groups : Groups
        Of the central atoms; the neighbours may be anywhere.
    r_max_angstrom, bin_angstrom, stride
        As in `pair_distributions`.

    Returns
    -------
    list of GroupDistribution
        For every group and species; nan throughout for a group that is empty in all frames.

    Raises
    ------
    RangeError
        As `pair_distributions`.

    Notes
    -----
    As `pair_distributions`, with the atoms of the group as central atoms. An atom is no neighbour
    of itself, so the number of possible neighbours is N_j, less one for central atoms of species
    j; groups may change from frame to frame, so sums run over central atoms and frames.
    """
    edges = bin_edges(trajectory, r_max_angstrom, bin_angstrom)
    used = used_frames(trajectory, stride)
    n_blocks = min(N_BLOCKS, len(used))
    kinds, codes = np.unique(trajectory.species, return_inverse=True)
    numbers = np.bincount(codes)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    shape = (n_blocks, len(groups.names), len(kinds))
    counts = np.zeros((*shape, len(edges) - 1))
    expected = np.zeros(shape)  # pairs per volume if g were 1, summed over frames
    central = np.zeros(shape[:2])
    search = neighbour_search(float(edges[-1]))
    for n, frame in enumerate(trajectory.frames(used.step)):
        block = n * n_blocks // len(used)
        group = groups.codes(frame)
        counts[block] += _group_histogram(search, frame, group, codes, counts.shape[1:], edges)
        inside = group >= 0
        atoms = np.zeros(shape[1:])
        np.add.at(atoms, (group[inside], codes[inside]), 1)
        possible = atoms.sum(axis=1)[:, None] * numbers - atoms
        expected[block] += possible / abs(np.linalg.det(frame.cell))
        central[block] += atoms.sum(axis=1)
    result = []
    for a, name in enumerate(groups.names):
        for b, kind in enumerate(kinds):
            with np.errstate(invalid="ignore", divide="ignore"):
                g_blocks = counts[:, a, b] / (expected[:, a, b, None] * shells)
                cn_blocks = np.cumsum(counts[:, a, b], axis=-1) / central[:, a, None]
                g = counts[:, a, b].sum(axis=0) / (expected[:, a, b].sum() * shells)
                cn = np.cumsum(counts[:, a, b].sum(axis=0)) / central[:, a].sum()
            result.append(
                GroupDistribution(
                    group=name,
                    species=str(kind),
                    r_angstrom=0.5 * (edges[1:] + edges[:-1]),
                    edges_angstrom=edges,
                    g=g,
                    g_blocks=g_blocks,
                    cn=cn,
                    cn_blocks=cn_blocks,
                    mean_atoms=float(central[:, a].sum() / len(used)),
                    n_frames=len(used),
                )
            )
    return result


def _group_histogram(
    search: Any,
    frame: Frame,
    group: IntArray,
    codes: IntArray,
    shape: tuple[int, ...],
    edges: FloatArray,
) -> FloatArray:
    """Count neighbours of each species around the atoms of each group, of `shape`."""
    _, n_kinds, n_bins = shape
    flat = np.zeros(int(np.prod(shape)))
    for i, j, bins in binned_pairs(search, frame.positions, frame.cell, edges):
        for centre, other in ((i, j), (j, i)):
            inside = group[centre] >= 0
            kind = group[centre[inside]] * n_kinds + codes[other[inside]]
            flat += np.bincount(kind * n_bins + bins[inside], minlength=len(flat))
    return flat.reshape(shape)
