"""Means over independent samples that differ: random effects with a Student interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from analysis.constants import FloatArray
from analysis.errors import AnalysisError

LEVEL = 0.95


@dataclass(frozen=True)
class SampleMean:
    """Mean over samples.

    Attributes
    ----------
    value : float
    half_width : float
        Half of the interval at `level`; nan for a single sample of unknown error.
    between : float
        Standard deviation between samples beyond their own errors; nan for a single sample.
    n_samples : int
    degrees : float
        Degrees of freedom of the interval.
    level : float
    """

    value: float
    half_width: float
    between: float
    n_samples: int
    degrees: float
    level: float = LEVEL

    @property
    def standard_error(self) -> float:
        """Standard error that gives the interval with Student's t at `degrees`."""
        return self.half_width / student(self.level, self.degrees)


def student(level: float, degrees: float) -> float:
    """Return the two-sided Student quantile, of the normal distribution for infinite degrees."""
    return float(stats.t.ppf(0.5 + 0.5 * level, degrees))


def sample_mean(
    values: Sequence[float], errors: Sequence[float], *, level: float = LEVEL
) -> SampleMean:
    """Average over independent samples.

    Parameters
    ----------
    values, errors : (n,) sequences of float
        Estimate of each sample and its standard error. If any error is nan, samples weigh
        equally and their scatter alone gives the interval.
    level : float

    Returns
    -------
    SampleMean

    Raises
    ------
    AnalysisError
        If there is no sample.

    Notes
    -----
    Between-sample variance of Paule and Mandel, J. Res. Natl. Bur. Stand. 87, 377 (1982),
    doi 10.6028/jres.087.022; interval of Hartung and Knapp, Stat. Med. 20, 1771 (2001),
    doi 10.1002/sim.791, with Student's t of n - 1. By chance samples can agree better than their
    own errors allow; the interval is never narrower than what these errors give (Wiksten et al.,
    Stat. Med. 35, 2503 (2016), doi 10.1002/sim.6879).
    """
    y, s = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    if len(y) == 0:
        raise AnalysisError("a mean over samples needs at least one sample")
    if len(y) == 1:
        half = student(level, math.inf) * float(s[0])
        return SampleMean(float(y[0]), half, math.nan, 1, math.inf, level)
    if not np.isfinite(s).all():
        s = np.zeros(len(y))
    between = between_variance(y, s**2)
    variances = s**2 + between
    degrees = len(y) - 1
    if not variances.all():
        # Equal values of unknown error say nothing of the error.
        return SampleMean(float(y.mean()), math.nan, 0.0, len(y), degrees, level)
    weights = 1.0 / variances
    mean = float(weights @ y / weights.sum())
    scatter = float(weights @ (y - mean) ** 2) / degrees
    half = max(
        student(level, degrees) * math.sqrt(scatter / weights.sum()),
        student(level, math.inf) * math.sqrt(1.0 / weights.sum()),
    )
    return SampleMean(mean, half, math.sqrt(between), len(y), degrees, level)


def between_variance(values: FloatArray, variances: FloatArray) -> float:
    """Return the variance between samples that makes their scatter what it should be.

    Parameters
    ----------
    values, variances : (n,) float arrays
        Estimates and their own variances; n at least 2.
    """
    degrees = len(values) - 1

    def excess(between: float) -> float:
        weights = 1.0 / (variances + between)
        mean = weights @ values / weights.sum()
        return float(weights @ (values - mean) ** 2) - degrees

    largest = float(((values - values.mean()) ** 2).sum()) / degrees
    if largest == 0.0 or (variances.all() and excess(0.0) <= 0.0):
        return 0.0
    if excess(largest) >= 0.0:  # samples of no error of their own, to round-off
        return largest
    return float(optimize.brentq(excess, 1e-12 * largest, largest, xtol=1e-12 * largest))


def mean_of_repeats(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """Average repeats of one and the same sample.

    Returns
    -------
    mean, standard_error : float
        Inverse-variance weights; the error is enlarged where the repeats scatter more than their
        errors allow, never reduced (Birge, Phys. Rev. 40, 207 (1932),
        doi 10.1103/PhysRev.40.207). With an unknown error among them, from their scatter alone.
    """
    y, s = np.asarray(values, dtype=float), np.asarray(errors, dtype=float)
    if len(y) == 1:
        return float(y[0]), float(s[0])
    if not (np.isfinite(s).all() and s.all()):
        return float(y.mean()), float(y.std(ddof=1) / math.sqrt(len(y)))
    weights = s**-2
    mean = float(weights @ y / weights.sum())
    birge = max(1.0, float(weights @ (y - mean) ** 2) / (len(y) - 1))
    return mean, math.sqrt(birge / weights.sum())
