"""MSD of the ions of a group: exact sums, errors of the ratio, coverage of D by region."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_trajectories import brownian, lattice_hops, make_trajectory

from analysis.errors import RangeError
from analysis.motion.membership import Membership, counted
from analysis.motion.msd import mean_squared_displacement
from analysis.regional.group_msd import group_mean_squared_displacement
from analysis.regional.visits import counted_squared_displacements, displacements_within, visits_of

RULES = ("origin", "origin_and_end", "throughout")


def flickering(rng, n_frames, n_ions, leave=0.1, enter=0.3):
    """Two-state membership with long stays."""
    inside = np.zeros((n_frames, n_ions), dtype=bool)
    inside[0] = rng.random(n_ions) < 0.7
    for t in range(1, n_frames):
        change = rng.random(n_ions) < np.where(inside[t - 1], leave, enter)
        inside[t] = inside[t - 1] ^ change
    return inside


def member(inside):
    codes = np.where(inside, 0, 1).astype(np.int8)
    return Membership(("in", "out"), np.arange(inside.shape[1]), codes)


@pytest.mark.parametrize("rule", RULES)
def test_sums_are_those_of_a_double_loop(rng, rule):
    n_frames, n_ions = 37, 6
    positions = 30.0 + brownian(rng, n_ions, n_frames, D=2.0)
    inside = flickering(rng, n_frames, n_ions)
    inside[:, 0] = True
    inside[:, 1] = False
    axes, atoms, counts = counted_squared_displacements(
        positions.transpose(1, 2, 0), inside.T, rule
    )
    for lag in range(n_frames):
        number, squares = np.zeros(n_ions), np.zeros((n_ions, 3))
        for start in range(n_frames - lag):
            for ion in range(n_ions):
                held = {
                    "origin": inside[start, ion],
                    "origin_and_end": inside[start, ion] and inside[start + lag, ion],
                    "throughout": inside[start : start + lag + 1, ion].all(),
                }[rule]
                if held:
                    number[ion] += 1
                    squares[ion] += (positions[start + lag, ion] - positions[start, ion]) ** 2
        np.testing.assert_array_equal(counts[:, lag], number)
        np.testing.assert_allclose(atoms[:, lag], squares.sum(axis=1), rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(axes[:, lag], squares.sum(axis=0), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_msd_of_a_group_is_the_mean_over_its_displacements(rng, rule):
    n_frames, n_ions = 60, 150
    positions = brownian(rng, n_ions, n_frames)
    inside = flickering(rng, n_frames, n_ions)
    trajectory = make_trajectory(positions)
    msd = group_mean_squared_displacement(
        trajectory, member(inside), 0, label="Li_in", rule=rule, max_bytes=70 * n_frames * 24
    )
    relative = positions - positions.mean(axis=1, keepdims=True)
    for lag in (1, 2, 5, 20):
        squared = ((relative[lag:] - relative[:-lag]) ** 2).sum(axis=2)
        expected = squared[counted(inside, lag, rule)].mean()
        assert msd.msd[lag] == pytest.approx(expected, rel=1e-10)
    for k in (2, 5):
        lag = int(msd.sample_lags[k])
        squared = ((relative[lag:] - relative[:-lag]) ** 2).sum(axis=2)[::lag]
        chosen = squared[counted(inside, lag, rule)[::lag]]
        assert msd.variance[k] == pytest.approx(chosen.var(), rel=1e-9)
    kept = msd.msd[msd.sample_lags]
    np.testing.assert_allclose(msd.atom_msd.mean(axis=0), kept, rtol=1e-10)
    np.testing.assert_allclose(msd.msd_axes.sum(axis=1)[1:20], msd.msd[1:20], rtol=1e-12)
    assert msd.n_atoms == len(msd.atom_msd) == round(inside.mean() * n_ions)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("directions", [None, np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])])
def test_ions_always_in_the_group_give_the_plain_msd(rng, rule, directions):
    trajectory = make_trajectory(5.0 + brownian(rng, 70, 80))
    inside = np.ones((80, 70), dtype=bool)
    plain = mean_squared_displacement(trajectory, np.arange(70), label="Li", directions=directions)
    found = group_mean_squared_displacement(
        trajectory, member(inside), 0, label="Li", rule=rule, directions=directions
    )
    for field in dataclasses.fields(plain):
        expected, value = getattr(plain, field.name), getattr(found, field.name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-11, err_msg=field.name)
        else:
            assert value == expected, field.name


def test_displacements_within_visits_are_counted_from_their_lengths(rng):
    inside = flickering(rng, 50, 20)
    found = displacements_within(visits_of(inside.T), 50)
    expected = [counted(inside, lag, "throughout").sum() for lag in range(50)]
    np.testing.assert_array_equal(found, expected)


def test_an_empty_group_and_groups_of_another_run_are_refused(rng):
    trajectory = make_trajectory(brownian(rng, 4, 20))
    with pytest.raises(RangeError, match="no displacement of Li_out counts by the rule"):
        group_mean_squared_displacement(
            trajectory, member(np.ones((20, 4), dtype=bool)), 1, label="Li_out"
        )
    with pytest.raises(RangeError, match="19 frames of 20"):
        group_mean_squared_displacement(
            trajectory, member(np.ones((19, 4), dtype=bool)), 0, label="Li_in"
        )


@pytest.mark.parametrize("together", [1, 4])
def test_ions_that_move_together_are_seen_to_do_so(rng, together):
    # Membership of a group of ions is one as well; it varies as the motion does not.
    positions = lattice_hops(rng, 80, 800, 0.05, group=together)
    inside = np.repeat(flickering(rng, 800, 80 // together, 0.05, 0.05), together, axis=1)
    msd = group_mean_squared_displacement(
        make_trajectory(positions), member(inside), 0, label="x", drift_path=np.zeros((800, 3))
    )
    early = msd.sample_lags <= 12
    assert early.sum() >= 6
    # Between 66 and 799 intervals: the error of the mean is a few percent.
    assert msd.correlation[early].mean() == pytest.approx(together, rel=0.2)


def test_the_error_of_the_msd_is_its_scatter_between_runs(rng):
    # Ions that come and go in two populations: mean and count are correlated.
    values, errors = [], []
    for _ in range(200):
        fast = rng.random(60) < 0.5
        positions = brownian(rng, 60, 40, D=0.05) * np.where(fast, 2.0, 1.0)[:, None]
        rates = np.where(fast, 0.05, 0.02), np.where(fast, 0.01, 0.03)
        inside = flickering(rng, 40, 60, *rates)
        msd = group_mean_squared_displacement(
            make_trajectory(positions), member(inside), 0, label="x", drift_path=np.zeros((40, 3))
        )
        k = int(np.searchsorted(msd.sample_lags, 10))
        values.append(msd.msd[msd.sample_lags[k]])
        errors.append(msd.atom_msd[:, k].std(ddof=1) / np.sqrt(msd.n_atoms))
    # The standard deviation of 200 values is known to 5 %.
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values, ddof=1), rel=0.2)
