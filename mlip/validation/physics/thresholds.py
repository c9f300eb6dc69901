"""What counts as agreement: read from `thresholds.yml`, each with value, unit and reason."""

from __future__ import annotations

from pathlib import Path

from mlip.recipes.base import Recipe, load_recipe
from mlip.validation.thresholds import Threshold

FILE = Path(__file__).with_name("thresholds.yml")


class PhysicsThresholds(Recipe):
    """Everything in `thresholds.yml`."""

    relaxed_cell_length: Threshold
    relaxed_cell_angle: Threshold
    relaxed_volume: Threshold
    shortest_distance: Threshold
    equation_of_state_energy: Threshold
    equilibrium_volume: Threshold
    bulk_modulus: Threshold
    relative_energy: Threshold
    phonon_frequency: Threshold
    lowest_frequency: Threshold
    elastic_constant: Threshold
    elastic_eigenvalue: Threshold
    barrier: Threshold
    path_energy: Threshold
    experiment_cell_length: Threshold
    experiment_cell_angle: Threshold
    experiment_density: Threshold
    experiment_bulk_modulus: Threshold
    reference_largest_force: Threshold
    reference_largest_stress: Threshold


def load_physics_thresholds() -> PhysicsThresholds:
    """Read the limits that come with the package."""
    return load_recipe(FILE, PhysicsThresholds)
