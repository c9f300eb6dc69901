"""Exact and near copies, and held-out frames that lie between training frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from certificate_systems import frames_of, part_of, single_frame, surveys_of, system_of
from scipy.spatial.transform import Rotation
from toy_runs import toy_frames

from mlip.data.duplicates import (
    exact_copies,
    leakage,
    near_copies,
    near_copies_across,
    nearness,
)
from mlip.data.frames import select
from mlip.data.split import Part
from mlip.data.structure_distance import frame_distance, nearest_frames, permuted_distance


def near_of(*parts: Part):
    return nearness(list(parts), surveys_of(*parts))


def fractional(frames):
    return frames.coords @ np.linalg.inv(frames.cells)


def independent(count: int, seed: int, thermal: float = 0.15):
    """Return frames that share only their rest positions, as of distant times."""
    at_rest = toy_frames(1)
    random = np.random.default_rng(seed)
    coords = at_rest.coords + thermal * random.normal(size=(count, 32, 3))
    return frames_of(list(at_rest.symbols), coords, at_rest.cells[0])


def wandering(count: int, timestep_fs: float):
    """Return atoms on smooth paths with periods of 150 to 400 fs that soon never return."""
    at_rest, random = toy_frames(1), np.random.default_rng(9)
    period, phase = random.uniform(150.0, 400.0, (32, 3)), random.uniform(0, 2 * np.pi, (32, 3))
    times = timestep_fs * np.arange(count)[:, None, None]
    coords = at_rest.coords + 0.2 * np.sin(phase + 2 * np.pi * times / period)
    return frames_of(list(at_rest.symbols), coords, at_rest.cells[0])


def permuted(frames, seed: int = 0):
    """Return the same structures with like atoms in another order, moved as a whole."""
    random = np.random.default_rng(seed)
    kinds = np.array(frames.symbols)
    order = np.arange(len(kinds))
    for kind in sorted(set(frames.symbols)):
        order[kinds == kind] = random.permutation(np.flatnonzero(kinds == kind))
    return replace(frames, coords=frames.coords[:, order] + [1.7, 0.4, -2.2])


def test_distance_of_known_displacements_and_of_none():
    random = np.random.default_rng(5)
    cell = np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-1.0, 2.0, 10.0]])[None]
    one = random.uniform(size=(1, 40, 3))
    step = random.normal(scale=0.1, size=(1, 40, 3))
    step -= step.mean(axis=1, keepdims=True)
    other = one + step @ np.linalg.inv(cell)
    expected = np.sqrt((step**2).sum(axis=2).mean())
    assert frame_distance(one, other, cell, cell)[0] == pytest.approx(expected, rel=1e-9)
    assert frame_distance(one, one, cell, cell)[0] == pytest.approx(0.0, abs=1e-12)


def test_distance_does_not_see_drift_wrapping_or_orientation():
    random = np.random.default_rng(6)
    cell = np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-1.0, 2.0, 10.0]])[None]
    one = random.uniform(size=(1, 40, 3))
    other = one + random.normal(scale=0.01, size=one.shape)
    turned = cell @ Rotation.from_rotvec([0.3, -1.0, 0.7]).as_matrix()
    expected = frame_distance(one, other, cell, cell)
    moved = other + np.array([0.61, -0.37, 0.45]) + random.integers(-2, 3, other.shape)
    np.testing.assert_allclose(frame_distance(one, moved, cell, turned), expected, rtol=1e-9)


def test_strained_cells_are_apart_by_strain_times_spacing():
    cell = 10.0 * np.eye(3)[None]
    one = np.random.default_rng(7).uniform(size=(1, 50, 3))
    stretched = cell * np.array([1.02, 1.0, 1.0])[None, :, None]
    strain = 0.5 * (1.02**2 - 1.0)
    expected = strain * (1000.0 / 50) ** (1 / 3)
    assert frame_distance(one, one, cell, stretched)[0] == pytest.approx(expected, rel=1e-6)


def test_nearest_frame_is_that_of_a_search_over_all_pairs():
    frames = wandering(40, 50.0)
    coords, every = fractional(frames), np.arange(40)
    index, distance = nearest_frames(coords, frames.cells, every, every)
    for k in every:
        others = np.delete(every, k)
        alone = np.repeat(k, len(others))
        all_of = frame_distance(
            coords[alone], coords[others], frames.cells[alone], frames.cells[others]
        )
        assert index[k] == others[all_of.argmin()]
        assert distance[k] == pytest.approx(all_of.min())


def test_a_single_frame_has_no_nearest_one():
    frames = toy_frames(1)
    index, distance = nearest_frames(fractional(frames), frames.cells, np.arange(1), np.arange(1))
    assert index.tolist() == [-1]
    assert np.isinf(distance).all()


def test_renumbered_and_moved_frames_are_the_same_up_to_permutation():
    frames = toy_frames(1)
    coords, other = fractional(frames)[0], fractional(permuted(frames))[0]
    cell = frames.cells[0]
    assert frame_distance(coords[None], other[None], cell[None], cell[None])[0] > 0.5
    assert permuted_distance(frames.symbols, coords, other, cell, cell) < 1e-6


def test_frames_of_their_own_are_no_copies():
    parts = [part_of(toy_frames(6)), part_of(toy_frames(6, seed=2), "test", "b")]
    assert exact_copies(parts).verdict == "pass"
    assert near_copies_across(near_of(*parts)).verdict == "pass"


def test_an_exact_copy_within_a_side_warns_and_across_fails():
    frames = toy_frames(8)
    twice = part_of(select(frames, np.array([0, 1, 2, 2, 3])))
    check = exact_copies([twice])
    assert (check.verdict, check.number, check.frames) == ("warn", 1.0, ("toy:2=toy:2",))
    copy = part_of(select(frames, np.array([5])), "test", "copy")
    check = exact_copies([part_of(frames), copy])
    assert (check.verdict, check.frames) == ("fail", ("copy:5=toy:5",))


def test_a_displaced_copy_across_the_split_fails_and_both_frames_are_named():
    train = independent(20, 1)
    test = independent(5, 2)
    test.coords[3] = train.coords[11] + 0.005 * np.random.default_rng(0).normal(size=(32, 3))
    parts = [part_of(train), part_of(test, "test", "held")]
    assert exact_copies(parts).verdict == "pass"
    check = near_copies_across(near_of(*parts))
    assert check.verdict == "fail"
    assert check.number == pytest.approx(0.2)
    assert check.frames == ("held:3~toy:11",)


def test_a_renumbered_copy_across_the_split_fails():
    train = independent(12, 1)
    test = permuted(select(train, np.array([7])))
    check = near_copies_across(near_of(part_of(train), part_of(test, "test", "held")))
    assert (check.verdict, check.frames) == ("fail", ("held:7~toy:7",))


def test_one_near_copy_of_very_many_frames_only_warns():
    train = independent(20, 1)
    test = independent(150, 2)
    test.coords[0] = train.coords[0] + 1e-3
    test.coords[0, 0] += 0.01
    check = near_copies_across(near_of(part_of(train), part_of(test, "test", "held")))
    assert (check.verdict, check.frames) == ("warn", ("held:0~toy:0",))


def test_a_trajectory_of_tiny_steps_has_mostly_near_duplicates():
    assert near_copies(near_of(part_of(wandering(20, 50.0)))).verdict == "pass"
    check = near_copies(near_of(part_of(wandering(20, 0.5))))
    assert (check.verdict, check.number) == ("warn", 1.0)
    assert check.frames[0].startswith("toy:")


def test_a_block_behind_a_gap_does_not_leak_and_every_tenth_frame_does():
    system = system_of(wandering(400, 5.0))
    every = np.arange(400)
    block = [Part(system, "train", every[:300]), Part(system, "test", every[380:])]
    check = leakage(near_of(*block))
    assert (check.verdict, check.number) == ("pass", 0.0)
    drawn = every % 10 == 5
    check = leakage(
        near_of(Part(system, "train", every[~drawn]), Part(system, "test", every[drawn]))
    )
    assert check.verdict == "fail"
    assert check.number > 0.25
    assert "~toy:" in check.frames[0]


def test_independent_frames_of_one_crystal_do_not_leak():
    parts = [part_of(independent(60, 1)), part_of(independent(20, 2), "test", "held")]
    check = leakage(near_of(*parts))
    assert (check.verdict, check.number) == ("pass", 0.0)


def test_a_cold_crystal_beside_a_hot_one_of_the_same_composition_does_not_leak():
    # Cold frames are nearer to each other than hot ones, with or without a common history.
    cold = part_of(independent(20, 1, thermal=0.05), "train", "cold")
    hot = part_of(independent(60, 2, thermal=0.4), "train", "hot")
    held = part_of(independent(10, 3, thermal=0.05), "test", "held")
    check = leakage(near_of(cold, hot, held))
    assert (check.verdict, check.number) == ("pass", 0.0)

    system = system_of(wandering(200, 5.0), "run")
    drawn = np.arange(200) % 10 == 5
    parts = [
        Part(system, "train", np.flatnonzero(~drawn)),
        Part(system, "test", np.flatnonzero(drawn)),
    ]
    assert leakage(near_of(hot, *parts)).verdict == "fail"


def test_one_frame_or_one_side_decides_nothing():
    near = near_of(part_of(single_frame()))
    assert {check(near).verdict for check in (near_copies, near_copies_across, leakage)} == {
        "undecided"
    }
    other = replace(toy_frames(4), symbols=("Li",) * 32)
    apart = near_of(part_of(toy_frames(4)), part_of(other, "test", "b"))
    assert leakage(apart).verdict == "undecided"
