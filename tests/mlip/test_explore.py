"""What the learning loop is made of: recipe, start structures, series, pool of labels, progress."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from explore_recipes import write_toy

from analysis.pairs.closest import frame_geometry
from mlip.cli import main
from mlip.data.readers import read_extxyz
from mlip.engines.single_point import SinglePoint
from mlip.errors import DataError, RecipeError
from mlip.explore.plan import plan_explore
from mlip.explore.pool import (
    labelled_frames,
    read_labelled,
    write_ingest_recipe,
    write_labelled,
    write_pool,
)
from mlip.explore.progress import Progress, Round, read_progress, with_round, write_progress
from mlip.explore.sample import ended, is_done, series_of
from mlip.explore.states import build_states, shaken_frames, shaken_states
from mlip.files import write_json
from mlip.labelling import store
from mlip.labelling.frames import frame_id
from mlip.manifest import read_manifest
from mlip.recipes.base import load_recipe
from mlip.recipes.explore import ExploreRecipe
from mlip.recipes.ingest import IngestRecipe
from mlip.recipes.label import LabelRecipe

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "training_data" / "recipes" / "explore_li3ps4.yml"


@pytest.fixture
def toy(tmp_path) -> Path:
    return write_toy(tmp_path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.committee_size=1", "one member cannot disagree"),
        ("states.1.name=cold", "states share a name: cold"),
        ("states.0.from_round=2", "no state is visited in the first round"),
        ("states.0.duration_ps=0.01", "cold: duration_ps is shorter than frame_every_ps"),
        ("trust.failed_error_ev_per_angstrom=0.1", "must be larger"),
        ("states.0.temperature=3", "unknown key"),
        ("states.1.phase=[melt]", "1 phases for 2 temperatures"),
        ("bootstrap.frames_per_state=2", "greater than or equal to 3"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_with_its_reason(toy, setting, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(toy, ExploreRecipe, [setting])


def test_the_plan_counts_labels_and_steps_and_writes_nothing(toy, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["explore", str(toy), "--out", str(out), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "8 labels of shaken start structures" in said
    # Two sets of velocities: 0.2 ps once and 0.1 ps twice, at 2 fs.
    assert "400 MD steps" in said
    assert "up to 35 labels" in said  # 8 + 3 rounds of 6 + 3
    assert not out.exists()


def test_the_status_of_nothing_says_how_to_start(toy, tmp_path, capsys):
    assert main(["explore", str(toy), "--out", str(tmp_path / "out"), "--status"]) == 2
    assert "no loop was started" in capsys.readouterr().err


def test_the_size_of_rounds_the_training_the_cores_and_joined_data_may_change_between_calls(toy):
    one = load_recipe(toy, ExploreRecipe)
    changes = [
        "maximum_rounds=9",
        "test_frames=3",
        "selection.maximum_frames=5",
        "label.execution.threads=2",
        "train.steps=77",
        "also=[{name: contacts, format: extxyz, path: contacts.extxyz, phase: melt}]",
    ]
    more = load_recipe(toy, ExploreRecipe, changes)
    other = load_recipe(toy, ExploreRecipe, ["label.level.parameters.asap_cutoff=true"])
    assert one.settings() == more.settings()
    assert one.settings() != other.settings()


def test_packed_units_are_labelled_only_once_they_were_relaxed(toy):
    recipe = load_recipe(SHIPPED, ExploreRecipe)
    packed = {state.name for state in recipe.states if state.structure.packing is not None}
    shaken = {state.name for state in shaken_states(recipe)}
    assert {"glass-75", "glass-P2S6"} <= packed
    assert shaken == {state.name for state in recipe.states} - packed
    alone = recipe.model_copy(
        update={"states": tuple(state for state in recipe.states if state.name in packed)}
    )
    assert {state.name for state in shaken_states(alone)} == packed


def test_shaken_frames_are_reproducible_sane_and_one_of_each_state_is_for_testing(toy, tmp_path):
    recipe = load_recipe(toy, ExploreRecipe)
    structures = build_states(recipe, toy, tmp_path / "structures")
    frames = shaken_frames(recipe, structures)
    assert [atoms.info["split"] for atoms in frames] == ["train", "train", "train", "test"] * 2
    again = shaken_frames(recipe, structures)
    start = ase.io.read(structures["cold"] / "structure.extxyz")
    for one, other in zip(frames, again, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
        strain = one.cell.lengths() / start.cell.lengths() - 1.0
        assert 0 < np.abs(strain).max() <= 0.015
        assert (
            frame_geometry(one.symbols, one.positions, one.cell.array).closest_angstrom["Cu-Cu"]
            > 2.0
        )
    assert not np.allclose(frames[0].get_scaled_positions(), frames[1].get_scaled_positions())
    later = shaken_frames(recipe, structures, 3, [recipe.states[1]])
    assert [atoms.info["state"] for atoms in later] == ["warm"] * 4
    assert not np.allclose(later[0].positions, frames[4].positions)


def test_progress_survives_the_disk_and_a_damaged_file_is_named(tmp_path):
    entry = Round(1, 8, 3, 120.5, 2.0, shares={"a": {"accurate": 1.0}}, broke_down=("a-train",))
    progress = with_round(Progress(1, "run", 5.0), entry)
    write_progress(tmp_path, progress)
    assert read_progress(tmp_path) == progress
    (tmp_path / "progress.json").write_text('{"schema": 1}')
    with pytest.raises(DataError, match="damaged"):
        read_progress(tmp_path)


def test_a_series_goes_through_its_temperatures_until_one_breaks_down(toy, tmp_path):
    recipe = load_recipe(toy, ExploreRecipe)
    structures = {"cold": tmp_path / "cold", "warm": tmp_path / "warm"}
    assert set(series_of(recipe, 1, structures, tmp_path)) == {"cold-train", "cold-test"}
    series = series_of(recipe, 2, structures, tmp_path)
    first, second = series["warm-test"]
    assert (first.structure, second.structure) == (structures["warm"], first.end)
    assert (first.start_ps, second.start_ps) == (0.0, 0.1)
    assert first.seed == second.seed != series["warm-train"][0].seed

    assert not is_done([first, second])
    write_json(first.record, {"result": "ended", "said": ""})
    assert ended([first, second]) == [first]
    assert not is_done([first, second])
    write_json(first.record, {"result": "broke down", "said": "lost atoms"})
    assert ended([first, second]) == [first]
    assert is_done([first, second])


def test_labels_keep_their_numbers_and_are_joined_by_state_temperature_and_split(toy, tmp_path):
    rng = np.random.default_rng(1)
    recipe = load_recipe(toy, ExploreRecipe, ["states.1.phase=[melt, glass]"])
    # The second state is visited for 0.1 ps at 500 K and then at 350 K.
    places = [("shaken", 2.0), ("001-warm-train", 0.1), ("001-warm-train", 0.12)]
    rounds = []
    for number in range(2):
        frames = []
        for split, (run, time_ps) in product(("train", "test"), places):
            atoms = bulk("Cu", cubic=True)
            atoms.info = {
                **{"split": split, "state": "warm", "run": run, "time_ps": time_ps},
                "dft_level": {"code": "x"},
            }
            atoms.calc = SinglePointCalculator(
                atoms, energy=float(number), forces=rng.normal(size=(4, 3)), stress=np.arange(6.0)
            )
            frames.append(atoms)
        rounds.append(tmp_path / f"{number}.extxyz")
        write_labelled(rounds[-1], frames)
    write_labelled(tmp_path / "none.extxyz", [])
    assert read_labelled(tmp_path / "none.extxyz") == []
    sources = write_pool(recipe, [*rounds, tmp_path / "none.extxyz"], tmp_path / "pool")
    assert [(s.name, s.phase, s.temperature_kelvin, s.split) for s in sources] == [
        ("test-warm", "melt", None, "test"),
        ("test-warm-350K", "glass", 350.0, "test"),
        ("test-warm-500K", "melt", 500.0, "test"),
        ("train-warm", "melt", None, "train"),
        ("train-warm-350K", "glass", 350.0, "train"),
        ("train-warm-500K", "melt", 500.0, "train"),
    ]
    first = read_labelled(rounds[0])[3]
    joined = read_labelled(Path(sources[0].path))
    assert [atoms.get_potential_energy() for atoms in joined] == [0.0, 1.0]
    np.testing.assert_array_equal(joined[0].get_forces(), first.get_forces())
    np.testing.assert_array_equal(joined[0].get_stress(), np.arange(6.0))
    (frames,) = read_extxyz(Path(sources[0].path))
    assert frames.level == {"code": "x"}


def test_data_of_other_origin_join_the_labels_and_the_written_recipe_finds_them(toy, tmp_path):
    entry = "{name: contacts, format: extxyz, path: c/d.extxyz, phase: melt, split: train}"
    recipe = load_recipe(toy, ExploreRecipe, [f"also=[{entry}]"])
    write_ingest_recipe(recipe, toy, [], tmp_path / "loop")
    written = load_recipe(tmp_path / "loop" / "ingest.yml", IngestRecipe)
    (source,) = written.sources
    assert (source.name, source.split) == ("contacts", "train")
    assert (tmp_path / "loop" / source.path).resolve() == toy.parent / "c/d.extxyz"


def test_labels_of_frames_without_a_gap_are_kept_and_not_learned(tmp_path, capsys):
    recipe = LabelRecipe.model_validate(
        {"level": {"engine": "ase", "calculator": "ase.calculators.emt:EMT"}}
    )
    frames = []
    for number, gap_ev in enumerate((0.02, math.nan, 0.8)):
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.1 * number)
        point = SinglePoint(1.0 * number, np.zeros((4, 3)), np.eye(3), gap_ev, 9, "1", 1)
        record = store.Record(
            id=frame_id(recipe, atoms),
            status="converged",
            source="made",
            frame=number,
            formula="Cu4",
            cores=1,
            tries=(store.Try(method="any", result="converged", iterations=9, seconds=1.0),),
        )
        store.add(tmp_path, store.with_results(record, atoms, point), atoms, point, {}, {})
        frames.append(atoms)
    found = labelled_frames(recipe, frames, tmp_path)
    assert [atoms.get_potential_energy() for atoms in found] == [1.0, 2.0]
    assert "1 frames have a gap below 0.1 eV" in capsys.readouterr().err
    assert len(store.stored(tmp_path)) == 3


def test_without_its_label_engine_the_loop_does_not_start_to_train(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LIPS_MLIP_CP2K", raising=False)
    out = tmp_path / "out"
    command = ["explore", str(toy), "--out", str(out), "--set", "label={level: {engine: cp2k}}"]
    assert main(command) == 4
    assert not (out / "structures").exists()


def test_the_shipped_recipe_builds_neutral_even_cells_of_48_to_100_atoms(tmp_path):
    recipe = load_recipe(SHIPPED, ExploreRecipe)
    structures = build_states(recipe, SHIPPED, tmp_path)
    assert len(plan_explore(recipe, SHIPPED, tmp_path)) > len(recipe.states)
    for state in recipe.states:
        atoms = ase.io.read(structures[state.name] / "structure.extxyz")
        assert 48 <= len(atoms) <= 100, state.name
        electrons = {"Li": 3, "P": 5, "S": 6}
        assert sum(electrons[symbol] for symbol in atoms.symbols) % 2 == 0, state.name
        summary = read_manifest(structures[state.name]).summary
        if state.name != "beta-antisite":  # its bonds are counted as like atoms
            assert summary["formal_charge_e"] == 0, state.name
    phases = {phase for state in recipe.states for phase in state.phases}
    assert phases == {"crystal", "defect", "melt", "quench", "glass", "interface"}
