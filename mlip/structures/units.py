"""Rigid units for packings, by name from a table shipped with the package, or single atoms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ase
import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from mlip.errors import InputError
from mlip.recipes.base import read_yaml
from mlip.structures.geometry import inspect

FILE = Path(__file__).with_name("units.yml")


@dataclass(frozen=True)
class Unit:
    """A rigid group of atoms.

    Attributes
    ----------
    name : str
    symbols : tuple of str
    positions : ndarray, shape (N, 3)
        In Å.
    charge : int or None
        Formal charge, e; None if an element has no usual oxidation state.
    doi : str
        Of the source; empty for a single atom.
    """

    name: str
    symbols: tuple[str, ...]
    positions: NDArray[np.float64]
    charge: int | None
    doi: str


def unit_names() -> list[str]:
    """Return the names of the shipped units."""
    return sorted(_table()[0])


def find_unit(name: str) -> Unit:
    """Return a shipped unit, or the single atom of an element.

    Raises
    ------
    InputError
        If there is none of that name; lists those there are.
    """
    units = _table()[0]
    if name in units:
        return units[name]
    if name in atomic_numbers and name != "X":
        return _unit(name, [(name, 0.0, 0.0, 0.0)], "")
    raise InputError(
        f"no unit is named {name!r}; known are {', '.join(unit_names())} and the symbols of the "
        "elements for single atoms."
    )


def contact_radius(element: str, tolerance_angstrom: float) -> float:
    """Return the radius, Å, that keeps an atom from those of other units.

    Half the tolerance or more, so that no two atoms come nearer than the tolerance.
    """
    return max(tolerance_angstrom / 2.0, _table()[1].get(element, 0.0))


@cache
def _table() -> tuple[dict[str, Unit], dict[str, float]]:
    content = read_yaml(FILE)
    units = {
        name: _unit(name, entry["atoms"], entry["doi"]) for name, entry in content["units"].items()
    }
    return units, content["contact_radii_angstrom"]


def _unit(name: str, rows: list[tuple[str, float, float, float]], doi: str) -> Unit:
    symbols = tuple(row[0] for row in rows)
    positions = np.array([row[1:] for row in rows], dtype=float)
    charge = inspect(ase.Atoms(symbols, positions=positions), name).formal_charge
    return Unit(name, symbols, positions, charge, doi)
