"""Figure of motion by region: mean squared displacements and who is still there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, panels, styled
from analysis.motion.msd import MeanSquaredDisplacement
from analysis.regional.exchange import Survivors


@styled
def region_msd_figure(
    curves: Sequence[MeanSquaredDisplacement], staying: Sequence[Survivors]
) -> Figure:
    """Draw the MSD of each region with its 95 % band, and below the share of ions still there.

    Returns PNG bytes. Solid survivors never left, dashed ones are back at the end.
    """
    figure, axes = panels(2, 1, width=4.2, height=2.6)
    top, bottom = axes
    last = max(curve.times_ps[-1] for curve in curves)
    for n, (curve, survivors) in enumerate(zip(curves, staying, strict=True)):
        colour = COLOURS[n % len(COLOURS)]
        times = curve.times_ps[curve.sample_lags]
        middle = curve.msd[curve.sample_lags]
        top.loglog(times, middle, color=colour, label=survivors.group)
        if curve.n_atoms > 1:
            half = 1.96 * curve.atom_msd.std(axis=0, ddof=1) / np.sqrt(curve.n_atoms)
            # A band that reaches zero would stretch a logarithmic axis without end.
            low = np.maximum(middle - half, 0.1 * middle)
            top.fill_between(times, low, middle + half, color=colour, alpha=0.2, linewidth=0)
        shown = slice(1, None)
        bottom.semilogx(survivors.times_ps[shown], survivors.share_throughout[shown], color=colour)
        bottom.semilogx(
            survivors.times_ps[shown],
            survivors.share_at_end[shown],
            color=colour,
            linestyle="--",
        )
    top.set_ylabel("MSD (Å$^2$)")
    top.legend(loc="upper left")
    bottom.plot([], [], color="0.3", label="never left")
    bottom.plot([], [], color="0.3", linestyle="--", label="there at the end")
    bottom.legend(loc="lower left")
    bottom.set_ylim(0, 1.05)
    bottom.set_ylabel("share of displacements")
    bottom.set_xlabel("time (ps)")
    for axis in axes:
        axis.set_xlim(curves[0].times_ps[1], last)
    top.tick_params(labelbottom=False)
    return figure
