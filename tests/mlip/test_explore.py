"""The learning loop on a toy label engine: real training, real MD, killed at every stage."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise, product
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from analysis.pairs.closest import frame_geometry
from mlip.cli import main
from mlip.data.readers import read_extxyz
from mlip.engines.single_point import SinglePoint
from mlip.errors import DataError, RecipeError
from mlip.explore.plan import plan_explore
from mlip.explore.pool import labelled_frames, read_labelled, write_labelled, write_pool
from mlip.explore.progress import Progress, Round, read_progress, with_round, write_progress
from mlip.explore.sample import ended, is_done, series_of
from mlip.explore.states import build_states, shaken_frames, shaken_states
from mlip.files import write_json
from mlip.labelling import store
from mlip.labelling.frames import frame_id
from mlip.manifest import read_manifest
from mlip.recipes.base import load_recipe
from mlip.recipes.explore import ExploreRecipe
from mlip.recipes.label import LabelRecipe

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "training_data" / "recipes" / "explore_li3ps4.yml"

# Copper by effective medium theory: a second of labels, a potential that learns in seconds.
TOY = """
type_map: [Cu]
bootstrap: {frames_per_state: 4, rattle_angstrom: 0.06, strain: 0.015}
states:
  - name: cold
    phase: crystal
    structure: {cif: cu.cif, supercell: [2, 2, 2]}
    temperatures_kelvin: [300]
    duration_ps: 0.2
  - name: warm
    phase: crystal
    structure: {cif: cu.cif, supercell: [2, 2, 2], rattle: {amplitude_angstrom: 0.1}}
    temperatures_kelvin: [500, 350]
    duration_ps: 0.1
    pressure_gpa: 0.0
    from_round: 2
sampling: {timestep_fs: 2.0, frame_every_ps: 0.02, minimise_steps: 5}
trust: {accurate_error_ev_per_angstrom: 0.35, failed_error_ev_per_angstrom: 4.0, minimum_frames: 2}
selection: {maximum_frames: 6, spacing_ps: 0.06, maximum_density_g_cm3: 12}
test_frames: 3
train:
  steps: 500
  committee_size: 2
  descriptor:
    cutoff_angstrom: 4.5
    cutoff_smooth_angstrom: 2.0
    embedding_neurons: [8, 16]
    axis_neurons: 4
  fitting_neurons: [32, 32]
  learning_rate: {start: 0.01, stop: 1.0e-4, decay_steps: 50}
  loss: {force_end: 200.0, virial_end: 0.1}
  checkpoint_every_steps: 250
  compress: false
label:
  level: {engine: ase, calculator: "ase.calculators.emt:EMT"}
accurate_share: 0.8
maximum_rounds: 4
"""
# Round and stage at which the loop is killed, one after the other.
KILLS = (
    (0, "label"),
    (1, "ingest"),
    (1, "train"),
    (1, "validate"),
    (1, "run"),
    (1, "select"),
    (1, "label"),
    (2, "train"),
)
# Each costs half a minute: the one that leaves what a repository keeps of a round.
ONE_KILL = ((2, "train"),)


@pytest.fixture
def toy(tmp_path) -> Path:
    ase.io.write(tmp_path / "cu.cif", bulk("Cu", cubic=True))
    path = tmp_path / "explore.yml"
    path.write_text(TOY)
    return path


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


def test_the_size_of_rounds_the_training_and_the_cores_may_change_between_calls(toy):
    one = load_recipe(toy, ExploreRecipe)
    changes = [
        "maximum_rounds=9",
        "test_frames=3",
        "selection.maximum_frames=5",
        "label.execution.threads=2",
        "train.steps=77",
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


def start(recipe: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    # One core, as the other tests: beside this one another worker runs.
    code = (
        "import os, sys; from mlip.cli import main\n"
        "os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "explore", str(recipe), "--out", str(out), *more],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DEVICE": "cpu"},
    )


def killed_at(recipe: Path, out: Path, number: int, stage: str) -> None:
    """Run the loop until it is at a stage of a round, and kill it there with SIGKILL."""
    process = start(recipe, out)
    while process.poll() is None:
        now = read_progress(out) if (out / "progress.json").is_file() else None
        if now is not None and (now.round, now.stage) == (number, stage):
            time.sleep(0.7)  # into the work
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said


def landed(out: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in out.glob("labels/labels/*/label.json")}


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(ONE_KILL, id="one"),
        pytest.param(KILLS, id="every-stage", marks=pytest.mark.kills),
    ],
)
def test_the_loop_converges_though_it_is_killed_at_its_stages_and_labels_nothing_twice(
    kills, toy, tmp_path, capsys
):
    out = tmp_path / "out"
    seen: dict[str, int] = {}
    for number, stage in kills:
        killed_at(toy, out, number, stage)
        assert read_manifest(out).status == "running"
        assert seen.items() <= landed(out).items(), f"labelled again after {number} {stage}"
        seen = landed(out)

    assert main(["explore", str(toy), "--out", str(out), "--status", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["round"] == "2 of at most 4"
    assert status["labels"] == len(seen)
    assert status["labels_per_hour"] > 0
    assert set(status["accurate_share"]) == {"cold"}

    # What a repository keeps of a round whose frames are chosen: it is not learned again.
    (out / "round_001" / "labelled.extxyz").unlink()
    for name in ("set", "model", "runs"):
        shutil.rmtree(out / "round_001" / name)
    process = start(toy, out)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert not (out / "round_001" / "model").exists()
    assert seen.items() <= landed(out).items()

    manifest = read_manifest(out)
    assert manifest.status == "complete"
    assert len(manifest.attempts) == len(kills) + 1
    summary = manifest.summary
    assert summary["converged"], summary
    assert min(summary["accurate_share"].values()) >= 0.8
    assert summary["labels"] == len(landed(out))
    assert (out / summary["model"] / "model_1.pth").is_file()
    asked = [
        atoms
        for path in sorted(out.glob("round_*/chosen.extxyz"))
        for atoms in ase.io.read(path, ":")
    ]
    positions = {atoms.positions.round(6).tobytes() for atoms in asked}
    assert len(positions) == len(asked)

    # Frames of one series of runs are apart, and no series is on both sides.
    for run in {atoms.info["run"] for atoms in asked} - {"shaken"}:
        own = [atoms.info for atoms in asked if atoms.info["run"] == run]
        assert len({info["split"] for info in own}) == 1
        times = sorted(info["time_ps"] for info in own)
        assert all(b - a >= 0.06 - 1e-9 for a, b in pairwise(times))

    # All labels but those of the last round, which was learned and asked for none.
    made = tmp_path / "made_of_all_labels"
    assert main(["ingest", str(out / "ingest.yml"), "--out", str(made)]) == 0
    counts = read_manifest(made).summary
    last = read_manifest(out / summary["set"]).summary
    for split in ("train_frames", "test_frames"):
        assert counts[split] == last[split]

    page = (out / "report.html").read_text()
    assert "Exploration" in page
    assert page.count("data:image/png") >= 3

    assert main(["explore", str(toy), "--out", str(out)]) == 0
    assert "already done, nothing to do" in capsys.readouterr().out
    assert read_manifest(out).attempts == manifest.attempts

    check_examination(toy, out / summary["model"], tmp_path / "examined")
    capsys.readouterr()


def check_examination(toy: Path, model: Path, out: Path) -> None:
    """The potential of a loop is examined on its own MD, which no training ever saw."""
    changes = ["test_frames=3", "seed=2", f"model={model}"]
    command = ["explore", str(toy), "--out", str(out)]
    command += [word for change in changes for word in ("--set", change)]
    assert main(command) == 0
    summary = read_manifest(out).summary
    assert summary["labelled_by_phase"] == {"crystal": 3}  # warm belongs to the second round
    assert (summary["asked"], summary["labelled"], summary["test_frames"]) == (3, 3, 3)
    assert summary["visited"] == 10
    assert summary["broke_down"] == []
    assert len(ase.io.read(out / "chosen.extxyz", ":")) == 3
    assert not list(out.glob("set/train/*"))
    errors = out / "errors"
    assert main(["validate", str(model), "--data", str(out / "set"), "--out", str(errors)]) == 0
    metrics = json.loads((errors / "metrics.json").read_text())
    assert 0 < metrics["splits"]["test"]["overall"]["force_rmse_mev_per_angstrom"] < 1000
    assert main(command) == 0
    assert len(read_manifest(out).attempts) == 1
