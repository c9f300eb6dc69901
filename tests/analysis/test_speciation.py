"""Speciation over trajectories: sums, regions, blocks, cutoffs, other chemistries."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.anions.anion_groups import anion_groups
from analysis.anions.anion_rules import anion_rules
from analysis.anions.speciation import block_shares, speciation
from analysis.errors import AnalysisError, RangeError
from analysis.groups import Groups, static_groups
from analysis.pairs.rdf import pair_distributions

RULES = anion_rules()
BOND = 2.05
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
PS4 = np.vstack([np.zeros(3), BOND * TETRAHEDRON])


def place(units, cell=30.0):
    """Atoms of (symbols, positions, centre) in one cell."""
    symbols = [s for names, _, _ in units for s in names]
    positions = np.vstack([np.asarray(shape) + centre for _, shape, centre in units])
    return symbols, positions, np.eye(3) * cell


def pyrophosphate():
    """P2S7: two tetrahedra that share a corner, P-S-P straight along x."""
    turn, _ = Rotation.align_vectors([[1, 0, 0]], [TETRAHEDRON[0]])
    arms = turn.apply(TETRAHEDRON) * BOND
    middle = np.array([[2 * BOND, 0, 0]])
    return ["P"] * 2 + ["S"] * 7, np.vstack(
        [np.zeros((1, 3)), middle, arms, middle + arms[1:] * [-1, 1, 1]]
    )


def named(result, of="units", **options):
    shares, _ = block_shares(result, of, **options)
    return {n: float(s) for n, s in zip(result.names, shares, strict=True) if s}


def gas(rng, n_frames=6, n_atoms=60, cell=TRICLINIC):
    species = ["Li"] * 20 + ["P"] * 12 + ["S"] * (n_atoms - 32)
    cells = cell * (1 + 0.05 * rng.random((n_frames, 1, 1)))
    positions = rng.uniform(-1, 2, (n_frames, n_atoms, 3)) @ cells
    return make_trajectory(positions, species=species, cell=cells)


def test_units_hold_every_atom_once_in_every_region(rng):
    trajectory = gas(rng)
    codes = rng.integers(-1, 3, (6, 60))
    regions = Groups(("a", "b", "c"), lambda frame: codes[frame.index])
    result = speciation(trajectory, regions=regions, persistence_ps=0)
    assert result.regions == ("all", "a", "b", "c", "outside")
    assert (result.tally.atoms[:, 0].sum(axis=1) == [12, 28]).all()
    assert (result.single.atoms[:, 0].sum(axis=1) == [12, 28]).all()
    for tally in result.shifted:
        assert (tally.atoms[:, 0].sum(axis=1) == [12, 28]).all()
    assert (result.tally.units[:, 1:].sum(axis=1) == result.tally.units[:, 0]).all()
    assert (result.tally.atoms[:, 1:].sum(axis=1) == result.tally.atoms[:, 0]).all()
    assert (result.ligands[:, 0].sum(axis=-1) == 28).all()
    assert (result.ligands[:, 1:].sum(axis=1) == result.ligands[:, 0]).all()
    for of in ("units", "P", "S"):
        shares, blocks = block_shares(result, of)
        assert shares.sum() == pytest.approx(1, rel=1e-12)
        assert blocks.sum(axis=1) == pytest.approx(np.ones(5), rel=1e-12)


def test_the_formal_charge_is_that_of_the_elements_and_the_bonds_of_like_atoms(rng):
    result = speciation(gas(rng, n_atoms=80), persistence_ps=0)
    pairs = [cutoff.pair for cutoff in result.cutoffs]
    pp, ss = result.bonds[:, pairs.index("P-P")], result.bonds[:, pairs.index("S-S")]
    assert pp.any()
    assert ss.any()
    assert result.element_charge_e == 20 + 5 * 12 - 2 * 48
    assert result.charge_e == pytest.approx(result.element_charge_e - 2 * pp + 2 * ss, abs=1e-9)


@pytest.mark.parametrize("persistence_ps", [0.0, 0.2])
def test_permutation_rotation_shift_and_wrapping_do_not_matter(rng, persistence_ps):
    atoms = Atoms("P6S24", positions=rng.uniform(0, 1, (30, 3)) @ TRICLINIC)
    walk = np.cumsum(rng.normal(0, 0.05, (12, 30, 3)), axis=0) + atoms.positions
    turn = Rotation.random(random_state=2).as_matrix()
    order = rng.permutation(30)
    images = rng.integers(-2, 3, (30, 3)) @ TRICLINIC
    moved = ((walk + images)[:, order] + [1.0, -20.0, 3.0]) @ turn.T
    shear = np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]])
    symbols = np.array(atoms.get_chemical_symbols())

    def found(positions, symbols, cell):
        trajectory = make_trajectory(
            positions, species=symbols.tolist(), cell=cell, frame_interval_ps=0.1
        )
        return speciation(trajectory, persistence_ps=persistence_ps)

    one, other = found(walk, symbols, TRICLINIC), found(moved, symbols[order], TRICLINIC @ turn.T)
    sheared = found(walk, symbols, shear @ TRICLINIC)
    assert len(set(map(tuple, one.tally.units[:, 0].tolist()))) > 1, "nothing changes"
    for result in (other, sheared):
        np.testing.assert_array_equal(result.tally.units, one.tally.units)
        np.testing.assert_array_equal(result.ligands, one.ligands)
        np.testing.assert_array_equal(result.bonds, one.bonds)


def test_a_unit_is_where_most_of_its_formers_are():
    symbols, positions, cell = place(
        [
            ("PSSSS", PS4, [5, 5, 5]),
            (*pyrophosphate(), [5, 15, 15]),
            ("S", np.zeros((1, 3)), [20, 20, 20]),
            ("SS", np.array([[0, 0, 0], [2.0, 0, 0]]), [20, 5, 25]),
        ]
    )
    trajectory = make_trajectory(positions[None], species=symbols, cell=cell)

    def regions_of(ps4, p2s7, s, s2):
        labels = [ps4] + ["b"] * 4 + list(p2s7) + ["b"] * 7 + [s] + list(s2)
        groups = Groups(("b", "a"), static_codes(labels))
        result = speciation(trajectory, regions=groups)
        return {
            name: next(result.regions[r] for r in np.flatnonzero(result.tally.units[0, :, n])[1:])
            for n, name in enumerate(result.names)
            if result.tally.units[0, 0, n]
        }

    def static_codes(labels):
        codes = np.array([{"b": 0, "a": 1, "": -1}[label] for label in labels])
        return lambda frame: codes

    expected = {"PS4": "a", "P2S7": "a", "S": "a", "S-S": "b"}
    assert regions_of("a", "aa", "a", "bb") == expected
    # Ties go to the region that is named first, whatever its atoms; none loses to any.
    assert regions_of("a", "ab", "a", "ab") == expected | {"P2S7": "b"}
    assert regions_of("", ["a", ""], "", ["", ""]) == {
        "PS4": "outside",
        "P2S7": "a",
        "S": "outside",
        "S-S": "outside",
    }


def test_blocks_are_consecutive_and_shares_are_ratios_of_sums():
    # One of two tetrahedra loses an S in the last half of ten frames.
    symbols, positions, cell = place([("PSSSS", PS4, [5] * 3), ("PSSSS", PS4, [20] * 3)])
    positions = np.tile(positions, (10, 1, 1))
    positions[5:, 6] += 2.0 * TETRAHEDRON[0]
    trajectory = make_trajectory(positions, species=symbols, cell=cell)
    result = speciation(trajectory)
    n = result.names.index("PS4")
    share, blocks = block_shares(result, "units")
    # 2 of 2, then 1 of 3 with PS3 and free S.
    assert share[n] == pytest.approx((5 * 2 + 5 * 1) / (5 * 2 + 5 * 3), rel=1e-12)
    assert blocks[:, n] == pytest.approx([1, 1, 3 / 5, 1 / 3, 1 / 3], rel=1e-12)
    assert block_shares(result, "P")[0][n] == pytest.approx(0.75, rel=1e-12)
    assert block_shares(result, "named_units")[0][n] == 1
    assert result.formulas == {"other PS3": 0.5}
    assert result.frames.tolist() == list(range(10))
    assert speciation(trajectory, stride=3).frames.tolist() == [0, 3, 6, 9]


def test_cutoffs_are_changed_together():
    # A bond of 2.55 and one of 2.65 about the cutoff of 2.6.
    shapes = [PS4.copy(), PS4.copy()]
    shapes[0][1] *= 2.55 / BOND
    shapes[1][1] *= 2.65 / BOND
    symbols, positions, cell = place([("PSSSS", s, [8 + 10 * n] * 3) for n, s in enumerate(shapes)])
    result = speciation(make_trajectory(positions[None], species=symbols, cell=cell))
    n = result.names.index("PS4")
    shares = [block_shares(result, "P", tally=tally)[0][n] for tally in result.shifted]
    assert shares == [0, 0.5, 1]


def test_a_cutoff_is_taken_at_the_first_minimum_of_the_sample(rng):
    symbols, positions, cell = place(
        [("PSSSS", PS4, 7.0 * np.array([x, y, z])) for x in (0, 1) for y in (0, 1) for z in (0, 1)],
        cell=14.0,
    )
    positions = positions + rng.normal(0, 0.05, (40, len(positions), 3))
    trajectory = make_trajectory(positions, species=symbols, cell=cell)
    pairs = pair_distributions(trajectory)
    (g,) = [pair for pair in pairs if pair.label == "P-S"]
    result = speciation(trajectory, pairs=pairs, cutoffs_from="g(r)")
    cutoffs = {cutoff.pair: cutoff for cutoff in result.cutoffs}
    # The middle of the gap between the bond and the next unit.
    filled = g.r_angstrom[g.g > 0]
    gap = [filled[filled < 3].max(), filled[filled > 3].min()]
    assert cutoffs["P-S"].angstrom == pytest.approx(np.mean(gap), abs=0.1)
    assert cutoffs["P-S"].source == "first minimum of g(r) of the sample"
    # S-S has its first peak at the edge of the tetrahedron, which is no bond.
    assert cutoffs["S-S"].angstrom == RULES.cutoffs_angstrom["S", "S"]
    assert "no first peak at a bond length" in cutoffs["S-S"].source
    assert named(result) == {"PS4": 1.0}
    by_table = speciation(trajectory, pairs=pairs)
    assert by_table.cutoffs[0].angstrom == 2.6
    assert f"minimum at {cutoffs['P-S'].angstrom:.2f}" in by_table.cutoffs[0].source


SILICATES = """
bonds: {O-Si: {cutoff_angstrom: 2.0}, O-O: {cutoff_angstrom: 1.6, charge_e: 2}}
lone_ions: [Na]
formers: [Si]
oxidation_states: {Na: 1, Si: 4, O: -2}
units:
  - {name: SiO4, atoms: {Si: 1, O: 4}, neighbours: {Si-O: 4}}
  - {name: Si2O7, atoms: {Si: 2, O: 7}, neighbours: {Si-O: 4}}
  - {name: network, atoms: {Si: 3+, O: 0+}, neighbours: {Si-O: 4}}
"""


def test_another_chemistry_needs_another_table_alone(tmp_path):
    (tmp_path / "silicates.yml").write_text(SILICATES)
    rules = anion_rules(tmp_path / "silicates.yml")
    scale = 1.62 / BOND
    names, shape = pyrophosphate()
    disilicate = ["Si" if name == "P" else "O" for name in names]
    # Ideal beta-cristobalite, a = 7.16: eight Si, corners shared in three directions.
    diamond = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]]) / 4
    silicon = np.vstack([diamond, diamond + 0.25])
    oxygen = np.vstack([diamond + t for t in (TETRAHEDRON * np.sqrt(3)) / 8])
    crystal = make_trajectory(
        7.16 * np.vstack([silicon, oxygen])[None], species=["Si"] * 8 + ["O"] * 16, cell=7.16
    )
    result = speciation(crystal, rules=rules)
    assert named(result) == {"network": 1.0}
    assert result.formulas == {"network (SiO2)n": 1.0}
    assert result.ligands[0, 0, 0].tolist() == [0, 0, 16, 0]
    assert result.charge_e[0] == 0
    symbols, positions, cell = place(
        [
            (["Si", "O", "O", "O", "O"], PS4 * scale, [5] * 3),
            (disilicate, shape * scale, [5, 15, 15]),
            (["O", "O"], [[0, 0, 0], [1.45, 0, 0]], [20] * 3),
            (["Na"] * 12, np.arange(36).reshape(12, 3) * 0.8, [0] * 3),
        ]
    )
    result = speciation(make_trajectory(positions[None], species=symbols, cell=cell), rules=rules)
    assert named(result, "Si") == pytest.approx({"SiO4": 1 / 3, "Si2O7": 2 / 3})
    assert result.formulas == {"other O2": 1.0}
    assert result.charge_e[0] == pytest.approx(12 - 4 - 6 - 2, abs=1e-12)


def test_anion_groups_name_the_anion_of_every_atom():
    names, shape = pyrophosphate()
    symbols, positions, cell = place(
        [("PSSSS", PS4, [5] * 3), (names, shape, [5, 15, 15]), (["Li"], np.zeros((1, 3)), [20] * 3)]
    )
    # The first S is away for one frame.
    positions = np.tile(positions, (5, 1, 1))
    positions[2, 1] += 2.0 * TETRAHEDRON[0]
    trajectory = make_trajectory(positions, species=symbols, cell=cell, frame_interval_ps=0.1)

    def labels(groups, index):
        frame = list(trajectory.frames())[index]
        return ["" if code < 0 else groups.names[code] for code in groups.codes(frame)]

    whole = ["PS4"] * 5 + ["P2S7"] * 9 + [""]
    groups = anion_groups(trajectory)
    assert groups.names == RULES.unit_names
    assert labels(groups, 0) == whole
    assert labels(groups, 2) == ["other", "S", *["other"] * 3, *whole[5:]]
    lasting = anion_groups(trajectory, persistence_ps=0.2)
    assert [labels(lasting, index) for index in range(5)] == [whole] * 5


def test_bad_requests_are_refused_by_name():
    lithium = make_trajectory(np.zeros((2, 1, 3)), species="Li")
    with pytest.raises(AnalysisError, match="no atom belongs to an anion"):
        speciation(lithium)
    sulphur = make_trajectory(np.zeros((2, 1, 3)), species="S")
    with pytest.raises(AnalysisError, match="need pair distributions, found none"):
        speciation(sulphur, cutoffs_from="g(r)")
    with pytest.raises(RangeError, match="allowed are 'table' and 'g\\(r\\)'"):
        speciation(sulphur, cutoffs_from="rdf")
    with pytest.raises(RangeError, match="stride is 0"):
        speciation(sulphur, stride=0)
    with pytest.raises(AnalysisError, match="no anion rule for Ge"):
        speciation(make_trajectory(np.zeros((2, 1, 3)), species="Ge"))
    rules = dataclasses.replace(RULES, lone_ions=frozenset({"Li", "As"}))
    with pytest.raises(AnalysisError, match="no anion rule for As"):
        speciation(make_trajectory(np.zeros((2, 2, 3)), species=["As", "S"]), rules=rules)


def test_static_regions_work_as_groups():
    symbols, positions, cell = place([("PSSSS", PS4, [5] * 3), ("PSSSS", PS4, [20] * 3)])
    trajectory = make_trajectory(positions[None], species=symbols, cell=cell)
    regions = static_groups(np.array(["crystal"] * 5 + ["glass"] * 5))
    result = speciation(trajectory, regions=regions)
    for region in ("crystal", "glass"):
        assert named(result, "P", region=region) == {"PS4": 1.0}
    assert np.isnan(block_shares(result, "P", region="outside")[0]).all()
