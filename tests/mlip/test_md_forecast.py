"""Forecasts against what a real run wrote, and the refusal of what does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ase.io import read

from mlip.errors import InputError
from mlip.execution.speed import remember_speed
from mlip.md.forecast import StageCost, forecast_lines, forecast_run, require_fit, stage_words

KIND = "md atom-steps, 2 cores"
STAGE = StageCost("produce", 1000, (10,), 50, 100, 500)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*stages, out, **changes):
    numbers = {
        "atoms": 1000,
        "elements": 3,
        "members": 2,
        "measured": (50.0, 2.0),
        "speed_kind": KIND,
    } | changes
    return forecast_run(stages or [STAGE], out=out, **numbers)


def test_time_counts_the_committee_s_evaluations(tmp_path):
    # 11 rows of deviation, one further member each.
    assert run(out=tmp_path).seconds == pytest.approx((1000 + 11) / 50)
    assert run(out=tmp_path, members=1).seconds == pytest.approx(1000 / 50)
    assert run(out=tmp_path, runs=3).seconds == pytest.approx(3 * 1011 / 50)


def test_runs_side_by_side_take_less_time_and_more_memory(tmp_path):
    one = run(out=tmp_path, runs=6)
    three = run(out=tmp_path, runs=6, at_once=3)
    assert three.seconds == pytest.approx(one.seconds / 3)
    assert three.memory_gib == pytest.approx(3 * one.memory_gib)
    assert three.disk_bytes > one.disk_bytes


def test_the_last_of_an_odd_number_of_runs_takes_as_long_as_a_pair(tmp_path):
    odd, even = (run(out=tmp_path, runs=count, at_once=2) for count in (3, 4))
    assert odd.seconds == pytest.approx(even.seconds)


def test_without_a_probe_the_last_run_on_this_machine_counts(tmp_path):
    unknown = run(out=tmp_path, measured=None)
    assert "unknown" in forecast_lines(unknown)[0]
    assert not any("nan" in line for line in forecast_lines(unknown))
    remember_speed(KIND, amount=1e6, seconds=100.0)
    known = run(out=tmp_path, measured=None)
    assert known.steps_per_second == pytest.approx(10.0)
    assert "last run" in known.speed_source


def test_the_disk_of_a_trajectory_is_that_of_its_frames(tmp_path):
    one = run(out=tmp_path).stages[0].disk_bytes
    two = run(replace(STAGE, stream_every_steps=(10, 100)), out=tmp_path).stages[0].disk_bytes
    assert two - one == pytest.approx(11 * (12 * 1000 + 80))


def test_the_forecast_of_a_real_run_holds(tiny_run, tmp_path):
    atoms = len(read(tiny_run / "structure.extxyz"))
    stage = StageCost("produce", 60, (2,), 2, 10, 10)
    found = run(stage, out=tmp_path, atoms=atoms).stages[0].disk_bytes
    folder = next((tiny_run / "stages").glob("*_produce"))
    segment = next(folder.glob("*.dcd")).stat().st_size
    assert 31 * (12 * atoms + 80) == pytest.approx(segment, abs=600)
    shared = sum((tiny_run / name).stat().st_size for name in ("thermo.csv", "deviation.csv"))
    written = sum(path.stat().st_size for path in folder.iterdir()) + shared
    # The header of a log does not grow with the run.
    assert 0.4 * written < found < 1.5 * written


def test_what_does_not_fit_the_disk_is_refused_with_numbers(tmp_path):
    plan = replace(run(out=tmp_path / "not" / "there"), free_disk_bytes=1e6)
    with pytest.raises(InputError, match=r"free are 1 MB.*produce alone writes"):
        require_fit(plan, tmp_path)


def test_what_does_not_fit_the_memory_is_refused_only_if_it_was_probed(tmp_path):
    plan = replace(run(out=tmp_path), free_memory_gib=1.0)
    with pytest.raises(InputError, match=r"needs 2\.0 GiB of memory, free are 1\.0"):
        require_fit(plan, tmp_path)
    require_fit(replace(plan, memory_source="estimated"), tmp_path)
    require_fit(run(out=tmp_path, measured=(50.0, 0.01)), tmp_path)


def test_the_words_name_stage_and_sums(tmp_path):
    second = replace(STAGE, name="melt", steps=36_000_000)
    found = run(STAGE, second, out=tmp_path)
    text = "\n".join(forecast_lines(found))
    assert "50 steps/s (probed)" in text
    assert stage_words(found.stages[1]).startswith("about 202.0 h, ")
    assert "memory     2.0 GiB (probed)" in text
    assert "free" in text
