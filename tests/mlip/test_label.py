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
from label_recipes import HYDROGEN, MORSE, changed_times, hydrogen, morse, needs_cp2k, recipe, write

from mlip.data.readers import read_extxyz
from mlip.engines.single_point import SinglePoint
from mlip.errors import DataError, EngineError, InputError, RecipeError
from mlip.labelling import store
from mlip.labelling.frames import frame_id, read_frames, small_cells
from mlip.labelling.label import label, plan_label
from mlip.manifest import read_manifest
from mlip.recipes.base import validated
from mlip.recipes.label import LabelRecipe


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
    assert frame_id(recipe({"ranks": 2}), hydrogen()) == base
    other = {**HYDROGEN["species"], "Cl": {"basis": "X", "potential": "GTH-PBE-q7"}}
    assert frame_id(recipe(species=other), hydrogen()) == base
    assert frame_id(recipe(cutoff_rydberg=120), hydrogen()) != base
    assert frame_id(recipe(), hydrogen(0.8 + 1e-6)) != base
    assert frame_id(recipe(), hydrogen(box=6.1)) != base


def test_cells_too_small_for_gamma_are_warned_of_and_large_ones_are_not(tmp_path):
    frames = read_frames([write(tmp_path / "a.extxyz", hydrogen(box=6.0), hydrogen(box=17.0))])
    assert "1 of 2 cells are lower than 16 Å (smallest 6.00 Å" in small_cells(frames)
    assert small_cells(frames[1:]) == ""


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ({"cutof": 3}, r"level\.cutof: unknown key\. Known here: basis_set_files, cutoff_rydberg"),
        ({"engine": "vasp"}, "level: engine must be 'cp2k' or 'ase'"),
        ({"engine": "ase"}, r"level\.calculator: missing"),
        ({"engine": "ase", "calculator": "Morse"}, r"level\.calculator: .*pattern"),
        (
            {"species": {"H": {"basis": "X", "potential": "GTH-PBE"}}},
            r"level\.species\.H\.potential",
        ),
    ],
)
def test_a_wrong_level_is_named_as_it_is_written(level, message):
    with pytest.raises(RecipeError, match=message):
        validated({"level": level}, LabelRecipe, "test")


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
    point = SinglePoint(-31.5, forces, virial, 11.8, 8, "2023.1", 1)
    tried = store.Try(method="m", result="converged", iterations=8, seconds=1.0)
    record = store.Record(
        id="abc", status="converged", source="a", frame=0, formula="H2", cores=1, tries=(tried,)
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "input.inp").write_text("in")
    (tmp_path / "work" / "output.out").write_text("out")
    record = store.with_results(record, atoms, point)
    files = {name: tmp_path / "work" / name for name in ("input.inp", "output.out")}
    store.add(tmp_path, record, atoms, point, files, {"code": "CP2K", "cutoff_rydberg": "400"})
    assert store.stored(tmp_path)["abc"].gap_ev == 11.8
    back = ase.io.read(store.collect(tmp_path, [record]))
    assert back.get_potential_energy() == -31.5
    assert back.info["dft_level"] == {"code": "CP2K", "cutoff_rydberg": "400"}
    np.testing.assert_allclose(back.get_forces(), forces, atol=1e-8)
    np.testing.assert_allclose(back.get_stress(voigt=False), -virial / 216.0, atol=1e-8)
    assert record.pressure_gpa == pytest.approx(np.trace(virial) / 648 * 160.21766339999998)
    assert gzip.decompress((tmp_path / "labels/abc/output.out.gz").read_bytes()) == b"out"


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
    manifest = label(recipe({"ranks": 1, "threads": 1}), [first, second], out)
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
    settings = recipe({"max_scf": 1})
    with pytest.raises(EngineError, match="none of 1 structures converged") as caught:
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
    with pytest.raises(EngineError, match="none of 1 structures converged"):
        label(settings, [path], out)


@needs_cp2k
def test_only_converged_frames_are_collected(tmp_path):
    # Minimisation has ten steps: near its minimum it needs 6, stretched to 2.5 Å 16.
    path = write(tmp_path / "a.extxyz", hydrogen(2.5), hydrogen(0.74))
    manifest = label(recipe({"max_scf": 2}), [path], tmp_path / "out")
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


@needs_cp2k
def test_a_frame_that_the_first_way_cannot_converge_gets_its_label_from_the_second(tmp_path):
    # Two steps of mixing are too few, ten of minimisation are enough.
    path = write(tmp_path / "a.extxyz", hydrogen(0.9))
    manifest = label(recipe({"max_scf": 2}), [path], tmp_path / "out")
    assert (manifest.summary["labels"], manifest.summary["second_tries"]) == (1, 1)
    (record,) = store.stored(tmp_path / "out").values()
    assert [entry.result for entry in record.tries] == ["unconverged", "converged"]
    assert record.tries[0].iterations == 2
    kept = {path.name for path in (tmp_path / "out" / "labels" / record.id).iterdir()}
    assert {"failed_0_input.inp.gz", "failed_0_output.out.gz", "output.out.gz"} <= kept


def test_any_ase_calculator_labels_with_its_own_energy_forces_and_stress(tmp_path):
    from ase.calculators.morse import MorsePotential

    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 1.2]], cell=[6, 6, 6], pbc=True)
    manifest = label(morse(), [write(tmp_path / "a.extxyz", atoms)], tmp_path / "out")
    assert manifest.summary["labels"] == 1
    kept = ase.io.read(tmp_path / "out" / "labels.extxyz")
    atoms.calc = MorsePotential(**MORSE["parameters"])
    assert kept.get_potential_energy() == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(kept.get_forces(), atoms.get_forces(), atol=1e-7)
    np.testing.assert_allclose(kept.get_stress(), atoms.get_stress(), atol=1e-9)
    assert "MorsePotential" in kept.info["dft_level"]["calculator"]
    with pytest.raises(InputError, match=r"level.parameters.epsilon"):
        label(morse(epsilon=2.0), [tmp_path / "a.extxyz"], tmp_path / "out")


def test_labels_copied_in_from_another_directory_are_collected_with_the_others(tmp_path):
    files = []
    for name, distance in (("a", 1.2), ("b", 1.3)):
        atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, distance]], cell=[6, 6, 6], pbc=True)
        files.append(write(tmp_path / f"{name}.extxyz", atoms))
        label(morse(), [files[-1]], tmp_path / name)
    shutil.copytree(tmp_path / "b" / "labels", tmp_path / "a" / "labels", dirs_exist_ok=True)
    manifest = label(morse(), files, tmp_path / "a")
    assert (manifest.status, manifest.summary["labels"]) == ("complete", 2)
    assert len(ase.io.read(tmp_path / "a" / "labels.extxyz", ":")) == 2
    assert label(morse(), files, tmp_path / "a") == manifest


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ({"calculator": "ase.calculators.morse:Nothing"}, "cannot be made"),
        ({"calculator": "no_such_module:Thing"}, "cannot be made"),
        ({"calculator": "ase.calculators.qmmm:ForceQMMM", "parameters": {}}, "cannot be made"),
    ],
)
def test_a_calculator_that_cannot_work_is_named_and_nothing_is_recorded(tmp_path, level, message):
    settings = validated({"level": {**MORSE, **level}}, LabelRecipe, "test")
    path = write(tmp_path / "a.extxyz", Atoms("Ar", cell=[6] * 3, pbc=True))
    with pytest.raises(EngineError, match=message) as caught:
        label(settings, [path], tmp_path / "out")
    assert caught.value.exit_code == 4
    assert not store.stored(tmp_path / "out")


def test_a_frame_that_a_calculator_gives_up_is_kept_with_its_reason(tmp_path):
    # The calculator knows no parameters for the second element.
    settings = validated(
        {"level": {"engine": "ase", "calculator": "ase.calculators.emt:EMT"}}, LabelRecipe, "test"
    )
    good = Atoms("Cu4", np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 1.8)
    good.set_cell([3.6] * 3)
    good.pbc = True
    bad = Atoms("Ar", cell=[6] * 3, pbc=True)
    path = write(tmp_path / "a.extxyz", good, bad)
    manifest = label(settings, [path], tmp_path / "out")
    assert (manifest.summary["labels"], manifest.summary["aborted"]) == (1, 1)
    failed = next(r for r in store.stored(tmp_path / "out").values() if r.status == "aborted")
    assert "Ar" in failed.tries[-1].message
    assert len(ase.io.read(tmp_path / "out" / "labels.extxyz", index=":")) == 1


def test_a_full_disk_is_told_and_the_labels_before_it_are_kept(tmp_path):
    # A limit on the size of a file stands for the disk: the first write beyond it fails.
    out = tmp_path / "out"
    small = Atoms("Ar", cell=[6] * 3, pbc=True)
    large = Atoms("Ar600", np.random.default_rng(1).uniform(0, 60, (600, 3)))
    large.set_cell([60] * 3)
    large.pbc = True
    large = large[np.unique((large.positions // 6).astype(int), axis=0, return_index=True)[1]]
    first, second = write(tmp_path / "a.extxyz", small), write(tmp_path / "b.extxyz", large)
    label(morse(), [first], out)
    before = changed_times(out)
    code = (
        "import resource, signal, sys; from mlip.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    recipe_file = tmp_path / "recipe.yml"
    recipe_file.write_text(json.dumps(morse().expanded()))
    command = ["label", str(first), str(second), "--recipe", str(recipe_file), "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert changed_times(out) == before
    assert label(morse(), [first, second], out).summary["labels"] == 2


def test_labels_of_several_levels_are_never_read_as_one(tmp_path):
    path = write(tmp_path / "a.extxyz", Atoms("Ar", cell=[6] * 3, pbc=True))
    other = write(tmp_path / "b.extxyz", Atoms("Ar", cell=[7] * 3, pbc=True))
    label(morse(), [path], tmp_path / "one")
    label(morse(epsilon=2.0), [other], tmp_path / "two")
    joined = tmp_path / "joined.extxyz"
    parts = [(tmp_path / name / "labels.extxyz").read_text() for name in ("one", "two")]
    joined.write_text("".join(parts))
    (frames,) = read_extxyz(tmp_path / "one" / "labels.extxyz")
    assert "epsilon=1.0" in frames.level["calculator"]
    assert frames.virial_origin
    with pytest.raises(DataError, match="another level than frame 0"):
        read_extxyz(joined)
