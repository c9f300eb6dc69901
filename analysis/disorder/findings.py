"""All that is to be said of disorder along one axis: F(z), profiles, interfaces."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import stats

from analysis.constants import IntArray
from analysis.disorder.axis import Axis
from analysis.disorder.disorder_profile import (
    LEVEL,
    DisorderProfile,
    disorder_profile,
    disorder_profile_curves,
    disorder_profile_quantities,
)
from analysis.disorder.interfaces import WIDTH_10_90, Interfaces, disorder_interfaces
from analysis.disorder.measure import DisorderSettings
from analysis.disorder.profiles import density_profile_curves, density_profiles
from analysis.disorder.references import MappedDisorder, map_to_references
from analysis.errors import AnalysisError, RangeError
from analysis.figures.disorder import disorder_figure
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory


def disorder_findings(
    trajectory: Trajectory,
    axis: Axis,
    settings: DisorderSettings | None = None,
    *,
    references: tuple[DisorderProfile, DisorderProfile] | None = None,
    n_planes: int | None = None,
    charges_e: Mapping[str, float] | None = None,
    ids: IntArray | None = None,
    framework_ids: IntArray | None = None,
    stride: int | None = None,
) -> tuple[Findings, Interfaces | None]:
    """Compute, tabulate and draw F(z), density profiles and interfaces along one axis.

    Parameters
    ----------
    trajectory : Trajectory
    axis : {"a", "b", "c"}
    settings : DisorderSettings, optional
        If not given, a cell that is too small for F(z) is left out with the reason instead of
        refused.
    references : (DisorderProfile, DisorderProfile), optional
        Crystal and glass that F is mapped to; where they do not fit the reason is in
        `findings.skipped`.
    n_planes : int, optional
        Number of interfaces, if known.
    charges_e : mapping of str to float, optional
        Charge of every species for the charge profile.
    ids : (n,) int array, optional
        Atoms that make up the density of F(z); by default all. Ions that diffuse or occupy sites
        at random hide a crystal at high temperature, those of the framework show it.
    framework_ids : (n,) int array, optional
        Atoms whose centre of mass is at rest along the axis; by default all.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Returns
    -------
    findings : Findings
    interfaces : Interfaces or None
        None where no interface was found; `findings.skipped` says why.

    Raises
    ------
    RangeError, AnalysisError
        As the functions for each part, on what was explicitly asked for.
    """
    findings = Findings()
    densities = density_profiles(
        trajectory, axis, charges_e=charges_e, framework_ids=framework_ids, stride=stride
    )
    findings.curves += density_profile_curves(densities)
    if np.isnan(densities.charge_density).any():
        findings.skipped.append(
            Skipped(f"charge_density_{axis}", "no charges are known; give them by species")
        )
    profile: DisorderProfile | None = None
    interfaces: Interfaces | None = None
    mapped: MappedDisorder | None = None
    try:
        profile = disorder_profile(
            trajectory, axis, settings, ids=ids, framework_ids=framework_ids, stride=stride
        )
    except RangeError as error:
        if settings is not None:
            raise
        findings.skipped.append(Skipped(f"disorder_{axis}", str(error)))
    if profile is not None:
        curve = f"disorder_{axis}.csv"
        findings.curves += disorder_profile_curves(profile)
        findings.quantities += disorder_profile_quantities(profile, curve=curve)
        interfaces = _interfaces(profile, n_planes, findings)
        if interfaces is not None:
            findings.quantities += interface_quantities(interfaces, curve=curve)
        if references is None:
            findings.skipped.append(
                Skipped(
                    f"disorder_mapped_{axis}",
                    "no crystal and glass reference of the same plane, slab width and temperature "
                    "is given; F of samples of different area must not be compared",
                )
            )
        else:
            try:
                mapped = map_to_references(profile, *references)
                findings.curves.append(_mapped_curve(axis, mapped))
            except AnalysisError as error:
                findings.skipped.append(Skipped(f"disorder_mapped_{axis}", str(error)))
    findings.figures[f"disorder_{axis}"] = disorder_figure(
        densities, profile=profile, interfaces=interfaces, mapped=mapped
    )
    return findings, interfaces


def interface_quantities(interfaces: Interfaces, *, curve: str = "") -> list[Quantity]:
    """Return position and 10 to 90 % width of every interface, and the share of glass.

    The interval of a position is Student t, but never below half a slab: within a slab the
    profile is an average. A position known no better than to half the cell is unresolved, and so
    is a width that does not differ from zero, with its bound.
    """
    if not interfaces.number:
        return []
    axis, slab = interfaces.axis, interfaces.slab_width_angstrom
    t = float(stats.t.ppf(0.5 + 0.5 * LEVEL, interfaces.degrees_of_freedom))
    half = np.maximum(t * interfaces.z_errors_angstrom, 0.5 * slab)
    height = interfaces.height_angstrom
    placed = half < 0.5 * height
    results = []
    for n in range(interfaces.number):
        side = "glass" if interfaces.glass_above[n] else "crystal"
        z = float(interfaces.z_angstrom[n])
        position = f"interface_position_{axis}_{n + 1}"
        if placed[n]:
            reason = (
                f"{side} above; {interfaces.reason}; interval at least half a slab of "
                f"{slab:.2f} Angstrom"
            )
            results.append(
                Quantity(
                    position, z, "Angstrom", z - half[n], z + half[n], reason=reason, curve=curve
                )
            )
        else:
            results.append(_unplaced(position, "Angstrom", height, interfaces, curve))
        low, high = WIDTH_10_90 * interfaces.width_limits_angstrom[n]
        resolved = low > 0
        results.append(
            Quantity(
                f"interface_width_{axis}_{n + 1}",
                WIDTH_10_90 * interfaces.widths_angstrom[n] if resolved else math.nan,
                "Angstrom",
                low,
                high,
                status="ok" if resolved else "unresolved",
                reason="10 to 90 % of the step; limits where chi squared rises by 3.84"
                if resolved
                else f"slabs of {slab:.2f} Angstrom do not tell the step from a sharp one; `high` "
                "is the 95 % bound of its 10 to 90 % width",
                curve=curve,
            )
        )
    if not placed.all():
        return [*results, _unplaced(f"glass_share_{axis}", "1", 1.0, interfaces, curve)]
    share, error = interfaces.glass_share, float(np.linalg.norm(half)) / height
    results.append(
        Quantity(
            f"glass_share_{axis}",
            share,
            "1",
            max(share - error, 0.0),
            min(share + error, 1.0),
            reason="volume between the middles of the interfaces over that of the cell",
            curve=curve,
        )
    )
    return results


def _interfaces(
    profile: DisorderProfile, n_planes: int | None, findings: Findings
) -> Interfaces | None:
    """Return the interfaces, or None with the reason among what was skipped."""
    name = f"interfaces_{profile.axis}"
    if profile.settings.published_form:
        reason = "F with the zero frequency kept has no contrast between crystal and glass"
        findings.skipped.append(Skipped(name, reason))
        return None
    try:
        interfaces = disorder_interfaces(profile, n_planes=n_planes)
    except RangeError as error:
        if n_planes is not None:
            raise
        findings.skipped.append(Skipped(name, str(error)))
        return None
    if interfaces.number:
        return interfaces
    # Without a contrast there were too few slabs to look for an interface.
    looked = np.isfinite(interfaces.contrast)
    reason = f"{_bulk(profile)}: {interfaces.reason}" if looked else interfaces.reason
    findings.skipped.append(Skipped(name, reason))
    return None


def _unplaced(name: str, unit: str, most: float, interfaces: Interfaces, curve: str) -> Quantity:
    slab = interfaces.slab_width_angstrom
    reason = (
        f"slabs of {slab:.2f} Angstrom do not place an interface to within half the cell; use "
        f"thinner ones. {interfaces.reason}"
    )
    return Quantity(
        name, math.nan, unit, 0.0, most, status="unresolved", reason=reason, curve=curve
    )


def _bulk(profile: DisorderProfile) -> str:
    mean = float(profile.values.mean())
    share = 100.0 * mean / profile.random_level
    return (
        f"no interface found, a bulk cell along {profile.axis}; F is {mean:.3g} on average, "
        f"{share:.0f} % of that of a random gas, {profile.random_level:.3g} (F of a crystal "
        "falls as one over the lattice repeats in the plane: only references of the same plane "
        "tell crystal from glass)"
    )


def _mapped_curve(axis: Axis, mapped: MappedDisorder) -> Curve:
    return Curve(
        f"disorder_mapped_{axis}",
        {
            "z [Angstrom]": mapped.z_angstrom,
            "mapped F [1]": mapped.values,
            "standard error of mapped F [1]": mapped.standard_errors,
        },
    )
