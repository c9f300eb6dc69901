"""Errors of averages over displacements, from bunches of ions and blocks of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray, IntArray

LEVEL = 0.95
# Fewest independent blocks of time from which it can be told whether ions move together.
MIN_TIME_BLOCKS = 3
# Moving together is averaged over lags down to this fraction of a lag.
POOLING_RATIO = 4.0


@dataclass(frozen=True)
class Spread:
    """Error of a quantity that is known at several lags.

    Attributes
    ----------
    standard_error : (K,) float array
        nan below two bunches.
    together : (K,) float array
        Factor by which ions that move together enlarged the variance; 1 for independent ions.
    degrees_of_freedom : (K,) float array
    """

    standard_error: FloatArray
    together: FloatArray
    degrees_of_freedom: FloatArray

    def half_interval(self, level: float = LEVEL) -> FloatArray:
        """Return half the Student interval, (K,)."""
        quantiles = stats.t.ppf(0.5 + 0.5 * level, self.degrees_of_freedom)
        return np.asarray(quantiles * self.standard_error)


def spread_of(
    influence: FloatArray, counts: FloatArray, times_ps: FloatArray, n_independent: IntArray
) -> Spread:
    """Turn the influence of each tile on an estimate into its error.

    Parameters
    ----------
    influence : (P, T, K) float array
        Change of the estimate by each bunch of ions in each block of time, to first order; sums to
        zero over bunches and blocks.
    counts : (P, T, K) float array
        Displacements in each tile.
    times_ps : (K,) float array
    n_independent : (K,) int array
        Lags that follow one another within the run.

    Notes
    -----
    The variance is that of a ratio of means over bunches of ions (the linearised jackknife; Efron
    and Tibshirani, An Introduction to the Bootstrap, ch. 11). It misses what bunches have in
    common, so it is multiplied by the variance in time of all bunches together over that of
    independent bunches, if this exceeds 1 significantly.
    """
    in_bunch = counts.sum(axis=1)
    used = (in_bunch > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = used / (used - 1.0) * (influence.sum(axis=1) ** 2).sum(axis=0)
        effective = in_bunch.sum(axis=0) ** 2 / (in_bunch**2).sum(axis=0)
    together = _together(influence, times_ps, n_independent)
    return Spread(
        standard_error=np.where(used > 1, np.sqrt(variance * together), np.nan),
        together=together,
        degrees_of_freedom=np.maximum(np.nan_to_num(effective / together) - 1.0, 1.0),
    )


def _together(influence: FloatArray, times_ps: FloatArray, n_independent: IntArray) -> FloatArray:
    blocks = np.minimum(influence.shape[1], n_independent)
    common = influence.sum(axis=0).var(axis=0)
    apart = influence.var(axis=1).sum(axis=0)
    known = (blocks >= MIN_TIME_BLOCKS) & (apart > 0)
    result = np.ones(len(times_ps))
    if influence.shape[0] < 2 or not known.any():
        return result
    ratio = np.where(known, common, 0.0) / np.where(known, apart, 1.0)
    for k, time in enumerate(times_ps):
        # Lags too long to tell take over what was seen at the longest that can.
        end = min(time, times_ps[known][-1])
        near = known & (times_ps <= end) & (POOLING_RATIO * times_ps >= end)
        if not near.any():
            continue
        value = float(np.average(ratio[near], weights=blocks[near]))
        if value > 1.0 + 1.645 * np.sqrt(2.0 / (blocks[near].max() - 1)):
            result[k] = value
    return result
