"""Calibration curve and coverage from planted deviations and errors; the record and figure."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from mlip.errors import DataError
from mlip.recipes.selection import TrustSettings
from mlip.validation.calibration import (
    NOMINAL,
    AtomErrors,
    calibrated,
    coverage,
    curve,
    trust_record,
)
from mlip.validation.calibration_figure import calibration_figure
from mlip.validation.trust import TrustLevels

SETTINGS = TrustSettings()
UNSEEN = {"headline": "run untouched by training", "statement": "all frames are untouched"}


def planted(scale: float, *, frames=50, atoms=40, species="Li", seed=3) -> AtomErrors:
    """Errors that are Gaussian vectors of `scale` times the deviation, atom by atom."""
    rng = np.random.default_rng(seed)
    size = frames * atoms
    deviation = 0.05 * rng.lognormal(sigma=0.6, size=size)
    vector = scale * deviation[:, None] * rng.normal(size=(size, 3)) / math.sqrt(3)
    return AtomErrors(
        deviation,
        np.linalg.norm(vector, axis=1),
        np.array([species] * size),
        np.repeat(np.arange(frames), atoms),
    )


def joined(*parts: AtomErrors) -> AtomErrors:
    names = ("deviation", "error", "species", "frame")
    return AtomErrors(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_curve_lies_at_the_planted_ratio_in_every_bin(scale):
    atoms = planted(scale, frames=200)
    bins = curve(atoms.deviation, atoms.error, atoms.frame)
    assert len(bins) == 10
    assert sum(entry.atoms for entry in bins) == len(atoms.error)
    for entry in bins:
        expected = scale * entry.deviation_rms
        assert entry.error_rms == pytest.approx(expected, abs=4 * entry.error_rms_standard_error)
        # 800 vectors of three components: the rms is known to about 1 / sqrt(2 x 2400).
        assert entry.error_rms_standard_error == pytest.approx(expected / math.sqrt(4800), rel=0.5)


def test_bins_follow_each_other_without_overlap():
    atoms = planted(1.0)
    bins = curve(atoms.deviation, atoms.error, atoms.frame)
    for one, other in pairwise(bins):
        assert one.highest_deviation <= other.lowest_deviation
    assert bins[0].lowest_deviation == atoms.deviation.min()
    assert bins[-1].highest_deviation == atoms.deviation.max()


def test_few_atoms_make_one_bin_and_one_frame_no_error_bar():
    (entry,) = curve(np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([0, 0]))
    assert entry.error_rms == pytest.approx(math.sqrt(0.125))
    assert entry.deviation_rms == pytest.approx(math.sqrt(0.025))
    assert (entry.atoms, entry.frames) == (2, 1)
    assert math.isnan(entry.error_rms_standard_error)


def test_coverage_of_errors_as_planted_is_nominal_and_grows_with_the_scale():
    atoms = planted(2.0, frames=500)
    found = coverage(atoms.deviation, atoms.error, 2.0)
    four_sigma = [4 * math.sqrt(p * (1 - p) / len(atoms.error)) for p in NOMINAL]
    for share, nominal, allowed in zip(found.calibrated, NOMINAL, four_sigma, strict=True):
        assert share == pytest.approx(nominal, abs=allowed)
    assert all(a < b for a, b in zip(found.plain, found.calibrated, strict=True))


def test_the_lower_level_lets_the_known_share_of_wrong_atoms_pass():
    # All deviations equal and below the level: errors 0.1 and 0.3, limit 0.15, mean 0.14.
    size = 100
    error = np.where(np.arange(size) % 5 == 0, 0.3, 0.1)
    atoms = AtomErrors(
        np.full(size, 0.14), error, np.array(["Li"] * size), np.repeat(np.arange(10), 10)
    )
    found = calibrated(atoms, ["Li"], SETTINGS)
    assert found.levels.by_species["Li"].lower_ev_per_angstrom == pytest.approx(0.15)
    assert found.by_species["Li"].wrong_below_level == pytest.approx(0.2)


def test_elements_keep_their_own_scale_curve_and_levels():
    atoms = joined(planted(1.0, species="Li"), planted(4.0, species="S", seed=4))
    found = calibrated(atoms, ["Li", "P", "S"], SETTINGS)
    scale = {name: trust.scale for name, trust in found.levels.by_species.items()}
    assert scale["Li"] == pytest.approx(1.0, rel=0.05)
    assert scale["S"] == pytest.approx(4.0, rel=0.05)
    assert set(found.by_species) == {"Li", "S"}  # no phosphorus in the frames
    assert (found.frames, found.atoms) == (50, 4000)


def test_the_record_can_be_read_back_and_names_what_is_not_calibrated():
    found = calibrated(planted(2.0), ["Li", "P"], SETTINGS)
    record = json.loads(json.dumps(trust_record(found, SETTINGS, "test", UNSEEN), allow_nan=False))
    levels = TrustLevels.from_json(record["levels"])
    assert levels.by_species["Li"] == found.levels.by_species["Li"]
    assert record["calibrated"] is False
    assert record["reason"].startswith("P has 0 atoms in 0 frames; at least 20 atoms in 3 frames")
    assert record["independence"] == UNSEEN
    assert (record["split"], record["frames"], record["atoms"]) == ("test", 50, 2000)
    assert record["settings"]["accurate_error_ev_per_angstrom"] == 0.15
    assert sum(entry["atoms"] for entry in record["curve"]["Li"]) == 2000
    whole = trust_record(calibrated(planted(2.0), ["Li"], SETTINGS), SETTINGS, "test", UNSEEN)
    assert (whole["calibrated"], whole["reason"]) == (True, "")


def test_equal_members_are_refused():
    atoms = planted(1.0)
    still = AtomErrors(np.zeros_like(atoms.deviation), atoms.error, atoms.species, atoms.frame)
    with pytest.raises(DataError, match="a committee of one, or equal members"):
        calibrated(still, ["Li"], SETTINGS)


@pytest.mark.parametrize("names", [("Li",), ("Li", "P", "S")])
def test_the_figure_has_a_column_for_each_element(tmp_path, names):
    parts = [planted(1.0 + k, species=name, seed=k) for k, name in enumerate(names)]
    path = tmp_path / "figures" / "calibration.png"
    calibration_figure(path, calibrated(joined(*parts), [*names, "Ge"], SETTINGS))
    with Image.open(path) as image:
        assert image.width == pytest.approx(200 * (2.45 * len(names) + 0.5), abs=2)
