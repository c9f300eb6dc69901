"""Neutral point defects: removed formula units, Frenkel pairs, antisite pairs.

Each returns what it did as plain numbers: atom ids count from 1 in the final structure.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import ase
import numpy as np
from ase.data import covalent_radii
from ase.formula import Formula
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from mlip.errors import DataError, InputError
from mlip.recipes.build import Defects
from mlip.structures.crystals import oxidation_states
from mlip.structures.geometry import BONDED, formal_charge
from mlip.structures.voids import find_void

# An interstitial nearer to its own site falls back into it.
FRENKEL_DISTANCE = 3.0


def check_defects(defects: Defects, counts: Counter[str], name: str) -> None:
    """Require that the atoms are there and that what is removed is neutral.

    Parameters
    ----------
    defects : Defects
    counts : Counter of str
        Atoms of the structure by element.
    name : str
        Of the structure, for errors.

    Raises
    ------
    InputError
        If a formula is unreadable or charged, or there are too few atoms of an element.
    """
    left = counts.copy()
    for formula, count in defects.removed_units.items():
        unit = unit_counts(formula)
        for element, each in unit.items():
            _require_atoms(left, element, each * count, f"removing {count} {formula}", name)
            left[element] -= each * count
    if not sum(left.values()):
        raise InputError(f"{name}: removed_units takes every atom. Expected some to be left.")
    if (pairs := defects.frenkel_pairs) is not None:
        _require_atoms(left, pairs.element, pairs.count, f"{pairs.count} Frenkel pairs", name)
        left[pairs.element] -= pairs.count
    for pair in defects.swapped_pairs:
        for element in pair:
            _require_atoms(left, element, 1, f"swapping {pair[0]} with {pair[1]}", name)
            left[element] -= 1


def with_defects(
    atoms: ase.Atoms, defects: Defects, rng: np.random.Generator, name: str
) -> tuple[ase.Atoms, list[dict[str, Any]]]:
    """Introduce the defects of a recipe.

    No atom takes part in two of them.

    Parameters
    ----------
    atoms : Atoms
    defects : Defects
        See `check_defects`, which must have passed.
    rng : Generator
    name : str
        Of the structure, for errors.

    Returns
    -------
    Atoms
        Those left, in the same order.
    list of dict
        What was done, JSON types, Å.

    Raises
    ------
    InputError
        If a formula is unreadable or charged.
    DataError
        If there is no void for an interstitial.
    """
    done: list[dict[str, Any]] = []
    vacated: list[NDArray[np.float64]] = []
    for formula, count in defects.removed_units.items():
        for _ in range(count):
            rows = _removable(atoms, unit_counts(formula), rng)
            done.append(
                {
                    "kind": "removed_unit",
                    "formula": formula,
                    "sites": [[str(atoms.symbols[k]), *_shown(atoms.positions[k])] for k in rows],
                }
            )
            vacated += [atoms.positions[k].copy() for k in rows]
            atoms = atoms[np.setdiff1d(np.arange(len(atoms)), rows)]
    used: set[int] = set()
    if (pairs := defects.frenkel_pairs) is not None:
        for _ in range(pairs.count):
            ion = _free_atom(atoms, pairs.element, used, rng)
            atoms, pair = _frenkel_pair(atoms, ion, vacated, rng, name)
            done.append(pair)
    for one, other in defects.swapped_pairs:
        first = _free_atom(atoms, one, used, rng)
        second = _free_atom(atoms, other, used, rng)
        atoms = atoms.copy()
        atoms.positions[[first, second]] = atoms.positions[[second, first]]
        done.append(
            {"kind": "swapped_pair", "elements": [one, other], "atoms": [first + 1, second + 1]}
        )
    return atoms, done


def unit_counts(formula: str) -> dict[str, int]:
    """Return the atoms of a neutral formula unit by element.

    Raises
    ------
    InputError
        If it is no formula, an element has no usual oxidation state, or it is charged.
    """
    try:
        counts = dict(Formula(formula).count())
    except ValueError as error:
        raise InputError(f"removed_units: {formula!r} is no formula ({error}).") from error
    if unknown := sorted(set(counts) - set(oxidation_states())):
        raise InputError(
            f"removed_units: {formula} holds {', '.join(unknown)} of unknown oxidation state; "
            f"known are {', '.join(oxidation_states())}."
        )
    charge = formal_charge(Counter(counts), Counter())
    if charge:
        raise InputError(
            f"removed_units: {formula} has the formal charge {charge:+d} e; expected a neutral "
            "formula unit."
        )
    return counts


def _require_atoms(left: Counter[str], element: str, needed: int, what: str, name: str) -> None:
    if left[element] < needed:
        raise InputError(
            f"{name}: {what} needs {needed} atoms of {element}, but {left[element]} are left that "
            "no other defect takes. Fewer defects, or a larger supercell."
        )


def _removable(
    atoms: ase.Atoms, unit: dict[str, int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the rows of a compact unit whose removal breaks few bonds.

    It grows around an atom of the unit's rarest element: one of those with the fewest bonds
    to elements outside of the unit, then the nearest atoms of each element.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    states = oxidation_states()
    centre = min(unit, key=lambda element: (unit[element], states[element]))
    first, second = neighbor_list("ij", atoms, list(BONDED * covalent_radii[atoms.numbers]))
    outside = ~np.isin(symbols[second], list(unit))
    bonds = np.bincount(first[outside], minlength=len(atoms))
    candidates = np.flatnonzero(symbols == centre)
    fewest = candidates[bonds[candidates] == bonds[candidates].min()]
    anchor = int(rng.choice(fewest))
    distances = atoms.get_distances(anchor, np.arange(len(atoms)), mic=True)
    rows: list[int] = []
    for element, count in unit.items():
        same = np.flatnonzero(symbols == element)
        rows += same[np.argsort(distances[same], kind="stable")][:count].tolist()
    return np.array(rows, dtype=np.int64)


def _frenkel_pair(
    atoms: ase.Atoms,
    ion: int,
    vacated: list[NDArray[np.float64]],
    rng: np.random.Generator,
    name: str,
) -> tuple[ase.Atoms, dict[str, Any]]:
    """Move one ion to a void away from every vacated site; its own joins them."""
    site = atoms.positions[ion].copy()
    vacated.append(site)
    others = atoms[np.arange(len(atoms)) != ion]
    void = find_void(others, np.array(vacated), FRENKEL_DISTANCE, int(atoms.numbers[ion]), rng)
    if void is None:
        raise DataError(
            f"{name}: no void for {atoms.symbols[ion]} at least {FRENKEL_DISTANCE:g} Å from the "
            f"{len(vacated)} vacated sites. Fewer defects, a larger supercell or a lower density."
        )
    _, distance = get_distances(site[None], void.position[None], cell=atoms.cell, pbc=True)
    moved = atoms.copy()
    moved.positions[ion] = void.position
    return moved, {
        "kind": "frenkel_pair",
        "element": str(atoms.symbols[ion]),
        "atom": ion + 1,
        "from_angstrom": _shown(site),
        "to_angstrom": _shown(void.position),
        "distance_angstrom": round(float(distance.item()), 4),
        "clearance_angstrom": round(void.clearance, 4),
    }


def _free_atom(atoms: ase.Atoms, element: str, used: set[int], rng: np.random.Generator) -> int:
    """Return a random atom that no defect has touched, and mark it."""
    free = [int(k) for k in np.flatnonzero(atoms.symbols == element) if int(k) not in used]
    chosen = int(rng.choice(free))
    used.add(chosen)
    return chosen


def _shown(position: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in position]
