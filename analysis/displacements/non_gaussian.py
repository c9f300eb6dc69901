"""Non-Gaussian parameter: how far displacements are from those of one random walk."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.constants import FloatArray, IntArray
from analysis.displacements.displacement_errors import LEVEL, Spread, spread_of
from analysis.displacements.displacements import Displacements, Piece, accumulate
from analysis.results import Quantity

# Number of displacements, <r^2>, <r^4>, then <x^2> and <x^4> of each axis.
COUNT, SECOND, FOURTH = 0, 1, 2
AXES_SECOND, AXES_FOURTH = slice(3, 6), slice(6, 9)
# With fewer displacements, 95 % intervals of replicas held the truth in less than 90 %.
MIN_INDEPENDENT = 200
# Lags on each side of the highest point that the parabola goes through.
PEAK_REACH = 2


@dataclass(frozen=True)
class NonGaussian:
    """Non-Gaussian parameter of a group of ions.

    Attributes
    ----------
    group : str
        Name of the group; empty for all ions.
    times_ps : (K,) float array
    alpha2 : (K,) float array
        3 <r^4> / (5 <r^2>^2) - 1; nan where no displacement was counted.
    spread : Spread
        Error of `alpha2`.
    alpha2_axes : (K,) float array
        <x^4> / (3 <x^2>^2) - 1, mean over x, y and z.
    axes_spread : Spread
    msd : (K,) float array
        <r^2> of the same displacements, Angstrom^2.
    msd_spread : Spread
    survivors : (K,) float array
        Displacements counted over all.
    n_origins : (K,) int array
        Time origins used.
    n_independent : (K,) float array
        Displacements counted that do not overlap in time, over the number of ions that move
        together.
    without_bunch : (P, K) float array
        `alpha2` with one bunch of ions left out.
    """

    group: str
    times_ps: FloatArray
    alpha2: FloatArray
    spread: Spread
    alpha2_axes: FloatArray
    axes_spread: Spread
    msd: FloatArray
    msd_spread: Spread
    survivors: FloatArray
    n_origins: IntArray
    n_independent: FloatArray
    without_bunch: FloatArray


@dataclass(frozen=True)
class MomentSums:
    """Sums of powers of displacements by group, bunch, block of time and lag, (G, P, T, K, 9)."""

    sums: FloatArray

    @classmethod
    def empty(cls, displacements: Displacements) -> MomentSums:
        """Return sums of nothing."""
        return cls(np.zeros((*displacements.tiles, 9)))

    def add(self, piece: Piece) -> None:
        """Take in one piece."""
        tile = self.sums[:, piece.bunch, :, piece.lag]
        tile[..., COUNT] += piece.sums(np.ones_like(piece.squared))
        tile[..., SECOND] += piece.sums(piece.squared)
        tile[..., FOURTH] += piece.sums(piece.squared**2)
        for axis, values in enumerate(piece.axes):
            squared = values**2
            tile[..., 3 + axis] += piece.sums(squared)
            tile[..., 6 + axis] += piece.sums(squared**2)


def non_gaussian(displacements: Displacements) -> list[NonGaussian]:
    """Compute the non-Gaussian parameter of every group, in one pass.

    Notes
    -----
    Rahman, Phys. Rev. 136, A405 (1964), doi 10.1103/PhysRev.136.A405. It is 0 for a Gaussian,
    -0.4 for displacements of equal length, 3/(5 n) for a walk of n random jumps on average.
    Errors are those of the jackknife over bunches of ions, its estimate of the bias included
    (Efron and Tibshirani, An Introduction to the Bootstrap, ch. 11). Measured coverage of their
    95 % intervals, 100 replicas, hops out of cages: 91 % with 64 ions x 400 frames, 86 % if these
    move in fours, because a fourth moment of few ions is skewed.
    """
    sums = MomentSums.empty(displacements)
    accumulate(displacements, [sums])
    return non_gaussian_of(displacements, sums)


def non_gaussian_of(displacements: Displacements, moments: MomentSums) -> list[NonGaussian]:
    """Evaluate the sums of a pass."""
    times, independent = displacements.times_ps, displacements.n_independent
    every = len(displacements.ids) * displacements.n_origins
    found = []
    for group, sums in zip(displacements.groups, moments.sums, strict=True):
        total = sums.sum(axis=(0, 1))
        counts = sums[..., COUNT]
        without_sums = total - sums.sum(axis=1)
        alpha2, along = _alpha2(total), _alpha2_axes(total)
        without = _alpha2(without_sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            influence = (alpha2 + 1.0) * _ratio_influence(sums, total, FOURTH, SECOND)
            of_axes = sum(
                total[:, 6 + axis]
                * total[:, COUNT]
                / (9.0 * total[:, 3 + axis] ** 2)
                * _ratio_influence(sums, total, 6 + axis, 3 + axis)
                for axis in range(3)
            )
            msd = total[:, SECOND] / total[:, COUNT]
            of_msd = (sums[..., SECOND] - msd * counts) / total[:, COUNT]
        spread = spread_of(np.nan_to_num(influence), counts, times, independent)
        axes_spread = spread_of(np.nan_to_num(of_axes), counts, times, independent)
        present = counts.sum(axis=1) > 0
        found.append(
            NonGaussian(
                group=group,
                times_ps=times,
                alpha2=alpha2,
                spread=_jackknifed(spread, alpha2, without, present),
                alpha2_axes=along,
                axes_spread=_jackknifed(axes_spread, along, _alpha2_axes(without_sums), present),
                msd=msd,
                msd_spread=spread_of(np.nan_to_num(of_msd), counts, times, independent),
                survivors=total[:, COUNT] / every,
                n_origins=displacements.n_origins,
                n_independent=counts.sum(axis=(0, 1))
                / displacements.n_origins
                * independent
                / spread.together,
                without_bunch=without,
            )
        )
    return found


def non_gaussian_peak(found: NonGaussian, label: str, curve: str = "") -> tuple[Quantity, Quantity]:
    """Find when displacements are least Gaussian, and how much.

    Parameters
    ----------
    found : NonGaussian
    label : str
        End of the names of the quantities.
    curve : str

    Returns
    -------
    time : Quantity
        ps, of the vertex of a parabola in ln t through the highest point and two lags on each
        side; its interval is that of ln t.
    height : Quantity
        Value at the vertex.
        Both are unresolved unless the highest point lies inside the window of lags that have 200
        independent displacements, above zero and above both ends of the window beyond their errors.

    Notes
    -----
    Coverage of the 95 % intervals, hops out of cages, 64 ions x 500 frames, 250 replicas: time
    90 %, height 92 %.
    """
    names = (f"non_gaussian_peak_time_{label}", f"non_gaussian_peak_height_{label}")
    top, objection = _top(found)
    replicas = np.empty((0, 2))
    if not objection:
        log_times = np.log(found.times_ps)
        vertex = _vertex(log_times, found.alpha2, top)
        replicas = np.array([_vertex(log_times, row, top) for row in found.without_bunch])
        # Ions left out may not be those of the group; without one there is no change.
        if not np.isfinite(vertex).all() or not np.isfinite(replicas).all():
            objection = "the maximum is too flat for the time of a peak"
    if objection:
        time, height = (
            Quantity(name, math.nan, unit, status="unresolved", reason=objection, curve=curve)
            for name, unit in zip(names, ("ps", "1"), strict=True)
        )
        return time, height
    n = len(replicas)
    variance = (n - 1.0) / n * ((replicas - replicas.mean(axis=0)) ** 2).sum(axis=0)
    together, freedom = found.spread.together[top], found.spread.degrees_of_freedom[top]
    half = stats.t.ppf(0.5 + 0.5 * LEVEL, freedom) * np.sqrt(variance * together)
    reason = (
        f"parabola in ln t about {found.times_ps[top]:.3g} ps; error from {n} bunches of ions left "
        f"out in turn, variance enlarged {together:.2f}-fold for ions that move together"
    )
    at, value = vertex
    low, high = math.exp(at - half[0]), math.exp(at + half[0])
    return (
        Quantity(names[0], math.exp(at), "ps", low, high, LEVEL, reason=reason, curve=curve),
        Quantity(
            names[1],
            value,
            "1",
            value - half[1],
            value + half[1],
            LEVEL,
            reason=reason,
            curve=curve,
        ),
    )


def _alpha2(total: FloatArray) -> FloatArray:
    """Return alpha2 of sums (..., 9)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = total[..., FOURTH] * total[..., COUNT] / total[..., SECOND] ** 2
    return np.asarray(0.6 * ratio - 1.0)


def _alpha2_axes(total: FloatArray) -> FloatArray:
    """Return the mean over axes of their alpha2, of sums (..., 9)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = total[..., AXES_FOURTH] * total[..., [COUNT]] / total[..., AXES_SECOND] ** 2
    return np.asarray(ratio.mean(axis=-1) / 3.0 - 1.0)


def _jackknifed(
    spread: Spread, value: FloatArray, without: FloatArray, present: np.ndarray
) -> Spread:
    """Replace the error by that of the jackknife, with the bias of a ratio of few ions in it.

    Parameters
    ----------
    spread : Spread
        To first order.
    value : (K,) float array
    without : (P, K) float array
        Values with one bunch left out.
    present : (P, K) bool array
        Bunches that have displacements.
    """
    number = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, without, 0.0).sum(axis=0) / number
        squares = np.where(present, (without - mean) ** 2, 0.0).sum(axis=0)
        variance = (number - 1.0) / number * squares
        bias = (number - 1.0) * (mean - value)
        error = np.sqrt(variance * spread.together + bias**2)
    return replace(spread, standard_error=np.where(number > 1, error, np.nan))


def _ratio_influence(sums: FloatArray, total: FloatArray, fourth: int, second: int) -> FloatArray:
    """Return the relative change of <r^4>/<r^2>^2 by each tile, (P, T, K)."""
    return np.asarray(
        sums[..., fourth] / total[:, fourth]
        + sums[..., COUNT] / total[:, COUNT]
        - 2.0 * sums[..., second] / total[:, second]
    )


def _top(found: NonGaussian) -> tuple[int, str]:
    """Return the lag of the highest point, and why it is no peak or ""."""
    known = np.flatnonzero(
        np.isfinite(found.spread.standard_error) & (found.n_independent >= MIN_INDEPENDENT)
    )
    if len(known) < 2 * PEAK_REACH + 1:
        return 0, (
            f"{len(known)} lags with {MIN_INDEPENDENT} independent displacements; "
            f"a peak takes {2 * PEAK_REACH + 1}"
        )
    first, last = int(known[0]), int(known[-1])
    top = int(known[np.argmax(found.alpha2[known])])
    height = found.alpha2[top]
    # The highest of many lags is high by chance; demand the level for all of them.
    demanded = found.spread.half_interval(1.0 - (1.0 - LEVEL) / len(known))
    if height <= demanded[top]:
        return top, (
            f"no peak: the highest value, {height:.2g} at {found.times_ps[top]:.3g} ps, "
            "is zero within its error"
        )
    if top == last:
        return (
            top,
            f"no peak inside the window: alpha2 still rises at {found.times_ps[last]:.3g} ps",
        )
    if top == first:
        return top, f"no peak inside the window: highest at its start, {found.times_ps[top]:.3g} ps"
    for end, where in ((first, "shortest"), (last, "longest")):
        other = found.without_bunch[:, top] - found.without_bunch[:, end]
        n = len(other)
        error = np.sqrt((n - 1.0) / n * ((other - other.mean()) ** 2).sum())
        error *= np.sqrt(max(found.spread.together[top], found.spread.together[end]))
        freedom = min(found.spread.degrees_of_freedom[[top, end]])
        if not height - found.alpha2[end] > stats.t.ppf(0.5 + 0.5 * LEVEL, freedom) * error:
            return top, (
                f"no peak inside the window: the value at the {where} lag, "
                f"{found.times_ps[end]:.3g} ps, is as high within its error"
            )
    return top, ""


def _vertex(log_times: FloatArray, alpha2: FloatArray, top: int) -> FloatArray:
    """Return ln t and height of the vertex of a local parabola; nan if it has none there."""
    start, stop = max(top - PEAK_REACH, 0), top + PEAK_REACH + 1
    x = log_times[start:stop] - log_times[top]
    y = alpha2[start:stop]
    if len(x) < 3 or not np.isfinite(y).all():
        return np.full(2, np.nan)
    bend, slope, value = np.polyfit(x, y, 2)
    if bend >= 0:
        return np.full(2, np.nan)
    at = -0.5 * slope / bend
    if not x[0] <= at <= x[-1]:
        return np.full(2, np.nan)
    return np.array([log_times[top] + at, value + 0.5 * slope * at])
