"""Labels as physics: level in the input, virial against strain, repeats, k points."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from label_recipes import hydrogen, morse, needs_cp2k, recipe, write

from mlip.data.cp2k_input import parse_input, read_level
from mlip.engines.cp2k import INPUT, read_result, single_point_job
from mlip.engines.cp2k_input import (
    kpoint_mesh,
    level_in_words,
    scf_methods,
    single_point_input,
)
from mlip.execution.job import Resources
from mlip.execution.local import run_job
from mlip.labelling import store
from mlip.labelling.label import label
from mlip.recipes.label import Cp2kLevel, LabelRecipe


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


def test_with_k_points_there_is_one_way_to_self_consistency():
    cell = 12.0 * np.eye(3)
    at_gamma = recipe(kpoints=(1, 1, 1)).level
    assert len(scf_methods(at_gamma, cell)) == 2
    assert scf_methods(recipe(kpoints=(1, 1, 2)).level, cell) == scf_methods(at_gamma, cell)[:1]


@needs_cp2k
def test_both_ways_to_self_consistency_reach_the_same_label(tmp_path):
    level = recipe(eps_scf=1e-6, cutoff_rydberg=200, kpoints=(1, 1, 1)).level
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
