"""How long ions stay at a site: survival of stays, and whether one rate describes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray, IntArray
from analysis.hops.all_hops import Hops, stay_durations
from analysis.hops.event_rate import LEVEL, Estimate

# Stays still watched where the survival is read for the last time: fewer are noise.
MIN_AT_RISK = 20
# Of the stays, what may outlast the curve for its moments to be known.
MAX_SURVIVORS = 0.3
N_GROUPS = 20


@dataclass(frozen=True)
class Survival:
    """Share of stays that last longer than a time.

    Attributes
    ----------
    times_ps : (m,) float array
    survival, error : (m,) float arrays
        Kaplan-Meier estimate and its standard error.
    at_risk : (m,) int array
        Stays that were watched to that time and had not ended before.
    variation : Estimate
        Standard deviation over mean of the residence time: 1 for a single rate, more for
        several. nan where too many stays outlast the run.
    """

    times_ps: FloatArray
    survival: FloatArray
    error: FloatArray
    at_risk: IntArray
    variation: Estimate


def survival_of_stays(hops: Hops, together: float = 1.0) -> Survival:
    """Estimate the survival of stays that began with a hop, some of which outlast the run.

    Parameters
    ----------
    hops : Hops
    together : float
        Factor by which ions that move together enlarge variances, see `event_rate.Rate`.

    Notes
    -----
    Kaplan and Meier, J. Am. Stat. Assoc. 53, 457 (1958), doi 10.1080/01621459.1958.10501452,
    with the standard error of Greenwood. The error of the variation is that of a jackknife over
    groups of ions.
    """
    durations, ended = stay_durations(hops)
    groups = min(N_GROUPS, hops.n_ions)
    longest = int(durations.max(initial=0)) + 1
    cell = (hops.ions % groups) * longest + durations
    watched = np.bincount(cell, minlength=groups * longest).reshape(groups, longest)
    left = np.bincount(cell, weights=ended, minlength=groups * longest).reshape(groups, longest)
    at_risk = _at_risk(watched.sum(axis=0))
    shown = max(1, int((at_risk >= MIN_AT_RISK).sum()))
    ends = left.sum(axis=0)[:shown]
    survival = _survival(ends, at_risk[:shown])
    n = at_risk[:shown].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(np.where(n > ends, ends / (n * (n - ends)), 0.0))
    return Survival(
        times_ps=np.arange(shown) * hops.interval_ps,
        survival=survival,
        error=survival * np.sqrt(greenwood * together),
        at_risk=at_risk[:shown],
        variation=_variation(watched, left.astype(float), shown, together),
    )


def _at_risk(watched: IntArray) -> IntArray:
    """Return how many stays were watched for at least each number of intervals."""
    return np.cumsum(watched[::-1])[::-1].astype(np.int64)


def _survival(ends: FloatArray, at_risk: IntArray) -> FloatArray:
    return np.cumprod(1.0 - ends / np.maximum(at_risk, 1))


def _variation(watched: IntArray, left: FloatArray, shown: int, together: float) -> Estimate:
    value = _coefficient(watched.sum(axis=0), left.sum(axis=0), shown)
    without = np.array(
        [
            _coefficient(watched.sum(axis=0) - one, left.sum(axis=0) - gone, shown)
            for one, gone in zip(watched, left, strict=True)
        ]
    )
    n = len(without)
    if not (math.isfinite(value) and n > 1 and np.isfinite(without).all()):
        return Estimate(value, math.nan, math.nan)
    error = math.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum() * together)
    half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, n - 1)) * error
    return Estimate(value, value - half, value + half)


def _coefficient(watched: IntArray, left: FloatArray, shown: int) -> float:
    """Return standard deviation over mean, the tail continued with the rate of its last third."""
    at_risk, ends = _at_risk(watched)[:shown], left[:shown]
    survival = _survival(ends, at_risk)
    late = slice(2 * shown // 3, shown)
    trials = at_risk[late].sum()
    hazard = ends[late].sum() / trials if trials else 0.0
    last = survival[-1]
    if shown < 3 or last > MAX_SURVIVORS or (last > 0 and hazard <= 0):
        return math.nan
    steps = np.arange(shown)
    # With S(m) the share that lasts more than m intervals: <m> = sum S, <m^2> = sum (2m + 1) S.
    mean, square = survival.sum(), ((2 * steps + 1) * survival).sum()
    if last > 0:
        ratio = (1 - hazard) / hazard
        mean += last * ratio
        square += last * ((2 * shown - 1) * ratio + 2 * ratio / hazard)
    return math.sqrt(max(square - mean**2, 0.0)) / mean
