"""Self part of the van Hove function and its transform against exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from displacement_walks import D, caged_hops, chosen, require_close
from toy_trajectories import brownian, lattice_hops

from analysis.displacements.displacements import accumulate
from analysis.displacements.non_gaussian import non_gaussian
from analysis.displacements.self_scattering import relaxation_time, self_scattering
from analysis.displacements.van_hove_self import (
    HistogramSums,
    gaussian_density,
    long_times,
    van_hove_self,
)


def test_van_hove_self_of_brownian_motion_is_its_gaussian(rng):
    times = (1.0, 5.0, 40.0)
    found = van_hove_self(chosen(brownian(rng, 400, 400, D), asked_ps=times), times, 0.1)
    assert [item.time_ps for item in found] == list(times)
    for item in found:
        r, t = item.r_angstrom, item.time_ps
        assert np.allclose(r, (np.arange(len(r)) + 0.5) * 0.1)
        exact = 4 * np.pi * r**2 * (4 * np.pi * D * t) ** -1.5 * np.exp(-(r**2) / (4 * D * t))
        seen = item.density > 0.01 * exact.max()
        error = item.standard_error[seen] + 0.003 * exact.max()
        assert (np.abs(item.density - exact)[seen] < 4.5 * error).all()
        assert np.abs(item.gaussian - exact).max() < 0.06 * exact.max()
        assert item.density.sum() * 0.1 == pytest.approx(1.0, abs=1e-12)


def test_van_hove_self_holds_every_displacement_and_their_mean_square(rng):
    positions = lattice_hops(rng, 50, 300, probability=0.3, length=7.0) + rng.random((300, 50, 3))
    displacements = chosen(positions, asked_ps=(120.0,))
    (item,) = van_hove_self(displacements, (120.0,), 0.02)
    exact = non_gaussian(displacements)[0].msd[displacements.nearest((120.0,))[0]]
    assert item.msd == pytest.approx(exact, rel=1e-12)
    second = (item.density * item.r_angstrom**2).sum() * 0.02
    # Within a bin r^2 differs from that of its centre by at most r times the bin.
    assert second == pytest.approx(exact, rel=2e-3)
    assert item.density.sum() * 0.02 == pytest.approx(1.0, abs=1e-12)
    # The bin that holds each displacement is the right one: all of one known length.
    line = np.arange(20)[:, None, None] * np.array([0.37, 0.0, 0.0]) * np.ones((1, 4, 1))
    (item,) = van_hove_self(chosen(line), (1.0,), 0.1)
    assert np.flatnonzero(item.density).tolist() == [3]
    assert item.r_angstrom[3] == pytest.approx(0.35)


def test_errors_of_van_hove_self_are_the_scatter_of_replicas(rng):
    rows, errors = [], []
    for _ in range(30):
        hops = np.repeat(caged_hops(rng, 10, 300), 4, axis=1)
        (item,) = van_hove_self(chosen(hops, asked_ps=(5.0,)), (5.0,), 0.5)
        rows.append(np.pad(item.density, (0, 30))[:7])
        errors.append(np.pad(item.standard_error, (0, 30))[:7])
    ratio = np.mean(errors, axis=0) / np.std(rows, axis=0, ddof=1)
    # Ten independent ions: an error from ions alone would be half of this.
    assert 0.75 < np.median(ratio) < 1.6


def test_blocks_of_time_shorter_than_the_lag_are_joined(rng):
    displacements = chosen(brownian(rng, 1, 100), asked_ps=(45.0,))
    lag = displacements.nearest((45.0,))
    sums = HistogramSums(displacements, lag, 1.0)
    accumulate(displacements, [sums])
    (item,) = van_hove_self(displacements, (45.0,), 1.0)
    # Two lags of 45 ps follow one another in 99 ps; errors are those of two halves.
    half = sums.by_block[0][0, :10].sum(axis=0)
    deviation = half - item.density * half.sum()
    assert np.allclose(item.standard_error, np.abs(deviation) * 2 / displacements.n_origins[lag])


def test_the_gaussian_of_no_motion_is_empty_and_of_any_integrates_to_one():
    edges = np.linspace(0, 40, 401)
    assert gaussian_density(edges, 0.0).sum() == 0
    density = gaussian_density(edges, 6.0)
    assert density.sum() * 0.1 == pytest.approx(1.0)
    assert (density * (edges[1:] - 0.05) ** 2).sum() * 0.1 == pytest.approx(6.0, rel=1e-3)


def test_long_lags_are_those_that_half_the_run_allows():
    assert long_times(2000.0) == (100.0, 300.0, 1000.0)
    assert long_times(700.0) == (100.0, 300.0)
    assert long_times(60.0) == (30.0,)
    assert long_times(15.0) == ()


def test_self_scattering_of_brownian_motion_is_exponential(rng):
    values = self_scattering(chosen(brownian(rng, 300, 400, D)), (1.0, 2.0))
    for item in values:
        exact = np.exp(-(item.q_per_angstrom**2) * D * item.times_ps)
        require_close(item.values, item.spread.standard_error, exact)
        time = relaxation_time(item, "Li_q")
        tau = 1 / (D * item.q_per_angstrom**2)
        assert time.status == "ok"
        assert time.low < tau < time.high
        assert time.high / time.low < 1.3


def test_a_relaxation_outside_the_window_is_a_bound(rng):
    caged = rng.normal(0.0, 0.2, (100, 60, 3))
    (slow,) = self_scattering(chosen(caged), (1.0,))
    time = relaxation_time(slow, "Li_q1")
    assert time.status == "unresolved"
    assert np.isnan(time.value)
    assert (time.low, time.high) == (slow.times_ps[-1], np.inf)
    (fast,) = self_scattering(chosen(brownian(rng, 60, 100, 5.0)), (3.0,))
    time = relaxation_time(fast, "Li_q3")
    assert time.status == "unresolved"
    assert (time.low, time.high) == (0.0, 1.0)
    assert "shortest lag" in time.reason
