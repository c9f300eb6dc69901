"""The structure that a build starts from: crystal, CIF, packing, slab or nanograin."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.errors import TypeMapError
from mlip.recipes.base import resolve
from mlip.recipes.build import BuildRecipe
from mlip.structures.cif import read_cif, read_partial_cif
from mlip.structures.composition import fraction_of, units_of
from mlip.structures.crystals import conventional_cell, find_crystal, partial_sites
from mlip.structures.defects import check_defects
from mlip.structures.geometry import repeats_for, repeats_for_widths
from mlip.structures.nanograin import with_grain
from mlip.structures.orderings import ordered, ordering_repeats
from mlip.structures.orientation import oriented
from mlip.structures.packing import packing_name, unplaced
from mlip.structures.phases import phase_file, read_phase
from mlip.structures.slab import stacked
from mlip.structures.units import find_unit


@dataclass(frozen=True)
class Start:
    """A structure before it is repeated and disturbed.

    Attributes
    ----------
    atoms : Atoms
        Of a packing all still at the origin.
    name : str
    origin : ndarray of str, shape (N,)
    inputs : tuple of Path
        Files that it was read from.
    done : dict
        Plain numbers for the summary.
    """

    atoms: ase.Atoms
    name: str
    origin: NDArray[np.str_]
    inputs: tuple[Path, ...] = ()
    done: dict[str, Any] = field(default_factory=dict)


def start_of(recipe: BuildRecipe, source: Path) -> Start:
    """Return what a build starts from, after every check that needs no engine.

    Raises
    ------
    InputError, DataError, TypeMapError
        See `mlip.structures.build.build`.
    """
    start = _composite(recipe, source) or _packing(recipe) or _lattice(recipe, source)
    foreign = sorted(set(start.atoms.get_chemical_symbols()) - set(recipe.type_map))
    if foreign:
        raise TypeMapError(
            f"{start.name}: holds {', '.join(foreign)}, but type_map is "
            f"[{', '.join(recipe.type_map)}]. Give the type map of the potential."
        )
    copies = math.prod(repeats(start.atoms, recipe))
    counts = Counter(start.atoms.get_chemical_symbols())
    wanted = Counter({element: n * copies for element, n in counts.items()})
    check_defects(recipe.defects, wanted, start.name)
    return start


def repeats(atoms: ase.Atoms, recipe: BuildRecipe) -> tuple[int, int, int]:
    """Return the repeats of the start along a, b and c that the recipe asks for."""
    if recipe.minimum_atoms is not None:
        return repeats_for(atoms, recipe.minimum_atoms)
    if (needed := recipe.minimum_widths_angstrom) is not None:
        return repeats_for_widths(atoms, needed if isinstance(needed, tuple) else (needed,) * 3)
    return recipe.supercell or (1, 1, 1)


def _composite(recipe: BuildRecipe, source: Path) -> Start | None:
    parts = recipe.slab or recipe.nanograin
    if parts is None:
        return None
    given = [resolve(part, source) for part in (parts.crystal, parts.glass)]
    files = tuple(phase_file(path) for path in given)
    crystal, glass = (read_phase(path) for path in files)
    rng = np.random.default_rng(recipe.seed)
    if recipe.slab is not None:
        made, kind = stacked(crystal, glass, recipe.slab, rng), "slab"
    else:
        assert recipe.nanograin is not None
        made, kind = with_grain(crystal, glass, recipe.nanograin, rng), "nanograin"
    one, other = (path.name.removesuffix(".gz").removesuffix(".extxyz") for path in given)
    name = f"{kind} of {one} and {other}"
    return Start(made.atoms, name, made.origin, files, made.done)


def _packing(recipe: BuildRecipe) -> Start | None:
    if recipe.packing is None:
        return None
    atoms, units = unplaced(recipe.packing), units_of(recipe.packing)
    dois = {unit: find_unit(unit).doi for unit in units}
    done: dict[str, Any] = {"doi": {unit: doi for unit, doi in dois.items() if doi}}
    if recipe.packing.li2s_fraction is not None:
        done["units"] = units
        done["li2s_fraction"] = fraction_of(units)
    return Start(atoms, packing_name(recipe.packing), np.full(len(atoms), "glass"), (), done)


def _lattice(recipe: BuildRecipe, source: Path) -> Start:
    """Return a crystal, ordered and oriented."""
    done: dict[str, Any] = {}
    inputs: tuple[Path, ...] = ()
    if recipe.cif is not None:
        path = resolve(recipe.cif, source)
        name, inputs = path.name, (path,)
    else:
        assert recipe.crystal is not None  # the recipe model requires one of the starts
        name = recipe.crystal
        if doi := find_crystal(name).doi:
            done["doi"] = doi
    if (ordering := recipe.ordering) is not None:
        sites = read_partial_cif(inputs[0]) if inputs else partial_sites(find_crystal(name))
        found = ordered(sites, ordering, recipe.seed, name)
        atoms = found.atoms
        done["ordering"] = {
            "index": found.rank,
            "different_orderings": found.different,
            "ewald_energy_ev": found.energy_ev,
            "above_lowest_ev_per_atom": (found.energy_ev - found.lowest_energy_ev) / len(atoms),
            "ordered_supercell": list(ordering_repeats(sites, ordering)),
            "filled": [
                f"{element} {share:.4f}" for here in found.filled for element, share in here.items()
            ],
            "atoms_moved_off": found.moved,
            "largest_move_angstrom": found.largest_move_angstrom,
        }
    else:
        atoms = read_cif(inputs[0]) if inputs else conventional_cell(find_crystal(name))
    if recipe.orientation is not None:
        atoms = oriented(atoms, recipe.orientation)
    return Start(atoms, name, np.full(len(atoms), "crystal"), inputs, done)
