"""Velocity autocorrelation and vibrational density of states against exact cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import trapezoid
from toy_trajectories import make_trajectory

from analysis.errors import RangeError
from analysis.motion.vibrations import (
    KELVIN_PER_AMU_ANGSTROM2_PER_PS2,
    PER_CM_PER_THZ,
    lags_needed,
    peak_in_window,
    power_spectrum,
    velocity_autocorrelation,
    vibrational_density_of_states,
)
from analysis.trajectory import masses_of

INTERVAL = 0.005


def oscillators(rng, frequency_thz, masses, n_frames, temperature=300.0, interval=INTERVAL):
    """Independent harmonic oscillators in equilibrium: amplitude squared is exponential."""
    n = len(masses)
    times = np.arange(n_frames)[:, None, None] * interval
    omega = 2 * np.pi * np.broadcast_to(frequency_thz, (n,))[:, None]
    speed2 = temperature / KELVIN_PER_AMU_ANGSTROM2_PER_PS2 / np.asarray(masses)[:, None]
    amplitude = np.sqrt(2 * speed2 * rng.exponential(size=(n, 3))) / omega
    return amplitude * np.cos(omega * times + rng.uniform(0, 2 * np.pi, (n, 3)))


def two_species(rng, n_frames=1200, interval=INTERVAL):
    species = ["Li"] * 400 + ["S"] * 600
    frequency = np.repeat([9.0, 13.0], [400, 600])
    positions = oscillators(
        rng, frequency, masses_of(species, "memory"), n_frames, interval=interval
    )
    return make_trajectory(positions, species=species, frame_interval_ps=interval)


def test_autocorrelation_of_an_oscillator_is_a_cosine():
    times = np.arange(4000) * INTERVAL
    velocities = np.zeros((4000, 1, 3))
    velocities[:, 0, 1] = np.cos(2 * np.pi * 10.0 * times)
    found = velocity_autocorrelation(velocities, 40)
    assert found == pytest.approx(0.5 * np.cos(2 * np.pi * 10.0 * times[:40]), abs=2e-3)


def test_autocorrelation_equals_the_direct_sum(rng):
    velocities = rng.normal(size=(30, 4, 3))
    direct = [(velocities[: 30 - k] * velocities[k:]).sum(2).mean() for k in range(30)]
    assert velocity_autocorrelation(velocities, 30) == pytest.approx(np.array(direct), abs=1e-12)


def test_more_lags_than_frames_are_refused():
    with pytest.raises(RangeError, match="11 lags from 10 frames"):
        velocity_autocorrelation(np.zeros((10, 2, 3)), 11)


def test_power_spectrum_integrates_to_the_mean_squared_velocity(rng):
    velocities = rng.normal(size=(500, 5, 3))
    correlation = velocity_autocorrelation(velocities, lags_needed(INTERVAL, 60.0))
    frequencies, spectrum = power_spectrum(correlation, INTERVAL, 60.0, from_positions=False)
    assert frequencies[-1] == pytest.approx(0.5 / INTERVAL)
    assert trapezoid(spectrum, frequencies) == pytest.approx(correlation[0], rel=1e-12)
    assert correlation[0] == pytest.approx((velocities**2).sum(2).mean())


def test_a_line_is_a_gaussian_of_the_named_width_at_the_oscillator_frequency():
    times = np.arange(lags_needed(INTERVAL, 20.0) + 1) * INTERVAL
    frequencies, spectrum = power_spectrum(
        np.cos(2 * np.pi * 12.0 * times), INTERVAL, 20.0, from_positions=False
    )
    top = spectrum.argmax()
    assert frequencies[top] == pytest.approx(12.0, abs=frequencies[1])
    above = frequencies[spectrum > 0.5 * spectrum[top]]
    width_per_cm = (above[-1] - above[0]) * PER_CM_PER_THZ
    assert width_per_cm == pytest.approx(20.0, abs=2 * frequencies[1] * PER_CM_PER_THZ)


@pytest.mark.parametrize("frequency", [3.0, 25.0, 70.0, 95.0])
def test_differences_of_positions_give_the_spectrum_of_exact_velocities(frequency):
    # Up to 95 % of the Nyquist frequency, where the transfer function is 0.43.
    times = np.arange(8001) * INTERVAL
    omega = 2 * np.pi * frequency
    phases = np.linspace(0, 2 * np.pi, 12, endpoint=False).reshape(4, 3)
    angle = omega * times[:, None, None] + phases
    exact = -omega * np.sin(angle[:-1] + 0.5 * omega * INTERVAL)
    n_lags = lags_needed(INTERVAL, 10.0)
    _, true = power_spectrum(
        velocity_autocorrelation(exact, n_lags), INTERVAL, 10.0, from_positions=False
    )
    differences = np.diff(np.cos(angle), axis=0) / INTERVAL
    frequencies, found = power_spectrum(
        velocity_autocorrelation(differences, n_lags), INTERVAL, 10.0, from_positions=True
    )
    assert trapezoid(found, frequencies) == pytest.approx(trapezoid(true, frequencies), rel=1e-3)
    assert np.abs(found - true).max() < 0.01 * true.max()
    uncorrected = trapezoid(found * np.sinc(frequencies * INTERVAL) ** 2, frequencies)
    assert uncorrected == pytest.approx(
        np.sinc(frequency * INTERVAL) ** 2 * trapezoid(true, frequencies), rel=1e-3
    )


def test_two_species_have_their_own_peaks_shares_and_one_temperature(rng):
    lithium, sulphur = vibrational_density_of_states(
        two_species(rng), resolution_per_cm=20.0, highest_per_cm=700.0
    )
    assert (lithium.label, sulphur.label) == ("Li", "S")
    assert peak_in_window(lithium, 100, 600) == pytest.approx(9.0 * PER_CM_PER_THZ, abs=0.5)
    assert peak_in_window(sulphur, 100, 600) == pytest.approx(13.0 * PER_CM_PER_THZ, abs=0.5)
    integrals = [trapezoid(v.density, v.frequencies_thz) for v in (lithium, sulphur)]
    assert integrals == pytest.approx([3 * 0.4, 3 * 0.6], rel=1e-12)
    # 1200 and 1800 exponential amplitudes: 1 / sqrt(1200) = 2.9 %.
    assert lithium.kinetic_temperature_kelvin == pytest.approx(300, rel=4 / math.sqrt(1200))
    assert sulphur.kinetic_temperature_kelvin == pytest.approx(300, rel=4 / math.sqrt(1800))


def test_the_spectrum_does_not_depend_on_the_frame_interval(rng):
    seed = int(rng.integers(1 << 30))
    fine, coarse = (
        vibrational_density_of_states(
            two_species(np.random.default_rng(seed), frames, interval),
            resolution_per_cm=20.0,
            highest_per_cm=700.0,
        )
        for frames, interval in ((2401, 0.0025), (401, 0.015))
    )
    for one, other in zip(fine, coarse, strict=True):
        kept = np.interp(other.frequencies_thz, one.frequencies_thz, one.density)
        assert np.abs(kept - other.density).max() < 0.02 * one.density.max()
        assert one.kinetic_temperature_kelvin == pytest.approx(
            other.kinetic_temperature_kelvin, rel=0.01
        )


def test_free_flight_lies_at_zero_frequency():
    times = np.arange(800)[:, None, None] * INTERVAL
    velocity = np.array([[2.0, 0, 0], [-2.0, 0, 0]])
    trajectory = make_trajectory(velocity * times, frame_interval_ps=INTERVAL)
    (found,) = vibrational_density_of_states(
        trajectory, resolution_per_cm=20.0, highest_per_cm=700.0
    )
    assert found.density.argmax() == 0
    beyond = found.frequencies_per_cm > 3 * 20.0
    assert trapezoid(np.abs(found.density[beyond]), found.frequencies_thz[beyond]) < 0.15
    assert math.isnan(peak_in_window(found, 300, 500))
    # m v^2 / 3k of an atom that carries half of the mass.
    expected = 6.94 * 4.0 * KELVIN_PER_AMU_ANGSTROM2_PER_PS2 / 3 / 0.5
    assert found.kinetic_temperature_kelvin == pytest.approx(expected, rel=2e-3)


def test_the_common_motion_is_left_out(rng):
    still = two_species(rng)
    moving = still.source.positions + 5.0 * np.arange(1200)[:, None, None] * INTERVAL
    drifting = make_trajectory(moving, species=still.species, frame_interval_ps=INTERVAL)
    settings = {"resolution_per_cm": 20.0, "highest_per_cm": 700.0}
    for one, other in zip(
        vibrational_density_of_states(still, **settings),
        vibrational_density_of_states(drifting, **settings),
        strict=True,
    ):
        assert one.density == pytest.approx(other.density, abs=1e-6)


def test_frames_too_far_apart_or_too_few_are_refused(rng):
    trajectory = two_species(rng, 300, 0.05)
    with pytest.raises(RangeError, match=r"334 1/cm \(Nyquist\).*every 23\.8 fs"):
        vibrational_density_of_states(trajectory, resolution_per_cm=20.0, highest_per_cm=700.0)
    short = two_species(rng, 300)
    with pytest.raises(RangeError, match=r"takes at least 2\.\d+ ps"):
        vibrational_density_of_states(short, resolution_per_cm=20.0, highest_per_cm=700.0)


def test_blocks_of_atoms_change_nothing(rng):
    trajectory = two_species(rng)
    settings = {"resolution_per_cm": 20.0, "highest_per_cm": 700.0, "species": ["S"]}
    (whole,) = vibrational_density_of_states(trajectory, **settings)
    (parts,) = vibrational_density_of_states(trajectory, **settings, max_bytes=1200 * 24 * 70)
    assert parts.density == pytest.approx(whole.density, abs=1e-9)


def test_atoms_at_rest_have_no_spectrum():
    trajectory = make_trajectory(np.zeros((600, 3, 3)), frame_interval_ps=INTERVAL)
    with pytest.raises(RangeError, match="does not move"):
        vibrational_density_of_states(trajectory, resolution_per_cm=20.0, highest_per_cm=700.0)


def test_a_single_atom_has_no_motion_of_its_own(rng):
    walk = np.cumsum(rng.normal(size=(600, 1, 3)), axis=0)
    trajectory = make_trajectory(walk, frame_interval_ps=INTERVAL)
    with pytest.raises(RangeError, match="does not move"):
        vibrational_density_of_states(trajectory, resolution_per_cm=20.0, highest_per_cm=700.0)
