"""Forecasts rest on runs long enough to measure, and say so when there are none."""

from __future__ import annotations

import pytest

from mlip.execution.speed import duration, forecast, remember_speed


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_without_a_measurement_the_time_is_unknown():
    assert "unknown" in forecast("md", 1e6)


def test_a_long_run_sets_the_forecast_of_the_next():
    remember_speed("md", amount=1000.0, seconds=100.0)
    assert forecast("md", 36000.0).startswith("about 60 min")


def test_a_run_of_seconds_measures_the_start_and_is_not_remembered():
    remember_speed("md", amount=1000.0, seconds=10.0)
    assert "unknown" in forecast("md", 1.0)


def test_a_cache_that_cannot_be_written_fails_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember_speed("md", amount=1000.0, seconds=100.0)
    assert "unknown" in forecast("md", 1.0)


@pytest.mark.parametrize(("seconds", "words"), [(30, "30 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations_read_well(seconds, words):
    assert duration(seconds) == words
