"""The DeePMD input of one committee member, from the recipe and the set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlip.recipes.train import TrainSettings
from mlip.training.network import NeighbourRoom, model_section

# Matrices of weights move by the orthogonalised momentum (Muon; Liu et al., arXiv 2502.16982, whose
# scale makes rates of Adam fit), vectors by Adam. The form of the orthogonalisation that is
# compiled on the machine that trains is left off. Against Adam: tests/benchmarks/optimiser.py.
OPTIMISER = {"type": "HybridMuon", "weight_decay": 1e-4, "enable_gram": False}


def deepmd_input(
    recipe: TrainSettings,
    seed: int,
    elements: list[str],
    room: NeighbourRoom,
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
    room : NeighbourRoom
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
        "optimizer": dict(OPTIMISER),
        "learning_rate": {
            "type": "cosine",
            "start_lr": recipe.learning_rate.start,
            "stop_lr": recipe.learning_rate.stop,
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
