"""Exchange of ions between groups: survivors, crossings, residence and rare long displacements."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from toy_trajectories import brownian, make_trajectory

from analysis.errors import RangeError
from analysis.motion.membership import Membership, counted
from analysis.regional.exchange import exchange, poisson_interval, survivors
from analysis.regional.exchange_findings import exchange_quantities
from analysis.regional.mobile_share import mobile_shares


def member(codes, names=("crystal", "interface", "glass")):
    codes = np.asarray(codes, dtype=np.int8)
    return Membership(names, np.arange(codes.shape[1]), codes)


def markov(rng, n_frames, n_ions, rates, interval_ps):
    """Continuous-time exchange between groups, stored at every frame; rates in 1/ps."""
    rates = np.asarray(rates, dtype=float)
    leaving = rates.sum(axis=1)
    codes = np.empty((n_frames, n_ions), dtype=np.int8)
    times = np.arange(n_frames) * interval_ps
    for ion in range(n_ions):
        now, group = 0.0, rng.integers(len(rates))
        while now <= times[-1]:
            stay = rng.exponential(1.0 / leaving[group])
            codes[(times >= now) & (times < now + stay), ion] = group
            now += stay
            group = rng.choice(len(rates), p=rates[group] / leaving[group])
    return codes


def test_survivors_are_the_displacements_that_each_rule_counts(rng):
    codes = np.repeat(rng.integers(-1, 3, (12, 300)), 5, axis=0)
    for group in range(3):
        found = survivors(member(codes), group, 0.5)
        for lag in (0, 1, 7, 59):
            for rule in ("origin", "origin_and_end", "throughout"):
                expected = counted(codes == group, lag, rule).sum()
                assert getattr(found, rule)[lag] == expected
        np.testing.assert_allclose(found.times_ps[[1, 59]], [0.5, 29.5])
        assert found.share_at_end[0] == found.share_throughout[0] == 1.0
        assert found.share_throughout[7] == pytest.approx(found.throughout[7] / found.origin[7])


def test_groups_sum_to_the_whole_at_time_zero(rng):
    codes = rng.integers(0, 3, (40, 25))
    found = [survivors(member(codes), group, 1.0) for group in range(3)]
    assert sum(item.origin[0] for item in found) == 40 * 25
    for lag in (1, 10):
        # Displacements from anywhere are those of the whole cell, at any lag.
        assert sum(item.origin[lag] for item in found) == (40 - lag) * 25


@pytest.mark.parametrize(
    ("path", "crossings"),
    [
        ("0000222222", [(0, 2)]),
        ("0000200000", []),  # over the plane and back within 1 ps
        ("0000220000", [(0, 2), (2, 0)]),
        ("0000122222", [(0, 2)]),  # through the interface in less than a stay
        ("0000112222", [(0, 1), (1, 2)]),
        ("2000000000", []),  # a brief stay at the start belongs to the next
        ("0000000002", []),
        ("0102010201", []),  # no stay at all
        ("00000---22", [(0, -1), (-1, 2)]),
    ],
)
def test_brief_excursions_are_no_exchange(path, crossings):
    codes = [[-1 if letter == "-" else int(letter)] for letter in path]
    found = exchange(member(codes), 0.5)  # 1 ps is two frames
    expected = np.zeros((3, 3))
    departures = np.zeros(3)
    for start, end in crossings:
        if start >= 0:
            departures[start] += 1
            if end >= 0:
                expected[start, end] += 1
    np.testing.assert_array_equal(found.crossings, expected)
    np.testing.assert_array_equal(found.departures, departures)


def test_time_in_a_group_includes_excursions_and_sums_to_the_run(rng):
    found = exchange(member([[0], [0], [1], [0], [0], [2], [2], [2]]), 0.5)
    np.testing.assert_allclose(found.time_ps, [2.5, 0.0, 1.0])
    codes = np.repeat(rng.integers(0, 3, (20, 300)), 4, axis=0)
    assert exchange(member(codes), 0.5).time_ps.sum() == pytest.approx(79 * 0.5 * 300)


def test_rates_and_residence_times_of_a_markov_process_are_recovered(rng):
    rates = np.array([[0.0, 0.004, 0.002], [0.01, 0.0, 0.02], [0.003, 0.006, 0.0]])
    covered = total = 0
    for _ in range(40):
        codes = markov(rng, 500, 20, rates, 0.5)
        found = exchange(member(codes), 0.5, min_stay_ps=0.0)
        for start in range(3):
            _, low, high = found.residence_ps(start)
            covered += low <= 1.0 / rates[start].sum() <= high
            total += 1
            for end in range(3):
                if start != end:
                    _, low, high = found.rate(start, end)
                    covered += low <= rates[start, end] <= high
                    total += 1
    assert covered >= stats.binom.ppf(0.001, total, 0.95)
    assert covered <= stats.binom.ppf(0.9999, total, 0.98)


def test_poisson_limits_are_those_of_tables():
    assert poisson_interval(0) == (0.0, pytest.approx(-math.log(0.05)))
    assert poisson_interval(10) == (pytest.approx(4.795, abs=1e-3), pytest.approx(18.39, abs=5e-3))


def test_no_crossing_is_unresolved_with_bounds_and_an_absent_group_has_no_rate():
    codes = np.zeros((101, 30), dtype=np.int8)
    codes[:, 10:] = 2
    found = {q.name: q for q in exchange_quantities(member(codes), [0, 2], "Li", 0.5)}
    rate = found["exchange_rate_Li_crystal_to_glass"]
    assert rate.status == "unresolved"
    assert rate.high == pytest.approx(-math.log(0.05) / (50.0 * 10))
    stay = found["stay_time_Li_glass"]
    assert stay.status == "unresolved"
    assert (stay.low, stay.high) == (pytest.approx(50.0 * 20 / -math.log(0.05)), math.inf)
    with pytest.raises(RangeError, match="no ion was in interface"):
        exchange(member(codes), 0.5).rate(1, 0)


def test_the_mobile_share_of_brownian_ions_is_that_of_their_distribution(rng):
    D, interval = np.repeat([0.1, 0.3], 200), 2.0
    positions = brownian(rng, 400, 120, D=1.0, interval_ps=interval) * np.sqrt(D)[:, None]
    codes = np.tile(np.repeat([0, 2], 200), (120, 1))
    trajectory = make_trajectory(positions, frame_interval_ps=interval)
    found = mobile_shares(
        trajectory, member(codes), label="Li", drift_path=np.zeros((120, 3)), max_bytes=400_000
    )
    assert [q.name for q in found] == [
        f"mobile_share_Li_{name}" for name in ("crystal", "interface", "glass")
    ]
    for item, d in ((found[0], 0.1), (found[2], 0.3)):
        # |dr|^2 / (2 D t) is chi squared with 3 degrees of freedom.
        expected = stats.chi2.sf(16.0 / (2 * d * 10.0), 3)
        standard_error = (item.high - item.low) / 2 / 1.97
        assert abs(item.value - expected) < 4 * standard_error
        assert standard_error < 0.15 * expected
    assert found[1].status == "unresolved"
    still = mobile_shares(
        make_trajectory(np.zeros((120, 400, 3)), frame_interval_ps=interval),
        member(codes),
        label="Li",
        drift_path=np.zeros((120, 3)),
    )[0]
    assert still.status == "unresolved"
    assert still.high == pytest.approx(-math.log(0.05) / (200 * 115 / 5))
