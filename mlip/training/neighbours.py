"""Room for neighbours (`sel`) and the smallest distance: from the certificate, else counted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mlip.errors import DataError, RecipeError
from mlip.files import read_json
from mlip.recipes.descriptors import Dpa3
from mlip.recipes.train import TrainSettings
from mlip.training.inputs import maximum_neighbours, neighbour_limits, smallest_distance
from mlip.training.network import NeighbourRoom

# Two cutoffs are the same within the rounding of a recipe.
SAME_CUTOFF = 1e-9


def neighbour_room(
    recipe: TrainSettings, data: Path, systems: list[Path], elements: list[str]
) -> NeighbourRoom:
    """Return the room for neighbours of a recipe on a set.

    Raises
    ------
    RecipeError
        If `descriptor.maximum_neighbours` names other elements, or is too small for the data.
    """
    most = most_in_data(recipe, data, systems, elements)
    given = recipe.descriptor.maximum_neighbours
    if given is not None:
        require_room(given, most.pairs, "descriptor.maximum_neighbours")
    pairs = neighbour_limits(most.pairs) if given is None else given
    angles = neighbour_limits(most.angles)
    return NeighbourRoom(
        pairs, {element: min(angles[element], pairs[element]) for element in pairs}
    )


def most_in_data(
    recipe: TrainSettings, data: Path, systems: list[Path], elements: list[str]
) -> NeighbourRoom:
    """Return the most neighbours that atoms of the training frames have, without a margin."""
    pairs = most_neighbours(data, systems, elements, recipe.descriptor.cutoff_angstrom)
    if not isinstance(recipe.descriptor, Dpa3):
        return NeighbourRoom(pairs, pairs)
    angle_cutoff = recipe.descriptor.repflow.angle_cutoff_angstrom
    return NeighbourRoom(pairs, most_neighbours(data, systems, elements, angle_cutoff))


def require_room(given: dict[str, int], most: dict[str, int], key: str) -> None:
    """Check that there is room for the neighbours of the data.

    Raises
    ------
    RecipeError
        Naming `key`, if the elements differ or an element has too little room.
    """
    if set(given) != set(most):
        raise RecipeError(
            f"{key}: has {' '.join(sorted(given))}, expected exactly "
            f"{' '.join(most)} (the elements of the set)."
        )
    short = [element for element in most if given[element] < most[element]]
    if short:
        raise RecipeError(
            f"{key}: "
            + ", ".join(f"{e} {given[e]}, but the data has up to {most[e]}" for e in short)
            + ". Neighbours beyond it would be lost silently; raise it or leave the key out."
        )


def most_neighbours(
    data: Path, systems: list[Path], elements: list[str], cutoff: float
) -> dict[str, int]:
    """Return the most neighbours of each element within `cutoff` (Å) in the training frames.

    The certificate holds them on a grid of cutoffs (`neighbours`: cutoff in Å, element, most);
    the next larger cutoff is used. Where it does not say, they are counted.
    """
    table = read_json(data / "certificate.json").get("neighbours") or {}
    grid = sorted((float(key), key) for key in table)
    fitting = [key for value, key in grid if value >= cutoff - SAME_CUTOFF]
    if not fitting:
        return maximum_neighbours(systems, elements, cutoff)
    row = table[fitting[0]]
    # The certificate lists the elements that occur; the type map may know more.
    return {element: int(row.get(element, 0)) for element in elements}


def closest_pair(data: Path, systems: list[Path]) -> float:
    """Return the smallest distance of two atoms in the training frames, in Å.

    Read from the certificate (`smallest_distance_angstrom`: by pair), else measured.

    Raises
    ------
    DataError
        If no atom of any frame has a neighbour.
    """
    found = _smallest(read_json(data / "certificate.json").get("smallest_distance_angstrom"))
    if not math.isfinite(found):
        found = smallest_distance(systems)
    if not math.isfinite(found):
        raise DataError(f"{data}: in no training frame two atoms are near each other.")
    return found


def _smallest(content: Any) -> float:
    """Return the smallest number in a number or a mapping of numbers; inf if there is none."""
    if isinstance(content, dict):
        return min(map(_smallest, content.values()), default=math.inf)
    return float(content) if isinstance(content, int | float) else math.inf
