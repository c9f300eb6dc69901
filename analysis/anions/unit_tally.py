"""Units of one frame counted by name and place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.anions.anion_rules import OTHER, AnionRules
from analysis.anions.units import Anions, unit_formula
from analysis.constants import FloatArray, IntArray
from analysis.groups import NO_GROUP

LIGAND_CLASSES = ("free", "terminal", "bridging", "threefold_or_more")


@dataclass(frozen=True)
class Tally:
    """Units and their atoms by frame, region and name.

    Attributes
    ----------
    units : (F, R, U) float array
    atoms : (F, R, U, K) float array
        Atoms of each element in these units.
    """

    units: FloatArray
    atoms: FloatArray


def tally_units(
    anions: Anions, rules: AnionRules, places: IntArray | None = None, n_places: int = 1
) -> Tally:
    """Count the units of one frame and their atoms by place and name.

    Parameters
    ----------
    anions : Anions
    rules : AnionRules
    places : (U,) int array, optional
        Place of every unit, from `unit_places`; by default all are in place 0.
    n_places : int

    Returns
    -------
    Tally
        Without the axis of frames. Place 0 holds the sum over all places.
    """
    n_names, n_kinds = len(rules.unit_names), len(rules.elements)
    row = anions.name if places is None else places * n_names + anions.name
    units = np.bincount(row, minlength=n_places * n_names).astype(float)
    atoms = np.zeros((n_places * n_names, n_kinds))
    for k in range(n_kinds):
        atoms[:, k] = np.bincount(row, weights=anions.atoms[:, k], minlength=len(atoms))
    by_place = Tally(units.reshape(n_places, n_names), atoms.reshape(n_places, n_names, n_kinds))
    by_place.units[0] = by_place.units.sum(axis=0)
    by_place.atoms[0] = by_place.atoms.sum(axis=0)
    return by_place


def stack(tallies: Sequence[Tally]) -> Tally:
    """Return the tallies of frames as one."""
    return Tally(
        np.array([tally.units for tally in tallies]), np.array([tally.atoms for tally in tallies])
    )


def unit_places(
    anions: Anions, kinds: IntArray, codes: IntArray | None, n_places: int, rules: AnionRules
) -> IntArray:
    """Find the region of every unit.

    Parameters
    ----------
    anions : Anions
    kinds : (M,) int array
        Element of every atom, an index of `rules.elements`.
    codes : (M,) int array or None
        Region of every atom, -1 for none; None where there are no regions.
    n_places : int
        Regions and two: place 0 is everywhere, the last one outside of all regions.
    rules : AnionRules

    Returns
    -------
    (U,) int array
        Place of every unit; 0 without regions. Network formers vote, or all atoms of a unit
        without any; the first of equal counts wins, and the outside loses to every region.
    """
    number = len(anions.name)
    if codes is None:
        return np.zeros(number, dtype=np.int64)
    voters = kinds < len(rules.formers)
    voters |= (np.bincount(anions.unit[voters], minlength=number) == 0)[anions.unit]
    vote = np.where(codes == NO_GROUP, n_places - 2, codes)
    row = anions.unit[voters] * (n_places - 1) + vote[voters]
    votes = np.bincount(row, minlength=number * (n_places - 1)).reshape(number, n_places - 1)
    return votes.argmax(axis=1) + 1


def ligand_classes(
    anions: Anions, kinds: IntArray, rules: AnionRules, places: IntArray, n_places: int
) -> IntArray:
    """Count the ligands by place, element and number of bonded formers, (R, ligands, 4).

    Place 0 holds the sum over all places; the classes are `LIGAND_CLASSES`.
    """
    n_formers = len(rules.formers)
    shape = (n_places, len(rules.elements) - n_formers, len(LIGAND_CLASSES))
    ligand = kinds >= n_formers
    row = places[anions.unit[ligand]] * shape[1] + kinds[ligand] - n_formers
    number = np.minimum(anions.formers[ligand], shape[2] - 1)
    found = np.bincount(row * shape[2] + number, minlength=math.prod(shape)).reshape(shape)
    found[0] = found.sum(axis=0)
    return found


def open_formulas(anions: Anions, rules: AnionRules) -> Counter[str]:
    """Count the formulas of the units whose name does not tell it, such as ``other PS3``."""
    unclear = np.array([not has_one_formula(name, rules) for name in rules.unit_names])
    which = unclear[anions.name]
    columns = (anions.name[which], anions.endless[which], anions.atoms[which])
    rows, counts = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    found: Counter[str] = Counter()
    for row, count in zip(rows, counts.tolist(), strict=True):
        formula = unit_formula(rules, row[2:], endless=bool(row[1]))
        found[f"{rules.unit_names[row[0]]} {formula}"] += count
    return found


def has_one_formula(name: str, rules: AnionRules) -> bool:
    """Tell whether all units of a name have the same number of each element."""
    same = [rule.atoms for rule in rules.units if rule.name == name]
    exact = all(low == high for atoms in same for low, high in atoms.values())
    return name != OTHER and exact and all(atoms == same[0] for atoms in same)


def holds_former(name: str, rules: AnionRules) -> bool:
    """Tell whether units of a name hold a network former."""
    return any(rules.formers & set(rule.atoms) for rule in rules.units if rule.name == name)
