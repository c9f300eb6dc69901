"""Hops near rotating units: planted coincidences are found, independent ones are not."""

import numpy as np
import pytest
from test_rotations import CORNERS, SPACING, about, libration, tetrahedra

from analysis.errors import RangeError
from analysis.hops.all_hops import all_hops
from analysis.hops.coincidence import count_coincidences, hop_rotation_coincidence, near_units
from analysis.hops.rotating_units import rotating_units
from analysis.hops.rotation_findings import rotation_findings
from analysis.hops.rotations import rotations

N_STEPS = 400


def count(hops, turns, **options):
    """Count with hops and rotations as (N_STEPS, U) tables of numbers of events."""
    (hop_steps, hop_units), (steps, units) = (np.nonzero(table) for table in (hops, turns))
    return count_coincidences(
        hop_units,
        hop_steps,
        units,
        steps,
        n_steps=N_STEPS,
        interval_ps=1.0,
        radius_angstrom=6.0,
        **({"window": 2, "n_shuffles": 500} | options),
    )


def events(rng, n_units, probability):
    table = rng.random((N_STEPS, n_units)) < probability
    table[0] = False
    return table


def test_the_expectation_is_rate_times_window(rng):
    hops, turns = events(rng, 40, 0.05), events(rng, 40, 0.02)
    found = count(hops, turns)
    assert found.n_rotations == turns.sum()
    # Windows of 5 intervals, cut at the ends of the run by 6 in 399 x 5.
    truth = (hops.sum(axis=0) * turns.sum(axis=0)).sum() * (5 - 6 / 399) / 399
    assert found.expected == pytest.approx(truth, rel=0.02)
    direct = sum(
        int(hops[max(step - 2, 0) : step + 3, unit].sum())
        for step, unit in zip(*np.nonzero(turns), strict=True)
    )
    assert found.observed == direct
    assert found.ratio == found.observed / found.expected
    assert found.window_ps == 2.0


def test_planted_coincidences_are_found_with_their_ratio(rng):
    hops, turns = events(rng, 40, 0.05), events(rng, 40, 0.02)
    triggered = turns & (rng.random(turns.shape) < 0.5)
    hops[2:] |= triggered[:-2]
    found = count(hops, turns)
    assert found.p_value == 1 / 501
    # Every second rotation adds one hop to those that come by chance.
    truth = 1 + 0.5 * turns.sum() / found.expected
    assert found.low < truth < found.high
    assert found.low > 1.5
    assert count(hops, turns, window=1).ratio < 1.5


def test_avoidance_is_a_ratio_below_1_without_significance(rng):
    hops, turns = events(rng, 60, 0.1), events(rng, 60, 0.02)
    near = np.zeros_like(hops)
    for shift in range(-2, 3):
        near |= np.roll(turns, shift, axis=0)
    hops &= ~near | (rng.random(hops.shape) < 0.3)
    found = count(hops, turns)
    assert found.high < 1.0
    assert found.p_value > 0.5


def test_independent_processes_raise_no_more_false_alarms_than_they_should(rng):
    p_values, covered = [], 0
    for replica in range(200):
        # Units of unequal rates, and hops that come in pairs.
        hops = events(rng, 20, rng.uniform(0.0, 0.05, 20))
        hops[1:] |= hops[:-1] & (rng.random(hops[1:].shape) < 0.5)
        found = count(hops, events(rng, 20, 0.01), n_shuffles=200, seed=replica)
        p_values.append(found.p_value)
        covered += found.low <= 1.0 <= found.high
    p_values = np.array(p_values)
    for level in (0.05, 0.2, 0.5, 0.8):
        allowed = 4 * np.sqrt(level * (1 - level) / 200)
        assert np.mean(p_values <= level) == pytest.approx(level, abs=allowed)
    assert covered >= 0.9 * 200


def scene(rng, *, together, n_frames=300):
    """27 tetrahedra, of which each turns at times; beside each an ion that hops with it or not."""
    n = 27
    turns = rng.random((n_frames, n)) < 0.015
    hops = turns if together else rng.random((n_frames, n)) < 0.015
    turned = libration(rng, n_frames, n, 3.0)
    mobile = np.empty((n_frames, n, 3))
    grid = np.stack(np.unravel_index(np.arange(n), (3, 3, 3)), axis=1) * SPACING
    for unit in range(n):
        now, way = np.eye(3), 0.0
        for t in range(n_frames):
            if t and turns[t, unit]:
                now = now @ about(CORNERS[rng.integers(4)], 120.0)
            if t and hops[t, unit]:
                way = 2.6 - way
            turned[t, unit] = turned[t, unit] @ now
            mobile[t, unit] = grid[unit] - [1.3 - way, 0.0, 3.5]
    # Through the boundary: what lies below zero is stored a cell higher.
    mobile += (mobile[0] < 0) * 3 * SPACING
    return tetrahedra(turned, mobile=mobile)


def test_ions_that_hop_as_tetrahedra_turn_are_told_from_those_that_do_not(rng):
    ratios = {}
    for together in (True, False):
        trajectory = scene(rng, together=together)
        ids = trajectory.ids_of("Li")
        hops = all_hops(trajectory, ids, drift_path=np.zeros((300, 3)))
        found = rotation_findings(trajectory, "Li", hops)
        quantity = next(q for q in found.quantities if q.name == "hop_rotation_coincidence_Li_P")
        assert quantity.status == "ok"
        ratios[together] = quantity
    assert ratios[True].low > 3.0
    assert "p = 0.001" in ratios[True].reason
    assert ratios[False].low < 1.0 < ratios[False].high


def test_nearness_crosses_the_boundary_and_ends_at_the_radius():
    turned = np.tile(np.eye(3), (40, 8, 1, 1))
    mobile = np.tile([[17.5, 0.0, 0.0], [4.0, 4.0, 4.0]], (40, 1, 1))
    mobile[20:, 0] += [0.0, 2.5, 0.0]
    mobile[30:, 1] += [2.5, 0.0, 0.0]
    trajectory = tetrahedra(turned, mobile=mobile)
    ids = trajectory.ids_of("Li")
    hops = all_hops(trajectory, ids, drift_path=np.zeros((40, 3)))
    hop, unit = near_units(trajectory, ids, hops, np.arange(8), 3.0)
    # Unit 0 lies at the origin, the cell is 18 long: 0.5 and 2.5 away in the frame of the hop.
    np.testing.assert_array_equal(hops.ions[hop], [0])
    np.testing.assert_array_equal(unit, [0])
    assert not len(near_units(trajectory, ids, hops, np.arange(8), 2.5)[0])
    with pytest.raises(RangeError, match="at most half"):
        near_units(trajectory, ids, hops, np.arange(8), 9.1)


def test_hops_and_rotations_must_share_their_intervals(rng):
    trajectory = scene(rng, together=False, n_frames=60)
    ids = trajectory.ids_of("Li")
    (units,) = rotating_units(trajectory)
    hops = all_hops(trajectory, ids, averaging_ps=3.0)
    with pytest.raises(RangeError, match="averaging time"):
        hop_rotation_coincidence(trajectory, ids, hops, rotations(trajectory, units))
