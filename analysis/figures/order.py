"""Figures of local order: Voronoi volumes, coordination polyhedra, crystalline share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.blocks import BlockRatio
from analysis.constants import FloatArray
from analysis.figures.style import COLOURS, STYLES, panels, styled
from analysis.order.crystallinity import Crystallinity

# Bars for different groups side by side take this much of the place of one number.
BARS = 0.8
# Above this ratio of the peaks of densities a linear axis hides the lower ones.
LOGARITHMIC_ABOVE = 5.0


@styled
def volume_figure(
    tessellations: Sequence[tuple[str, tuple[str, ...], FloatArray, BlockRatio]],
) -> Figure:
    """Draw the distributions of Voronoi volumes, one panel a tessellation.

    Each is its name, the groups, the bin edges in Angstrom^3 and the densities of the groups.
    Returns PNG bytes. Bands are standard errors over blocks of frames.
    """
    figure, axes = panels(1, len(tessellations), width=3.4, height=2.6)
    for axis, (kind, names, edges, density) in zip(axes, tessellations, strict=True):
        _draw_densities(axis, names, edges, density)
        peaks = np.nan_to_num(density.value).max(axis=1)
        peaks = peaks[peaks > 0]
        if len(peaks) and peaks.max() > LOGARITHMIC_ABOVE * peaks.min():
            axis.set_yscale("log")
            axis.set_ylim(1e-2 * peaks.min(), 3.0 * peaks.max())
        else:
            axis.set_ylim(bottom=0.0)
        axis.set_title(f"{kind} cells")
        axis.set_xlabel("volume (Å$^3$)")
        axis.set_ylabel("density (Å$^{-3}$)")
    # Beside the axes, where no curve can be behind it; the groups are the same in all.
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def polyhedra_figure(
    ion: str,
    names: tuple[str, ...],
    number_share: BlockRatio,
    shapes: tuple[str, ...],
    shape_share: BlockRatio,
    limit_degrees: float,
) -> Figure:
    """Draw the shares of coordination numbers and of shapes, groups side by side.

    Returns PNG bytes. Error bars are standard errors over blocks of frames.
    """
    figure, (left, right) = panels(1, 2, width=3.6, height=2.9)
    numbers = np.arange(number_share.value.shape[1])
    present = numbers[np.nan_to_num(number_share.value).max(axis=0) > 0]
    low, high = int(present.min(initial=4)), int(present.max(initial=4))
    shown = numbers[low : high + 1]
    labels = [f"{k}+" if k == numbers[-1] else str(k) for k in shown.tolist()]
    _draw_bars(left, names, labels, number_share, slice(low, high + 1))
    left.set_xlabel(f"neighbours of {ion}")
    left.tick_params(axis="x", labelsize=7)
    left.set_ylabel(f"share of {ion}")
    _draw_bars(right, names, [s.replace("_", "\n") for s in shapes], shape_share, slice(None))
    right.set_xlabel(f"shape, angles within {limit_degrees:g}° rms")
    right.tick_params(axis="x", labelsize=7, labelrotation=45)
    right.set_ylabel(f"share of {ion}")
    if len(names) > 1:
        left.legend(loc="upper right")
    return figure


@styled
def crystallinity_figure(result: Crystallinity) -> Figure:
    """Draw distributions of order, and with a threshold the share in time and along the axis.

    Returns PNG bytes. Bands are standard errors over blocks of frames.
    """
    judged, profiled = result.threshold is not None, result.axis is not None
    rows = 1 + judged + profiled
    figure, axes = panels(rows, 1, width=5.2, height=2.1)
    row = iter(axes)
    _draw_order(next(row), result)
    if judged:
        axis = next(row)
        for g, name in enumerate(result.names):
            axis.plot(
                result.times_ps,
                result.share_of_frame[:, g],
                color=COLOURS[g % len(COLOURS)],
                linestyle=STYLES[g % len(STYLES)],
                marker="o" if len(result.times_ps) < 30 else None,
                markersize=3,
                label=name,
            )
        axis.set_ylim(-0.05, 1.05)
        axis.set_xlabel("time (ps)")
        axis.set_ylabel("crystalline share")
    if profiled:
        axis = next(row)
        shown = result.slab_share if judged else result.slab_order
        _band(axis, result.z_angstrom, shown.value, shown.standard_error, COLOURS[0])
        axis.plot(result.z_angstrom, shown.value, "o", color=COLOURS[0], markersize=3)
        if judged:
            axis.set_ylim(-0.05, 1.05)
        axis.set_xlabel(f"position along the normal of the slabs, axis {result.axis} (Å)")
        axis.set_ylabel("crystalline share" if judged else "order")
    return figure


def _draw_order(axis: Any, result: Crystallinity) -> None:
    _draw_densities(axis, result.names, result.edges, result.density)
    known = np.nan_to_num(result.density.value).max(axis=0) > 0
    low, high = _range(result.edges, known)
    if result.threshold is not None:
        references = (("crystal", result.threshold.crystal), ("glass", result.threshold.glass))
        for (name, values), colour in zip(references, ("0.35", "0.65"), strict=True):
            counts, _ = np.histogram(values, result.edges)
            density = counts / (len(values) * np.diff(result.edges))
            axis.stairs(
                density, result.edges, color=colour, fill=True, alpha=0.4,
                label=f"{name} reference", zorder=0,
            )  # fmt: skip
            edges = _range(result.edges, counts > 0)
            low, high = min(low, edges[0]), max(high, edges[1])
        axis.axvline(
            result.threshold.value, color="0.2", linestyle=":", linewidth=1.0, label="threshold"
        )
    axis.set_xlim(max(result.edges[0], low - 0.03), min(result.edges[-1], high + 0.03))
    axis.set_ylim(bottom=0.0)
    axis.set_xlabel(str(result.settings))
    axis.set_ylabel("density")
    # Beside the axes, where no curve can be behind it.
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _range(edges: FloatArray, filled: np.ndarray) -> tuple[float, float]:
    places = np.flatnonzero(filled)
    if not len(places):
        return 0.0, 1.0
    return float(edges[places[0]]), float(edges[places[-1] + 1])


def _draw_densities(
    axis: Any, names: tuple[str, ...], edges: FloatArray, density: BlockRatio
) -> None:
    middle = 0.5 * (edges[1:] + edges[:-1])
    errors = density.standard_error
    for g, name in enumerate(names):
        if not np.isfinite(density.value[g]).all():
            continue
        colour = COLOURS[g % len(COLOURS)]
        _band(
            axis, middle, density.value[g], errors[g], colour,
            label=name, linestyle=STYLES[g % len(STYLES)],
        )  # fmt: skip


def _band(
    axis: Any, x: FloatArray, mean: FloatArray, error: FloatArray, colour: str, **line: Any
) -> None:
    axis.plot(x, mean, color=colour, **line)
    half = np.nan_to_num(error)
    axis.fill_between(x, mean - half, mean + half, color=colour, alpha=0.25, linewidth=0)


def _draw_bars(
    axis: Any, names: tuple[str, ...], labels: list[str], share: BlockRatio, chosen: slice
) -> None:
    width = BARS / len(names)
    places = np.arange(len(labels))
    errors = np.nan_to_num(share.standard_error)
    for g, name in enumerate(names):
        axis.bar(
            places + (g - 0.5 * (len(names) - 1)) * width,
            np.nan_to_num(share.value[g, chosen]),
            width,
            yerr=errors[g, chosen],
            color=COLOURS[g % len(COLOURS)],
            error_kw={"elinewidth": 0.8, "capsize": 1.5},
            label=name,
        )
    axis.set_xticks(places, labels)
    axis.set_ylim(bottom=0.0)
