"""Arrhenius figure: points, bounds, lines and their prediction bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, panels, styled
from analysis.series.arrhenius import Arrhenius
from analysis.series.material import ROOM_TEMPERATURE_KELVIN, Extrapolation, MaterialSeries
from analysis.series.samples import DIFFUSION, SeriesPoint

MARKERS = ("o", "s", "^", "D", "v", "P")
TICKS_KELVIN = (250, 300, 350, 400, 500, 600, 700, 800, 1000, 1300, 2000)


@styled
def arrhenius_figure(materials: Sequence[MaterialSeries]) -> Figure:
    """Draw D, and sigma T where known, of every material against 1000/T.

    Returns PNG bytes. Points with intervals; bounds are arrows downwards; melts are hollow. A line
    is full where it was fitted and dashed where it is continued, with its prediction band.
    """
    names = [
        [material.main(DIFFUSION) for material in materials],
        [material.main_conductivity() for material in materials],
    ]
    shown = [row for row in names if any(row)]
    figure, axes = panels(1, len(shown), width=4.2, height=3.9)
    for axis, row in zip(axes, shown, strict=True):
        for n, (material, name) in enumerate(zip(materials, row, strict=True)):
            if name is not None:
                _draw(axis, material, name, COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)])
        conducting = any(name is not None and not name.startswith(DIFFUSION) for name in row)
        axis.set_ylabel(r"$\sigma T$ (S K/cm)" if conducting else "D (cm$^2$/s)")
        _finish(axis)
    return figure


def _draw(axis: Any, material: MaterialSeries, name: str, colour: str, marker: str) -> None:
    points = material.points[name]
    label = material.name or _words(name)
    for melt in (False, True):
        chosen = [point for point in points if point.melt is melt]
        known = [point for point in chosen if point.resolved]
        face = "white" if melt else colour
        shown = f"{label}, melt" if melt else label
        if known:
            x, y, arms = _coordinates(known, name)
            axis.errorbar(
                x, y, yerr=arms, fmt=marker, color=colour, mfc=face, ms=5, lw=1.0, capsize=2,
                zorder=3, label=shown,
            )  # fmt: skip
        bounds = [point for point in chosen if np.isfinite(point.bound)]
        if bounds:
            _draw_bounds(axis, bounds, name, colour, f"{shown}, bound")
    continued = material.extrapolations.get(name)
    if continued is not None and continued.known is not None and continued.known.resolved:
        _draw_without(axis, continued, label)
    for fits, melt in ((material.fits, False), (material.melt_fits, True)):
        if name in fits:
            _draw_line(axis, fits[name], points, colour, melt)


def _coordinates(points: Sequence[SeriesPoint], name: str) -> tuple[Any, Any, Any]:
    """Return 1000/T, ordinates and the arms of their intervals; an unknown arm is zero."""
    kelvins = np.array([point.temperature_kelvin for point in points])
    scale = _scale(name, kelvins)
    value, low, high = (
        scale * np.array([getattr(point.quantity, field) for point in points])
        for field in ("value", "low", "high")
    )
    arms = np.nan_to_num(np.array([value - np.maximum(low, 1e-3 * value), high - value]))
    return 1000.0 / kelvins, value, arms


def _draw_bounds(
    axis: Any, points: Sequence[SeriesPoint], name: str, colour: str, label: str
) -> None:
    kelvins = np.array([point.temperature_kelvin for point in points])
    y = _scale(name, kelvins) * np.array([point.bound for point in points])
    axis.errorbar(
        1000.0 / kelvins, y, yerr=0.55 * y, uplims=True, fmt="_", color=colour, ms=9,
        mew=1.2, lw=1.0, zorder=3, label=label,
    )  # fmt: skip


def _draw_line(
    axis: Any, fit: Arrhenius, points: Sequence[SeriesPoint], colour: str, melt: bool
) -> None:
    lowest = min(point.temperature_kelvin for point in points)
    start = fit.kelvins[0] if melt else min(lowest, ROOM_TEMPERATURE_KELVIN)
    inverse = np.linspace(1.0 / fit.kelvins[-1], 1.0 / start, 80)
    found = np.array([fit.value(1.0 / each, of_new_point=True) for each in inverse])
    if fit.ordinate != "ln D":
        found = found / inverse[:, None]
    inside = inverse <= 1.0 / fit.kelvins[0] * (1 + 1e-9)
    style = ":" if melt else "-"
    axis.plot(1000 * inverse[inside], found[inside, 0], style, color=colour, lw=1.2, zorder=2)
    # Of two temperatures nobody knows how far off the line is elsewhere.
    if fit.has_interval:
        axis.plot(1000 * inverse[~inside], found[~inside, 0], "--", color=colour, lw=0.9, zorder=2)
        axis.fill_between(
            1000 * inverse, found[:, 1], found[:, 2], color=colour, alpha=0.13, lw=0, zorder=1
        )


def _draw_without(axis: Any, continued: Extrapolation, label: str) -> None:
    """Draw the line that knows nothing of the point it is compared with."""
    inverse = np.linspace(1.0 / continued.fit.kelvins[-1], 1.0 / continued.kelvin, 80)
    found = np.array([continued.fit.value(1.0 / each)[0] for each in inverse])
    if continued.fit.ordinate != "ln D":
        found = found / inverse
    above = f"{label}, line above {continued.kelvin:g} K"
    axis.plot(1000 * inverse, found, "--", color="0.45", lw=1.0, zorder=2, label=above)


def _finish(axis: Any) -> None:
    axis.set_yscale("log")
    axis.set_xlabel("1000/T (1/K)")
    # A wide prediction band must not squeeze the points.
    drawn = np.concatenate([_heights(line) for line in axis.get_lines()])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if len(drawn):
        axis.set_ylim(drawn.min() / 30.0, drawn.max() * 30.0)
    low, high = axis.get_xlim()
    top = axis.twiny()
    top.spines["top"].set_visible(True)
    ticks: list[int] = []
    for kelvin in TICKS_KELVIN:
        apart = not ticks or 1000.0 / ticks[-1] - 1000.0 / kelvin > 0.07 * (high - low)
        if low <= 1000.0 / kelvin <= high and apart:
            ticks.append(kelvin)
    top.set_xlim(low, high)
    top.set_xticks([1000.0 / kelvin for kelvin in ticks], [str(kelvin) for kelvin in ticks])
    top.set_xlabel("T (K)")
    axis.legend(loc="upper right")


def _heights(line: Any) -> Any:
    return np.asarray(line.get_ydata(), dtype=float)


def _scale(name: str, kelvins: Any) -> Any:
    return np.ones(len(kelvins)) if name.startswith(DIFFUSION) else kelvins


def _words(name: str) -> str:
    if name.startswith(DIFFUSION):
        return name.removeprefix(DIFFUSION).replace("_", " ")
    kind = name.removeprefix("conductivity_")
    return (
        kind.replace("nernst_einstein", "Nernst-Einstein,")
        .replace("collective", "collective,")
        .replace("_", " ")
    )
