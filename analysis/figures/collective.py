"""Figure of collective motion: charge displacement, and the current where velocities are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.conductivity.collective import ChargeDisplacement
from analysis.conductivity.collective_slope import CollectiveSlope
from analysis.conductivity.green_kubo import GreenKubo
from analysis.figures.style import COLOURS, panels, styled
from analysis.motion.diffusion import Diffusion
from analysis.results import Quantity

WINDOW_COLOUR = "#F0E442"


@styled
def collective_figure(
    charge: ChargeDisplacement,
    diffusion: Diffusion,
    slope: CollectiveSlope | None,
    conductivity: Quantity,
    current: GreenKubo | None,
    scale: float,
) -> Figure:
    """Draw the squared charge displacement per ion beside the MSD, and the running integral.

    Returns PNG bytes. Lags from the shortest window on are shaded; the fan is the interval of the
    conductivity. Where there are velocities a second panel shows the Green-Kubo integral.
    """
    figure, axes = panels(1, 1 if current is None else 2, width=3.8, height=3.3)
    _draw_displacement(axes[0], charge, diffusion, slope, conductivity)
    if current is not None:
        _draw_current(axes[1], current, scale)
    return figure


def _draw_displacement(
    axis: Any,
    charge: ChargeDisplacement,
    diffusion: Diffusion,
    slope: CollectiveSlope | None,
    conductivity: Quantity,
) -> None:
    squares = charge.squared_charges
    msd = diffusion.msd
    # Later lags of one path are noise alone.
    last = (
        0.25 * msd.times_ps[-1]
        if slope is None
        else max(0.25 * msd.times_ps[-1], 2.0 * slope.window_ps)
    )
    shown = slice(0, int(np.searchsorted(msd.times_ps, last)) + 1)
    times = msd.times_ps[shown]
    collective = charge.mean_squared()[shown] / squares
    axis.plot(times, collective, color=COLOURS[1], label=f"{charge.label}, all together")
    axis.plot(
        times, msd.msd[shown], color=COLOURS[0], linestyle="--", label=f"{charge.label}, each alone"
    )
    top = max(float(collective.max()), float(msd.msd[shown].max()))
    if slope is not None:
        axis.axvspan(
            slope.window_ps, times[-1], color=WINDOW_COLOUR, alpha=0.25, linewidth=0, zorder=0
        )
        factor = slope.dimensions / squares
        if math.isfinite(slope.high):
            axis.fill_between(
                times,
                factor * slope.low * times,
                factor * slope.high * times,
                color="0.5",
                alpha=0.25,
                linewidth=0,
                zorder=1,
            )
        axis.plot(
            times,
            factor * slope.slope * times,
            color="black" if conductivity.status == "ok" else "0.5",
            linewidth=0.9,
            label=_label(conductivity),
        )
        top = max(top, float(factor * slope.slope * times[-1]))
    else:
        axis.plot([], [], " ", label=_label(conductivity))
    axis.set_xlabel("time (ps)")
    axis.set_ylabel("squared displacement per ion (Å$^2$)")
    axis.set_xlim(0, times[-1])
    # Room for the legend above the curves.
    axis.set_ylim(0, 1.5 * top if top > 0 else 1.0)
    axis.legend(loc="upper left")


def _draw_current(axis: Any, current: GreenKubo, scale: float) -> None:
    factor = 2.0 / 3.0 * scale
    shown = np.ones(len(current.times_ps), dtype=bool)
    if math.isfinite(current.stop_ps):
        shown = current.times_ps <= 2.0 * current.stop_ps
        axis.axvspan(
            current.start_ps, current.stop_ps, color=WINDOW_COLOUR, alpha=0.35, linewidth=0
        )
    times, running = current.times_ps[shown], factor * current.running[shown]
    error = 1.96 * factor * current.running_error[shown]
    axis.plot(times, running, color=COLOURS[2], label="integral of the current")
    axis.fill_between(
        times, running - error, running + error, color=COLOURS[2], alpha=0.2, linewidth=0
    )
    axis.axhline(0.0, color="0.7", linewidth=0.8)
    axis.set_xlabel("time (ps)")
    axis.set_ylabel("Green-Kubo conductivity (S/cm)")
    axis.set_xlim(0, times[-1])
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.2 * (high - low))
    axis.legend(loc="upper left")


def _label(quantity: Quantity) -> str:
    if quantity.status != "ok":
        return "conductivity not resolved"
    exponent = math.floor(math.log10(quantity.value))
    unit = 10.0**exponent
    power = f" $\\times 10^{{{exponent}}}$" if exponent else ""
    return (
        f"{quantity.value / unit:.2f} ({quantity.low / unit:.2f} to {quantity.high / unit:.2f})"
        f"{power} S/cm"
    )
