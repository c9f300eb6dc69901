"""Relaxed crystals: cells, densities, shortest distances, energies per atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.formula import Formula

from analysis.pairs.closest import closest_distances
from mlip.structures.geometry import density_g_cm3
from mlip.validation.physics.equation_of_state import GPA_PER_EV_ANGSTROM3
from mlip.validation.reference import FloatArray

LENGTHS = ("a", "b", "c")
ANGLES = ("alpha", "beta", "gamma")
DISTANCES_ANGSTROM = 4.0


@dataclass(frozen=True)
class CrystalState:
    """A crystal at rest.

    Attributes
    ----------
    formula : str
        Of the formula unit.
    cell : ndarray, shape (6,)
        a, b, c in Å; alpha, beta, gamma in degrees.
    volume_angstrom3 : float
    density_g_cm3 : float
    distances_angstrom : dict of str to float
        Shortest by pair of elements, up to 4 Å.
    energy_ev_per_atom : float
    """

    formula: str
    cell: FloatArray
    volume_angstrom3: float
    density_g_cm3: float
    distances_angstrom: dict[str, float]
    energy_ev_per_atom: float


def crystal_state(atoms: Atoms, energy_ev: float) -> CrystalState:
    """Measure a crystal; `energy_ev` is of the whole cell."""
    return CrystalState(
        formula_unit(atoms),
        np.asarray(atoms.cell.cellpar(), dtype=float),
        float(atoms.get_volume()),
        density_g_cm3(atoms),
        closest_distances(
            atoms.get_chemical_symbols(),
            atoms.positions,
            atoms.cell.array,
            within_angstrom=DISTANCES_ANGSTROM,
        ),
        energy_ev / len(atoms),
    )


def formula_unit(atoms: Atoms) -> str:
    """Return the reduced formula, elements in the order of Hill."""
    reduced, _ = Formula(atoms.get_chemical_formula()).reduce()
    return str(reduced.format("hill"))


def largest_stress_gpa(virial: FloatArray, volume_angstrom3: float) -> float:
    """Return the largest component of the stress, shape (3, 3) virial in eV; NaN if unknown."""
    return float(np.abs(virial).max() / volume_angstrom3 * GPA_PER_EV_ANGSTROM3)
