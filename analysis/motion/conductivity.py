"""Ionic conductivity from diffusion."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from analysis.constants import (
    BOLTZMANN_JOULE_PER_KELVIN,
    CM_PER_ANGSTROM,
    ELEMENTARY_CHARGE_COULOMB,
)
from analysis.errors import AnalysisError
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
