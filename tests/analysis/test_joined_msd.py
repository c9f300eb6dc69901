from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_trajectories import brownian, make_trajectory, ornstein_uhlenbeck

from analysis.errors import RangeError
from analysis.figures.motion import msd_figure
from analysis.motion.joined import joined_msd
from analysis.motion.msd import mean_squared_displacement


def msd_of(positions, interval_ps, label="Li"):
    trajectory = make_trajectory(positions, frame_interval_ps=interval_ps)
    still = np.zeros((trajectory.n_frames, 3))
    ids = np.arange(trajectory.n_atoms)
    return mean_squared_displacement(trajectory, ids, label=label, drift_path=still)


def streams(rng, scale=1.0, n_atoms=100):
    """Dense frames of the first tenth of a run and main frames of all of it, 20 times apart."""
    path = brownian(rng, n_atoms, 8001, D=0.05, interval_ps=0.05)
    path = path + ornstein_uhlenbeck(rng, n_atoms, 8001, 4, 0.3)
    return msd_of(path[::20], 1.0), msd_of(scale * path[:801], 0.05)


def test_the_joined_curve_is_dense_up_to_half_its_length_and_then_main(rng):
    main, dense = streams(rng)
    both = joined_msd(main, dense)
    assert np.all(np.diff(both.times_ps) > 0)
    assert both.times_ps[0] == pytest.approx(0.05)
    assert both.times_ps[both.n_dense - 1] <= 20.0 < both.times_ps[both.n_dense]
    assert both.times_ps[-1] == pytest.approx(400.0)
    assert both.msd[0] == dense.msd[1]
    assert both.msd[-1] == main.msd[-1]
    early = dense.atom_msd[:, 0].std(ddof=1) / 10.0
    assert both.standard_errors[0] == pytest.approx(early)


def test_streams_of_one_process_agree(rng):
    alarms = 0
    for _ in range(5):
        both = joined_msd(*streams(rng))
        assert len(both.overlap_times_ps) >= 10
        assert both.overlap_times_ps[-1] <= 20.0
        alarms += both.disagreement != ""
    assert alarms == 0


def test_a_first_part_that_moves_otherwise_is_reported_and_not_hidden(rng):
    both = joined_msd(*streams(rng, scale=1.3))
    assert "the first part is not like the whole" in both.disagreement
    # 1.3 squared is 1.69: the dense one is larger.
    assert np.all(both.differences > 0)
    np.testing.assert_allclose(
        both.differences, 0.69 * (6 * 0.05 * both.overlap_times_ps + 0.54), rtol=0.5
    )


def test_difference_errors_join_those_of_both_streams(rng):
    main, dense = streams(rng)
    both = joined_msd(main, dense)
    lag = round(both.overlap_times_ps[0] / 0.05)
    k = int(np.argmin(np.abs(dense.sample_lags - lag)))
    expected = np.hypot(dense.atom_msd[:, k].std(ddof=1) / 10, main.atom_msd[:, 0].std(ddof=1) / 10)
    assert both.difference_errors[0] == pytest.approx(expected, rel=0.1)


def test_streams_without_a_common_lag_are_not_compared(rng):
    main, dense = streams(rng)
    short = msd_of(brownian(rng, 100, 9, interval_ps=0.05), 0.05)
    both = joined_msd(main, short)
    assert len(both.differences) == 0
    assert "not compared" in both.disagreement
    assert dense.n_atoms == main.n_atoms


def test_other_ions_or_frames_not_closer_are_refused(rng):
    main, dense = streams(rng)
    with pytest.raises(RangeError, match="same ions"):
        joined_msd(main, dataclasses.replace(dense, label="S"))
    with pytest.raises(RangeError, match="expected the dense ones closer"):
        joined_msd(dense, main)


def test_the_figure_shows_the_dense_frames(rng):
    main, dense = streams(rng)
    plain = msd_figure([main])
    joined = msd_figure([main], joined=[joined_msd(main, dense)])
    assert joined[:4] == plain[:4] == b"\x89PNG"
    assert joined != plain
