"""A hole in a sample is measured in every stage and called a cavity where it is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from toy_trajectories import write_run

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
