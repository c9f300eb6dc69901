"""The calibration figure: true error against deviation by element, and coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mlip.files import replacing
from mlip.validation.calibration import Bin, Calibration, SpeciesCalibration
from mlip.validation.figures import COLOURS, DPI, SETTINGS
from mlip.validation.trust import SpeciesTrust

PANEL_INCH = 2.45
GREY = "0.4"


def calibration_figure(path: Path, found: Calibration) -> None:
    """Draw the rms error of binned atoms against their deviation, and coverage below it.

    Above: one point a bin with its standard error, the line of equality, the line that the
    scale of the element gives, and the two trust levels. Below: the share of errors within the
    Gaussian quantiles of the deviation, as it is and scaled, against the nominal share.

    Parameters
    ----------
    path : Path
        PNG file to write.
    found : Calibration
    """
    names = list(found.by_species)
    with rc_context(SETTINGS):
        figure = Figure(
            figsize=(PANEL_INCH * len(names) + 0.5, 2 * PANEL_INCH + 0.4), layout="constrained"
        )
        axes = figure.subplots(2, len(names), squeeze=False)
        limits = _limits(found)
        for column, name in enumerate(names):
            own, trust = found.by_species[name], found.levels.by_species[name]
            _curve(axes[0, column], own.bins, trust, limits)
            axes[0, column].set_title(_title(name, trust), fontsize=9)
            _coverage(axes[1, column], own)
        axes[0, 0].set_ylabel("rms force error (eV/Å)")
        axes[1, 0].set_ylabel("share of atoms within")
        for row, place in ((0, "lower right"), (1, "upper left")):
            axes[row, -1].legend(loc=place, fontsize=6.5, borderaxespad=0.1, handlelength=1.6)
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI)


def _title(name: str, trust: SpeciesTrust) -> str:
    if not trust.calibrated:
        return f"{name}: not calibrated"
    error = f" ± {trust.scale_error:.1g}" if np.isfinite(trust.scale_error) else ""
    return f"{name}: error / deviation {trust.scale:.2f}{error}"


def _limits(found: Calibration) -> tuple[float, float]:
    values = np.array(
        [v for own in found.by_species.values() for b in own.bins for v in _both(b) if v > 0]
    )
    return (float(values.min()) / 1.6, float(values.max()) * 1.6) if values.size else (0.01, 1.0)


def _both(entry: Bin) -> tuple[float, float]:
    return entry.deviation_rms, entry.error_rms


def _curve(
    axis: Any, bins: tuple[Bin, ...], trust: SpeciesTrust, limits: tuple[float, float]
) -> None:
    line = np.array(limits)
    axis.plot(line, line, color=GREY, linewidth=0.8, label="error = deviation")
    if trust.calibrated:
        axis.plot(
            line,
            trust.scale * line,
            color=COLOURS[1],
            linewidth=0.9,
            linestyle="--",
            label="scaled",
        )
    x, y = (np.array(values) for values in zip(*(_both(entry) for entry in bins), strict=True))
    wide = np.nan_to_num([entry.error_rms_standard_error for entry in bins])
    axis.errorbar(
        x, y, np.minimum(wide, 0.9 * y), fmt="o", color=COLOURS[0], markersize=3.5, elinewidth=0.8
    )
    levels = ((trust.lower_ev_per_angstrom, "candidate"), (trust.upper_ev_per_angstrom, "failed"))
    for level, word in levels:
        if limits[0] < level < limits[1]:
            axis.axvline(level, color=GREY, linestyle=":", linewidth=0.9)
            axis.annotate(
                word,
                (level, 0.98),
                xycoords=("data", "axes fraction"),
                xytext=(-2, 0),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="top",
                fontsize=6.5,
                color=GREY,
            )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(limits)
    axis.set_ylim(limits)
    axis.set_aspect("equal")
    axis.set_xlabel("rms deviation (eV/Å)")


def _coverage(axis: Any, own: SpeciesCalibration) -> None:
    nominal = own.coverage.nominal
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
    axis.plot(nominal, own.coverage.plain, "o-", color=COLOURS[0], markersize=3, label="deviation")
    axis.plot(
        nominal,
        own.coverage.calibrated,
        "s--",
        color=COLOURS[1],
        markersize=3,
        label="scaled deviation",
    )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    axis.set_xlabel("share expected (Gaussian)")
