"""Velocity autocorrelation and vibrational density of states, from positions or velocities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import constants, fft, integrate, signal

from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory, centre_of_mass_path

PER_CM_PER_THZ = 1.0e12 / (100.0 * constants.c)
# m v^2 / k: amu (Angstrom/ps)^2 in K.
KELVIN_PER_AMU_ANGSTROM2_PER_PS2 = constants.atomic_mass * 1.0e4 / constants.k
# The Gaussian lag window ends where it has fallen to exp(-8), 3e-4.
WINDOW_SIGMAS = 4.0
# Grid points a resolution width, so that a line is drawn and its maximum found.
POINTS_PER_WIDTH = 8
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
# A peak must rise this far above its surroundings, relative to the highest point of its window,
# and to that of the whole spectrum, so that ripples where nothing vibrates are no peaks.
MIN_PROMINENCE = 0.1
MIN_PROMINENCE_OF_SPECTRUM = 0.01


@dataclass(frozen=True)
class VibrationalDensityOfStates:
    """Share of the vibrations of one species at each frequency.

    Attributes
    ----------
    label : str
        Name of the species.
    n_atoms : int
    share : float
        Atoms of the species over all atoms, c.
    frequencies_thz : (K,) float array
        From zero to the Nyquist frequency.
    density : (K,) float array
        In 1/THz, for one atom of the whole system: its integral is 3 c, so that all species
        together have 3. Noise may make it slightly negative.
    resolution_per_cm : float
        Full width at half maximum that the window gives to a sharp line.
    kinetic_temperature_kelvin : float
        m <v^2> / 3k of the species, without the motion of the common centre of mass. Species in
        equilibrium share one.
    velocities : str
        Where the velocities came from.
    window : str
    """

    label: str
    n_atoms: int
    share: float
    frequencies_thz: FloatArray
    density: FloatArray
    resolution_per_cm: float
    kinetic_temperature_kelvin: float
    velocities: str
    window: str = "Gaussian in lag"

    @property
    def frequencies_per_cm(self) -> FloatArray:
        """Frequencies as wave numbers, 1/cm."""
        return self.frequencies_thz * PER_CM_PER_THZ


def velocity_autocorrelation(velocities: FloatArray, n_lags: int) -> FloatArray:
    """Average <v(t0) . v(t0 + t)> over atoms and all time origins.

    Parameters
    ----------
    velocities : (F, n, 3) float array
        Angstrom/ps.
    n_lags : int
        Lags 0 to n_lags - 1, in frames.

    Returns
    -------
    (n_lags,) float array
        Angstrom^2/ps^2; the first entry is the mean squared velocity.

    Raises
    ------
    RangeError
        If there are no atoms, or more lags than frames.

    Notes
    -----
    Each lag is divided by its own number of origins (unbiased), by fast Fourier transform:
    Calandrini et al., Collection SFN 12, 201 (2011), doi 10.1051/sfn/201112010, section 4.2.
    """
    n_frames, n_atoms = velocities.shape[:2]
    if not (n_atoms and 1 <= n_lags <= n_frames):
        raise RangeError(
            f"autocorrelation of {n_atoms} atoms at {n_lags} lags from {n_frames} frames; needs at "
            "least one atom and no more lags than frames"
        )
    size = fft.next_fast_len(n_frames + n_lags, real=True)
    power = np.zeros(size // 2 + 1)
    for atom in range(n_atoms):
        power += (np.abs(fft.rfft(velocities[:, atom], size, axis=0)) ** 2).sum(axis=1)
    sums = fft.irfft(power, size)[:n_lags]
    return np.asarray(sums / (n_atoms * (n_frames - np.arange(n_lags))))


def lags_needed(interval_ps: float, resolution_per_cm: float) -> int:
    """Return how many lags of the autocorrelation a resolution takes, the zero lag included."""
    return math.ceil(WINDOW_SIGMAS * _window_width_ps(resolution_per_cm) / interval_ps) + 1


def power_spectrum(
    autocorrelation: FloatArray,
    interval_ps: float,
    resolution_per_cm: float,
    *,
    from_positions: bool,
) -> tuple[FloatArray, FloatArray]:
    """Transform a velocity autocorrelation to a one-sided power spectrum.

    Parameters
    ----------
    autocorrelation : (L,) float array
        Angstrom^2/ps^2.
    interval_ps : float
        Time between lags.
    resolution_per_cm : float
        Full width at half maximum of a sharp line after the window.
    from_positions : bool
        The velocities are differences of successive positions over the interval; their known
        transfer function is divided out.

    Returns
    -------
    frequencies_thz : (K,) float array
        Evenly spaced from zero to the Nyquist frequency 1 / (2 interval).
    spectrum : (K,) float array
        In (Angstrom/ps)^2/THz; its integral (trapezoids) is the mean squared velocity, exactly
        for stored velocities.

    Notes
    -----
    S(f) = 2 int w(t) C(t) cos(2 pi f t) dt over both signs of t (Wiener-Khinchin theorem) with
    w(t) = exp(-t^2 / 2 s^2), which turns every line into a Gaussian of width 1 / (2 pi s) and
    leaves the integral C(0) as it is. A midpoint difference of exp(i 2 pi f t) is the velocity
    times sin(pi f dt) / (pi f dt), so that the spectrum is divided by its square.
    """
    width_ps = _window_width_ps(resolution_per_cm)
    times = np.arange(len(autocorrelation)) * interval_ps
    windowed = autocorrelation * np.exp(-0.5 * (times / width_ps) ** 2)
    step_thz = resolution_per_cm / PER_CM_PER_THZ / POINTS_PER_WIDTH
    half = fft.next_fast_len(max(len(windowed), math.ceil(0.5 / (interval_ps * step_thz))))
    even = np.zeros(2 * half)
    even[: len(windowed)] = windowed
    even[-len(windowed) + 1 :] = windowed[:0:-1]
    spectrum = 2.0 * interval_ps * fft.rfft(even).real
    frequencies = fft.rfftfreq(2 * half, interval_ps)
    if from_positions:
        spectrum = spectrum / np.sinc(frequencies * interval_ps) ** 2
    return frequencies, spectrum


def vibrational_density_of_states(
    trajectory: Trajectory,
    *,
    resolution_per_cm: float,
    highest_per_cm: float,
    species: Sequence[str] | None = None,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> list[VibrationalDensityOfStates]:
    """Compute the vibrational density of states of each species from stored positions.

    Parameters
    ----------
    trajectory : Trajectory
    resolution_per_cm : float
        Full width at half maximum of a sharp line.
    highest_per_cm : float
        Highest frequency that the material has; faster motion than the frames can follow would
        fold back unseen, so this must be known.
    species : sequence of str, optional
        By default all, in alphabetical order.
    max_bytes : int
        Size limit of the positions held at once.

    Returns
    -------
    list of VibrationalDensityOfStates

    Raises
    ------
    RangeError
        If the frames are too far apart for `highest_per_cm`, or the trajectory too short for
        `resolution_per_cm`.

    Notes
    -----
    The spectrum of the velocity autocorrelation: Thomas et al., Phys. Chem. Chem. Phys. 15, 6608
    (2013), doi 10.1039/c3cp44302g, equation 3. Its integral is <v^2> = 3kT/m for each degree of
    freedom alike, hence the normalisation to 3 a atom: Lin, Blanco and Goddard, J. Chem. Phys.
    119, 11792 (2003), doi 10.1063/1.1624057. The motion of the common centre of mass is removed.
    """
    interval = trajectory.frame_interval_ps
    n_lags = require_resolved(trajectory, resolution_per_cm, highest_per_cm)
    drift = centre_of_mass_path(trajectory)
    found = []
    for name in species or sorted(set(trajectory.species.tolist())):
        ids = trajectory.ids_of(name)
        correlation = np.zeros(n_lags)
        for block, positions in trajectory.atom_blocks(ids, max_bytes):
            velocities = np.diff(positions - drift[:, None, :], axis=0) / interval
            correlation += velocity_autocorrelation(velocities, n_lags) * len(block) / len(ids)
        frequencies, spectrum = power_spectrum(
            correlation, interval, resolution_per_cm, from_positions=True
        )
        squared_velocity = float(integrate.trapezoid(spectrum, frequencies))
        if not squared_velocity > 0.0 or trajectory.n_atoms == 1:
            raise RangeError(f"{trajectory.path}: {name} does not move, so it has no vibrations")
        share = len(ids) / trajectory.n_atoms
        mass = float(trajectory.masses[ids].mean())
        # An atom is seen from a centre of mass that it is itself part of.
        freedom = 3.0 * (1.0 - mass / float(trajectory.masses.sum()))
        found.append(
            VibrationalDensityOfStates(
                label=name,
                n_atoms=len(ids),
                share=share,
                frequencies_thz=frequencies,
                density=3.0 * share * spectrum / squared_velocity,
                resolution_per_cm=resolution_per_cm,
                kinetic_temperature_kelvin=mass
                * squared_velocity
                * KELVIN_PER_AMU_ANGSTROM2_PER_PS2
                / freedom,
                velocities="midpoint differences of positions, transfer function divided out",
            )
        )
    return found


def require_resolved(
    trajectory: Trajectory, resolution_per_cm: float, highest_per_cm: float
) -> int:
    """Check that frames are close and many enough for a spectrum; return the lags it takes.

    Raises
    ------
    RangeError
        If they are not.
    """
    interval = trajectory.frame_interval_ps
    nyquist_per_cm = 0.5 / interval * PER_CM_PER_THZ
    if nyquist_per_cm < highest_per_cm:
        raise RangeError(
            f"{trajectory.path}: frames every {1e3 * interval:g} fs follow motion up to "
            f"{nyquist_per_cm:.0f} 1/cm (Nyquist), asked for {highest_per_cm:g} 1/cm; store a "
            f"frame every {1e3 * 0.5 * PER_CM_PER_THZ / highest_per_cm:.3g} fs or more often"
        )
    n_lags = lags_needed(interval, resolution_per_cm)
    if n_lags > trajectory.n_frames - 1:
        raise RangeError(
            f"{trajectory.path}: {trajectory.duration_ps:g} ps; a resolution of "
            f"{resolution_per_cm:g} 1/cm takes at least {n_lags * interval:.3g} ps"
        )
    return n_lags


def peak_in_window(
    spectrum: VibrationalDensityOfStates, low_per_cm: float, high_per_cm: float
) -> float:
    """Return the position of the highest prominent peak within a window of frequencies.

    Returns
    -------
    float
        1/cm, between grid points by a parabola; nan if no point inside the window is a maximum
        that rises above its surroundings by a tenth of the highest point there and by a
        hundredth of the highest of all.
    """
    x, y = spectrum.frequencies_per_cm, spectrum.density
    inside = (x >= low_per_cm) & (x <= high_per_cm)
    if not inside.any() or y[inside].max() <= 0:
        return math.nan
    rise = max(MIN_PROMINENCE * y[inside].max(), MIN_PROMINENCE_OF_SPECTRUM * y.max())
    peaks, _ = signal.find_peaks(y, prominence=float(rise))
    peaks = peaks[inside[peaks]]
    if not len(peaks):
        return math.nan
    top = int(peaks[np.argmax(y[peaks])])
    before, here, after = y[top - 1 : top + 2]
    bend = before - 2.0 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(x[top] + shift * (x[1] - x[0]))


def _window_width_ps(resolution_per_cm: float) -> float:
    """Return s of exp(-t^2 / 2 s^2), whose transform has the given full width."""
    sigma_thz = resolution_per_cm / PER_CM_PER_THZ / FWHM_PER_SIGMA
    return 1.0 / (2.0 * math.pi * sigma_thz)
