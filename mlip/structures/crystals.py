"""Crystals by name, from space group, cell and Wyckoff sites shipped with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.spacegroup import crystal as ase_crystal

from mlip.errors import DataError, InputError
from mlip.recipes.base import read_yaml
from mlip.structures.sites import PartialSites, sites_of

FILE = Path(__file__).with_name("crystals.yml")


@dataclass(frozen=True)
class Site:
    """One orbit: element, Wyckoff letter with multiplicity, fractional coordinates, occupancy."""

    element: str
    wyckoff: str
    position: tuple[float, float, float]
    occupancy: float = 1.0

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
        Of the ordered model.
    partial_sites : tuple of Site
        Of the disordered crystal; empty if it is ordered.
    doi : str
        Of the source; empty for a textbook structure.
    note : str
    """

    name: str
    space_group: int
    cell: tuple[float, ...]
    sites: tuple[Site, ...]
    partial_sites: tuple[Site, ...]
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
    atoms = _orbits(crystal, crystal.sites)
    return ase.Atoms(
        atoms.symbols, scaled_positions=atoms.get_scaled_positions(), cell=atoms.cell, pbc=True
    )


def partial_sites(crystal: Crystal) -> PartialSites:
    """Return the sites of the conventional cell with their occupancies.

    Raises
    ------
    InputError
        If the crystal is ordered.
    DataError
        See `conventional_cell`.
    """
    if not crystal.partial_sites:
        raise InputError(
            f"{crystal.name}: every site is fully occupied, so there is nothing to order. Leave "
            "out `ordering`."
        )
    atoms = _orbits(crystal, crystal.partial_sites)
    return sites_of(
        atoms.cell.array,
        atoms.get_scaled_positions(),
        atoms.arrays["spacegroup_kinds"].tolist(),
        [{site.element: site.occupancy} for site in crystal.partial_sites],
        crystal.name,
    )


def _orbits(crystal: Crystal, sites: tuple[Site, ...]) -> ase.Atoms:
    atoms = ase_crystal(
        [site.element for site in sites],
        basis=[site.position for site in sites],
        spacegroup=crystal.space_group,
        cellpar=list(crystal.cell),
        onduplicates="error",
    )
    found = np.bincount(atoms.arrays["spacegroup_kinds"], minlength=len(sites))
    for site, count in zip(sites, found, strict=True):
        if count != site.multiplicity:
            raise DataError(
                f"{crystal.name}: site {site.element} {site.wyckoff} makes {count} atoms in space "
                f"group {crystal.space_group}. The coordinates do not lie on that position."
            )
    return atoms


def _site(row: Sequence[Any]) -> Site:
    element, wyckoff, x, y, z, *occupancy = row
    share = float(occupancy[0]) if occupancy else 1.0
    return Site(str(element), str(wyckoff), (float(x), float(y), float(z)), share)


@cache
def _table() -> tuple[dict[str, Crystal], dict[str, int]]:
    content = read_yaml(FILE)
    crystals = {
        name: Crystal(
            name=name,
            space_group=entry["space_group"],
            cell=tuple(float(value) for value in entry["cell"]),
            sites=tuple(_site(row) for row in entry["sites"]),
            partial_sites=tuple(_site(row) for row in entry.get("partial_sites", ())),
            doi=entry["doi"],
            note=entry["note"],
        )
        for name, entry in content["crystals"].items()
    }
    return crystals, content["oxidation_states"]
