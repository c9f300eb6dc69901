"""Figures of disorder and composition along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.constants import FloatArray
from analysis.disorder.disorder_profile import DisorderProfile
from analysis.disorder.interfaces import Interfaces
from analysis.disorder.profiles import DensityProfiles
from analysis.disorder.references import MappedDisorder
from analysis.figures.style import COLOURS, STYLES, panels, styled

# Above this ratio of largest to smallest F a linear axis hides the crystal.
LOGARITHMIC_ABOVE = 4.0
# Thinner interfaces would not be seen.
MIN_SHADE_SLABS = 0.25


@styled
def disorder_figure(
    densities: DensityProfiles,
    *,
    profile: DisorderProfile | None = None,
    interfaces: Interfaces | None = None,
    mapped: MappedDisorder | None = None,
) -> Figure:
    """Draw F(z), number densities, mass density and charge density above each other.

    Returns PNG bytes. Bands are standard errors over blocks of frames. Interfaces are lines, with
    their standard error shaded, through all panels; the layers between bear names.
    """
    charged = bool(np.isfinite(densities.charge_density).all())
    rows = 2 + (profile is not None) + (mapped is not None) + charged
    figure, axes = panels(rows, 1, width=5.2, height=1.9)
    row = iter(axes)
    if profile is not None:
        _draw_disorder(next(row), profile)
    if mapped is not None:
        _draw_mapped(next(row), mapped)
    _draw_number_densities(next(row), densities)
    _draw_one(
        next(row),
        densities.z_angstrom,
        densities.mass_density,
        densities.mass_density_error,
        "mass density\n(g cm$^{-3}$)",
    )
    if charged:
        axis = next(row)
        axis.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
        _draw_one(
            axis,
            densities.z_angstrom,
            densities.charge_density,
            densities.charge_density_error,
            "charge density\n(e Å$^{-3}$)",
        )
    for axis in axes:
        axis.set_xlim(0.0, densities.height_angstrom)
        if axis is not axes[-1]:
            axis.tick_params(labelbottom=False)
        if interfaces is not None:
            _mark_planes(axis, interfaces)
    if interfaces is not None:
        _name_layers(axes[0], interfaces)
    axes[-1].set_xlabel(f"position along the normal of the slabs, axis {densities.axis} (Å)")
    return figure


def _draw_disorder(axis: Any, profile: DisorderProfile) -> None:
    z, values = profile.z_angstrom, profile.values
    axis.errorbar(
        z,
        values,
        xerr=0.5 * profile.slab_width_angstrom,
        yerr=_finite(profile.standard_errors),
        color=COLOURS[0],
        fmt="o",
        markersize=3.5,
        elinewidth=1.0,
        label=f"F of slabs, {profile.settings.form} form",
    )
    axis.plot(z, values, color=COLOURS[0], linewidth=0.7, alpha=0.6)
    level, noise = profile.random_level, profile.random_noise
    if np.isfinite(level):
        axis.axhline(level, color="0.4", linestyle="--", linewidth=0.9, label="random gas")
        axis.axhspan(
            level * (1 - noise), level * (1 + noise), color="0.85", linewidth=0, zorder=0,
            label="its scatter between slabs",
        )  # fmt: skip
    shown = values[np.isfinite(values)]
    reached = np.append(shown, level if np.isfinite(level) else [])
    if len(shown) and shown.min() > 0 and reached.max() / reached.min() > LOGARITHMIC_ABOVE:
        axis.set_yscale("log")
        # Room for the names of layers.
        axis.set_ylim(0.5 * reached.min(), 4.0 * reached.max())
    else:
        axis.set_ylim(0.0, 1.8 * reached.max() if len(reached) else 1.0)
    axis.set_ylabel("disorder F")
    axis.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=7, borderaxespad=0.2
    )


def _draw_mapped(axis: Any, mapped: MappedDisorder) -> None:
    for level in (0.0, 1.0):
        axis.axhline(level, color="0.7", linewidth=0.6, zorder=0)
    axis.errorbar(
        mapped.z_angstrom,
        mapped.values,
        yerr=_finite(mapped.standard_errors),
        color=COLOURS[0],
        marker="o",
        markersize=3.5,
        linewidth=0.7,
        elinewidth=1.0,
    )
    axis.set_ylabel("mapped F\n(0 crystal, 1 glass)")


def _draw_number_densities(axis: Any, densities: DensityProfiles) -> None:
    for n, name in enumerate(densities.species):
        mean, error = densities.number_density[n], _finite(densities.number_density_error[n])
        colour = COLOURS[n % len(COLOURS)]
        axis.plot(
            densities.z_angstrom,
            mean,
            color=colour,
            linestyle=STYLES[n % len(STYLES)],
            linewidth=1.0,
            label=name,
        )
        if error is not None:
            axis.fill_between(
                densities.z_angstrom, mean - error, mean + error, color=colour, alpha=0.25,
                linewidth=0,
            )  # fmt: skip
    axis.set_ylim(0.0, 1.05 * float(densities.number_density.max()))
    axis.set_ylabel("number density\n(Å$^{-3}$)")
    axis.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(densities.species),
        borderaxespad=0.2,
    )


def _draw_one(axis: Any, z: FloatArray, mean: FloatArray, error: FloatArray, label: str) -> None:
    axis.plot(z, mean, color=COLOURS[0], linewidth=1.0)
    band = _finite(error)
    if band is not None:
        axis.fill_between(z, mean - band, mean + band, color=COLOURS[0], alpha=0.25, linewidth=0)
    axis.set_ylabel(label)


def _mark_planes(axis: Any, interfaces: Interfaces) -> None:
    for z, error in zip(interfaces.z_angstrom, interfaces.z_errors_angstrom, strict=True):
        axis.axvline(z, color=COLOURS[1], linestyle="-.", linewidth=0.9, zorder=1)
        half = max(float(error), MIN_SHADE_SLABS * interfaces.slab_width_angstrom)
        # Shades continue on the other side of the cell.
        for image in (-1, 0, 1):
            middle = z + image * interfaces.height_angstrom
            axis.axvspan(
                middle - half, middle + half, color=COLOURS[1], alpha=0.12, linewidth=0, zorder=0
            )


def _name_layers(axis: Any, interfaces: Interfaces) -> None:
    height = interfaces.height_angstrom
    starts = interfaces.z_angstrom
    ends = np.append(starts[1:], starts[0] + height)
    for start, end, glass in zip(starts, ends, interfaces.glass_above, strict=True):
        # The layer that crosses the boundary is named where more of it lies.
        pieces = (
            [(start, min(end, height)), (0.0, end - height)] if end > height else [(start, end)]
        )
        low, high = max(pieces, key=lambda piece: piece[1] - piece[0])
        axis.annotate(
            "glass" if glass else "crystal",
            (0.5 * (low + high), 0.97),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=8,
        )


def _finite(error: FloatArray) -> FloatArray | None:
    """Return errors, or None where a single block gave none."""
    return error if np.isfinite(error).all() else None
