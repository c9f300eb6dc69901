"""Stability and conservation: planted faults are found, healthy runs pass."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from dynamics_cages import trajectory_of

from mlip.errors import DataError, InputError, RecipeError
from mlip.recipes.base import validated
from mlip.recipes.dynamics import ConservationRun, DynamicsSettings, StabilityRun
from mlip.validation.dynamics.conservation import energy_drift, nve_protocol, stage_energies
from mlip.validation.dynamics.runs import Outcome
from mlip.validation.dynamics.stability import (
    Thermo,
    distance_findings,
    stability_protocol,
    survival,
    temperature_finding,
    units_finding,
    volume_finding,
)
from mlip.validation.dynamics.thresholds import dynamics_limits
from mlip.validation.dynamics.training_range import (
    hottest_training_temperature,
    nearest_in_training,
)

LIMITS = dynamics_limits().stability
CELL = np.eye(3) * 12.0
# One PS4 tetrahedron with a bond of 2.05 Å, and a Li.
SPECIES = ["P", "S", "S", "S", "S", "Li"]
CORNERS = 2.05 / math.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
STILL = np.concatenate([[[6.0, 6, 6]], 6.0 + CORNERS, [[1.0, 1, 1]]])
NEAREST = {"Li-P": 2.8, "Li-S": 2.2, "P-S": 1.95, "S-S": 3.0}


def frames(changed=(), shift=(0.0, 0.0, 0.0), count=200):
    """Return a still molecule whose first S is shifted in the frames `changed`."""
    positions = np.tile(STILL, (count, 1, 1))
    for k in changed:
        positions[k, 1] += shift
    return trajectory_of(positions, SPECIES, CELL, interval_ps=0.01)


def rows(findings):
    return {finding.quantity: finding for finding in findings}


def test_a_still_molecule_keeps_its_distances():
    found = rows(distance_findings("x", frames(), NEAREST, LIMITS))
    assert {row.verdict for row in found.values()} == {"pass"}
    assert len(found) == 6
    assert found["closest P-S (Å)"].value == pytest.approx(2.05)
    assert found["closest P-S (Å)"].limit == pytest.approx(1.85)


def test_one_frame_with_a_pair_too_near_fails_that_pair_alone():
    nearer = -0.25 / math.sqrt(3) * np.ones(3)
    found = rows(distance_findings("x", frames([77], nearer), NEAREST, LIMITS))
    assert found["closest P-S (Å)"].value == pytest.approx(1.80)
    assert [q for q, row in found.items() if row.verdict == "fail"] == ["closest P-S (Å)"]


def test_a_pair_never_near_in_training_may_not_come_near():
    away = {pair: d for pair, d in NEAREST.items() if pair != "S-S"}
    found = rows(distance_findings("x", frames(), away, LIMITS))
    assert found["closest S-S (Å)"].verdict == "fail"
    assert "none within 4 Å" in found["closest S-S (Å)"].text
    assert found["closest Li-Li (Å)"].verdict == "pass"


def test_a_unit_is_intact_through_a_flicker_but_not_after_a_break():
    away = 1.0 * np.ones(3)
    assert units_finding("x", frames(), LIMITS).verdict == "pass"
    flicker = units_finding("x", frames(range(150, 170), away), LIMITS)
    assert (flicker.verdict, flicker.value) == ("pass", 1.0)
    broken = units_finding("x", frames(range(120, 200), away), LIMITS)
    assert (broken.verdict, broken.value) == ("fail", 0.0)
    assert "PS4" in broken.text
    assert "last 0.5 ps" in broken.text
    assert "last 0.1 ps" in units_finding("x", frames(count=11), LIMITS).text


def test_units_of_elements_without_rules_are_not_assessed():
    copper = trajectory_of(np.tile(STILL, (60, 1, 1)), ["Cu"] * 6, CELL, interval_ps=0.01)
    assert units_finding("x", copper, LIMITS).verdict == "not assessed"
    lithium = trajectory_of(np.tile(STILL, (60, 1, 1)), ["Li"] * 6, CELL, interval_ps=0.01)
    assert "no anions" in units_finding("x", lithium, LIMITS).text


def test_a_run_that_broke_down_fails_with_the_time_it_reached(tmp_path):
    row = survival("x", Outcome(tmp_path, "Lost atoms"), frames(), 50.0)
    assert (row.verdict, row.limit) == ("fail", 50.0)
    assert row.value == pytest.approx(1.99)
    assert "Lost atoms" in row.text
    assert survival("x", Outcome(tmp_path, ""), frames(), 50.0).verdict == "pass"


def test_temperature_and_volume_are_judged_late_in_the_run():
    thermo = Thermo(np.r_[np.full(50, 300.0), np.full(50, 610.0)], np.linspace(1000, 1100, 100))
    assert temperature_finding("x", thermo, 600.0, LIMITS).value == pytest.approx(10.0)
    assert temperature_finding("x", thermo, 600.0, LIMITS).verdict == "pass"
    assert temperature_finding("x", thermo, 550.0, LIMITS).verdict == "fail"
    assert volume_finding("x", thermo, LIMITS).verdict == "pass"
    torn = Thermo(thermo.temperatures_kelvin, np.linspace(1000, 1400, 100))
    assert volume_finding("x", torn, LIMITS).verdict == "fail"


def test_a_drift_is_found_with_an_error_that_covers():
    rng = np.random.default_rng(3)
    times = np.arange(2000) * 0.01
    covered = []
    for _ in range(200):
        noise = np.convolve(rng.normal(0, 1e-4, 2030), np.ones(31) / 31, "valid")
        drift = energy_drift(times, -240.0 + 2e-5 * times + noise)
        covered.append(abs(drift.slope - 2e-5) <= drift.half_width)
    # Binomial standard error 1.5 %.
    assert np.mean(covered) > 0.90
    assert energy_drift(times, 1e-5 * times - 7).slope == pytest.approx(1e-5)
    with pytest.raises(DataError, match="39 energies"):
        energy_drift(times[:39], times[:39])
    with pytest.raises(DataError, match="1 of them not finite"):
        energy_drift(times, np.where(times == times[5], np.nan, 1.0))


def test_only_the_stage_at_constant_energy_counts(tmp_path):
    path = tmp_path / "thermo.csv"
    path.write_text("time_ps,stage,total_energy_ev\n0,heat,1\n0.1,conserve,2\n0.2,conserve,3\n")
    times, energies = stage_energies(path, "conserve")
    assert times.tolist() == [0.1, 0.2]
    assert energies.tolist() == [2.0, 3.0]


def test_the_hottest_training_frame_sets_the_temperature(tmp_path):
    head = "split,system,row,source,frame,phase,temperature_kelvin\n"
    table = tmp_path / "frames.csv"
    table.write_text(
        f"{head}train,a,0,s,0,melt,900\ntrain,a,1,s,1,melt,1500\ntest,a,0,s,2,x,2000\n"
    )
    assert hottest_training_temperature(tmp_path) == 1500.0
    table.write_text(f"{head}train,a,0,s,0,melt,\n")
    with pytest.raises(InputError, match="none of 1 training frames"):
        hottest_training_temperature(tmp_path)


def test_nearest_pairs_come_from_the_certificate_or_from_the_training_frames(tiny_set, tmp_path):
    data = tmp_path / "set"
    shutil.copytree(tiny_set, data)
    path = data / "certificate.json"
    content = json.loads(path.read_text())
    content.pop("smallest_distance_angstrom", None)
    path.write_text(json.dumps(content))
    cache = tmp_path / "nearest.json"
    measured = nearest_in_training(data, cache)
    closest = measured["P-S"]
    assert 1.8 < closest < 2.1
    assert json.loads(cache.read_text()) == measured
    path.write_text(
        json.dumps(content | {"smallest_distance_angstrom": {"S-P": 1.5, "Li-Li": 6.0, "all": 1.5}})
    )
    assert nearest_in_training(data, cache) == {"P-S": 1.5}


def test_protocols_hold_and_conserve():
    entry = StabilityRun.model_validate(
        {
            "name": "hot",
            "start": {"crystal": "beta-Li3PS4"},
            "hottest_training_factor": 1.2,
            "duration_ps": 5,
            "ensemble": "nvt",
        }
    )
    hold = stability_protocol(entry, 1800.0, 7)
    assert [stage.kind for stage in hold.stages] == ["minimise", "nvt"]
    assert hold.trajectory_every_steps == 10
    run = ConservationRun.model_validate(
        {"start": {"crystal": "Li2S"}, "temperature_kelvin": 600, "timestep_fs": 2}
    )
    kinds = [stage.kind for stage in nve_protocol(run, 1).stages]
    assert kinds == ["minimise", "nvt", "nve"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"stability": [{"name": "a", "start": {}, "duration_ps": 1}]}, "give either crystal"),
        (
            {"stability": [{"name": "a", "start": {"crystal": "Li2S"}, "duration_ps": 1}]},
            "give either temperature_kelvin",
        ),
        (
            {"nve": [{"start": {"crystal": "Li2S"}, "temperature_kelvin": 600}] * 2},
            "two entries named nve",
        ),
        (
            {
                "aimd": [
                    {
                        "name": "a",
                        "path": "x",
                        "temperature_kelvin": 600,
                        "peaks": [{"name": "p", "species": "S", "window_per_cm": [500, 400]}],
                    }
                ]
            },
            "runs from 500 to 400",
        ),
    ],
)
def test_impossible_settings_are_refused(content, message):
    with pytest.raises(RecipeError, match=message):
        validated(content, DynamicsSettings, "recipe")
