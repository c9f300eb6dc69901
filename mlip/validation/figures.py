"""Parity plots and committee deviation against true error, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlip.files import replacing
from mlip.validation.reference import FloatArray

# Okabe and Ito, Color Universal Design (2008); black, yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DENSITY_ABOVE_POINTS = 4000
# From a blue that stands out on white, so that single points are seen.
DENSITY_COLOURS = LinearSegmentedColormap.from_list(
    "density", colormaps["Blues"](np.linspace(0.35, 1.0, 64))
)
LEGEND_ENTRIES = 8
WIDTH_INCH = 3.6
DPI = 200
SETTINGS: Any = {
    "font.size": 9,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.handletextpad": 0.3,
    "xtick.direction": "out",
    "ytick.direction": "out",
}


@dataclass(frozen=True)
class Points:
    """Pairs of values of one system.

    Attributes
    ----------
    system : str
    x, y : ndarray, shape (n,)
    """

    system: str
    x: FloatArray
    y: FloatArray


def parity_figure(
    path: Path, groups: Sequence[Points], *, quantity: str, unit: str, text: str
) -> None:
    """Draw model against reference with the line of equality.

    Up to 4000 points are drawn one by one, coloured by system; more are drawn as a density
    with a logarithmic scale.

    Parameters
    ----------
    path : Path
        PNG file to write.
    groups : sequence of Points
        x reference, y model.
    quantity, unit : str
        For the axis labels.
    text : str
        Errors, printed in the lower right corner.
    """
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH_INCH, WIDTH_INCH), layout="constrained")
        axis = figure.add_subplot()
        x = np.concatenate([group.x for group in groups])
        y = np.concatenate([group.y for group in groups])
        low, high = _limits(np.concatenate([x, y]))
        if x.size > DENSITY_ABOVE_POINTS:
            shape = axis.hexbin(
                x,
                y,
                gridsize=90,
                bins="log",
                mincnt=1,
                cmap=DENSITY_COLOURS,
                extent=(low, high, low, high),
                linewidths=0.1,
            )
            bar = figure.colorbar(
                shape, cax=axis.inset_axes((0.05, 0.9, 0.36, 0.028)), orientation="horizontal"
            )
            bar.set_label(f"points per bin, {x.size:,} drawn", fontsize=7.5, loc="left")
            bar.ax.tick_params(labelsize=7, length=2)
            bar.outline.set_visible(False)
        else:
            _scatter(axis, groups)
            axis.legend(loc="upper left", markerscale=1.4, borderaxespad=0.2)
        axis.plot([low, high], [low, high], color="0.35", linewidth=0.8, zorder=0)
        axis.set_xlim(low, high)
        axis.set_ylim(low, high)
        axis.set_aspect("equal")
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.set_xlabel(f"{quantity}, DFT ({unit})")
        axis.set_ylabel(f"{quantity}, model ({unit})")
        axis.text(0.97, 0.04, text, transform=axis.transAxes, ha="right", va="bottom", fontsize=8)
        _save(figure, path)


def deviation_figure(path: Path, groups: Sequence[Points], members: int) -> None:
    """Draw the true force error of each frame against the committee's force deviation.

    Parameters
    ----------
    groups : sequence of Points
        x: largest deviation over atoms; y: largest length of the force error over atoms;
        both meV/Å.
    members : int
        Of the committee.
    """
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH_INCH, WIDTH_INCH), layout="constrained")
        axis = figure.add_subplot()
        _scatter(axis, groups)
        values = np.concatenate([np.concatenate([group.x, group.y]) for group in groups])
        positive = values[values > 0]
        low, high = (positive.min() / 1.5, positive.max() * 1.5) if positive.size else (0.1, 1.0)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlim(low, high)
        axis.set_ylim(low, high)
        axis.set_aspect("equal")
        axis.plot([low, high], [low, high], color="0.35", linewidth=0.8, zorder=0)
        axis.annotate(
            "error = deviation",
            (high / 1.15, high / 1.15),
            xytext=(0, -3),
            textcoords="offset points",
            rotation=45,
            rotation_mode="anchor",
            ha="right",
            va="top",
            fontsize=7.5,
            color="0.35",
        )
        axis.set_xlabel(f"largest deviation of {members} members (meV/Å)")
        axis.set_ylabel("largest force error (meV/Å)")
        axis.legend(loc="lower right", markerscale=1.4, borderaxespad=0.2)
        _save(figure, path)


def thinned(x: FloatArray, y: FloatArray, limit: int) -> tuple[FloatArray, FloatArray]:
    """Return at most `limit` finite pairs, chosen at random with a fixed seed."""
    x, y = x.ravel(), y.ravel()
    good = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if good.size > limit:
        good = np.sort(np.random.default_rng(0).choice(good, limit, replace=False))
    return x[good], y[good]


def _scatter(axis: Any, groups: Sequence[Points]) -> None:
    for number, group in enumerate(groups):
        label = group.system if number < LEGEND_ENTRIES else None
        if number == LEGEND_ENTRIES:
            label = f"and {len(groups) - LEGEND_ENTRIES} more"
        axis.scatter(
            group.x,
            group.y,
            s=10,
            alpha=0.65,
            linewidths=0,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            label=label,
        )


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
