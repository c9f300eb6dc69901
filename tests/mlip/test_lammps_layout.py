"""Layouts are probed with the real engine, and kept for their host, model and size only."""

from __future__ import annotations

import os
import uuid
from dataclasses import asdict

import pytest

from mlip.engines.lammps_layout import (
    STORE,
    Layout,
    best_layout,
    candidates,
    known_layout,
    layout_key,
    probe_layouts,
    probe_script,
)
from mlip.errors import EngineError
from mlip.execution.job import Resources
from mlip.execution.speed import recall_record, remember_record

ELEMENTS = ("Li", "P", "S")
KEPT = Layout(2, 1, 0, 32, 50.0, 1.5, busy=False)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("LIPS_MLIP_SITE", raising=False)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "m.pth").write_bytes(b"weights")
    return tmp_path / "m.pth"


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "site.yml").write_text("ranks: 1\nthreads: 1\n")
    monkeypatch.setenv("LIPS_MLIP_SITE", str(tmp_path / "site.yml"))


def cores(monkeypatch, number: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(number)))


def test_candidates_fill_the_cores_and_the_usual_winner_is_tried_first(monkeypatch):
    cores(monkeypatch, 8)
    found = candidates(10_000)
    assert found[0] == Resources(8, 1)
    assert set(found) >= {Resources(1, 8), Resources(2, 4), Resources(4, 2), Resources(4, 1)}
    assert all(entry.cores <= 8 for entry in found)
    assert len(set(found)) == len(found)


def test_a_small_cell_is_not_cut_into_ranks_without_atoms(monkeypatch):
    cores(monkeypatch, 8)
    assert {entry.ranks for entry in candidates(40)} == {1, 2}


def test_a_site_file_leaves_one_candidate(site):
    assert candidates(10_000) == (Resources(1, 1),)


def test_a_known_layout_is_used_without_a_probe_until_model_size_or_cores_change(
    model, tmp_path, monkeypatch
):
    remember_record(STORE, layout_key([model], 30), asdict(KEPT))
    assert best_layout([model], ELEMENTS, tmp_path / "none", 32, "token") == KEPT
    assert known_layout([model], 17) == KEPT
    assert known_layout([model], 16) is None
    assert known_layout([model, model], 32) is None
    cores(monkeypatch, 77)
    assert known_layout([model], 32) is None
    monkeypatch.undo()


def test_another_model_has_another_layout(model):
    remember_record(STORE, layout_key([model], 32), asdict(KEPT))
    model.write_bytes(b"other weights")
    assert known_layout([model], 32) is None


def test_a_record_of_another_version_is_as_good_as_none(model):
    remember_record(STORE, layout_key([model], 32), {"ranks": 2})
    assert known_layout([model], 32) is None


def test_the_speed_at_another_size_of_the_class_goes_with_the_atoms():
    assert KEPT.steps_per_second_at(64) == pytest.approx(25.0)


def test_the_probe_loads_the_whole_committee(tmp_path):
    script = probe_script([tmp_path / "a", tmp_path / "b"], ELEMENTS, tmp_path / "d", tmp_path)
    assert f"pair_style deepmd {tmp_path}/a {tmp_path}/b" in script
    assert "timer timeout" in script


def test_the_fastest_real_layout_is_found_and_one_that_fails_is_left_out(
    tiny_model, tiny_structure, monkeypatch, capsys
):
    models = [tiny_model / "compressed_0.pth", tiny_model / "compressed_1.pth"]
    data = tiny_structure / "structure.data"
    monkeypatch.setenv("LIPS_MLIP_MPIEXEC", "false")
    tried = (Resources(2, 1), Resources(1, 1))
    found = probe_layouts(tried, models, ELEMENTS, data, uuid.uuid4().hex)
    assert found.resources == Resources(1, 1)
    assert found.atoms == 32
    assert 1 < found.steps_per_second < 1e5
    assert 0.1 < found.memory_gib < 10
    assert "left out, 2 x 1" in capsys.readouterr().err


def test_what_was_found_is_kept(tiny_model, tiny_structure, site):
    models = [tiny_model / "compressed_0.pth"]
    data = tiny_structure / "structure.data"
    found = best_layout(models, ELEMENTS, data, 32, uuid.uuid4().hex)
    assert found.resources == Resources(1, 1)
    assert recall_record(STORE, layout_key(models, 32)) == asdict(found)


def test_if_every_probe_fails_each_reason_is_told(tmp_path, tiny_structure, site, model):
    data = tiny_structure / "structure.data"
    with pytest.raises(EngineError, match=r"No layout runs[\s\S]*1 x 1") as caught:
        best_layout([model], ELEMENTS, data, 32, uuid.uuid4().hex)
    assert "doctor" in str(caught.value)
    assert known_layout([model], 32) is None
