"""The DeePMD input of one committee member, from the recipe and the set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlip.recipes.train import TrainSettings
from mlip.training.network import NeighbourRoom, model_section

# Room for melts and compressed frames beyond the training data: too small loses
# neighbours without a word.
NEIGHBOUR_MARGIN = 1.3
# Every atom of condensed matter has a neighbour nearer than this.
CLOSE_ANGSTROM = 4.0


def maximum_neighbours(systems: list[Path], elements: list[str], cutoff: float) -> dict[str, int]:
    """Return the most neighbours of each element that any atom of any frame has.

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
        for part in sorted(system.glob("set.*")):
            coords = np.load(part / "coord.npy").astype(float)
            boxes = np.load(part / "box.npy").astype(float)
            for coord, box in zip(coords, boxes, strict=True):
                first, second = neighbours.compute(
                    points=coord.reshape(-1, 3),
                    box=box.reshape(3, 3),
                    periodic=True,
                    quantities="ij",
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
        for part in sorted(system.glob("set.*")):
            coords = np.load(part / "coord.npy").astype(float)
            boxes = np.load(part / "box.npy").astype(float)
            for coord, box in zip(coords, boxes, strict=True):
                (distances,) = neighbours.compute(
                    points=coord.reshape(-1, 3),
                    box=box.reshape(3, 3),
                    periodic=True,
                    quantities="d",
                )
                found = min(found, float(distances.min(initial=math.inf)))
    return found


def neighbour_limits(most: dict[str, int]) -> dict[str, int]:
    """Return `sel`: the counted maxima with a margin, rounded up to a multiple of four."""
    return {
        element: max(4, 4 * math.ceil(NEIGHBOUR_MARGIN * count / 4))
        for element, count in most.items()
    }


def deepmd_input(
    recipe: TrainSettings,
    seed: int,
    elements: list[str],
    limits: NeighbourRoom | dict[str, int],
    training: Sequence[str],
    validation: Sequence[str],
    *,
    probabilities: Sequence[float] = (),
    repulsion_table: str = "",
) -> dict[str, Any]:
    """Return the content of ``input.json``.

    Parameters
    ----------
    recipe : TrainSettings
        With `steps` given.
    seed : int
        Of this member.
    elements : list of str
        Type map.
    limits : NeighbourRoom or dict of str to int
        Most neighbours per element (`sel`).
    training, validation : sequence of str
        System directories; validation may be empty.
    probabilities : sequence of float, optional
        Of each training system, summing to one. By default a system is drawn in proportion to
        its number of batches, so that every frame is drawn as often as any other.
    repulsion_table : str
        See `model_section`.

    Raises
    ------
    ValueError
        If the recipe has a budget and no steps.
    """
    if recipe.steps is None:
        raise ValueError("the budget must have become a number of steps")
    room = limits if isinstance(limits, NeighbourRoom) else NeighbourRoom(limits, limits)
    systems: dict[str, Any] = {
        "training_data": {
            "systems": list(training),
            "batch_size": f"auto:{recipe.batch_atoms}",
            **({"sys_probs": list(probabilities)} if probabilities else {}),
        }
    }
    if validation:
        systems["validation_data"] = {
            "systems": list(validation),
            "batch_size": 1,
            "numb_btch": 1,
        }
    return {
        "model": model_section(recipe, seed, elements, room, repulsion_table),
        "learning_rate": {
            "type": "exp",
            "start_lr": recipe.learning_rate.start,
            "stop_lr": recipe.learning_rate.stop,
            "decay_steps": recipe.learning_rate.decay_every(recipe.steps),
        },
        "loss": {
            "type": "ener",
            "start_pref_e": recipe.loss.energy_start,
            "limit_pref_e": recipe.loss.energy_end,
            "start_pref_f": recipe.loss.force_start,
            "limit_pref_f": recipe.loss.force_end,
            "start_pref_v": recipe.loss.virial_start,
            "limit_pref_v": recipe.loss.virial_end,
        },
        "training": {
            **systems,
            "numb_steps": recipe.steps,
            "seed": seed,
            "disp_file": "lcurve.out",
            "disp_freq": recipe.report_every_steps,
            "save_freq": recipe.checkpoint_every_steps,
            "save_ckpt": "model.ckpt",
            "max_ckpt_keep": 3,
        },
    }
