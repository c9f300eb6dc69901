"""Figures of bond angles."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.constants import FloatArray
from analysis.figures.style import COLOURS, panels, styled


@styled
def angle_figure(
    distributions: Sequence[tuple[str, FloatArray, FloatArray, FloatArray]],
) -> Figure:
    """Draw angle distributions, plain and relative to random directions.

    Each is label, angles in degrees, density per degree and density over that of random
    directions. Returns PNG bytes.
    """
    columns = min(3, len(distributions))
    rows = math.ceil(len(distributions) / columns)
    figure, axes = panels(rows, columns, width=2.9, height=2.3)
    for axis, (label, degrees, density, relative) in zip(axes, distributions, strict=False):
        axis.plot(degrees, density, color=COLOURS[0])
        axis.set_title(label)
        axis.set_xlim(0, 180)
        axis.set_xticks([0, 45, 90, 135, 180])
        axis.set_ylim(bottom=0)
        axis.set_xlabel("angle (degree)")
        axis.set_ylabel("density (1/degree)", color=COLOURS[0])
        twin = axis.twinx()
        twin.spines["right"].set_visible(True)
        twin.plot(degrees, relative, color=COLOURS[1], linestyle="--", linewidth=1.0)
        twin.set_ylim(bottom=0)
        twin.set_ylabel("relative to random", color=COLOURS[1])
    for axis in axes[len(distributions) :]:
        axis.set_visible(False)
    return figure
