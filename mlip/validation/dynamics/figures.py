"""AIMD beside the potential: MSD, vibrations, g(r); and the energy at constant energy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.constants import FloatArray
from mlip.files import replacing
from mlip.validation.dynamics.findings import Comparison, mean_spectrum
from mlip.validation.figures import COLOURS, DPI, SETTINGS

REFERENCE, MODEL = "0.15", COLOURS[1]


def msd_figure(path: Path, comparison: Comparison) -> None:
    """Draw the MSD of every species: AIMD, mean of the replicas, and their range."""
    names = comparison.aimd.species
    with rc_context(SETTINGS):
        figure, axes = _panels(1, len(names))
        for axis, name in zip(axes, names, strict=True):
            curves = np.array([o.msd[name] for o in comparison.replicas])
            times = comparison.replicas[0].times_ps
            axis.plot(
                comparison.aimd.times_ps, comparison.aimd.msd[name], color=REFERENCE, label="AIMD"
            )
            _band(axis, times, curves)
            axis.set_title(name)
            axis.set_xlabel("lag time (ps)")
            axis.set_ylabel("MSD (Å$^2$)")
            axis.set_xlim(0, times[-1])
            axis.set_ylim(bottom=0)
        _legend(figure, axes[0])
        _save(figure, path)


def vibrations_figure(path: Path, comparison: Comparison, highest_per_cm: float) -> None:
    """Draw the density of states of every species; windows of compared peaks are shaded."""
    names = comparison.aimd.species
    with rc_context(SETTINGS):
        figure, axes = _panels(1, len(names))
        for axis, name in zip(axes, names, strict=True):
            aimd = comparison.aimd.vibrations[name]
            mean = mean_spectrum(comparison.replicas, aimd)
            curves = np.array(
                [
                    np.interp(
                        mean.frequencies_thz,
                        o.vibrations[name].frequencies_thz,
                        o.vibrations[name].density,
                    )
                    for o in comparison.replicas
                ]
            )
            for peak in comparison.peaks:
                if peak.species == name:
                    axis.axvspan(*peak.window_per_cm, color="0.92", linewidth=0, zorder=0)
            axis.plot(aimd.frequencies_per_cm, aimd.density, color=REFERENCE, label="AIMD")
            _band(axis, aimd.frequencies_per_cm, curves)
            axis.set_title(name)
            axis.set_xlabel("frequency (1/cm)")
            axis.set_ylabel("density of states (1/THz)")
            axis.set_xlim(0, highest_per_cm)
            axis.set_ylim(bottom=0)
        _legend(figure, axes[0])
        _save(figure, path)


def rdf_figure(path: Path, comparison: Comparison) -> None:
    """Draw g(r) of every pair."""
    pairs = list(comparison.aimd.pairs.values())
    columns = min(3, len(pairs))
    with rc_context(SETTINGS):
        figure, axes = _panels(math.ceil(len(pairs) / columns), columns)
        for axis, pair in zip(axes, pairs, strict=False):
            curves = np.array([o.pairs[pair.label].g for o in comparison.replicas])
            axis.plot(pair.r_angstrom, pair.g, color=REFERENCE, label="AIMD")
            _band(axis, pair.r_angstrom, curves)
            axis.axhline(1.0, color="0.7", linewidth=0.6, zorder=0)
            axis.set_title(pair.label)
            axis.set_xlabel("r (Å)")
            axis.set_ylabel("g(r)")
            axis.set_xlim(0, pair.edges_angstrom[-1])
            axis.set_ylim(0, 1.1 * max(float(pair.g.max()), float(curves.max()), 1.0))
        for axis in axes[len(pairs) :]:
            axis.set_visible(False)
        _legend(figure, axes[0])
        _save(figure, path)


def energy_figure(
    path: Path,
    times_ps: FloatArray,
    energies_ev: FloatArray,
    drift_ev_per_ps: float,
    half_width_ev_per_ps: float,
) -> None:
    """Draw the total energy an atom (eV) against time, with the fitted drift and its interval."""
    shift = 1e3 * (energies_ev - energies_ev.mean())
    with rc_context(SETTINGS):
        figure, (axis,) = _panels(1, 1)
        axis.plot(times_ps, shift, color=COLOURS[4], linewidth=0.7, label="total energy")
        line = 1e3 * drift_ev_per_ps * (times_ps - times_ps.mean())
        drift, half = 1e3 * drift_ev_per_ps, 1e3 * half_width_ev_per_ps
        label = f"{drift:.2g} ± {half:.1g} (95 %) meV/atom/ps"
        axis.plot(times_ps, line, color=REFERENCE, label=label)
        axis.set_xlabel("time (ps)")
        axis.set_ylabel("energy − mean (meV/atom)")
        axis.set_xlim(times_ps[0], times_ps[-1])
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + 0.3 * (high - low))
        axis.legend(loc="upper left")
        _save(figure, path)


def _band(axis: Any, x: FloatArray, curves: FloatArray) -> None:
    axis.fill_between(
        x, curves.min(axis=0), curves.max(axis=0), color=MODEL, alpha=0.25, linewidth=0
    )
    axis.plot(
        x,
        curves.mean(axis=0),
        color=MODEL,
        linestyle="--",
        linewidth=1.2,
        label=f"potential: mean and range of {len(curves)} replicas",
    )


def _legend(figure: Figure, axis: Any) -> None:
    # Above the panels: curves fill them.
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)


def _panels(rows: int, columns: int) -> tuple[Figure, Sequence[Any]]:
    # A Figure without pyplot draws with Agg and leaves no global state.
    figure = Figure(figsize=(2.8 * columns + 0.4, 2.5 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
