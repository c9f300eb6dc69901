"""Two halves of a stage, the second from a restart file, are the whole stage; real LAMMPS."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from mlip.cli import main
from mlip.engines.lammps import lammps_words
from mlip.engines.lammps_output import read_thermo
from mlip.execution.job import Resources
from mlip.md.script import Attempt, Start, stage_script
from mlip.md.start import gets_tilts, ids_by_origin, is_triclinic, write_start
from mlip.recipes.protocol import Protocol

HALF = 100
CLOSE_ANGSTROM = 1e-6
STAGES = {
    "nve": {"kind": "nve"},
    "nvt": {"kind": "nvt"},
    "nvt ramp": {"kind": "nvt", "final_temperature_kelvin": 20},
    "npt iso": {"kind": "npt", "barostat": "iso"},
    "npt aniso": {"kind": "npt", "barostat": "aniso"},
    "npt tri": {"kind": "npt", "barostat": "tri"},
    "npt normal": {"kind": "npt", "barostat": "normal_c"},
    "npt ramp iso": {"kind": "npt", "barostat": "iso", "final_temperature_kelvin": 20},
    "npt ramp aniso": {"kind": "npt", "barostat": "aniso", "final_temperature_kelvin": 20},
    "npt ramp normal": {"kind": "npt", "barostat": "normal_b", "final_temperature_kelvin": 20},
    "hold": {"kind": "nvt", "hold_origin": "crystal"},
    "hold ramp": {"kind": "nvt", "hold_origin": "crystal", "final_temperature_kelvin": 20},
    "deform": {"kind": "deform", "component": "x", "final_strain": 0.05},
    "shear": {"kind": "deform", "component": "xy", "final_strain": 0.05},
}
# One of each way to integrate; a network takes its time.
DOUBLE = ("nve", "nvt", "nvt ramp", "npt iso", "npt aniso", "npt normal", "npt ramp iso")
DOUBLE += ("hold", "deform")
LENNARD_JONES = ["pair_style lj/cut 6.5", "pair_coeff * * 0.0103 3.40"]


def protocol_of(stage, timestep_fs, kelvin):
    # A restart file in the middle, at a step at which nothing else ends.
    times = {"duration_ps": 2 * HALF * timestep_fs / 1000, "name": "x"}
    if stage["kind"] == "nvt":
        times["purpose"] = "equilibration"
    return Protocol.model_validate(
        {
            "temperatures_kelvin": [kelvin],
            "timestep_fs": timestep_fs,
            "seed": 11,
            "stages": [{**stage, **times}],
            "thermo_every_steps": 10,
            "trajectory_every_steps": 10,
            "deviation_every_steps": 10,
            "restart_every_steps": HALF,
        }
    )


def both_ways(folder, atoms, elements, models, timestep_fs, kelvin, names, pair=None):
    """Run all stages whole, then in a new process their second halves; return ends, tables."""
    found = {name: ([], []) for name in names}
    for number, start in ((1, 0), (2, HALF)):
        script = []
        for name in names:
            case = folder / name.replace(" ", "_")
            protocol = protocol_of(STAGES[name], timestep_fs, kelvin)
            write_start(case, atoms, elements)
            attempt = Attempt(number, start, f"{start}.restart" if start else "structure.data")
            text = stage_script(
                protocol,
                protocol.programme()[0],
                attempt,
                models=models,
                elements=list(elements),
                start=Start(draws_velocities=True),
                triclinic=is_triclinic(atoms) or gets_tilts(protocol),
                ids_by_origin=ids_by_origin(atoms),
                atoms=len(atoms),
                smallest_angstrom={},
                volume_angstrom3=float(atoms.get_volume()),
            )
            if pair:
                lines = [line for line in text.splitlines() if not line.startswith("pair_")]
                at = next(n for n, line in enumerate(lines) if line.startswith("read_")) + 1
                text = "\n".join([*lines[:at], *pair, *lines[at:]]) + "\n"
            else:
                # A network of a few steps heats itself, so that guards would stop it.
                kept = [line for line in text.splitlines() if "guard_" not in line]
                text = "\n".join(kept) + "\n"
            # Ten digits are no measure of a resume.
            text = re.sub(r"%\.10g", "%.16g", text)
            script += [f"shell cd {case}", f"log {attempt.log}", text, "clear"]
        (folder / "in.all").write_text("\n".join(script))
        words = lammps_words(Resources(), ["-in", "in.all", "-nocite"])
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-2000:]
        for name, (ends, tables) in found.items():
            case = folder / name.replace(" ", "_")
            rows = (case / "final.dump").read_text().splitlines()[9:]
            ends.append(np.array([[float(word) for word in row.split()[2:]] for row in rows]))
            tables.append(read_thermo(case / f"log.{number}.lammps"))
    return found


def compared(name, ends, tables):
    (whole, halves), (first, second) = ends, tables
    moved = np.abs(whole[:, :3] - halves[:, :3]).max()
    faster = np.abs(whole[:, 3:] - halves[:, 3:]).max()
    print(f"{name}: {moved:.1e} Å, {faster:.1e} Å/ps")
    assert moved < CLOSE_ANGSTROM
    assert faster < 1e-4
    late = first.rows[first.column("Step") >= HALF]
    assert np.array_equal(late[:, 0], second.rows[:, 0])
    assert np.allclose(late[:, 1:], second.rows[:, 1:], rtol=1e-5, atol=1e-3)


def argon():
    atoms = bulk("Ar", "fcc", a=5.4, cubic=True) * (3, 3, 3)
    atoms.rattle(0.05, seed=3)
    atoms.set_array("origin", np.array(["crystal"] * 30 + ["glass"] * (len(atoms) - 30)))
    return atoms


@pytest.fixture(scope="module")
def argon_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("argon")
    return both_ways(folder, argon(), ("Ar",), [Path("x")], 4.0, 60.0, STAGES, LENNARD_JONES)


@pytest.mark.parametrize("name", STAGES)
def test_lennard_jones_resumes_exactly(name, argon_runs):
    atoms = argon()
    ends, tables = argon_runs[name]
    compared(name, ends, tables)
    last = {key: float(tables[0].column(key)[-1]) for key in ("Lx", "Ly", "Lz", "Xy")}
    side = atoms.cell[0, 0]
    if STAGES[name].get("hold_origin"):
        assert np.abs(ends[0][:30, :3] - atoms.positions[:30]).max() < 1e-8
        assert np.abs(ends[0][30:, :3] - atoms.positions[30:]).max() > 0.05
    if name == "deform":
        assert last["Lx"] == pytest.approx(1.05 * side, rel=1e-9)
    if name == "shear":
        assert last["Xy"] == pytest.approx(0.05 * side, rel=1e-9)
    if name == "npt normal":
        assert (last["Lx"], last["Ly"]) == pytest.approx((side, side), rel=1e-12)
        assert abs(last["Lz"] - side) > 1e-4


@pytest.fixture(scope="session")
def double_model(laboratory, tiny_set, one_core):
    """One member in double precision: it rounds as little as LAMMPS itself."""
    out = laboratory / "double"
    words = ["train", str(laboratory / "train.yml"), "--out", str(out)]
    for setting in ("precision=float64", "committee_size=1", "steps=20"):
        words += ["--set", setting]
    assert main(words) == 0
    return out / "model_0.pth"


@pytest.fixture(scope="module")
def double_runs(double_model, tiny_structure, tmp_path_factory):
    atoms = read(tiny_structure / "structure.extxyz")
    atoms.set_array("origin", np.array(["crystal"] * 8 + ["glass"] * (len(atoms) - 8)))
    folder = tmp_path_factory.mktemp("double")
    return both_ways(folder, atoms, ("Li", "P", "S"), [double_model], 1.0, 300.0, DOUBLE)


@pytest.mark.parametrize("name", DOUBLE)
def test_a_double_precision_potential_resumes_exactly(name, double_runs):
    compared(name, *double_runs[name])


@pytest.mark.parametrize("start", [0, 30])
def test_the_ramp_is_that_of_the_whole_stage(start):
    protocol = protocol_of({"kind": "nvt", "final_temperature_kelvin": 20}, 1.0, 60.0)
    text = stage_script(
        protocol,
        protocol.programme()[0],
        Attempt(1 + bool(start), start, "x.restart"),
        models=[Path("x")],
        elements=["Ar"],
        start=Start(),
        triclinic=False,
        ids_by_origin={},
        atoms=4,
        smallest_angstrom={},
        volume_angstrom3=100.0,
    )
    assert "nvt temp 60.000000 20.000000" in text
    assert f"run {2 * HALF} upto start 0 stop {2 * HALF}" in text
