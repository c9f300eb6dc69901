"""Figures of distributions of displacements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.constants import FloatArray
from analysis.displacements.displacement_errors import Spread
from analysis.displacements.non_gaussian import NonGaussian
from analysis.displacements.self_scattering import RELAXED, SelfScattering
from analysis.displacements.van_hove_distinct import VanHoveDistinct
from analysis.displacements.van_hove_self import VanHoveSelf
from analysis.figures.style import COLOURS, STYLES, panels, styled
from analysis.results import Quantity

MAX_GROUP_LAGS = 4
# Bins beyond this share of the displacements are not drawn.
DRAWN_SHARE = 0.999
# Errors wider than this many times the highest value would hide all that is known.
MAX_RELATIVE_HALF = 1.5


@styled
def non_gaussian_figure(
    curves: Sequence[NonGaussian], peaks: Sequence[tuple[Quantity, Quantity]], label: str
) -> Figure:
    """Draw alpha2 of every group with its 95 % band and, where resolved, its peak.

    Returns PNG bytes.
    """
    figure, axes = panels(1, 1, width=4.2, height=3.2)
    axis = axes[0]
    for n, (curve, (time, height)) in enumerate(zip(curves, peaks, strict=True)):
        colour = COLOURS[n % len(COLOURS)]
        _band(axis, curve.times_ps, curve.alpha2, curve.spread, colour, curve.group or label)
        if time.status == "ok" and height.status == "ok":
            axis.errorbar(
                [time.value],
                [height.value],
                xerr=[[time.value - time.low], [time.high - time.value]],
                yerr=[[height.value - height.low], [height.high - height.value]],
                fmt="o",
                color="black",
                markersize=3,
                linewidth=0.8,
            )
    axis.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
    axis.set_xscale("log")
    axis.set_ylim(*_limits([curve.alpha2 for curve in curves], [c.spread for c in curves]))
    axis.set_xlabel("time (ps)")
    axis.set_ylabel(r"non-Gaussian parameter $\alpha_2$")
    axis.legend(loc="best")
    return figure


@styled
def van_hove_self_figure(curves: Sequence[VanHoveSelf], longest_short_ps: float) -> Figure:
    """Draw the self part, short lags left and long ones right, with Gaussians of the same <r^2>.

    Returns PNG bytes.
    """
    short = [curve for curve in curves if curve.time_ps <= longest_short_ps * (1 + 1e-6)]
    long = [curve for curve in curves if curve not in short]
    shown = [part for part in (short, long) if part]
    figure, axes = panels(1, len(shown), width=3.6, height=3.2)
    for axis, part in zip(axes, shown, strict=True):
        for n, curve in enumerate(part):
            _distances(axis, curve, COLOURS[n % len(COLOURS)], f"{curve.time_ps:.4g} ps")
        _finish_distances(axis)
    return figure


@styled
def group_van_hove_self_figure(curves: Sequence[VanHoveSelf]) -> Figure:
    """Draw the self part of every group, a panel for each of at most four lags.

    Returns PNG bytes.
    """
    times = sorted({curve.time_ps for curve in curves})
    if len(times) > MAX_GROUP_LAGS:
        picked = np.round(np.linspace(0, len(times) - 1, MAX_GROUP_LAGS)).astype(int)
        times = [times[n] for n in picked]
    groups = list(dict.fromkeys(curve.group for curve in curves))
    columns = min(2, len(times))
    rows = -(-len(times) // columns)
    figure, axes = panels(rows, columns, width=3.4, height=2.7)
    for axis, time in zip(axes, times, strict=False):
        for curve in curves:
            if curve.time_ps == time:
                colour = COLOURS[groups.index(curve.group) % len(COLOURS)]
                _distances(axis, curve, colour, curve.group)
        axis.set_title(f"{time:.4g} ps", fontsize=9)
        _finish_distances(axis)
    for axis in axes[len(times) :]:
        axis.set_visible(False)
    return figure


@styled
def van_hove_distinct_figure(pairs: Sequence[tuple[str, Sequence[VanHoveDistinct]]]) -> Figure:
    """Draw the distinct part of each pair of species in a panel.

    Returns PNG bytes. Colours tell lags apart, or with groups groups, and line styles then lags.
    """
    columns = 2 if len(pairs) == 4 else min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, axes = panels(rows, columns, width=3.1, height=2.6)
    for axis, (title, curves) in zip(axes, pairs, strict=False):
        groups = list(dict.fromkeys(curve.group for curve in curves))
        times = sorted({curve.time_ps for curve in curves})
        if len(groups) > 1 and len(times) > 2:
            times = [times[0], times[-1]]
        for curve in curves:
            if curve.time_ps not in times:
                continue
            group, time = groups.index(curve.group), times.index(curve.time_ps)
            lag = f"{curve.time_ps:.4g} ps"
            colour, style = (group, time) if len(groups) > 1 else (time, 0)
            axis.plot(
                curve.r_angstrom,
                curve.ratio,
                color=COLOURS[colour % len(COLOURS)],
                linestyle=STYLES[style % len(STYLES)],
                linewidth=1.0,
                label=f"{curve.group}, {lag}" if len(groups) > 1 else lag,
            )
        axis.axhline(1.0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_title(title, fontsize=9)
        axis.set_xlim(0, curves[0].edges_angstrom[-1])
        axis.set_ylim(bottom=0)
        axis.set_xlabel("r (Å)")
        axis.set_ylabel(r"$G_d(r, t) / \rho$")
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    # All panels have the same lines; one legend below them hides none.
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 2 * columns))
    return figure


@styled
def self_scattering_figure(curves: Sequence[SelfScattering]) -> Figure:
    """Draw F_s with its 95 % band; a panel for each q, with the groups in it.

    Returns PNG bytes. Without groups all q share a panel.
    """
    groups = list(dict.fromkeys(curve.group for curve in curves))
    values = sorted({curve.q_per_angstrom for curve in curves})
    divided = len(groups) > 1
    figure, axes = panels(1, len(values) if divided else 1, width=3.2, height=3.0)
    for curve in curves:
        q = values.index(curve.q_per_angstrom)
        number = groups.index(curve.group) if divided else q
        name = curve.group if divided else f"q = {curve.q_per_angstrom:g} Å$^{{-1}}$"
        axis = axes[q] if divided else axes[0]
        colour = COLOURS[number % len(COLOURS)]
        _band(axis, curve.times_ps, curve.values, curve.spread, colour, name)
        if divided:
            axis.set_title(f"q = {curve.q_per_angstrom:g} Å$^{{-1}}$", fontsize=9)
    for axis in axes:
        axis.axhline(RELAXED, color="0.5", linestyle=":", linewidth=0.9)
        axis.set_xscale("log")
        axis.set_ylim(min(0.0, axis.get_ylim()[0]), 1.05)
        axis.set_xlabel("time (ps)")
        axis.set_ylabel(r"$F_s(q, t)$")
        axis.legend(loc="best")
    return figure


def _band(
    axis: Any, times: FloatArray, values: FloatArray, spread: Spread, colour: str, name: str
) -> None:
    half = spread.half_interval()
    axis.plot(times, values, color=colour, label=name)
    axis.fill_between(times, values - half, values + half, color=colour, alpha=0.2, linewidth=0)


def _limits(values: Sequence[FloatArray], spreads: Sequence[Spread]) -> tuple[float, float]:
    """Return limits that show every value, and errors up to a multiple of the highest."""
    reach = MAX_RELATIVE_HALF * max(*(float(np.nanmax(np.abs(row))) for row in values), 1e-3)
    halves = [np.minimum(np.nan_to_num(spread.half_interval()), reach) for spread in spreads]
    top = max(float(np.nanmax(row + half)) for row, half in zip(values, halves, strict=True))
    bottom = min(float(np.nanmin(row - half)) for row, half in zip(values, halves, strict=True))
    return min(bottom, 0.0) - 0.02 * reach, max(top, 0.0) + 0.02 * reach


def _distances(axis: Any, curve: VanHoveSelf, colour: str, name: str) -> None:
    below = np.cumsum(curve.density) * np.diff(curve.edges_angstrom)
    # One empty bin more, so that the line comes down.
    shown = slice(0, int(np.searchsorted(below, DRAWN_SHARE)) + 2)
    r, density = curve.r_angstrom[shown], curve.density[shown]
    error = 1.96 * curve.standard_error[shown]
    axis.plot(r, density, color=colour, label=name)
    axis.fill_between(r, density - error, density + error, color=colour, alpha=0.2, linewidth=0)
    axis.plot(r, curve.gaussian[shown], color=colour, linestyle="--", linewidth=0.8)


def _finish_distances(axis: Any) -> None:
    axis.plot([], [], color="0.4", linestyle="--", linewidth=0.8, label="Gaussian, same $<r^2>$")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("r (Å)")
    axis.set_ylabel(r"$4 \pi r^2 G_s(r, t)$ (1/Å)")
    axis.legend(loc="upper right")
