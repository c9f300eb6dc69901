"""Bonds against another neighbour list; bonds that last against scripted sequences."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.anions.bonds import Bonds, find_bonds, lasting_bonds
from analysis.anions.persistence import bonds_around, persistence_window
from analysis.errors import AnalysisError, RangeError

CUTOFFS = np.array([[2.6, 2.2], [2.2, 0.0]])
LEFT_HANDED = np.array([[3.0, 0, 0], [0, 0, 4.0], [0, 5.0, 0]])


@pytest.mark.parametrize(
    "cell",
    [
        np.eye(3) * 1.5,
        np.diag([1.0, 1.31, 30.0]),
        LEFT_HANDED,
        np.array([[3.0, 0, 0], [7, 3, 0], [-4, 9, 3.0]]),
        TRICLINIC,
    ],
    ids=["smaller than a bond", "needle", "left-handed", "skewed", "triclinic"],
)
def test_bonds_are_those_of_another_neighbour_list(cell, rng):
    number = max(6, int(0.06 * abs(np.linalg.det(cell))))
    kinds = rng.integers(0, 2, number)
    positions = rng.uniform(-2, 3, (number, 3)) @ cell
    found = find_bonds(kinds, positions, cell, CUTOFFS)
    atoms = Atoms(["P" if k == 0 else "S" for k in kinds], positions, cell=cell, pbc=True)
    i, j, shift, d = neighbor_list("ijSd", atoms, {("P", "P"): 2.6, ("P", "S"): 2.2})
    expected = {(a, b, *s): r for a, b, s, r in zip(i, j, shift.tolist(), d, strict=True)}
    ours = {}
    for a, b, s, r in zip(found.i, found.j, found.shift, found.length_angstrom, strict=True):
        ours[(a, b, *s.tolist())] = r
        ours[(b, a, *(-s).tolist())] = r
    assert len(found.i) > 2
    assert len(ours) == 2 * len(found.i), "a bond is there twice"
    assert ours == pytest.approx(expected, rel=1e-10)
    assert (found.i <= found.j).all()


def test_the_shift_of_a_bond_stays_when_both_atoms_leave_the_cell(rng):
    kinds = np.array([0, 1])
    pair = np.array([[0.1, 0.2, 10.9], [0.3, 0.1, 12.9]])
    for way in rng.uniform(-40, 40, (20, 3)):
        found = find_bonds(kinds, pair + way, TRICLINIC, CUTOFFS)
        assert found.shift.tolist() == [[0, 0, 0]]


def test_impossible_frames_are_refused():
    with pytest.raises(AnalysisError, match="no volume"):
        find_bonds(np.zeros(1, int), np.zeros((1, 3)), np.zeros((3, 3)), CUTOFFS)
    with pytest.raises(AnalysisError, match="not a finite number"):
        find_bonds(np.zeros(1, int), np.full((1, 3), np.inf), np.eye(3), CUTOFFS)


def test_bonds_to_different_images_are_different_bonds():
    def bonds(shift):
        return Bonds(np.array([0]), np.array([1]), np.array([shift]), np.array([2.0]))

    one, other = bonds([0, 0, 0]), bonds([-1, 0, 0])
    both = lasting_bonds([one, other, one], 2, 1)
    assert sorted(both.shift[:, 0].tolist()) == [-1, 0]
    assert lasting_bonds([one, other, one], 2, 2).shift.tolist() == [[0, 0, 0]]
    assert len(lasting_bonds([one, other, one], 2, 3).i) == 0


@pytest.mark.parametrize(
    ("interval_ps", "half", "spacing"),
    [(0.5, 1, 1), (0.1, 5, 1), (0.2, 3, 1), (0.001, 5, 100), (0.0025, 5, 40), (0.03, 6, 3)],
)
def test_the_window_spans_the_time_on_both_sides(interval_ps, half, spacing):
    still = make_trajectory(np.zeros((2000, 1, 3)), species="P", frame_interval_ps=interval_ps)
    window = persistence_window(still, 0.5)
    assert (window.half, window.spacing, window.at_least) == (half, spacing, half + 1)
    assert half * spacing * interval_ps >= 0.5 - 1e-9


def test_frames_too_far_apart_or_too_few_are_taken_singly_and_say_so():
    def note(n_frames, interval_ps, **options):
        still = make_trajectory(
            np.zeros((n_frames, 1, 3)), species="P", frame_interval_ps=interval_ps
        )
        window = persistence_window(still, options.pop("persistence_ps", 0.5), **options)
        assert (window.reach, window.at_least, window.persistence_ps) == (0, 1, 0.0)
        return window.note

    assert "1 ps apart, more than the 0.5 ps" in note(100, 1.0)
    assert "0.9 ps are too short" in note(10, 0.1)
    assert note(100, 0.1, minimised=True) == "energy-minimised frames"
    assert note(100, 0.1, persistence_ps=0) == "single frames, as asked"
    with pytest.raises(RangeError, match="cannot be asked to last -1 ps"):
        note(100, 0.1, persistence_ps=-1)


@pytest.mark.parametrize(("length", "counts"), [(1, False), (5, False), (6, True), (9, True)])
@pytest.mark.parametrize("made", [True, False], ids=["made", "open"])
def test_a_bond_keeps_its_state_if_it_has_it_long_enough(length, counts, made):
    # 0.1 ps apart: six frames span 0.5 ps.
    state = np.full(40, not made)
    state[17 : 17 + length] = made
    positions = np.zeros((40, 2, 3))
    positions[:, 1, 0] = np.where(state, 2.0, 3.0)
    trajectory = make_trajectory(positions, species=["P", "S"], cell=20.0, frame_interval_ps=0.1)
    window = persistence_window(trajectory, 0.5)
    centres = range(window.reach, 40 - window.reach)
    ids, kinds = np.arange(2), np.array([0, 1])
    found = [
        len(lasting_bonds(samples, 2, window.at_least).i) == 1
        for samples in bonds_around(trajectory, ids, kinds, CUTOFFS, window, centres)
    ]
    expected = state[5:35] if counts else np.full(30, not made)
    assert found == expected.tolist()
