"""Figures of an analysis as PNG bytes: colour-blind safe, readable in print."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from analysis.diffusion import Diffusion
from analysis.msd import MeanSquaredDisplacement
from analysis.rdf import PairDistribution
from analysis.results import Quantity

_P = ParamSpec("_P")

# Okabe and Ito, Color Universal Design (2008); black and yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
STYLES = ("-", "--", "-.", ":")
DPI = 150

_SETTINGS: Any = {
    "font.size": 9,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
}


def _styled(draw: Callable[_P, Figure]) -> Callable[_P, bytes]:
    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> bytes:
        with mpl.rc_context(_SETTINGS):
            buffer = io.BytesIO()
            draw(*args, **kwargs).savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()

    return drawn


@_styled
def msd_figure(
    curves: Sequence[MeanSquaredDisplacement], diffusion: Sequence[Diffusion] = ()
) -> Figure:
    """Draw the MSD of every species, log-log, and the fit of every diffusion coefficient.

    Returns PNG bytes. The left panel shows all species; the right one the mobile species on linear
    axes with the fitted window shaded. A rejected fit is drawn grey and dashed and says so.
    """
    figure, axes = _panels(1, 1 + bool(diffusion), width=3.6, height=3.2)
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
    left.set_xlabel("time (ps)")
    left.set_ylabel("MSD (Å$^2$)")
    left.legend(loc="upper left")
    if diffusion:
        _draw_fits(axes[1], diffusion, [curve.label for curve in curves])
    return figure


@_styled
def rdf_figure(pairs: Sequence[PairDistribution], shells: Sequence[Quantity] = ()) -> Figure:
    """Draw g(r) of every pair in a grid, with the running coordination number on a second axis.

    Returns PNG bytes. The first minimum, where known, is marked with the coordination number there.
    """
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure, axes = _panels(rows, columns, width=2.9, height=2.3)
    known = {shell.name: shell for shell in shells if shell.status == "ok"}
    for axis, pair in zip(axes, pairs, strict=False):
        axis.plot(pair.r_angstrom, pair.g, color=COLOURS[0])
        axis.axhline(1.0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_title(pair.label)
        axis.set_xlim(0, pair.edges_angstrom[-1])
        axis.set_ylim(0, 1.15 * max(pair.g.max(), 1.0))
        axis.set_xlabel("r (Å)")
        axis.set_ylabel("g(r)", color=COLOURS[0])
        twin = axis.twinx()
        twin.spines["right"].set_visible(True)
        axis.set_zorder(twin.get_zorder() + 1)
        axis.patch.set_visible(False)
        twin.plot(pair.edges_angstrom[1:], pair.cn_ij, color=COLOURS[1], linestyle="--")
        twin.set_ylabel(f"{pair.j} around {pair.i}", color=COLOURS[1])
        minimum = known.get(f"rdf_first_minimum_{pair.label}")
        number = known.get(f"coordination_number_{pair.label}")
        top = pair.cn_ij[-1]
        if minimum and number:
            axis.axvline(minimum.value, color="0.5", linestyle=":", linewidth=0.9)
            twin.plot([minimum.value], [number.value], "o", color=COLOURS[1], markersize=4)
            twin.annotate(
                f"{number.value:.2f}",
                (minimum.value, number.value),
                xytext=(5, -10),
                textcoords="offset points",
                fontsize=8,
                color=COLOURS[1],
            )
            # The first shell, not the cube of r_max, sets the scale.
            top = min(top, max(4.0 * number.value, 1.0))
        twin.set_ylim(0, max(top, 1e-9))
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
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
            item.fit.intercept + item.fit.slope * line_times,
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


def _panels(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Any]]:
    # A Figure without pyplot draws with Agg and leaves no global state.
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)
