"""Units of a glass of given composition, by the lever rule between ideal compositions."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
from ase.formula import Formula

from mlip.recipes.base import read_yaml
from mlip.recipes.build import Packing
from mlip.structures.units import FILE, find_unit

# Numbers of atoms this far from the one asked for are searched for the nearest fraction.
WINDOW = 0.05


def units_of(packing: Packing) -> dict[str, int]:
    """Return how many of each unit a packing holds, from its list or its composition."""
    if packing.li2s_fraction is None:
        return dict(packing.units)
    assert packing.atoms is not None  # the recipe model requires it with the fraction
    return units_by_fraction(packing.li2s_fraction, packing.atoms)


def units_by_fraction(fraction: float, atoms: int) -> dict[str, int]:
    """Return the units of a glass of two compounds.

    x modifier + (1 - x) former is the sum of the two neighbouring rows ("stations") of the
    series of units.yml, n1 groups of one and n2 of the other: the lever rule. Whole numbers of
    both compounds are chosen so that the number of atoms is within 5 % of the one asked for and
    the fraction as near as can be; of equal fractions the nearest number of atoms.

    Parameters
    ----------
    fraction : float
        Mole fraction x of the modifier, from that of the first station up to below 1.
    atoms : int

    Returns
    -------
    dict of str to int
        Units first, then the ions; counts above 0.
    """
    modifier, former = _compounds()
    sizes = np.array([sum(compound.values()) for compound in (modifier, former)])
    table = _stations()
    low, high = _neighbours(fraction, table)
    groups = np.array([table[low][1], table[high][1]], dtype=float).T
    best: tuple[float, int, tuple[int, ...]] | None = None
    per_former = fraction / (1.0 - fraction) * sizes[0] + sizes[1]
    first = max(1, int((1.0 - WINDOW) * atoms / per_former) - 1)
    # Half a formula of the former is one odd atom of it: counts in halves.
    for halves in range(2 * first, int(2 * (1.0 + WINDOW) * atoms / per_former) + 5):
        formers = halves / 2.0
        for modifiers in _nearest_halves(formers * fraction / (1.0 - fraction)):
            numbers = np.linalg.solve(groups, np.array([modifiers, formers]))
            whole = np.rint(numbers)
            if (whole < 0).any() or not np.allclose(numbers, whole, atol=1e-9):
                continue
            found = modifiers / (modifiers + formers)
            off_atoms = abs(round(modifiers * sizes[0] + formers * sizes[1]) - atoms)
            key = (round(abs(found - fraction), 12), off_atoms, tuple(whole.astype(int).tolist()))
            outside = off_atoms > max(WINDOW * atoms, per_former)
            if whole.sum() and not outside and (best is None or key < best):
                best = key
    assert best is not None  # a window of one formula unit always holds a whole number of groups
    units: Counter[str] = Counter()
    for row, count in zip((low, high), best[2], strict=True):
        for unit, each in table[row][0].items():
            units[unit] += each * count
    large_first = sorted(units, key=lambda name: -len(find_unit(name).symbols))
    return {name: units[name] for name in large_first if units[name]}


def fraction_of(units: dict[str, int]) -> float:
    """Return the mole fraction of the modifier in units of a series."""
    counts: Counter[str] = Counter()
    for name, count in units.items():
        for symbol in find_unit(name).symbols:
            counts[symbol] += count
    modifiers, formers = _in_compounds(counts)
    return modifiers / (modifiers + formers)


@cache
def _compounds() -> tuple[dict[str, int], dict[str, int]]:
    series = read_yaml(FILE)["series"]
    return Formula(series["modifier"]).count(), Formula(series["former"]).count()


@cache
def _stations() -> list[tuple[dict[str, int], tuple[float, float]]]:
    """Return each row with the numbers of modifier and former that it is made of."""
    rows = []
    for units in read_yaml(FILE)["series"]["stations"]:
        counts: Counter[str] = Counter()
        for name, each in units.items():
            for symbol in find_unit(name).symbols:
                counts[symbol] += each
        rows.append((dict(units), _in_compounds(counts)))
    return rows


def _in_compounds(counts: Counter[str]) -> tuple[float, float]:
    """Solve for the numbers of the two compounds that hold the atoms."""
    compounds = _compounds()
    elements = sorted(set(compounds[0]) | set(compounds[1]))
    matrix = np.array([[compound.get(e, 0) for compound in compounds] for e in elements], float)
    found = np.linalg.lstsq(matrix, np.array([counts[e] for e in elements], float), rcond=None)[0]
    return float(np.round(found[0], 9)), float(np.round(found[1], 9))


def _neighbours(
    fraction: float, table: list[tuple[dict[str, int], tuple[float, float]]]
) -> tuple[int, int]:
    fractions = [made[0] / sum(made) for _, made in table]
    high = int(np.searchsorted(fractions, fraction - 1e-9))
    high = min(max(high, 1), len(table) - 1)
    return high - 1, high


def _nearest_halves(value: float) -> list[float]:
    low = np.floor(2.0 * value) / 2.0
    return [float(low), float(low) + 0.5]
