"""Strained and rattled start structures, and recipes that combine disorder."""

from __future__ import annotations

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from build_recipes import GLASS, VOIGT, apart, built, crystal

from mlip.cli import main
from mlip.errors import DataError, RecipeError
from mlip.recipes.base import validated
from mlip.recipes.build import BuildRecipe, Rattle, Region
from mlip.structures.build import plan_build
from mlip.structures.crystals import find_crystal
from mlip.structures.geometry import density_g_cm3
from mlip.structures.rattle import in_region, rattled
from mlip.structures.strain import scaled_to_density, strained


def test_a_recipe_without_disorder_gives_the_plain_supercell(tmp_path):
    manifest, atoms = built(tmp_path, crystal="Li7P3S11", supercell=[2, 1, 1])
    plain = crystal("Li7P3S11", (2, 1, 1))
    assert atoms.get_chemical_symbols() == plain.get_chemical_symbols()
    np.testing.assert_allclose(atoms.positions, plain.positions, atol=1e-8)
    assert set(atoms.arrays["origin"]) == {"crystal"}
    assert manifest.summary["atoms_origin_glass"] == 0
    assert not {"defects", "rattled_atoms"} & set(manifest.summary)


def test_the_density_is_reached_and_fractional_coordinates_stay(tmp_path):
    summary = built(tmp_path, crystal="beta-Li3PS4", density_g_cm3=1.7)[0].summary
    assert summary["density_g_cm3"] == pytest.approx(1.7, rel=1e-10)
    plain = crystal("Li7P3S11")
    scaled = scaled_to_density(plain, 2.3)
    assert density_g_cm3(scaled) == pytest.approx(2.3, rel=1e-10)
    np.testing.assert_allclose(
        scaled.get_scaled_positions(), plain.get_scaled_positions(), atol=1e-12
    )
    np.testing.assert_allclose(scaled.cell.angles(), plain.cell.angles(), atol=1e-9)


def test_strain_along_an_axis_stretches_that_axis_alone(tmp_path):
    _, atoms = built(tmp_path, crystal="beta-Li3PS4", strain=[0.02, 0, -0.01, 0, 0, 0])
    a, b, c = find_crystal("beta-Li3PS4").cell[:3]
    np.testing.assert_allclose(
        atoms.cell.array, np.diag([1.02 * a, b, 0.99 * c]), rtol=0, atol=1e-10
    )


def test_shear_is_the_tensor_component_not_the_engineering_strain(tmp_path):
    _, atoms = built(tmp_path, crystal="Li2S", strain=[0, 0, 0, 0, 0, 0.02])
    a = find_crystal("Li2S").cell[0]
    # Rows (1, e, 0) and (e, 1, 0): cos(gamma) = 2e / (1 + e^2).
    np.testing.assert_allclose(atoms.cell.lengths(), a * np.sqrt([1.0004, 1.0004, 1.0]))
    assert np.cos(np.radians(atoms.cell.angles()[2])) == pytest.approx(0.04 / 1.0004)
    np.testing.assert_allclose(atoms.cell.angles()[:2], 90.0)


@pytest.mark.parametrize("name", ["beta-Li3PS4", "Li7P3S11"])
def test_a_general_strain_gives_the_known_metric_and_volume_in_standard_form(name):
    plain = crystal(name)
    new = strained(plain, VOIGT)
    xx, yy, zz, yz, xz, xy = VOIGT
    stretch = np.array([[1 + xx, xy, xz], [xy, 1 + yy, yz], [xz, yz, 1 + zz]])
    vectors = plain.cell.array @ stretch
    np.testing.assert_allclose(new.cell.array @ new.cell.array.T, vectors @ vectors.T, rtol=1e-12)
    assert new.get_volume() == pytest.approx(plain.get_volume() * np.linalg.det(stretch), rel=1e-12)
    cell = new.cell.array
    assert abs(cell[[0, 0, 1], [1, 2, 2]]).max() == 0.0
    assert (np.diag(cell) > 0).all()
    np.testing.assert_allclose(
        new.get_scaled_positions(), plain.get_scaled_positions() % 1.0, atol=1e-9
    )


def test_strain_comes_after_the_density(tmp_path):
    summary = built(tmp_path, crystal="Li2S", density_g_cm3=1.6, strain=[0.1, 0, 0, 0, 0, 0])[0]
    assert summary.summary["density_g_cm3"] == pytest.approx(1.6 / 1.1, rel=1e-10)


def test_a_rattle_moves_every_atom_no_further_than_its_amplitude_and_no_pair_too_near():
    plain = crystal("beta-Li3PS4", (2, 2, 2))
    moved, mask = rattled(plain, Rattle(amplitude_angstrom=0.8), np.random.default_rng(1))
    shifts = np.linalg.norm(moved.positions - plain.positions, axis=1)
    assert mask.all()
    assert shifts.min() > 0.0
    assert 0.7 < shifts.max() <= 0.8
    first, second, distance = neighbor_list("ijd", moved, 3.0)
    radii = covalent_radii[moved.numbers]
    ratio = distance / (radii[first] + radii[second])
    assert ratio.min() >= 0.85
    # The limit was felt: without it 0.8 Å brings bonds of 2.05 Å far below.
    assert ratio.min() < 0.9


def test_displacements_without_neighbours_fill_the_ball_evenly():
    gas = ase.Atoms("Li1000", positions=20.0 * np.indices((10, 10, 10)).reshape(3, -1).T)
    gas.set_cell([200.0] * 3)
    gas.pbc = True
    moved, _ = rattled(gas, Rattle(amplitude_angstrom=0.5), np.random.default_rng(1))
    shifts = moved.positions - gas.positions
    # Uniform ball of radius A: <r> = 3A/4, <x^2> = A^2/5, mean vector 0.
    assert np.linalg.norm(shifts, axis=1).mean() == pytest.approx(0.375, abs=0.01)
    np.testing.assert_allclose((shifts**2).mean(axis=0), 0.05, atol=0.006)
    np.testing.assert_allclose(shifts.mean(axis=0), 0.0, atol=0.025)


@pytest.mark.parametrize("axis", ["a", "c"])
def test_a_region_alone_is_rattled_and_called_glass(tmp_path, axis):
    manifest, atoms = built(
        tmp_path,
        crystal="Li7P3S11",
        supercell=[2, 1, 1],
        rattle={
            "amplitude_angstrom": 0.3,
            "region": {"axis": axis, "low": 0.25, "high": 0.75},
        },
    )
    plain = crystal("Li7P3S11", (2, 1, 1))
    along = plain.get_scaled_positions()[:, "abc".index(axis)]
    inside = (along >= 0.25) & (along < 0.75)
    assert 0 < inside.sum() < len(plain)
    np.testing.assert_array_equal(apart(plain, atoms) > 1e-6, inside)
    np.testing.assert_array_equal(atoms.arrays["origin"] == "glass", inside)
    np.testing.assert_array_equal(atoms.arrays["origin"] == "crystal", ~inside)
    assert manifest.summary["rattled_atoms"] == manifest.summary["atoms_origin_glass"]
    assert manifest.summary["largest_displacement_angstrom"] <= 0.3


def test_atoms_on_the_lower_face_belong_to_a_region_and_on_the_upper_do_not():
    plain = crystal("Li2S", (1, 1, 2))
    # Sulphur lies at heights 0, 1/4, 1/2, 3/4 of the doubled cell.
    rattle = Rattle(amplitude_angstrom=0.1, region=Region(axis="c", low=0.0, high=0.5))
    _, mask = rattled(plain, rattle, np.random.default_rng(1))
    heights = plain.get_scaled_positions()[mask & (plain.symbols == "S"), 2]
    assert set(np.round(heights, 6)) == {0.0, 0.25}


def test_round_off_at_a_face_moves_no_atom_out_of_its_region():
    heights = [-1e-12, 0.5 - 1e-12, 1.0 - 1e-12, 0.25]
    atoms = ase.Atoms("Li4", scaled_positions=[[0, 0, z] for z in heights], cell=[9] * 3, pbc=True)
    lower = in_region(atoms, Region(axis="c", low=0.0, high=0.5))
    upper = in_region(atoms, Region(axis="c", low=0.5, high=1.0))
    assert lower.tolist() == [True, False, True, True]
    assert upper.tolist() == [False, True, False, False]


def test_a_whole_rattled_crystal_stays_a_crystal(tmp_path):
    _, atoms = built(tmp_path, crystal="Li2S", rattle={"amplitude_angstrom": 0.2})
    assert set(atoms.arrays["origin"]) == {"crystal"}


def test_a_limit_above_the_bonds_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"finds no place.*Lower amplitude_angstrom") as caught:
        built(
            tmp_path,
            crystal="beta-Li3PS4",
            density_g_cm3=2.6,
            rattle={"amplitude_angstrom": 0.05, "minimum_covalent_ratio": 0.95},
        )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "content",
    [
        {"packing": GLASS},
        {"crystal": "Li2S", "rattle": {"amplitude_angstrom": 0.2}},
        {
            "crystal": "Li2S",
            "supercell": [2, 2, 2],
            "defects": {
                "removed_units": {"Li2S": 1},
                "frenkel_pairs": {"element": "Li"},
                "swapped_pairs": [["Li", "S"]],
            },
        },
    ],
    ids=["packing", "rattle", "defects"],
)
def test_the_seed_decides_and_nothing_else(tmp_path, content):
    _, one = built(tmp_path, "one", seed=7, **content)
    _, same = built(tmp_path, "same", seed=7, **content)
    _, other = built(tmp_path, "other", seed=8, **content)
    np.testing.assert_array_equal(one.positions, same.positions)
    np.testing.assert_allclose(one.cell.array, other.cell.array)
    assert not np.allclose(one.positions, other.positions, atol=1e-3)


def test_the_plan_describes_every_step_and_writes_nothing(tmp_path):
    content = {
        "packing": GLASS,
        "strain": [0.01, 0, 0, 0, 0, 0.02],
        "defects": {
            "removed_units": {"Li2S": 1},
            "frenkel_pairs": {"element": "Li", "count": 2},
            "swapped_pairs": [["P", "S"]],
        },
        "rattle": {"amplitude_angstrom": 0.3, "region": {"axis": "b", "low": 0.5, "high": 1.0}},
    }
    recipe = validated(content, BuildRecipe, "recipe")
    text = "\n".join(plan_build(recipe, tmp_path / "r.yml", tmp_path / "out"))
    for part in (
        "build 4 PS4 + 12 Li: 32 atoms, Li12P4S16",
        "pack 4 PS4 + 12 Li at random, seed 1",
        "strain xx yy zz yz xz xy = 0.01 0 0 0 0 0.02",
        "remove 1 Li2S",
        "move 2 Li into voids",
        "swap P with S",
        "displace atoms with 0.5 <= b < 1, origin glass, by 0.3 Å or less",
    ):
        assert part in text
    assert not (tmp_path / "out").exists()
    recipe = validated({"crystal": "Li2S", "density_g_cm3": 1.5}, BuildRecipe, "recipe")
    lines = plan_build(recipe, tmp_path / "r.yml", tmp_path / "out")
    assert "1.500 g/cm3" in lines[0]


@pytest.mark.parametrize(
    "content",
    [
        {"crystal": "Li2S", "packing": GLASS},
        {"packing": GLASS, "density_g_cm3": 1.7},
        {"packing": {"units": {}, "density_g_cm3": 1.7}},
        {"packing": {"units": {"Li": 0}, "density_g_cm3": 1.7}},
        {"packing": {**GLASS, "cell": "hexagonal"}},
        {"packing": {**GLASS, "cell": [1, 1, 0]}},
        {"crystal": "Li2S", "strain": [0.1, 0, 0]},
        {"crystal": "Li2S", "strain": [0.5, 0, 0, 0, 0, 0]},
        {"crystal": "Li2S", "defects": {"swapped_pairs": [["Li", "Li"]]}},
        {"crystal": "Li2S", "defects": {"vacancies": {"Li": 1}}},
        {"crystal": "Li2S", "rattle": {"amplitude_angstrom": 0.0}},
        {
            "crystal": "Li2S",
            "rattle": {"amplitude_angstrom": 0.1, "region": {"low": 0.5, "high": 0.5}},
        },
        {"crystal": "Li2S", "seed": -1},
    ],
)
def test_impossible_recipes_are_refused(content):
    with pytest.raises(RecipeError):
        validated(content, BuildRecipe, "recipe")


def test_the_command_line_says_what_is_wrong_and_ends_with_two(tmp_path, capsys):
    (tmp_path / "glass.yml").write_text(
        "packing: {units: {PS4: 8, Li: 23}, density_g_cm3: 1.7}\nseed: 3\n"
    )
    command = ["build", str(tmp_path / "glass.yml"), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "formal charge is -1 e" in capsys.readouterr().err
    assert main([*command, "--dry-run", "--set", "packing.units.Li=24"]) == 0
    assert "pack 8 PS4 + 24 Li at random, seed 3" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
