"""Strained, defective and rattled start structures."""

from __future__ import annotations

from collections import Counter

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from build_recipes import GLASS, VOIGT, apart, apart_in, built, counts, crystal

from mlip.cli import main
from mlip.errors import DataError, InputError, RecipeError
from mlip.recipes.base import validated
from mlip.recipes.build import BuildRecipe, Defects, Rattle, Region
from mlip.structures.build import build, plan_build
from mlip.structures.crystals import find_crystal
from mlip.structures.defects import with_defects
from mlip.structures.geometry import density_g_cm3
from mlip.structures.rattle import in_region, rattled
from mlip.structures.strain import scaled_to_density, strained
from mlip.structures.voids import find_void


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


def test_a_frenkel_pair_keeps_the_composition_and_moves_one_atom(tmp_path):
    manifest, atoms = built(
        tmp_path,
        crystal="beta-Li3PS4",
        supercell=[1, 1, 2],
        defects={"frenkel_pairs": {"element": "Li"}},
    )
    plain = crystal("beta-Li3PS4", (1, 1, 2))
    assert counts(atoms) == counts(plain)
    (pair,) = manifest.summary["defects"]
    moved = np.flatnonzero(apart(plain, atoms) > 1e-6)
    assert moved.tolist() == [pair["atom"] - 1]
    assert atoms.symbols[moved[0]] == pair["element"] == "Li"
    assert apart(plain, atoms)[moved[0]] == pytest.approx(pair["distance_angstrom"], abs=1e-3)
    assert pair["distance_angstrom"] >= 3.0
    distances = np.delete(atoms.get_distances(moved[0], np.arange(len(atoms)), mic=True), moved[0])
    assert distances.min() == pytest.approx(pair["clearance_angstrom"], abs=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_interstitial_of_antifluorite_sits_in_its_octahedral_void(tmp_path, seed):
    manifest, atoms = built(
        tmp_path,
        crystal="Li2S",
        supercell=[2, 2, 2],
        defects={"frenkel_pairs": {"element": "Li"}},
        seed=seed,
    )
    a = find_crystal("Li2S").cell[0]
    pair = manifest.summary["defects"][0]
    # Body centre and edge middles: halves of the conventional cell with odd sum.
    halves = 2.0 * atoms.positions[pair["atom"] - 1] / a
    np.testing.assert_allclose(halves, np.rint(halves), atol=0.05)
    assert int(np.rint(halves).sum()) % 2 == 1
    assert pair["clearance_angstrom"] == pytest.approx(a * np.sqrt(3) / 4, abs=0.02)


def test_an_interstitial_stays_away_from_a_vacancy_that_is_the_widest_void():
    metal = ase.build.bulk("Ag", a=5.0, cubic=True).repeat(3)
    vacancy = metal.positions[0].copy()
    left = metal[1:]
    nowhere = np.full((1, 3), 2.5)  # an octahedral void, far from the vacancy
    rng = np.random.default_rng(1)
    widest = find_void(left, nowhere, 0.5, 3, rng)
    np.testing.assert_allclose(apart_in(left, widest.position, vacancy), 0.0, atol=0.05)
    assert widest.clearance == pytest.approx(5.0 / np.sqrt(2), abs=0.02)
    away = find_void(left, vacancy[None], 4.0, 3, rng)
    assert apart_in(left, away.position, vacancy) >= 4.0
    assert away.clearance == pytest.approx(2.5, abs=0.05)


def test_many_frenkel_pairs_move_as_many_atoms_away_from_every_vacancy(tmp_path):
    manifest, atoms = built(
        tmp_path,
        crystal="Li2S",
        supercell=[3, 3, 3],
        defects={"frenkel_pairs": {"element": "Li", "count": 4}},
    )
    pairs = manifest.summary["defects"]
    assert len({pair["atom"] for pair in pairs}) == 4
    for k, pair in enumerate(pairs):
        # Its own vacancy, and those that were there before it.
        for earlier in pairs[: k + 1]:
            scaled = (
                np.array(pair["to_angstrom"]) - earlier["from_angstrom"]
            ) / atoms.cell.lengths()
            away = (scaled - np.rint(scaled)) * atoms.cell.lengths()
            assert np.linalg.norm(away) >= 3.0 - 1e-3


def test_no_void_is_an_error_that_says_so(tmp_path):
    with pytest.raises(DataError, match="no void for Li") as caught:
        built(
            tmp_path,
            crystal="Li2S",
            density_g_cm3=5.0,
            defects={"frenkel_pairs": {"element": "Li"}},
        )
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_swapped_pair_keeps_the_composition_and_exchanges_two_sites(tmp_path):
    manifest, atoms = built(
        tmp_path, crystal="gamma-Li3PS4", defects={"swapped_pairs": [["P", "S"], ["Li", "P"]]}
    )
    plain = crystal("gamma-Li3PS4")
    assert atoms.get_chemical_symbols() == plain.get_chemical_symbols()
    touched = []
    for swap in manifest.summary["defects"]:
        one, other = (number - 1 for number in swap["atoms"])
        touched += [one, other]
        assert [atoms.symbols[one], atoms.symbols[other]] == swap["elements"]
        np.testing.assert_allclose(atoms.positions[one], plain.positions[other], atol=1e-8)
        np.testing.assert_allclose(atoms.positions[other], plain.positions[one], atol=1e-8)
    assert np.flatnonzero(apart(plain, atoms) > 1e-6).tolist() == sorted(touched)
    assert len(set(touched)) == 4


@pytest.mark.parametrize(
    ("unit", "taken"), [("Li2S", {"Li": 4, "S": 2}), ("Li3PS4", {"Li": 6, "P": 2, "S": 8})]
)
def test_removed_units_leave_the_other_atoms_where_they_were(tmp_path, unit, taken):
    manifest, atoms = built(
        tmp_path,
        crystal="beta-Li3PS4",
        supercell=[1, 2, 2],
        defects={"removed_units": {unit: 2}},
    )
    plain = crystal("beta-Li3PS4", (1, 2, 2))
    assert counts(plain) - counts(atoms) == Counter(taken)
    assert manifest.summary["formal_charge_e"] == 0
    sites = [site for entry in manifest.summary["defects"] for site in entry["sites"]]
    gone = [
        int(np.linalg.norm(plain.positions - np.array(site[1:]), axis=1).argmin()) for site in sites
    ]
    assert [plain.symbols[k] for k in gone] == [site[0] for site in sites]
    left = np.setdiff1d(np.arange(len(plain)), gone)
    assert len(left) == len(atoms)
    np.testing.assert_allclose(atoms.positions, plain.positions[left], atol=1e-8)


def test_a_removed_sulphide_is_a_terminal_one_with_its_nearest_lithium():
    plain = crystal("Li2P2S6", (1, 1, 2))
    defects = Defects(removed_units={"Li2S": 1})
    chosen = set()
    # A third of the sulphurs bridge two phosphorus atoms.
    for seed in range(20):
        _, (done,) = with_defects(plain, defects, np.random.default_rng(seed), "Li2P2S6")
        rows = [
            int(np.linalg.norm(plain.positions - site[1:], axis=1).argmin())
            for site in done["sites"]
        ]
        (sulphur,) = (row for row in rows if plain.symbols[row] == "S")
        distances = plain.get_distances(sulphur, np.arange(len(plain)), mic=True)
        assert ((distances < 2.5) & (plain.symbols == "P")).sum() == 1
        nearest = np.sort(distances[plain.symbols == "Li"])[:2]
        lithium = [distances[row] for row in rows if plain.symbols[row] == "Li"]
        np.testing.assert_allclose(np.sort(lithium), nearest, atol=1e-9)
        chosen.add(sulphur)
    assert len(chosen) > 3


def test_a_removed_formula_unit_takes_a_whole_tetrahedron(tmp_path):
    manifest, atoms = built(
        tmp_path,
        crystal="gamma-Li3PS4",
        supercell=[2, 2, 2],
        defects={"removed_units": {"Li3PS4": 1}},
    )
    distances = atoms.get_all_distances(mic=True)
    block = distances[np.ix_(atoms.symbols == "P", atoms.symbols == "S")]
    assert (block < 2.5).sum(axis=1).tolist() == [4] * 15
    assert (block < 2.5).sum(axis=0).tolist() == [1] * 60
    assert len(manifest.summary["defects"]) == 1


def test_no_atom_takes_part_in_two_defects(tmp_path):
    manifest, atoms = built(
        tmp_path,
        crystal="Li2S",
        supercell=[2, 1, 1],
        defects={
            "removed_units": {"Li2S": 2},
            "frenkel_pairs": {"element": "Li", "count": 2},
            "swapped_pairs": [["Li", "S"], ["S", "Li"]] * 3,
        },
    )
    done = manifest.summary["defects"]
    kinds = ["removed_unit"] * 2 + ["frenkel_pair"] * 2 + ["swapped_pair"] * 6
    assert [entry["kind"] for entry in done] == kinds
    touched = [entry["atom"] for entry in done[2:4]]
    touched += [number for entry in done[4:] for number in entry["atoms"]]
    assert len(touched) == len(set(touched)) == 14
    assert counts(atoms) == Counter(Li=12, S=6)


@pytest.mark.parametrize(
    ("defects", "message"),
    [
        ({"removed_units": {"LiS": 1}}, r"LiS has the formal charge -1 e"),
        ({"removed_units": {"Na2S": 1}}, "Na of unknown oxidation state"),
        ({"removed_units": {"li2s!": 1}}, "no formula"),
        ({"removed_units": {"Li2S": 5}}, "needs 10 atoms of Li, but 8"),
        ({"removed_units": {"Li2S": 4}}, "takes every atom"),
        ({"frenkel_pairs": {"element": "P"}}, "needs 1 atoms of P, but 0"),
        (
            {"removed_units": {"Li2S": 3}, "frenkel_pairs": {"element": "Li", "count": 3}},
            "needs 3 atoms of Li, but 2",
        ),
        ({"swapped_pairs": [["Li", "S"]] * 5}, "needs 1 atoms of S, but 0"),
    ],
)
def test_impossible_defects_are_refused_before_anything_is_written(tmp_path, defects, message):
    recipe = validated({"crystal": "Li2S", "defects": defects}, BuildRecipe, "recipe")
    for verb in (build, plan_build):
        with pytest.raises(InputError, match=message) as caught:
            verb(recipe, tmp_path / "r.yml", tmp_path / "out")
        assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


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
