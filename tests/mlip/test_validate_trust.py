"""Trust levels from synthetic committees of known over-confidence."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mlip.errors import DataError, RecipeError
from mlip.recipes.base import validated
from mlip.recipes.selection import TrustSettings
from mlip.validation.trust import TrustLevels, calibrate, classify, deviation_ratio

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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"failed_error_ev_per_angstrom": 0.1}, "must be larger"),
        ({"minimum_frames": 1}, "minimum_frames"),
    ],
)
def test_impossible_trust_settings_are_refused(content, message):
    with pytest.raises(RecipeError, match=message):
        validated(content, TrustSettings, "recipe")
