"""Quantities, curves, figure and sentences of a series of runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.figures.arrhenius import arrhenius_figure
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.series.arrhenius import BOLTZMANN_EV_PER_KELVIN, Arrhenius
from analysis.series.committee import CommitteeSpread
from analysis.series.material import (
    Extrapolation,
    MaterialSeries,
    energy_name,
    material_series,
    subject,
)
from analysis.series.run_result import RunResult
from analysis.series.samples import SeriesPoint
from analysis.series.series_conclusions import ratio_words, series_statements


def series_findings(materials: Mapping[str, Sequence[RunResult]]) -> dict[str, Findings]:
    """Combine runs into materials.

    Parameters
    ----------
    materials : mapping of str to sequence of RunResult
        Runs by the name of their material, which ends the names of its quantities unless there
        is only one.

    Returns
    -------
    dict of str to Findings
        By topic: ``arrhenius`` (figure, curves, energies, extrapolation, sentences),
        ``temperatures`` (every quantity at every temperature), ``committee``.
    """
    several = len(materials) > 1
    series = [material_series(name if several else "", runs) for name, runs in materials.items()]
    lines, temperatures, committee = Findings(), Findings(), Findings()
    for material in series:
        end = f"_{material.name}" if material.name else ""
        lines.add(_lines(material, end))
        for name, points in material.points.items():
            temperatures.quantities += [
                replace(point.quantity, name=f"{name}_{point.temperature_kelvin:g}K{end}")
                for point in points
            ]
        committee.quantities += [_spread(spread, end) for spread in material.spreads]
        lines.statements += series_statements(material)
    if any(material.main("diffusion_coefficient_") for material in series):
        lines.figures["arrhenius"] = arrhenius_figure(series)
    return {"arrhenius": lines, "temperatures": temperatures, "committee": committee}


def arrhenius_curve(material: MaterialSeries, name: str) -> Curve:
    """Return the points of a quantity and the line of the solid with its prediction interval."""
    points, fit = material.points[name], material.fits.get(name)
    unit = points[0].quantity.unit
    kelvins = np.array([point.temperature_kelvin for point in points])
    line = np.full((len(points), 3), np.nan)
    if fit is not None:
        line = np.array([fit.value(float(kelvin), of_new_point=True) for kelvin in kelvins])
    end = f"_{material.name}" if material.name else ""
    return Curve(
        f"arrhenius_{name}{end}",
        {
            "temperature [K]": kelvins,
            "1000/T [1/K]": 1000.0 / kelvins,
            f"value [{unit}]": _column(points, "value"),
            f"low [{unit}]": np.where(_resolved(points), _column(points, "low"), np.nan),
            f"high [{unit}]": np.where(_resolved(points), _column(points, "high"), np.nan),
            f"upper bound [{unit}]": np.array([point.bound for point in points]),
            "samples [1]": np.array([float(point.n_samples) for point in points]),
            "runs [1]": np.array([float(point.n_runs) for point in points]),
            "melt [1]": np.array([float(point.melt) for point in points]),
            f"line [{unit}]": line[:, 0],
            f"line low [{unit}]": line[:, 1],
            f"line high [{unit}]": line[:, 2],
        },
    )


def _resolved(points: Sequence[SeriesPoint]) -> np.ndarray:
    return np.array([point.resolved for point in points])


def _column(points: Sequence[SeriesPoint], field: str) -> np.ndarray:
    return np.array([getattr(point.quantity, field) for point in points])


def _lines(material: MaterialSeries, end: str) -> Findings:
    findings = Findings()
    for name, points in material.points.items():
        if name.startswith("haven_ratio_"):
            continue
        curve = arrhenius_curve(material, name)
        findings.curves.append(curve)
        file = f"{curve.name}.csv"
        if name in material.fits:
            findings.quantities += _fit_quantities(name, material.fits[name], end, file)
        elif len(points) > 1:
            findings.quantities.append(_no_line(name, points, end, file))
        else:
            findings.skipped.append(
                Skipped(
                    energy_name(name) + end, f"one temperature, {points[0].temperature_kelvin:g} K"
                )
            )
        if name in material.melt_fits:
            findings.quantities += _fit_quantities(
                name, material.melt_fits[name], f"_melt{end}", file
            )
        if name in material.extrapolations:
            findings.quantities.append(
                _extrapolated(name, material.extrapolations[name], end, file)
            )
    return findings


def _fit_quantities(name: str, fit: Arrhenius, end: str, curve: str) -> list[Quantity]:
    energy, prefactor = fit.energy_ev, fit.log_prefactor
    span = f"{fit.ordinate} against 1/T, {fit.kelvins[0]:g} to {fit.kelvins[-1]:g} K"
    names = (energy_name(name) + end, f"prefactor_{subject(name)}{end}")
    unit = "cm^2/s" if fit.ordinate == "ln D" else "S K/cm"
    if not fit.has_interval:
        why = f"{fit.n_temperatures} temperatures give {energy.value:.3g} eV without an interval"
        reason = f"{why}; needs three ({span})"
        return [
            Quantity(each, math.nan, each_unit, status="unresolved", reason=reason, curve=curve)
            for each, each_unit in zip(names, ("eV", unit), strict=True)
        ]
    lower = BOLTZMANN_EV_PER_KELVIN * float(np.mean(fit.kelvins))
    reason = f"{span}, {fit.n_temperatures} temperatures, {_counted(fit)}; {bend_words(fit)}"
    if fit.ordinate == "ln(sigma T)":
        reason += f"; ln sigma would give about {lower:.2g} eV less"
    covariance = fit.covariance
    log_value, half = prefactor.value, prefactor.half_width
    return [
        Quantity(
            names[0],
            energy.value,
            "eV",
            energy.value - energy.half_width,
            energy.value + energy.half_width,
            fit.level,
            reason=reason,
            curve=curve,
        ),
        Quantity(
            names[1],
            math.exp(log_value),
            unit,
            math.exp(log_value - half),
            math.exp(min(log_value + half, 700.0)),
            fit.level,
            reason=f"{reason}; covariance of its logarithm with Ea {covariance[0, 1]:.3g} eV",
            curve=curve,
        ),
    ]


def _no_line(name: str, points: Sequence[SeriesPoint], end: str, curve: str) -> Quantity:
    solid = sum(point.resolved and not point.melt for point in points)
    melts = sum(point.melt for point in points)
    reason = f"{solid} of {len(points)} temperatures resolved"
    if melts:
        reason += f" and solid, {melts} are melts"
    return Quantity(
        energy_name(name) + end,
        math.nan,
        "eV",
        status="unresolved",
        reason=f"{reason}; a line needs two and an interval three",
        curve=curve,
    )


def _extrapolated(name: str, found: Extrapolation, end: str, curve: str) -> Quantity:
    fit = found.fit
    full = f"extrapolated_{name}_{found.kelvin:g}K{end}"
    unit = "cm^2/s" if fit.ordinate == "ln D" else "S/cm"
    span = f"line of {fit.kelvins[0]:g} to {fit.kelvins[-1]:g} K"
    if not fit.has_interval:
        reason = f"{span}: two temperatures give {found.value:.2g} {unit} without an interval"
        return Quantity(full, math.nan, unit, status="unresolved", reason=reason, curve=curve)
    reason = f"{span}, prediction interval, {_counted(fit)}; {bend_words(fit)}"
    if words := ratio_words(found):
        reason += f"; {words}"
    return Quantity(
        full, found.value, unit, found.low, found.high, fit.level, reason=reason, curve=curve
    )


def _spread(spread: CommitteeSpread, end: str) -> Quantity:
    kelvin = spread.temperature_kelvin
    where = "" if math.isnan(kelvin) else f"_{kelvin:g}K"
    if math.isnan(spread.p_value):
        verdict = "a statistical error is unknown"
    else:
        compared = "exceeds" if spread.exceeds_errors else "does not exceed"
        verdict = (
            f"it {compared} the statistical error {spread.statistical_error:.2g} {spread.unit} "
            f"(Q test, p = {spread.p_value:.2g})"
        )
    return Quantity(
        f"committee_spread_{spread.name}{where}{end}",
        spread.deviation,
        spread.unit,
        reason=f"standard deviation over {len(spread.values)} members about "
        f"{spread.mean:.3g}, range {spread.lowest:.3g} to {spread.highest:.3g}; {verdict}",
    )


def bend_words(fit: Arrhenius) -> str:
    """Return whether the points of a line curve."""
    bend = fit.curvature
    if not bend.tested:
        return "too few temperatures to test for curvature"
    tests = f"quadratic term p = {bend.p_value:.2g}, halves differ by {bend.halves_in_sd:.1f} sd"
    return f"curved: {tests}" if bend.flagged else f"no curvature seen ({tests})"


def _counted(fit: Arrhenius) -> str:
    if fit.n_samples == 1:
        return "one sample, whose spread to others is unknown"
    if len(fit.lines) == 1:
        return f"one line through means over {fit.n_samples} independent samples"
    return (
        f"mean over the lines of {fit.n_samples} independent samples, Student t of "
        f"{fit.n_samples - 1}"
    )
