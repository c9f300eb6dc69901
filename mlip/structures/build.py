"""`mlip build`: crystals by name or CIF to a supercell for MD."""

from __future__ import annotations

import math
from functools import reduce
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.io.lammpsdata import write_lammps_data

from mlip.errors import TypeMapError
from mlip.execution.progress import tell
from mlip.files import replacing
from mlip.manifest import Manifest
from mlip.recipes.base import resolve
from mlip.recipes.build import BuildRecipe
from mlip.structures.cif import read_cif
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.structures.geometry import (
    Neighbourhood,
    density_g_cm3,
    inspect,
    repeats_for,
    supercell,
)
from mlip.workspace import open_workspace


def build(
    recipe: BuildRecipe,
    source: Path,
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Write a supercell as ``structure.extxyz`` and ``structure.data``.

    a lies along x and b in the xy plane; the atom id is the row plus one. All atoms have
    the `origin` crystal. LAMMPS types follow the type map, also for elements that are absent.

    Parameters
    ----------
    recipe : BuildRecipe
    source : Path
        The recipe file (or any path in the directory that relative paths start from).
    out : Path
        Structure directory.
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Gates overridden by name, for the manifest.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If the crystal or file is unknown, or `out` holds other work.
    DataError
        If the CIF is disordered or atoms overlap.
    TypeMapError
        If an element is not in the type map.
    """
    atoms, name = _supercell(recipe, source)
    around = inspect(atoms, name)
    inputs = [] if recipe.cif is None else [resolve(recipe.cif, source)]
    with open_workspace(
        out,
        kind="structure",
        recipe=recipe.expanded(),
        inputs=inputs,
        overrides=overrides,
        force=force,
        notice=tell,
    ) as workspace:
        if workspace.finished:
            return workspace.manifest
        labelled = atoms.copy()
        labelled.new_array("origin", np.full(len(atoms), "crystal"))
        with replacing(out / "structure.extxyz") as temporary:
            ase.io.write(
                temporary, labelled, format="extxyz", columns=["symbols", "positions", "origin"]
            )
        with replacing(out / "structure.data") as temporary:
            write_lammps_data(
                temporary,
                atoms,
                specorder=list(recipe.type_map),
                masses=True,
                units="metal",
                atom_style="atomic",
            )
        outputs = [out / "structure.extxyz", out / "structure.data"]
        workspace.finish(outputs, _summary(atoms, name, around, recipe))
        return workspace.manifest


def plan_build(recipe: BuildRecipe, source: Path, out: Path) -> list[str]:
    """Return the lines of ``--dry-run``.

    Raises
    ------
    InputError, DataError, TypeMapError
        As `build`.
    """
    atoms, name = _supercell(recipe, source)
    lengths = ", ".join(f"{length:.2f}" for length in atoms.cell.lengths())
    return [
        f"build {name}: {len(atoms)} atoms, {atoms.get_chemical_formula()}, cell {lengths} Å, "
        f"{density_g_cm3(atoms):.3f} g/cm3",
        f"write {out}: structure.extxyz, structure.data (types {' '.join(recipe.type_map)})",
    ]


def _supercell(recipe: BuildRecipe, source: Path) -> tuple[ase.Atoms, str]:
    if recipe.cif is not None:
        path = resolve(recipe.cif, source)
        cell, name = read_cif(path), path.name
    else:
        assert recipe.crystal is not None  # the recipe model requires one of the two
        name = recipe.crystal
        cell = conventional_cell(find_crystal(name))
    foreign = sorted(set(cell.get_chemical_symbols()) - set(recipe.type_map))
    if foreign:
        raise TypeMapError(
            f"{name}: holds {', '.join(foreign)}, but type_map is [{', '.join(recipe.type_map)}]. "
            "Give the type map of the potential."
        )
    repeats = recipe.supercell or (1, 1, 1)
    if recipe.minimum_atoms is not None:
        repeats = repeats_for(cell, recipe.minimum_atoms)
    return supercell(cell, repeats), name


def _summary(
    atoms: ase.Atoms, name: str, around: Neighbourhood, recipe: BuildRecipe
) -> dict[str, Any]:
    counts = {e: int((atoms.symbols == e).sum()) for e in recipe.type_map}
    divisor = reduce(math.gcd, counts.values())
    formula = "".join(
        f"{element}{'' if count == divisor else count // divisor}"
        for element, count in counts.items()
        if count
    )
    a, b, c, alpha, beta, gamma = (float(value) for value in atoms.cell.cellpar())
    summary: dict[str, Any] = {
        "name": name,
        "formula": formula,
        "atoms": len(atoms),
        **{f"atoms_{element}": count for element, count in counts.items()},
        "density_g_cm3": density_g_cm3(atoms),
        "volume_angstrom3": float(atoms.get_volume()),
        "a_angstrom": a,
        "b_angstrom": b,
        "c_angstrom": c,
        "alpha_degree": alpha,
        "beta_degree": beta,
        "gamma_degree": gamma,
        "formal_charge_e": around.formal_charge,
        **{f"closest_{pair}_angstrom": value for pair, value in around.closest.items()},
    }
    if recipe.crystal is not None and (doi := find_crystal(recipe.crystal).doi):
        summary["doi"] = doi
    return summary
