"""The recipe of `mlip train`: presets, budget, descriptors, and what it says of impossible keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlip.errors import RecipeError
from mlip.recipes.base import load_recipe, validated
from mlip.recipes.explore import ExploreRecipe
from mlip.recipes.presets import presets
from mlip.recipes.train import TrainRecipe
from mlip.training.budget import layout
from mlip.training.inputs import deepmd_input
from mlip.training.network import NeighbourRoom

REPOSITORY = Path(__file__).resolve().parents[2]
ELEMENTS = ["Li", "P", "S"]
ROOM = NeighbourRoom(*2 * [{"Li": 8, "P": 4, "S": 12}])


def recipe(**keys):
    return validated({"data": "set", **keys}, TrainRecipe, "recipe.yml")


def content(**keys):
    return deepmd_input(recipe(**keys), 7, ELEMENTS, ROOM, ["a", "b"], [])


@pytest.mark.parametrize("name", ["quick", "standard", "production"])
def test_a_preset_is_complete_and_its_expansion_says_everything(name):
    found = recipe(preset=name)
    expanded = found.expanded()
    assert expanded["steps"] == presets()[name].settings["steps"]
    assert expanded["descriptor"]["embedding_neurons"]
    assert validated(expanded, TrainRecipe, "expanded") == found


def test_given_keys_win_over_the_preset_section_by_section():
    base, changed = recipe(preset="quick"), recipe(preset="quick", learning_rate={"start": 5e-4})
    assert changed.learning_rate.start == 5e-4
    assert changed.learning_rate.stop == base.learning_rate.stop
    assert recipe(preset="quick", descriptor={"cutoff_angstrom": 7}).descriptor.axis_neurons == 8


def test_a_budget_replaces_the_steps_of_a_preset():
    found = recipe(preset="standard", budget_hours=2.0)
    assert found.steps is None
    assert found.length() == "2 h for all"


def test_another_descriptor_replaces_that_of_a_preset():
    found = recipe(preset="standard", descriptor={"type": "dpa3"})
    assert found.descriptor.repflow.layers == 6
    assert not found.compress


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "steps: missing"),
        ({"steps": 5, "budget_hours": 1}, "found both"),
        ({"preset": "fast"}, "expected one of quick, standard, production"),
        ({"preset": ["quick"]}, "expected one of quick, standard, production"),
        ({"steps": 5, "loss": {"virial_start": 0}}, "DeePMD-kit ignores the virial"),
        ({"steps": 5, "loss": {"energy_end": 0}}, "DeePMD-kit ignores the energy"),
        ({"steps": 5, "loss": {"force_end": 0}}, r"loss\.force_end"),
        ({"steps": 5, "descriptor": {"embedding_neurons": []}}, r"descriptor\.embedding_neurons"),
        ({"steps": 5, "descriptor": {"embedding_neurons": [4, 8]}}, "found 16, expected at most 8"),
        ({"steps": 5, "descriptor": {"type": "dpa3"}, "compress": True}, "no compressed form"),
        ({"steps": 5, "descriptor": {"type": "gap"}}, "descriptor"),
        ({"steps": 5, "descriptor": {"type": "dpa3", "rcut": 6}}, r"descriptor\.rcut: unknown"),
        ({"steps": 5, "learning_rate": {"stop": 1}}, "stop must be smaller"),
        (
            {"steps": 5, "short_range_repulsion": {"inner_angstrom": 0.6, "outer_angstrom": 1.2}},
            "descriptor.type: se_atten or dpa3",
        ),
        (
            {
                "steps": 5,
                "descriptor": {"type": "se_atten"},
                "short_range_repulsion": {"inner_angstrom": 1.2, "outer_angstrom": 0.6},
            },
            "inner_angstrom must be smaller",
        ),
        ({"steps": 5, "learning_curve": {"fractions": [0.5, 0.25]}}, "each larger"),
    ],
)
def test_an_impossible_recipe_says_why(keys, message):
    with pytest.raises(RecipeError, match=message):
        recipe(**keys)


def test_a_term_of_the_loss_can_be_left_out():
    loss = recipe(steps=5, loss={"virial_start": 0, "virial_end": 0}).loss
    assert (loss.virial_start, loss.energy_end) == (0.0, 1.0)


def test_the_shipped_learning_loop_trains_with_its_own_settings():
    path = REPOSITORY / "training_data" / "recipes" / "explore_li3ps4.yml"
    settings = load_recipe(path, ExploreRecipe).train
    found = TrainRecipe(data="set", **settings.model_dump())
    assert found.steps == settings.steps
    assert found.descriptor == settings.descriptor


def test_the_learning_rate_falls_from_start_to_stop():
    found = content(steps=9000, learning_rate={"start": 3e-3, "stop": 1e-5})["learning_rate"]
    assert found == {"type": "cosine", "start_lr": 3e-3, "stop_lr": 1e-5}


def test_room_for_neighbours_has_the_form_of_each_descriptor():
    assert content(steps=5)["model"]["descriptor"]["sel"] == [8, 4, 12]
    atten = content(steps=5, descriptor={"type": "se_atten"})["model"]["descriptor"]
    assert atten["sel"] == 24
    dpa3 = content(steps=5, descriptor={"type": "dpa3"})["model"]["descriptor"]
    assert dpa3["repflow"]["e_sel"] == 24


def test_members_have_a_card_each_and_spare_cards_are_shared_out():
    four = layout(4, cores=16, gpus=4)
    assert (four.side_by_side, four.waves, four.resources.gpus) == (4, 1, 1)
    many = layout(2, cores=16, gpus=8)
    assert (many.side_by_side, many.resources.gpus, many.resources.cores) == (2, 4, 8)
    few = layout(4, cores=16, gpus=3)
    assert (few.side_by_side, few.waves, few.resources.threads) == (3, 2, 5)
    none = layout(4, cores=2, gpus=0)
    assert (none.side_by_side, none.waves, none.resources.threads) == (2, 2, 1)
