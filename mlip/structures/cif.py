"""Crystals from CIF files, with the occupancies of their sites."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.io
from ase.io.cif import parse_cif

from mlip.errors import DataError, InputError
from mlip.structures.sites import FULL_OCCUPANCY, PartialSites, sites_of


def read_cif(path: Path) -> ase.Atoms:
    """Read a CIF file whose sites are fully occupied.

    Raises
    ------
    InputError
        If the file is missing.
    DataError
        If it is no CIF, or a site is partly occupied.
    """
    atoms, partial = _read(path)
    if partial:
        raise DataError(
            f"{path}: partly occupied sites: {', '.join(partial[:6])}. An ordered structure is "
            "needed: `ordering: {index: 0}` in the recipe samples which sites are filled; or give "
            "a CIF in which they are chosen, or use a shipped ordered crystal."
        )
    plain: ase.Atoms = ase.Atoms(
        atoms.symbols, scaled_positions=atoms.get_scaled_positions(), cell=atoms.cell, pbc=True
    )
    return plain


def read_partial_cif(path: Path) -> PartialSites:
    """Read the sites of a CIF file with their occupancies.

    Raises
    ------
    InputError
        If the file is missing.
    DataError
        If it is no CIF, or every site is fully occupied by one element.
    """
    atoms, partial = _read(path)
    if not partial:
        raise DataError(
            f"{path}: every site is fully occupied, so there is nothing to order. Leave out "
            "`ordering`."
        )
    occupancy = atoms.info["occupancy"]
    kinds = atoms.arrays["spacegroup_kinds"]
    orbits = sorted(set(kinds.tolist()))
    return sites_of(
        atoms.cell.array,
        atoms.get_scaled_positions(),
        [orbits.index(kind) for kind in kinds.tolist()],
        [{e: float(x) for e, x in occupancy[str(kind)].items()} for kind in orbits],
        path.name,
    )


def _read(path: Path) -> tuple[ase.Atoms, list[str]]:
    """Return the atoms, one for each site, and the partly occupied sites in words."""
    if not path.is_file():
        raise InputError(f"{path}: no such file. Expected a CIF.")
    try:
        blocks = list(parse_cif(str(path)))
        atoms = ase.io.read(path, format="cif")
    except Exception as error:  # ASE raises ValueError, KeyError, RuntimeError, AssertionError, ...
        raise DataError(
            f"{path}: cannot be read as CIF ({type(error).__name__}: {error})."
        ) from error
    for block in blocks:
        if not block.has_structure():
            continue
        labels = block.get("_atom_site_label") or block.get("_atom_site_type_symbol")
        occupancies = block.get("_atom_site_occupancy")
        if isinstance(occupancies, (int, float)):
            occupancies, labels = [occupancies], [labels]
        return atoms, [
            f"{label} {occupancy}"
            for label, occupancy in zip(labels or [], occupancies or [], strict=False)
            if isinstance(occupancy, (int, float)) and occupancy < FULL_OCCUPANCY
        ]
    return atoms, []
