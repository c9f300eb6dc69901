"""`mlip build`: crystals, packings and glass-ceramics, disturbed as the recipe says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.io.lammpsdata import write_lammps_data
from numpy.typing import NDArray

from mlip.execution.progress import tell
from mlip.files import replacing
from mlip.manifest import Manifest
from mlip.recipes.build import BuildRecipe
from mlip.structures.defects import with_defects
from mlip.structures.geometry import Neighbourhood, density_g_cm3, inspect, supercell
from mlip.structures.mark import in_marked
from mlip.structures.packing import packed
from mlip.structures.rattle import rattled
from mlip.structures.start import Start, repeats, start_of
from mlip.structures.strain import scaled_to_density, strained
from mlip.structures.summary import planned_steps, summary
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
    is glass for packed atoms, those of the glass of a slab or nanograin and those of a rattled
    or marked region, else crystal. LAMMPS types follow the type map, also for elements that
    are absent.

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
        If the CIF is disordered without `ordering`, atoms overlap, an atom finds no place, or
        crystal and glass do not fit each other.
    TypeMapError
        If an element is not in the type map.
    EngineError
        If Packmol is missing or finds no packing.
    InterruptedRunError
        On Ctrl-C or SIGTERM while Packmol runs.
    """
    start = start_of(recipe, source)
    # Only an engine's work waits for the directory: a fault of the input leaves none behind.
    structure = None if recipe.packing is not None else _disturbed(start, recipe)
    with open_workspace(
        out,
        kind="structure",
        recipe=recipe.expanded(),
        inputs=list(start.inputs),
        seeds={"build": recipe.seed},
        overrides=overrides,
        force=force,
        notice=tell,
    ) as workspace:
        if workspace.finished:
            return workspace.manifest
        if structure is None:
            assert recipe.packing is not None
            placed = packed(recipe.packing, recipe.seed, workspace)
            structure = _disturbed(replace(start, atoms=placed), recipe)
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
        numbers = summary(atoms, structure.origin, structure.around, start.name, recipe)
        workspace.finish(outputs, {**numbers, **structure.done})
        return workspace.manifest


def plan_build(recipe: BuildRecipe, source: Path, out: Path) -> list[str]:
    """Return the lines of ``--dry-run``.

    Raises
    ------
    InputError, DataError, TypeMapError
        As `build`; nothing is packed or displaced, so what only shows then is not found.
    """
    start = start_of(recipe, source)
    atoms = _shaped(start.atoms, recipe)
    lengths = ", ".join(f"{length:.2f}" for length in atoms.cell.lengths())
    return [
        f"build {start.name}: {len(atoms)} atoms, {atoms.get_chemical_formula()}, "
        f"cell {lengths} Å, {density_g_cm3(atoms):.3f} g/cm3",
        *planned_steps(recipe),
        f"write {out}: structure.extxyz, structure.data (types {' '.join(recipe.type_map)})",
    ]


def _shaped(start: ase.Atoms, recipe: BuildRecipe) -> ase.Atoms:
    atoms = supercell(start, repeats(start, recipe))
    if recipe.density_g_cm3 is not None:
        atoms = scaled_to_density(atoms, recipe.density_g_cm3)
    if recipe.strain is not None:
        atoms = strained(atoms, recipe.strain)
    return atoms


def _disturbed(start: Start, recipe: BuildRecipe) -> _Structure:
    """Return the structure that the recipe makes of its start."""
    rng = np.random.default_rng(recipe.seed)
    atoms = _shaped(start.atoms, recipe)
    done = dict(start.done)
    # One phase is all of the start, or nothing repeats it or takes atoms away.
    origin = start.origin if len(set(start.origin.tolist())) > 1 else None
    atoms, defects = with_defects(atoms, recipe.defects, rng, start.name)
    if defects:
        done["defects"] = defects
    if origin is None:
        origin = np.full(len(atoms), start.origin[0], dtype="<U7")
    if recipe.rattle is not None:
        before = atoms.positions.copy()
        atoms, moved = rattled(atoms, recipe.rattle, rng)
        if recipe.rattle.region is not None:
            origin[moved] = "glass"
        shifts = np.linalg.norm(atoms.positions - before, axis=1)
        done["rattled_atoms"] = int(moved.sum())
        done["largest_displacement_angstrom"] = float(shifts.max())
        atoms.wrap()
    if recipe.mark_glass is not None:
        origin[in_marked(atoms, recipe.mark_glass)] = "glass"
    return _Structure(atoms, origin, inspect(atoms, start.name), done)
