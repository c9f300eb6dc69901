"""One look for all figures: colours that the colour-blind tell apart, readable in print."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure

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


def styled(draw: Callable[_P, Figure]) -> Callable[_P, bytes]:
    """Turn a function that draws a figure into one that returns it as PNG bytes."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> bytes:
        with mpl.rc_context(_SETTINGS):
            buffer = io.BytesIO()
            draw(*args, **kwargs).savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()

    return drawn


def panels(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Any]]:
    """Return a figure and its axes, row by row; sizes of one panel in inches."""
    # A Figure without pyplot draws with Agg and leaves no global state.
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)
