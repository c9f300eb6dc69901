"""Figure of the density of ions: its mean along each line of sight."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from analysis.density.ion_density import IonDensity
from analysis.figures.style import panels, styled

DECADES = 2.0
COLOURS_OF_DENSITY = "viridis"


@styled
def density_figure(found: IonDensity, label: str) -> Figure:
    """Draw the density of ions seen along c, b and a; white was never visited.

    Returns PNG bytes. Colour is the mean along the line of sight over that of the cell, down to a
    hundredth of the largest. Axes are drawn at right angles, at their lengths.
    """
    relative = found.density / found.density.mean()
    lengths = np.linalg.norm(found.cell_angstrom, axis=1)
    seen = [relative.mean(axis=sight).T for sight in range(3)]
    largest = max(float(view.max()) for view in seen)
    norm = LogNorm(largest / 10**DECADES, largest, clip=True)
    figure, axes = panels(1, 3, width=3.0, height=2.9)
    for panel, sight in zip(axes, (2, 1, 0), strict=True):
        across, up = (axis for axis in range(3) if axis != sight)
        panel.imshow(
            np.ma.masked_equal(seen[sight], 0.0),
            origin="lower",
            norm=norm,
            cmap=COLOURS_OF_DENSITY,
            extent=(0, lengths[across], 0, lengths[up]),
            interpolation="nearest",
        )
        panel.set_xlabel(f"{'abc'[across]} (Å)")
        panel.set_ylabel(f"{'abc'[up]} (Å)")
        panel.set_title(f"along {'abc'[sight]}", fontsize=9)
    bar = figure.colorbar(ScalarMappable(norm, COLOURS_OF_DENSITY), ax=axes, shrink=0.8)
    bar.set_label(f"density of {label} over its mean")
    return figure
