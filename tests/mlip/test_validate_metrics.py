from __future__ import annotations

import math

import numpy as np
import pytest
from reference_systems import shifted, system

from mlip.engines.deepmd import Predicted
from mlip.validation.metrics import (
    Tally,
    group_to_json,
    groups_to_json,
    merge,
    system_errors,
    tally,
    temperature_band,
)
from mlip.validation.predictions import atom_deviations, committee_mean


def errors(reference, predicted, labels=None):
    return system_errors(reference, predicted, labels or ("all",) * reference.n_frames, "all")


def test_energy_error_is_per_atom_and_in_mev():
    reference = system(symbols=("Li", "S"))
    found = groups_to_json(errors(reference, shifted(reference, np.array([0.1, -0.3]))))
    overall = found["overall"]
    assert overall["energy_mae_mev_per_atom"] == pytest.approx(100.0)
    assert overall["energy_rmse_mev_per_atom"] == pytest.approx(math.sqrt((50**2 + 150**2) / 2))
    assert overall["energy_max_mev_per_atom"] == pytest.approx(150.0)
    assert overall["energy_mean_error_mev_per_atom"] == pytest.approx(-50.0)


def test_constant_energy_shift_of_a_system_vanishes_only_after_shift_removal():
    first, second = system("a"), system("bb")
    groups = merge(
        [
            errors(first, shifted(first, energy=2.0)),
            errors(second, shifted(second, energy=-2.0)),
        ]
    )
    overall = groups_to_json(groups)["overall"]
    assert overall["energy_rmse_mev_per_atom"] == pytest.approx(1000.0)
    assert overall["energy_after_system_shift_rmse_mev_per_atom"] == pytest.approx(0.0, abs=1e-9)


def test_a_system_of_one_frame_has_no_error_after_shift_removal():
    single, pair = system("a", frames=1), system("bb", frames=2)
    alone = errors(single, shifted(single, energy=2.0))
    found = groups_to_json(alone)["overall"]
    assert found["energy_rmse_mev_per_atom"] == pytest.approx(1000.0)
    assert found["energy_after_system_shift_rmse_mev_per_atom"] is None
    groups = merge([alone, errors(pair, shifted(pair, np.array([0.2, -0.2])))])
    found = groups_to_json(groups)["overall"]
    assert found["energy_after_system_shift_rmse_mev_per_atom"] == pytest.approx(100.0)


def test_shift_is_taken_per_system_not_per_phase():
    reference = system(frames=2, phases=("crystal", "melt"))
    groups = errors(reference, shifted(reference, np.array([0.2, -0.2])))
    found = group_to_json(groups["by_phase", "melt"])
    assert found["energy_after_system_shift_rmse_mev_per_atom"] == pytest.approx(100.0)


def test_force_errors_are_split_by_species():
    reference = system(symbols=("Li", "S", "S"))
    error = np.zeros((2, 3, 3))
    error[:, 0, 0] = 0.3
    error[:, 1:, :] = 0.1
    found = groups_to_json(errors(reference, shifted(reference, force=error)))
    lithium, sulfur = found["force_by_species"]["Li"], found["force_by_species"]["S"]
    assert lithium["force_mae_mev_per_angstrom"] == pytest.approx(100.0)
    assert lithium["force_rmse_mev_per_angstrom"] == pytest.approx(300 / math.sqrt(3))
    assert lithium["force_max_mev_per_angstrom"] == pytest.approx(300.0)
    assert sulfur["force_rmse_mev_per_angstrom"] == pytest.approx(100.0)
    assert (lithium["force_components"], sulfur["force_components"]) == (6, 12)
    rms = 1000 * math.sqrt(np.square(reference.forces[:, :1]).mean())
    assert lithium["force_reference_rms_mev_per_angstrom"] == pytest.approx(rms)


def test_virial_counts_only_frames_that_have_one():
    full, none = system("a", frames=3), system("bb", frames=5, virial=False)
    groups = merge(
        [
            errors(full, shifted(full, virial=0.02)),
            errors(none, Predicted(none.energies, none.forces, np.ones((5, 3, 3)))),
        ]
    )
    overall = groups_to_json(groups)["overall"]
    assert (overall["frames"], overall["virial_frames"]) == (8, 3)
    assert overall["virial_mae_mev_per_atom"] == pytest.approx(10.0)
    assert groups_to_json(groups)["by_system"]["bb"]["virial_rmse_mev_per_atom"] is None


def test_merged_systems_give_the_errors_of_the_concatenated_values():
    rng = np.random.default_rng(3)
    one, two = rng.normal(size=7), rng.normal(size=11)
    joined, both = tally(one) + tally(two), np.concatenate([one, two])
    assert joined.count == 18
    assert joined.mae == pytest.approx(np.abs(both).mean())
    assert joined.rmse == pytest.approx(np.sqrt(np.square(both).mean()))
    assert joined.largest == pytest.approx(np.abs(both).max())


def test_group_keys_name_phase_and_temperature_band():
    reference = system(frames=3, phases=("crystal", "crystal", "melt"))
    groups = errors(reference, shifted(reference))
    assert groups["by_phase", "crystal"].frames == 2
    assert groups["by_phase", "melt"].frames == 1
    assert groups["by_temperature", "600-800 K"].frames == 3


@pytest.mark.parametrize(
    ("kelvin", "band"),
    [(0.0, "0-200 K"), (599.9, "400-600 K"), (600.0, "600-800 K"), (math.nan, "unknown")],
)
def test_temperature_bands_are_half_open(kelvin, band):
    assert temperature_band(kelvin) == band


def test_errors_without_values_are_undefined_not_zero():
    assert math.isnan(Tally().rmse)
    assert math.isnan(tally(np.array([math.nan])).mae)


def test_committee_mean_of_opposite_errors_is_exact():
    reference = system()
    members = [shifted(reference, 0.1, 0.2, 0.3), shifted(reference, -0.1, -0.2, -0.3)]
    mean = committee_mean(members)
    np.testing.assert_allclose(mean.forces, reference.forces, atol=1e-14)
    np.testing.assert_allclose(mean.energies, reference.energies, atol=1e-14)


def test_atom_deviation_is_the_population_deviation_of_the_force_vector():
    forces = np.zeros((2, 1, 2, 3))
    forces[0, 0, 1] = [0.3, 0.0, 0.4]
    members = [Predicted(np.zeros(1), f, np.zeros((1, 3, 3))) for f in forces]
    # |(0.3, 0, 0.4)| = 0.5; each member is 0.25 from the mean, on one of two atoms.
    np.testing.assert_allclose(atom_deviations(members), [[0.0, 0.25]])


def test_groups_hold_the_frames_of_the_headline_and_blocks_stand_apart():
    reference = system(frames=4, phases=("melt", "melt", "glass", "glass"))
    labels = ("untouched", "block", "untouched", "block")
    planted = np.array([0.1, 0.5, 0.1, 0.5])[:, None, None] * np.ones((4, 2, 3))
    found = groups_to_json(
        system_errors(reference, shifted(reference, force=planted), labels, "untouched")
    )
    key = "force_rmse_mev_per_angstrom"
    for group in (found["overall"], found["by_system"]["a"], found["by_phase"]["melt"]):
        assert group[key] == pytest.approx(100.0)
    assert found["overall"]["frames"] == 2
    assert found["by_phase"]["glass"]["frames"] == 1
    assert found["by_independence"]["untouched"][key] == pytest.approx(100.0)
    assert found["by_independence"]["block"][key] == pytest.approx(500.0)
    assert found["by_independence"]["block"]["frames"] == 2


def test_a_system_outside_the_headline_is_in_no_other_group():
    reference = system("b")
    groups = system_errors(reference, shifted(reference), ("block",) * 2, "untouched")
    assert set(groups) == {("by_independence", "block")}


def test_compositions_of_one_reduced_formula_are_one_group():
    small = system("a", symbols=("Li", "Li", "S"))
    large = system("bb", symbols=("S", "Li", "Li", "Li", "S", "Li"), frames=3)
    other = system("c", symbols=("Li", "Li", "Li", "P", "S", "S", "S", "S"))
    found = groups_to_json(merge([errors(s, shifted(s)) for s in (small, large, other)]))
    assert {name: group["frames"] for name, group in found["by_composition"].items()} == {
        "Li2S": 5,
        "Li3PS4": 2,
    }


def test_force_errors_are_split_by_species_and_phase():
    reference = system(symbols=("Li", "S"), frames=2, phases=("crystal", "melt"))
    planted = np.zeros((2, 2, 3))
    planted[1, 0] = 0.3  # lithium in the melt alone
    found = groups_to_json(errors(reference, shifted(reference, force=planted)))
    by_phase = found["force_by_species_and_phase"]
    rmse = {
        (phase, name): by_phase[phase][name]["force_rmse_mev_per_angstrom"]
        for phase in by_phase
        for name in by_phase[phase]
    }
    assert rmse.pop(("melt", "Li")) == pytest.approx(300.0)
    assert all(value == pytest.approx(0.0, abs=1e-9) for value in rmse.values())
    assert len(rmse) == 3
