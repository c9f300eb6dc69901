"""Thirty SIGKILLs of one run at chosen and random points: nothing lost, nothing doubled."""

from __future__ import annotations

import csv
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from stages import mlip_process

from analysis.reading.runs import open_run
from mlip.cli import main
from mlip.manifest import read_manifest
from mlip.recipes.base import load_recipe
from mlip.recipes.protocol import Protocol

pytestmark = pytest.mark.kills

KILLS = 30
# Steps so short that the tiny potential, which knows nothing, cannot break the sample.
PROTOCOL = """
temperatures_kelvin: [300]
timestep_fs: 0.005
seed: 3
glass: {melt_above_kelvin: 350, glass_transition_kelvin: 340,
        minimise: {kind: minimise, name: inherent, maximum_steps: 3}}
dense: {every_steps: 1, duration_ps: 0.001}
stages:
  - {kind: minimise, maximum_steps: 3}
  - {kind: nvt, name: heat, purpose: equilibration, temperature_kelvin: 300,
     final_temperature_kelvin: 400, duration_ps: 0.0015}
  - {kind: npt, name: melt, temperature_kelvin: 400, duration_ps: 0.0015, barostat: iso}
  - {kind: npt, name: quench, temperature_kelvin: 400, final_temperature_kelvin: run,
     duration_ps: 0.002, barostat: iso}
  - {kind: npt, name: relax, duration_ps: 0.001, barostat: iso}
  - {kind: nvt, duration_ps: 0.003}
thermo_every_steps: 3
trajectory_every_steps: 4
deviation_every_steps: 12
restart_every_steps: 15
"""


@pytest.fixture(scope="module")
def command(tiny_model, tiny_structure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    (folder / "protocol.yml").write_text(PROTOCOL)

    def of(out: Path) -> list[str]:
        words = ["md", str(folder / "protocol.yml"), "--model", str(tiny_model)]
        return [*words, "--structure", str(tiny_structure), "--out", str(out), "--accept-parity"]

    return of


def files(out: Path, pattern: str) -> int:
    return len(list(out.glob(f"stages/*/{pattern}")))


# What a kill waits for, counted from the start of its attempt; a delay follows it.
POINTS = (
    ("manifest.json", lambda out: int((out / "manifest.json").is_file())),
    ("in.*.lammps", lambda out: files(out, "in.*.lammps")),
    ("stage.json", lambda out: files(out, "stage.json")),
    ("*.restart", lambda out: sum(p.stat().st_mtime_ns for p in out.glob("stages/*/*.restart"))),
    ("*.dcd", lambda out: sum(p.stat().st_size for p in out.glob("stages/*/*.dcd"))),
    ("deviation", lambda out: sum(p.stat().st_size for p in out.glob("stages/*/deviation*"))),
    ("final", lambda out: files(out, "final.*")),
)


def kill_once(arguments: list[str], out: Path, number: int, rng: random.Random) -> bool:
    """Start the run, SIGKILL it at its point; tell whether it was still running."""
    _, count = POINTS[number % len(POINTS)]
    before = count(out) if out.exists() else 0
    process = mlip_process(arguments)
    end = time.monotonic() + 120.0
    while process.poll() is None and time.monotonic() < end:
        try:
            if count(out) != before:
                break
        except FileNotFoundError:  # renamed between listing and asking
            continue
        time.sleep(0.005)
    time.sleep(rng.uniform(0.0, 0.5))
    if process.poll() is not None:
        return False
    engines = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Every other time the engine is left behind, as after the death of the driver alone.
    for engine in engines if number % 2 else []:
        if engine.is_running():
            engine.kill()
    return True


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle))


def test_thirty_kills_lose_and_double_nothing(command, tmp_path):
    rng = random.Random(20251121)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert main(command(whole)) == 0
    kills = ended = 0
    while kills < KILLS:
        if kill_once(command(out), out, kills, rng):
            kills += 1
            continue
        # It came to its end between two kills: the rest is spent on another copy.
        ended += 1
        out = tmp_path / f"killed_{ended}"
    for run in [path for path in tmp_path.glob("killed*") if path.is_dir()]:
        assert main(command(run)) == 0
        assert read_manifest(run).status == "complete"
        _same_records(run, whole)


def _same_records(run: Path, whole: Path) -> None:
    for name in ("thermo.csv", "deviation.csv"):
        found, expected = rows(run / name), rows(whole / name)
        assert [(r["stage"], r["step"]) for r in found] == [
            (r["stage"], r["step"]) for r in expected
        ]
    for purpose, stage in (
        *(("equilibration", name) for name in ("heat", "melt", "quench", "relax")),
        ("production", "produce"),
    ):
        _same_frames(run, whole, purpose=purpose, stage=stage)
    _same_frames(run, whole, stream="dense")


def _same_frames(run: Path, whole: Path, **which: str) -> None:
    found, expected = (
        np.array([frame.positions for frame in open_run(path, **which).frames(1)])
        for path in (run, whole)
    )
    assert found.shape == expected.shape
    # Single precision: rounding differs where a resume sums in another order, and grows.
    assert np.abs(found - expected).max() < 1e-4
    assert (np.abs(np.diff(found, axis=0)).max(axis=(1, 2)) > 0).all()


def test_the_protocol_has_every_kind_of_resume(tmp_path):
    (tmp_path / "protocol.yml").write_text(PROTOCOL)
    parts = load_recipe(tmp_path / "protocol.yml", Protocol, []).programme()
    kinds = {(part.stage.kind, part.is_ramp) for part in parts}
    assert kinds >= {("nvt", True), ("npt", False), ("npt", True), ("nvt", False)}
