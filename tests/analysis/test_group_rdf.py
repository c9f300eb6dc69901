"""g(r) around groups of atoms that may change from frame to frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase.build import bulk
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.errors import AnalysisError
from analysis.groups import NO_GROUP, Groups, intersection, species_groups, static_groups
from analysis.pairs.group_rdf import group_distributions
from analysis.pairs.rdf import pair_distributions


def gas(rng, n_frames=40, species=("Li",) * 12 + ("S",) * 18):
    positions = rng.random((n_frames, len(species), 3)) @ TRICLINIC
    return make_trajectory(positions, cell=TRICLINIC, species=species)


def test_groups_by_species_give_the_plain_distributions(rng):
    trajectory = gas(rng)
    found = {
        (d.group, d.species): d for d in group_distributions(trajectory, species_groups(trajectory))
    }
    for pair in pair_distributions(trajectory):
        for one, other, cn in ((pair.i, pair.j, pair.cn_ij), (pair.j, pair.i, pair.cn_ji)):
            same = found[one, other]
            assert np.abs(same.g - pair.g).max() < 1e-12
            assert np.abs(same.g_blocks - pair.g_blocks).max() < 1e-12
            assert np.abs(same.cn - cn).max() < 1e-12


def test_groups_that_divide_the_atoms_add_up_to_the_whole(rng):
    trajectory = gas(rng)

    def codes(frame):
        fractional = frame.positions @ np.linalg.inv(frame.cell)
        return (fractional[:, 1] % 1 > 0.3).astype(np.int64)

    halves = group_distributions(trajectory, Groups(("low", "high"), codes))
    whole = group_distributions(trajectory, static_groups(np.array(["all"] * trajectory.n_atoms)))
    for total in whole:
        parts = [d for d in halves if d.species == total.species]
        assert sum(d.mean_atoms for d in parts) == pytest.approx(trajectory.n_atoms)
        counted = sum(d.cn * d.mean_atoms for d in parts)
        assert np.abs(counted - total.cn * total.mean_atoms).max() < 1e-10
    sizes = [d.mean_atoms for d in halves if d.species == "Li"]
    assert sizes[0] < 0.6 * sizes[1]


def test_an_ideal_gas_gives_1_around_a_small_group_too(rng):
    trajectory = gas(rng, n_frames=800)
    few = static_groups(np.array(["few"] * 3 + [""] * 27))
    for found in group_distributions(trajectory, few, stride=1):
        possible = {"Li": 3 * 11, "S": 3 * 18}[found.species]
        sphere = 4 / 3 * math.pi * found.edges_angstrom[-1] ** 3
        expected = 800 * possible * sphere / np.linalg.det(TRICLINIC)
        shells = np.diff(found.edges_angstrom**3)
        mean = (found.g * shells).sum() / shells.sum()
        # Central atoms share neighbours' positions, but in a gas pairs are independent.
        assert abs(mean - 1) < 4 / math.sqrt(expected)


def test_fcc_shells_are_counted_around_one_atom():
    atoms = bulk("Al", "fcc", a=4.0, cubic=True).repeat(3)
    trajectory = make_trajectory(
        atoms.positions[None], cell=np.array(atoms.cell), species=["Al"] * len(atoms)
    )
    one = np.array(["one"] + [""] * (len(atoms) - 1))
    (found,) = group_distributions(trajectory, static_groups(one))
    for shell, number in ((4 / math.sqrt(2), 12), (4.0, 18), (4 * math.sqrt(1.5), 42)):
        after = np.searchsorted(found.edges_angstrom, shell + 0.05)
        assert found.cn[after] == pytest.approx(number)
    assert found.mean_atoms == 1


def test_an_empty_group_has_no_distribution_rather_than_zero(rng):
    trajectory = gas(rng, n_frames=5)
    codes = np.full(trajectory.n_atoms, NO_GROUP)
    for found in group_distributions(trajectory, Groups(("nobody",), lambda frame: codes)):
        assert np.isnan(found.g).all()
        assert np.isnan(found.cn).all()
        assert found.mean_atoms == 0


def test_intersections_name_both_groups_and_drop_atoms_outside_either(rng):
    trajectory = gas(rng, n_frames=1)
    where = static_groups(np.array(["glass"] * 6 + [""] * 4 + ["crystal"] * 20))
    both = intersection(species_groups(trajectory), where)
    (frame,) = trajectory.frames()
    codes = both.codes(frame)
    labels = [both.names[code] if code >= 0 else "" for code in codes]
    assert labels == ["Li glass"] * 6 + [""] * 4 + ["Li crystal"] * 2 + ["S crystal"] * 18
    with pytest.raises(AnalysisError, match="one side has none"):
        intersection(both, Groups((), lambda frame: codes))
