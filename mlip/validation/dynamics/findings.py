"""Rows of the physics table from the observables of one AIMD run and of the replicas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.motion.vibrations import VibrationalDensityOfStates, peak_in_window
from mlip.recipes.dynamics import Peak
from mlip.validation.dynamics.compare import (
    distance_floor,
    judge_difference,
    judge_distance,
    leave_one_out,
    rdf_r_factor,
    scatter_floor,
    spectrum_distance,
)
from mlip.validation.dynamics.observables import Observables, first_peak, msd_level
from mlip.validation.dynamics.thresholds import AimdLimits
from mlip.validation.finding import Finding, Verdict


@dataclass(frozen=True)
class Comparison:
    """AIMD and replicas of the potential, over equally long trajectories of one cell.

    Attributes
    ----------
    subject : str
    aimd : Observables
    halves : tuple of Observables
        Of the two halves of the AIMD.
    replicas : tuple of Observables
    peaks : tuple of Peak
    """

    subject: str
    aimd: Observables
    halves: tuple[Observables, Observables]
    replicas: tuple[Observables, ...]
    peaks: tuple[Peak, ...]


def compare_with_aimd(comparison: Comparison, limits: AimdLimits) -> list[Finding]:
    """Return all rows of one AIMD run."""
    return [
        *_temperature(comparison, limits),
        *_msd(comparison, limits),
        *_vibrations(comparison, limits),
        *_peaks(comparison, limits),
        *_structure(comparison, limits),
    ]


def mean_spectrum(
    replicas: Sequence[Observables], like: VibrationalDensityOfStates
) -> VibrationalDensityOfStates:
    """Return the mean density of states of a species, on the grid of another."""
    spectra = [_on_grid(o.vibrations[like.label], like) for o in replicas]
    return VibrationalDensityOfStates(
        label=like.label,
        n_atoms=like.n_atoms,
        share=like.share,
        frequencies_thz=like.frequencies_thz,
        density=np.mean(spectra, axis=0),
        resolution_per_cm=like.resolution_per_cm,
        kinetic_temperature_kelvin=float(
            np.mean([o.vibrations[like.label].kinetic_temperature_kelvin for o in replicas])
        ),
        velocities=like.velocities,
    )


def _temperature(c: Comparison, limits: AimdLimits) -> list[Finding]:
    reference = c.aimd.temperature_kelvin
    values = [o.temperature_kelvin for o in c.replicas]
    if not (math.isfinite(reference) and np.isfinite(values).all()):
        return []
    value = float(np.mean(values))
    relative = value / reference - 1.0
    floor = scatter_floor([v / reference for v in values])
    limit = limits.temperature.value
    return [
        Finding(
            c.subject,
            "kinetic temperature (K)",
            value,
            reference,
            "AIMD",
            limit,
            judge_difference(relative, limit, floor),
            f"off by {relative:+.1%} (limit {limit:.0%}); one more run may be off by {floor:.1%}. "
            "Beyond the limit set temperature_kelvin to that of the AIMD, or look for frames too "
            "far apart; the other rows then compare two temperatures",
        )
    ]


def _msd(c: Comparison, limits: AimdLimits) -> list[Finding]:
    found = []
    limit = limits.msd_ratio.value
    for name in c.aimd.species:
        reference = msd_level(c.aimd.times_ps, c.aimd.msd[name])
        levels = [msd_level(o.times_ps, o.msd[name]) for o in c.replicas]
        first, second = (msd_level(o.times_ps, o.msd[name]) for o in c.halves)
        if min(reference, first, second, *levels) <= 0.0:
            quantity, reason = f"MSD of {name} (Å^2)", f"{name} does not move"
            found.append(_not_assessed(c.subject, quantity, limit, reason))
            continue
        value = math.exp(float(np.mean(np.log(levels))))
        difference = math.log(value / reference)
        floor = scatter_floor(np.log(levels).tolist())
        verdict = judge_difference(difference, math.log(limit), floor)
        low, high = (0.25 * c.aimd.times_ps[-1], 0.5 * c.aimd.times_ps[-1])
        found.append(
            Finding(
                c.subject,
                f"MSD of {name} (Å^2)",
                value,
                reference,
                "AIMD",
                limit,
                verdict,
                f"mean over lags of {low:.3g} to {high:.3g} ps: {value / reference:.2f} times AIMD "
                f"(limit {limit:g} times either way); {len(levels)} replicas: one more run lies "
                f"within a factor of {_factor(floor)}; the halves of the AIMD differ by "
                f"{_factor(abs(math.log(second / first)))}" + _too_short(verdict),
            )
        )
    return found


def _vibrations(c: Comparison, limits: AimdLimits) -> list[Finding]:
    limit = limits.vdos_distance.value
    found = []
    for name in c.aimd.species:
        quantity = f"vibrations of {name} at other frequencies (share)"
        if reason := _unresolved(c):
            found.append(_not_assessed(c.subject, quantity, limit, reason))
            continue
        aimd = c.aimd.vibrations[name]
        grid = aimd.frequencies_thz
        mean = mean_spectrum(c.replicas, aimd)
        distance = spectrum_distance(grid, aimd.density, mean.density)
        floors = [
            spectrum_distance(grid, one, rest)
            for one, rest in leave_one_out([_on_grid(o.vibrations[name], aimd) for o in c.replicas])
        ]
        floor = distance_floor(floors)
        verdict = judge_distance(distance, limit, floor)
        halves = ""
        if all(o.vibrations for o in c.halves):
            one, other = (_on_grid(o.vibrations[name], aimd) for o in c.halves)
            halves = f"; halves of the AIMD {spectrum_distance(grid, one, other):.3f}"
        found.append(
            Finding(
                c.subject,
                quantity,
                distance,
                0.0,
                "AIMD",
                limit,
                verdict,
                f"part of the density of states that does not overlap with AIMD, lines "
                f"{aimd.resolution_per_cm:g} 1/cm wide; a replica against the others up to "
                f"{floor:.3f}{halves}" + _too_short(verdict),
            )
        )
    return found


def _peaks(c: Comparison, limits: AimdLimits) -> list[Finding]:
    limit = limits.peak_shift.value
    found = []
    for peak in c.peaks:
        quantity = f"{peak.name} (1/cm)"
        reason = _unresolved(c)
        if not reason and peak.species not in c.aimd.vibrations:
            reason = f"no atom is {peak.species}"
        if reason:
            found.append(_not_assessed(c.subject, quantity, limit, reason))
            continue
        low, high = peak.window_per_cm
        aimd = c.aimd.vibrations[peak.species]
        reference = peak_in_window(aimd, low, high)
        value = peak_in_window(mean_spectrum(c.replicas, aimd), low, high)
        if not math.isfinite(reference):
            reason = f"AIMD has no peak of {peak.species} between {low:g} and {high:g} 1/cm"
            found.append(_not_assessed(c.subject, quantity, limit, reason))
            continue
        if not math.isfinite(value):
            text = f"the potential has no peak of {peak.species} between {low:g} and {high:g} 1/cm"
            found.append(Finding(c.subject, quantity, None, reference, "AIMD", limit, "fail", text))
            continue
        each = [peak_in_window(o.vibrations[peak.species], low, high) for o in c.replicas]
        floor = scatter_floor([p for p in each if math.isfinite(p)])
        verdict = judge_difference(value - reference, limit, floor)
        halves = [
            peak_in_window(o.vibrations[peak.species], low, high)
            for o in c.halves
            if peak.species in o.vibrations
        ]
        halves_text = " and ".join(f"{p:.0f}" for p in halves if math.isfinite(p))
        found.append(
            Finding(
                c.subject,
                quantity,
                value,
                reference,
                "AIMD",
                limit,
                verdict,
                f"highest peak of {peak.species} between {low:g} and {high:g} 1/cm: shifted by "
                f"{value - reference:+.1f}; one more run may be off by {floor:.1f}"
                + (f"; halves of the AIMD at {halves_text}" if halves_text else "")
                + _too_short(verdict),
            )
        )
    return found


def _structure(c: Comparison, limits: AimdLimits) -> list[Finding]:
    found = []
    for label, aimd in c.aimd.pairs.items():
        curves = [o.pairs[label].g for o in c.replicas]
        mean = np.mean(curves, axis=0)
        r = aimd.r_angstrom
        limit = limits.rdf_r_factor.value
        factor = rdf_r_factor(r, aimd.g, mean)
        quantity = f"g(r) of {label}, R factor"
        if not math.isfinite(factor):
            reason = f"AIMD has no such pair up to {r[-1]:.2f} Å"
            found.append(_not_assessed(c.subject, quantity, limit, reason))
            continue
        floor = distance_floor([rdf_r_factor(r, rest, one) for one, rest in leave_one_out(curves)])
        verdict = judge_distance(factor, limit, floor)
        halves = rdf_r_factor(r, c.halves[0].pairs[label].g, c.halves[1].pairs[label].g)
        position, height = first_peak(aimd)
        own_position, own_height = first_peak(aimd, mean)
        heights = ""
        if math.isfinite(height) and math.isfinite(own_height):
            heights = f"; first peak {own_height:.2f} high, {height:.2f} in AIMD"
        found.append(
            Finding(
                c.subject,
                quantity,
                factor,
                0.0,
                "AIMD",
                limit,
                verdict,
                f"rms difference of r g(r) up to {r[-1]:.2f} Å relative to its rms; a replica "
                f"against the others up to {floor:.3f}, halves of the AIMD {halves:.3f}"
                + heights
                + _too_short(verdict),
            )
        )
        found += _first_peak(c, limits, label, position, own_position)
    return found


def _first_peak(
    c: Comparison, limits: AimdLimits, label: str, reference: float, value: float
) -> list[Finding]:
    limit = limits.rdf_peak_shift.value
    quantity = f"first peak of g(r) of {label} (Å)"
    each = [first_peak(o.pairs[label])[0] for o in c.replicas]
    located = [p for p in each if math.isfinite(p)]
    if not math.isfinite(reference) or not math.isfinite(value):
        whose = "AIMD" if not math.isfinite(reference) else "the potential"
        reason = f"{whose} has no significant first peak of {label} in range"
        return [_not_assessed(c.subject, quantity, limit, reason)]
    floor = scatter_floor(located)
    verdict = judge_difference(value - reference, limit, floor)
    text = f"shifted by {value - reference:+.3f}; one more run may be off by {floor:.3f}"
    return [
        Finding(
            c.subject,
            quantity,
            value,
            reference,
            "AIMD",
            limit,
            verdict,
            text + _too_short(verdict),
        )
    ]


def _unresolved(c: Comparison) -> str:
    reasons = [o.no_vibrations for o in (c.aimd, *c.replicas) if not o.vibrations]
    return reasons[0] if reasons else ""


def _on_grid(spectrum: VibrationalDensityOfStates, like: VibrationalDensityOfStates) -> np.ndarray:
    return np.interp(like.frequencies_thz, spectrum.frequencies_thz, spectrum.density)


def _not_assessed(subject: str, quantity: str, limit: float, reason: str) -> Finding:
    return Finding(subject, quantity, None, None, "AIMD", limit, "not assessed", reason)


def _factor(logarithm: float) -> str:
    return f"{math.exp(logarithm):.2f}" if logarithm < 5.0 else "more than 100"


def _too_short(verdict: Verdict) -> str:
    if verdict != "not assessed":
        return ""
    return "; the limit cannot be seen in runs this short: a longer AIMD or more replicas"
