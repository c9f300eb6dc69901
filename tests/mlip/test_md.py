"""MD with real LAMMPS: what a run holds, resume after a kill, and its gates."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from stages import kill_when, mlip_process

from analysis.reading.runs import open_run
from mlip.cli import main
from mlip.engines.lammps import explain
from mlip.engines.lammps_output import restart_is_whole
from mlip.errors import BlowUpError
from mlip.files import write_json
from mlip.manifest import read_manifest, relative, write_manifest
from mlip.md.records import StageRecord, segments
from mlip.md.run import md
from mlip.md.script import Attempt, Start, Stream, stage_script
from mlip.recipes.base import load_recipe
from mlip.recipes.protocol import Protocol


def rows(path):
    with path.open() as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def md_command(laboratory, tiny_model, tiny_structure, tmp_path):
    def command(*extra, out=tmp_path / "run", structure=tiny_structure, model=tiny_model):
        return [
            *("md", str(laboratory / "protocol.yml"), "--model", str(model)),
            *("--structure", str(structure), "--out", str(out), "--accept-parity"),
            *extra,
        ]

    return command


def test_a_run_holds_what_the_contract_promises(tiny_run):
    names = {path.name for path in tiny_run.iterdir()}
    promised = {"structure.extxyz", "trajectory.json", "thermo.csv", "deviation.csv"}
    assert promised | {"final.extxyz", "manifest.json"} <= names
    manifest = read_manifest(tiny_run)
    assert manifest.status == "complete"
    assert manifest.overrides == ["accept-parity"]
    assert manifest.seeds == {"velocities": 1}


def test_production_is_at_the_mean_cell_of_the_second_half_of_npt(tiny_run):
    thermo = rows(tiny_run / "thermo.csv")
    for axis in ("lx_angstrom", "ly_angstrom", "lz_angstrom"):
        npt = [float(r[axis]) for r in thermo if r["stage"] == "equilibrate"]
        late = [
            float(r[axis]) for r in thermo if r["stage"] == "equilibrate" and int(r["step"]) >= 10
        ]
        nvt = {float(r[axis]) for r in thermo if r["stage"] == "produce"}
        assert len(set(npt)) > 1
        assert len(nvt) == 1
        assert nvt.pop() == pytest.approx(np.mean(late), abs=1e-5)


def test_the_analysis_reads_the_production_frames(tiny_run):
    trajectory = open_run(tiny_run)
    assert trajectory.n_frames == 31
    assert trajectory.frame_interval_ps == pytest.approx(0.0004)
    assert len(trajectory.species) == 32


def test_atoms_keep_their_ids_origin_and_species(tiny_run, tiny_structure):
    start = read(tiny_structure / "structure.extxyz")
    final = read(tiny_run / "final.extxyz")
    assert final.get_chemical_symbols() == start.get_chemical_symbols()
    assert (final.arrays["origin"] == start.arrays["origin"]).all()
    *_, last = open_run(tiny_run).frames(1)
    assert np.abs(final.positions - last.positions).max() < 1e-4


def test_the_committee_watches(tiny_run):
    deviation = rows(tiny_run / "deviation.csv")
    assert all(float(r["max_force_deviation_ev_per_angstrom"]) > 0 for r in deviation)
    produced = [r for r in deviation if r["stage"] == "produce"]
    assert [int(r["step"]) for r in produced] == list(range(20, 81, 10))
    values = [float(r["max_force_deviation_ev_per_angstrom"]) for r in produced]
    stage = read_manifest(tiny_run).summary["produce"]
    within = stage["p95_max_force_deviation_ev_per_angstrom"]
    assert within == pytest.approx(np.quantile(values, 0.95), abs=1e-4)
    assert sorted(values)[-2] < within < stage["largest_max_force_deviation_ev_per_angstrom"]


def test_frames_beyond_the_calibrated_trust_are_counted_over_all_stages(
    md_command, tiny_run, tiny_model, tmp_path
):
    found = [
        {name: float(r[f"max_force_deviation_{name}_ev_per_angstrom"]) for name in ("Li", "P", "S")}
        for r in rows(tiny_run / "deviation.csv")
    ]
    assert "share_of_frames_beyond_trust" not in read_manifest(tiny_run).summary
    calibrated = tmp_path / "model"
    shutil.copytree(tiny_model, calibrated)
    # Phosphorus alone decides: the other elements are given room.
    level = float(np.median([r["P"] for r in found]))
    levels = {
        name: {"upper_ev_per_angstrom": upper, "calibrated": True}
        for name, upper in (("Li", 1e3), ("P", level), ("S", 1e3))
    }
    write_json(calibrated / "validation" / "trust.json", {"levels": levels})
    assert main(md_command(model=calibrated)) == 0
    summary = read_manifest(tmp_path / "run").summary
    assert summary["highest_trusted_deviation_ev_per_angstrom"] == 1e3
    share = sum(r["P"] > level for r in found) / len(found)
    assert 0 < share < 1
    assert summary["share_of_frames_beyond_trust"] == pytest.approx(share, abs=0.05)


def test_energy_is_conserved_by_the_thermostatted_start(tiny_run):
    thermo = rows(tiny_run / "thermo.csv")
    for row in thermo:
        total = float(row["potential_energy_ev"]) + float(row["kinetic_energy_ev"])
        assert float(row["total_energy_ev"]) == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("engine_too", [True, False], ids=["engine killed too", "engine orphaned"])
def test_kill_during_production_loses_and_doubles_nothing(md_command, tmp_path, engine_too):
    out = tmp_path / "run"
    command = md_command(
        *("--set", "timestep_fs=0.05"),
        *("--set", "stages.1.duration_ps=0.001"),
        *("--set", "stages.2.duration_ps=0.02"),
        *("--set", "dense={every_steps: 1, duration_ps: 0.015}"),
    )
    stage = out / "stages" / "02_produce"
    kill_when(
        mlip_process(command),
        lambda: any(stage.glob("[0-9]*.restart")),
        engine_too=engine_too,
    )
    assert read_manifest(out).status == "running"
    assert main(command) == 0
    manifest = read_manifest(out)
    assert [attempt.exit_code for attempt in manifest.attempts] == [None, 0]
    # What was done is not done again: the earlier stages have one engine start each.
    for name in ("00_minimise", "01_equilibrate"):
        assert len(json.loads((out / "stages" / name / "stage.json").read_text())["attempts"]) == 1
    assert len(json.loads((stage / "stage.json").read_text())["attempts"]) == 2
    trajectory = open_run(out)
    assert trajectory.n_frames == 201
    dense = open_run(out, stream="dense")
    assert dense.n_frames == 301
    assert dense.frame_interval_ps == pytest.approx(0.00005)
    steps = [int(r["step"]) for r in rows(out / "thermo.csv") if r["stage"] == "produce"]
    assert steps == list(range(20, 421, 2))
    positions = np.array([frame.positions for frame in trajectory.frames(1)])
    finer = np.array([frame.positions for frame in dense.frames(1)])
    assert np.array_equal(finer[::2], positions[:151])
    assert (np.abs(np.diff(finer, axis=0)).max(axis=(1, 2)) > 0).all()
    jumps = np.linalg.norm(np.diff(positions, axis=0), axis=2)
    # A doubled frame would not move at all; a wrong cell image would jump by 6 Å or more.
    assert (jumps.max(axis=1) > 0).all()
    assert jumps.max() < 2.0


def test_a_lost_trajectory_segment_is_made_again(md_command, tiny_run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(tiny_run, out, ignore=shutil.ignore_patterns("lock"))
    segment = out / "stages" / "02_produce" / "segment.1.dcd"
    segment.unlink()
    manifest = read_manifest(out)
    command = md_command(out=out)
    # The copy lies elsewhere: its inputs are the same files under other relative names.
    manifest.inputs = {
        relative(Path(command[at]), out): value
        for at, value in zip((3, 5), manifest.inputs.values(), strict=True)
    }
    write_manifest(out, manifest)
    assert main(command) == 0
    assert open_run(out).n_frames == 31
    assert not segment.exists()
    equilibrate = json.loads((out / "stages" / "01_equilibrate" / "stage.json").read_text())
    assert len(equilibrate["attempts"]) == 1


def test_a_torn_restart_is_passed_over(tiny_run, tmp_path):
    whole = tiny_run / "stages" / "02_produce" / "final.restart"
    torn = tmp_path / "torn.restart"
    torn.write_bytes(whole.read_bytes()[:-20])
    assert restart_is_whole(whole)
    assert not restart_is_whole(torn)


def test_superseded_frames_are_left_out_of_the_index(tmp_path):
    def record(*starts):
        attempts = tuple(Attempt(n + 1, start, "x.restart") for n, start in enumerate(starts))
        return StageRecord(
            *("produce", "nvt", "production", tmp_path, 100, 200, 1.0, 0.1, 300.0, (), attempts)
        )

    main = Stream("main", every_steps=10, last_step=200)
    kept = segments(record(100, 150, 130), main)
    assert [(s["file"], s["first_step"], s["last_step"]) for s in kept] == [
        ("segment.1.dcd", 100, 120),
        ("segment.3.dcd", 130, 200),
    ]
    # A restart between two frames: the next attempt begins at the next frame.
    kept = segments(record(100, 155), main)
    assert [(s["first_step"], s["last_step"]) for s in kept] == [(100, 150), (160, 200)]
    # A stream that ended before the resume has no frame of the later attempt.
    dense = Stream("dense", every_steps=2, last_step=140)
    kept = segments(record(100, 155), dense)
    assert [(s["file"], s["last_step"]) for s in kept] == [("dense.1.dcd", 140)]
    # Nor is it asked for frames that an attempt, torn and taken back, superseded.
    kept = segments(record(100, 150, 130), dense)
    assert [(s["file"], s["first_step"], s["last_step"]) for s in kept] == [
        ("dense.1.dcd", 100, 128),
        ("dense.3.dcd", 130, 140),
    ]


def test_md_without_parity_is_refused(md_command, tmp_path, tiny_model):
    bare = tmp_path / "unproved"
    bare.mkdir()
    for name in ("model_0.pth", "type_map.json"):
        shutil.copy(tiny_model / name, bare)
    command = [word for word in md_command(model=bare) if word != "--accept-parity"]
    assert main(command) == 3
    assert not (tmp_path / "run").exists()


def test_a_run_that_does_not_fit_the_disk_is_not_begun(md_command, tmp_path, monkeypatch, capsys):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("mlip.md.forecast.shutil.disk_usage", lambda _: full)
    assert main(md_command()) == 2
    assert "free are 1 kB" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_several_temperatures_make_a_directory_of_runs(md_command, tmp_path):
    out = tmp_path / "run"
    command = md_command(
        *("--set", "temperatures_kelvin=[300, 400]"),
        *("--set", "stages=[{kind: nvt, duration_ps: 0.002}]"),
    )
    assert main(command) == 0
    assert read_manifest(out).kind == "runs"
    first, second = (rows(out / name / "thermo.csv")[0] for name in ("300K", "400K"))
    assert float(first["temperature_kelvin"]) == pytest.approx(300, abs=0.1)
    assert float(second["temperature_kelvin"]) == pytest.approx(400, abs=0.1)
    assert read_manifest(out / "400K").seeds == {"velocities": 2}


def test_a_stage_at_constant_energy_has_no_thermostat_and_resumes_where_it_was():
    stages = [
        {"kind": "nvt", "name": "heat", "duration_ps": 1, "purpose": "equilibration"},
        {"kind": "nve", "duration_ps": 2},
    ]
    protocol = Protocol.model_validate({"temperatures_kelvin": [600], "stages": stages})
    script = stage_script(
        protocol,
        protocol.programme()[1],
        Attempt(2, 2000, "2000.restart"),
        models=[Path("model_0.pth")],
        elements=["Cu"],
        start=Start(draws_velocities=True),
        triclinic=False,
        ids_by_origin={},
        atoms=4,
        smallest_angstrom={("Cu", "Cu"): 1.3},
        volume_angstrom3=47.0,
    )
    assert "fix dynamics all nve\n" in script
    assert "run 3000 upto start 1000 stop 3000" in script
    assert "velocity" not in script


@pytest.mark.parametrize(
    ("log", "meaning"),
    [
        (
            "Open of file libdeepmd_lmp.so failed: Cannot find libcudart.so.12\n"
            "ERROR: Unrecognized pair style 'deepmd'",
            "libcudart.so.12",
        ),
        ("ERROR: Lost atoms: original 64 current 63 (src/thermo.cpp:1)", "flew apart"),
        ("ERROR: Non-numeric pressure - simulation unstable", "blew up"),
        ("terminate: CUDA out of memory. Tried to allocate", "GPU memory"),
        ("ERROR: Unknown command: foo (src/input.cpp:1)", "Unknown command: foo"),
    ],
)
def test_lammps_failures_are_explained(log, meaning):
    assert meaning in explain(log)


@pytest.mark.parametrize("pressure_gpa", [3000, -300])
def test_a_run_that_blows_up_says_so_and_what_it_saw_stays_readable(
    md_command, tmp_path, pressure_gpa
):
    # Crushed until atoms are lost, or torn apart until the box is too large.
    stage = (
        f"{{kind: npt, duration_ps: 5, barostat: iso, pressure_gpa: {pressure_gpa}, "
        "barostat_damping_ps: 0.2}"
    )
    settings = ("temperatures_kelvin=[5000]", "timestep_fs=5", f"stages=[{stage}]")
    protocol, model, structure = (md_command()[k] for k in (1, 3, 5))
    recipe = load_recipe(Path(protocol), Protocol, list(settings))
    out = tmp_path / "run"
    with pytest.raises(BlowUpError) as caught:
        md(recipe, out, model=Path(model), structure=Path(structure), accept_parity=True)
    assert caught.value.exit_code == 4
    assert read_manifest(out).status == "running"
    (stream,) = json.loads((out / "trajectory.json").read_text())["streams"]
    (segment,) = stream["segments"]
    trajectory = open_run(out, purpose="equilibration")
    assert trajectory.n_frames == segment["last_step"] // 2 + 1
    assert trajectory.n_frames > 2
    assert np.isfinite(next(iter(trajectory.frames())).positions).all()
