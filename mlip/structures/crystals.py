"""Crystals by name, from space group, cell and Wyckoff sites shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ase
import numpy as np
from ase.spacegroup import crystal as ase_crystal

from mlip.errors import DataError, InputError
from mlip.recipes.base import read_yaml

FILE = Path(__file__).with_name("crystals.yml")


@dataclass(frozen=True)
class Site:
    """One orbit: element, Wyckoff letter with its multiplicity, fractional coordinates."""

    element: str
    wyckoff: str
    position: tuple[float, float, float]

    @property
    def multiplicity(self) -> int:
        """Atoms of the orbit in the conventional cell."""
        return int("".join(c for c in self.wyckoff if c.isdigit()))


@dataclass(frozen=True)
class Crystal:
    """A crystal structure.

    Attributes
    ----------
    name : str
    space_group : int
        Number in the International Tables, standard setting.
    cell : tuple of float
        a, b, c in Å; alpha, beta, gamma in degrees.
    sites : tuple of Site
    doi : str
        Of the source; empty for a textbook structure.
    note : str
    """

    name: str
    space_group: int
    cell: tuple[float, ...]
    sites: tuple[Site, ...]
    doi: str
    note: str


def crystal_names() -> list[str]:
    """Return the names of the shipped crystals."""
    return sorted(_table()[0])


def find_crystal(name: str) -> Crystal:
    """Return a shipped crystal.

    Raises
    ------
    InputError
        If there is none of that name; lists those there are.
    """
    crystals = _table()[0]
    if name not in crystals:
        raise InputError(
            f"no crystal is named {name!r}; known are {', '.join(crystal_names())}. "
            "For another one give a CIF file (`cif:` in a recipe)."
        )
    return crystals[name]


def oxidation_states() -> dict[str, int]:
    """Return the formal charge of each element that has a usual one."""
    return dict(_table()[1])


def conventional_cell(crystal: Crystal) -> ase.Atoms:
    """Return the atoms of the conventional cell.

    Raises
    ------
    DataError
        If an orbit has another size than its Wyckoff letter says: sites then fell together.
    """
    atoms = ase_crystal(
        [site.element for site in crystal.sites],
        basis=[site.position for site in crystal.sites],
        spacegroup=crystal.space_group,
        cellpar=list(crystal.cell),
        onduplicates="error",
    )
    found = np.bincount(atoms.arrays["spacegroup_kinds"], minlength=len(crystal.sites))
    for site, count in zip(crystal.sites, found, strict=True):
        if count != site.multiplicity:
            raise DataError(
                f"{crystal.name}: site {site.element} {site.wyckoff} makes {count} atoms in space "
                f"group {crystal.space_group}. The coordinates do not lie on that position."
            )
    return ase.Atoms(
        atoms.symbols, scaled_positions=atoms.get_scaled_positions(), cell=atoms.cell, pbc=True
    )


@cache
def _table() -> tuple[dict[str, Crystal], dict[str, int]]:
    content = read_yaml(FILE)
    crystals = {
        name: Crystal(
            name=name,
            space_group=entry["space_group"],
            cell=tuple(float(value) for value in entry["cell"]),
            sites=tuple(
                Site(str(element), str(wyckoff), (float(x), float(y), float(z)))
                for element, wyckoff, x, y, z in entry["sites"]
            ),
            doi=entry["doi"],
            note=entry["note"],
        )
        for name, entry in content["crystals"].items()
    }
    return crystals, content["oxidation_states"]
