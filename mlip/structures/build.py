"""`mlip build`: crystals, CIFs and packings to start structures, disturbed as the recipe says."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.io.lammpsdata import write_lammps_data
from numpy.typing import NDArray

from mlip.engines.packmol import packmol_command
from mlip.errors import EngineError, TypeMapError
from mlip.execution.progress import tell
from mlip.files import replacing
from mlip.manifest import Manifest
from mlip.recipes.base import resolve
from mlip.recipes.build import BuildRecipe
from mlip.structures.cif import read_cif
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.structures.defects import check_defects, with_defects
from mlip.structures.geometry import (
    Neighbourhood,
    density_g_cm3,
    inspect,
    repeats_for,
    supercell,
)
from mlip.structures.packing import packed, packing_name, unplaced
from mlip.structures.rattle import rattled
from mlip.structures.strain import scaled_to_density, strained
from mlip.structures.units import find_unit
from mlip.workspace import open_workspace


@dataclass(frozen=True)
class _Structure:
    """A structure as it is written: atoms, origin of each, what was done to them."""

    atoms: ase.Atoms
    origin: NDArray[np.str_]
    around: Neighbourhood
    done: dict[str, Any]


def build(
    recipe: BuildRecipe,
    source: Path,
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Write a start structure as ``structure.extxyz`` and ``structure.data``.

    a lies along x and b in the xy plane; the atom id is the row plus one. The column `origin`
    is glass for packed atoms and for those of a rattled region, else crystal. LAMMPS types
    follow the type map, also for elements that are absent.

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
        If the crystal, unit or file is unknown, the packing or a removed unit is charged, atoms
        for a defect are lacking, or `out` holds other work.
    DataError
        If the CIF is disordered, atoms overlap, or an atom finds no place.
    TypeMapError
        If an element is not in the type map.
    EngineError
        If Packmol is missing or finds no packing.
    InterruptedRunError
        On Ctrl-C or SIGTERM while Packmol runs.
    """
    start, name = _start(recipe, source)
    # Only an engine's work waits for the directory: a fault of the input leaves none behind.
    structure = None if recipe.packing is not None else _disturbed(start, name, recipe)
    inputs = [] if recipe.cif is None else [resolve(recipe.cif, source)]
    with open_workspace(
        out,
        kind="structure",
        recipe=recipe.expanded(),
        inputs=inputs,
        seeds={"build": recipe.seed},
        overrides=overrides,
        force=force,
        notice=tell,
    ) as workspace:
        if workspace.finished:
            return workspace.manifest
        if structure is None:
            assert recipe.packing is not None
            start = packed(recipe.packing, recipe.seed, workspace)
            structure = _disturbed(start, name, recipe)
        atoms = structure.atoms
        labelled = atoms.copy()
        labelled.new_array("origin", structure.origin)
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
        workspace.finish(outputs, _summary(structure, name, recipe))
        return workspace.manifest


def plan_build(recipe: BuildRecipe, source: Path, out: Path) -> list[str]:
    """Return the lines of ``--dry-run``.

    Raises
    ------
    InputError, DataError, TypeMapError
        As `build`; nothing is packed or displaced, so what only shows then is not found.
    """
    start, name = _start(recipe, source)
    atoms = _shaped(start, recipe)
    lengths = ", ".join(f"{length:.2f}" for length in atoms.cell.lengths())
    return [
        f"build {name}: {len(atoms)} atoms, {atoms.get_chemical_formula()}, cell {lengths} Å, "
        f"{density_g_cm3(atoms):.3f} g/cm3",
        *_steps(recipe),
        f"write {out}: structure.extxyz, structure.data (types {' '.join(recipe.type_map)})",
    ]


def _start(recipe: BuildRecipe, source: Path) -> tuple[ase.Atoms, str]:
    """Return the cell to start from, unplaced if packed, after every check it allows."""
    if recipe.cif is not None:
        path = resolve(recipe.cif, source)
        cell, name = read_cif(path), path.name
    elif recipe.packing is not None:
        cell, name = unplaced(recipe.packing), packing_name(recipe.packing)
    else:
        assert recipe.crystal is not None  # the recipe model requires one of the three
        name = recipe.crystal
        cell = conventional_cell(find_crystal(name))
    foreign = sorted(set(cell.get_chemical_symbols()) - set(recipe.type_map))
    if foreign:
        raise TypeMapError(
            f"{name}: holds {', '.join(foreign)}, but type_map is [{', '.join(recipe.type_map)}]. "
            "Give the type map of the potential."
        )
    copies = math.prod(_repeats(cell, recipe))
    counts = Counter(cell.get_chemical_symbols())
    check_defects(recipe.defects, Counter({e: n * copies for e, n in counts.items()}), name)
    return cell, name


def _repeats(cell: ase.Atoms, recipe: BuildRecipe) -> tuple[int, int, int]:
    if recipe.minimum_atoms is not None:
        return repeats_for(cell, recipe.minimum_atoms)
    return recipe.supercell or (1, 1, 1)


def _shaped(start: ase.Atoms, recipe: BuildRecipe) -> ase.Atoms:
    atoms = supercell(start, _repeats(start, recipe))
    if recipe.density_g_cm3 is not None:
        atoms = scaled_to_density(atoms, recipe.density_g_cm3)
    if recipe.strain is not None:
        atoms = strained(atoms, recipe.strain)
    return atoms


def _disturbed(start: ase.Atoms, name: str, recipe: BuildRecipe) -> _Structure:
    """Return the structure that the recipe makes of its start."""
    rng = np.random.default_rng(recipe.seed)
    atoms = _shaped(start, recipe)
    done: dict[str, Any] = {}
    atoms, defects = with_defects(atoms, recipe.defects, rng, name)
    if defects:
        done["defects"] = defects
    origin = np.full(len(atoms), "crystal" if recipe.packing is None else "glass", dtype="<U7")
    if recipe.rattle is not None:
        before = atoms.positions.copy()
        atoms, moved = rattled(atoms, recipe.rattle, rng)
        if recipe.rattle.region is not None:
            origin[moved] = "glass"
        shifts = np.linalg.norm(atoms.positions - before, axis=1)
        done["rattled_atoms"] = int(moved.sum())
        done["largest_displacement_angstrom"] = float(shifts.max())
        atoms.wrap()
    return _Structure(atoms, origin, inspect(atoms, name), done)


def _steps(recipe: BuildRecipe) -> list[str]:
    """Return what is done to the start in words, one line a step."""
    lines = []
    if (packing := recipe.packing) is not None:
        try:
            engine = " ".join(packmol_command())
        except EngineError as error:
            engine = f"missing. {error}"
        lines.append(
            f"pack {packing_name(packing)} at random, seed {recipe.seed}, atoms of different "
            f"units {packing.tolerance_angstrom:g} Å apart or more; engine: {engine}"
        )
    if recipe.density_g_cm3 is not None:
        lines.append(f"scale to {recipe.density_g_cm3:g} g/cm3 (cell above)")
    if recipe.strain is not None:
        values = " ".join(f"{value:g}" for value in recipe.strain)
        lines.append(f"strain xx yy zz yz xz xy = {values} (cell above)")
    defects = recipe.defects
    lines += [f"remove {count} {unit}" for unit, count in defects.removed_units.items()]
    if (pairs := defects.frenkel_pairs) is not None:
        lines.append(f"move {pairs.count} {pairs.element} into voids (Frenkel pairs)")
    lines += [f"swap {one} with {other}" for one, other in defects.swapped_pairs]
    if (rattle := recipe.rattle) is not None:
        region = rattle.region
        where = (
            f"atoms with {region.low:g} <= {region.axis} < {region.high:g}, origin glass,"
            if region is not None
            else "all atoms"
        )
        lines.append(f"displace {where} by {rattle.amplitude_angstrom:g} Å or less")
    return lines


def _summary(structure: _Structure, name: str, recipe: BuildRecipe) -> dict[str, Any]:
    atoms, around = structure.atoms, structure.around
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
    if recipe.packing is not None:
        dois = {unit: find_unit(unit).doi for unit in recipe.packing.units}
        summary["doi"] = {unit: doi for unit, doi in dois.items() if doi}
    glass = int((structure.origin == "glass").sum())
    return {**summary, "atoms_origin_glass": glass, **structure.done}
