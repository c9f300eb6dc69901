"""The choice of frames for labels."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from analysis.pairs.closest import FrameGeometry
from mlip.errors import DataError, InputError, RecipeError
from mlip.explore.select import BROKEN, Explored, descriptor_scale, select_frames
from mlip.explore.soundness import is_broken, usual_coordination
from mlip.recipes.base import validated
from mlip.recipes.selection import SelectionSettings
from mlip.structures.crystals import conventional_cell, find_crystal


@pytest.fixture
def rng():
    return np.random.default_rng(20240131)


LIMITS = {"A-A": 1.5, "B-A": 1.6}
FINE = FrameGeometry({"A-A": 2.0, "A-B": 1.9}, 1.8)


def explored(n, **changes):
    """`n` sound candidates of one group and run, 1 ps apart."""
    content = {
        "state": ["melt"] * n,
        "verdict": ["candidate"] * n,
        "ratio": np.full(n, 2.0),
        "species": ["A"] * n,
        "anion": ["AX4"] * n,
        "descriptor": np.arange(n, dtype=float)[:, None],
        "run": ["run1"] * n,
        "time_ps": np.arange(n, dtype=float),
        "geometry": [FINE] * n,
        "broken": [False] * n,
    }
    return Explored(**(content | changes))


def chosen(frames, labelled=((0.0,),), **settings):
    return select_frames(frames, np.array(labelled), LIMITS, SelectionSettings(**settings))


def test_every_frame_is_chosen_or_counted_under_its_reason():
    broken = [
        FINE,
        FrameGeometry({"A-A": 1.4}, 1.8),
        FrameGeometry({"A-B": 1.59}, 1.8),
        FrameGeometry({}, 0.9),
        FrameGeometry({}, 3.1),
        FINE,
        FINE,
        FINE,
        FINE,
    ]
    frames = explored(
        9,
        geometry=broken,
        verdict=["candidate"] * 5 + ["accurate", "failed", "candidate", "candidate"],
        time_ps=[0, 1, 2, 3, 4, 5, 6, 7, 7.05],
        ratio=[2, 2, 2, 2, 2, 2, 2, 2, 3],
    )
    found = chosen(frames, maximum_frames=1)
    assert found.chosen.tolist() == [8]
    assert found.dropped == {
        "atoms too near": 2,
        "density outside the window": 2,
        "accurate": 1,
        "failed": 1,
        "too near in time": 1,
        "beyond the number of labels": 1,
    }
    assert len(found.chosen) + sum(found.dropped.values()) == len(frames)


def test_a_pair_without_limit_is_refused_by_name():
    frames = explored(1, geometry=[FrameGeometry({"A-C": 2.0}, 1.8)])
    with pytest.raises(InputError, match="no smallest distance is given for A-C"):
        chosen(frames)


def test_frames_of_a_run_keep_their_distance_and_the_most_deviating_leads():
    # 0.2 leads; then 0.1 and 0.3 are too near, 0.0 and 0.4 are not.
    frames = explored(
        5, time_ps=[0.0, 0.1, 0.2, 0.3, 0.4], ratio=[1.1, 2.9, 3.0, 2.8, 1.2], run=["run1"] * 5
    )
    found = chosen(frames, spacing_ps=0.2)
    assert found.chosen.tolist() == [0, 2, 4]
    assert found.dropped == {"too near in time": 2}
    # Another run has its own clock.
    apart = explored(
        5, time_ps=[0.0, 0.1, 0.2, 0.3, 0.4], run=["run1", "run2", "run3", "run4", "run5"]
    )
    assert len(chosen(apart, spacing_ps=0.2).chosen) == 5


def test_spacing_holds_between_all_chosen_frames(rng):
    frames = explored(
        300,
        time_ps=np.sort(rng.uniform(0, 10, 300)),
        ratio=rng.uniform(1, 4, 300),
        run=[f"run{k % 3}" for k in range(300)],
    )
    found = chosen(frames, spacing_ps=0.25, maximum_frames=300)
    for run in ("run0", "run1", "run2"):
        times = [frames.time_ps[k] for k in found.chosen if frames.run[k] == run]
        assert len(times) > 10
        assert np.diff(times).min() >= 0.25


def test_farthest_points_on_a_line_are_the_ends_then_the_middles():
    frames = explored(9)  # descriptors 0 to 8
    assert chosen(frames, maximum_frames=1).chosen.tolist() == [8]
    assert chosen(frames, maximum_frames=2).chosen.tolist() == [4, 8]
    # 2 and 6 are equally far: the earlier one.
    assert chosen(frames, maximum_frames=3).chosen.tolist() == [2, 4, 8]
    # With labels at both ends the middle is unknown.
    assert chosen(frames, [[0.0], [8.0]], maximum_frames=1).chosen.tolist() == [4]


def test_among_equally_unknown_frames_the_most_deviating_is_taken():
    ratio = np.full(9, 2.0)
    ratio[6] = 3.0
    assert chosen(explored(9, ratio=ratio), maximum_frames=3).chosen.tolist() == [4, 6, 8]


def test_without_labels_the_most_deviating_frame_comes_first():
    ratio = np.full(5, 2.0)
    ratio[1] = 3.0
    found = chosen(explored(5, ratio=ratio), np.empty((0, 1)), maximum_frames=2)
    assert found.chosen.tolist() == [1, 4]


def test_many_labelled_frames_give_the_same_as_their_nearest(rng):
    frames = explored(30, descriptor=rng.normal(size=(30, 3)))
    known = rng.normal(size=(2500, 3))
    found = chosen(frames, known, maximum_frames=1).chosen[0]
    scale = descriptor_scale(np.concatenate([known, frames.descriptor]))
    distance = np.linalg.norm((frames.descriptor[:, None] - known) * scale, axis=2).min(axis=1)
    assert found == distance.argmax()


def test_no_group_takes_everything():
    # The common group is farther away and deviates more, yet the rare ones get their share.
    frames = explored(
        20,
        anion=["AX4"] * 16 + ["A2X7"] * 3 + ["AX4"],
        species=["A"] * 19 + ["B"],
        ratio=[3.0] * 16 + [2.0] * 3 + [1.5],
        descriptor=np.concatenate([np.linspace(50, 100, 16), [1, 2, 3], [0.5]])[:, None],
    )
    found = chosen(frames, maximum_frames=7)
    assert found.groups == {"A A2X7": 3, "A AX4": 3, "B AX4": 1}
    assert chosen(frames, maximum_frames=2).groups == {"A A2X7": 1, "A AX4": 1, "B AX4": 0}
    assert chosen(frames, maximum_frames=20).groups == {"A A2X7": 3, "A AX4": 16, "B AX4": 1}


def test_labels_follow_run_and_time():
    frames = explored(
        6,
        run=["b", "a", "b", "a", "b", "a"],
        time_ps=[10.0, 9.0, 2.0, 3.0, 30.0, 31.0],
        state=["cold", "hot", "cold", "hot", "cold", "hot"],
    )
    found = chosen(frames)
    assert found.chosen.tolist() == [3, 1, 5, 2, 0, 4]
    assert found.states == {"cold": 3, "hot": 3}


def test_the_choice_does_not_depend_on_the_order_of_the_input(rng):
    n = 200
    base = {
        "state": rng.choice(["hot", "cold"], n),
        "verdict": rng.choice(["accurate", "candidate", "candidate", "failed"], n),
        "ratio": rng.integers(2, 5, n) / 2,  # many ties
        "species": rng.choice(["A", "B"], n),
        "anion": rng.choice(["AX4", "A2X7"], n),
        "descriptor": rng.integers(0, 3, (n, 4)).astype(float),
        "run": rng.choice(["r1", "r2", "r3"], n),
        "time_ps": rng.permutation(n) * 0.05,
    }
    known = rng.integers(0, 3, (5, 4)).astype(float)
    first = chosen(explored(n, **base), known, maximum_frames=25, spacing_ps=0.3)
    assert len(first.chosen) == 25
    for _ in range(5):
        order = rng.permutation(n)
        mixed = explored(n, **{key: values[order] for key, values in base.items()})
        again = chosen(mixed, known, maximum_frames=25, spacing_ps=0.3)
        assert order[again.chosen].tolist() == first.chosen.tolist()
        assert (again.dropped, again.groups) == (first.dropped, first.groups)


def test_units_of_the_descriptor_do_not_matter(rng):
    points, known = rng.normal(size=(40, 3)), rng.normal(size=(4, 3))
    units = np.array([1e-6, 1.0, 1e5])
    first = chosen(explored(40, descriptor=points), known, maximum_frames=8)
    again = chosen(explored(40, descriptor=points * units), known * units, maximum_frames=8)
    assert again.chosen.tolist() == first.chosen.tolist()


def test_constant_columns_count_for_nothing(rng):
    pool = rng.normal(size=(100, 3)) * [1.0, 0.0, 5.0] + [0.0, 0.1, 2.0]
    scale = descriptor_scale(pool)
    assert scale[1] == 0.0
    assert (pool * scale).std(axis=0) == pytest.approx([1.0, 0.0, 1.0])
    assert descriptor_scale(np.zeros((3, 2))).tolist() == [0.0, 0.0]


def test_nothing_to_choose_from_is_no_error():
    found = chosen(explored(3, verdict=["accurate"] * 3))
    assert found.chosen.tolist() == []
    assert found.dropped == {"accurate": 3}
    assert found.groups == {}
    assert chosen(explored(0, descriptor=np.empty((0, 1)))).chosen.tolist() == []


def test_inconsistent_frames_are_refused():
    with pytest.raises(DataError, match="expected one entry a frame"):
        explored(3, ratio=np.ones(2))
    with pytest.raises(DataError, match="run1: two frames at 0 ps"):
        explored(2, time_ps=[0.0, 0.0])
    with pytest.raises(DataError, match="Use one potential for both"):
        chosen(explored(3), [[0.0, 1.0]])
    with pytest.raises(DataError, match="a descriptor is not a finite number"):
        chosen(explored(3), [[np.nan]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"maximum_density_g_cm3": 0.5}, "must be larger"),
        ({"frames": 3}, "unknown key"),
    ],
)
def test_impossible_settings_are_refused(content, message):
    with pytest.raises(RecipeError, match=message):
        validated(content, SelectionSettings, "recipe")


def written(atoms, folder):
    folder.mkdir()
    ase.io.write(folder / "structure.extxyz", atoms)
    return folder


def starts(tmp_path):
    cells = {name: conventional_cell(find_crystal(name)) for name in ("gamma-Li3PS4", "Li4P2S6")}
    cells["gamma-Li3PS4"] = cells["gamma-Li3PS4"].repeat((1, 2, 2))
    cells["copper"] = bulk("Cu", cubic=True)
    usual = usual_coordination({name: written(a, tmp_path / name) for name, a in cells.items()})
    return cells, usual


def test_crystals_are_whole_at_rest_and_shaken_and_metals_are_not_judged(tmp_path, rng):
    cells, usual = starts(tmp_path)
    assert usual == {"gamma-Li3PS4": {"P": {4}}, "Li4P2S6": {"P": {4}}}
    for name in usual:
        shaken = cells[name].copy()
        shaken.positions += rng.normal(0, 0.08, shaken.positions.shape)
        assert not is_broken(cells[name], usual[name])
        assert not is_broken(shaken, usual[name])


def test_a_bond_of_like_atoms_that_breaks_alone_leaves_no_gap(tmp_path):
    cells, usual = starts(tmp_path)
    atoms = cells["Li4P2S6"]
    first, *others = np.flatnonzero(atoms.symbols == "P").tolist()
    partner = min(others, key=lambda k: atoms.get_distance(first, k, mic=True))
    assert atoms.get_distance(first, partner, mic=True) < 2.4
    # With three S of its own it is one of few that are not as usual, but an electron is left over.
    many = atoms.repeat((2, 2, 1))
    moved = many.copy()
    moved.set_distance(first, partner, 3.0, fix=0, mic=True)
    assert is_broken(moved, usual["Li4P2S6"])


def test_some_ions_may_leave_their_units_but_not_many(tmp_path):
    cells, usual = starts(tmp_path)
    atoms = cells["gamma-Li3PS4"]
    names = np.array(atoms.get_chemical_symbols())
    phosphorus, sulphur = np.flatnonzero(names == "P"), np.flatnonzero(names == "S")
    for lost, broken in ((1, False), (2, False), (3, True)):
        moved = atoms.copy()
        for centre in phosphorus[:lost]:
            nearest = min(sulphur, key=lambda k: atoms.get_distance(centre, k, mic=True))
            away = atoms.get_distance(centre, nearest, mic=True, vector=True)
            moved.positions[nearest] += 0.35 * away
        assert is_broken(moved, usual["gamma-Li3PS4"]) is broken, lost


def test_frames_that_came_apart_are_counted_under_that_reason():
    found = chosen(explored(3, broken=[False, True, False]))
    assert found.chosen.tolist() == [0, 2]
    assert found.dropped == {BROKEN: 1}
