"""Recipes: defaults, overrides, and messages for every wrong key and value."""

from __future__ import annotations

import pytest

from mlip.errors import InputError, RecipeError
from mlip.recipes.base import load_recipe
from mlip.recipes.protocol import Protocol
from mlip.recipes.train import TrainRecipe


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yml"
        path.write_text(text)
        return path

    return write


def test_defaults_are_written_out(recipe):
    expanded = load_recipe(recipe("data: set\nsteps: 10\n"), TrainRecipe).expanded()
    assert expanded["descriptor"]["cutoff_angstrom"] == 6.0
    assert expanded["loss"]["force_start"] == 1000.0


def test_scientific_notation_is_a_number(recipe):
    path = recipe("data: set\nsteps: 10\nlearning_rate: {stop: 1e-7}\n")
    assert load_recipe(path, TrainRecipe).learning_rate.stop == 1e-7


def test_set_changes_nested_keys_and_list_elements(recipe):
    path = recipe("temperatures_kelvin: [300]\nstages: [{kind: nvt, duration_ps: 1}]\n")
    settings = ["stages.0.duration_ps=2.5", "temperatures_kelvin=[900, 1000]"]
    protocol = load_recipe(path, Protocol, settings)
    assert protocol.stages[0].duration_ps == 2.5
    assert protocol.temperatures_kelvin == (900.0, 1000.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: set\nsteps: 10\nstesp: 5\n", r"stesp: unknown key\. Known here: .*steps"),
        ("data: set\nsteps: 10\ndescriptor: {rcut: 6}\n", r"descriptor\.rcut: unknown key"),
        ("data: set\nsteps: 10\nsteps: 20\n", r"duplicate key"),
        ("data: set\n", r"steps: missing"),
        ("data: set\nsteps: -3\n", r"steps: .*greater than 0 \(found -3\)"),
        ("data: set\nsteps: many\n", r"steps: .*integer"),
        ("data: set\nsteps: 5\nlearning_rate: {start: .nan}\n", r"learning_rate\.start"),
        ("data: set\nsteps: 10\ndescriptor: {cutoff_smooth_angstrom: 7}\n", r"smaller than"),
        ("- a\n- b\n", r"expected `key: value`"),
        ("data: [unclosed\n", r"not readable as YAML"),
        ("", r"empty"),
    ],
)
def test_a_wrong_recipe_says_what_and_where(recipe, text, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe(text), TrainRecipe)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("temperatures_kelvin=[-300]", r"temperatures_kelvin\.0: .*greater than 0"),
        ("temperatures_kelvin=[300, 300]", r"value twice"),
        ("stages.0.barostat=square", r"barostat"),
        ("stages.0.duration_ps=0.0001", r"shorter than one time step"),
        ("stages.0.kind=anneal", r"kind"),
        ("nonsense", r"key\.path=value"),
        ("stages.7.duration_ps=1", r"no index of a list of 1"),
    ],
)
def test_an_impossible_protocol_is_refused(recipe, change, message):
    path = recipe(
        "temperatures_kelvin: [300]\nstages: [{kind: npt, duration_ps: 1, barostat: iso}]\n"
    )
    with pytest.raises(RecipeError, match=message):
        load_recipe(path, Protocol, [change])


def test_a_missing_recipe_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_recipe(tmp_path / "absent.yml", TrainRecipe)
