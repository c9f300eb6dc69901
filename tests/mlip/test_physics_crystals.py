"""Equations of state, elastic constants and relaxations against independent numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from physics_frames import case, copper, evaluated, joined, scaled, statics

from mlip.engines.deepmd import Predicted
from mlip.engines.deepmd_relax import perform, relax
from mlip.errors import BlowUpError, DataError
from mlip.validation.physics.cell_check import cell_part
from mlip.validation.physics.elastic import fit_elasticity, relative_difference, strained_frames
from mlip.validation.physics.elastic_check import elastic_part
from mlip.validation.physics.equation_check import equation_part
from mlip.validation.physics.equation_of_state import (
    GPA_PER_EV_ANGSTROM3,
    EquationOfState,
    birch_murnaghan,
    fit_equation_of_state,
    volume_frames,
)
from mlip.validation.physics.frames import LabelledSet
from mlip.validation.physics.thresholds import load_physics_thresholds

LIMITS = load_physics_thresholds()
STRAINS = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
LIMIT = {"force_ev_per_angstrom": 1e-4, "maximum_steps": 200}


def energy(atoms) -> float:
    atoms.calc = EMT()
    return atoms.get_potential_energy()


def second_derivative(deformation_of, size: float = 2e-3) -> float:
    """Return d2E/dx2 / V in GPa of copper under a deformation gradient, five points."""
    values = []
    for x in size * np.arange(-2, 3):
        atoms = copper()
        atoms.set_cell(atoms.cell.array @ deformation_of(x), scale_atoms=True)
        values.append(energy(atoms))
    weights = np.array([-1, 16, -30, 16, -1]) / 12.0
    return float(weights @ values / size**2 / copper().get_volume() * GPA_PER_EV_ANGSTROM3)


def test_the_fit_gives_back_the_equation_of_state_that_made_the_energies():
    truth = EquationOfState(645.2, -14573.6, 21.7, 5.3, 0.0)
    volumes = truth.volume_angstrom3 * (1.0 + np.array(STRAINS))
    found = fit_equation_of_state(volumes, birch_murnaghan(volumes, truth), "test")
    assert found.volume_angstrom3 == pytest.approx(645.2, rel=1e-8)
    assert found.energy_ev == pytest.approx(-14573.6, abs=1e-8)
    assert found.bulk_modulus_gpa == pytest.approx(21.7, rel=1e-6)
    assert found.pressure_derivative == pytest.approx(5.3, rel=1e-4)
    assert found.rms_ev < 1e-9


def test_energies_without_a_minimum_or_too_few_are_refused():
    truth = EquationOfState(100.0, 0.0, 20.0, 4.0, 0.0)
    compressed = np.linspace(80.0, 95.0, 7)
    with pytest.raises(DataError, match="no minimum"):
        fit_equation_of_state(compressed, birch_murnaghan(compressed, truth), "test")
    with pytest.raises(DataError, match="at least 5"):
        fit_equation_of_state(compressed[:4], birch_murnaghan(compressed[:4], truth), "test")


def test_the_bulk_modulus_of_copper_is_the_curvature_of_its_energy():
    frames = joined(volume_frames(copper(), STRAINS))
    fit = fit_equation_of_state(frames.volumes, evaluated(frames).energies, "copper")
    # E(x) with every length times 1 + x: d2E/dx2 = 9 V B at the minimum.
    direct = second_derivative(lambda x: (1.0 + x) * np.eye(3)) / 9.0
    assert fit.bulk_modulus_gpa == pytest.approx(direct, rel=2e-3)


def test_elastic_constants_of_copper_are_those_of_its_energy():
    frames = joined(strained_frames(copper(), (0.005, 0.01)))
    found = fit_elasticity(frames, evaluated(frames).virials, "copper")
    c11 = second_derivative(lambda x: np.diag([1.0 + x, 1.0, 1.0]))
    # exp(e) keeps the volume: d2E/dx2 / V = 2 (c11 - c12).
    difference = second_derivative(lambda x: np.diag([np.exp(x), np.exp(-x), 1.0])) / 2.0
    c44 = second_derivative(lambda x: np.array([[1.0, x / 2, 0], [x / 2, 1.0, 0], [0, 0, 1.0]]))
    matrix = found.stiffness_gpa
    assert matrix[0, 0] == pytest.approx(c11, rel=5e-3)
    assert matrix[0, 0] - matrix[0, 1] == pytest.approx(difference, rel=5e-3)
    assert matrix[3, 3] == pytest.approx(c44, rel=5e-3)
    assert np.allclose(np.diag(matrix)[:3], matrix[0, 0])
    assert np.allclose(np.diag(matrix)[3:], matrix[3, 3])
    assert found.bulk_gpa == pytest.approx((matrix[0, 0] + 2 * matrix[0, 1]) / 3, rel=1e-6)
    assert found.smallest_eigenvalue_gpa == pytest.approx(
        min(matrix[0, 0] - matrix[0, 1], 2 * matrix[3, 3]), rel=1e-6
    )
    assert np.abs(found.rest_stress_gpa).max() < 0.05


def test_elastic_constants_do_not_depend_on_how_the_crystal_lies():
    turned = copper()
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    straight, tilted = (
        fit_elasticity(frames, evaluated(frames).virials, "copper")
        for frames in (joined(strained_frames(atoms, (0.005,))) for atoms in (copper(), turned))
    )
    assert tilted.bulk_gpa == pytest.approx(straight.bulk_gpa, rel=1e-3)
    assert tilted.shear_gpa == pytest.approx(straight.shear_gpa, rel=1e-3)
    assert relative_difference(tilted.stiffness_gpa, straight.stiffness_gpa) > 0.05


def test_strains_that_miss_a_component_are_refused():
    named = [n for n in strained_frames(copper(), (0.01,)) if not n[0].startswith("xy")]
    frames = joined(named)
    with pytest.raises(DataError, match="six independent strains"):
        fit_elasticity(frames, evaluated(frames).virials, "copper")


def test_a_relaxed_cell_finds_the_minimum_and_keeps_its_symmetry():
    strained = copper(3.7)
    relaxed, converged = relax(strained, EMT(), with_cell=True, force=1e-4, steps=100)
    frames = joined(volume_frames(copper(), STRAINS))
    fit = fit_equation_of_state(frames.volumes, evaluated(frames).energies, "copper")
    assert converged
    assert relaxed.get_volume() == pytest.approx(fit.volume_angstrom3, rel=1e-3)
    assert np.allclose(relaxed.cell.lengths(), relaxed.cell.lengths()[0], atol=1e-8)
    assert np.allclose(relaxed.cell.angles(), 90.0, atol=1e-8)


def test_a_cell_that_runs_away_is_reported_and_the_others_go_on():
    # Argon of Lennard-Jones torn far apart: no force holds it together beyond the cutoff.
    lost = bulk("Ar", cubic=True, a=4.4)
    calculator = LennardJones(sigma=3.4, epsilon=0.0103, rc=10.0, smooth=True)
    with pytest.raises(BlowUpError, match="volume changed"):
        relax(lost, calculator, with_cell=True, force=1e-4, steps=300)
    good = bulk("Ar", cubic=True, a=5.3)
    arrays = perform("cell", [lost, good], calculator, LIMIT)
    assert arrays["converged"].tolist() == [False, True]
    assert np.isnan(arrays["energies"][0])
    assert np.isfinite(arrays["energies"][1])


def test_an_equation_of_state_passes_against_itself_and_fails_against_a_softer_one(tmp_path):
    frames = joined(volume_frames(copper(), STRAINS))
    truth = evaluated(frames)
    labelled = case({"eos": LabelledSet(frames, truth)})

    def verdicts(factor, figure):
        members = [statics(frames, scaled(truth, factor))] * 2
        part = equation_part(labelled, members, [None, None], LIMITS, figure)
        return {finding.quantity: finding for finding in part.findings}

    same = verdicts(1.0, tmp_path / "same.png")
    softer = verdicts(0.7, tmp_path / "softer.png")
    assert (tmp_path / "softer.png").stat().st_size > 5000
    modulus = "bulk modulus, labelled ions (GPa)"
    assert {same[key].verdict for key in same if same[key].reference_kind == "DFT"} == {"pass"}
    assert softer[modulus].verdict == "fail"
    assert softer[modulus].value == pytest.approx(0.7 * softer[modulus].reference, rel=1e-6)
    assert softer["equilibrium volume (Å^3)"].verdict == "pass"
    assert same["bulk modulus, relaxed ions (GPa)"].verdict == "not assessed"


def test_a_single_labelled_volume_shows_no_shape(tmp_path):
    frames = joined([("+0.0000", copper())])
    truth = evaluated(frames)
    members = [statics(frames, scaled(truth, 5.0))]
    part = equation_part(
        case({"eos": LabelledSet(frames, truth)}), members, [None], LIMITS, tmp_path / "one.png"
    )
    assert {finding.verdict for finding in part.findings} == {"not assessed"}
    assert "at least 5" in part.findings[0].text


def test_elastic_constants_of_stresses_20_percent_off_fail_by_20_percent():
    frames = joined(strained_frames(copper(), (0.01,)))
    truth = evaluated(frames)
    labelled = case({"elastic": LabelledSet(frames, truth)})
    part = elastic_part(labelled, [statics(frames, scaled(truth, 1.2))], [None], LIMITS)
    found = {finding.quantity: finding for finding in part.findings}
    error = found["elastic constants, error of the tensor (fraction of its size)"]
    assert error.value == pytest.approx(0.2, rel=1e-6)
    assert error.verdict == "fail"
    assert found["bulk modulus, labelled ions, Voigt-Reuss-Hill (GPa)"].verdict == "fail"


def test_cells_are_judged_against_dft_then_experiment_then_nothing():
    wide = joined([("0", copper(1.02 * copper().cell.lengths()[0]))])
    dft = joined([("cell", copper())])
    members = [statics(wide, evaluated(wide))]
    against_dft = cell_part(
        case({"relaxed": LabelledSet(dft, evaluated(dft))}), members, LIMITS
    ).findings
    verdicts = {finding.quantity: finding.verdict for finding in against_dft}
    assert verdicts["a (Å)"] == verdicts["relaxed volume (Å^3)"] == "fail"
    assert verdicts["alpha (degree)"] == "pass"
    assert verdicts["shortest Cu-Cu distance (Å)"] == "fail"
    measured = {"cell": [3.61, 3.61, 3.61, 90, 90, 90], "source": "300 K"}
    (a, *_, gamma) = cell_part(case(experiment=measured), members, LIMITS).findings
    assert (gamma.quantity, gamma.verdict) == ("gamma (degree)", "pass")
    sheared = measured | {"cell": [3.61, 3.61, 3.61, 90, 90, 87]}
    *_, gamma = cell_part(case(experiment=sheared), members, LIMITS).findings
    assert (gamma.verdict, gamma.reference) == ("fail", 87.0)
    assert (a.verdict, a.reference_kind, a.reference) == ("pass", "experiment", 3.61)
    assert "no cell relaxed with DFT" in a.text
    (alone,) = cell_part(case(), members, LIMITS).findings
    assert (alone.verdict, alone.reference) == ("not assessed", None)


def test_a_dft_cell_that_is_not_relaxed_is_no_reference():
    pressed = joined([("cell", copper(3.5))])
    labelled = case({"relaxed": LabelledSet(pressed, evaluated(pressed))})
    (found,) = cell_part(labelled, [statics(pressed, evaluated(pressed))], LIMITS).findings
    assert found.verdict == "not assessed"
    assert "not relaxed" in found.text
    truth = evaluated(pressed)
    unstressed = Predicted(truth.energies, truth.forces, np.full_like(truth.virials, np.nan))
    without = case({"relaxed": LabelledSet(pressed, unstressed)})
    (found,) = cell_part(without, [statics(pressed, truth)], LIMITS).findings
    assert (found.verdict, "has no stress" in found.text) == ("not assessed", True)


def test_a_distance_a_little_beyond_the_compared_range_is_still_compared():
    dft, own = (joined([("cell", Atoms("Cu", cell=3 * [a], pbc=True))]) for a in (2.995, 3.005))
    nothing = Predicted(np.zeros(1), np.zeros((1, 1, 3)), np.zeros((1, 3, 3)))
    made = replace(case({"relaxed": LabelledSet(dft, nothing)}), start=dft.atoms(0))
    *_, distance = cell_part(made, [statics(own, nothing)], LIMITS).findings
    assert distance.quantity == "shortest Cu-Cu distance (Å)"
    assert (distance.verdict, distance.value) == ("pass", pytest.approx(3.005))


def test_a_member_that_did_not_relax_fails_the_committee():
    dft = joined([("cell", copper())])
    good = statics(dft, evaluated(dft))
    bad = statics(dft, scaled(evaluated(dft), np.nan))
    reference = case({"relaxed": LabelledSet(dft, evaluated(dft))})
    findings = cell_part(reference, [good, bad], LIMITS).findings
    assert {finding.verdict for finding in findings} == {"fail"}
    assert all("1 of 2 members gave no value" in finding.text for finding in findings)
