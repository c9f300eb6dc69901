"""Limits of the tests in motion: read from `thresholds.yml`, each with value, unit and reason."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mlip.recipes.base import Recipe, load_recipe
from mlip.validation.thresholds import Threshold

FILE = Path(__file__).with_name("thresholds.yml")


class AimdLimits(Recipe):
    """Largest differences from AIMD."""

    msd_ratio: Threshold
    vdos_distance: Threshold
    peak_shift: Threshold
    rdf_r_factor: Threshold
    rdf_peak_shift: Threshold
    temperature: Threshold


class StabilityLimits(Recipe):
    """How far a run may leave what it started from."""

    distance_margin: Threshold
    intact_share: Threshold
    temperature: Threshold
    volume_change: Threshold


class ConservationLimits(Recipe):
    """Largest drift of the energy."""

    drift: Threshold


class DynamicsLimits(Recipe):
    """Everything in `thresholds.yml`."""

    aimd: AimdLimits
    stability: StabilityLimits
    nve: ConservationLimits


@cache
def dynamics_limits() -> DynamicsLimits:
    """Read the limits that come with the package."""
    return load_recipe(FILE, DynamicsLimits)
