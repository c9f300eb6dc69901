from __future__ import annotations

import numpy as np
import pytest
from toy_trajectories import make_trajectory

from analysis.errors import RangeError
from analysis.groups import Groups, static_groups
from analysis.motion.membership import Membership, counted, membership_of, window_membership

VISITS = np.array([1, 1, 0, 1, 1, 1, 0], dtype=bool)[:, None]


@pytest.mark.parametrize(
    ("rule", "lag", "expected"),
    [
        ("origin", 0, [1, 1, 0, 1, 1, 1, 0]),
        ("origin", 2, [1, 1, 0, 1, 1]),
        ("origin_and_end", 2, [0, 1, 0, 1, 0]),
        ("origin_and_end", 3, [1, 1, 0, 0]),
        ("throughout", 0, [1, 1, 0, 1, 1, 1, 0]),
        ("throughout", 1, [1, 0, 0, 1, 1, 0]),
        ("throughout", 2, [0, 0, 0, 1, 0]),
        ("throughout", 3, [0, 0, 0, 0]),
    ],
)
def test_displacements_are_counted_by_rule(rule, lag, expected):
    found = counted(VISITS, lag, rule)
    np.testing.assert_array_equal(found[:, 0], np.array(expected, dtype=bool))


def test_throughout_is_within_origin_and_end_is_within_origin(rng):
    inside = rng.random((50, 7)) < 0.8
    for lag in (0, 1, 5, 20):
        origin, both, all_times = (
            counted(inside, lag, rule) for rule in ("origin", "origin_and_end", "throughout")
        )
        assert (both <= origin).all()
        assert (all_times <= both).all()


def test_lags_and_rules_that_do_not_exist_are_refused():
    with pytest.raises(RangeError, match="lag 7 in 7 frames"):
        counted(VISITS, 7, "origin")
    with pytest.raises(RangeError, match="expected one of origin"):
        counted(VISITS, 1, "always")


def test_groups_are_asked_for_the_frame_and_the_ions_wanted(rng):
    trajectory = make_trajectory(rng.random((4, 5, 3)) * 10)
    groups = Groups(("low", "high"), lambda frame: (frame.positions[:, 0] > 5).astype(np.int64))
    ids = np.array([3, 0])
    member = membership_of(trajectory, ids, groups)
    expected = np.array([frame.positions[ids, 0] > 5 for frame in trajectory.frames()])
    np.testing.assert_array_equal(member.codes, expected)
    np.testing.assert_array_equal(member.inside(1, slice(1, 2)), expected[:, 1:])


def test_static_groups_stay_and_atoms_in_none_are_in_none():
    trajectory = make_trajectory(np.zeros((3, 3, 3)))
    member = membership_of(trajectory, np.arange(3), static_groups(np.array(["b", "", "a"])))
    assert member.names == ("a", "b")
    np.testing.assert_array_equal(member.codes, np.tile([1, -1, 0], (3, 1)))


def test_windows_of_time_share_no_frame():
    trajectory = make_trajectory(np.zeros((11, 2, 3)), frame_interval_ps=0.1)
    member = window_membership(trajectory, np.arange(2), np.array([[0.0, 0.3], [0.3, 0.6]]))
    np.testing.assert_array_equal(member.codes[:, 0], [0, 0, 0, 0, 1, 1, 1, -1, -1, -1, -1])
    assert member.names == ("0 to 0.3 ps", "0.3 to 0.6 ps")
    with pytest.raises(RangeError, match="no frame between 2 and 3 ps"):
        window_membership(trajectory, np.arange(2), np.array([[2.0, 3.0]]))


def test_codes_must_fit_the_ions():
    with pytest.raises(RangeError, match="one column an ion"):
        Membership(("a",), np.arange(3), np.zeros((5, 2), dtype=np.int8))
