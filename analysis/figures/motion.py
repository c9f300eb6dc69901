"""Figures of motion: mean squared displacements and their fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLES, panels, styled
from analysis.motion.diffusion import Diffusion
from analysis.motion.joined import JoinedMsd
from analysis.motion.msd import MeanSquaredDisplacement


@styled
def msd_figure(
    curves: Sequence[MeanSquaredDisplacement],
    diffusion: Sequence[Diffusion] = (),
    joined: Sequence[JoinedMsd] = (),
) -> Figure:
    """Draw the MSD of every species, log-log, and the fit of every diffusion coefficient.

    Returns PNG bytes. The left panel shows all species; the right one the mobile species on linear
    axes with the fitted window shaded. A rejected fit is drawn grey and dashed and says so. Points
    of a joined curve show the dense frames, with their standard errors.
    """
    figure, axes = panels(1, 1 + bool(diffusion), width=3.6, height=3.2)
    left = axes[0]
    for n, curve in enumerate(curves):
        shown = curve.msd > 0
        left.loglog(
            curve.times_ps[shown],
            curve.msd[shown],
            color=COLOURS[n % len(COLOURS)],
            linestyle=STYLES[n % len(STYLES)],
            label=curve.label,
        )
    order = [curve.label for curve in curves]
    for item in joined:
        n = order.index(item.label) if item.label in order else 0
        early = slice(0, item.n_dense)
        left.errorbar(
            item.times_ps[early],
            item.msd[early],
            item.standard_errors[early],
            color=COLOURS[n % len(COLOURS)],
            fmt="o",
            markersize=2.5,
            elinewidth=0.8,
            label=f"{item.label}, dense frames",
        )
    left.set_xlabel("time (ps)")
    left.set_ylabel("MSD (Å$^2$)")
    left.legend(loc="upper left")
    if diffusion:
        _draw_fits(axes[1], diffusion, order)
    return figure


def _draw_fits(axis: Any, diffusion: Sequence[Diffusion], order: Sequence[str]) -> None:
    for item in diffusion:
        msd = item.msd
        n = order.index(item.msd.label) if item.msd.label in order else 0
        shown = slice(0, len(msd.times_ps) * 7 // 10 + 2)
        axis.plot(
            msd.times_ps[shown],
            msd.msd[shown],
            color=COLOURS[n % len(COLOURS)],
            label=f"{msd.label}",
        )
        # Error of the mean over atoms, at the lags where it is known.
        times = msd.times_ps[msd.sample_lags]
        inside = times <= msd.times_ps[shown][-1]
        error = 1.96 * msd.atom_msd.std(axis=0) / np.sqrt(max(msd.n_atoms - 1, 1))
        middle = msd.atom_msd.mean(axis=0)
        axis.fill_between(
            times[inside],
            (middle - error)[inside],
            (middle + error)[inside],
            color=COLOURS[n % len(COLOURS)],
            alpha=0.2,
            linewidth=0,
        )
        if item.fit is None:
            continue
        resolved = item.coefficient.status == "ok"
        # Drawn through the MSD: a fit that knows how errors correlate may lie beside all points.
        middle_ps = 0.5 * (item.fit.start_ps + item.fit.stop_ps)
        height = float(np.interp(middle_ps, msd.times_ps, msd.msd))
        slope = item.slope.pooled if item.slope is not None else item.fit.slope
        line_times = np.array([0.0, item.fit.stop_ps])
        axis.axvspan(
            item.fit.start_ps,
            item.fit.stop_ps,
            color="#F0E442" if resolved else "0.9",
            alpha=0.35,
            linewidth=0,
            zorder=0,
        )
        axis.plot(
            line_times,
            height + slope * (line_times - middle_ps),
            color="black" if resolved else "0.5",
            linestyle="-" if resolved else "--",
            linewidth=0.9,
            label=_fit_label(item),
        )
    axis.set_xlabel("time (ps)")
    axis.set_ylabel("MSD (Å$^2$)")
    axis.set_xlim(left=0)
    # Room for the legend above the curves.
    axis.set_ylim(0, 1.3 * axis.get_ylim()[1])
    axis.legend(loc="upper left")


def _fit_label(item: Diffusion) -> str:
    quantity = item.coefficient
    if quantity.status != "ok":
        return "not resolved as diffusion"
    exponent = math.floor(math.log10(quantity.value))
    scale = 10.0**exponent
    return (
        f"D = {quantity.value / scale:.2f} ({quantity.low / scale:.2f} to "
        f"{quantity.high / scale:.2f}) $\\times 10^{{{exponent}}}$ cm$^2$/s"
    )
