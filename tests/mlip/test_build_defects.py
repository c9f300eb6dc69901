"""Defective start structures: Frenkel pairs, removed units, exchanged atoms."""

from __future__ import annotations

from collections import Counter

import ase
import ase.build
import ase.io
import numpy as np
import pytest
from build_recipes import apart, apart_in, built, counts, crystal

from mlip.errors import DataError, InputError
from mlip.recipes.base import validated
from mlip.recipes.build import BuildRecipe, Defects
from mlip.structures.build import build, plan_build
from mlip.structures.crystals import find_crystal
from mlip.structures.defects import with_defects
from mlip.structures.voids import find_void


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
