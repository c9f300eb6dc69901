"""Anions by bond graph: known crystals, broken and joined units, invariances; closest approach."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from analysis.anions.units import anion_rules, anion_units
from analysis.errors import AnalysisError
from analysis.pairs.closest import closest_distances, frame_geometry
from mlip.structures.crystals import conventional_cell, crystal_names, find_crystal

RULES = anion_rules()
BOND = 2.05
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)


def crystal(name: str) -> Atoms:
    return conventional_cell(find_crystal(name))


def units(atoms: Atoms, rules=RULES):
    return anion_units(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, rules)


def tetrahedron(bond: float = BOND) -> Atoms:
    """One PS4 in the middle of a wide box."""
    positions = np.vstack([np.zeros(3), bond * TETRAHEDRON])
    return Atoms("PS4", positions=positions + 10, cell=[20, 20, 20], pbc=True)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("beta-Li3PS4", {"PS4": 4}),
        ("gamma-Li3PS4", {"PS4": 2}),
        ("Li7P3S11", {"P2S7": 2, "PS4": 2}),
        ("Li4P2S6", {"P2S6": 1}),
        ("Li2P2S6", {"P2S6_edge": 2}),
        ("Li2S", {"S": 4}),
    ],
)
def test_crystals_hold_the_anions_that_they_are_known_for(name, counts):
    found = units(crystal(name))
    assert found.counts == counts
    lithium = crystal(name).symbols == "Li"
    assert ((np.array(found.labels) == "lone ion") == lithium).all()


def test_labels_of_atoms_agree_with_the_units():
    atoms = crystal("Li7P3S11")
    labels = np.array(units(atoms).labels)
    phosphorus = labels[atoms.symbols == "P"]
    assert sorted(phosphorus.tolist()) == ["P2S7"] * 4 + ["PS4"] * 2
    sulphur = labels[atoms.symbols == "S"]
    assert (sulphur == "P2S7").sum() == 14
    assert (sulphur == "PS4").sum() == 8
    assert (labels[atoms.symbols == "Li"] == "lone ion").all()


def test_crystals_do_not_change_within_a_tenth_of_an_angstrom_of_the_cutoffs():
    for shift in (-0.1, 0.1):
        cutoffs = {pair: cutoff + shift for pair, cutoff in RULES.cutoffs_angstrom.items()}
        rules = dataclasses.replace(RULES, cutoffs_angstrom=cutoffs)
        for name in crystal_names():
            assert units(crystal(name), rules) == units(crystal(name))


def test_a_broken_tetrahedron_gives_a_free_sulphur():
    atoms = tetrahedron()
    atoms.positions[1] += 2.0 * TETRAHEDRON[0]
    found = units(atoms)
    assert found.counts == {"other PS3": 1, "S": 1}
    assert found.labels == ("other PS3", "S", "other PS3", "other PS3", "other PS3")


def test_two_sulphurs_near_each_other_bond():
    atoms = Atoms("S3", positions=[[0, 0, 0], [0, 0, 2.05], [0, 0, 8]], cell=[9, 9, 20], pbc=True)
    assert units(atoms).labels == ("S-S", "S-S", "S")


def test_a_sulphur_bonded_to_a_tetrahedron_is_not_overlooked():
    atoms = tetrahedron() + Atoms("S", positions=[10 + (BOND + 2.05) * TETRAHEDRON[0]])
    assert units(atoms).counts == {"other PS5": 1}


def test_five_and_three_sulphurs_around_two_phosphorus_are_no_pyrophosphate():
    # As many atoms and bonds as P2S7, but not four S around each P.
    around_first = [[0, 0, 1], [0, 0, -1], [1, 0, 0], [-0.5, 0.866, 0], [-0.5, -0.866, 0]]
    around_second = [[0.34, 0.94, 0], [0.34, -0.94, 0]]
    second = np.array([2 * BOND, 0, 0])
    positions = np.vstack(
        [
            np.zeros(3),
            second,
            BOND * np.array(around_first),
            second + BOND * np.array(around_second),
        ]
    )
    atoms = Atoms("P2S7", positions=positions, cell=[25, 25, 25], pbc=True)
    assert units(atoms).counts == {"other P2S7": 1}


def test_a_chain_without_end_is_a_chain_in_any_cell():
    # Corner-sharing tetrahedra along x: two P, six S in the cell as in P2S6, but no such ion.
    step = 2 * BOND * np.cos(np.radians(30))
    zigzag = BOND * np.sin(np.radians(30))
    cell = np.diag([2 * step, 15.0, 15.0])
    phosphorus = np.array([[0, 0, 0], [step, 0, 0]])
    shared = np.array([[0.5 * step, zigzag, 0], [1.5 * step, -zigzag, 0]])
    side = BOND * np.array([[0, 0.3, 0.954], [0, 0.3, -0.954]])
    atoms = Atoms(
        "P2S6",
        positions=np.vstack([phosphorus, shared, phosphorus[0] + side, phosphorus[1] + side]),
        cell=cell,
        pbc=True,
    )
    for repeats in ((1, 1, 1), (2, 1, 1), (3, 2, 1)):
        found = units(atoms.repeat(repeats))
        assert set(found.labels) == {"P-chain"}
        assert found.counts == {"P-chain": repeats[1]}
    # Without the rule for large units it is named by its formula, the same in any cell.
    rules = dataclasses.replace(RULES, units=RULES.units[:4])
    assert set(units(atoms, rules).labels) == {"other (PS3)n"}
    assert set(units(atoms.repeat((2, 1, 1)), rules).labels) == {"other (PS3)n"}


@pytest.mark.parametrize("name", crystal_names())
def test_order_of_atoms_does_not_matter(name, rng):
    atoms = crystal(name)
    order = rng.permutation(len(atoms))
    before, after = units(atoms), units(atoms[order])
    assert after.counts == before.counts
    assert list(after.labels) == [before.labels[k] for k in order]


@pytest.mark.parametrize("name", crystal_names())
def test_rotation_shift_and_wrapping_do_not_matter(name, rng):
    atoms = crystal(name)
    turn = Rotation.random(random_state=3).as_matrix()
    images = rng.integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell.array
    turned = Atoms(
        atoms.symbols,
        positions=(atoms.positions + images + [1.3, -0.7, 5.1]) @ turn.T,
        cell=atoms.cell.array @ turn.T,
        pbc=True,
    )
    assert units(turned) == units(atoms)


@pytest.mark.parametrize("name", crystal_names())
def test_a_doubled_cell_has_twice_the_units(name):
    atoms = crystal(name)
    before = units(atoms)
    for repeats in ((2, 1, 1), (1, 2, 1), (1, 1, 2)):
        after = units(atoms.repeat(repeats))
        assert after.counts == {unit: 2 * count for unit, count in before.counts.items()}
        assert after.labels == 2 * before.labels


@pytest.mark.parametrize("name", crystal_names())
def test_another_choice_of_cell_vectors_does_not_matter(name):
    atoms = crystal(name)
    sheared = atoms.copy()
    sheared.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ atoms.cell.array)
    assert units(sheared) == units(atoms)


def test_no_anions_are_no_units():
    found = units(Atoms("Li2", positions=[[0, 0, 0], [2, 0, 0]], cell=[5, 5, 5], pbc=True))
    assert found.labels == ("lone ion", "lone ion")
    assert found.counts == {}


def test_an_element_without_rule_is_refused_by_name():
    with pytest.raises(AnalysisError, match="no anion rule for Ge"):
        units(Atoms("GeS", positions=[[0, 0, 0], [2, 0, 0]], cell=[5, 5, 5], pbc=True))


@pytest.mark.parametrize(
    ("positions", "cell", "message"),
    [
        (np.zeros((1, 3)), np.eye(3), "found positions"),
        (np.full((2, 3), np.nan), np.eye(3), "not a finite number"),
        (np.zeros((2, 3)), np.diag([1.0, 1.0, 0.0]), "no volume"),
    ],
)
def test_impossible_frames_are_refused(positions, cell, message):
    with pytest.raises(AnalysisError, match=message):
        anion_units(["P", "S"], positions, cell, RULES)


TABLE = """
bonds: {P-S: {cutoff_angstrom: 2.6}}
lone_ions: [Li]
formers: [P]
oxidation_states: {Li: 1, P: 5, S: -2}
units: [{name: x, atoms: {P: 1}}]
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("atoms: {P: 1}", "", r"rules\.yml: not a table of anion rules \(KeyError: 'atoms'\)"),
        ("formers: [P]", "", r"not a table of anion rules \(KeyError: 'formers'\)"),
        ("{P: 1}", "{Ge: 1}", "unit x names Ge, which has no bond"),
        ("formers: [P]", "formers: [Si]", "formers names Si, which has no bond"),
        ("P: 5, ", "", "no oxidation state of P"),
        ("lone_ions: [Li]", "lone_ions: [Li, S]", "S is a lone ion and has bonds"),
        ("2.6", "-1", "a cutoff not above zero"),
        ("}}", "}, S-P: {cutoff_angstrom: 2.6}}", "one in both orders"),
    ],
)
def test_a_broken_table_is_refused_with_its_file(tmp_path, old, new, message):
    table = tmp_path / "rules.yml"
    table.write_text(TABLE)
    assert anion_rules(table).unit_names == ("x", "other")
    broken = tmp_path / "broken" / "rules.yml"
    broken.parent.mkdir()
    broken.write_text(TABLE.replace(old, new, 1))
    with pytest.raises(AnalysisError, match=message):
        anion_rules(broken)


def test_closest_distances_are_those_of_the_antifluorite_structure():
    atoms = crystal("Li2S")
    a = atoms.cell.lengths()[0]
    symbols, cell = atoms.get_chemical_symbols(), atoms.cell.array
    found = closest_distances(symbols, atoms.positions, cell, within_angstrom=5.0)
    expected = {"Li-Li": a / 2, "Li-S": a * np.sqrt(3) / 4, "S-S": a / np.sqrt(2)}
    assert found == pytest.approx(expected)
    near = closest_distances(symbols, atoms.positions, cell, within_angstrom=2.6)
    assert near == pytest.approx({"Li-S": expected["Li-S"]})


def test_the_image_of_an_atom_is_a_neighbour():
    cell = np.array([[2.0, 0, 0], [0.5, 2.5, 0], [0, 0, 9]])
    assert closest_distances(["S"], np.zeros((1, 3)), cell) == pytest.approx({"S-S": 2.0})


@pytest.mark.parametrize(("name", "density"), [("beta-Li3PS4", 1.853), ("Li7P3S11", 1.979)])
def test_density_is_that_of_the_crystal_in_any_cell(name, density):
    for atoms in (crystal(name), crystal(name).repeat((2, 1, 1))):
        found = frame_geometry(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array)
        assert found.density_g_cm3 == pytest.approx(density, abs=2e-3)
        assert found.closest_angstrom["P-S"] > 1.9
