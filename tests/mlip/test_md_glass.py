"""Replicas of a small melt-quench with real LAMMPS: held atoms, ramps, provenance, what follows."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from ase.io import read, write

from analysis.reading.runs import open_run, read_segments
from mlip.cli import main
from mlip.errors import DataError
from mlip.manifest import read_manifest
from mlip.md.run import committee
from mlip.md.start import find_starts, read_structure, require_fitting
from mlip.model_directory import read_model_directory
from mlip.recipes.protocol import Protocol

QUENCH = """
temperatures_kelvin: [300]
timestep_fs: 0.2
material: glass
replicas: 2
member: 1
seed: 5
glass:
  melt_above_kelvin: 350
  glass_transition_kelvin: 340
  minimise: {kind: minimise, maximum_steps: 3}
stages:
  - {kind: nvt, name: melt, purpose: equilibration, temperature_kelvin: 400, duration_ps: 0.004,
     timestep_fs: 0.1, hold_origin: crystal}
  - {kind: npt, name: quench, final_temperature_kelvin: run, rate_kelvin_per_ps: 10000,
     barostat: iso}
thermo_every_steps: 2
trajectory_every_steps: 2
deviation_every_steps: 10
restart_every_steps: 20
"""
HELD = 8


@pytest.fixture(scope="module")
def half_held(tiny_structure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    atoms = read(tiny_structure / "structure.extxyz")
    atoms.set_array("origin", np.array(["crystal"] * HELD + ["glass"] * (len(atoms) - HELD)))
    write(folder / "structure.extxyz", atoms)
    return folder


@pytest.fixture(scope="module")
def glasses(half_held, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("glasses")
    (folder / "quench.yml").write_text(QUENCH)
    command = ["md", str(folder / "quench.yml"), "--model", str(tiny_model)]
    command += ["--structure", str(half_held), "--out", str(folder / "runs"), "--accept-parity"]
    assert main(command) == 0
    return folder / "runs"


def thermo(run, stage):
    with (run / "thermo.csv").open() as handle:
        return [row for row in csv.DictReader(handle) if row["stage"] == stage]


def test_replicas_have_random_numbers_of_their_own_in_every_place(glasses):
    seeds = [read_manifest(glasses / f"replica_{n}").seeds for n in (1, 2)]
    assert seeds[0] == {
        "velocities": 5,
        "thermostat": 200_000_005,
        "released": 300_000_005,
    }
    assert all(seeds[0][key] + 1 == seeds[1][key] for key in seeds[0])
    first, second = (read(glasses / f"replica_{n}" / "final.extxyz") for n in (1, 2))
    assert np.abs(first.positions - second.positions).max() > 1e-3


def test_held_atoms_stay_until_they_are_released(glasses):
    run = glasses / "replica_1"
    melt = open_run(run, purpose="equilibration", stage="melt")
    positions = np.array([frame.positions for frame in melt.frames(1)])
    moved = np.abs(positions - positions[0]).max(axis=(0, 2))
    assert moved[:HELD].max() == 0
    assert moved[HELD:].min() > 0
    quench = open_run(run, purpose="equilibration", stage="quench")
    assert quench.temperature_kelvin is None
    positions = np.array([frame.positions for frame in quench.frames(1)])
    assert np.abs(positions - positions[0]).max(axis=(0, 2)).min() > 1e-3


def test_temperatures_are_those_of_the_atoms_that_move(glasses):
    run = glasses / "replica_1"
    held, released = (thermo(run, stage)[0] for stage in ("melt", "quench"))
    # 24 free atoms drawn among 32 at 400 K; their spread is 400 sqrt(2 / (3 x 24)) = 67 K.
    assert float(held["temperature_kelvin"]) == pytest.approx(400, abs=200)
    kinetic = 1.5 * 8.617333e-5 * float(held["temperature_kelvin"]) * (32 - HELD)
    assert float(held["kinetic_energy_ev"]) == pytest.approx(kinetic, rel=1e-4)
    kinetic = 1.5 * 8.617333e-5 * float(released["temperature_kelvin"]) * (32 - 1)
    assert float(released["kinetic_energy_ev"]) == pytest.approx(kinetic, rel=1e-4)


def test_steps_of_different_length_add_up_to_one_time(glasses):
    run = glasses / "replica_1"
    assert float(thermo(run, "melt")[-1]["time_ps"]) == pytest.approx(0.004)
    quench = thermo(run, "quench")
    assert (int(quench[0]["step"]), int(quench[-1]["step"])) == (40, 90)
    assert float(quench[-1]["time_ps"]) == pytest.approx(0.014)
    steps = {segment.stage: segment.timestep_fs for segment in read_segments(run)}
    assert steps == {"melt": 0.1, "quench": 0.2}


def test_the_summary_tells_where_a_glass_comes_from(glasses):
    summary = read_manifest(glasses / "replica_1").summary
    assert summary["driving_member"] == 1
    glass = summary["glass"]
    assert glass["time_in_melt_ps"] == pytest.approx(0.004 + 0.005)
    assert glass["time_above_ageing_ps"] == pytest.approx(0.014)
    assert glass["quench_rate_kelvin_per_ps"] == pytest.approx(10000)
    last = thermo(glasses / "replica_1", "quench")[-1]
    assert glass["inherent_energy_ev_per_atom"] < float(last["potential_energy_ev"]) / 32
    assert isinstance(glass["inherent_energy_converged"], bool)


def test_a_run_goes_on_from_the_ends_of_all_glasses(glasses, tiny_model, tmp_path, capsys):
    starts = find_starts(glasses)
    assert list(starts) == ["replica_1", "replica_2"]
    begin, end = read_structure(starts["replica_1"]), read(glasses / "replica_1/final.extxyz")
    assert begin.cell.array == pytest.approx(end.cell.array)
    assert set(begin.arrays) == {"numbers", "positions", "origin"}
    apart = (begin.positions - end.positions) @ np.linalg.inv(end.cell.array)
    assert np.abs(apart - apart.round()).max() < 1e-8
    (tmp_path / "ladder.yml").write_text(
        "temperatures_kelvin: [300, 400]\nstages: [{kind: nvt, duration_ps: 0.01}]\n"
    )
    command = ["md", str(tmp_path / "ladder.yml"), "--model", str(tiny_model)]
    command += ["--structure", str(glasses), "--out", str(tmp_path / "ladder"), "--dry-run"]
    assert main(command) == 0
    assert "4 run(s)" in capsys.readouterr().out


def test_a_run_starts_from_a_compressed_file_as_from_the_run_that_it_is_of(
    glasses, tiny_model, tmp_path, capsys
):
    end = (glasses / "replica_1" / "final.extxyz").read_bytes()
    for name in ("one", "two"):
        (tmp_path / f"{name}.extxyz.gz").write_bytes(gzip.compress(end))
    starts = find_starts(tmp_path)
    assert starts == {name: tmp_path / f"{name}.extxyz.gz" for name in ("one", "two")}
    begin = read_structure(starts["one"])
    of_run = read_structure(glasses / "replica_1")
    assert begin == of_run
    assert set(begin.arrays) == {"numbers", "positions", "origin"}
    (tmp_path / "short.yml").write_text(
        "temperatures_kelvin: [300]\nstages: [{kind: nvt, duration_ps: 0.01}]\n"
    )
    command = ["md", str(tmp_path / "short.yml"), "--model", str(tiny_model)]
    command += [
        "--structure",
        str(starts["one"]),
        "--out",
        str(tmp_path / "out"),
        "--accept-parity",
    ]
    assert main(command) == 0
    assert read_manifest(tmp_path / "out").summary["atoms"] == 32
    assert main(command) == 0
    assert "already done" in capsys.readouterr().out
    starts["one"].write_bytes(gzip.compress(end.replace(b"Li", b"S ", 1)))
    assert main(command) == 2  # another structure


def test_files_that_no_run_can_start_from_are_refused(glasses, tmp_path):
    with pytest.raises(DataError, match="nor other extxyz files"):
        find_starts(tmp_path)
    path = tmp_path / "two.extxyz"
    end = read(glasses / "replica_1" / "final.extxyz")
    write(path, [end, end])
    with pytest.raises(DataError, match="holds 2 frames"):
        read_structure(path)
    end.set_cell(end.cell.array[::-1])
    write(path, end)
    with pytest.raises(DataError, match="standard_form"):
        read_structure(path)
    end.set_cell(end.cell.array[::-1])
    end.pbc = (True, True, False)
    write(path, end)
    with pytest.raises(DataError, match="must be periodic"):
        read_structure(path)


def test_an_unfinished_run_is_no_start(glasses, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    run = glasses / "replica_1"
    (folder / "structure.extxyz").write_bytes((run / "structure.extxyz").read_bytes())
    text = (run / "manifest.json").read_text()
    (folder / "manifest.json").write_text(
        text.replace('"status": "complete"', '"status": "running"')
    )
    with pytest.raises(DataError, match="not finished"):
        read_structure(folder)


def test_what_a_stage_holds_must_be_there(half_held, tiny_structure, tiny_model):
    model = read_model_directory(tiny_model)
    stage = {"kind": "nvt", "duration_ps": 1, "purpose": "equilibration"}
    base = {"temperatures_kelvin": [300]}
    for origin, folder in (("interface", half_held), ("crystal", tiny_structure)):
        protocol = Protocol.model_validate({**base, "stages": [{**stage, "hold_origin": origin}]})
        with pytest.raises(DataError, match=f"holds the atoms of origin {origin}"):
            require_fitting(protocol, read_structure(folder), model, folder)
    tilted = read_structure(half_held)
    cell = tilted.cell.array.copy()
    cell[1, 0] = 1.0
    tilted.set_cell(cell)
    normal = {"kind": "npt", "duration_ps": 1, "barostat": "normal_a"}
    protocol = Protocol.model_validate({**base, "stages": [normal]})
    with pytest.raises(DataError, match="face of the cell is tilted"):
        require_fitting(protocol, tilted, model, half_held)
    normal["barostat"] = "normal_c"
    require_fitting(Protocol.model_validate({**base, "stages": [normal]}), tilted, model, half_held)


def test_any_member_can_drive(tiny_model):
    model = read_model_directory(tiny_model)
    first, second = model.fastest
    assert committee(model, 0) == (first, second)
    assert committee(model, 1) == (second, first)
    with pytest.raises(DataError, match="has 2 members"):
        committee(model, 2)
