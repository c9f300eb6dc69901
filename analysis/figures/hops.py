"""Figures of hops and of rotations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, panels, styled
from analysis.hops.all_hops import Hops
from analysis.hops.event_rate import Rate
from analysis.hops.residence import Survival
from analysis.hops.rotations import Rotations, half_widths

LENGTH_BIN_ANGSTROM = 0.1
# Survival that falls below this is drawn on a logarithmic axis.
LOG_BELOW = 0.1


@styled
def hop_figure(hops: Hops, survival: Survival, rate: Rate, label: str) -> Figure:
    """Draw the lengths of hops, and the survival of stays between them.

    Returns PNG bytes. Left: lengths of all hops, those undone by the next one shaded. Right: share
    of stays that last longer than a time, with one standard error, and what a single rate for all
    ions would give.
    """
    figure, (left, right) = panels(1, 2, width=3.6, height=3.2)
    lengths = hops.lengths_angstrom
    edges = np.arange(np.floor(lengths.max() / LENGTH_BIN_ANGSTROM) + 2) * LENGTH_BIN_ANGSTROM
    left.hist(lengths, edges, color=COLOURS[4], label="all hops")
    undone = lengths[hops.successive[hops.goes_back]]
    if len(undone):
        left.hist(undone, edges, color=COLOURS[0], label="the next one goes back")
    left.set_xlim(max(0.0, lengths.min() - 0.5), lengths.max() + 0.5)
    left.set_ylim(0, 1.25 * left.get_ylim()[1])
    left.set_xlabel("hop length (Å)")
    left.set_ylabel(f"hops of {label}")
    left.legend(loc="upper right")
    times = survival.times_ps
    right.fill_between(
        times,
        survival.survival - survival.error,
        survival.survival + survival.error,
        step="post",
        color=COLOURS[0],
        alpha=0.25,
        linewidth=0,
    )
    right.step(times, survival.survival, where="post", color=COLOURS[0], label="stays")
    right.plot(
        times,
        np.exp(-rate.estimate.value * times),
        color="black",
        linestyle="--",
        linewidth=0.9,
        label="one rate for all ions",
    )
    positive = survival.survival[survival.survival > 0]
    if positive.min() < LOG_BELOW:
        right.set_yscale("log")
        right.set_ylim(0.7 * positive.min(), 1.5)
    else:
        right.set_ylim(0.0, 1.3)
    right.set_xlim(left=0)
    right.set_xlabel("time since arrival (ps)")
    right.set_ylabel("share of stays that last")
    right.legend(loc="upper right")
    return figure


@styled
def rotation_figure(result: Rotations) -> Figure:
    """Draw the correlation of directions in time, and the jumps of orientation.

    Returns PNG bytes. Left: C1 and C2 with the interval at 95 %; dotted where C1 would be read.
    Right, if there are any: when each jump took place and by what angle.
    """
    figure, axes = panels(1, 2 if len(result.units) else 1, width=3.6, height=3.2)
    left = axes[0]
    lowest = 0.0
    for curve, groups, colour, style, name in (
        (result.c1, result.c1_groups, COLOURS[0], "-", "$C_1$"),
        (result.c2, result.c2_groups, COLOURS[1], "--", "$C_2$"),
    ):
        half = half_widths(groups)
        if np.isfinite(half).all():
            left.fill_between(
                result.times_ps, curve - half, curve + half, color=colour, alpha=0.2, linewidth=0
            )
        left.plot(result.times_ps, curve, color=colour, linestyle=style, label=name)
        lowest = min(lowest, float(curve.min()))
    left.axhline(1.0 / np.e, color="0.4", linestyle=":", linewidth=0.9)
    left.text(result.times_ps[-1], 1.0 / np.e + 0.01, "1/e", ha="right", va="bottom", color="0.4")
    left.set_xlim(0, result.times_ps[-1])
    left.set_ylim(lowest - 0.05, 1.15)
    left.set_xlabel("time (ps)")
    left.set_ylabel(f"correlation of bonds of {result.element}")
    left.legend(loc="upper right", ncols=2)
    if not len(result.units):
        left.set_title(f"no jump of {len(result.followed)} units", fontsize=9, loc="left")
        return figure
    right = axes[1]
    duration = result.n_steps * result.interval_ps
    right.set_xlim(0, duration)
    right.set_ylim(0, 185)
    right.set_yticks(np.arange(0, 181, 30))
    right.set_xlabel("time (ps)")
    right.set_ylabel("angle of jump (°)")
    right.plot(
        result.event_times_ps,
        result.angles_degree,
        "o",
        color=COLOURS[2],
        markersize=3.5,
        alpha=0.7,
        markeredgewidth=0,
    )
    right.set_title(
        f"{len(result.units)} jumps of {len(result.followed)} units", fontsize=9, loc="left"
    )
    return figure
