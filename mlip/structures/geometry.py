"""Supercells in the standard form, and whether a structure is sane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import ase
import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from ase.units import _amu
from numpy.typing import NDArray

from mlip.errors import DataError
from mlip.structures.crystals import oxidation_states

# Two atoms on one site, or a wrong symmetry setting, come far below; bonds are near 1.
TOO_NEAR = 0.7
# Bonds of like atoms (P-P 2.25 Å, S-S 2.05 Å) are at 1.0; like neighbours across a cell are not.
BONDED = 1.2


@dataclass(frozen=True)
class Neighbourhood:
    """Closest distances and bonds of a structure.

    Attributes
    ----------
    closest : dict of str to float
        Smallest distance by pair of elements, Å, up to twice the largest covalent diameter.
    formal_charge : int or None
        Sum of oxidation states; each P-P bond lowers P by one, each S-S bond raises S by one.
        None if an element has no usual oxidation state.
    """

    closest: dict[str, float]
    formal_charge: int | None


def supercell(atoms: ase.Atoms, repeats: tuple[int, int, int]) -> ase.Atoms:
    """Repeat a cell and turn it so that a lies along x and b in the xy plane.

    Distances and the order of the atoms are kept; atoms are wrapped into the cell.
    """
    big = atoms.repeat(repeats)
    scaled = big.get_scaled_positions(wrap=True)
    # A coordinate of 1 - 1e-16 belongs at 0.
    scaled[np.isclose(scaled, 1.0, atol=1e-9)] = 0.0
    lower, _ = big.cell.standard_form()
    return ase.Atoms(big.symbols, scaled_positions=scaled, cell=lower, pbc=True)


def repeats_for(atoms: ase.Atoms, minimum_atoms: int) -> tuple[int, int, int]:
    """Return the repeats that give `minimum_atoms` with the cell as thick as possible."""
    repeats = [1, 1, 1]
    across = widths(atoms)
    while len(atoms) * int(np.prod(repeats)) < minimum_atoms:
        repeats[int(np.argmin(across * np.array(repeats)))] += 1
    return repeats[0], repeats[1], repeats[2]


def repeats_for_widths(atoms: ase.Atoms, minimum_angstrom: Sequence[float]) -> tuple[int, int, int]:
    """Return the fewest repeats whose opposite faces are at least so far apart along a, b, c."""
    # A width that is met up to rounding is met.
    a, b, c = np.ceil(np.asarray(minimum_angstrom) / widths(atoms) - 1e-9).astype(int).tolist()
    return max(a, 1), max(b, 1), max(c, 1)


def widths(atoms: ase.Atoms) -> NDArray[np.float64]:
    """Return the distances of opposite faces of the cell along a, b and c, Å, shape (3,)."""
    # The inverse lengths of the reciprocal vectors.
    return np.asarray(1.0 / np.linalg.norm(np.asarray(atoms.cell.reciprocal()), axis=1))


def inspect(atoms: ase.Atoms, name: str) -> Neighbourhood:
    """Measure closest distances and the formal charge.

    Raises
    ------
    DataError
        If two atoms are nearer than 0.7 times the sum of their covalent radii.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    radii = covalent_radii[atoms.numbers]
    # ASE's list, since vesin imports torch and a call that finds its work done must not.
    first, second, distance = neighbor_list("ijd", atoms, float(4.0 * radii.max()))
    once = first <= second
    first, second, distance = first[once], second[once], distance[once]
    ratio = distance / (radii[first] + radii[second])
    if len(ratio) and ratio.min() < TOO_NEAR:
        k = int(ratio.argmin())
        i, j = int(first[k]), int(second[k])
        raise DataError(
            f"{name}: atoms {i + 1} ({symbols[i]}) and {j + 1} ({symbols[j]}) are "
            f"{distance[k]:.3f} Å apart. Sites overlap: a disordered structure, or coordinates "
            "that do not belong to the space group setting."
        )
    closest: dict[str, float] = {}
    bonds: Counter[str] = Counter()
    for one in sorted(set(symbols)):
        for other in sorted(set(symbols)):
            if other < one:
                continue
            pair = ((symbols[first] == one) & (symbols[second] == other)) | (
                (symbols[first] == other) & (symbols[second] == one)
            )
            if pair.any():
                closest[f"{one}-{other}"] = float(distance[pair].min())
            if one == other:
                bonds[one] = int((ratio[pair] < BONDED).sum())
    return Neighbourhood(closest, formal_charge(Counter(symbols.tolist()), bonds))


def density_g_cm3(atoms: ase.Atoms) -> float:
    """Return the mass density, g/cm3."""
    # amu in kg and Å^3 in cm^3: 1e3 g/kg * 1e24 Å^3/cm^3.
    return float(atoms.get_masses().sum() * _amu * 1e27 / atoms.get_volume())


def formal_charge(counts: Counter[str], bonds: Counter[str]) -> int | None:
    """Return the sum of oxidation states, e; None if an element has no usual one.

    Parameters
    ----------
    counts : Counter of str
        Atoms by element.
    bonds : Counter of str
        Bonds between like atoms by element: each takes one from either cation, gives one to
        either anion.
    """
    states = oxidation_states()
    if any(element not in states for element in counts):
        return None
    total = sum(states[element] * count for element, count in counts.items())
    for element, count in bonds.items():
        # Two atoms share the bond; metals (state 1) form none.
        if abs(states[element]) > 1:
            total += (-2 if states[element] > 0 else 2) * count
    return total


def points_in_ball(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return random points spread evenly in the unit ball, shape (count, 3)."""
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(directions * np.cbrt(rng.random((count, 1))))
