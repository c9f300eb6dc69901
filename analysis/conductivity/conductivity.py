"""Ionic conductivity: of independent ions, of all ions together, and their ratio."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import stats

from analysis.conductivity.collective import ChargeDisplacement, sine_ordinates
from analysis.conductivity.collective_slope import LEVEL, MIN_TAPERS, CollectiveSlope
from analysis.constants import (
    BOLTZMANN_JOULE_PER_KELVIN,
    CM2_PER_S_PER_ANGSTROM2_PER_PS,
    CM_PER_ANGSTROM,
    ELEMENTARY_CHARGE_COULOMB,
)
from analysis.errors import AnalysisError
from analysis.motion.diffusion import Diffusion
from analysis.results import Quantity
from analysis.trajectory import Trajectory


def number_density(trajectory: Trajectory, species: str) -> float:
    """Return the number of atoms of `species` per volume, averaged over frames, cm^-3."""
    per_volume = len(trajectory.ids_of(species)) * float(np.mean(1.0 / trajectory.volumes))
    return per_volume / CM_PER_ANGSTROM**3


def nernst_einstein_conductivity(
    diffusion: Quantity,
    *,
    number_density_per_cm3: float,
    temperature_kelvin: float,
    charge_e: float,
) -> Quantity:
    """Convert a diffusion coefficient to the conductivity of independent ions.

    Parameters
    ----------
    diffusion : Quantity
        D in cm^2/s; its interval, status and reason are carried over, so an unresolved D gives an
        unresolved conductivity with the corresponding bound.
    number_density_per_cm3 : float
        Number density of the ions.
    temperature_kelvin : float
    charge_e : float
        Charge of an ion, elementary charges.

    Returns
    -------
    Quantity
        sigma = n z^2 e^2 D / (kB T), S/cm. The interval is that of D alone; correlated motion of
        ions, the Haven ratio, is not in it.

    Raises
    ------
    AnalysisError
        If `diffusion` is not in cm^2/s or density or temperature is not positive.

    Notes
    -----
    Nernst-Einstein relation (Atkins and de Paula, Physical Chemistry, ch. "Molecules in motion").
    """
    if diffusion.unit != "cm^2/s":
        raise AnalysisError(f"{diffusion.name} is in {diffusion.unit}; expected cm^2/s")
    if not (number_density_per_cm3 > 0 and temperature_kelvin > 0):
        raise AnalysisError(
            f"number density {number_density_per_cm3} cm^-3 and temperature {temperature_kelvin} K "
            "must be positive"
        )
    # With D in cm^2/s and n in cm^-3 this is S/cm.
    factor = (
        number_density_per_cm3
        * (charge_e * ELEMENTARY_CHARGE_COULOMB) ** 2
        / (BOLTZMANN_JOULE_PER_KELVIN * temperature_kelvin)
    )
    label = diffusion.name.removeprefix("diffusion_coefficient_")
    conditions = (
        f"Nernst-Einstein, n = {number_density_per_cm3:.4g} cm^-3, z = {charge_e:g}, "
        f"T = {temperature_kelvin:g} K"
    )
    return replace(
        diffusion,
        name=f"conductivity_nernst_einstein_{label}",
        value=diffusion.value * factor if diffusion.status == "ok" else math.nan,
        unit="S/cm",
        low=diffusion.low * factor,
        high=diffusion.high * factor,
        reason=f"{conditions}; D: {diffusion.reason}" if diffusion.reason else conditions,
    )


def conductivity_per_slope(trajectory: Trajectory) -> float:
    """Return the conductivity that a unit slope of the squared charge displacement makes.

    Returns
    -------
    float
        1 / (2 V kB T) in S/cm per e^2 Angstrom^2/ps, for the slope in one direction; 1/V is the
        mean over frames.

    Raises
    ------
    AnalysisError
        If the trajectory names no temperature.
    """
    if trajectory.temperature_kelvin is None:
        raise AnalysisError(f"{trajectory.path}: the trajectory names no temperature")
    siemens_per_cm = ELEMENTARY_CHARGE_COULOMB**2 * CM2_PER_S_PER_ANGSTROM2_PER_PS
    volume_cm3 = CM_PER_ANGSTROM**3 / float(np.mean(1.0 / trajectory.volumes))
    energy_joule = BOLTZMANN_JOULE_PER_KELVIN * trajectory.temperature_kelvin
    return siemens_per_cm / (2.0 * volume_cm3 * energy_joule)


def collective_conductivity(
    slope: CollectiveSlope, charge: ChargeDisplacement, scale: float, *, name: str, curve: str = ""
) -> Quantity:
    """Convert the long-time slope of the squared charge displacement to a conductivity.

    Parameters
    ----------
    slope : CollectiveSlope
    charge : ChargeDisplacement
        What the slope was taken from.
    scale : float
        From `conductivity_per_slope`.
    name, curve : str

    Returns
    -------
    Quantity
        S/cm; unresolved where `slope.objection` says why; `high` is then a bound, or inf.

    Notes
    -----
    sigma = lim d/dt <|sum_i z_i e dr_i|^2> / (2 d V kB T), the Einstein relation of the charge:
    France-Lanord and Grossman, Phys. Rev. Lett. 122, 136001 (2019),
    doi 10.1103/PhysRevLett.122.136001.
    """
    way = (
        f"squared charge displacement of {len(charge.ids)} atoms, {charge.reference_name}; "
        f"{slope.n_tapers} windows of {slope.window_ps:.3g} ps, "
        f"{slope.degrees_of_freedom:.0f} degrees of freedom"
    )
    if slope.memory > 0.0:
        way += f"; lower limit includes {100 * slope.memory:.0f} % memory of single ions"
    low, high = slope.low * scale, slope.high * scale
    if slope.objection or not slope.slope > 0.0:
        why = slope.objection or "the ions do not move"
        return Quantity(
            name, math.nan, "S/cm", 0.0, high, status="unresolved", reason=f"{why}; {way}",
            curve=curve,
        )  # fmt: skip
    return Quantity(name, slope.slope * scale, "S/cm", low, high, LEVEL, "ok", way, curve)


def collective_bound(
    charge: ChargeDisplacement,
    diffusion: Diffusion,
    trajectory: Trajectory,
    *,
    squared_charges: float,
    name: str,
    curve: str = "",
) -> Quantity:
    """Bound the conductivity from above where single ions are not seen to diffuse.

    Parameters
    ----------
    charge : ChargeDisplacement
    diffusion : Diffusion
        Of the mobile ions; its bound by net hops enters, since motion that a run does not contain
        is not in its charge displacement either.
    trajectory : Trajectory
    squared_charges : float
        Sum of the squared charges of the mobile ions, e^2.
    name, curve : str

    Returns
    -------
    Quantity
        Unresolved; `high` is the larger of the one-sided 0.95 limit by the three slowest sine
        tapers and of that by net hops of independent ions, inf while motion is ballistic.
    """
    scale = conductivity_per_slope(trajectory)
    ordinates = sine_ordinates(charge.path, MIN_TAPERS)
    slope = float((ordinates**2).mean()) / charge.frame_interval_ps
    limit = slope * ordinates.size / float(stats.chi2.ppf(1.0 - LEVEL, ordinates.size))
    hops = 2.0 * diffusion.hop_bound.high / CM2_PER_S_PER_ANGSTROM2_PER_PS
    limit = max(limit, hops * squared_charges)
    if not math.isfinite(diffusion.msd_bound.high):
        limit = math.inf
    return Quantity(
        name,
        math.nan,
        "S/cm",
        0.0,
        limit * scale,
        LEVEL,
        "unresolved",
        f"single ions are not seen to diffuse; upper bound {limit * scale:.2g} S/cm from the "
        "slowest charge displacement or net hops of independent ions, whichever is larger",
        curve,
    )


def haven_ratio(slope: CollectiveSlope, conductivity: Quantity, *, name: str) -> Quantity:
    """Divide the conductivity of independent ions by the collective one.

    Parameters
    ----------
    slope : CollectiveSlope
        Both are from its tapers, hence from the same displacements.
    conductivity : Quantity
        The collective conductivity; where it is unresolved the ratio is.
    name : str

    Returns
    -------
    Quantity
        H_R = sigma_NE / sigma. The interval is that of a ratio of two mean squares (Snedecor F),
        taken as independent: both share fluctuations, so that it is rather too wide. The lower
        limit is moved down by the memory of single ions, which collective motion may not share.

    Notes
    -----
    Murch, Solid State Ionics 7, 177 (1982), doi 10.1016/0167-2738(82)90050-9.
    """
    if conductivity.status != "ok":
        reason = "the collective conductivity is unresolved"
        return Quantity(name, math.nan, "1", 0.0, math.inf, status="unresolved", reason=reason)
    value = slope.ion_slope / slope.slope
    tail = 0.5 * (1.0 - LEVEL)
    law = stats.f(slope.ion_degrees_of_freedom, slope.degrees_of_freedom)
    low, high = value / law.ppf(1.0 - tail), value / law.ppf(tail)
    return Quantity(
        name,
        value,
        "1",
        float(low) / (1.0 + slope.memory),
        float(high),
        LEVEL,
        "ok",
        f"independent over collective, both from {slope.n_tapers} windows of "
        f"{slope.window_ps:.3g} ps",
    )
