"""Ordered structures from CIF files."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.io
from ase.io.cif import parse_cif

from mlip.errors import DataError, InputError

FULL_OCCUPANCY = 0.999


def read_cif(path: Path) -> ase.Atoms:
    """Read a CIF file whose sites are fully occupied.

    Raises
    ------
    InputError
        If the file is missing.
    DataError
        If it is no CIF, or a site is partly occupied.
    """
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
        partial = [
            f"{label} {occupancy}"
            for label, occupancy in zip(labels or [], occupancies or [], strict=False)
            if isinstance(occupancy, (int, float)) and occupancy < FULL_OCCUPANCY
        ]
        if partial:
            raise DataError(
                f"{path}: partly occupied sites: {', '.join(partial[:6])}. An ordered structure is "
                "needed: choose which sites are filled (for example with pymatgen's "
                "OrderDisorderedStructureTransformation) and give that CIF, or use a shipped "
                "ordered crystal."
            )
        break
    plain: ase.Atoms = ase.Atoms(
        atoms.symbols, scaled_positions=atoms.get_scaled_positions(), cell=atoms.cell, pbc=True
    )
    return plain
