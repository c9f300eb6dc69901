"""Which anion every atom of a frame belongs to, from its bonds and a table of rules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from analysis.anions.anion_rules import OTHER, AnionRules, UnitRule, anion_rules
from analysis.anions.bonds import Bonds, find_bonds
from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError

__all__ = [
    "LONE_ION",
    "AnionRules",
    "AnionUnits",
    "Anions",
    "UnitRule",
    "anion_rules",
    "anion_units",
]

LONE_ION = "lone ion"


@dataclass(frozen=True)
class AnionUnits:
    """The anions of one frame.

    Attributes
    ----------
    labels : tuple of str, length N
        Name of the unit of each atom; ``lone ion`` for those of `AnionRules.lone_ions`.
    counts : dict of str to int
        Number of units of each name, lone ions left out. An endless chain counts once a cell.
        What fits no rule is ``other`` with its formula, such as ``other PS3``.
    """

    labels: tuple[str, ...]
    counts: dict[str, int]


@dataclass(frozen=True)
class Anions:
    """The anions of one frame as arrays over its M atoms with bonds and its U units.

    Attributes
    ----------
    unit : (M,) int array
        Unit of every atom.
    name : (U,) int array
        Name of every unit, an index of `AnionRules.unit_names`.
    atoms : (U, K) int array
        Atoms of each element, in the order of `AnionRules.elements`.
    endless : (U,) bool array
        Whether the unit is bonded to its own periodic image.
    charge_e : (U,) float array
        Formal charge: oxidation states of the atoms and what bonds of like atoms add.
    formers : (M,) int array
        Network formers bonded to every atom.
    bonds : (pairs,) int array
        Bonds of each pair of `AnionRules.pairs`.
    """

    unit: IntArray
    name: IntArray
    atoms: IntArray
    endless: np.ndarray
    charge_e: FloatArray
    formers: IntArray
    bonds: IntArray


def anion_units(
    symbols: Sequence[str], positions: FloatArray, cell: FloatArray, rules: AnionRules
) -> AnionUnits:
    """Name the anion that every atom belongs to.

    Parameters
    ----------
    symbols : sequence of str, length N
    positions : (N, 3) float array
        Angstrom; need not be wrapped.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom, periodic in three directions. It may be smaller than
        a bond, triclinic and left-handed.
    rules : AnionRules

    Returns
    -------
    AnionUnits

    Raises
    ------
    AnalysisError
        If an element is neither a lone ion nor has bonds, or shapes or numbers are impossible.

    Notes
    -----
    A unit is a connected component of the bond graph with all bonds of the table as edges: two
    units joined by a bond between like atoms are one. A component that is bonded to its own
    image has no end: it holds infinitely many atoms of each of its elements, so it fits only
    rows with an open range. Thermal motion breaks and makes bonds for some fs; a single frame
    knows no better (`analysis.anions.speciation` averages over time).
    """
    if np.shape(positions) != (len(symbols), 3) or np.shape(cell) != (3, 3):
        raise AnalysisError(
            f"found positions {np.shape(positions)} and cell {np.shape(cell)} for {len(symbols)} "
            f"symbols; expected ({len(symbols)}, 3) and (3, 3)."
        )
    inside, kinds = bonding_atoms(symbols, rules)
    labels = np.full(len(symbols), LONE_ION, dtype=object)
    cutoffs = rules.pair_matrix(rules.cutoffs_angstrom, 0.0)
    bonds = find_bonds(kinds, np.asarray(positions)[inside], cell, cutoffs)
    anions = assemble_anions(kinds, bonds, rules)
    names = np.array(unit_labels(anions, rules), dtype=object)
    labels[inside] = names[anions.unit]
    return AnionUnits(tuple(labels), dict(sorted(Counter(names.tolist()).items())))


def bonding_atoms(symbols: Sequence[str], rules: AnionRules) -> tuple[IntArray, IntArray]:
    """Return the rows of the atoms that have bonds, (M,), and their elements as indices, (M,).

    Raises
    ------
    AnalysisError
        If an element is neither a lone ion nor has bonds.
    """
    if problem := rules.missing(set(symbols)):
        raise AnalysisError(problem)
    names = np.array(symbols, dtype=str)
    code = np.full(len(names), -1, dtype=np.int64)
    for index, element in enumerate(rules.elements):
        code[names == element] = index
    inside = np.flatnonzero(code >= 0)
    return inside, code[inside]


def assemble_anions(kinds: IntArray, bonds: Bonds, rules: AnionRules) -> Anions:
    """Assemble the units that bonds make of atoms, and name them.

    Parameters
    ----------
    kinds : (M,) int array
        Element of every atom, an index of `rules.elements`.
    bonds : Bonds
    rules : AnionRules

    Notes
    -----
    The formal charge shares the electrons of a bond between like atoms evenly and gives those of
    a bond between unlike atoms to the more electronegative one (IUPAC, oxidation state,
    doi 10.1351/goldbook.O04365). It presumes that every former has the state of the table: a
    former with a lone pair, P(III), carries 2 e less than counted.
    """
    n_atoms, n_kinds = len(kinds), len(rules.elements)
    graph = coo_array((np.ones(len(bonds.i)), (bonds.i, bonds.j)), shape=(n_atoms, n_atoms))
    found, labels = connected_components(graph, directed=False)
    number, unit = int(found), labels.astype(np.int64)
    atoms = np.bincount(unit * n_kinds + kinds, minlength=number * n_kinds)
    atoms = atoms.reshape(number, n_kinds)
    # Bonded atoms of each kind around each atom; a bond to its own image counts from both ends.
    ends = np.concatenate([bonds.i, bonds.j]) * n_kinds
    ends += kinds[np.concatenate([bonds.j, bonds.i])]
    around = np.bincount(ends, minlength=n_atoms * n_kinds).reshape(n_atoms, n_kinds)
    endless = _endless(unit, number, bonds)

    pair_of = rules.pair_matrix(dict(zip(rules.pairs, range(len(rules.pairs)), strict=True)), -1)
    pair = pair_of[kinds[bonds.i], kinds[bonds.j]].astype(np.int64)
    n_pairs = len(rules.pairs)
    by_pair = np.bincount(unit[bonds.i] * n_pairs + pair, minlength=number * n_pairs)
    by_pair = by_pair.reshape(number, n_pairs)

    states = np.array([rules.oxidation_states[element] for element in rules.elements])
    changes = np.array([rules.bond_charges_e.get(pair, 0.0) for pair in rules.pairs])
    is_former = np.array([element in rules.formers for element in rules.elements])
    return Anions(
        unit=unit,
        name=_name_units(kinds, unit, atoms, around, by_pair, pair_of, endless, rules),
        atoms=atoms,
        endless=endless,
        charge_e=atoms @ states + by_pair @ changes,
        formers=around[:, is_former].sum(axis=1),
        bonds=by_pair.sum(axis=0),
    )


def unit_labels(anions: Anions, rules: AnionRules) -> list[str]:
    """Return the name of every unit, ``other`` with its formula."""
    names = rules.unit_names
    other = names.index(OTHER)
    labels = [names[code] for code in anions.name.tolist()]
    for index in np.flatnonzero(anions.name == other).tolist():
        formula = unit_formula(rules, anions.atoms[index], endless=bool(anions.endless[index]))
        labels[index] = f"{OTHER} {formula}"
    return labels


def unit_formula(rules: AnionRules, atoms: IntArray, *, endless: bool) -> str:
    """Return a formula, formers first, such as P2S7, or (PS3)n for an endless unit."""
    counts = atoms.tolist()
    divisor = math.gcd(*counts) if endless else 1
    text = "".join(
        element + (str(count // divisor) if count > divisor else "")
        for element, count in zip(rules.elements, counts, strict=True)
        if count
    )
    return f"({text})n" if endless else text


def _name_units(
    kinds: IntArray,
    unit: IntArray,
    atoms: IntArray,
    around: IntArray,
    by_pair: IntArray,
    pair_of: FloatArray,
    endless: np.ndarray,
    rules: AnionRules,
) -> IntArray:
    """Return the first name that fits every unit, as an index of `rules.unit_names`."""
    elements, names, number = rules.elements, rules.unit_names, len(atoms)
    extent = np.where(endless[:, None] & (atoms > 0), np.inf, atoms)
    name = np.full(number, -1, dtype=np.int64)
    for rule in rules.units:
        fits = name < 0
        for k, element in enumerate(elements):
            low, high = rule.atoms.get(element, (0.0, 0.0))
            fits &= (low <= extent[:, k]) & (extent[:, k] <= high)
        for (one, other), count in rule.bonds.items():
            column = int(pair_of[elements.index(one), elements.index(other)])
            # A pair that the table never bonds has no column, and no bonds.
            fits &= (by_pair[:, column] if column >= 0 else np.zeros(number)) == count
        for (one, other), count in rule.neighbours.items():
            a, b = elements.index(one), elements.index(other)
            wrong = unit[(kinds == a) & (around[:, b] != count)]
            fits &= np.bincount(wrong, minlength=number) == 0
        name[fits] = names.index(rule.name)
    name[name < 0] = names.index(OTHER)
    return name


def _endless(unit: IntArray, number: int, bonds: Bonds) -> np.ndarray:
    """Tell which units are bonded to their own periodic image."""
    endless = np.zeros(number, dtype=bool)
    across = np.zeros(number, dtype=bool)
    across[unit[bonds.i[bonds.shift.any(axis=1)]]] = True
    # Only a unit with a bond through the boundary can be endless.
    some = bonds.take(across[unit[bonds.i]])
    if not len(some.i):
        return endless
    i, j = np.concatenate([some.i, some.j]), np.concatenate([some.j, some.i])
    shift = np.concatenate([some.shift, -some.shift])
    known = np.zeros(len(unit), dtype=bool)
    known[np.unique(unit, return_index=True)[1]] = True
    # Cell in which each atom lies when the unit is followed from its first atom.
    place = np.zeros((len(unit), 3), dtype=np.int64)
    while (front := known[i] & ~known[j]).any():
        place[j[front]] = place[i[front]] + shift[front]
        known[j[front]] = True
    astray = (place[i] + shift != place[j]).any(axis=1)
    endless[unit[i[astray]]] = True
    return endless
