"""Quantities, curves and figure of rotations, and of their coincidence with hops."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from analysis.errors import AnalysisError, RangeError
from analysis.figures.hops import rotation_figure
from analysis.hops.all_hops import Hops
from analysis.hops.coincidence import (
    MIN_EXPECTED,
    MIN_ROTATIONS,
    Coincidence,
    hop_rotation_coincidence,
)
from analysis.hops.event_rate import LEVEL
from analysis.hops.hop_findings import rate_quantity
from analysis.hops.rotating_units import rotating_units
from analysis.hops.rotations import (
    Rotations,
    half_widths,
    relaxation_time,
    rotation_rate,
    rotations,
)
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory


def rotation_findings(trajectory: Trajectory, mobile: str, hops: Hops) -> Findings:
    """Describe the rotation of units with fixed ligands, and whether hops coincide with it.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str
        Mobile species.
    hops : Hops
        Of all its ions.
    """
    findings = Findings()
    try:
        found = rotating_units(trajectory)
    except AnalysisError as error:
        return Findings(skipped=[Skipped("rotations", str(error))])
    for units in found:
        name = f"rotations_{units.element}"
        try:
            result = rotations(trajectory, units)
        except RangeError as error:
            findings.skipped.append(Skipped(name, str(error)))
            continue
        findings.quantities += rotation_quantities(result)
        findings.curves += rotation_curves(result)
        findings.figures[name] = rotation_figure(result)
        pair = f"hop_rotation_coincidence_{mobile}_{units.element}"
        if len(result.units) < MIN_ROTATIONS:
            reason = f"{len(result.units)} rotations of {units.element}; needs {MIN_ROTATIONS}"
            findings.quantities.append(
                Quantity(pair, math.nan, "1", status="unresolved", reason=reason)
            )
            continue
        try:
            coincidence = hop_rotation_coincidence(
                trajectory, trajectory.ids_of(mobile), hops, result
            )
        except RangeError as error:
            findings.skipped.append(Skipped(pair, str(error)))
            continue
        findings.quantities.append(_coincidence_quantity(pair, coincidence))
    return findings


def rotation_quantities(result: Rotations) -> list[Quantity]:
    """Return relaxation time, rate of jumps and share of units that could be followed."""
    element, curve = result.element, f"rotational_correlation_{result.element}.csv"
    number = len(result.followed)
    time = relaxation_time(result)
    name = f"rotational_relaxation_time_{element}"
    if math.isfinite(time.value) and math.isfinite(time.high):
        reason = f"C1 falls to 1/e, {number} units, error from groups of them"
        relaxation = Quantity(
            name, time.value, "ps", time.low, time.high, reason=reason, curve=curve
        )
    else:
        reason = (
            f"C1 is not known to fall to 1/e within half the run, {result.times_ps[-1]:.4g} ps; "
            "lower bound"
        )
        relaxation = Quantity(
            name, math.nan, "ps", time.low, math.inf, 0.95, "unresolved", reason, curve
        )
    angle = ""
    if len(result.units):
        angle = f", mean angle {result.angles_degree.mean():.0f} degrees"
    return [
        relaxation,
        rate_quantity(
            f"rotation_rate_{element}",
            rotation_rate(result),
            f"jumps of {number} units that are not undone{angle}",
        ),
        Quantity(
            f"rotation_followed_share_{element}",
            number / result.n_units,
            "1",
            reason=f"{number} of {result.n_units} units keep their ligands for the whole run",
        ),
    ]


def rotation_curves(result: Rotations) -> list[Curve]:
    """Return the correlation functions and, if there are any, the jumps."""
    curves = [
        Curve(
            f"rotational_correlation_{result.element}",
            {
                "time [ps]": result.times_ps,
                "C1 [1]": result.c1,
                "half interval of C1 [1]": half_widths(result.c1_groups),
                "C2 [1]": result.c2,
                "half interval of C2 [1]": half_widths(result.c2_groups),
            },
        )
    ]
    if len(result.units):
        order = np.argsort(result.event_times_ps, kind="stable")
        curves.append(
            Curve(
                f"rotation_events_{result.element}",
                {
                    "time [ps]": result.event_times_ps[order],
                    "row of the centre [1]": result.followed[result.units[order]].astype(float),
                    "angle [degree]": result.angles_degree[order],
                },
            )
        )
    return curves


def _coincidence_quantity(name: str, found: Coincidence) -> Quantity:
    counts = (
        f"{found.observed} hops within {found.window_ps:g} ps and {found.radius_angstrom:g} "
        f"Angstrom of {found.n_rotations} rotations, {found.expected:.1f} by chance"
    )
    if found.expected < MIN_EXPECTED:
        # Upper limit of the count over the chance that is left at least.
        high = math.inf
        if found.expected > 0:
            high = float(stats.gamma.ppf(LEVEL, found.observed + 1)) / found.expected
        reason = f"{counts}; needs {MIN_EXPECTED:g} by chance"
        return Quantity(name, math.nan, "1", 0.0, high, status="unresolved", reason=reason)
    if not math.isfinite(found.high):
        reason = f"{counts}, of too few units for an interval; p = {found.p_value:.2g}"
        return Quantity(name, math.nan, "1", status="unresolved", reason=reason)
    reason = f"{counts}; more than chance with p = {found.p_value:.2g}"
    return Quantity(name, found.ratio, "1", found.low, found.high, reason=reason)
