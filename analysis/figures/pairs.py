"""Figures of pair distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLES, panels, styled
from analysis.pairs.group_rdf import GroupDistribution
from analysis.pairs.rdf import PairDistribution
from analysis.results import Quantity


@styled
def rdf_figure(pairs: Sequence[PairDistribution], shells: Sequence[Quantity] = ()) -> Figure:
    """Draw g(r) of every pair in a grid, with the running coordination number on a second axis.

    Returns PNG bytes. The first minimum, where known, is marked with the coordination number there.
    """
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure, axes = panels(rows, columns, width=2.9, height=2.3)
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
            # Near the right end there is only room on the left, above the rising line.
            inside = minimum.value < 0.75 * pair.edges_angstrom[-1]
            twin.annotate(
                f"{number.value:.2f}",
                (minimum.value, number.value),
                xytext=(5, -10) if inside else (-5, 4),
                ha="left" if inside else "right",
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


@styled
def group_rdf_figure(distributions: Sequence[GroupDistribution]) -> Figure:
    """Draw g(r) of every pair of species, one line for each group of the central atom.

    Returns PNG bytes.
    """
    pairs = {(item.group.split(" ")[0], item.species) for item in distributions}
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure, axes = panels(rows, columns, width=2.9, height=2.3)
    names = sorted({item.group.partition(" ")[2] for item in distributions})
    for axis, (centre, species) in zip(axes, sorted(pairs), strict=False):
        for n, name in enumerate(names):
            for item in distributions:
                if (item.group, item.species) == (f"{centre} {name}", species):
                    axis.plot(
                        item.r_angstrom,
                        item.g,
                        color=COLOURS[n % len(COLOURS)],
                        linestyle=STYLES[n % len(STYLES)],
                        linewidth=1.2,
                        label=name,
                    )
        axis.axhline(1.0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_title(f"{species} around {centre}")
        axis.set_xlim(0, distributions[0].edges_angstrom[-1])
        axis.set_ylim(bottom=0)
        axis.set_xlabel("r (Å)")
        axis.set_ylabel("g(r)")
    axes[0].legend(loc="upper right")
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    return figure
