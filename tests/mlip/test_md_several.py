"""Several runs of one protocol side by side, with real LAMMPS: same results, no lost failure."""

from __future__ import annotations

import csv
import json
import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from ase.io import read, write
from stages import kill_when, mlip_process

from mlip.cli import main
from mlip.engines.lammps_layout import STORE, Layout, layout_key
from mlip.errors import EngineError, GateError, InputError, InterruptedRunError, MlipError
from mlip.execution.job import Job, Outcome
from mlip.execution.local import available_cores
from mlip.execution.shares import Share, share_out
from mlip.execution.speed import remember_record
from mlip.manifest import read_manifest
from mlip.md.several import share_machine, the_error

NAMES = ("300K", "400K")


@pytest.fixture
def two_cores(one_core):
    """The test and what it starts may use two cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if available_cores() < 2:
        pytest.skip("one core only")
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def site(tmp_path, monkeypatch):
    def write(text):
        (tmp_path / "site.yml").write_text(text)
        monkeypatch.setenv("LIPS_MLIP_SITE", str(tmp_path / "site.yml"))

    return write


@pytest.fixture
def command(laboratory, tiny_model, tiny_structure, tmp_path):
    def words(
        out=tmp_path / "runs", structure=tiny_structure, kelvin="[300, 400]", duration_ps=0.004
    ):
        stages = f"[{{kind: npt, barostat: aniso, duration_ps: {duration_ps}}}]"
        return [
            *("md", str(laboratory / "protocol.yml"), "--model", str(tiny_model)),
            *("--structure", str(structure), "--out", str(out), "--accept-parity"),
            *("--set", f"temperatures_kelvin={kelvin}", "--set", f"stages={stages}"),
        ]

    return words


@pytest.mark.parametrize(
    ("pieces", "machine", "expected"),
    [
        (9, {"cores": 2, "gpus": 0}, Share(2, 1, 0)),
        (1, {"cores": 16, "gpus": 0}, Share(1, 16, 0)),
        (3, {"cores": 64, "gpus": 0}, Share(3, 21, 0)),
        (9, {"cores": 64, "gpus": 4}, Share(4, 16, 1)),
        (2, {"cores": 64, "gpus": 8}, Share(2, 32, 4)),
        (9, {"cores": 2, "gpus": 4}, Share(2, 1, 2)),
        (9, {"cores": 8, "gpus": 0, "least_cores": 3}, Share(2, 4, 0)),
        (9, {"cores": 2, "gpus": 0, "least_cores": 4}, Share(1, 2, 0)),
        (9, {"cores": 64, "gpus": 8, "least_gpus": 3}, Share(2, 32, 4)),
        (9, {"cores": 64, "gpus": 0, "most_at_once": 4}, Share(4, 16, 0)),
        (0, {"cores": 4, "gpus": 0}, Share(1, 4, 0)),
    ],
)
def test_no_two_pieces_share_a_card_or_a_core(pieces, machine, expected):
    found = share_out(pieces, **machine)
    assert found == expected
    assert found.at_once * found.gpus <= machine["gpus"]
    assert found.at_once * found.cores <= machine["cores"]


def test_runs_go_side_by_side_and_each_is_what_it_would_be_alone(
    command, two_cores, tmp_path, monkeypatch
):
    # Long enough that both are under way, however unevenly they start.
    assert main(command(duration_ps=0.02)) == 0
    out = tmp_path / "runs"
    manifests = [read_manifest(out / name) for name in NAMES]
    starts = [datetime.fromisoformat(found.attempts[0].start) for found in manifests]
    ends = [datetime.fromisoformat(found.attempts[0].end) for found in manifests]
    assert max(starts) < min(ends)
    for name in NAMES:
        layout = json.loads((out / name / "layout.json").read_text())
        assert layout["ranks"] * layout["threads"] == 1
    summary = read_manifest(out).summary["runs"]
    assert summary == dict(zip(NAMES, (found.summary for found in manifests), strict=True))

    monkeypatch.setenv("LIPS_MLIP_CORES", "1")
    assert main(command(out=tmp_path / "alone", duration_ps=0.02)) == 0
    for name in NAMES:
        assert not (tmp_path / "alone" / f"{name}.yml").exists()
        alone = (tmp_path / "alone" / name / "final.extxyz").read_bytes()
        assert (out / name / "final.extxyz").read_bytes() == alone
        assert read_manifest(tmp_path / "alone" / name).recipe == read_manifest(out / name).recipe


def test_a_run_that_fails_stops_no_other_and_its_error_is_told(
    command, tiny_structure, two_cores, tmp_path, capfd
):
    atoms = read(tiny_structure / "structure.extxyz")
    starts = tmp_path / "starts"
    starts.mkdir()
    write(starts / "whole.extxyz", atoms)
    atoms.set_cell(0.3 * atoms.cell.array, scale_atoms=True)
    write(starts / "crushed.extxyz", atoms)
    assert main(command(structure=starts, kelvin="[300]")) == 4
    said = capfd.readouterr().err
    assert "mlip: crushed: " in said
    assert "crushed.log" not in said  # the reason itself, not where to look for it
    runs = tmp_path / "runs"
    assert read_manifest(runs / "whole").status == "complete"
    assert read_manifest(runs / "crushed").status == "running"
    assert read_manifest(runs).attempts[-1].exit_code == 4


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, MlipError),
        (2, InputError),
        (3, GateError),
        (4, EngineError),
        (5, InterruptedRunError),
        (-9, EngineError),
    ],
)
def test_the_error_of_a_run_keeps_its_exit_code(tmp_path, code, kind):
    log = tmp_path / "300K.log"
    log.write_text("Caution: mlip: not this.\nmlip: earlier\nmlip: atoms flew apart.\n  And how.\n")
    job = Job("300K", ("mlip",), tmp_path, log)
    error = the_error([Outcome(job, code, 1.0, "300K: failed."), Outcome(job, 2, 1.0, "")])
    assert type(error) is kind
    assert str(error).startswith("300K: atoms flew apart.\n  And how.\nAlso failed: ")
    log.write_text("no word of it\n")
    assert str(the_error([Outcome(job, code, 1.0, "300K: failed.")])) == "300K: failed."


def both_under_way(out: Path) -> bool:
    return all(list((out / name).glob("stages/*/*.restart")) for name in NAMES)


def assert_nothing_lost_or_doubled(out: Path) -> None:
    for name in NAMES:
        with (out / name / "thermo.csv").open() as table:
            steps = [int(row["step"]) for row in csv.DictReader(table)]
        assert steps == list(range(0, 201, 2))
        assert len(read_manifest(out / name).attempts) == 2


def test_sigterm_ends_all_runs_and_the_same_command_goes_on(command, two_cores, tmp_path):
    out = tmp_path / "runs"
    process = mlip_process(command(duration_ps=0.04))
    while not both_under_way(out):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 5
    assert {read_manifest(out / name).status for name in NAMES} == {"running"}
    assert main(command(duration_ps=0.04)) == 0
    assert_nothing_lost_or_doubled(out)


@pytest.mark.kills
@pytest.mark.parametrize("engine_too", [True, False])
def test_after_a_kill_orphaned_runs_are_ended_and_go_on(command, two_cores, tmp_path, engine_too):
    out = tmp_path / "runs"
    process = mlip_process(command(duration_ps=0.04))
    kill_when(process, lambda: both_under_way(out), engine_too=engine_too)
    assert main(command(duration_ps=0.04)) == 0
    assert_nothing_lost_or_doubled(out)


def test_what_memory_or_a_site_file_do_not_allow_is_not_tried(
    two_cores, tmp_path, tiny_model, site, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = [tiny_model / "compressed_0.pth"]
    monkeypatch.setenv("LIPS_MLIP_CORES", "2")
    assert share_machine(NAMES, tmp_path, models, 32) == Share(2, 1, 0)
    huge = Layout(1, 1, 0, 32, 50.0, memory_gib=1e6, busy=False)
    remember_record(STORE, layout_key(models, 32, Share(2, 1, 0)), vars(huge))
    assert share_machine(NAMES, tmp_path, models, 32) == Share(1, 2, 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    site("runs_at_once: 1\n")
    assert share_machine(NAMES, tmp_path, models, 32) == Share(1, 2, 0)
    site("ranks: 2\n")
    assert share_machine(NAMES, tmp_path, models, 32) == Share(1, 2, 0)
    site('launcher: [srun, -n, "{ranks}"]\n')
    assert share_machine(NAMES, tmp_path, models, 32).at_once == 1


def test_a_run_that_began_on_two_cores_keeps_them(two_cores, tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("LIPS_MLIP_CORES", "2")
    (tmp_path / "300K").mkdir()
    (tmp_path / "300K" / "layout.json").write_text('{"ranks": 2, "threads": 1, "gpus": 0}')
    found = share_machine(NAMES, tmp_path, [tiny_model / "compressed_0.pth"], 32)
    assert found == Share(1, 2, 0)


def test_the_forecast_counts_the_runs_side_by_side(command, two_cores, capsys, monkeypatch):
    monkeypatch.setenv("LIPS_MLIP_CORES", "2")
    assert main([*command(), "--dry-run"]) == 0
    assert "2 run(s), 2 side by side, each on 1 core(s)" in capsys.readouterr().out
    monkeypatch.setenv("LIPS_MLIP_CORES", "1")
    assert main([*command(), "--dry-run"]) == 0
    assert "2 run(s), one after the other" in capsys.readouterr().out
