"""Random packings of rigid units: the start of a glass."""

from __future__ import annotations

import shutil

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.engines.packmol import (
    Molecule,
    packing_job,
    packmol_version,
    read_packing,
)
from mlip.errors import DataError, InputError
from mlip.execution.local import run_job
from mlip.recipes.build import Packing
from mlip.structures.composition import units_of
from mlip.structures.geometry import density_g_cm3
from mlip.structures.push import Pushed, push_apart
from mlip.structures.units import contact_radius, find_unit
from mlip.workspace import Workspace

FOLDER = "packmol"


def packing_name(packing: Packing) -> str:
    """Return the units in words, for example '8 PS4 + 24 Li'."""
    return " + ".join(f"{count} {name}" for name, count in units_of(packing).items())


def unplaced(packing: Packing) -> ase.Atoms:
    """Return the atoms of a packing in its cell, all of them still at the origin.

    Raises
    ------
    InputError
        If a unit is unknown, or the formal charges do not sum to zero.
    """
    _require_neutral(packing)
    symbols = [
        symbol
        for name, count in units_of(packing).items()
        for _ in range(count)
        for symbol in find_unit(name).symbols
    ]
    ratio = np.ones(3) if packing.cell == "cubic" else np.array(packing.cell)
    atoms = ase.Atoms(symbols, cell=ratio, pbc=True)
    factor = (density_g_cm3(atoms) / packing.density_g_cm3) ** (1.0 / 3.0)
    atoms.set_cell(factor * ratio)
    return atoms


def packed(packing: Packing, seed: int, workspace: Workspace) -> ase.Atoms:
    """Place the units with Packmol.

    Parameters
    ----------
    packing : Packing
    seed : int
    workspace : Workspace
        Packmol works in a folder of its directory, which stays only if it fails.

    Returns
    -------
    Atoms
        Unit by unit in the order of the recipe; every unit whole, also across a face.

    Raises
    ------
    InputError
        See `unplaced`.
    EngineError
        If Packmol is missing or finds no packing.
    DataError
        If atoms of different units stay nearer than their contact radii after the push-off: the
        cell is so small that a unit meets its own images.
    """
    atoms = unplaced(packing)
    folder = workspace.directory / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    molecules = [_molecule(name, count, packing) for name, count in units_of(packing).items()]
    job = packing_job(folder, molecules, atoms.cell.lengths(), seed)
    run_job(job, workspace.token)
    atoms.positions = read_packing(folder, len(atoms))
    pushed = push_apart(
        atoms, _unit_numbers(molecules), tolerance_angstrom=packing.tolerance_angstrom
    )
    _require_apart(pushed, atoms, packing)
    atoms.positions = pushed.positions
    workspace.manifest.versions["packmol"] = packmol_version(folder)
    shutil.rmtree(folder)
    return atoms


def _require_neutral(packing: Packing) -> None:
    charges = {name: find_unit(name).charge for name in units_of(packing)}
    known = {name: charge for name, charge in charges.items() if charge is not None}
    if unknown := sorted(set(charges) - set(known)):
        raise InputError(
            f"packing: the formal charge of {', '.join(unknown)} is not known, so it cannot be "
            "said to be neutral. Add the oxidation state to crystals.yml."
        )
    total = sum(known[name] * count for name, count in units_of(packing).items())
    if total:
        counts = ", ".join(
            f"{n} {name} of {known[name]:+d}" for name, n in units_of(packing).items()
        )
        raise InputError(
            f"packing: the formal charge is {total:+d} e ({counts}); expected 0. Change the counts."
        )


def _molecule(name: str, count: int, packing: Packing) -> Molecule:
    unit = find_unit(name)
    radii = tuple(contact_radius(symbol, packing.tolerance_angstrom) for symbol in unit.symbols)
    return Molecule(name, unit.symbols, unit.positions, radii, count)


def _unit_numbers(molecules: list[Molecule]) -> NDArray[np.int64]:
    sizes = [len(molecule.symbols) for molecule in molecules for _ in range(molecule.count)]
    return np.repeat(np.arange(len(sizes)), sizes)


def _require_apart(pushed: Pushed, atoms: ase.Atoms, packing: Packing) -> None:
    if pushed.shortest is not None:
        i, j, distance, contact = pushed.shortest
        raise DataError(
            f"packing of {packing_name(packing)}: atoms {i + 1} ({atoms.symbols[i]}) and {j + 1} "
            f"({atoms.symbols[j]}) of different units or images are {distance:.3f} Å apart, "
            f"expected {contact:.3f} Å. More units make a larger cell; or lower density_g_cm3."
        )
