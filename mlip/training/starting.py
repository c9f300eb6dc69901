"""Fine-tuning: the weights that members start from, and whether they fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip.engines.deepmd_model import model_script, network_differences
from mlip.engines.deepmd_train import last_checkpoint
from mlip.errors import RecipeError
from mlip.model_directory import read_model_directory
from mlip.recipes.train import TrainRecipe
from mlip.training.neighbours import require_room
from mlip.training.network import NeighbourRoom, model_section


@dataclass(frozen=True)
class StartingPoint:
    """A committee whose weights are the first of another.

    Attributes
    ----------
    directory : Path
    weights : tuple of Path
        Of each of its members: the last checkpoint, or the frozen model where there is none.
    script : dict
        The `model` section it was trained with.
    """

    directory: Path
    weights: tuple[Path, ...]
    script: dict[str, Any]

    def of(self, member: int) -> Path:
        """Return what a member starts from; a larger committee goes round."""
        return self.weights[member % len(self.weights)]


def read_starting_point(directory: Path, elements: list[str]) -> StartingPoint:
    """Read a model directory to start from.

    Raises
    ------
    DataError
        If it holds no committee.
    RecipeError
        If it was trained for other elements.
    """
    found = read_model_directory(directory)
    if list(found.type_map) != elements:
        raise RecipeError(
            f"start_from: {directory} has the types {' '.join(found.type_map)}, the set has "
            f"{' '.join(elements)}. They must be the same in the same order; see type_map of "
            "mlip ingest."
        )
    weights = tuple(
        last_checkpoint(directory / f"member_{n}") or model for n, model in enumerate(found.members)
    )
    return StartingPoint(directory, weights, model_script(found.members[0]))


def require_same_network(start: StartingPoint, recipe: TrainRecipe, elements: list[str]) -> None:
    """Check that the weights fit the network of the recipe.

    Raises
    ------
    RecipeError
        Naming every difference.
    """
    if recipe.descriptor.maximum_neighbours is not None:
        raise RecipeError(
            "start_from: the room for neighbours belongs to the weights; leave "
            "descriptor.maximum_neighbours out."
        )
    nothing = dict.fromkeys(elements, 0)
    section = model_section(recipe, recipe.seed, elements, NeighbourRoom(nothing, nothing))
    # Without repulsion the section is silent of it; weights that were trained with it are not.
    wanted = {"sw_rmin": None, "sw_rmax": None, **section}
    differences = network_differences(start.script, with_room_of(start, wanted))
    if differences:
        raise RecipeError(
            f"start_from: {start.directory} has another network than the recipe; in DeePMD-kit's "
            "names:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\nMake the recipe's descriptor, fitting_neurons, precision and "
            "short_range_repulsion those of its manifest.json."
        )


def with_room_of(start: StartingPoint, model: dict[str, Any]) -> dict[str, Any]:
    """Return a `model` section with the room for neighbours that the weights were made for."""
    stored = start.script["descriptor"]
    descriptor = dict(model["descriptor"])
    if "sel" in descriptor:
        descriptor["sel"] = stored.get("sel")
    if "repflow" in descriptor:
        room = {key: stored.get("repflow", {}).get(key) for key in ("e_sel", "a_sel")}
        descriptor["repflow"] = {**descriptor["repflow"], **room}
    return {**model, "descriptor": descriptor}


def require_room_of(start: StartingPoint, room: NeighbourRoom, elements: list[str]) -> None:
    """Check that the weights have room for the neighbours of the data.

    Parameters
    ----------
    start : StartingPoint
    room : NeighbourRoom
        The most neighbours that the data have.
    elements : list of str

    Raises
    ------
    RecipeError
        If not: neighbours would be lost silently.
    """
    stored = start.script["descriptor"]
    sel, net = stored.get("sel"), stored.get("repflow")
    if isinstance(sel, list):
        require_room(dict(zip(elements, sel, strict=True)), room.pairs, "start_from (its sel)")
        return
    wanted = [("pairs", net["e_sel"], room.pairs), ("angles", net["a_sel"], room.angles)]
    for what, places, most in wanted if net else [("pairs", sel, room.pairs)]:
        if places < sum(most.values()):
            raise RecipeError(
                f"start_from: {start.directory} has room for {places} neighbours ({what}), but "
                f"atoms of this set have up to {sum(most.values())}. Train from the beginning, "
                "or leave out the densest frames."
            )
