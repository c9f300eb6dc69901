"""Find where an MSD is diffusive: a straight line that local slopes and their errors accept.

The slope at long times, free of memory, is that of `memory.averaged_slope`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray, IntArray
from analysis.motion.msd import MeanSquaredDisplacement

# Local slope of ln(MSD - cage) against ln t that counts as diffusive.
SLOPE_TOLERANCE = 0.1
# A slope known less well than this cannot tell diffusion from a cage.
MAX_SLOPE_ERROR = 0.2
# Shortest diffusive window, as a ratio of times: half a decade.
MIN_WINDOW_RATIO = 10**0.5
# Local slopes are taken between lags this far apart.
SLOPE_BASELINE_RATIO = 2.0
# The fit starts where the mean ion has moved by one hop, past the correlation of a hop with the
# next, or with the last half decade if that comes first.
ONE_HOP_ANGSTROM = 3.0
# The correlation between ions is averaged over lags down to this fraction of the window start.
CORRELATION_RATIO = 4
# Longest lag used: fewer independent displacements than this say nothing of the slope.
MIN_INDEPENDENT = 100
# Relative eigenvalue floor of the correlation matrix of the MSD, against noise in its estimate.
EIGENVALUE_FLOOR = 1.0e-3


@dataclass(frozen=True)
class SlopeFit:
    """Straight line through the MSD between two lags.

    Attributes
    ----------
    lags : (k,) int array
        Lags fitted, in frames.
    start_ps, stop_ps : float
        First and last lag.
    slope, slope_error : float
        Slope and its standard error, Angstrom^2/ps.
    intercept : float
        Value at zero lag, the size of the cage, Angstrom^2.
    degrees_of_freedom : float
        Of the standard error: independently moving groups of atoms less one.
    exponent, exponent_error : float
        d ln(MSD - cage) / d ln t across the window and its standard error; nan if the MSD does
        not rise above the cage.
    local_times_ps, local_exponents, local_errors : (m,) float arrays
        The same over a factor of two in time.
    correlation : float
        Factor by which moving together enlarged the variance; 1 for independent atoms.
    """

    lags: IntArray
    start_ps: float
    stop_ps: float
    slope: float
    slope_error: float
    intercept: float
    degrees_of_freedom: float
    exponent: float
    exponent_error: float
    local_times_ps: FloatArray
    local_exponents: FloatArray
    local_errors: FloatArray
    correlation: float

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the slope at confidence `level`, Angstrom^2/ps."""
        half = stats.t.ppf(0.5 + 0.5 * level, self.degrees_of_freedom) * self.slope_error
        return self.slope - half, self.slope + half

    def objection(self) -> str:
        """Return why the window is not diffusive, or "" if it is."""
        if not np.isfinite(self.exponent):
            return "the MSD does not rise above the cage"
        if self.exponent_error > MAX_SLOPE_ERROR:
            return (
                f"log slope {self.exponent:.2f} known only to {self.exponent_error:.2f}, "
                f"needs {MAX_SLOPE_ERROR}"
            )
        slopes = np.append(self.local_exponents, self.exponent)
        errors = np.append(self.local_errors, self.exponent_error)
        excess = np.abs(slopes - 1.0) - 1.96 * errors
        worst = int(np.argmax(np.where(np.isfinite(excess), excess, np.inf)))
        if not excess[worst] <= SLOPE_TOLERANCE:
            return (
                f"log slope {slopes[worst]:.2f} +- {errors[worst]:.2f}, "
                f"outside {1 - SLOPE_TOLERANCE:.1f} to {1 + SLOPE_TOLERANCE:.1f}"
            )
        if self.interval(0.95)[0] <= 0:
            return "the slope is not distinguished from zero"
        return ""


def diffusive_window(msd: MeanSquaredDisplacement) -> tuple[SlopeFit | None, str]:
    """Find the window, ending at the longest usable lag, in which motion is diffusive.

    Returns
    -------
    fit : SlopeFit or None
        Fit in that window, or in the last half decade if no window is diffusive; None if the
        trajectory is too short for any window.
    objection : str
        "" if the window is diffusive, otherwise why not.
    """
    if msd.n_atoms < 2:
        return None, "a single atom gives no error estimate"
    usable = usable_lags(msd)
    lags = msd.sample_lags[usable]
    # One start, and later ones only where it fails: choosing the start by the slope itself would
    # select on noise and cost the interval its coverage.
    starts = np.flatnonzero(MIN_WINDOW_RATIO * lags <= lags[-1]) if len(lags) else lags
    starts = starts[starts + 3 <= len(lags)]
    if not len(starts):
        return None, "too few frames for half a decade of lag times"
    # Of a hop in any direction, this is the part along those that the MSD is projected onto.
    one_hop = ONE_HOP_ANGSTROM**2 * msd.dimensions / 3.0
    moved = np.flatnonzero(msd.msd[lags[starts]] >= one_hop)
    fit, objection = None, ""
    for first in starts[moved if len(moved) else [-1]]:
        fit = fit_slope(msd, usable[first:])
        objection = fit.objection()
        if not objection:
            break
    return fit, objection


def fit_slope(msd: MeanSquaredDisplacement, chosen: IntArray) -> SlopeFit:
    """Fit slope and intercept by generalised least squares.

    Parameters
    ----------
    msd : MeanSquaredDisplacement
    chosen : (k,) int array
        Indices into `msd.sample_lags`, at least three.

    Returns
    -------
    SlopeFit

    Notes
    -----
    The weights follow from the covariance of the MSD at lags i <= j, var(r^2)_i / n_j with n_j
    independent displacements at lag j (McCluskey et al., J. Chem. Theory Comput. 21, 79 (2025),
    doi 10.1021/acs.jctc.4c01249). That covariance is exact only for Brownian motion and overlapping
    origins make it too large, so the error of the slope is not taken from it: the slope is a fixed
    linear combination of MSD values, hence a mean over atoms, and its variance is the observed
    variance between atoms over their number (the sandwich form; White, Econometrica 48, 817 (1980),
    doi 10.2307/1912934). Where atoms move together that variance is enlarged by the correlation
    measured at lags up to the first, if it exceeds 1 significantly.
    """
    lags = msd.sample_lags[chosen]
    times = lags * msd.frame_interval_ps
    atoms = msd.atom_msd[:, chosen]
    mean = atoms.mean(axis=0)
    weights = _gls_weights(times, msd.variance[chosen], msd.n_independent[chosen])
    slope, intercept = weights @ mean
    correlation = correlation_between_ions(msd, int(chosen[0]))
    covariance = np.atleast_2d(np.cov(atoms, rowvar=False)) / len(atoms) * correlation

    # A cage cannot be negative; a negative intercept is noise or ballistic motion.
    cage_weights = weights[1] if intercept > 0 else np.zeros(len(chosen))
    pairs = [
        (i, int(np.searchsorted(lags, SLOPE_BASELINE_RATIO * lags[i])))
        for i in range(len(lags))
        if SLOPE_BASELINE_RATIO * lags[i] <= lags[-1]
    ]
    local = [_exponent(i, j, times, mean, cage_weights, covariance) for i, j in pairs]
    exponent, exponent_error = _exponent(0, len(lags) - 1, times, mean, cage_weights, covariance)
    return SlopeFit(
        lags=lags,
        start_ps=float(times[0]),
        stop_ps=float(times[-1]),
        slope=float(slope),
        slope_error=float(np.sqrt(weights[0] @ covariance @ weights[0])),
        intercept=float(intercept),
        degrees_of_freedom=max(len(atoms) / correlation - 1.0, 1.0),
        exponent=exponent,
        exponent_error=exponent_error,
        local_times_ps=np.array([np.sqrt(times[i] * times[j]) for i, j in pairs]),
        local_exponents=np.array([value for value, _ in local]),
        local_errors=np.array([error for _, error in local]),
        correlation=correlation,
    )


def usable_lags(msd: MeanSquaredDisplacement) -> IntArray:
    """Return which sample lags have two origins and enough independent displacements."""
    lags = msd.sample_lags
    longest = (len(msd.times_ps) - 1) / 2
    return np.flatnonzero((lags <= longest) & (msd.n_independent >= MIN_INDEPENDENT))


def _gls_weights(times: FloatArray, variance: FloatArray, n_independent: IntArray) -> FloatArray:
    order = np.arange(len(times))
    shorter = np.minimum(order[:, None], order[None, :])
    longer = np.maximum(order[:, None], order[None, :])
    # Weights do not depend on the unit of the variance. One of zero, of identical atoms or of
    # atoms that stand still, must still leave a positive definite matrix.
    largest = float(variance.max())
    variance = np.maximum(variance / largest, 1e-12) if largest > 0 else np.ones_like(variance)
    sigma = variance[shorter] / n_independent[longer]
    scale = np.sqrt(np.diag(sigma))
    values, vectors = np.linalg.eigh(sigma / np.outer(scale, scale))
    values = np.maximum(values, EIGENVALUE_FLOOR * values.max())
    inverse = (vectors / values) @ vectors.T
    design = np.stack([times, np.ones_like(times)], axis=1) / scale[:, None]
    projected = design.T @ inverse
    return np.linalg.solve(projected @ design, projected) / scale


def _exponent(
    i: int,
    j: int,
    times: FloatArray,
    mean: FloatArray,
    cage_weights: FloatArray,
    covariance: FloatArray,
) -> tuple[float, float]:
    """Return d ln(MSD - cage) / d ln t between points i and j and its standard error."""
    early, late = mean[[i, j]] - cage_weights @ mean
    if early <= 0 or late <= 0:
        return np.nan, np.nan
    span = np.log(times[j] / times[i])
    gradient = -cage_weights / late + cage_weights / early
    gradient[j] += 1.0 / late
    gradient[i] -= 1.0 / early
    gradient /= span
    error = np.sqrt(max(float(gradient @ covariance @ gradient), 0.0))
    return float(np.log(late / early) / span), error


def correlation_between_ions(msd: MeanSquaredDisplacement, index: int) -> float:
    """Return the factor by which moving together enlarges the variance of the MSD.

    Measured at sample lags up to `index`; 1 where it does not exceed 1 significantly.
    """
    lags = msd.sample_lags
    # Lags a little before the window: still past vibration, and seen several times more often.
    near = (lags <= lags[index]) & (CORRELATION_RATIO * lags >= lags[index])
    near &= np.isfinite(msd.correlation)
    if not near.any():
        return 1.0
    intervals = msd.n_independent[near] / msd.n_atoms
    value = float(np.average(msd.correlation[near], weights=intervals))
    significant = 1.0 + 1.645 * np.sqrt(2.0 / (intervals.max() - 1))
    return value if value > significant else 1.0
