"""When a difference from one AIMD run means something: limits against statistical floors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import integrate, stats

from analysis.constants import FloatArray
from mlip.validation.finding import Verdict

LEVEL = 0.95


def scatter_floor(values: Sequence[float]) -> float:
    """Return how far one more run of the same kind may lie from the mean of these.

    The half width of the 95 % prediction interval, t s sqrt(1 + 1/n), of a normal sample
    (Hahn and Meeker, Statistical Intervals, section 4.2).

    Parameters
    ----------
    values : sequence of float
        One number from each replica.

    Returns
    -------
    float
        Infinite for fewer than two values.
    """
    n = len(values)
    if n < 2:
        return math.inf
    spread = float(np.std(values, ddof=1)) * math.sqrt(1.0 + 1.0 / n)
    return float(stats.t.ppf(0.5 + 0.5 * LEVEL, n - 1)) * spread


def distance_floor(values: Sequence[float]) -> float:
    """Return how far one more run may lie from the others, from distances of each to the rest.

    One-sided 95 % prediction bound, at least the largest distance seen.
    """
    n = len(values)
    if n < 2:
        return math.inf
    spread = float(np.std(values, ddof=1)) * math.sqrt(1.0 + 1.0 / n)
    bound = float(np.mean(values) + stats.t.ppf(LEVEL, n - 1) * spread)
    return max(bound, max(values))


def judge_difference(difference: float, limit: float, floor: float) -> Verdict:
    """Judge a signed difference.

    Returns
    -------
    {'pass', 'fail', 'not assessed'}
        'fail' beyond both limit and floor; 'pass' within the limit if the floor is too, so that
        a difference of the limit would have been seen; otherwise the runs are too short.
    """
    if abs(difference) > limit and abs(difference) > floor:
        return "fail"
    if abs(difference) <= limit and floor <= limit:
        return "pass"
    return "not assessed"


def judge_distance(distance: float, limit: float, floor: float) -> Verdict:
    """Judge a distance, which noise can only enlarge: within the limit it passes."""
    if distance <= limit:
        return "pass"
    return "fail" if distance > floor else "not assessed"


def spectrum_distance(x: FloatArray, one: FloatArray, other: FloatArray) -> float:
    """Return the share of two spectra that does not overlap: 0 if equal, 1 if apart.

    Half the integral of |a - b| with both integrals made 1 (the total variation distance).

    Parameters
    ----------
    x, one, other : (K,) float arrays
        Common abscissa and the two spectra.
    """
    a = one / integrate.trapezoid(one, x)
    b = other / integrate.trapezoid(other, x)
    return 0.5 * float(integrate.trapezoid(np.abs(a - b), x))


def rdf_r_factor(r_angstrom: FloatArray, one: FloatArray, other: FloatArray) -> float:
    """Return the rms difference of r g(r) relative to the rms of `one`.

    Wright's goodness of fit R_chi of T(r): J. Non-Cryst. Solids 159, 264 (1993),
    doi 10.1016/0022-3093(93)90232-M. A pair that is nowhere within range has no factor (nan).
    """
    size = float(np.square(r_angstrom * one).sum())
    if size == 0.0:
        return math.nan
    return math.sqrt(float(np.square(r_angstrom * (one - other)).sum()) / size)


def leave_one_out(curves: Sequence[FloatArray]) -> list[tuple[FloatArray, FloatArray]]:
    """Return each curve with the mean of the others."""
    stack = np.array(curves)
    total = stack.sum(axis=0)
    return [(curve, (total - curve) / (len(stack) - 1)) for curve in stack]
