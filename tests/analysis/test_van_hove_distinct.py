"""Distinct part of the van Hove function against g(r), ideal gases and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.displacements import van_hove_distinct as van_hove
from analysis.displacements.van_hove_distinct import van_hove_distinct
from analysis.errors import AnalysisError, RangeError
from analysis.motion.membership import Membership
from analysis.pairs.rdf import pair_distributions

KINDS = ["Li"] * 20 + ["S"] * 30


def sample(rng, n_frames=12, cell=TRICLINIC, kinds=KINDS, **settings):
    positions = rng.random((n_frames, len(kinds), 3)) @ cell
    return make_trajectory(positions, species=kinds, cell=cell, **settings)


def still(trajectory):
    return np.zeros((trajectory.n_frames, 3))


@pytest.mark.parametrize("breathing", [False, True])
def test_at_time_zero_it_is_g_of_r(rng, breathing):
    scale = 1 + 0.05 * np.sin(np.arange(12)) if breathing else np.ones(12)
    cells = scale[:, None, None] * TRICLINIC
    positions = rng.random((12, len(KINDS), 3)) @ cells
    trajectory = make_trajectory(positions, species=KINDS, cell=cells)
    g = {(pair.i, pair.j): pair for pair in pair_distributions(trajectory, bin_angstrom=0.05)}
    for (first, second), pair in g.items():
        found = van_hove_distinct(
            trajectory, trajectory.ids_of(first), trajectory.ids_of(second), (0.0,)
        )
        assert len(found) == 1
        assert found[0].n_origins == 12
        assert np.array_equal(found[0].r_angstrom, pair.r_angstrom)
        # The centre of mass was subtracted here and not there, which rounds differently.
        assert np.allclose(found[0].ratio, pair.g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("second", ["Li", "S"])
def test_of_an_ideal_gas_it_is_one_at_all_times(rng, second):
    trajectory = sample(rng, n_frames=60)
    found = van_hove_distinct(
        trajectory,
        np.arange(20),
        trajectory.ids_of(second),
        (0, 1, 7),
        drift_path=still(trajectory),
    )
    assert [item.time_ps for item in found] == [0, 1, 7]
    for item in found:
        wide = item.ratio[: len(item.ratio) // 20 * 20].reshape(-1, 20)
        shells = np.diff(item.edges_angstrom**3)[: wide.size].reshape(-1, 20)
        means = (wide * shells).sum(axis=1) / shells.sum(axis=1)
        # The number of pairs sets the noise of a mean over many bins.
        pairs = item.n_origins * 20 * 20 / 900 * 4.19 * shells.sum(axis=1)
        assert (np.abs(means - 1) < 5 / np.sqrt(pairs)).all()


@pytest.mark.parametrize("all_pairs", [0, 10_000], ids=["search", "all"])
def test_pairs_are_those_of_brute_force_in_the_later_cell(rng, monkeypatch, all_pairs):
    monkeypatch.setattr(van_hove, "MAX_ALL_PAIRS", all_pairs)
    monkeypatch.setattr(van_hove, "PAIR_CHUNK", 20)
    cells = np.stack([TRICLINIC * scale for scale in np.linspace(1.0, 1.2, 8)])
    positions = rng.normal(0, 30, (8, 14, 3))
    trajectory = make_trajectory(positions, species=["Li"] * 6 + ["S"] * 8, cell=cells)
    drift = rng.normal(size=(8, 3))
    codes = rng.integers(-1, 2, (8, 6)).astype(np.int8)
    groups = Membership(("a", "b"), np.arange(6), codes)
    for second in (np.arange(6), np.arange(6, 14)):
        found = van_hove_distinct(
            trajectory,
            np.arange(6),
            second,
            (3.0,),
            bin_angstrom=1.0,
            drift_path=drift,
            membership=groups,
        )
        assert [item.group for item in found] == ["a", "b"]
        for group, item in enumerate(found):
            counts, pairs = np.zeros(len(item.ratio)), 0
            for start in range(5):
                cell, place = cells[start + 3], positions - drift[:, None]
                fraction = place[start, :6] @ np.linalg.inv(cells[start])
                for i in np.flatnonzero(codes[start] == group):
                    for j in second:
                        if i == j:
                            continue
                        pairs += 1
                        apart = place[start + 3, j] @ np.linalg.inv(cell) - fraction[i]
                        images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3)
                        images = (apart - np.round(apart) + images) @ cell
                        distance = np.linalg.norm(images, axis=1).min()
                        if distance < item.edges_angstrom[-1]:
                            counts[int(distance)] += abs(np.linalg.det(cell))
            shells = 4 / 3 * np.pi * np.diff(item.edges_angstrom**3)
            assert np.allclose(item.ratio, counts / (pairs * shells), rtol=1e-10)


def test_an_ion_that_takes_the_place_of_another_fills_the_origin():
    positions = np.zeros((4, 2, 3)) + np.array([[1.0, 1, 1], [4.0, 1, 1]])
    positions[2:] = positions[2:, ::-1]
    trajectory = make_trajectory(positions, cell=12.0)
    now, exchanged = van_hove_distinct(
        trajectory, np.arange(2), np.arange(2), (0.0, 1.0), drift_path=still(trajectory)
    )
    assert np.flatnonzero(now.ratio).tolist() == [60]
    # Of three origins the middle one sees the exchange.
    assert np.flatnonzero(exchanged.ratio).tolist() == [0, 60]
    weights = exchanged.ratio[[0, 60]] * np.diff(exchanged.edges_angstrom**3)[[0, 60]]
    assert weights[1] / weights[0] == pytest.approx(2.0)


def test_errors_are_the_scatter_between_replicas(rng):
    rows, errors = [], []
    for _ in range(40):
        trajectory = sample(rng, n_frames=20, kinds=["Li"] * 30)
        (item,) = van_hove_distinct(
            trajectory, np.arange(30), np.arange(30), (2.0,), bin_angstrom=1.0
        )
        rows.append(item.ratio)
        errors.append(item.standard_error)
    ratio = np.sqrt(np.mean(np.square(errors), axis=0)) / np.std(rows, axis=0, ddof=1)
    assert 0.75 < np.median(ratio) < 1.3


def test_origins_are_bounded_and_lags_end_at_half_the_run(rng):
    trajectory = sample(rng, n_frames=50)
    found = van_hove_distinct(
        trajectory, np.arange(20), np.arange(20, 50), (1.0, 24.0, 25.0), max_origins=7
    )
    assert [item.time_ps for item in found] == [1.0, 24.0]
    assert all(item.n_origins <= 7 for item in found)


def test_what_makes_no_sense_is_refused(rng):
    trajectory = sample(rng)
    every = np.arange(20)
    with pytest.raises(RangeError, match=r"at most 4\.\d+ Angstrom"):
        van_hove_distinct(trajectory, every, every, (0.0,), r_max_angstrom=5.1)
    with pytest.raises(RangeError, match="share some"):
        van_hove_distinct(trajectory, every, every[5:], (0.0,))
    with pytest.raises(RangeError, match="no pair"):
        van_hove_distinct(trajectory, every[:1], every[:1], (0.0,))
    groups = Membership(("a",), every, np.zeros((11, 20), dtype=np.int8))
    with pytest.raises(RangeError, match="groups are of other"):
        van_hove_distinct(trajectory, every, every, (0.0,), membership=groups)


@pytest.mark.parametrize("all_pairs", [0, 10_000], ids=["search", "all"])
def test_a_position_that_is_no_number_is_refused(rng, monkeypatch, all_pairs):
    monkeypatch.setattr(van_hove, "MAX_ALL_PAIRS", all_pairs)
    positions = rng.random((8, 6, 3)) @ TRICLINIC
    positions[3, 2, 1] = np.nan
    trajectory = make_trajectory(positions, species=["Li"] * 6, cell=TRICLINIC)
    with pytest.raises(AnalysisError, match="finite"):
        van_hove_distinct(
            trajectory, np.arange(6), np.arange(6), (2.0,), drift_path=still(trajectory)
        )
