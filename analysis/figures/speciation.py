"""Figure of the anions: what share of units and atoms they hold, over time, by cutoff."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.anions.speciation import (
    CUTOFF_OFFSETS_ANGSTROM,
    EVERYWHERE,
    OUTSIDE,
    UNITS,
    Speciation,
    block_shares,
)
from analysis.constants import FloatArray
from analysis.figures.style import COLOURS, panels, styled

OTHER_COLOUR = "0.72"
# Names beyond the palette repeat its colours with a pattern.
HATCHES = ("", "////", "....")
SINGLE: Any = {"color": "black", "linestyle": ":", "linewidth": 0.7}
MARKERS = "osD^vP*X"
# Names at the right edge stay this far apart, as a share of the axis.
MIN_GAP = 0.05
# Smaller shares have no room for their number.
MIN_LABEL = 0.06


@styled
def speciation_figure(result: Speciation) -> Figure:
    """Draw shares as stacked bars, their course, and how they depend on the cutoffs.

    Returns PNG bytes. Left: shares of all units and of the atoms of each element, then by region;
    bars are one standard error over blocks of frames. Middle: share of the atoms of the first
    network former (or of units without one) by frame, shaded by lasting bonds; dotted lines are
    the borders by the bonds of each frame alone. Right: the same shares with other cutoffs.
    """
    figure, axes = panels(1, 3, width=3.4, height=3.3)
    formers = [e for e in result.elements[: result.n_formers] if _total(result, e) > 0]
    main = formers[0] if formers else UNITS
    shown = _shown(result)
    bars = [("units", UNITS, EVERYWHERE)]
    bars += [(e, e, EVERYWHERE) for e in result.elements if _total(result, e) > 0]
    for name in result.regions[1:]:
        if np.isfinite(block_shares(result, main, region=name)[0]).any():
            bars.append((f"{main} {name}" if name == OUTSIDE else f"{main} in {name}", main, name))
    _draw_bars(axes[0], result, bars, shown)
    _draw_course(axes[1], result, main, shown)
    _draw_cutoffs(axes[2], result, main, shown)
    handles, labels = axes[0].get_legend_handles_labels()
    if result.window.persistence_ps > 0:
        handles.append(Line2D([], [], **SINGLE))
        labels.append("borders by single frames")
    figure.legend(handles, labels, loc="outside upper center", ncols=min(9, len(labels)))
    return figure


def _draw_bars(
    axis: Any, result: Speciation, bars: list[tuple[str, str, str]], shown: list[int]
) -> None:
    shares, errors = [], []
    for _, of, region in bars:
        share, blocks = block_shares(result, of, region=region)
        shares.append(np.nan_to_num(share))
        errors.append(_errors(blocks))
    x = np.arange(len(bars))
    base = np.zeros(len(bars))
    for n in shown:
        height = np.array([share[n] for share in shares])
        error = np.array([error[n] for error in errors])
        axis.bar(x, height, 0.75, bottom=base, label=result.names[n], **_look(result, n))
        known = (error > 0) & (height > 0)
        axis.errorbar(
            x[known] + 0.28,
            (base + height)[known],
            error[known],
            fmt="none",
            ecolor="black",
            elinewidth=0.9,
            capsize=1.5,
        )
        for k in np.flatnonzero(height >= MIN_LABEL):
            axis.text(
                x[k] - 0.04,
                base[k] + 0.5 * height[k],
                f"{100 * height[k]:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
            )
        base += height
    axis.set_xticks(x, [label for label, _, _ in bars])
    if len(bars) > 4:
        axis.set_xticks(x, axis.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")
    axis.tick_params(axis="x", length=0)
    axis.set_ylabel("share (numbers in %, bars 1 s.e.)")
    axis.set_ylim(0, 1.0)


def _draw_course(axis: Any, result: Speciation, main: str, shown: list[int]) -> None:
    lasting, single = (_series(result, main, alone=alone) for alone in (False, True))
    times = result.times_ps
    base = np.zeros(len(times))
    for n in shown:
        top = base + lasting[:, n]
        axis.fill_between(times, base, top, step="mid", **_look(result, n))
        base = top
    if result.window.persistence_ps > 0:
        borders = np.cumsum(single[:, shown], axis=1)[:, :-1]
        for column in borders.T:
            axis.plot(times, column, **SINGLE)
    axis.set_xlabel("time (ps)")
    axis.set_ylabel("share of units" if main == UNITS else f"share of {main} atoms")
    axis.set_ylim(0, 1.0)
    if len(times) > 1:
        axis.set_xlim(times[0], times[-1])


def _draw_cutoffs(axis: Any, result: Speciation, main: str, shown: list[int]) -> None:
    found = [block_shares(result, main, tally=tally) for tally in result.shifted]
    x = np.array(CUTOFF_OFFSETS_ANGSTROM)
    ends: list[tuple[float, str]] = []
    for n in shown:
        y = np.array([share[n] for share, _ in found])
        if not y.any():
            continue
        error = [_errors(blocks)[n] for _, blocks in found]
        look = _look(result, n)
        axis.errorbar(
            x,
            y,
            error,
            color="0.5" if look["color"] == OTHER_COLOUR else look["color"],
            marker=MARKERS[n % len(MARKERS)],
            linestyle="--" if look["hatch"] else "-",
            markersize=4,
            linewidth=1.0,
            capsize=2,
        )
        ends.append((float(y[-1]), result.names[n]))
    axis.set_xticks(x)
    # Room for the names at the right.
    axis.set_xlim(x[0] - 0.02, x[-1] + 0.09)
    axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
    gap = MIN_GAP * axis.get_ylim()[1]
    height = 0.3 * gap - gap
    for value, name in sorted(ends):
        height = max(value, height + gap)
        axis.text(x[-1] + 0.012, height, name, fontsize=7, va="center")
    axis.set_xlabel("change of all bond cutoffs (Å)")
    axis.set_ylabel("share of units" if main == UNITS else f"share of {main} atoms")


def _errors(blocks: FloatArray) -> FloatArray:
    """Return the standard error of every name over blocks, nan from a single block."""
    if len(blocks) < 2:
        return np.full(blocks.shape[1], np.nan)
    return blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))


def _series(result: Speciation, of: str, *, alone: bool) -> FloatArray:
    """Return the share of every name in every frame, (F, U)."""
    tally = result.single if alone else result.tally
    counts = tally.units[:, 0]
    if of != UNITS:
        counts = tally.atoms[:, 0, :, result.elements.index(of)]
    shares: FloatArray = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _shown(result: Speciation) -> list[int]:
    tallies = (result.tally, result.single, *result.shifted)
    seen = np.any([tally.units.any(axis=(0, 1)) for tally in tallies], axis=0)
    return np.flatnonzero(seen).tolist()


def _total(result: Speciation, element: str) -> float:
    return float(result.tally.atoms[:, 0, :, result.elements.index(element)].sum())


def _look(result: Speciation, n: int) -> dict[str, Any]:
    """Return the look of a name, the same in every figure that uses the same table."""
    last = n == len(result.names) - 1
    return {
        "color": OTHER_COLOUR if last else COLOURS[n % len(COLOURS)],
        "hatch": "" if last else HATCHES[n // len(COLOURS) % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.4,
    }
