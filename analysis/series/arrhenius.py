"""Arrhenius lines: activation energy, prefactor and extrapolation over independent samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.constants import (
    BOLTZMANN_JOULE_PER_KELVIN,
    ELEMENTARY_CHARGE_COULOMB,
    FloatArray,
)
from analysis.errors import AnalysisError
from analysis.series.line import (
    MIN_POINTS_FOR_INTERVAL,
    Curvature,
    Line,
    curvature,
    fit_line,
)
from analysis.series.random_effects import LEVEL, SampleMean, sample_mean
from analysis.series.run_result import log_estimate
from analysis.series.samples import SeriesPoint

BOLTZMANN_EV_PER_KELVIN = BOLTZMANN_JOULE_PER_KELVIN / ELEMENTARY_CHARGE_COULOMB
Ordinate = Literal["ln D", "ln(sigma T)"]
# Ea as a combination of the coefficients of a line in 1/(kB T).
ENERGY_ROW = np.array([0.0, -1.0])


@dataclass(frozen=True)
class Arrhenius:
    """ln of D, or of sigma T, against 1/(kB T).

    Attributes
    ----------
    ordinate : {"ln D", "ln(sigma T)"}
    lines : tuple of Line
        x = 1/(kB T) in 1/eV. One for each sample where every sample has its own, else one
        through the means over samples.
    kelvins : tuple of float
        Temperatures of the points.
    n_samples : int
    curvature : Curvature
        Of the points of all samples together.
    level : float
    """

    ordinate: Ordinate
    lines: tuple[Line, ...]
    kelvins: tuple[float, ...]
    n_samples: int
    curvature: Curvature
    level: float = LEVEL

    @property
    def n_temperatures(self) -> int:
        """Number of temperatures."""
        return len(self.kelvins)

    @property
    def has_interval(self) -> bool:
        """Whether there are enough temperatures for one."""
        return all(len(line.x) >= MIN_POINTS_FOR_INTERVAL for line in self.lines)

    @property
    def energy_ev(self) -> SampleMean:
        """Activation energy, eV."""
        return self._over_samples(ENERGY_ROW)

    @property
    def log_prefactor(self) -> SampleMean:
        """Logarithm of the prefactor: of D0 in cm^2/s, or of sigma T in S K/cm."""
        return self._over_samples(np.array([1.0, 0.0]))

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the log prefactor and Ea (eV), (2, 2); nan where there is none.

        Of the mean over samples from the scatter between their lines (three samples or more),
        else from the errors of the lines.
        """
        signs = np.array([1.0, -1.0])
        n = len(self.lines)
        if n >= MIN_POINTS_FOR_INTERVAL:
            rows = np.array([line.coefficients * signs for line in self.lines])
            return np.asarray(np.cov(rows, rowvar=False) / n)
        mean = np.sum([line.covariance for line in self.lines], axis=0) / n**2
        return np.asarray(mean * np.outer(signs, signs))

    def log_value(self, kelvin: float, *, of_new_point: bool = False) -> SampleMean:
        """Return the ordinate at a temperature, with the interval of the line or of a new point."""
        row = np.array([1.0, 1.0 / (BOLTZMANN_EV_PER_KELVIN * kelvin)])
        return self._over_samples(row, of_new_point=of_new_point)

    def value(self, kelvin: float, *, of_new_point: bool = False) -> tuple[float, float, float]:
        """Return D in cm^2/s, or sigma in S/cm, at a temperature, and its limits."""
        mean = self.log_value(kelvin, of_new_point=of_new_point)
        scale = 1.0 if self.ordinate == "ln D" else 1.0 / kelvin
        limits = (mean.value, mean.value - mean.half_width, mean.value + mean.half_width)
        value, low, high = (scale * _exp(limit) for limit in limits)
        return value, low, high

    def _over_samples(self, row: FloatArray, *, of_new_point: bool = False) -> SampleMean:
        values = [line.value(row) for line in self.lines]
        if len(self.lines) == 1:
            half = self.lines[0].half_width(row, self.level, of_new_point=of_new_point)
            return SampleMean(values[0], half, math.nan, 1, math.inf, self.level)
        errors = [line.standard_error(row, of_new_point=of_new_point) for line in self.lines]
        return sample_mean(values, errors, level=self.level)


def fit_arrhenius(
    points: Sequence[SeriesPoint], ordinate: Ordinate, *, level: float = LEVEL
) -> Arrhenius:
    """Fit the resolved points.

    Parameters
    ----------
    points : sequence of SeriesPoint
        Of D for "ln D", of sigma for "ln(sigma T)". Unresolved ones are left out, and so are
        points of unknown error where others have one.
    ordinate : {"ln D", "ln(sigma T)"}
    level : float

    Returns
    -------
    Arrhenius

    Raises
    ------
    AnalysisError
        If fewer than two temperatures are resolved.

    Notes
    -----
    ln D = ln D0 - Ea/(kB T). Where every sample has a line of its own, Ea, ln D0 and every
    extrapolated value are means over the samples, see `random_effects.sample_mean`: what is
    common to all temperatures of a sample then does not count as an error of Ea.
    """
    resolved = [point for point in points if point.resolved]
    errors = [log_estimate(point.quantity).error for point in resolved]
    if any(math.isfinite(error) for error in errors):
        known = [math.isfinite(error) for error in errors]
        resolved = [point for point, has in zip(resolved, known, strict=True) if has]
    if len(resolved) < 2:
        raise AnalysisError(
            f"{len(resolved)} resolved temperature(s); a line needs two and an interval three"
        )
    pooled = _pooled_line(resolved, ordinate)
    lines = _sample_lines(resolved, ordinate)
    return Arrhenius(
        ordinate,
        lines or (pooled,),
        tuple(point.temperature_kelvin for point in resolved),
        len({sample for point in resolved for sample in point.by_sample}),
        _curvature(lines, pooled),
        level,
    )


def _pooled_line(points: Sequence[SeriesPoint], ordinate: Ordinate) -> Line:
    """Return the line through means over samples.

    The variance between samples is pooled over temperatures: two or three samples at one
    temperature would give it too badly to weigh points by.
    """
    logs = [list(point.by_sample.values()) for point in points]
    means = [sample_mean([x.value for x in own], [x.error for x in own]) for own in logs]
    several = [mean for mean in means if mean.n_samples > 1]
    between = 0.0
    if several:
        degrees = sum(mean.n_samples - 1 for mean in several)
        between = sum((mean.n_samples - 1) * mean.between**2 for mean in several) / degrees
    known = all(math.isfinite(x.error) for own in logs for x in own)
    errors = [
        math.sqrt(sum((x.error**2 if known else 0.0) + between for x in own)) / len(own)
        for own in logs
    ]
    return _line(
        [point.temperature_kelvin for point in points],
        [mean.value for mean in means],
        errors if known or between > 0.0 else [math.nan] * len(points),
        ordinate,
        [max(mean.n_samples - 1, 1) if several else math.inf for mean in means],
    )


def _sample_lines(points: Sequence[SeriesPoint], ordinate: Ordinate) -> tuple[Line, ...]:
    """Return a line for each sample; none unless there are several and all have enough points."""
    samples = sorted({sample for point in points for sample in point.by_sample})
    lines = []
    for sample in samples:
        own = [point for point in points if sample in point.by_sample]
        if len(samples) < 2 or len(own) < MIN_POINTS_FOR_INTERVAL:
            return ()
        logs = [point.by_sample[sample] for point in own]
        if len({math.isnan(log.error) for log in logs}) > 1:
            return ()
        kelvins = [point.temperature_kelvin for point in own]
        lines.append(
            _line(kelvins, [log.value for log in logs], [log.error for log in logs], ordinate)
        )
    return tuple(lines)


def _line(
    kelvins: Sequence[float],
    logs: Sequence[float],
    errors: Sequence[float],
    ordinate: Ordinate,
    degrees: Sequence[float] | None = None,
) -> Line:
    temperature = np.array(kelvins)
    shift = 0.0 if ordinate == "ln D" else np.log(temperature)
    return fit_line(
        1.0 / (BOLTZMANN_EV_PER_KELVIN * temperature),
        np.array(logs) + shift,
        np.array(errors),
        None if degrees is None else np.array(degrees),
    )


def _curvature(lines: Sequence[Line], pooled: Line) -> Curvature:
    """Test the mean over samples; where samples share a ladder, with their offsets taken out."""
    if not lines or any(not np.array_equal(line.x, pooled.x) for line in lines):
        return curvature(pooled)
    known = all(line.errors_known for line in lines)
    y = np.mean([line.y for line in lines], axis=0)
    variance = np.mean([line.errors**2 for line in lines], axis=0) / len(lines)
    return curvature(fit_line(pooled.x, y, np.sqrt(variance) if known else np.full(len(y), np.nan)))


def _exp(x: float) -> float:
    """Return exp(x), inf beyond the largest number."""
    return math.exp(x) if x < 700.0 else math.inf


def ordinate_of(name: str) -> Ordinate:
    """Return what is drawn against 1/T for a quantity."""
    return "ln(sigma T)" if name.startswith("conductivity_") else "ln D"
