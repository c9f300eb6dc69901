"""Packed start structures: rigid units at random in a periodic cell."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from build_recipes import GLASS, built, counts

from mlip.errors import DataError, EngineError, InputError
from mlip.structures.units import contact_radius, find_unit, unit_names


@pytest.mark.parametrize(
    ("name", "charge", "bonds"),
    [
        ("PS4", -3, [2.05] * 4),
        ("P2S7", -4, [2.03] * 6 + [2.09] * 2),
        ("P2S6", -4, [2.03] * 6 + [2.26]),
        ("P2S6_edge", -2, [1.97] * 4 + [2.13] * 4),
        ("Li", 1, []),
        ("S", -2, []),
    ],
)
def test_units_have_the_charge_and_the_bonds_of_the_anion(name, charge, bonds):
    unit = find_unit(name)
    assert unit.charge == charge
    distances = np.linalg.norm(unit.positions[:, None] - unit.positions, axis=2)
    upper = distances[np.triu_indices(len(distances), 1)]
    np.testing.assert_allclose(np.sort(upper[upper < 2.6]), bonds, atol=1e-4)
    if len(unit.symbols) > 1:
        assert unit.doi.startswith("10.")


def test_every_shipped_unit_keeps_its_like_atoms_apart_from_those_of_others():
    # Contacts, not bonds: farther than 1.2 covalent diameters, the limit of a like-atom bond.
    for name in unit_names():
        for symbol in set(find_unit(name).symbols):
            diameter = 2.0 * covalent_radii[atomic_numbers[symbol]]
            assert 2.0 * contact_radius(symbol, 2.0) > 1.2 * diameter


@pytest.mark.parametrize(
    ("units", "formula", "density"),
    [
        ({"PS4": 4, "Li": 12}, "Li3PS4", 1.7),
        ({"Li": 14, "P2S7": 2, "PS4": 2}, "Li7P3S11", 1.9),
        ({"P2S6": 4, "Li": 16}, "Li2PS3", 1.8),
        ({"P2S6_edge": 3, "S": 1, "Li": 8}, "Li8P6S19", 1.8),
    ],
)
def test_a_packing_has_density_composition_whole_units_and_distances(
    tmp_path, units, formula, density
):
    manifest, atoms = built(tmp_path, packing={"units": units, "density_g_cm3": density})
    summary = manifest.summary
    assert summary["formula"] == formula
    assert summary["density_g_cm3"] == pytest.approx(density, rel=1e-10)
    assert summary["formal_charge_e"] == 0
    np.testing.assert_allclose(atoms.cell.array, np.eye(3) * atoms.get_volume() ** (1 / 3))
    assert set(atoms.arrays["origin"]) == {"glass"}

    whole = atoms.copy()
    owner = np.empty(len(atoms), dtype=int)
    row = number = 0
    for name, count in units.items():
        unit = find_unit(name)
        expected = np.linalg.norm(unit.positions[:, None] - unit.positions, axis=2)
        for _ in range(count):
            rows = np.arange(row, row + len(unit.symbols))
            assert [atoms.symbols[k] for k in rows] == list(unit.symbols)
            vectors = atoms.get_distances(row, rows, mic=True, vector=True)
            whole.positions[rows] = atoms.positions[row] + vectors
            found = np.linalg.norm(vectors[:, None] - vectors, axis=2)
            np.testing.assert_allclose(found, expected, atol=1e-5)
            owner[rows] = number
            row, number = row + len(rows), number + 1
    assert row == len(atoms)

    first, second, distance, shift = neighbor_list("ijdS", whole, 4.0)
    other = (owner[first] != owner[second]) | shift.any(axis=1)
    radii = np.array([contact_radius(symbol, 2.0) for symbol in atoms.symbols])
    assert (distance >= radii[first] + radii[second])[other].all()
    # Across the faces too, where there are such contacts.
    assert shift.any(axis=1).sum() > 50


def test_the_tolerance_is_a_lower_bound_of_every_contact(tmp_path):
    _, atoms = built(tmp_path, packing={**GLASS, "density_g_cm3": 1.4, "tolerance_angstrom": 2.4})
    lithium = atoms[atoms.symbols == "Li"].get_all_distances(mic=True)
    assert lithium[lithium > 0].min() >= 2.4


def test_the_cell_of_a_packing_has_the_ratio_asked_for(tmp_path):
    manifest, atoms = built(tmp_path, packing={**GLASS, "cell": [1.0, 1.0, 2.0]})
    a, b, c = atoms.cell.lengths()
    assert c / a == pytest.approx(2.0)
    assert b == pytest.approx(a)
    assert manifest.summary["density_g_cm3"] == pytest.approx(1.7, rel=1e-10)


def test_packmol_leaves_its_version_and_no_files(tmp_path):
    manifest, _ = built(tmp_path, packing=GLASS)
    assert manifest.versions["packmol"][0].isdigit()
    assert manifest.seeds == {"build": 1}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names - {"lock"} == {"manifest.json", "structure.extxyz", "structure.data"}


def test_a_packing_goes_through_every_later_step(tmp_path):
    manifest, atoms = built(
        tmp_path,
        packing=GLASS,
        strain=[0.02, 0, 0, 0, 0, 0],
        defects={"removed_units": {"Li2S": 1}, "frenkel_pairs": {"element": "Li"}},
        rattle={"amplitude_angstrom": 0.2},
    )
    assert counts(atoms) == Counter(Li=10, P=4, S=15)
    assert set(atoms.arrays["origin"]) == {"glass"}
    a, b, c = atoms.cell.lengths()
    assert a == pytest.approx(1.02 * b)
    assert b == pytest.approx(c)
    assert [entry["kind"] for entry in manifest.summary["defects"]] == [
        "removed_unit",
        "frenkel_pair",
    ]


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"PS4": 8, "Li": 20}, r"formal charge is -4 e \(8 PS4 of -3, 20 Li of \+1\)"),
        ({"PS4": 1, "Na": 3}, "charge of Na is not known"),
        ({"PS5": 1, "Li": 3}, "known are P2S6, P2S6_edge, P2S7, PS4"),
    ],
)
def test_charged_and_unknown_units_are_refused(tmp_path, units, message):
    with pytest.raises(InputError, match=message) as caught:
        built(tmp_path, packing={"units": units, "density_g_cm3": 1.7})
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_units_that_do_not_fit_are_the_engine_s_failure_with_a_remedy(tmp_path):
    with pytest.raises(EngineError, match=r"do not fit at this density.*another seed") as caught:
        built(tmp_path, packing={"units": {"PS4": 1, "Li": 3}, "density_g_cm3": 8.0})
    assert caught.value.exit_code == 4
    assert (tmp_path / "out" / "packmol" / "packmol.log").is_file()


def test_a_unit_that_meets_its_own_image_is_refused(tmp_path):
    with pytest.raises(DataError, match="different units or images"):
        built(
            tmp_path,
            packing={"units": {"P2S7": 1, "Li": 4}, "density_g_cm3": 2.2},
        )
