"""Conductivity from the current: exact case, agreement with displacements, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal, stats
from toy_trajectories import ArraySource, brownian, make_trajectory

from analysis.conductivity.collective import ChargeDisplacement, mobile_charge_displacement
from analysis.conductivity.collective_findings import collective_findings
from analysis.conductivity.conductivity import conductivity_per_slope
from analysis.conductivity.green_kubo import charge_current, green_kubo, green_kubo_conductivity
from analysis.errors import AnalysisError
from analysis.hops.net_hops import net_hops
from analysis.motion.diffusion import diffusion_coefficient
from analysis.motion.msd import mean_squared_displacement
from analysis.results import Quantity
from analysis.trajectory import centre_of_mass_path

INTERVAL_PS = 0.01


def langevin(rng, n_atoms, n_frames, friction_per_ps=10.0, mean_square=0.25):
    """Ornstein-Uhlenbeck velocities, Angstrom/ps, and their exact joint displacements."""
    g, h = friction_per_ps, INTERVAL_PS
    keep = np.exp(-g * h)
    velocity_noise = mean_square * (1 - keep**2)
    place_noise = mean_square / g**2 * (2 * g * h - 3 + 4 * keep - keep**2)
    both = mean_square / g * (1 - keep) ** 2
    root = np.linalg.cholesky([[velocity_noise, both], [both, place_noise]])
    noise = rng.normal(size=(n_frames, n_atoms, 3, 2)) @ root.T
    noise[0, ..., 0] = rng.normal(0.0, np.sqrt(mean_square), (n_atoms, 3))
    velocities = signal.lfilter([1.0], [1.0, -keep], noise[..., 0], axis=0)
    steps = velocities[:-1] * (1 - keep) / g + noise[1:, ..., 1]
    return velocities, np.concatenate([np.zeros((1, n_atoms, 3)), np.cumsum(steps, axis=0)])


def moving(rng, n_frames=8000, n_atoms=16, heavy=16, factor=1.0, mean_square=0.25):
    velocities, ions = langevin(rng, n_atoms, n_frames, mean_square=mean_square)
    still = np.zeros((n_frames, heavy, 3))
    trajectory = make_trajectory(
        np.concatenate([ions, still], axis=1),
        species=["Li"] * n_atoms + ["S"] * heavy,
        cell=14.0,
        frame_interval_ps=INTERVAL_PS,
    )
    speeds = np.concatenate([factor * velocities, still], axis=1)
    return replace(trajectory, velocities=ArraySource(speeds))


def analysed(trajectory, charge_e=1.0):
    ids = trajectory.ids_of("Li")
    charge = mobile_charge_displacement(trajectory, ids, charge_e, label="Li")
    return green_kubo(charge_current(trajectory, ids, charge_e), charge)


# 2 D of a Langevin particle is 2 <v_x^2> / friction.
SLOPE_OF_ONE = 2 * 0.25 / 10.0
ANYTHING = Quantity("sigma", 1.0, "S/cm", 0.0, np.inf, reason="known")


def test_langevin_ions_have_the_exact_conductivity():
    rng = np.random.default_rng(4)
    replicas, inside, values = 60, 0, []
    for _ in range(replicas):
        found = analysed(moving(rng, 4000, 4, 1))
        assert found.objection == ""
        values.append(found.slope / (4 * SLOPE_OF_ONE))
        inside += found.low <= 4 * SLOPE_OF_ONE <= found.high
        # Never narrower than the windows in the run allow.
        degrees = 9 * 4000 * INTERVAL_PS / (8 * found.start_ps)
        assert found.high >= found.slope * degrees / stats.chi2.ppf(0.025, degrees)
        assert found.low <= found.slope * degrees / stats.chi2.ppf(0.975, degrees)
    assert inside >= stats.binom.ppf(0.001, replicas, 0.95)
    # The mean of all is known five times as well as one.
    assert np.mean(values) == pytest.approx(1.0, abs=0.05)


def test_a_correlation_that_passes_through_zero_has_not_decayed(rng):
    # Re z of z -> k exp(i w) z + noise: C(n) = k^n cos(w n), which is 0 at a quarter period.
    keep = np.exp(-1 / 15) * np.exp(2j * np.pi / 8)
    noise = rng.normal(size=(20500, 3)) + 1j * rng.normal(size=(20500, 3))
    noise *= np.sqrt(1 - abs(keep) ** 2)
    current = signal.lfilter([1.0], [1.0, -keep], noise, axis=0).real[500:]
    halves = 0.5 * INTERVAL_PS * (current[1:] + current[:-1])
    path = np.concatenate([np.zeros((1, 3)), np.cumsum(halves, axis=0)])
    charge = ChargeDisplacement(
        "Li", INTERVAL_PS, path, np.zeros_like(path), np.arange(1), np.ones(1), "at rest"
    )
    found = green_kubo(current, charge)
    assert found.start_ps > 15 * INTERVAL_PS
    exact = 2 * INTERVAL_PS * ((1 / (1 - keep)).real - 0.5)
    assert found.low < exact < found.high


def test_correlation_and_integral_of_langevin_ions(rng):
    found = analysed(moving(rng, 20000, 16), charge_e=2.0)
    lags = np.array([0, 10, 20])
    exact = 4 * 16 * 3 * 0.25 * np.exp(-10.0 * lags * INTERVAL_PS)
    np.testing.assert_allclose(found.correlation[lags], exact, rtol=0.1)
    assert found.running[0] == 0.0
    assert found.times_ps[1] == INTERVAL_PS
    # The trapezoid of an exponential over one step, in units of the first value.
    area = 0.5 * INTERVAL_PS * (found.correlation[0] + found.correlation[1])
    assert found.running[1] == pytest.approx(area)
    assert found.stop_ps == pytest.approx(2 * found.start_ps)
    assert 0.1 < found.start_ps < 1.5


def test_green_kubo_and_displacements_agree_on_one_trajectory(rng):
    trajectory = moving(rng, 16000, 32, mean_square=2.5)
    ids, drift = trajectory.ids_of("Li"), centre_of_mass_path(trajectory)
    msd = mean_squared_displacement(trajectory, ids, label="Li", drift_path=drift)
    diffusion = diffusion_coefficient(msd, net_hops(trajectory, ids, drift_path=drift))
    assert diffusion.coefficient.status == "ok"
    found = collective_findings(trajectory, "Li", 1.0, diffusion)
    quantities = {item.name: item for item in found.quantities}
    green, einstein = (
        quantities[f"conductivity_{name}_Li"] for name in ("green_kubo", "collective")
    )
    truth = 32 * 10 * SLOPE_OF_ONE * conductivity_per_slope(trajectory)
    assert green.status == einstein.status == "ok"
    assert green.low < truth < green.high
    assert einstein.low < truth < einstein.high
    assert "current_correlation_Li" in {curve.name for curve in found.curves}
    assert quantities["haven_ratio_Li"].low < 1.0 < quantities["haven_ratio_Li"].high


def test_a_wrong_unit_of_velocities_is_found_from_the_displacements(rng):
    found = analysed(moving(rng, 1000, factor=1e-3))
    assert "1e+03 times the integral" in found.objection
    quantity = green_kubo_conductivity(found, 1.0, ANYTHING, name="sigma")
    assert quantity.status == "unresolved"
    assert "unit of the velocities" in quantity.reason


def test_frames_too_far_apart_are_refused(rng):
    trajectory = moving(rng, 8000)
    places, speeds = trajectory.source.positions[::40], trajectory.velocities.positions[::40]
    coarse = replace(
        trajectory,
        source=ArraySource(places),
        velocities=ArraySource(speeds),
        cells=trajectory.cells[::40],
        frame_interval_ps=40 * INTERVAL_PS,
    )
    assert "too far" in analysed(coarse).objection


def test_a_current_that_does_not_decay_is_unresolved():
    times = np.arange(2000) * INTERVAL_PS
    current = np.cos(2 * np.pi * times / 20.0)[:, None] * np.array([1.0, 0.5, -1.0])
    path = np.sin(2 * np.pi * times / 20.0)[:, None] * np.array([1.0, 0.5, -1.0])
    path *= 20.0 / (2 * np.pi)
    charge = ChargeDisplacement(
        "Li", INTERVAL_PS, path, np.zeros_like(path), np.arange(1), np.ones(1), "at rest"
    )
    assert "still correlated" in green_kubo(current, charge).objection


def test_a_plateau_that_displacements_contradict_is_unresolved(rng):
    found = analysed(moving(rng, 8000))
    slower = Quantity("sigma", 0.1 * found.slope, "S/cm", 0.05 * found.slope, 0.2 * found.slope)
    quantity = green_kubo_conductivity(found, 1.0, slower, name="sigma")
    assert quantity.status == "unresolved"
    assert "slow tail" in quantity.reason
    caged = replace(slower, value=np.nan, high=np.inf, status="unresolved", reason="cages")
    assert green_kubo_conductivity(found, 1.0, caged, name="sigma").status == "unresolved"
    assert green_kubo_conductivity(found, 1.0, ANYTHING, name="sigma").status == "ok"


def test_the_current_is_relative_to_the_framework(rng):
    trajectory = moving(rng, 200)
    wind = np.array([3.0, -1.0, 2.0])
    blown = replace(trajectory, velocities=ArraySource(trajectory.velocities.positions + wind))
    ids = trajectory.ids_of("Li")
    current = charge_current(trajectory, ids, 2.0)
    np.testing.assert_allclose(charge_current(blown, ids, 2.0), current, atol=1e-9)
    np.testing.assert_allclose(
        current, 2.0 * trajectory.velocities.positions[:, ids].sum(axis=1), atol=1e-9
    )


def test_without_velocities_or_framework_there_is_no_current(rng):
    bare = make_trajectory(brownian(rng, 4, 200), species=["Li", "Li", "S", "S"])
    with pytest.raises(AnalysisError, match="no velocities"):
        charge_current(bare, np.arange(2), 1.0)
    with pytest.raises(AnalysisError, match="4 of 4 atoms"):
        charge_current(replace(bare, velocities=bare.source), np.arange(4), 1.0)
    charge = mobile_charge_displacement(bare, np.arange(2), 1.0, label="Li")
    with pytest.raises(AnalysisError, match="at least 100"):
        green_kubo(np.zeros((50, 3)), charge)
