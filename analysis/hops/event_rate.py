"""Rate of events with an interval that knows when they come in bursts or together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray, IntArray

LEVEL = 0.95
# Blocks of time whose counts tell whether points move together.
TIME_BLOCKS = 20


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at the level 0.95; nan where nothing supports it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Rate:
    """Rate of events per ion, 1/ps.

    Attributes
    ----------
    estimate : Estimate
        For no event the value is 0 and `high` the one-sided upper limit.
    count : int
        Events.
    dispersion : float
        Variance of the count over that of independent events, at least 1.
    together : float
        Part of it that comes from ions which move together, at least 1.
    """

    estimate: Estimate
    count: int
    dispersion: float
    together: float


def event_rate(
    points: IntArray, trial_steps: IntArray, trials: np.ndarray, interval_ps: float
) -> Rate:
    """Return events over time at risk, with a Poisson interval enlarged by overdispersion.

    Parameters
    ----------
    points, trial_steps : (E,) int arrays
        Which point had the event in which trial.
    trials : (T, n) bool array
        Trials of every point that could have shown an event.
    interval_ps : float
        Time of a trial.

    Notes
    -----
    Limits of Garwood, Biometrika 28, 437 (1936), for count / dispersion events. The dispersion is
    the sum of squared deviations of counts from expectation over the expected count, by point
    and by block of time, whichever is larger (quasi-Poisson; McCullagh and Nelder, Generalized
    Linear Models, chapter 6). That by time counts only where it exceeds 1 significantly.
    """
    at_risk = np.asarray(trials.sum(axis=0), dtype=float)
    total = float(at_risk.sum()) * interval_ps
    count = len(points)
    if total == 0:
        return Rate(Estimate(math.nan, math.nan, math.nan), 0, 1.0, 1.0)
    if count == 0:
        return Rate(Estimate(0.0, 0.0, -math.log(1 - LEVEL) / total), 0, 1.0, 1.0)
    n_blocks = min(TIME_BLOCKS, len(trials))
    block = np.arange(len(trials)) * n_blocks // len(trials)
    at_risk_then = np.bincount(block, weights=trials.sum(axis=1)).astype(float)
    by_time = _dispersion(np.bincount(block[trial_steps], minlength=n_blocks), at_risk_then)
    by_point = _dispersion(np.bincount(points, minlength=trials.shape[1]), at_risk)
    by_point = max(by_point, 1.0)
    limit = stats.chi2.ppf(LEVEL, n_blocks - 1) / max(n_blocks - 1, 1) if n_blocks > 1 else 1.0
    together = by_time / by_point if by_time > limit * by_point else 1.0
    dispersion = by_point * together
    tail = 0.5 * (1 - LEVEL)
    low = stats.gamma.ppf(tail, count / dispersion)
    high = stats.gamma.ppf(1 - tail, count / dispersion + 1)
    return Rate(
        Estimate(count / total, low * dispersion / total, high * dispersion / total),
        count,
        dispersion,
        together,
    )


def _dispersion(counts: IntArray, at_risk: FloatArray) -> float:
    """Return the variance of counts over that of independent events."""
    expected = counts.sum() * at_risk / at_risk.sum()
    # The rate was fitted to the same counts, which takes its share of each deviation.
    spread = 1.0 - (expected**2).sum() / expected.sum() ** 2
    if spread <= 0:
        return 1.0
    return float(((counts - expected) ** 2).sum() / expected.sum() / spread)
