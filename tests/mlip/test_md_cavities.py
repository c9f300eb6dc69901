"""A hole in a sample is measured in every stage and called a cavity where it is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, make_supercell
from ase.io import read, write
from toy_trajectories import write_run

from mlip.cli import main
from mlip.manifest import read_manifest
from mlip.md.cavities import stage_voids
from mlip.md.records import StageRecord
from mlip.md.script import Attempt, Stream

EVERY = 50


def record(name, purpose, first, last):
    streams = (Stream("main", EVERY, last * EVERY),)
    attempts = (Attempt(1, first * EVERY, "x"),)
    steps = (first * EVERY, last * EVERY)
    return StageRecord(name, "nvt", purpose, Path(name), *steps, 2.0, 0.0, 300.0, streams, attempts)


@pytest.fixture
def run(tmp_path):
    """Two frames of a simple cubic crystal, then two in which all atoms crowd together."""
    atoms = bulk("Li", "sc", a=3.0).repeat((5, 5, 5))
    whole, holed = atoms.positions, atoms.positions * 0.7
    frames = np.array([whole, whole, holed, holed])
    segments = [(0, 1, 2, "equilibration"), (2, 3, 2, "production")]
    return write_run(tmp_path, frames, ["Li"] * len(atoms), atoms.cell.array, segments=segments)


def test_a_cavity_is_told_from_the_holes_of_a_solid(run):
    found = stage_voids(
        run, [record("settle", "equilibration", 0, 1), record("produce", "production", 2, 3)]
    )
    assert found["settle"] == {
        "largest_void_angstrom": pytest.approx(3.0 * np.sqrt(3) / 2, abs=0.01),
        "cavitated": False,
    }
    assert found["produce"]["cavitated"]
    # Face to face, 15 - 4 x 2.1 Angstrom are empty.
    assert found["produce"]["largest_void_angstrom"] > (15 - 8.4) / 2


def test_a_stage_without_a_stored_frame_has_no_void(run):
    short = replace(
        record("settle", "equilibration", 0, 1),
        attempts=(Attempt(1, 1, "x"),),
        streams=(Stream("main", EVERY, 20),),
    )
    assert stage_voids(run, [short]) == {}


def test_the_summary_of_a_run_names_the_voids(tiny_run):
    summary = read_manifest(tiny_run).summary
    for stage in ("equilibrate", "produce"):
        assert 1.0 < summary[stage]["largest_void_angstrom"] < 6.0
        assert isinstance(summary[stage]["cavitated"], bool)


QUENCH = """
temperatures_kelvin: [300]
timestep_fs: 0.2
material: glass
glass:
  melt_above_kelvin: 350
  glass_transition_kelvin: 340
  minimise: {kind: minimise, maximum_steps: 3}
stages:
  - {kind: nvt, name: melt, purpose: equilibration, temperature_kelvin: 400, duration_ps: 0.002}
  - {kind: nvt, name: quench, purpose: equilibration, temperature_kelvin: 400,
     final_temperature_kelvin: run, rate_kelvin_per_ps: 50000, cell: keep}
deviation_every_steps: 5
trajectory_every_steps: 1
restart_every_steps: 20
"""


def test_a_glass_that_froze_around_a_hole_is_refused_until_it_is_accepted(
    tiny_model, tiny_structure, tmp_path, capsys
):
    atoms = make_supercell(read(tiny_structure / "structure.extxyz"), 2 * np.eye(3, dtype=int))
    cell = atoms.cell.array
    cell[2] *= 1.0 + 12.0 / np.linalg.norm(cell[2])
    atoms.set_cell(cell)
    write(tmp_path / "start.extxyz", atoms)
    (tmp_path / "quench.yml").write_text(QUENCH)
    run = tmp_path / "run"
    words = ["md", str(tmp_path / "quench.yml"), "--model", str(tiny_model), "--accept-parity"]
    words += ["--structure", str(tmp_path / "start.extxyz"), "--out", str(run)]
    words += ["--accept-unmelted", "--accept-untrusted"]
    assert main(words) == 3
    said = capsys.readouterr().err
    assert "at the end of quench the sample has a cavity" in said
    # Twelve Angstrom of nothing, and the distance of neighbours.
    assert 6.0 < float(said.split("radius of ")[1].split(" ")[0]) < 8.0
    assert main([*words, "--accept-cavity"]) == 0
    manifest = read_manifest(run)
    assert "accept-cavity" in manifest.overrides
    assert manifest.summary["quench"]["cavitated"]
