"""Self part of the van Hove function: how far ions have moved after a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.blocks import error_of_blocks
from analysis.constants import FloatArray, IntArray
from analysis.displacements.displacements import N_TIME_BLOCKS, Displacements, Piece, accumulate
from analysis.errors import RangeError

SHORT_PS = (1.0, 2.0, 5.0, 10.0)
LONG_PS = (100.0, 300.0, 1000.0)
BIN_ANGSTROM = 0.05


@dataclass(frozen=True)
class VanHoveSelf:
    """Distribution of the distances moved over one lag by a group of ions.

    Attributes
    ----------
    group : str
        Name of the group; empty for all ions.
    time_ps : float
    r_angstrom : (B,) float array
        Bin centres.
    edges_angstrom : (B + 1,) float array
    density : (B,) float array
        4 pi r^2 G_s(r, t), mean over each bin, 1/Angstrom; its integral is 1.
    standard_error : (B,) float array
        The larger of those between bunches of ions and between blocks of time.
    gaussian : (B,) float array
        The same of a Gaussian with the same <r^2>.
    msd : float
        <r^2> of the displacements themselves, Angstrom^2.
    survivors : float
        Displacements counted over all.
    n_origins : int
        Time origins used.
    """

    group: str
    time_ps: float
    r_angstrom: FloatArray
    edges_angstrom: FloatArray
    density: FloatArray
    standard_error: FloatArray
    gaussian: FloatArray
    msd: float
    survivors: float
    n_origins: int


def long_times(duration_ps: float) -> tuple[float, ...]:
    """Return the lags of a long window: those of `LONG_PS` up to half the run, or just the half."""
    half = 0.5 * duration_ps
    found = tuple(time for time in LONG_PS if time <= half)
    return found or ((half,) if half > SHORT_PS[-1] else ())


class HistogramSums:
    """Histograms of distances by group and lag, for bunches of ions and for blocks of time.

    They grow with the longest distance, so no displacement is left out.
    """

    def __init__(self, displacements: Displacements, lags: IntArray, bin_angstrom: float) -> None:
        if not bin_angstrom > 0:
            raise RangeError(f"bins of {bin_angstrom:g} Angstrom; expected a positive width")
        groups, bunches, blocks, _ = displacements.tiles
        self.lags = lags
        self.width = bin_angstrom
        self.by_bunch = [np.zeros((groups, bunches, 1)) for _ in lags]
        self.by_block = [np.zeros((groups, blocks, 1)) for _ in lags]
        self.squared = np.zeros((groups, len(lags)))

    def add(self, piece: Piece) -> None:
        """Take in one piece."""
        position = int(np.searchsorted(self.lags, piece.lag))
        if position == len(self.lags) or self.lags[position] != piece.lag:
            return
        bins = (np.sqrt(piece.squared) / self.width).astype(np.int64)
        n_bins = max(int(bins.max()) + 1, self.by_bunch[position].shape[-1])
        for histograms in (self.by_bunch, self.by_block):
            missing = n_bins - histograms[position].shape[-1]
            if missing:
                histograms[position] = np.pad(histograms[position], ((0, 0), (0, 0), (0, missing)))
        flat = piece.block[:, None] * n_bins + bins
        for group in range(len(self.squared)):
            inside = slice(None) if piece.counted is None else piece.counted[group]
            counts = np.bincount(flat[inside].ravel(), minlength=N_TIME_BLOCKS * n_bins)
            counts = counts.reshape(N_TIME_BLOCKS, n_bins)
            self.by_bunch[position][group, piece.bunch] += counts.sum(axis=0)
            self.by_block[position][group] += counts
            self.squared[group, position] += piece.squared[inside].sum()


def van_hove_self(
    displacements: Displacements, times_ps: Sequence[float], bin_angstrom: float = BIN_ANGSTROM
) -> list[VanHoveSelf]:
    """Compute the self part at some lags, in one pass.

    Parameters
    ----------
    displacements : Displacements
        Made with these lags among its `asked_ps`.
    times_ps : sequence of float
        Lags; those that the displacements do not hold are left out.
    bin_angstrom : float
        Bin width.

    Returns
    -------
    list of VanHoveSelf
        By group, then by lag; without those that have no displacement.

    Notes
    -----
    G_s(r, t) = <delta(r - |r_i(t0 + t) - r_i(t0)|)>: van Hove, Phys. Rev. 95, 249 (1954),
    doi 10.1103/PhysRev.95.249.
    """
    sums = HistogramSums(displacements, displacements.nearest(times_ps), bin_angstrom)
    accumulate(displacements, [sums])
    return van_hove_self_of(displacements, sums)


def van_hove_self_of(displacements: Displacements, sums: HistogramSums) -> list[VanHoveSelf]:
    """Evaluate the histograms of a pass."""
    found = []
    for group, name in enumerate(displacements.groups):
        for position, lag in enumerate(sums.lags):
            bunches, blocks = sums.by_bunch[position][group], sums.by_block[position][group]
            total = bunches.sum(axis=0)
            number = total.sum()
            if not number:
                continue
            edges = np.arange(len(total) + 1) * sums.width
            density = total / (number * sums.width)
            msd = float(sums.squared[group, position] / number)
            origins = int(displacements.n_origins[lag])
            independent = int(displacements.n_independent[lag])
            found.append(
                VanHoveSelf(
                    group=name,
                    time_ps=float(displacements.times_ps[lag]),
                    r_angstrom=0.5 * (edges[1:] + edges[:-1]),
                    edges_angstrom=edges,
                    density=density,
                    standard_error=np.fmax(
                        _error(bunches, density, sums.width),
                        _error(_merged(blocks, independent), density, sums.width),
                    ),
                    gaussian=gaussian_density(edges, msd),
                    msd=msd,
                    survivors=float(number / (origins * len(displacements.ids))),
                    n_origins=origins,
                )
            )
    return found


def gaussian_density(edges_angstrom: FloatArray, msd: float) -> FloatArray:
    """Return 4 pi r^2 of a three-dimensional Gaussian with <r^2> = `msd`, mean over each bin."""
    if not msd > 0:
        return np.zeros(len(edges_angstrom) - 1)
    below = stats.maxwell.cdf(edges_angstrom, scale=np.sqrt(msd / 3.0))
    return np.asarray(np.diff(below) / np.diff(edges_angstrom))


def _merged(blocks: FloatArray, independent: int) -> FloatArray:
    """Join blocks of time, (T, B), until each is as long as the lag."""
    number = min(len(blocks), independent)
    bounds = np.arange(number) * len(blocks) // number
    return np.asarray(np.add.reduceat(blocks, bounds, axis=0))


def _error(parts: FloatArray, density: FloatArray, width: float) -> FloatArray:
    """Return the error of a density between parts with counts (n, B), weighted by their number."""
    numbers = parts.sum(axis=1)
    parts, numbers = parts[numbers > 0], numbers[numbers > 0]
    deviations = (parts / width - density * numbers[:, None]) * len(parts) / numbers.sum()
    return error_of_blocks(deviations)
