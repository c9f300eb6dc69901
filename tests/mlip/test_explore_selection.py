"""Trust levels from synthetic committees of known over-confidence, and the choice of frames."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from analysis.closest import FrameGeometry
from mlip.errors import DataError, InputError, RecipeError
from mlip.explore.select import Explored, descriptor_scale, select_frames
from mlip.explore.trust import TrustLevels, calibrate, classify, deviation_ratio
from mlip.recipes.base import validated
from mlip.recipes.selection import SelectionSettings, TrustSettings

SETTINGS = TrustSettings(accurate_error_ev_per_angstrom=0.15, failed_error_ev_per_angstrom=0.6)
MEMBERS = 4
# A deviation with the mean of the members in place of the truth is small by this factor.
FINITE_COMMITTEE = math.sqrt((MEMBERS - 1) / MEMBERS)
# Mean length over root mean square length of a Gaussian vector in three dimensions.
MEAN_OVER_RMS = math.sqrt(8 / (3 * math.pi))


@pytest.fixture
def rng():
    return np.random.default_rng(20240131)


def committee(rng, over_confidence, frames=40, atoms=50):
    """Deviation, error, frame of Gaussian members; each atom has its own uncertainty."""
    width = 0.05 * rng.lognormal(sigma=0.6, size=frames * atoms)
    members = width[:, None] * rng.normal(size=(MEMBERS, frames * atoms, 3))
    mean = members.mean(axis=0)
    deviation = np.sqrt(np.square(members - mean).sum(axis=-1).mean(axis=0))
    truth = over_confidence * width[:, None] * rng.normal(size=(frames * atoms, 3))
    return deviation, np.linalg.norm(truth, axis=1), np.repeat(np.arange(frames), atoms)


def proportional(rng, factor, size=4000):
    """Deviation, and an error whose mean at each deviation is `factor` times it."""
    deviation = 0.05 * rng.lognormal(sigma=0.6, size=size)
    error = factor * deviation * np.linalg.norm(rng.normal(size=(size, 3)), axis=1)
    return deviation, error / (math.sqrt(3) * MEAN_OVER_RMS)


def of_one(deviation, error, frame, settings=SETTINGS):
    return calibrate(deviation, error, ["A"] * len(error), frame, ["A"], settings).by_species["A"]


@pytest.mark.parametrize("over_confidence", [0.5, 1.0, 3.0])
def test_a_known_over_confidence_is_recovered_within_its_error(rng, over_confidence):
    found = [of_one(*committee(rng, over_confidence)) for _ in range(30)]
    expected = over_confidence / FINITE_COMMITTEE
    scale = np.array([trust.scale for trust in found])
    error = np.array([trust.scale_error for trust in found])
    assert scale.mean() == pytest.approx(expected, abs=4 * scale.std() / math.sqrt(30))
    # The quoted error is the scatter of repeated calibrations.
    assert 0.6 < error.mean() / scale.std(ddof=1) < 1.6
    assert all(trust.calibrated and trust.rank_correlation > 0.3 for trust in found)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_levels_are_where_the_expected_error_reaches_the_limits(rng, factor):
    deviation, error = proportional(rng, factor)
    found = of_one(deviation, error, np.arange(4000) // 100)
    assert found.lower_ev_per_angstrom == pytest.approx(0.15 / factor, rel=0.03)
    assert found.upper_ev_per_angstrom == pytest.approx(0.6 / factor, rel=0.03)


def test_twice_the_error_is_twice_the_scale_and_half_the_levels(rng):
    deviation, error, frame = committee(rng, 2.0)
    once, twice = of_one(deviation, error, frame), of_one(deviation, 2 * error, frame)
    assert twice.scale == pytest.approx(2 * once.scale)
    assert twice.lower_ev_per_angstrom == pytest.approx(once.lower_ev_per_angstrom / 2)
    assert twice.upper_ev_per_angstrom == pytest.approx(once.upper_ev_per_angstrom / 2)
    assert twice.rank_correlation == pytest.approx(once.rank_correlation)


def test_quiet_atoms_do_not_move_the_levels(rng):
    deviation, error, frame = committee(rng, 2.0)
    quiet = deviation < np.median(deviation)
    before = of_one(deviation, error, frame)
    noisy = np.where(quiet, error + 0.2, error)
    after = of_one(np.where(quiet, 1e-6, deviation), noisy, frame)
    assert after.lower_ev_per_angstrom == before.lower_ev_per_angstrom
    assert after.upper_ev_per_angstrom == before.upper_ev_per_angstrom


def test_elements_are_calibrated_apart_in_any_order_of_atoms(rng):
    first, second = committee(rng, 1.0), committee(rng, 4.0, atoms=10)
    deviation, error, frame = (np.concatenate(pair) for pair in zip(first, second, strict=True))
    species = np.array(["A"] * len(first[0]) + ["B"] * len(second[0]))
    order = rng.permutation(len(species))
    found = calibrate(
        deviation[order], error[order], species[order], frame[order], ["B", "A"], SETTINGS
    )
    for name, alone in (("A", of_one(*first)), ("B", of_one(*second))):
        assert found.by_species[name].scale == pytest.approx(alone.scale)
        assert found.by_species[name].lower_ev_per_angstrom == pytest.approx(
            alone.lower_ev_per_angstrom
        )
        assert found.by_species[name].atoms == alone.atoms
        assert found.by_species[name].frames == 40


def test_too_few_frames_or_atoms_leave_an_element_uncalibrated(rng):
    deviation, error, _ = committee(rng, 3.0, frames=1, atoms=60)
    enough = of_one(deviation, error, np.arange(60) % 3)
    assert enough.calibrated
    for few in (
        of_one(deviation, error, np.arange(60) % 2),
        of_one(deviation[:19], error[:19], np.arange(19)),
    ):
        assert not few.calibrated
        assert few.scale == 1.0
        assert math.isnan(few.scale_error)
        assert few.lower_ev_per_angstrom == 0.15
        assert few.upper_ev_per_angstrom == 0.6


def test_an_element_that_no_frame_holds_is_uncalibrated_and_flags_the_whole(rng):
    deviation, error, frame = committee(rng, 3.0)
    found = calibrate(deviation, error, ["A"] * len(error), frame, ["A", "B"], SETTINGS)
    assert found.by_species["A"].calibrated
    assert not found.by_species["B"].calibrated
    assert found.by_species["B"].frames == found.by_species["B"].atoms == 0
    assert not found.calibrated


def test_a_deviation_that_says_nothing_has_no_rank_correlation(rng):
    deviation, error, frame = committee(rng, 1.0)
    assert abs(of_one(rng.permutation(deviation), error, frame).rank_correlation) < 0.1
    assert of_one(error / 7, error, frame).rank_correlation == pytest.approx(1.0)


def test_levels_survive_json(rng):
    deviation, error, frame = committee(rng, 3.0)
    before = calibrate(deviation, error, ["A"] * len(error), frame, ["A", "B"], SETTINGS)
    text = json.dumps(before.as_json(), allow_nan=False)
    after = TrustLevels.from_json(json.loads(text))
    assert after.by_species["A"] == before.by_species["A"]
    assert after.as_json() == before.as_json()
    with pytest.raises(DataError, match="trust levels of A"):
        TrustLevels.from_json({"A": {"scale": 1.0}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, e: (np.zeros_like(d), e), "all deviations of A are zero"),
        (lambda d, e: (d, np.zeros_like(e)), "the errors of A are zero"),
        (
            lambda d, e: (np.where(d == d.max(), np.nan, d), e),
            "an atom's deviation is negative or not",
        ),
        (lambda d, e: (d, -e), "an atom's error is negative or not"),
        (lambda d, e: (d[1:], e), "one of each for every atom"),
    ],
)
def test_impossible_input_of_a_calibration_is_refused(rng, change, message):
    deviation, error, frame = committee(rng, 1.0)
    deviation, error = change(deviation, error)
    with pytest.raises(DataError, match=message):
        of_one(deviation, error, frame)


def test_an_element_outside_the_type_map_is_refused():
    with pytest.raises(DataError, match="atoms of B are not in the type map A"):
        calibrate(np.ones(1), np.ones(1), ["B"], [0], ["A"], SETTINGS)


def levels(**limits):
    """Levels as given by element: lower, upper."""
    entry = {
        "scale": 1.0,
        "scale_error": 0.1,
        "rank_correlation": 0.5,
        "frames": 9,
        "atoms": 90,
        "calibrated": True,
    }
    return TrustLevels.from_json(
        {
            name: entry | {"lower_ev_per_angstrom": low, "upper_ev_per_angstrom": high}
            for name, (low, high) in limits.items()
        }
    )


def test_the_worst_atom_decides_by_the_levels_of_its_element():
    deviation = np.array(
        [
            [0.05, 0.15],  # both below
            [0.15, 0.05],  # first between its levels
            [0.05, 0.25],  # second between its levels
            [0.35, 0.05],  # first above its upper level
            [0.05, 0.35],  # the same deviation is fine for the second
            [0.15, 0.45],  # one between, one above
            [np.nan, 0.05],
            [np.inf, 0.05],
            [0.1, 0.2],  # at the lower level is still accurate
        ]
    )
    verdicts = classify(deviation, ["A", "B"], levels(A=(0.1, 0.3), B=(0.2, 0.4)))
    assert verdicts.tolist() == [
        *["accurate", "candidate", "candidate", "failed", "candidate"],
        *["failed", "failed", "failed", "accurate"],
    ]


def test_more_deviation_never_improves_a_verdict(rng):
    order = ["accurate", "candidate", "failed"]
    trust = levels(A=(0.1, 0.3), B=(0.2, 0.4))
    deviation = rng.uniform(0, 0.3, size=(200, 6))
    species = ["A", "B", "A", "B", "B", "A"]
    before = [order.index(v) for v in classify(deviation, species, trust)]
    more = deviation + rng.uniform(0, 0.1, size=deviation.shape)
    after = [order.index(v) for v in classify(more, species, trust)]
    assert all(b <= a for b, a in zip(before, after, strict=True))
    assert before != after


def test_the_ratio_is_that_of_the_atom_farthest_above_its_own_level():
    deviation = np.array([[0.2, 0.3], [0.1, 0.6]])
    ratio, atom = deviation_ratio(deviation, ["A", "B"], levels(A=(0.1, 1), B=(0.2, 1)))
    assert ratio.tolist() == pytest.approx([2.0, 3.0])
    assert atom.tolist() == [0, 1]


def test_an_element_without_level_is_refused():
    with pytest.raises(DataError, match="no trust level for C; there are levels for A, B"):
        classify(np.zeros((1, 1)), ["C"], levels(A=(0.1, 0.3), B=(0.2, 0.4)))
    with pytest.raises(DataError, match=r"expected \(frames, 3\)"):
        classify(np.zeros((1, 2)), ["A"] * 3, levels(A=(0.1, 0.3)))


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
    ("model", "content", "message"),
    [
        (TrustSettings, {"failed_error_ev_per_angstrom": 0.1}, "must be larger"),
        (TrustSettings, {"minimum_frames": 1}, "minimum_frames"),
        (SelectionSettings, {"maximum_density_g_cm3": 0.5}, "must be larger"),
        (SelectionSettings, {"frames": 3}, "unknown key"),
    ],
)
def test_impossible_settings_are_refused(model, content, message):
    with pytest.raises(RecipeError, match=message):
        validated(content, model, "recipe")
