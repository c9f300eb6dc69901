"""Results of runs at several temperatures, with planted activation energies and errors."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from analysis.results import Quantity
from analysis.series.arrhenius import BOLTZMANN_EV_PER_KELVIN
from analysis.series.run_result import RunResult

D, SIGMA = "diffusion_coefficient_Li", "conductivity_nernst_einstein_Li"
KELVINS = (500.0, 600.0, 700.0, 800.0, 900.0)


def resolved(name, value, error, unit="cm^2/s"):
    """A value whose logarithm has the standard error `error`; none for nan."""
    arm = 1.959964 * error * value
    return Quantity(name, value, unit, value - arm, value + arm, reason="planted")


def bounded(hop_bound, msd_bound=1e-6):
    """An unresolved D with both of its bounds."""
    words = {"unit": "cm^2/s", "low": 0.0, "status": "unresolved"}
    return {
        D: Quantity(D, math.nan, high=msd_bound, reason="12 net hops; needs 100", **words),
        "diffusion_coefficient_msd_bound_Li": Quantity(
            "diffusion_coefficient_msd_bound_Li", math.nan, high=msd_bound, reason="a", **words
        ),
        "diffusion_coefficient_hop_bound_Li": Quantity(
            "diffusion_coefficient_hop_bound_Li", math.nan, high=hop_bound, reason="b", **words
        ),
    }


def run_at(
    kelvin, value, error=0.1, *, sample="one", replica=0, member="0", framework=0.2, more=None
):
    """A run with a resolved D (a number) or the quantities given."""
    quantities = {D: resolved(D, value, error)} if isinstance(value, float) else dict(value)
    name = "framework_mean_squared_displacement_P"
    quantities[name] = Quantity(name, framework, "Angstrom^2", reason="MSD of P")
    quantities |= more or {}
    path = Path(f"{sample}_{kelvin:g}K_{replica}_{member}")
    return RunResult(sample, float(kelvin), replica, member, quantities, path)


def on_line(kelvin, energy_ev=0.35, prefactor=1e-3):
    """D of an Arrhenius line."""
    return prefactor * math.exp(-energy_ev / (BOLTZMANN_EV_PER_KELVIN * kelvin))


def ladder(
    rng, *, energy_ev=0.35, error=0.1, kelvins=KELVINS, sample="one", offset=0.0, member="0"
):
    """Runs of one sample with noise of known size about a line shifted by `offset` in ln D."""
    return [
        run_at(
            kelvin,
            on_line(kelvin, energy_ev) * math.exp(offset + error * rng.normal()),
            error,
            sample=sample,
            member=member,
        )
        for kelvin in kelvins
    ]


def published_beta():
    """D of beta-Li3PS4 in Nat. Commun. 16, 1057 (2025), Source Data of Fig. 3a, without errors."""
    kelvins = (300, 700, 800, 900, 1000)
    values = (4.392e-11, 8.413e-7, 5.593e-6, 1.432e-5, 4.503e-5)
    return [run_at(k, value, np.nan) for k, value in zip(kelvins, values, strict=True)]
