"""Labelling: what is refused, what is kept, and that nothing is labelled twice."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from mlip.engines.cp2k import PROGRAMS
from mlip.engines.cp2k_input import single_point_input
from mlip.engines.cp2k_output import Scf, SinglePoint
from mlip.errors import DataError, EngineError, InputError
from mlip.labelling import store
from mlip.labelling.frames import frame_id, read_frames, small_cells
from mlip.labelling.label import label, plan_label
from mlip.manifest import read_manifest
from mlip.recipes.base import validated
from mlip.recipes.label import LabelRecipe

HYDROGEN = {
    "species": {"H": {"basis": "DZVP-MOLOPT-SR-GTH", "potential": "GTH-PBE-q1"}},
    "execution": {"ranks": 1},
    "cutoff_rydberg": 100,
    "rel_cutoff_rydberg": 30,
    "eps_scf": 1e-4,
    "eps_default": 1e-9,
}
needs_cp2k = pytest.mark.skipif(
    not any(shutil.which(program) for program in PROGRAMS),
    reason="CP2K is not installed (apt-get install cp2k cp2k-data)",
)


def recipe(**changes) -> LabelRecipe:
    return validated({**HYDROGEN, **changes}, LabelRecipe, "test")


def hydrogen(bond: float = 0.8, box: float = 6.0) -> Atoms:
    return Atoms("H2", [[0, 0, 0], [0, 0, bond]], cell=[box] * 3, pbc=True)


def write(path: Path, *frames: Atoms) -> Path:
    ase.io.write(path, list(frames), format="extxyz")
    return path


def changed_times(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("labels/*/label.json")}


def test_the_default_input_holds_the_settings_of_our_own_aimd():
    atoms = Atoms("LiPS", np.eye(3) * 3, cell=[9] * 3, pbc=True)
    text = single_point_input(LabelRecipe(), list(atoms.symbols), atoms.positions, atoms.cell.array)
    words = " ".join(text.split())
    for setting in (
        "CUTOFF 400 REL_CUTOFF 50",
        "EPS_DEFAULT 1.000E-11",
        "EPS_SCF 1.000E-06 MAX_SCF 20 &OT MINIMIZER DIIS PRECONDITIONER FULL_ALL ENERGY_GAP 0.08",
        "&OUTER_SCF EPS_SCF 1.000E-06 MAX_SCF 15",
        "&XC_FUNCTIONAL PBE",
        "TYPE DFTD3(BJ) REFERENCE_FUNCTIONAL PBE PARAMETER_FILE_NAME dftd3.dat R_CUTOFF 15",
        "&KIND Li BASIS_SET DZVP-MOLOPT-SR-GTH POTENTIAL GTH-PBE-q3",
        "&KIND P BASIS_SET DZVP-MOLOPT-SR-GTH POTENTIAL GTH-PBE-q5",
        "&KIND S BASIS_SET DZVP-MOLOPT-SR-GTH POTENTIAL GTH-PBE-q6",
        "STRESS_TENSOR ANALYTICAL",
    ):
        assert setting in words
    assert text.count("&END") == text.count("&") // 2


@pytest.mark.parametrize(
    ("atoms", "changes", "error", "message"),
    [
        (Atoms("NaCl", [[0, 0, 0], [3, 3, 3]], cell=[6] * 3, pbc=True), {}, InputError, "Cl, Na"),
        (Atoms("Li", cell=[6] * 3, pbc=True), {}, DataError, "3 valence electrons, an odd"),
        (hydrogen(0.3), {}, DataError, "0.300 Å apart"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1]]), {}, DataError, "periodic in three directions"),
    ],
)
def test_what_cannot_be_labelled_is_refused_before_anything_is_written(
    tmp_path, atoms, changes, error, message
):
    path = write(tmp_path / "a.extxyz", hydrogen(), atoms)
    with pytest.raises(error, match=message) as caught:
        label(recipe(**changes), [path], tmp_path / "out")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_partly_occupied_crystal_is_refused(tmp_path):
    atoms = Atoms("Li2", [[0, 0, 0], [3, 3, 3]], cell=[6] * 3, pbc=True)
    atoms.info["occupancy"] = {"0": {"Li": 0.5}, "1": {"Li": 1.0}}
    atoms.set_array("spacegroup_kinds", np.array([0, 1]))
    ase.io.write(tmp_path / "a.cif", atoms)
    text = (tmp_path / "a.cif").read_text()
    assert "_atom_site_occupancy" in text
    with pytest.raises(DataError, match="partly occupied"):
        read_frames([tmp_path / "a.cif"])


def test_without_cp2k_the_command_says_how_to_get_it_and_leaves_nothing(tmp_path, monkeypatch):
    path = write(tmp_path / "a.extxyz", hydrogen())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LIPS_MLIP_CP2K", raising=False)
    with pytest.raises(EngineError, match="apt-get install cp2k"):
        label(recipe(), [path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_label_is_known_by_its_structure_and_settings_but_not_by_the_ranks():
    base = frame_id(recipe(), hydrogen())
    assert frame_id(recipe(execution={"ranks": 2}), hydrogen()) == base
    other = {**HYDROGEN["species"], "Cl": {"basis": "X", "potential": "GTH-PBE-q7"}}
    assert frame_id(recipe(species=other), hydrogen()) == base
    assert frame_id(recipe(cutoff_rydberg=120), hydrogen()) != base
    assert frame_id(recipe(), hydrogen(0.8 + 1e-6)) != base
    assert frame_id(recipe(), hydrogen(box=6.1)) != base


def test_cells_too_small_for_gamma_are_warned_of_and_large_ones_are_not(tmp_path):
    frames = read_frames([write(tmp_path / "a.extxyz", hydrogen(box=6.0), hydrogen(box=9.0))])
    assert "1 of 2 cells are lower than 8 Å (smallest 6.00 Å" in small_cells(frames)
    assert small_cells(frames[1:]) == ""


def test_a_structure_directory_stands_for_its_structure(tmp_path):
    (tmp_path / "s").mkdir()
    write(tmp_path / "s" / "structure.extxyz", hydrogen())
    assert len(read_frames([tmp_path / "s"])) == 1


def test_the_plan_counts_what_is_new_and_writes_nothing(tmp_path):
    path = write(tmp_path / "a.extxyz", hydrogen(), hydrogen(0.7), hydrogen())
    plan = "\n".join(plan_label(recipe(), [path], tmp_path / "out"))
    assert "3 frames of 1 files, 2 different" in plan
    assert "to be computed: 2" in plan
    assert "core hours" in plan
    assert not (tmp_path / "out").exists()


def test_stored_labels_carry_energy_forces_and_stress_with_the_sign_of_ase(tmp_path):
    atoms = hydrogen()
    rng = np.random.default_rng(1)
    forces, virial = rng.normal(size=(2, 3)), rng.normal(size=(3, 3))
    virial += virial.T
    point = SinglePoint(-31.5, forces, virial, 11.8, Scf(True, 8), "2023.1", 1)
    record = store.Record(
        id="abc", status="converged", source="a", frame=0, formula="H2",
        scf_iterations=8, seconds=1.0, cores=1,
    )  # fmt: skip
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "input.inp").write_text("in")
    (tmp_path / "work" / "output.out").write_text("out")
    record = store.with_results(record, atoms, point)
    store.add(tmp_path, record, atoms, point, tmp_path / "work")
    assert store.stored(tmp_path)["abc"].gap_ev == 11.8
    back = ase.io.read(store.collect(tmp_path, [record]))
    assert back.get_potential_energy() == -31.5
    np.testing.assert_allclose(back.get_forces(), forces, atol=1e-8)
    np.testing.assert_allclose(back.get_stress(voigt=False), -virial / 216.0, atol=1e-8)
    assert record.pressure_gpa == pytest.approx(np.trace(virial) / 648 * 160.21766339999998)
    assert gzip.decompress((tmp_path / "labels/abc/output.out.gz").read_bytes()) == b"out"


@needs_cp2k
def test_a_stretched_molecule_pulls_and_its_virial_is_the_sum_of_r_f(tmp_path):
    bond = 0.8
    path = write(tmp_path / "a.extxyz", hydrogen(bond))
    manifest = label(
        recipe(cutoff_rydberg=300, eps_scf=1e-6, rel_cutoff_rydberg=50), [path], tmp_path / "out"
    )
    assert manifest.status == "complete"
    assert manifest.summary["labels"] == 1
    atoms = ase.io.read(tmp_path / "out" / "labels.extxyz")
    forces = atoms.get_forces()
    assert forces[0, 2] > 1.0  # the bond is longer than 0.74 Å: the atoms attract each other
    np.testing.assert_allclose(forces[0], -forces[1], atol=2e-3)
    (record,) = store.stored(tmp_path / "out").values()
    virial = np.reshape(record.virial_ev, (3, 3))
    # W = sum r (x) f of an isolated molecule; images at 6 Å and the grid leave 3 percent.
    assert virial[2, 2] == pytest.approx(bond * forces[1, 2], rel=0.03)
    assert abs(virial[0, 0]) < 0.03 * abs(virial[2, 2])
    assert atoms.get_stress()[2] == pytest.approx(-virial[2, 2] / 216.0)
    assert record.energy_ev == pytest.approx(-31.7, abs=0.5)  # H2 in PBE: 1.16 hartree
    assert 9.0 < record.gap_ev < 14.0


@needs_cp2k
def test_further_structures_are_added_and_nothing_is_labelled_twice(tmp_path):
    out = tmp_path / "out"
    first = write(tmp_path / "a.extxyz", hydrogen(0.74), hydrogen(0.74))
    assert label(recipe(), [first], out).summary["labels"] == 1
    times = changed_times(out)
    before = read_manifest(out)
    again = label(recipe(), [first], out)
    assert again == before  # no new attempt, nothing written
    assert changed_times(out) == times

    second = write(tmp_path / "b.extxyz", hydrogen(0.9))
    manifest = label(recipe(execution={"ranks": 1, "threads": 1}), [first, second], out)
    assert manifest.status == "complete"
    assert manifest.summary["labels"] == 2
    assert len(ase.io.read(out / "labels.extxyz", index=":")) == 2
    assert {key: value for key, value in changed_times(out).items() if key in times} == times
    assert not (out / "work").exists()

    with pytest.raises(InputError, match="cutoff_rydberg"):
        label(recipe(cutoff_rydberg=110), [first], out)


@needs_cp2k
def test_a_killed_call_goes_on_where_it_stopped(tmp_path):
    out = tmp_path / "out"
    path = write(tmp_path / "a.extxyz", *(hydrogen(0.7 + 0.02 * k) for k in range(4)))
    settings = recipe()
    code = (
        "import os, sys; from pathlib import Path; from mlip.labelling.label import label\n"
        "from mlip.recipes.label import LabelRecipe\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"  # one core: one at a time
        "settings = LabelRecipe.model_validate_json(sys.argv[1])\n"
        "label(settings, [Path(sys.argv[2])], Path(sys.argv[3]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, settings.model_dump_json(), str(path), str(out)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    while not changed_times(out) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    times = changed_times(out)
    assert 1 <= len(times) < 4
    assert read_manifest(out).status == "running"

    manifest = label(settings, [path], out)
    assert manifest.summary["labels"] == 4
    assert len(manifest.attempts) == 2
    assert {key: value for key, value in changed_times(out).items() if key in times} == times
    assert not list(out.glob("labels/.*"))


@needs_cp2k
def test_an_unconverged_frame_is_kept_but_never_counts_as_a_label(tmp_path, monkeypatch):
    out = tmp_path / "out"
    path = write(tmp_path / "a.extxyz", hydrogen(0.74))
    settings = recipe(max_scf=1, max_outer_scf=1)
    with pytest.raises(EngineError, match="converged for none of 1") as caught:
        label(settings, [path], out)
    assert caught.value.exit_code == 4
    (record,) = store.stored(out).values()
    assert record.status == "unconverged"
    assert record.energy_ev is None
    assert (out / "labels" / record.id / "structure.extxyz").is_file()
    assert not (out / "labels" / record.id / "label.extxyz").exists()
    text = gzip.decompress((out / "labels" / record.id / "output.out.gz").read_bytes())
    assert b"NOT converged" in text

    # Called again, it is not computed again: a broken CP2K is not even noticed.
    monkeypatch.setenv("LIPS_MLIP_CP2K", shutil.which("false"))
    with pytest.raises(EngineError, match="converged for none of 1"):
        label(settings, [path], out)


@needs_cp2k
def test_only_converged_frames_are_collected(tmp_path):
    # Two loops of 6 steps: near its minimum it needs 6, stretched to 2.5 Å 15.
    path = write(tmp_path / "a.extxyz", hydrogen(2.5), hydrogen(0.74))
    manifest = label(recipe(max_scf=6, max_outer_scf=1), [path], tmp_path / "out")
    assert (manifest.summary["labels"], manifest.summary["unconverged"]) == (1, 1)
    (atoms,) = ase.io.read(tmp_path / "out" / "labels.extxyz", index=":")
    assert atoms.get_distance(0, 1) == pytest.approx(0.74)
    assert atoms.info["frame"] == 1


@needs_cp2k
def test_a_failing_engine_is_reported_with_its_log_and_the_next_call_repairs(tmp_path, monkeypatch):
    out = tmp_path / "out"
    path = write(tmp_path / "a.extxyz", hydrogen(0.74))
    monkeypatch.setenv("LIPS_MLIP_CP2K", shutil.which("false"))
    with pytest.raises(EngineError, match="exit code 1") as caught:
        label(recipe(), [path], out)
    assert "output.out" in str(caught.value)
    assert read_manifest(out).attempts[-1].exit_code == 4
    monkeypatch.delenv("LIPS_MLIP_CP2K")
    manifest = label(recipe(), [path], out)
    assert manifest.summary["labels"] == 1
    content = json.loads(next(out.glob("labels/*/label.json")).read_text())
    assert content["status"] == "converged"
