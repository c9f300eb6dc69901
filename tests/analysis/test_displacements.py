"""Distributions of displacements against exact answers, and their errors against replicas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from displacement_walks import (
    CAGE,
    LENGTH,
    RATE,
    D,
    caged_alpha2,
    caged_hops,
    chosen,
    require_close,
    still,
)
from scipy import stats
from toy_trajectories import brownian, lattice_hops, make_trajectory

from analysis.displacements.displacements import accumulate, displacements_of
from analysis.displacements.non_gaussian import non_gaussian, non_gaussian_peak
from analysis.displacements.self_scattering import self_scattering
from analysis.displacements.van_hove_self import HistogramSums, van_hove_self
from analysis.errors import RangeError
from analysis.motion.membership import Membership


class Recorder:
    def __init__(self):
        self.pieces = []

    def add(self, piece):
        self.pieces.append(piece)


def test_the_stream_shows_every_displacement_of_every_ion_less_the_drift(rng):
    positions = brownian(rng, 5, 21)
    drift = rng.normal(size=(21, 3))
    recorder = Recorder()
    found = chosen(positions, asked_ps=(7.0,), drift_path=drift)
    accumulate(found, [recorder], max_bytes=2 * 21 * 24)
    path = positions - drift[:, None]
    for k, lag in enumerate(found.lag_frames):
        pieces = sorted((p for p in recorder.pieces if p.lag == k), key=lambda p: p.bunch)
        axes = np.concatenate([piece.axes for piece in pieces], axis=2)
        assert np.allclose(axes.transpose(1, 2, 0), path[lag:] - path[:-lag], atol=1e-12)
        for piece in pieces:
            assert np.allclose(piece.squared, (piece.axes**2).sum(axis=0))
            assert piece.block[0] == 0
            assert piece.block[-1] < 20
            assert (np.diff(piece.block) >= 0).all()
    assert 7 in found.lag_frames
    assert found.lag_frames[-1] == 10
    assert np.array_equal(found.n_independent, 20 // found.lag_frames)


def test_origins_are_evenly_spaced_and_no_more_than_allowed(rng):
    recorder = Recorder()
    found = chosen(brownian(rng, 1, 101), max_origins=9)
    accumulate(found, [recorder])
    assert (found.n_origins <= 9).all()
    assert found.n_origins[0] == 9
    for piece in recorder.pieces:
        assert piece.axes.shape[1] == found.n_origins[piece.lag]


@pytest.mark.parametrize("max_origins", [1000, 40])
def test_brownian_motion_is_gaussian_at_every_lag(rng, max_origins):
    found = non_gaussian(chosen(brownian(rng, 300, 400, D), max_origins=max_origins))[0]
    require_close(found.alpha2, found.spread.standard_error, 0.0)
    require_close(found.alpha2_axes, found.axes_spread.standard_error, 0.0)
    require_close(found.msd, found.msd_spread.standard_error, 6 * D * found.times_ps)
    assert np.array_equal(found.survivors, np.ones(len(found.times_ps)))
    time, height = non_gaussian_peak(found, "Li")
    assert time.status == height.status == "unresolved"
    assert "no peak" in time.reason


def test_displacements_of_equal_length_have_minus_two_fifths(rng):
    directions = rng.normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    positions = np.arange(30)[:, None, None] * 2.0 * directions
    found = non_gaussian(chosen(positions))[0]
    assert np.allclose(found.alpha2, -0.4, atol=1e-12)
    # <x^4> = L^4/5 and <x^2> = L^2/3 on a sphere.
    require_close(found.alpha2_axes, found.axes_spread.standard_error, -0.4)


def test_motion_along_one_axis_has_its_own_value_for_each_axis(rng):
    positions = np.zeros((200, 300, 3))
    positions[..., 0] = brownian(rng, 300, 200, D)[..., 0]
    positions[..., 1] = 2.0 * brownian(rng, 300, 200, D)[..., 1]
    positions[..., 2] = brownian(rng, 300, 200, D)[..., 2]
    found = non_gaussian(chosen(positions))[0]
    # Variances 1, 4, 1: <r^4> = (sum)^2 + 2 sum of squares = 72, <r^2> = 6.
    require_close(found.alpha2, found.spread.standard_error, 0.6 * 72 / 36 - 1)
    require_close(found.alpha2_axes, found.axes_spread.standard_error, 0.0)


def test_poisson_hops_have_three_over_five_times_their_number(rng):
    positions = lattice_hops(rng, 300, 1501, probability=0.01, length=3.0)
    found = non_gaussian(chosen(positions, asked_ps=(100.0, 500.0)))[0]
    mean = 0.01 * found.times_ps
    # At most one hop a frame makes the number of hops binomial.
    exact = (mean + 5 / 3 * 1e-4 * found.times_ps * (found.times_ps - 1)) / (5 / 3 * mean**2) - 1
    require_close(found.alpha2, found.spread.standard_error, exact)
    for time, value in ((100.0, 0.602), (500.0, 0.119)):
        k = int(found.times_ps.tolist().index(time))
        assert exact[k] == pytest.approx(value, rel=0.03)
        assert found.spread.standard_error[k] < 0.1


def test_two_populations_have_the_value_of_their_mixture(rng):
    slow, fast = brownian(rng, 300, 300, 0.01), brownian(rng, 100, 300, 0.1)
    found = non_gaussian(chosen(np.concatenate([slow, fast], axis=1)))[0]
    exact = (0.75 * 0.01**2 + 0.25 * 0.1**2) / (0.75 * 0.01 + 0.25 * 0.1) ** 2 - 1
    # The two populations are in separate bunches.
    require_close(found.alpha2, found.spread.standard_error, exact)


def test_the_peak_of_hops_out_of_cages_is_found(rng):
    found = non_gaussian(chosen(caged_hops(rng, 400, 800)))[0]
    require_close(found.alpha2, found.spread.standard_error, caged_alpha2(found.times_ps))
    time, height = non_gaussian_peak(found, "Li", "curve.csv")
    grid = np.geomspace(1, 30, 3000)
    exact = grid[np.argmax(caged_alpha2(grid))]
    # In continuous time: 3 s / (a^2 G) and a^2 / (20 s).
    assert exact == pytest.approx(3 * CAGE / (LENGTH**2 * RATE), rel=0.02)
    assert caged_alpha2(grid).max() == pytest.approx(LENGTH**2 / (20 * CAGE), rel=0.05)
    assert time.status == height.status == "ok"
    assert time.low < exact < time.high
    assert time.high / time.low < 1.6
    assert height.low < caged_alpha2(grid).max() < height.high
    assert height.high - height.low < 0.5
    assert (time.name, time.unit) == ("non_gaussian_peak_time_Li", "ps")


def test_a_parabola_in_the_logarithm_of_time_has_its_own_vertex(rng):
    found = non_gaussian(chosen(caged_hops(rng, 100, 200)))[0]
    parabola = 1.0 - 0.3 * np.log(found.times_ps / 7.6) ** 2
    # Leaving out a bunch shifts the vertex by a known amount.
    shifts = rng.normal(0.0, 0.01, 64)
    without = 1.0 - 0.3 * (np.log(found.times_ps / 7.6) - shifts[:, None]) ** 2
    found = dataclasses.replace(found, alpha2=parabola, without_bunch=without)
    time, height = non_gaussian_peak(found, "Li")
    assert time.value == pytest.approx(7.6)
    assert height.value == pytest.approx(1.0)
    top = int(np.argmax(parabola))
    error = np.sqrt(63 * shifts.var() * found.spread.together[top])
    half = stats.t.ppf(0.975, found.spread.degrees_of_freedom[top]) * error
    assert np.log(time.high / time.value) == pytest.approx(half)
    assert np.log(time.value / time.low) == pytest.approx(half)


def test_a_peak_that_the_run_does_not_reach_is_unresolved(rng):
    hops = lattice_hops(rng, 400, 30, probability=0.005)
    rattling = hops + rng.normal(0.0, np.sqrt(CAGE / 2), hops.shape)
    rising = non_gaussian(chosen(rattling))[0]
    time, height = non_gaussian_peak(rising, "Li")
    assert time.status == height.status == "unresolved"
    assert np.isnan(time.value)
    assert "inside the window" in time.reason
    falling = lattice_hops(rng, 400, 300, probability=0.2)
    assert "at its start" in non_gaussian_peak(non_gaussian(chosen(falling))[0], "Li")[0].reason


def test_ions_that_move_together_enlarge_the_error(rng):
    positions = brownian(rng, 64, 600, D)
    apart = non_gaussian(chosen(np.tile(positions, (1, 4, 1))))[0]
    alone = non_gaussian(chosen(positions))[0]
    # Four copies in different bunches say no more than one.
    early = apart.times_ps < 60
    assert np.allclose(apart.alpha2, alone.alpha2)
    ratio = apart.spread.standard_error[early] / alone.spread.standard_error[early]
    assert ratio.mean() == pytest.approx(1.0, abs=0.15)
    # Blind to copies it would be a half.
    ratio = apart.msd_spread.standard_error[early] / alone.msd_spread.standard_error[early]
    assert 0.75 < ratio.mean() < 1.4
    assert apart.spread.together[early].mean() == pytest.approx(4.0, rel=0.2)
    assert np.median(alone.spread.together) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("copies", "lowest"), [(1, 0.86), (4, 0.80)])
def test_95_percent_intervals_cover_nearly_as_often(rng, copies, lowest):
    # The fourth moment of 16 walks that are independent, here in fours, is too skewed for 95 %.
    inside, relaxed = [], []
    for _ in range(100):
        positions = np.repeat(caged_hops(rng, 64 // copies, 400), copies, axis=1)
        found = non_gaussian(chosen(positions))[0]
        early = found.times_ps <= 100
        half = found.spread.half_interval()
        inside.append((np.abs(found.alpha2 - caged_alpha2(found.times_ps)) <= half)[early])
        half = found.msd_spread.half_interval()
        exact = 3 * CAGE + LENGTH**2 * RATE * found.times_ps
        relaxed.append((np.abs(found.msd - exact) <= half)[early])
    # The standard error of a hundredth of replicas is 2 %; lags are correlated.
    print(np.mean(inside, axis=0), np.mean(relaxed, axis=0))
    assert lowest < np.mean(inside) <= 0.99
    assert 0.89 < np.mean(relaxed) <= 0.99


def test_groups_count_displacements_by_their_rule(rng):
    positions = brownian(rng, 30, 60)
    codes = rng.integers(-1, 2, (60, 30)).astype(np.int8)
    membership = Membership(("a", "b"), np.arange(30), codes)
    for rule in ("origin", "origin_and_end", "throughout"):
        settings = {"membership": membership, "rule": rule, "max_origins": 17}
        found = chosen(positions, asked_ps=(2.0,), **settings)
        lag = int(found.nearest((2.0,))[0])
        alpha2 = non_gaussian(found)
        histograms = HistogramSums(found, found.nearest((2.0,)), 0.1)
        accumulate(found, [histograms])
        assert [item.group for item in alpha2] == ["a", "b"]
        for group, item in enumerate(alpha2):
            squares = []
            for start in range(0, 58, found.strides[lag]):
                inside = codes[start : start + 3] == group
                if rule == "origin":
                    inside = inside[:1]
                elif rule == "origin_and_end":
                    inside = inside[[0, 2]]
                moved = positions[start + 2] - positions[start]
                squares += (moved**2).sum(axis=1)[inside.all(axis=0)].tolist()
            squares = np.array(squares)
            exact = 0.6 * (squares**2).mean() / squares.mean() ** 2 - 1
            assert item.alpha2[lag] == pytest.approx(exact, rel=1e-10)
            assert item.msd[lag] == pytest.approx(squares.mean(), rel=1e-12)
            assert item.survivors[lag] == len(squares) / (30 * found.n_origins[lag])
            assert histograms.by_bunch[0][group].sum() == len(squares)
            assert histograms.by_block[0][group].sum() == len(squares)


def test_short_lags_come_from_the_dense_recording(rng):
    fine = brownian(rng, 40, 2001, D)
    main = make_trajectory(fine[::10], frame_interval_ps=1.0)
    dense = make_trajectory(fine[:300], frame_interval_ps=0.1)
    found = displacements_of(main, np.arange(40), dense=dense, drift_path=still(201))
    assert found.times_ps[0] == pytest.approx(0.1)
    assert (np.diff(found.times_ps) > 0).all()
    assert set(found.stream_of[found.times_ps < 0.99]) == {1}
    assert set(found.stream_of[found.times_ps > 0.99]) == {0}
    result = non_gaussian(found)[0]
    drift_share = 1 - 1 / 40
    exact = 6 * D * 10 * result.times_ps
    short = found.stream_of == 1
    require_close(
        result.msd[short], result.msd_spread.standard_error[short], exact[short] * drift_share
    )
    require_close(result.msd[~short], result.msd_spread.standard_error[~short], exact[~short])
    groups = Membership(("a",), np.arange(40), np.zeros((201, 40), dtype=np.int8))
    alone = displacements_of(main, np.arange(40), dense=dense, membership=groups)
    assert set(alone.stream_of) == {0}


def test_what_does_not_fit_is_refused(rng):
    positions = brownian(rng, 4, 20)
    with pytest.raises(RangeError, match="needs an ion, three frames"):
        chosen(positions[:2])
    groups = Membership(("a",), np.arange(4), np.zeros((19, 4), dtype=np.int8))
    with pytest.raises(RangeError, match="do not fit"):
        chosen(positions, membership=groups)
    with pytest.raises(RangeError, match="drift path of 19 frames"):
        chosen(positions, drift_path=still(19))
    with pytest.raises(RangeError, match="positive"):
        self_scattering(chosen(positions), (0.0,))
    with pytest.raises(RangeError, match="positive"):
        van_hove_self(chosen(positions), (1.0,), 0.0)
    fitting = Membership(("a",), np.arange(4), np.zeros((20, 4), dtype=np.int8))
    other = dataclasses.replace(fitting, names=("b",))
    dense = make_trajectory(positions, frame_interval_ps=0.1)
    with pytest.raises(RangeError, match="different names"):
        chosen(positions, membership=fitting, dense=dense, dense_membership=other)
