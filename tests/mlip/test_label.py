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

from mlip.data.cp2k_input import parse_input, read_level
from mlip.data.readers import read_extxyz
from mlip.engines.cp2k import INPUT, PROGRAMS, read_result, single_point_job
from mlip.engines.cp2k_input import (
    kpoint_mesh,
    level_in_words,
    scf_methods,
    single_point_input,
)
from mlip.engines.single_point import SinglePoint
from mlip.errors import DataError, EngineError, InputError, RecipeError
from mlip.execution.job import Resources
from mlip.execution.local import run_job
from mlip.labelling import store
from mlip.labelling.frames import frame_id, read_frames, small_cells
from mlip.labelling.label import label, plan_label
from mlip.manifest import read_manifest
from mlip.recipes.base import validated
from mlip.recipes.label import Cp2kLevel, LabelRecipe

HYDROGEN = {
    "species": {"H": {"basis": "DZVP-MOLOPT-SR-GTH", "potential": "GTH-PBE-q1"}},
    "cutoff_rydberg": 100,
    "rel_cutoff_rydberg": 30,
    "eps_scf": 1e-4,
    "eps_default": 1e-9,
    "sampling_width_angstrom": 0,
}
MORSE = {
    "engine": "ase",
    "calculator": "ase.calculators.morse:MorsePotential",
    "parameters": {"epsilon": 1.0, "r0": 1.0, "rho0": 3.0, "rcut1": 1.9, "rcut2": 2.7},
}
needs_cp2k = pytest.mark.skipif(
    not any(shutil.which(program) for program in PROGRAMS),
    reason="CP2K is not installed (apt-get install cp2k cp2k-data)",
)


def recipe(execution: dict | None = None, **changes) -> LabelRecipe:
    content = {"level": {**HYDROGEN, **changes}, "execution": {"ranks": 1, **(execution or {})}}
    return validated(content, LabelRecipe, "test")


def morse(**parameters) -> LabelRecipe:
    level = {**MORSE, "parameters": {**MORSE["parameters"], **parameters}}
    return validated({"level": level}, LabelRecipe, "test")


def hydrogen(bond: float = 0.8, box: float = 6.0) -> Atoms:
    return Atoms("H2", [[0, 0, 0], [0, 0, bond]], cell=[box] * 3, pbc=True)


def write(path: Path, *frames: Atoms) -> Path:
    ase.io.write(path, list(frames), format="extxyz")
    return path


def changed_times(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("labels/*/label.json")}


def input_text(level: Cp2kLevel, method: str) -> str:
    atoms = Atoms("LiPS", np.eye(3) * 3, cell=np.eye(3) * 16, pbc=True)
    return single_point_input(
        level, list(atoms.symbols), atoms.positions, atoms.cell.array, method=method, max_scf=60
    )


def test_the_default_input_holds_the_level_of_the_recipe_and_the_second_the_same():
    first, second = (
        input_text(Cp2kLevel(), method) for method in scf_methods(Cp2kLevel(), np.eye(3) * 16)
    )
    level = (
        "CUTOFF 400 REL_CUTOFF 40",
        "EPS_DEFAULT 1.000E-09",
        "EPS_SCF 1.000E-04",
        "&XC_FUNCTIONAL PBE",
        "TYPE DFTD3(BJ) REFERENCE_FUNCTIONAL PBE PARAMETER_FILE_NAME dftd3.dat R_CUTOFF 15",
        "&KIND Li BASIS_SET DZVP-MOLOPT-SR-GTH POTENTIAL GTH-PBE-q3",
        "&KIND P BASIS_SET DZVP-MOLOPT-SR-GTH POTENTIAL GTH-PBE-q5",
        "&KIND S BASIS_SET DZVP-MOLOPT-SR-GTH POTENTIAL GTH-PBE-q6",
        "STRESS_TENSOR ANALYTICAL",
    )
    for text, method in ((first, "&DIAGONALIZATION"), (second, "&OT MINIMIZER DIIS")):
        words = " ".join(text.split())
        for setting in (*level, method):
            assert setting in words
        assert text.count("&END") == text.count("&") // 2
    assert "&OT" not in first


def test_a_mesh_of_k_points_is_in_the_input_and_is_never_tried_with_ot():
    level = Cp2kLevel(kpoints=(2, 1, 3))
    for method in scf_methods(level, np.eye(3) * 12):
        words = " ".join(input_text(level, method).split())
        assert "&KPOINTS SCHEME MONKHORST-PACK 2 1 3 &END KPOINTS" in words
        assert "&OT" not in words


@pytest.mark.parametrize(
    ("cell", "width", "mesh"),
    [
        (np.diag([12.8, 8.2, 12.2]), 12.0, (1, 2, 1)),
        (np.diag([12.8, 8.2, 6.1]), 12.0, (1, 2, 2)),
        (np.diag([12.0, 12.0, 11.9]), 12.0, (1, 1, 1)),  # a hair narrower is wide enough
        (np.diag([3.0, 5.0, 30.0]), 0.0, (1, 1, 1)),
        # Sheared by its own length: the faces are as far apart as before.
        (np.array([[6.0, 0, 0], [6.0, 6.0, 0], [0, 0, 12.0]]), 12.0, (3, 2, 1)),
    ],
)
def test_short_directions_get_k_points_until_the_cell_is_wide_enough(cell, width, mesh):
    level = Cp2kLevel(sampling_width_angstrom=width)
    assert kpoint_mesh(level, cell) == mesh
    assert kpoint_mesh(Cp2kLevel(kpoints=(4, 5, 6)), cell) == (4, 5, 6)


def test_the_level_in_words_is_the_one_that_ingest_reads_from_the_input():
    level = Cp2kLevel(dispersion="D3", cutoff_rydberg=360, sampling_width_angstrom=0)
    text = input_text(level, scf_methods(level, np.eye(3))[0])
    assert level_in_words(level, ["Li", "P", "S"]) == read_level(parse_input(text, Path("x")))


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


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Deform cell and positions together: the fractional coordinates stay."""
    changed = atoms.copy()
    changed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return changed


def virial_against_strain(settings: LabelRecipe, atoms: Atoms, folder: Path, axes) -> list[tuple]:
    """Return the label's virial and -dE/dstrain by central differences, component by component.

    Only the potential energy is differentiated, so a kinetic part, or another sign, shows.
    """
    step = 0.01
    shifts = [np.zeros((3, 3))]
    for i, j in axes:
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        shifts += [strain, -strain]
    frames = [strained(atoms, strain) for strain in shifts]
    label(settings, [write(folder / "strained.extxyz", *frames)], folder / "out")
    records = sorted(store.stored(folder / "out").values(), key=lambda record: record.frame)
    virial = np.reshape(records[0].virial_ev, (3, 3))
    energies = [record.energy_ev for record in records]
    pairs = zip(energies[1::2], energies[2::2], strict=True)
    slopes = [-(plus - minus) / (2 * step) for plus, minus in pairs]
    return [(virial[i, j], slope) for (i, j), slope in zip(axes, slopes, strict=True)]


@needs_cp2k
@pytest.mark.parametrize("kpoints", [None, (1, 1, 2)])
def test_the_virial_of_a_dft_label_is_minus_the_energy_change_with_strain(tmp_path, kpoints):
    atoms = Atoms("H2", [[0.1, 0.2, 0.3], [0.1, 0.6, 1.0]], cell=[6.0, 6.5, 7.0], pbc=True)
    settings = recipe(cutoff_rydberg=300, rel_cutoff_rydberg=60, eps_scf=1e-6, kpoints=kpoints)
    for virial, slope in virial_against_strain(settings, atoms, tmp_path, [(2, 2), (1, 2)]):
        assert abs(virial) > 0.5
        assert virial == pytest.approx(slope, rel=0.03)


def test_the_virial_of_an_ase_label_is_minus_the_energy_change_with_strain(tmp_path):
    rng = np.random.default_rng(4)
    atoms = Atoms("Ar8", np.indices((2, 2, 2)).reshape(3, -1).T * 1.1, cell=[2.2] * 3, pbc=True)
    atoms = atoms.repeat(3)
    atoms.rattle(0.05, rng=rng)
    axes = [(0, 0), (1, 2), (2, 2)]
    for virial, slope in virial_against_strain(morse(), atoms, tmp_path, axes):
        assert virial == pytest.approx(slope, rel=0.02, abs=0.05)


@needs_cp2k
def test_a_reference_cell_keeps_the_grid_while_the_volume_changes(tmp_path):
    # The cell crosses a jump of the grid: without a reference the energy jumps with it.
    boxes = np.array([5.98, 6.0, 6.02, 6.04, 6.06, 6.08])
    path = write(tmp_path / "a.extxyz", *(hydrogen(0.75, box=box) for box in boxes))
    reference = [[6.2, 0, 0], [0, 6.2, 0], [0, 0, 6.2]]
    roughness = []
    for name, cell in (("jumping", None), ("fixed", reference)):
        settings = recipe(cutoff_rydberg=60, eps_scf=1e-6, reference_cell_angstrom=cell)
        label(settings, [path], tmp_path / name)
        records = sorted(store.stored(tmp_path / name).values(), key=lambda record: record.frame)
        energies = np.array([record.energy_ev for record in records])
        roughness.append(np.abs(energies - np.polyval(np.polyfit(boxes, energies, 2), boxes)).max())
    assert roughness[1] < 0.5 * roughness[0]


@needs_cp2k
def test_a_label_repeats_from_its_stored_input(tmp_path):
    path = write(tmp_path / "a.extxyz", hydrogen(0.8))
    label(recipe(eps_scf=1e-5, cutoff_rydberg=200), [path], tmp_path / "out")
    (record,) = store.stored(tmp_path / "out").values()
    folder = tmp_path / "again"
    folder.mkdir()
    stored = tmp_path / "out" / "labels" / record.id / "input.inp.gz"
    (folder / INPUT).write_bytes(gzip.decompress(stored.read_bytes()))
    job = single_point_job("again", folder, Resources())
    run_job(job, token="test")
    again = read_result(job, None, 2, 216.0)
    kept = ase.io.read(tmp_path / "out" / "labels.extxyz")
    assert abs(again.energy_ev - kept.get_potential_energy()) / 2 < 1e-6
    assert np.abs(again.forces - kept.get_forces()).max() < 1e-3


@needs_cp2k
@pytest.mark.parametrize("kpoints", [None, (1, 1, 2)])
def test_both_ways_to_self_consistency_reach_the_same_label(tmp_path, kpoints):
    level = recipe(eps_scf=1e-6, cutoff_rydberg=200, kpoints=kpoints).level
    atoms = hydrogen(0.9)
    found = []
    for number, method in enumerate(scf_methods(level, atoms.cell.array)):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = single_point_input(
            level, list(atoms.symbols), atoms.positions, atoms.cell.array, method=method, max_scf=60
        )
        (folder / INPUT).write_text(text)
        job = single_point_job("way", folder, Resources())
        run_job(job, token="test")
        found.append(read_result(job, None, 2, 216.0))
    assert found[0].energy_ev == pytest.approx(found[1].energy_ev, abs=2e-6)
    np.testing.assert_allclose(found[0].forces, found[1].forces, atol=1e-3)
    np.testing.assert_allclose(found[0].virial, found[1].virial, atol=5e-3)
    assert found[0].gap_ev == pytest.approx(found[1].gap_ev, abs=0.05)


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
