"""What the distributions of displacements say in results, curves and figures."""

from __future__ import annotations

import numpy as np
import pytest
from toy_trajectories import brownian, make_trajectory

from analysis.displacements.displacement_findings import displacement_findings
from analysis.motion.membership import Membership

KINDS = ["Li"] * 30 + ["S"] * 10
LITHIUM = np.arange(30)
NAMES = (
    "non_gaussian_peak_time_Li",
    "non_gaussian_peak_height_Li",
    "self_relaxation_time_Li_q1",
    "self_relaxation_time_Li_q1.7",
    "self_relaxation_time_Li_q3",
)


@pytest.fixture
def trajectory(rng):
    walk = brownian(rng, 30, 60, 0.05)
    sulphur = np.zeros((60, 10, 3))
    places = rng.random((40, 3)) * 14
    positions = np.concatenate([walk, sulphur], axis=1) + places
    return make_trajectory(positions, species=KINDS, cell=14.0)


def test_all_ions_have_numbers_curves_and_four_figures(trajectory):
    found = displacement_findings(trajectory, LITHIUM, label="Li")
    assert tuple(quantity.name for quantity in found.quantities) == NAMES
    tables = {curve.name: curve for curve in found.curves}
    assert set(tables) == {
        "non_gaussian_Li",
        "van_hove_self_Li",
        "self_scattering_Li",
        "van_hove_distinct_Li-Li",
        "van_hove_distinct_Li-S",
    }
    assert {quantity.curve.removesuffix(".csv") for quantity in found.quantities} <= set(tables)
    assert set(found.figures) == {
        f"{name}_Li"
        for name in ("non_gaussian", "van_hove_self", "van_hove_distinct", "self_scattering")
    }
    assert all(figure.startswith(b"\x89PNG") for figure in found.figures.values())
    columns = tables["van_hove_self_Li"].columns
    assert [heading for heading in columns if "G_s" in heading] == [
        f"4 pi r^2 G_s at {time} ps [1/Angstrom]" for time in (1, 2, 5, 10, 29)
    ]
    r = columns["r [Angstrom]"]
    for heading, column in columns.items():
        if "G_s" in heading:
            assert column.sum() * (r[1] - r[0]) == pytest.approx(1.0)
    # The mean distance of a walk, at a lag whose histogram is far from the longest.
    mean = (columns["4 pi r^2 G_s at 1 ps [1/Angstrom]"] * r).sum() * (r[1] - r[0])
    assert mean == pytest.approx(np.sqrt(16 * 0.05 / np.pi), rel=0.1)
    assert found.skipped == []


def test_groups_have_names_of_their_own_and_share_figures(trajectory):
    codes = np.zeros((60, 30), dtype=np.int8)
    codes[:, 12:] = 1
    membership = Membership(("crystal", "early glass", "nowhere"), LITHIUM, codes)
    found = displacement_findings(trajectory, LITHIUM, label="Li", membership=membership)
    assert {quantity.name for quantity in found.quantities} == {
        f"{name}_{group}" for name in NAMES for group in ("crystal", "early_glass")
    }
    tables = {curve.name: curve for curve in found.curves}
    survivors = tables["non_gaussian_Li_crystal"].columns["displacements counted over all [1]"]
    assert np.allclose(survivors, 12 / 30)
    survivors = tables["self_scattering_Li_early_glass"].columns[
        "displacements counted over all [1]"
    ]
    assert np.allclose(survivors, 18 / 30)
    assert "van_hove_distinct_Li-S_crystal" in tables
    assert all(name.endswith("_by_group") for name in found.figures)
    assert len(found.figures) == 4
    assert [item.reason for item in found.skipped] == ["no displacement is counted in nowhere"]


def test_an_empty_division_and_a_short_run_are_skipped_with_the_reason(trajectory, rng):
    nobody = Membership(("a",), LITHIUM, np.full((60, 30), -1, dtype=np.int8))
    found = displacement_findings(trajectory, LITHIUM, label="Li", membership=nobody)
    assert not found.quantities
    assert found.skipped
    short = make_trajectory(brownian(rng, 3, 9))
    found = displacement_findings(short, np.arange(3), label="Li")
    assert not found.quantities
    assert found.skipped[0].reason == "9 frames; needs at least 10"


def test_one_ion_has_values_without_errors(rng):
    single = make_trajectory(brownian(rng, 1, 100))
    found = displacement_findings(single, np.arange(1), label="Li", drift_path=np.zeros((100, 3)))
    assert all(quantity.status == "unresolved" for quantity in found.quantities)


def test_groups_unknown_in_the_dense_recording_are_said_to_be(trajectory):
    membership = Membership(("a",), LITHIUM, np.zeros((60, 30), dtype=np.int8))
    found = displacement_findings(
        trajectory, LITHIUM, label="Li", membership=membership, dense=trajectory
    )
    assert "dense" in found.skipped[0].reason
