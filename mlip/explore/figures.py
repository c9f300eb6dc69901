"""Figures of the loop: learning curve, shares by state, deviation against error; PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlip.explore.progress import Round
from mlip.report.charts import BLUE, DPI, LIGHT, ORANGE, SETTINGS
from mlip.validation.trust import ACCURATE, CANDIDATE, FAILED, TrustLevels

COLOURS = {ACCURATE: BLUE, CANDIDATE: LIGHT, FAILED: ORANGE}
POINTS = 3000


def learning_curve(rounds: Sequence[Round]) -> bytes:
    """Draw force and energy error on unseen frames against training frames."""
    frames = [r.training_frames for r in rounds]
    with rc_context(SETTINGS):
        figure = Figure(figsize=(4.2, 2.7), layout="constrained")
        axis = figure.add_subplot()
        force = [r.force_rmse_mev_per_angstrom or np.nan for r in rounds]
        axis.plot(frames, force, "o-", color=BLUE, markersize=4)
        axis.set_xlabel("training frames")
        axis.set_ylabel("force RMSE (meV/Å)", color=BLUE)
        axis.set_ylim(0, 1.1 * np.nanmax(force))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        other = axis.twinx()
        energy = [r.energy_rmse_mev_per_atom or np.nan for r in rounds]
        other.plot(frames, energy, "s--", color=ORANGE, markersize=4)
        other.set_ylabel("energy RMSE (meV/atom)", color=ORANGE)
        other.set_ylim(0, 1.1 * np.nanmax(energy))
        other.spines["right"].set_visible(True)
        return _png(figure)


def shares(entry: Round) -> bytes:
    """Draw what share of the frames of each state is accurate, candidate and failed."""
    states = list(entry.shares)
    with rc_context(SETTINGS):
        figure = Figure(figsize=(4.8, 0.9 + 0.26 * len(states)), layout="constrained")
        axis = figure.add_subplot()
        left = np.zeros(len(states))
        for verdict, colour in COLOURS.items():
            values = np.array([entry.shares[state][verdict] for state in states])
            axis.barh(states, values, left=left, color=colour, label=verdict, height=0.7)
            left += values
        axis.invert_yaxis()
        axis.set_xlim(0, 1)
        axis.set_xlabel("share of the frames")
        figure.legend(loc="outside upper center", ncols=3)
        return _png(figure)


def history(rounds: Sequence[Round], wanted: float) -> bytes:
    """Draw the accurate share of each state over the rounds; the wanted share is dashed."""
    states = list(dict.fromkeys(state for r in rounds for state in r.shares))
    with rc_context(SETTINGS):
        figure = Figure(figsize=(4.8, 3.0), layout="constrained")
        axis = figure.add_subplot()
        for number, state in enumerate(states):
            seen = [r for r in rounds if state in r.shares]
            axis.plot(
                [r.number for r in seen],
                [r.shares[state][ACCURATE] for r in seen],
                marker="osv^D"[number % 5],
                markersize=4,
                color=f"C{number % 10}",
                label=state,
            )
        axis.axhline(wanted, color="0.4", linestyle="--", linewidth=0.9)
        axis.set_ylim(-0.03, 1.03)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("round")
        axis.set_ylabel("accurate share")
        figure.legend(loc="outside right upper", fontsize=6.5)
        return _png(figure)


def calibration(content: Mapping[str, Sequence[Any]], levels: TrustLevels) -> bytes:
    """Draw true error against committee deviation of the atoms of unseen frames, by element."""
    species = np.array(content["species"])
    deviation = np.array(content["deviation_ev_per_angstrom"], dtype=float)
    error = np.array(content["error_ev_per_angstrom"], dtype=float)
    names = list(levels.by_species)
    low = max(1e-4, 0.5 * float(min(np.percentile(deviation, 1), np.percentile(error, 1))))
    high = 1.5 * float(max(deviation.max(), error.max()))
    with rc_context(SETTINGS):
        figure = Figure(figsize=(2.5 * len(names) + 0.4, 2.9), layout="constrained")
        axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, names, strict=True):
            own = species == name
            thin = max(1, int(own.sum()) // POINTS)
            axis.loglog(
                deviation[own][::thin], error[own][::thin], ".", color=BLUE, markersize=2, alpha=0.4
            )
            axis.plot([low, high], [low, high], color="0.5", linewidth=0.8)
            trust = levels.by_species[name]
            axis.axvline(trust.lower_ev_per_angstrom, color="0.2", linestyle="--", linewidth=0.9)
            axis.axvline(trust.upper_ev_per_angstrom, color=ORANGE, linestyle="--", linewidth=0.9)
            axis.set_xlim(low, high)
            axis.set_ylim(low, high)
            scale = f"error / deviation {trust.scale:.2g}" if trust.calibrated else "uncalibrated"
            axis.set_title(f"{name}: {scale}", fontsize=8.5)
            axis.set_xlabel("deviation (eV/Å)")
        axes[0].set_ylabel("force error (eV/Å)")
        return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
