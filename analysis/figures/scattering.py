"""Figures of structure factors, reduced distributions and their comparison with measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.blocks import error_of_blocks
from analysis.constants import FloatArray
from analysis.figures.style import COLOURS, STYLES, panels, styled
from analysis.scattering.partials import StructureFactors
from analysis.scattering.scattering_comparison import Comparison
from analysis.scattering.total_scattering import ReducedDistribution, TotalStructureFactor

_NAMES = {"neutron": "neutrons", "xray": "X-rays"}
_MEASURED_LABELS = {
    "S(Q)": "S(Q)",
    "Q[S(Q)-1]": "Q [S(Q) − 1] (Å$^{-1}$)",
    "G(r)": "G(r) (Å$^{-2}$)",
}


@styled
def partial_structure_factor_figure(factors: StructureFactors) -> Figure:
    """Draw every Faber-Ziman partial with its standard error over blocks; PNG bytes."""
    errors = error_of_blocks(factors.s_blocks)
    pairs = [(a, b) for a in range(len(factors.species)) for b in range(a, len(factors.species))]
    columns = min(3, len(pairs))
    figure, axes = panels(math.ceil(len(pairs) / columns), columns, width=2.9, height=2.2)
    for axis, (a, b) in zip(axes, pairs, strict=False):
        _band(axis, factors.q_inverse_angstrom, factors.s[a, b], errors[a, b], COLOURS[0])
        axis.axhline(1.0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_title(f"{factors.species[a]}–{factors.species[b]}")
        axis.set_xlim(0, factors.q_inverse_angstrom[-1])
        axis.set_xlabel("Q (Å$^{-1}$)")
        axis.set_ylabel("S(Q)")
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    return figure


@styled
def total_scattering_figure(
    totals: Sequence[TotalStructureFactor], reduced: Mapping[Any, ReducedDistribution]
) -> Figure:
    """Draw S(Q) and, where known, G(r) for neutrons and X-rays, with -4 pi rho0 r; PNG bytes."""
    figure, (left, right) = panels(1, 2, width=4.3, height=3.0)
    for n, total in enumerate(totals):
        colour, style = COLOURS[n], STYLES[n]
        name = _NAMES[total.radiation]
        error = error_of_blocks(total.s_blocks)
        _band(left, total.q_inverse_angstrom, total.s, error, colour, style, name)
        if total.radiation in reduced:
            curve = reduced[total.radiation]
            error = error_of_blocks(curve.g_blocks)
            _band(right, curve.r_angstrom, curve.g, error, colour, style, name)
    left.axhline(1.0, color="0.7", linewidth=0.6, zorder=0)
    left.set_xlabel("Q (Å$^{-1}$)")
    left.set_ylabel("S(Q)")
    left.set_xlim(0, totals[0].q_inverse_angstrom[-1])
    left.legend()
    if not reduced:
        right.set_visible(False)
        return figure
    first = next(iter(reduced.values()))
    bottom = right.get_ylim()[0]
    line = -4.0 * np.pi * first.density_per_cubic_angstrom * first.r_angstrom
    seen = line >= bottom
    right.plot(
        first.r_angstrom[seen],
        line[seen],
        color="0.4",
        linestyle=":",
        linewidth=1.0,
        label=r"$-4\pi\rho_0 r$",
    )
    right.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
    right.set_xlabel("r (Å)")
    right.set_ylabel("G(r) (Å$^{-2}$)")
    right.set_xlim(0, first.r_angstrom[-1])
    right.legend()
    return figure


@styled
def comparison_figure(comparison: Comparison) -> Figure:
    """Draw measurement, simulation and their difference, with the compared peaks; PNG bytes."""
    measured = comparison.measured
    figure, (top, bottom) = panels(2, 1, width=5.6, height=2.2)
    top.plot(
        comparison.x, comparison.y, color="0.25", linewidth=0.0, marker=".", markersize=2.5,
        label=f"measured, {_NAMES[measured.radiation]}",
    )  # fmt: skip
    _band(
        top,
        comparison.x,
        comparison.simulated,
        comparison.simulated_error,
        COLOURS[0],
        label=f"simulated, $R_\\chi$ = {comparison.r_chi:.3f}",
    )
    adjusted = comparison.scale * comparison.simulated + comparison.offset
    top.plot(
        comparison.x, adjusted, color=COLOURS[1], linestyle="--", linewidth=1.0,
        label=f"{comparison.scale:.3f} × simulated {comparison.offset:+.3f}, "
        f"$R_\\chi$ = {comparison.r_chi_adjusted:.3f}",
    )  # fmt: skip
    for n, pair in enumerate(comparison.peaks):
        for axis in (top, bottom):
            axis.axvline(
                pair.measured,
                color="0.6",
                linestyle=":",
                linewidth=0.8,
                zorder=0,
                label="measured peaks" if n == 0 and axis is top else None,
            )
    top.set_ylabel(_MEASURED_LABELS[measured.function])
    figure.legend(loc="outside upper center", ncols=2)
    error = comparison.simulated_error
    _band(bottom, comparison.x, comparison.simulated - comparison.y, error, COLOURS[0])
    bottom.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
    bottom.set_ylabel("simulated − measured")
    for axis in (top, bottom):
        axis.set_xlim(comparison.x[0], comparison.x[-1])
        axis.set_xlabel("r (Å)" if measured.function == "G(r)" else "Q (Å$^{-1}$)")
    return figure


def _band(
    axis: Any,
    x: FloatArray,
    y: FloatArray,
    error: FloatArray,
    colour: str,
    style: str = "-",
    label: str | None = None,
) -> None:
    axis.plot(x, y, color=colour, linestyle=style, linewidth=1.2, label=label)
    if np.isfinite(error).all():
        axis.fill_between(x, y - error, y + error, color=colour, alpha=0.3, linewidth=0)
