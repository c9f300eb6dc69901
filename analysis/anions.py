"""Which anion every atom of a frame belongs to, from its bonds and a table of rules."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError

FILE = Path(__file__).with_name("anion_rules.yml")
CATION = "cation"

Pair = tuple[str, str]


@dataclass(frozen=True)
class UnitRule:
    """What a connected component must be to bear a name.

    Attributes
    ----------
    name : str
    atoms : mapping of str to (float, float)
        Fewest and most atoms of each element; elements not named must be absent.
    bonds : mapping of (str, str) to int
        Number of bonds of a pair of elements.
    neighbours : mapping of (str, str) to int
        Number of bonded atoms of the second element that every atom of the first has.
    """

    name: str
    atoms: Mapping[str, tuple[float, float]]
    bonds: Mapping[Pair, int]
    neighbours: Mapping[Pair, int]


@dataclass(frozen=True)
class AnionRules:
    """A table of bonds and units; see ``anion_rules.yml``.

    Attributes
    ----------
    cutoffs_angstrom : mapping of (str, str) to float
        Largest bond length by pair of elements, each pair once.
    cations : frozenset of str
        Elements that belong to no unit.
    units : tuple of UnitRule
        The first that fits counts.
    """

    cutoffs_angstrom: Mapping[Pair, float]
    cations: frozenset[str]
    units: tuple[UnitRule, ...]

    @property
    def anion_elements(self) -> frozenset[str]:
        """Elements that have bonds."""
        return frozenset(element for pair in self.cutoffs_angstrom for element in pair)


@dataclass(frozen=True)
class AnionUnits:
    """The anions of one frame.

    Attributes
    ----------
    labels : tuple of str, length N
        Name of the unit that each atom belongs to; ``cation`` for cations.
    counts : dict of str to int
        Number of units of each name, cations left out. An endless chain counts once a cell.
        What fits no rule is ``other`` with its formula, such as ``other PS3``.
    """

    labels: tuple[str, ...]
    counts: dict[str, int]


@dataclass(frozen=True)
class _Bonds:
    """Directed bonds: every bond is there from both ends; `shift` counts cell vectors."""

    i: IntArray
    j: IntArray
    shift: IntArray


@cache
def anion_rules(path: Path = FILE) -> AnionRules:
    """Read a rule table; by default that of the package.

    Raises
    ------
    AnalysisError
        If the file cannot be read, an entry is missing, or a row names an unknown element.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        rules = AnionRules(
            {
                _pair(key): float(entry["cutoff_angstrom"])
                for key, entry in content["bonds"].items()
            },
            frozenset(content["cations"]),
            tuple(
                UnitRule(
                    str(row["name"]),
                    {str(element): _range(count) for element, count in row["atoms"].items()},
                    {_pair(key): int(count) for key, count in row.get("bonds", {}).items()},
                    {_pair(key): int(count) for key, count in row.get("neighbours", {}).items()},
                )
                for row in content["units"]
            ),
        )
    except (OSError, YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnalysisError(
            f"{path}: not a table of anion rules ({type(error).__name__}: {error}). Expected "
            "bonds, cations and units as in analysis/anion_rules.yml."
        ) from error
    for rule in rules.units:
        named = {e for pair in (*rule.bonds, *rule.neighbours) for e in pair} | set(rule.atoms)
        if unknown := named - rules.anion_elements:
            raise AnalysisError(
                f"{path}: unit {rule.name} names {', '.join(sorted(unknown))}, which has no bond. "
                "Add a cutoff under `bonds`."
            )
    return rules


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
        If an element is neither a cation nor has bonds, or shapes or numbers are impossible.

    Notes
    -----
    A unit is a connected component of the bond graph with all bonds of the table as edges: two
    units joined by a bond between like atoms are one. A component that is bonded to its own
    image has no end: it holds infinitely many atoms of each of its elements, so it fits only
    rows with an open range. Thermal motion breaks and makes bonds for some fs; a single frame
    knows no better.
    """
    _check(symbols, positions, cell, rules)
    names = np.array(symbols, dtype=str)
    inside = np.flatnonzero(~np.isin(names, list(rules.cations)))
    elements = names[inside]
    labels = np.full(len(names), CATION, dtype=object)
    if not len(inside):
        return AnionUnits(tuple(labels), {})
    bonds = _find_bonds(elements, np.asarray(positions)[inside], cell, rules)
    graph = coo_array((np.ones(len(bonds.i)), (bonds.i, bonds.j)), shape=(len(inside),) * 2)
    number, component = connected_components(graph, directed=False)
    names_of = _name_components(elements, bonds, component, int(number), rules)
    labels[inside] = np.array(names_of, dtype=object)[component]
    return AnionUnits(tuple(labels), dict(sorted(Counter(names_of).items())))


def _check(
    symbols: Sequence[str], positions: FloatArray, cell: FloatArray, rules: AnionRules
) -> None:
    if np.shape(positions) != (len(symbols), 3) or np.shape(cell) != (3, 3):
        raise AnalysisError(
            f"found positions {np.shape(positions)} and cell {np.shape(cell)} for {len(symbols)} "
            f"symbols; expected ({len(symbols)}, 3) and (3, 3)."
        )
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise AnalysisError("a position or cell vector is not a finite number.")
    if abs(np.linalg.det(cell)) < 1e-6:
        raise AnalysisError("the cell has no volume; bonds are searched in a periodic cell.")
    if unknown := set(symbols) - rules.cations - rules.anion_elements:
        raise AnalysisError(
            f"no anion rule for {', '.join(sorted(unknown))}: the table knows "
            f"{', '.join(sorted(rules.anion_elements))} and the cations "
            f"{', '.join(sorted(rules.cations))}. Add the element to the table."
        )


def _find_bonds(
    elements: np.ndarray, positions: FloatArray, cell: FloatArray, rules: AnionRules
) -> _Bonds:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    atoms = Atoms(elements.tolist(), positions=positions, cell=cell, pbc=True)
    i, j, shift = neighbor_list("ijS", atoms, dict(rules.cutoffs_angstrom))
    return _Bonds(i, j, shift)


def _name_components(
    elements: np.ndarray, bonds: _Bonds, component: np.ndarray, number: int, rules: AnionRules
) -> list[str]:
    """Return the name of each component."""
    kinds = sorted(rules.anion_elements)
    code = np.searchsorted(kinds, elements)
    atoms = np.zeros((number, len(kinds)), dtype=int)
    np.add.at(atoms, (component, code), 1)
    # Bonded atoms of each kind around each atom.
    around = np.zeros((len(elements), len(kinds)), dtype=int)
    np.add.at(around, (bonds.i, code[bonds.j]), 1)
    # Ends of bonds, both directions, by component and pair of kinds.
    ends = np.zeros((number, len(kinds), len(kinds)), dtype=int)
    np.add.at(ends, (component[bonds.i], code[bonds.i], code[bonds.j]), 1)
    fewest = np.full((number, len(kinds), len(kinds)), np.iinfo(int).max)
    most = np.zeros_like(fewest)
    np.minimum.at(fewest, (component, code), around)
    np.maximum.at(most, (component, code), around)
    extent = np.where(_endless(component, number, bonds)[:, None] & (atoms > 0), np.inf, atoms)

    names = np.full(number, "", dtype=object)
    for rule in rules.units:
        fits = names == ""
        for k, kind in enumerate(kinds):
            low, high = rule.atoms.get(kind, (0.0, 0.0))
            fits &= (low <= extent[:, k]) & (extent[:, k] <= high)
        for (one, other), count in rule.bonds.items():
            a, b = kinds.index(one), kinds.index(other)
            fits &= ends[:, a, b] == count * (2 if a == b else 1)
        for (one, other), count in rule.neighbours.items():
            a, b = kinds.index(one), kinds.index(other)
            fits &= (fewest[:, a, b] == count) & (most[:, a, b] == count)
        names[fits] = rule.name
    for unit in np.flatnonzero(names == ""):
        names[unit] = _formula(kinds, atoms[unit], endless=bool(np.isinf(extent[unit]).any()))
    return names.tolist()


def _endless(component: np.ndarray, number: int, bonds: _Bonds) -> np.ndarray:
    """Tell which components are bonded to their own periodic image."""
    known = np.zeros(len(component), dtype=bool)
    known[np.unique(component, return_index=True)[1]] = True
    # Cell in which each atom lies when the component is followed from its first atom.
    place = np.zeros((len(component), 3), dtype=int)
    while (front := known[bonds.i] & ~known[bonds.j]).any():
        place[bonds.j[front]] = place[bonds.i[front]] + bonds.shift[front]
        known[bonds.j[front]] = True
    astray = (place[bonds.i] + bonds.shift != place[bonds.j]).any(axis=1)
    endless = np.zeros(number, dtype=bool)
    endless[component[bonds.i[astray]]] = True
    return endless


def _formula(kinds: Sequence[str], atoms: IntArray, *, endless: bool) -> str:
    divisor = math.gcd(*atoms.tolist()) if endless else 1
    text = "".join(
        kind + (str(count // divisor) if count > divisor else "")
        for kind, count in zip(kinds, atoms.tolist(), strict=True)
        if count
    )
    return f"other ({text})n" if endless else f"other {text}"


def _pair(text: str) -> Pair:
    one, other = text.split("-")
    return one, other


def _range(count: int | str) -> tuple[float, float]:
    text = str(count)
    if text.endswith("+"):
        return float(text[:-1]), math.inf
    return float(text), float(text)
