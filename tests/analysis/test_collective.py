"""Conductivity of all ions together: exact cases, Haven ratio, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from toy_trajectories import brownian, lattice_hops, make_trajectory, ornstein_uhlenbeck

from analysis.conductivity.collective import (
    all_ion_charge_displacement,
    ion_power,
    mobile_charge_displacement,
    sine_ordinates,
)
from analysis.conductivity.collective_findings import collective_findings
from analysis.conductivity.collective_slope import collective_slope
from analysis.conductivity.conductivity import (
    collective_bound,
    conductivity_per_slope,
    haven_ratio,
    nernst_einstein_conductivity,
    number_density,
)
from analysis.errors import AnalysisError, RangeError
from analysis.hops.net_hops import net_hops
from analysis.motion.diffusion import diffusion_coefficient
from analysis.motion.msd import mean_squared_displacement
from analysis.results import Quantity
from analysis.trajectory import centre_of_mass_path

IONS = 64
SOME_CONDUCTIVITY = Quantity("conductivity_collective_Li", 1.0, "S/cm", reason="known")


def in_framework(ions, *, framework=None, cell=20.0, charges=None, heavy=64):
    """Li among S atoms at rest, or that move as `framework` (F, 1 or n, 3)."""
    n_frames, n_ions, _ = ions.shape
    sites = np.random.default_rng(5).uniform(0.0, 20.0, (1, heavy, 3))
    rest = np.zeros((n_frames, 1, 3)) if framework is None else framework
    positions = np.concatenate([ions, sites + rest], axis=1)
    species = ["Li"] * n_ions + ["S"] * heavy
    trajectory = make_trajectory(positions, species=species, cell=cell)
    return trajectory if charges is None else replace(trajectory, charges_e=charges)


def examined(trajectory, axis=None, charge_e=1.0):
    drift = centre_of_mass_path(trajectory)
    ids = trajectory.ids_of("Li")
    msd = mean_squared_displacement(trajectory, ids, label="Li", drift_path=drift)
    diffusion = diffusion_coefficient(msd, net_hops(trajectory, ids, drift_path=drift))
    findings = collective_findings(trajectory, "Li", charge_e, diffusion, axis=axis)
    return {item.name: item for item in findings.quantities}, findings, diffusion


def slope_of(trajectory, *, start_ps, limit=np.nan, directions=None):
    charge = mobile_charge_displacement(trajectory, trajectory.ids_of("Li"), 1.0, label="Li")
    n_tapers = int(charge.duration_ps / start_ps)
    ions = ion_power(trajectory, charge, n_tapers, directions)
    return collective_slope(charge, ions, start_ps=start_ps, ion_limit=limit, directions=directions)


def test_independent_brownian_ions_have_haven_ratio_one(rng):
    found, _, diffusion = examined(in_framework(brownian(rng, IONS, 2000)))
    ratio, sigma = found["haven_ratio_Li"], found["conductivity_collective_Li"]
    assert ratio.status == "ok"
    assert ratio.low < 1.0 < ratio.high
    assert ratio.high / ratio.low < 3.0
    assert sigma.low < 2 * 0.05 * IONS * conductivity_per_slope(in_framework(
        brownian(rng, 2, 20))) < sigma.high  # fmt: skip
    assert diffusion.coefficient.status == "ok"


def test_the_haven_ratio_covers_one_for_independent_ions():
    rng = np.random.default_rng(3)
    replicas, inside = 200, 0
    for _ in range(replicas):
        slope = slope_of(in_framework(brownian(rng, 20, 300), heavy=1), start_ps=15.0)
        ratio = haven_ratio(slope, SOME_CONDUCTIVITY, name="haven_ratio_Li")
        inside += ratio.low < 1.0 < ratio.high
    assert stats.binom.ppf(0.001, replicas, 0.95) <= inside < replicas


def test_ions_that_move_rigidly_have_haven_ratio_one_over_n(rng):
    step = lattice_hops(rng, 1, 2000, probability=0.05)
    trajectory = in_framework(np.repeat(step, 16, axis=1))
    slope = slope_of(trajectory, start_ps=50.0)
    assert slope.slope == pytest.approx(16 * slope.ion_slope, rel=1e-10)
    ratio = haven_ratio(slope, SOME_CONDUCTIVITY, name="haven_ratio_Li")
    assert ratio.value == pytest.approx(1.0 / 16.0)
    assert ratio.low < ratio.value < ratio.high


def test_drift_of_all_ions_with_the_framework_is_no_current(rng):
    ions = brownian(rng, 16, 400)
    drift = np.arange(400.0)[:, None, None] * np.array([0.3, -0.2, 0.1])
    resting, drifting = (
        mobile_charge_displacement(trajectory, np.arange(16), 1.0, label="Li")
        for trajectory in (
            in_framework(ions),
            in_framework(ions + drift, framework=drift),
        )
    )
    np.testing.assert_allclose(drifting.path, resting.path, atol=1e-9)
    alone = in_framework(np.zeros((400, 16, 3)) + drift, framework=drift)
    still = mobile_charge_displacement(alone, np.arange(16), 1.0, label="Li")
    np.testing.assert_allclose(still.path, 0.0, atol=1e-9)


def test_ions_that_move_against_a_moving_framework_are_measured_from_it():
    path = np.zeros((50, 1, 3))
    path[:, 0, 0] = np.arange(50.0)
    trajectory = in_framework(np.repeat(path, 4, axis=1), framework=-0.5 * path)
    charge = mobile_charge_displacement(trajectory, np.arange(4), 2.0, label="Li")
    np.testing.assert_allclose(charge.path[:, 0], 2.0 * 4 * 1.5 * np.arange(50.0), atol=1e-10)
    np.testing.assert_allclose(charge.mean_squared(), (12.0 * np.arange(50.0)) ** 2, atol=1e-6)


def test_sine_tapers_are_orthonormal_and_pass_over_what_comes_back():
    # A unit step at one time reads the tapers off.
    n_frames = 41
    paths = np.zeros((n_frames, 40, 3))
    for k in range(40):
        paths[k + 1 :, k, 0] = 1.0
    tapers = sine_ordinates(paths, 40)[..., 0]
    np.testing.assert_allclose(tapers @ tapers.T, np.eye(40), atol=1e-12)
    n = np.arange(40)
    np.testing.assert_allclose(
        tapers[1], np.sqrt(2 / 41) * np.sin(2 * np.pi * (n + 1) / 41), atol=1e-12
    )
    rattling = np.zeros((4000, 3))
    rattling[1::2] = 1.0
    assert np.abs(sine_ordinates(rattling, 5)).max() < 1e-3


def test_conductivity_of_independent_ions_agrees_with_nernst_einstein(rng):
    trajectory = in_framework(brownian(rng, IONS, 500), cell=14.0)
    _, _, diffusion = examined(trajectory)
    sigma = nernst_einstein_conductivity(
        diffusion.coefficient,
        number_density_per_cm3=number_density(trajectory, "Li"),
        temperature_kelvin=300.0,
        charge_e=1.0,
    )
    slope = 2.0 * diffusion.coefficient.value * 1e4 * IONS
    assert conductivity_per_slope(trajectory) * slope == pytest.approx(sigma.value, rel=1e-10)


def test_the_charge_enters_squared(rng):
    trajectory = in_framework(brownian(rng, IONS, 500))
    one, two = (examined(trajectory, charge_e=z)[0] for z in (1.0, 2.0))
    assert two["conductivity_collective_Li"].value == pytest.approx(
        4.0 * one["conductivity_collective_Li"].value
    )
    assert two["haven_ratio_Li"].value == pytest.approx(one["haven_ratio_Li"].value)


def test_components_of_an_anisotropic_sample(rng):
    ions = brownian(rng, 200, 3000) * np.array([1.0, 1.0, 0.5])
    found, _, _ = examined(in_framework(ions, cell=np.diag([20.0, 20.0, 5.0])), axis="c")
    name = "conductivity_collective_Li"
    parallel, normal, whole = (found[name + end] for end in ("_parallel", "_normal", ""))
    scale = conductivity_per_slope(in_framework(ions, cell=np.diag([20.0, 20.0, 5.0])))
    truth = 2 * 0.05 * 200 * scale
    assert parallel.low < truth < parallel.high
    assert normal.low < truth / 4 < normal.high
    assert whole.value == pytest.approx((2 * parallel.value + normal.value) / 3)
    assert "layered" in whole.reason
    assert "not transport through" not in normal.reason


def test_layers_that_ions_have_not_crossed_are_named(rng):
    ions = brownian(rng, IONS, 500)
    found, _, _ = examined(in_framework(ions, cell=np.diag([20.0, 20.0, 300.0])), axis="c")
    assert "of 300 Angstrom along c" in found["conductivity_collective_Li_normal"].reason


def test_cages_are_unresolved_with_a_bound(rng):
    found, findings, _ = examined(in_framework(ornstein_uhlenbeck(rng, 32, 400, 5, 0.5)))
    sigma = found["conductivity_collective_Li"]
    assert sigma.status == "unresolved"
    assert 0.0 < sigma.high < np.inf
    assert found["haven_ratio_Li"].status == "unresolved"
    assert findings.figures["collective_Li"][:4] == b"\x89PNG"


def test_the_bound_of_unresolved_motion_holds():
    # About one hop in a run: too few for D, and the truth is known.
    rng = np.random.default_rng(8)
    probability, replicas, bounds = 1.0 / (24 * 200), 100, []
    for _ in range(replicas):
        ions = lattice_hops(rng, 24, 200, probability=probability)
        trajectory = in_framework(ions + ornstein_uhlenbeck(rng, 24, 200, 3, 0.3), heavy=1)
        drift, ids = np.zeros((200, 3)), np.arange(24)
        msd = mean_squared_displacement(trajectory, ids, label="Li", drift_path=drift)
        diffusion = diffusion_coefficient(msd, net_hops(trajectory, ids, drift_path=drift))
        assert diffusion.coefficient.status == "unresolved"
        charge = mobile_charge_displacement(trajectory, ids, 1.0, label="Li")
        bound = collective_bound(
            charge, diffusion, trajectory, squared_charges=24.0, name="sigma"
        ).high
        truth = probability * 3.0**2 / 3 * 24 * conductivity_per_slope(trajectory)
        bounds.append(bound / truth)
    assert (np.array(bounds) >= 1.0).sum() >= stats.binom.ppf(0.001, replicas, 0.95)
    assert np.median(bounds) < 10.0


def test_ions_that_never_hop_are_bounded_by_the_hops_not_seen(rng):
    trajectory = in_framework(ornstein_uhlenbeck(rng, 24, 200, 2, 1e-3), heavy=1)
    drift, ids = np.zeros((200, 3)), np.arange(24)
    msd = mean_squared_displacement(trajectory, ids, label="Li", drift_path=drift)
    diffusion = diffusion_coefficient(msd, net_hops(trajectory, ids, drift_path=drift))
    charge = mobile_charge_displacement(trajectory, ids, 2.0, label="Li")
    found = collective_bound(
        charge, diffusion, trajectory, squared_charges=charge.squared_charges, name="sigma"
    )
    independent = nernst_einstein_conductivity(
        diffusion.hop_bound,
        number_density_per_cm3=number_density(trajectory, "Li"),
        temperature_kelvin=300.0,
        charge_e=2.0,
    )
    assert found.high == pytest.approx(independent.high)


def test_all_ions_need_charges_that_sum_to_zero(rng):
    ions = brownian(rng, 16, 400)
    charges = np.r_[np.ones(16), np.full(64, -0.25)]
    neutral = in_framework(ions, charges=charges)
    drift = np.arange(400.0)[:, None, None] * np.array([0.3, -0.2, 0.1])
    carried = in_framework(ions + drift, framework=drift, charges=charges)
    np.testing.assert_allclose(
        all_ion_charge_displacement(neutral).path,
        all_ion_charge_displacement(carried).path,
        atol=1e-8,
    )
    with pytest.raises(AnalysisError, match="sum to 1 e"):
        all_ion_charge_displacement(in_framework(ions, charges=charges + 1.0 / 80))
    with pytest.raises(AnalysisError, match="no charges"):
        all_ion_charge_displacement(in_framework(ions))


def test_the_all_ion_conductivity_equals_the_mobile_one_beside_a_framework_at_rest(rng):
    charges = np.r_[np.ones(IONS), np.full(64, -IONS / 64)]
    found, _, _ = examined(in_framework(brownian(rng, IONS, 800), charges=charges))
    assert found["conductivity_collective_all"].value == pytest.approx(
        found["conductivity_collective_Li"].value
    )
    wrong = in_framework(brownian(rng, IONS, 800), charges=charges + 0.1)
    skipped = examined(wrong)[1].skipped
    assert any(item.name == "conductivity_collective_all" for item in skipped)


def test_the_bound_of_all_ions_counts_the_charges_of_the_mobile_ones(rng):
    cage = ornstein_uhlenbeck(rng, 32, 400, 5, 0.01)
    charges = np.r_[np.ones(32), np.full(64, -0.5)]
    found, _, _ = examined(in_framework(cage, charges=charges))
    alone, every = (found[f"conductivity_collective_{name}"] for name in ("Li", "all"))
    assert every.high == pytest.approx(alone.high, rel=1e-6)


def test_memory_of_ions_moves_the_windows_and_the_lower_limit(rng):
    trajectory = in_framework(
        brownian(rng, IONS, 1000, D=0.02) + ornstein_uhlenbeck(rng, IONS, 1000, 10, 0.7)
    )
    limit = 2 * 0.02 * IONS
    free, held = (slope_of(trajectory, start_ps=5.0, limit=value) for value in (np.nan, limit))
    assert free.n_tapers == 199
    assert free.memory == 0.0
    assert held.n_tapers < 100
    assert held.window_ps == pytest.approx(999.0 / held.n_tapers)
    assert 0.0 < held.memory < 0.3
    assert held.ion_slope == pytest.approx((1.0 + held.memory) * limit)
    degrees = held.degrees_of_freedom
    low = held.slope * degrees / stats.chi2.ppf(0.975, degrees)
    assert held.low == pytest.approx(low / (1.0 + held.memory))
    assert held.high == pytest.approx(held.slope * degrees / stats.chi2.ppf(0.025, degrees))
    never = slope_of(trajectory, start_ps=5.0, limit=0.1 * limit)
    assert never.n_tapers == 3
    assert "do not yet diffuse" in never.objection


def test_collective_motion_with_a_longer_memory_than_ions_is_no_plateau(rng):
    # All ions together also swing slowly and widely, which the ions' own slope hides.
    swing = 30.0 * ornstein_uhlenbeck(rng, 1, 2000, 30, 1.0)
    slope = slope_of(in_framework(brownian(rng, 4, 2000) + swing), start_ps=10.0)
    assert "slower over longer times" in slope.objection
    assert np.isfinite(slope.high)
    ballistic = np.arange(2000.0)[:, None, None] * np.array([0.5, 0.0, 0.0])
    faster = slope_of(in_framework(brownian(rng, 4, 2000) + ballistic), start_ps=10.0)
    assert "faster over longer times" in faster.objection
    assert faster.high == np.inf


def test_fewer_than_three_windows_are_refused(rng):
    with pytest.raises(RangeError, match="fewer than 3 windows"):
        slope_of(in_framework(brownian(rng, 4, 100)), start_ps=40.0)


def test_a_few_large_jumps_cost_degrees_of_freedom():
    path = np.zeros((400, 1, 3))
    path[200:] = 5.0
    jump = slope_of(in_framework(path), start_ps=10.0)
    assert jump.degrees_of_freedom < 3.0
    rng = np.random.default_rng(2)
    steady = slope_of(in_framework(brownian(rng, 8, 400)), start_ps=10.0)
    assert steady.degrees_of_freedom > 0.8 * 3 * 39
    line = slope_of(in_framework(brownian(rng, 8, 400) * np.array([1.0, 0.0, 0.0])), start_ps=10.0)
    assert 28.0 < line.degrees_of_freedom <= 39.0


def test_a_cell_without_framework_is_refused(rng):
    trajectory = make_trajectory(brownian(rng, 8, 50))
    with pytest.raises(AnalysisError, match="nothing is at rest"):
        mobile_charge_displacement(trajectory, np.arange(8), 1.0, label="Li")
