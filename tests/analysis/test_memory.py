from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from toy_trajectories import brownian, lattice_hops, make_trajectory, reversing_hops

from analysis.motion.memory import AveragedSlope, averaged_slope
from analysis.motion.msd import MeanSquaredDisplacement, mean_squared_displacement
from analysis.motion.window import diffusive_window, fit_slope


def msd_of(positions, **keywords):
    trajectory = make_trajectory(positions)
    still = np.zeros((trajectory.n_frames, 3))
    ids = np.arange(trajectory.n_atoms)
    return mean_squared_displacement(trajectory, ids, label="Li", drift_path=still, **keywords)


def slope_of(positions):
    msd = msd_of(positions)
    fit, objection = diffusive_window(msd)
    assert not objection
    return averaged_slope(msd, fit)


def smooth_msd(rng, curve, n_atoms=64, interval_ps=1.0, noise=0.1):
    """MSD of a known form; each atom has the same one times a random factor of mean 1."""
    lags = np.unique(np.round(np.geomspace(1, 500, 34)).astype(int))
    times = np.arange(1001) * interval_ps
    factors = 1.0 + noise * rng.normal(size=(n_atoms, 1))
    atoms = factors / factors.mean() * curve(times[lags])
    return MeanSquaredDisplacement(
        label="Li",
        times_ps=times,
        msd=curve(times),
        msd_axes=np.repeat(curve(times)[:, None] / 3, 3, axis=1),
        n_origins=1001 - np.arange(1001),
        n_atoms=n_atoms,
        sample_lags=lags,
        atom_msd=atoms,
        variance=2 / 3 * curve(times[lags]) ** 2,
        n_independent=n_atoms * (1000 // lags),
        correlation=np.ones(len(lags)),
        motion_convention="none",
    )


def single(slope=2.0, error=0.1, degrees=63.0):
    return AveragedSlope(
        1.0, 10.0, np.array([slope]), np.array([error]), np.ones(1), np.zeros(1, int), degrees
    )


def test_the_interval_of_one_fit_is_that_of_student_in_the_logarithm():
    low, high = single().interval(0.95)
    reach = np.exp(stats.t.ppf(0.975, 63) * 0.1 / 2.0)
    assert low == pytest.approx(2.0 / reach, rel=1e-6)
    assert high == pytest.approx(2.0 * reach, rel=1e-6)
    assert single().pooled == pytest.approx(2.0, rel=1e-6)


def test_quantiles_of_a_mixture_weigh_its_fits():
    mixed = AveragedSlope(
        1.0,
        10.0,
        np.array([1.0, 4.0]),
        np.array([0.001, 0.004]),
        np.array([0.9, 0.1]),
        np.array([0, 1]),
        1e6,
    )
    assert mixed.interval(0.5)[1] == pytest.approx(1.0, rel=0.01)
    # Nine tenths are below: 95 % is the middle of the other fit, its median.
    assert mixed.interval(0.9)[1] == pytest.approx(4.0, rel=1e-3)
    assert mixed.share_with_memory == pytest.approx(0.1)
    assert mixed.share_flat == 0.0


def test_pooling_weighs_fits_by_probability_and_relative_precision():
    mixed = AveragedSlope(
        1.0,
        10.0,
        np.array([1.0, np.e, 1.0]),
        np.array([0.1, 0.2 * np.e, 0.1]),
        np.array([0.2, 0.4, 0.2]),
        np.array([0, 1, 0]),
        63.0,
    )
    # ln s of 0, 1 and 0 with the weights 0.2 / 0.1^2, 0.4 / 0.2^2 and 0.2 / 0.1^2.
    assert mixed.pooled == pytest.approx(np.exp(10 / 50))


@pytest.mark.parametrize("interval_ps", [1.0, 0.05])
def test_a_decaying_memory_leaves_the_slope_at_long_times(rng, interval_ps):
    # Slope and relaxation as they are per frame, so that the shape is the same at any interval.
    rise, relaxation = 0.3 / interval_ps, 20.0 * interval_ps

    def curve(t):
        return rise * t + 6.0 * (1.0 - np.exp(-t / relaxation))

    msd = smooth_msd(rng, curve, interval_ps=interval_ps)
    window = fit_slope(msd, np.flatnonzero((msd.sample_lags >= 30) & (msd.sample_lags <= 500)))
    found = averaged_slope(msd, window)
    assert window.interval(0.95)[0] > rise
    low, high = found.interval(0.95)
    assert low < rise < high < 1.1 * rise
    assert found.pooled == pytest.approx(rise, rel=0.05)
    assert found.share_with_memory > 0.9


def test_a_straight_msd_keeps_its_slope_and_the_spread_between_ions_as_error(rng):
    msd = smooth_msd(rng, lambda t: 0.3 * t + 1.0, noise=0.2)
    window = fit_slope(msd, np.flatnonzero((msd.sample_lags >= 30) & (msd.sample_lags <= 500)))
    found = averaged_slope(msd, window)
    np.testing.assert_allclose(found.slopes, 0.3, rtol=1e-6)
    # All fits are perfect, so that each relaxation costs its parameter, exp(-1).
    cost = np.exp(-1.0) + np.exp(-2.0)
    assert found.share_with_memory == pytest.approx(cost / (1.0 + cost), rel=1e-3)
    # Every ion has the curve times a factor: the relative error is that of the mean factor.
    spread = msd.atom_msd[:, 0].std(ddof=1) / msd.atom_msd[:, 0].mean() / np.sqrt(64)
    np.testing.assert_allclose(found.errors / found.slopes, spread, rtol=1e-6)
    assert found.degrees_of_freedom == 63.0


def test_ions_that_move_together_enlarge_the_error(rng):
    alone = slope_of(lattice_hops(np.random.default_rng(5), 64, 500, 0.05))
    grouped = slope_of(lattice_hops(np.random.default_rng(5), 64, 500, 0.05, group=4))
    assert grouped.degrees_of_freedom < 0.5 * alone.degrees_of_freedom
    ratio = np.median(grouped.errors / grouped.slopes) / np.median(alone.errors / alone.slopes)
    assert 1.4 < ratio < 2.9  # 2 for groups of four


def test_reversing_hops_are_corrected_for_most_of_their_memory(rng):
    D = 9.0 * 0.02 / 6 * 0.7 / 1.3
    lines, averages = [], []
    for _ in range(10):
        msd = msd_of(reversing_hops(rng, 200, 500, 0.02, 0.3))
        window, _ = diffusive_window(msd)
        lines.append(window.slope / (6 * D) - 1)
        averages.append(averaged_slope(msd, window).pooled / (6 * D) - 1)
    assert np.mean(lines) > 0.05
    # Relaxations up to 0.4 of the longest lag count alike, which leaves -0.04.
    assert -0.12 < np.mean(averages) < 0.02


@pytest.mark.parametrize("n_atoms", [2, 5])
def test_few_ions_still_give_a_finite_interval(rng, n_atoms):
    msd = msd_of(brownian(rng, n_atoms, 500, 0.2))
    window = fit_slope(msd, np.flatnonzero((msd.sample_lags >= 20) & (msd.sample_lags <= 249)))
    low, high = averaged_slope(msd, window).interval(0.95)
    assert 0 < low < high < np.inf
