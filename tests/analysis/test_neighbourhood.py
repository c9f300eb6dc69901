"""Mobile ions by the anion next to them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from toy_trajectories import make_trajectory

from analysis.anions.units import anion_rules, anion_units
from analysis.errors import AnalysisError, RangeError
from analysis.motion.membership import membership_of
from analysis.regional.group_msd import group_mean_squared_displacement
from analysis.regional.neighbourhood import anion_neighbourhood_groups
from mlip.structures.crystals import conventional_cell, find_crystal

REACH = 3.2
RULES = anion_rules()


def crystal(name):
    atoms = conventional_cell(find_crystal(name)).repeat((2, 2, 2))
    trajectory = make_trajectory(
        atoms.positions[None], species=atoms.get_chemical_symbols(), cell=atoms.cell.array
    )
    return atoms, trajectory


def first_codes(trajectory, **keywords):
    groups = anion_neighbourhood_groups(
        trajectory, trajectory.ids_of("Li"), reach_angstrom=REACH, **keywords
    )
    return groups, groups.codes(next(trajectory.frames()))


@pytest.mark.parametrize("by", ["nearest", "majority"])
def test_all_lithium_of_beta_is_next_to_ps4(by):
    atoms, trajectory = crystal("beta-Li3PS4")
    groups, codes = first_codes(trajectory, by=by)
    lithium = atoms.symbols == "Li"
    assert {groups.names[code] for code in codes[lithium]} == {"PS4"}
    assert (codes[~lithium] == -1).all()


@pytest.mark.parametrize("by", ["nearest", "majority"])
def test_neighbourhoods_agree_with_a_search_by_another_program(by):
    atoms, trajectory = crystal("Li7P3S11")
    groups, codes = first_codes(trajectory, by=by)
    labels = anion_units(
        atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array, RULES
    ).labels
    i, j, d = neighbor_list("ijd", atoms, REACH)
    kinds = set()
    for ion in np.flatnonzero(atoms.symbols == "Li"):
        mine = (i == ion) & (atoms.symbols[j] == "S")
        around = [labels[k] for k in j[mine][np.argsort(d[mine])]]
        votes = {kind: around.count(kind) for kind in around}
        # The first of equals is the nearest: dictionaries keep the order.
        expected = around[0] if by == "nearest" else max(votes, key=votes.get)
        assert groups.names[codes[ion]] == expected
        kinds.add(expected)
    assert kinds == {"PS4", "P2S7"}


def test_majority_and_nearest_differ_and_ties_go_to_the_nearest():
    # One ion between a PS4 and free S atoms, at distances that decide.
    tetrahedron = 2.05 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    near_sulphur = tetrahedron[0]
    outward = np.array([1, 1, 1]) / np.sqrt(3)
    ion = near_sulphur + 2.4 * outward

    def codes_with(free):
        positions = np.vstack([np.zeros(3), tetrahedron, ion, ion + np.array(free)]) + 10.0
        species = ["P"] + ["S"] * 4 + ["Li"] + ["S"] * len(free)
        trajectory = make_trajectory(positions[None], species=species, cell=30.0)
        return [
            groups.names[codes[5]]
            for groups, codes in (first_codes(trajectory, by=by) for by in ("nearest", "majority"))
        ]

    right = np.cross(outward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(outward, right)
    assert codes_with([2.5 * right]) == ["PS4", "PS4"]
    assert codes_with([2.3 * right]) == ["S", "S"]
    assert codes_with([2.5 * right, 2.6 * up]) == ["PS4", "S"]


def test_frames_between_evaluated_ones_take_the_nearest_and_motion_splits_by_anion(rng):
    atoms, single = crystal("Li7P3S11")
    _, other = first_codes(single, by="majority")
    lithium = np.flatnonzero(atoms.symbols == "Li")
    n_frames = 11
    positions = np.tile(atoms.positions, (n_frames, 1, 1))
    # From frame 5 on two ions that differ in kind have changed places.
    one, two = (lithium[other[lithium] == code][0] for code in np.unique(other[lithium])[:2])
    positions[5:, [one, two]] = positions[5:, [two, one]]
    trajectory = make_trajectory(
        positions, species=atoms.get_chemical_symbols(), cell=atoms.cell.array
    )
    for stride, changed_at in ((1, 5), (4, 6), (3, 5)):
        groups = anion_neighbourhood_groups(
            trajectory, lithium, reach_angstrom=REACH, by="majority", stride=stride
        )
        codes = membership_of(trajectory, lithium, groups).codes
        column = int(np.flatnonzero(lithium == one)[0])
        expected = np.where(np.arange(n_frames) < changed_at, other[one], other[two])
        np.testing.assert_array_equal(codes[:, column], expected)
    membership = membership_of(trajectory, lithium, groups)
    msd = group_mean_squared_displacement(
        trajectory, membership, int(other[one]), label="x", drift_path=np.zeros((n_frames, 3))
    )
    distance2 = ((positions[0, one] - positions[0, two]) ** 2).sum()
    number = (membership.codes[:6] == other[one]).sum()
    assert msd.msd[5] == pytest.approx(5 * distance2 / number)


def test_ions_out_of_reach_are_in_none_and_nonsense_is_refused():
    _, trajectory = crystal("beta-Li3PS4")
    ids = trajectory.ids_of("Li")
    groups = anion_neighbourhood_groups(trajectory, ids, reach_angstrom=1.0)
    assert (groups.codes(next(trajectory.frames())) == -1).all()
    with pytest.raises(RangeError, match="stride 0"):
        anion_neighbourhood_groups(trajectory, ids, reach_angstrom=3.0, stride=0)
    with pytest.raises(RangeError, match="one of nearest, majority"):
        anion_neighbourhood_groups(trajectory, ids, reach_angstrom=3.0, by="mean")
    bare = make_trajectory(np.zeros((1, 2, 3)), species=["Li", "P"])
    with pytest.raises(AnalysisError, match="no atom is a ligand"):
        anion_neighbourhood_groups(bare, np.arange(1), reach_angstrom=3.0)
