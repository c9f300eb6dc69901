"""The learning loop on a toy label engine: real training, real MD, killed at every stage."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import ase.io
import pytest
from explore_recipes import write_toy

from mlip.cli import main
from mlip.explore.progress import read_progress
from mlip.manifest import read_manifest
from mlip.validation.reference import read_system, require_frames

REPOSITORY = Path(__file__).resolve().parents[2]

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
    return write_toy(tmp_path)


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


def test_a_round_goes_on_where_it_was_killed(toy, tmp_path):
    toy.write_text(toy.read_text().replace("maximum_rounds: 4", "maximum_rounds: 1"))
    out = tmp_path / "out"
    killed_at(toy, out, 1, "run")
    assert read_manifest(out).status == "running"
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/model/model_*.pth")}
    assert len(before) == 2
    seen = landed(out)
    process = start(toy, out)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert landed(out) == seen
    manifest = read_manifest(out)
    assert len(manifest.attempts) == 2
    summary = manifest.summary
    assert (summary["rounds"], summary["converged"], summary["labels"]) == (1, False, len(seen))
    assert 0 < summary["accurate_share"]["cold"] <= 1
    assert len(list(out.glob("round_001/runs/cold-*K/manifest.json"))) == 2
    assert ase.io.read(out / "round_001" / "chosen.extxyz", ":")
    assert "Exploration" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(ONE_KILL, id="one", marks=pytest.mark.slow),
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

    examined = tmp_path / "examined"
    check_examination(toy, out / summary["model"], examined)
    if kills == KILLS:
        check_validation(out / summary["model"], examined)
    capsys.readouterr()


def check_deviations(out: Path) -> None:
    """Each run of an examination has a row that its own record of the committee bears out."""
    with (out / "deviations.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["run"] for row in rows] == ["cold-test-300K"]
    with next(out.glob("runs/cold-test-00-300K/deviation.csv")).open() as handle:
        visit = [row for row in csv.DictReader(handle) if row["stage"] == "visit"][1:]
    values = sorted(float(row["max_force_deviation_ev_per_angstrom"]) for row in visit)
    assert int(rows[0]["frames"]) == len(values)
    assert float(rows[0]["largest_ev_per_angstrom"]) == pytest.approx(values[-1], abs=1e-4)
    within = float(rows[0]["within_95_percent_ev_per_angstrom"])
    assert sum(value > within + 1e-4 for value in values) <= 0.05 * len(values) + 1
    assert values[0] <= float(rows[0]["median_ev_per_angstrom"]) <= within


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
    systems = require_frames(out / "set", "test")
    assert sum(len(read_system(out / "set", "test", path).coords) for path in systems) == 3
    # The labels alone are enough to make the set again.
    again = out.with_name("again")
    assert main(["ingest", str(out / "ingest.yml"), "--out", str(again)]) == 0
    assert read_manifest(again).summary["test_frames"] == 3
    check_deviations(out)
    assert main(command) == 0
    assert len(read_manifest(out).attempts) == 1
    # Once the frames are chosen nothing runs again.
    shutil.rmtree(out / "runs")
    (out / "labelled.extxyz").unlink()
    assert main(["--verify", *command]) == 0
    assert len(ase.io.read(out / "labelled.extxyz", ":")) == 3
    assert not (out / "runs").exists()
    assert read_manifest(out).summary == summary


def check_validation(model: Path, out: Path) -> None:
    """Frames of an examination are read as any test set."""
    errors = out / "errors"
    assert main(["validate", str(model), "--data", str(out / "set"), "--out", str(errors)]) == 0
    metrics = json.loads((errors / "metrics.json").read_text())
    assert 0 < metrics["splits"]["test"]["overall"]["force_rmse_mev_per_angstrom"] < 1000
