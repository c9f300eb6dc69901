"""`mlip analyse` on trajectory files: what the recipe must tell, what errors say to type."""

from __future__ import annotations

import json

import numpy as np
import pytest
from toy_trajectories import XU, brownian, write_dump

pytest.importorskip("pydantic", reason="the command line needs the extra `engine`")

from mlip.cli import main

CELL = np.diag([14.0, 13.0, 12.0])
TYPES = [1] * 10 + [3] * 6


@pytest.fixture
def dump(tmp_path, rng):
    start = np.stack(np.meshgrid(range(4), range(2), range(2)), -1).reshape(-1, 3) * 3.0 + 1.0
    positions = start + brownian(rng, 16, 12, D=0.01)
    return write_dump(tmp_path / "md.dump", positions, CELL, XU, types=TYPES, rng=rng)


def analyse(path, out, *settings):
    arguments = [word for setting in settings for word in ("--set", setting)]
    return main(["analyse", str(path), "--out", str(out), *arguments])


NEEDED = ("foreign.timestep_fs=20", "foreign.temperature_kelvin=600")
NAMED = "foreign.species=[Li, P, S]"


def test_a_dump_is_analysed_with_the_species_of_its_types(tmp_path, dump, capsys):
    charges = "charges={Li: 1, P: 5, S: -2}"
    assert analyse(dump, tmp_path / "out", *NEEDED, NAMED, charges) == 0
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert '"Li": 10' in json.dumps(record)
    told = capsys.readouterr().err
    assert "positions from xu yu zu (unwrapped)" in told
    assert "10 steps apart, which makes a time step of 2 fs" in told


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "--set foreign.timestep_fs=100"),
        (NEEDED, "--set 'foreign.species=[Li, P, S]'"),
        ((*NEEDED, "foreign.species=[Li]"), "16 atoms of 3 types but `species` names 1"),
        ((*NEEDED, NAMED, "charges={Li: 1}"), "no charge for S"),
        ((*NEEDED, NAMED, "foreign.format=xdatcar"), "is damaged"),
        ((*NEEDED, NAMED, "foreign.format=nothing"), "foreign.format"),
        ((NEEDED[1], NAMED, "foreign.timestep_fs=0.2"), "for a time step of 1 fs give 10"),
    ],
)
def test_what_is_missing_is_said_with_what_to_type(tmp_path, dump, capsys, settings, said):
    assert analyse(dump, tmp_path / "out", *settings) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_torn_dump_is_analysed_before_its_damage_when_asked(tmp_path, dump, capsys):
    dump.write_bytes(dump.read_bytes()[:-40])
    assert analyse(dump, tmp_path / "out", *NEEDED, NAMED) == 2
    assert "foreign.until_damage: true" in " ".join(capsys.readouterr().err.split())
    assert analyse(dump, tmp_path / "new", *NEEDED, NAMED, "foreign.until_damage=true") == 0
    assert "only the 11 frames before it are used" in capsys.readouterr().err
