"""Tolerances of validation: read from `thresholds.yml`, each with value, unit and reason."""

from __future__ import annotations

from pathlib import Path

from mlip.recipes.base import Recipe, load_recipe

FILE = Path(__file__).with_name("thresholds.yml")


class Threshold(Recipe):
    """One number, its unit, and why it is what it is."""

    value: float
    unit: str
    reason: str


class Tolerances(Recipe):
    """Largest differences of energy and virial (eV/atom) and of a force component (eV/Å)."""

    energy: Threshold
    force: Threshold
    virial: Threshold


class ParityTolerances(Recipe):
    """Tolerances between engines, by network precision and compression."""

    float32: Tolerances
    compressed_float32: Tolerances
    float64: Tolerances
    compressed_float64: Tolerances


class Thresholds(Recipe):
    """Everything in `thresholds.yml`."""

    parity: ParityTolerances
    compression: Tolerances
    negative_control: Threshold


def load_thresholds() -> Thresholds:
    """Read the tolerances that come with the package."""
    return load_recipe(FILE, Thresholds)
