"""The table of bonds and units by which the anions of a glass are named."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import AnalysisError

FILE = Path(__file__).with_name("anion_rules.yml")
OTHER = "other"

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
    lone_ions : frozenset of str
        Elements that belong to no unit.
    units : tuple of UnitRule
        The first that fits counts.
    formers : frozenset of str
        Network formers; the other elements with bonds are ligands.
    oxidation_states : mapping of str to float
        By element, e; what an atom adds to the formal charge of its unit.
    bond_charges_e : mapping of (str, str) to float
        What a bond adds to it; pairs not named add nothing.
    """

    cutoffs_angstrom: Mapping[Pair, float]
    lone_ions: frozenset[str]
    units: tuple[UnitRule, ...]
    formers: frozenset[str]
    oxidation_states: Mapping[str, float]
    bond_charges_e: Mapping[Pair, float]

    @property
    def anion_elements(self) -> frozenset[str]:
        """Elements that have bonds."""
        return frozenset(element for pair in self.cutoffs_angstrom for element in pair)

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that have bonds, formers first, each group in alphabetical order."""
        ligands = self.anion_elements - self.formers
        return (*sorted(self.anion_elements & self.formers), *sorted(ligands))

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Pairs that bond, in the order of the table."""
        return tuple(self.cutoffs_angstrom)

    @property
    def unit_names(self) -> tuple[str, ...]:
        """Names that a unit can have, in the order of the table, each once; ``other`` last."""
        names = dict.fromkeys(rule.name for rule in self.units if rule.name != OTHER)
        return (*names, OTHER)

    def pair_matrix(self, values: Mapping[Pair, float], absent: float) -> FloatArray:
        """Return a value by pair as a symmetric (K, K) array in the order of `elements`."""
        elements = self.elements
        matrix = np.full((len(elements),) * 2, absent)
        for (one, other), value in values.items():
            a, b = elements.index(one), elements.index(other)
            matrix[a, b] = matrix[b, a] = value
        return matrix

    def missing(self, symbols: Collection[str]) -> str:
        """Return why the table cannot serve these elements, or "" if it can."""
        unknown = set(symbols) - self.lone_ions - self.anion_elements
        unknown |= set(symbols) - set(self.oxidation_states)
        if not unknown:
            return ""
        return (
            f"no anion rule for {', '.join(sorted(unknown))}: the table knows "
            f"{', '.join(sorted(self.anion_elements))} and the lone ions "
            f"{', '.join(sorted(self.lone_ions))}. Add the element to the table."
        )


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
        bonds = {_pair(key): entry for key, entry in content["bonds"].items()}
        rules = AnionRules(
            {pair: float(entry["cutoff_angstrom"]) for pair, entry in bonds.items()},
            frozenset(content["lone_ions"]),
            tuple(
                UnitRule(
                    str(row["name"]),
                    {str(element): _range(count) for element, count in row["atoms"].items()},
                    {_pair(key): int(count) for key, count in row.get("bonds", {}).items()},
                    {_pair(key): int(count) for key, count in row.get("neighbours", {}).items()},
                )
                for row in content["units"]
            ),
            frozenset(content["formers"]),
            {str(key): float(state) for key, state in content["oxidation_states"].items()},
            {
                pair: float(entry["charge_e"])
                for pair, entry in bonds.items()
                if "charge_e" in entry
            },
        )
    except (OSError, YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnalysisError(
            f"{path}: not a table of anion rules ({type(error).__name__}: {error}). Expected "
            "bonds, lone_ions, formers, oxidation_states and units as in "
            "analysis/anions/anion_rules.yml."
        ) from error
    _check(rules, path)
    return rules


def _check(rules: AnionRules, path: Path) -> None:
    named = [
        (f"unit {rule.name}", {e for pair in (*rule.bonds, *rule.neighbours) for e in pair})
        for rule in rules.units
    ]
    named += [(f"unit {rule.name}", set(rule.atoms)) for rule in rules.units]
    named.append(("formers", set(rules.formers)))
    for where, elements in named:
        if unknown := elements - rules.anion_elements:
            raise AnalysisError(
                f"{path}: {where} names {', '.join(sorted(unknown))}, which has no bond. "
                "Add a cutoff under `bonds`."
            )
    if both := rules.lone_ions & rules.anion_elements:
        raise AnalysisError(
            f"{path}: {', '.join(sorted(both))} is a lone ion and has bonds; an element is either."
        )
    if absent := (rules.lone_ions | rules.anion_elements) - set(rules.oxidation_states):
        raise AnalysisError(
            f"{path}: no oxidation state of {', '.join(sorted(absent))}. Add it under "
            "`oxidation_states`."
        )
    cutoffs = rules.cutoffs_angstrom
    each = {frozenset(pair) for pair in cutoffs}
    if len(each) < len(cutoffs) or min(cutoffs.values(), default=0.0) <= 0:
        raise AnalysisError(
            f"{path}: `bonds` names no pair, one in both orders, or a cutoff not above zero. "
            "Name each pair once, with a length in Angstrom."
        )


def _pair(text: str) -> Pair:
    one, other = text.split("-")
    return one, other


def _range(count: int | str) -> tuple[float, float]:
    text = str(count)
    if text.endswith("+"):
        return float(text[:-1]), math.inf
    return float(text), float(text)
