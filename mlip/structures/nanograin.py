"""Glass-ceramic as a nanograin: a ball of crystal in place of a ball of glass."""

from __future__ import annotations

import math
from collections import Counter
from functools import reduce

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.errors import DataError
from mlip.recipes.composite import Nanograin
from mlip.structures.bodies import Bodies, find_bodies, still_so, unbroken
from mlip.structures.geometry import density_g_cm3, supercell, widths
from mlip.structures.push import closest_contacts, push_apart, shortfalls
from mlip.structures.slab import Composite

# Units within this distance of the border, Å, may be chosen or left to meet the composition.
BORDER = 5.0
# An anion or ion this far inside, Å, cannot be pushed out of the grain.
DEEPEST = 4.0
# From border to border of the grain and its images, Å: units stick out by 2 Å each.
APART = 6.0
# A glass unit whose contacts with the grain fall short by 1 Å counts as so many Å further inside.
TOUCHING = 5.0


def with_grain(
    crystal: ase.Atoms, glass: ase.Atoms, grain: Nanograin, rng: np.random.Generator
) -> Composite:
    """Put a ball of crystal into a glass in place of as many atoms of each element.

    A whole number of formula units of the crystal is added, anions whole, those nearest to the
    centre; anions and lone ions of the glass with the same atoms in all, again nearest to the
    centre or in contact with the grain, are removed: the composition and the volume of the
    whole stay. Then the soft push-off moves the glass and the border of the grain, not its core.

    Parameters
    ----------
    crystal, glass : Atoms
    grain : Nanograin
    rng : Generator
        Draws the point of the crystal at the centre and, if the recipe gives none, the rotation.

    Raises
    ------
    DataError
        If the grain meets its own image, no set of units has the composition, or contacts stay.
    """
    from scipy.spatial.transform import Rotation

    crystal = supercell(crystal, (1, 1, 1))
    counts = Counter(crystal.get_chemical_symbols())
    formulas = reduce(math.gcd, counts.values())
    volume = crystal.get_volume() / formulas
    units = round(grain.volume_fraction * glass.get_volume() / volume)
    radius = (3.0 * units * volume / (4.0 * math.pi)) ** (1.0 / 3.0)
    _require_room(glass, units, radius)
    target = {element: units * count // formulas for element, count in counts.items()}

    rotation = (
        Rotation.random(random_state=rng)
        if grain.rotation_degree is None
        else Rotation.from_rotvec(grain.rotation_degree, degrees=True)
    )
    middle = rng.random(3) @ crystal.cell.array
    ball, ball_body = _ball(crystal, middle, radius, target)
    center = np.array(grain.center) @ glass.cell.array
    ball.positions = rotation.apply(ball.positions - middle) + center

    parts = find_bodies(glass)
    away = _distances(parts.centres - center, glass.cell.array)
    # What the grain touches goes first, or it would have to be pushed out of it.
    touching = _touching(ball, ball_body, glass, parts)
    removed = _chosen(glass, parts, away, away - TOUCHING * touching, radius, target, "glass")
    rest = ~removed[parts.body]
    atoms = ase.Atoms(
        ball.get_chemical_symbols() + glass[rest].get_chemical_symbols(),
        np.concatenate([ball.positions, parts.positions[rest]]),
        cell=glass.cell,
        pbc=True,
    )
    body = np.concatenate([ball_body, parts.body[rest] + ball_body.max() + 1])
    phase = np.repeat([0, 1], [len(ball), int(rest.sum())])
    cell_parts = find_bodies(crystal)
    allowed = [
        closest_contacts(unbroken(crystal, cell_parts), cell_parts.body),
        closest_contacts(unbroken(glass, parts), parts.body),
    ]
    core = np.zeros(len(atoms), dtype=bool)
    core[: len(ball)] = (_centres(ball, ball_body, center) < radius - BORDER)[ball_body]
    pushed = push_apart(atoms, body, held=core, phase=phase, allowed=allowed)
    if pushed.shortest is not None:
        i, j, distance, contact = pushed.shortest
        raise DataError(
            f"nanograin: atoms {i + 1} ({atoms.symbols[i]}) and {j + 1} ({atoms.symbols[j]}) stay "
            f"{distance:.3f} Å apart; expected {contact:.3f} Å or more. Another seed, or a glass "
            f"of lower density (found {density_g_cm3(glass):.3f} g/cm3)."
        )
    atoms.positions = pushed.positions
    done = {
        "crystal_fraction": float(units * volume / glass.get_volume()),
        "grain_formula_units": units,
        "grain_radius_angstrom": radius,
        "grain_atoms": {element: target[element] for element in sorted(target)},
        "grain_rotation_degree": rotation.as_rotvec(degrees=True).tolist(),
        "density_crystal_g_cm3": density_g_cm3(crystal),
        "density_glass_g_cm3": density_g_cm3(glass),
        "units_unchanged": still_so(atoms, body),
        "grain_units_held": len(np.unique(body[core])),
        "largest_push_angstrom": pushed.largest_displacement_angstrom,
    }
    origin = np.array(["crystal", "glass"])[phase]
    return Composite(supercell(atoms, (1, 1, 1)), origin, done)


def _centres(
    atoms: ase.Atoms, body: NDArray[np.int64], center: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far the middle of each body is from a point, Å, without periodic images."""
    counts = np.bincount(body)
    sums = [np.bincount(body, weights=column) for column in (atoms.positions - center).T]
    return np.asarray(np.linalg.norm(np.array(sums) / counts, axis=0))


def _touching(
    ball: ase.Atoms, ball_body: NDArray[np.int64], glass: ase.Atoms, parts: Bodies
) -> NDArray[np.float64]:
    """Return by how much the contacts of each unit of the glass with the grain fall short, Å."""
    both = ase.Atoms(
        ball.get_chemical_symbols() + glass.get_chemical_symbols(),
        np.concatenate([ball.positions, parts.positions]),
        cell=glass.cell,
        pbc=True,
    )
    first = int(ball_body.max()) + 1
    body = np.concatenate([ball_body, parts.body + first])
    phase = np.repeat([0, 1], [len(ball), len(glass)])
    return shortfalls(both, body, phase)[first:]


def _require_room(glass: ase.Atoms, units: int, radius: float) -> None:
    if units < 1:
        raise DataError(
            "nanograin: the grain holds no whole formula unit. A larger volume_fraction or glass."
        )
    narrow = float(widths(glass).min())
    if 2.0 * radius + APART > narrow:
        raise DataError(
            f"nanograin: the grain is {2.0 * radius:.2f} Å wide in a glass of {narrow:.2f} Å, so "
            f"less than {APART:g} Å would part it from its own images. Expected a smaller "
            "volume_fraction, or a glass whose cell is nearer to a cube."
        )


def _ball(
    crystal: ase.Atoms, middle: NDArray[np.float64], radius: float, target: dict[str, int]
) -> tuple[ase.Atoms, NDArray[np.int64]]:
    """Return the units of an endless crystal nearest to a point, and the body of each atom."""
    parts = find_bodies(crystal)
    reach = np.ceil((radius + BORDER) / widths(crystal)).astype(int) + 1
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1)
    shifts = steps.reshape(-1, 3) @ crystal.cell.array
    number = len(parts.names)
    centres = (parts.centres + shifts[:, None]).reshape(-1, 3)
    away = np.linalg.norm(centres - middle, axis=1)
    image, body = np.divmod(np.flatnonzero(away < radius + BORDER), number)
    # Only units in reach are made atoms.
    members = [np.flatnonzero(parts.body == b) for b in range(number)]
    rows = np.concatenate([members[b] for b in body])
    sizes = np.array([len(members[b]) for b in body])
    owner = np.repeat(np.arange(len(body)), sizes)
    atoms = ase.Atoms(
        crystal.symbols[rows], parts.positions[rows] + shifts[np.repeat(image, sizes)]
    )
    names = tuple(parts.names[b] for b in body)
    near = centres[image * number + body]
    units = Bodies(owner, names, atoms.positions, near)
    distance = away[image * number + body]
    chosen = _chosen(atoms, units, distance, distance, radius, target, "crystal")
    keep = chosen[owner]
    return atoms[keep], np.unique(owner[keep], return_inverse=True)[1]


def _chosen(
    atoms: ase.Atoms,
    parts: Bodies,
    away: NDArray[np.float64],
    price: NDArray[np.float64],
    radius: float,
    target: dict[str, int],
    name: str,
) -> NDArray[np.bool_]:
    """Return which bodies hold the atoms asked for, exactly so many.

    Those well inside are taken, those well outside left; of the rest those with the smallest
    sum of prices (an integer programme).
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    elements = sorted(set(atoms.get_chemical_symbols()) | set(target))
    kind = np.searchsorted(elements, atoms.get_chemical_symbols())
    number = len(parts.names)
    holds = np.bincount(parts.body * len(elements) + kind, minlength=number * len(elements))
    holds = holds.reshape(number, len(elements))
    inside = away < radius - BORDER
    open_to_choice = np.flatnonzero(~inside & (away < radius + BORDER))
    wanted = np.array([target.get(element, 0) for element in elements]) - holds[inside].sum(axis=0)
    if len(open_to_choice):
        found = milp(
            price[open_to_choice],
            constraints=LinearConstraint(holds[open_to_choice].T, wanted, wanted),
            integrality=np.ones(len(open_to_choice), dtype=int),
            bounds=Bounds(0, 1),
        )
    if not len(open_to_choice) or found.x is None:
        kinds = Counter(parts.names[b] for b in open_to_choice)
        held = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        asked = " ".join(f"{element}{count}" for element, count in target.items())
        raise DataError(
            f"nanograin: no whole units of the {name} near the border of the grain ({held}) make "
            f"up its {asked}. Expected a crystal of the glass's composition; or change "
            "volume_fraction or center slightly."
        )
    inside[open_to_choice[found.x > 0.5]] = True
    stuck = np.flatnonzero(~inside & (away < radius - DEEPEST))
    if len(stuck):
        names = ", ".join(sorted({parts.names[b] for b in stuck}))
        raise DataError(
            f"nanograin: {len(stuck)} unit(s) of the {name} ({names}) would stay inside of the "
            "grain to keep the composition. Expected a crystal of the glass's units; or change "
            "volume_fraction or center slightly."
        )
    return inside


def _distances(vectors: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    from ase.geometry import find_mic

    return np.asarray(find_mic(vectors, cell)[1])
