"""All that is to be said of disorder along one axis: F(z), profiles, interfaces."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.constants import IntArray
from analysis.disorder.axis import Axis
from analysis.disorder.disorder_profile import (
    DisorderProfile,
    disorder_profile,
    disorder_profile_curves,
    disorder_profile_quantities,
)
from analysis.disorder.interfaces import Interfaces, disorder_interfaces, interface_quantities
from analysis.disorder.measure import DisorderSettings
from analysis.disorder.profiles import density_profile_curves, density_profiles
from analysis.disorder.references import MappedDisorder, map_to_references
from analysis.errors import AnalysisError, RangeError
from analysis.figures.disorder import disorder_figure
from analysis.results import Curve, Findings, Skipped
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
    findings.skipped.append(Skipped(name, f"{_bulk(profile)}: {interfaces.reason}"))
    return None


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
