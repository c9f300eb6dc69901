"""What a build says of itself: the plan in words, and the numbers of the result."""

from __future__ import annotations

import math
from collections import Counter
from functools import reduce
from typing import Any

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.engines.packmol import packmol_command
from mlip.errors import EngineError
from mlip.recipes.build import BuildRecipe
from mlip.recipes.composite import Region, Sphere
from mlip.structures.bodies import find_bodies
from mlip.structures.geometry import Neighbourhood, density_g_cm3
from mlip.structures.packing import packing_name


def planned_steps(recipe: BuildRecipe) -> list[str]:
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
    if recipe.ordering is not None:
        lines.append(
            f"order partly occupied sites, rank {recipe.ordering.index} by Ewald energy of "
            f"{recipe.ordering.draws} draws, seed {recipe.seed} (cell above)"
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
        where = "all atoms" if rattle.region is None else f"{_words(rattle.region)}, origin glass,"
        lines.append(f"displace {where} by {rattle.amplitude_angstrom:g} Å or less")
    if recipe.mark_glass is not None:
        lines.append(f"mark {_words(recipe.mark_glass)} as origin glass, units whole")
    return lines


def summary(
    atoms: ase.Atoms,
    origin: NDArray[np.str_],
    around: Neighbourhood,
    name: str,
    recipe: BuildRecipe,
) -> dict[str, Any]:
    """Return the numbers of a finished structure as JSON types."""
    counts = {e: int((atoms.symbols == e).sum()) for e in recipe.type_map}
    divisor = reduce(math.gcd, counts.values())
    formula = "".join(
        f"{element}{'' if count == divisor else count // divisor}"
        for element, count in counts.items()
        if count
    )
    a, b, c, alpha, beta, gamma = (float(value) for value in atoms.cell.cellpar())
    bodies = find_bodies(atoms)
    sizes = np.bincount(bodies.body)
    anions = Counter(n for n, size in zip(bodies.names, sizes, strict=True) if size > 1)
    return {
        "name": name,
        "seed": recipe.seed,
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
        **({"anions": dict(sorted(anions.items()))} if anions else {}),
        "atoms_origin_crystal": int((origin == "crystal").sum()),
        "atoms_origin_glass": int((origin == "glass").sum()),
    }


def _words(where: Region | Sphere) -> str:
    if isinstance(where, Region):
        return f"atoms with {where.low:g} <= {where.axis} < {where.high:g}"
    center = ", ".join(f"{value:g}" for value in where.center)
    return f"atoms within {where.radius_angstrom:g} Å of ({center})"
