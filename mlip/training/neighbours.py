"""Room for neighbours (`sel`) and the smallest distance: from the certificate, else counted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.errors import DataError, RecipeError
from mlip.execution.progress import tell
from mlip.files import read_json
from mlip.recipes.descriptors import Dpa3
from mlip.recipes.train import TrainSettings
from mlip.training.network import NeighbourRoom

# Two cutoffs are the same within the rounding of a recipe.
SAME_CUTOFF = 1e-9
# Room for melts and compressed frames beyond the training data: too small loses
# neighbours without a word.
NEIGHBOUR_MARGIN = 1.3
# Every atom of condensed matter has a neighbour nearer than this.
CLOSE_ANGSTROM = 4.0


def neighbour_room(recipe: TrainSettings, most: NeighbourRoom) -> NeighbourRoom:
    """Return the room for neighbours of a recipe on data that have up to `most`.

    Raises
    ------
    RecipeError
        If `descriptor.maximum_neighbours` names other elements, or is too small for the data.
    """
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

    The certificate holds them on a grid of cutoffs (`neighbours`: cutoff in Å, element, most).
    For a cutoff beside the grid they are counted.
    """
    table = read_json(data / "certificate.json").get("neighbours") or {}
    for key, row in table.items():
        if abs(float(key) - cutoff) <= SAME_CUTOFF:
            # The certificate lists the elements that occur; the type map may know more.
            return {element: int(row.get(element, 0)) for element in elements}
    tell(f"neighbours within {cutoff:g} Å are not in the certificate: counted in all frames.")
    return maximum_neighbours(systems, elements, cutoff)


def neighbour_limits(most: dict[str, int]) -> dict[str, int]:
    """Return `sel`: the counted maxima with a margin, rounded up to a multiple of four."""
    return {
        element: max(4, 4 * math.ceil(NEIGHBOUR_MARGIN * count / 4))
        for element, count in most.items()
    }


def closest_pair(data: Path, systems: list[Path]) -> float:
    """Return the smallest distance of two atoms in the training frames, in Å.

    Read from the certificate (`smallest_distance_angstrom`: by pair), else measured.

    Raises
    ------
    DataError
        If no atom of any frame has a neighbour.
    """
    table = read_json(data / "certificate.json").get("smallest_distance_angstrom") or {}
    found = min(map(float, table.values()), default=math.inf)
    if not math.isfinite(found):
        found = smallest_distance(systems)
    if not math.isfinite(found):
        raise DataError(f"{data}: in no training frame two atoms are near each other.")
    return found


def maximum_neighbours(systems: list[Path], elements: list[str], cutoff: float) -> dict[str, int]:
    """Count the most neighbours of each element that any atom of any frame has.

    Parameters
    ----------
    systems : list of Path
        DeePMD npy systems.
    elements : list of str
        The type map of the set.
    cutoff : float
        In Å.

    Returns
    -------
    dict of str to int
        By element of the neighbour.
    """
    import vesin  # imports torch where torch is installed: not for a call that does nothing

    most = np.zeros(len(elements), dtype=int)
    neighbours = vesin.NeighborList(cutoff=cutoff, full_list=True)
    for system in systems:
        types = np.loadtxt(system / "type.raw", dtype=int, ndmin=1)
        for coords, cell in _frames(system):
            first, second = neighbours.compute(
                points=coords, box=cell, periodic=True, quantities="ij"
            )
            counts = np.zeros((len(types), len(elements)), dtype=int)
            np.add.at(counts, (first, types[second]), 1)
            most = np.maximum(most, counts.max(axis=0))
    return {element: int(count) for element, count in zip(elements, most, strict=True)}


def smallest_distance(systems: list[Path]) -> float:
    """Return the smallest distance between two atoms in any frame, in Å; inf if all are far."""
    import vesin

    neighbours = vesin.NeighborList(cutoff=CLOSE_ANGSTROM, full_list=False)
    found = math.inf
    for system in systems:
        for coords, cell in _frames(system):
            (distances,) = neighbours.compute(
                points=coords, box=cell, periodic=True, quantities="d"
            )
            found = min(found, float(distances.min(initial=math.inf)))
    return found


def _frames(system: Path) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield positions (N, 3) and cell (3, 3) of every frame, in Å."""
    for part in sorted(system.glob("set.*")):
        coords = np.load(part / "coord.npy").astype(float)
        boxes = np.load(part / "box.npy").astype(float)
        for coord, box in zip(coords, boxes, strict=True):
            yield coord.reshape(-1, 3), box.reshape(3, 3)
