"""A straight line through points with errors, its intervals, and whether the points curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray
from analysis.errors import AnalysisError
from analysis.series.random_effects import student

MIN_POINTS_FOR_INTERVAL = 3
CURVATURE_LEVEL = 0.05
# With the quadratic term at 5 %, halves at 2 sd flag 7 to 8 % of straight lines, at 2.5 sd 5.5 %.
MAX_HALVES_SD = 2.5


@dataclass(frozen=True)
class Line:
    """Weighted least squares of y = c0 + c1 x.

    Attributes
    ----------
    x, y : (n,) float arrays
        Sorted by x.
    errors : (n,) float array
        Standard errors of y; ones where `errors_known` is false.
    degrees : (n,) float array
        Degrees of freedom behind each error.
    errors_known : bool
        Whether the errors are known, or only the scatter about the line tells them.
    coefficients : (2,) float array
    inverse : (2, 2) float array
        Covariance of the coefficients that the errors alone give.
    scatter : float
        Chi-squared about the line over n - 2; nan for two points.
    """

    x: FloatArray
    y: FloatArray
    errors: FloatArray
    degrees: FloatArray
    errors_known: bool
    coefficients: FloatArray
    inverse: FloatArray
    scatter: float

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the coefficients, (2, 2), enlarged for lack of fit but never reduced."""
        if not self.errors_known:
            return self.inverse * self.scatter
        return self.inverse * (1.0 if math.isnan(self.scatter) else max(1.0, self.scatter))

    def value(self, row: FloatArray) -> float:
        """Return c0 row[0] + c1 row[1]."""
        return float(row @ self.coefficients)

    def standard_error(self, row: FloatArray, *, of_new_point: bool = False) -> float:
        """Return the standard error of `value`, enlarged for lack of fit but never reduced.

        For a new point the scatter that the errors do not explain is added.
        """
        extra = self._unexplained() if of_new_point else 0.0
        return math.sqrt(float(row @ self.covariance @ row) + extra)

    def half_width(self, row: FloatArray, level: float, *, of_new_point: bool = False) -> float:
        """Return half the interval of `value`; nan for two points.

        The wider of what the known errors give and of what the scatter about the line gives,
        each with its degrees of freedom. For a new point the scatter that the errors do not
        explain is added.
        """
        if len(self.x) < MIN_POINTS_FOR_INTERVAL:
            return math.nan
        variance = float(row @ self.inverse @ row)
        extra = self._unexplained() if of_new_point else 0.0
        by_scatter = student(level, len(self.x) - 2) * math.sqrt(variance * self.scatter + extra)
        if not self.errors_known:
            return by_scatter
        by_errors = student(level, self._degrees_of(row)) * math.sqrt(variance)
        return max(by_errors, by_scatter)

    def _unexplained(self) -> float:
        """Return the variance of a point about the line beyond its own error."""
        if math.isnan(self.scatter):
            return 0.0
        if not self.errors_known:
            return self.scatter
        return max(0.0, self.scatter - 1.0) * float((self.errors**2).mean())

    def _degrees_of(self, row: FloatArray) -> float:
        """Return effective degrees of freedom (Welch, Biometrika 34, 28 (1947), eq. 28)."""
        design = np.column_stack([np.ones_like(self.x), self.x])
        parts = ((row @ self.inverse @ design.T) / self.errors) ** 2
        return float(parts.sum() ** 2 / max(float((parts**2 / self.degrees).sum()), 1e-300))


@dataclass(frozen=True)
class Curvature:
    """Whether points bend away from a straight line.

    Attributes
    ----------
    p_value : float
        Of a quadratic term; nan where there are too few points to tell.
    halves_in_sd : float
        Difference between the slopes of the two halves in standard deviations; nan if untested.
    flagged : bool
    tested : bool
    """

    p_value: float
    halves_in_sd: float
    flagged: bool
    tested: bool


def fit_line(
    x: FloatArray, y: FloatArray, errors: FloatArray, degrees: FloatArray | None = None
) -> Line:
    """Fit a straight line.

    Parameters
    ----------
    x, y, errors : (n,) float arrays
        If all errors are nan, points weigh equally and their scatter tells the error.
    degrees : (n,) float array, optional
        Degrees of freedom behind each error; infinite by default.

    Raises
    ------
    AnalysisError
        If fewer than two different x are given, or some errors are known and others not.
    """
    order = np.argsort(x)
    x, y, errors = (np.asarray(column, dtype=float)[order] for column in (x, y, errors))
    degrees = np.full(len(x), np.inf) if degrees is None else np.asarray(degrees)[order]
    if len(np.unique(x)) < 2:
        raise AnalysisError(f"a line needs two different abscissas; found {x.tolist()}")
    known = np.isfinite(errors)
    if known.any() and not known.all():
        raise AnalysisError("some points have errors and others not; give all or none")
    errors = errors if known.all() else np.ones(len(x))
    coefficients, inverse, chi2 = _least_squares(x, y, errors, order=1)
    scatter = chi2 / (len(x) - 2) if len(x) > 2 else math.nan
    return Line(x, y, errors, degrees, bool(known.all()), coefficients, inverse, scatter)


def curvature(line: Line) -> Curvature:
    """Compare a line with a parabola, and the slopes of its two halves.

    Known errors are trusted if the residuals of the richer model agree with them; else its
    residuals are the error and the tests are F and t. Points without errors need one more.
    """
    n = len(line.x)
    if n < (4 if line.errors_known else 5):
        return Curvature(math.nan, math.nan, flagged=False, tested=False)
    _, _, straight = _least_squares(line.x, line.y, line.errors, order=1)
    _, _, bent = _least_squares(line.x, line.y, line.errors, order=2)
    scale, degrees = _residual_scale(line, bent, n - 3)
    # F of one and n degrees is t squared, which also knows infinite n.
    p_value = 2.0 * float(stats.t.sf(math.sqrt(max(straight - bent, 0.0) / scale), degrees))
    half = n // 2
    fits = [
        _least_squares(line.x[part], line.y[part], line.errors[part], order=1)
        for part in (slice(None, half), slice(half, None))
    ]
    scale, degrees = _residual_scale(line, fits[0][2] + fits[1][2], n - 4)
    error = math.sqrt(scale * (fits[0][1][1, 1] + fits[1][1][1, 1]))
    difference = abs(float(fits[0][0][1] - fits[1][0][1]))
    halves = difference / error if error > 0 else math.inf * (difference > 0)
    limit = max(MAX_HALVES_SD, student(1.0 - CURVATURE_LEVEL, degrees))
    flagged = p_value < CURVATURE_LEVEL or halves > limit
    return Curvature(p_value, halves, bool(flagged), tested=True)


def _residual_scale(line: Line, chi2: float, degrees: int) -> tuple[float, float]:
    """Return the variance scale of the errors and the degrees of freedom that it rests on."""
    if line.errors_known and (degrees == 0 or stats.chi2.sf(chi2, degrees) > CURVATURE_LEVEL):
        return 1.0, math.inf
    # Exact points would divide by zero.
    return max(chi2 / degrees, 1e-300), float(degrees)


def _least_squares(
    x: FloatArray, y: FloatArray, errors: FloatArray, *, order: int
) -> tuple[FloatArray, FloatArray, float]:
    """Return coefficients, their covariance from the errors alone, and chi-squared."""
    design = np.vander(x, order + 1, increasing=True) / errors[:, None]
    target = y / errors
    orthogonal, triangle = np.linalg.qr(design)
    inverse_triangle = np.linalg.inv(triangle)
    coefficients = inverse_triangle @ (orthogonal.T @ target)
    chi2 = float(((target - design @ coefficients) ** 2).sum())
    return coefficients, inverse_triangle @ inverse_triangle.T, chi2
