"""Energy against volume: frames, and the fit of Birch and Murnaghan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip.errors import DataError
from mlip.validation.reference import FloatArray

GPA_PER_EV_ANGSTROM3 = 160.21766339999998  # CODATA 2018
SMALLEST_POINTS = 5


@dataclass(frozen=True)
class EquationOfState:
    """Fit of third order, Birch, Phys. Rev. 71, 809 (1947), doi:10.1103/PhysRev.71.809.

    Attributes
    ----------
    volume_angstrom3, energy_ev : float
        At the minimum.
    bulk_modulus_gpa : float
    pressure_derivative : float
        Of the bulk modulus, dimensionless.
    rms_ev : float
        Of the fit.
    """

    volume_angstrom3: float
    energy_ev: float
    bulk_modulus_gpa: float
    pressure_derivative: float
    rms_ev: float


def volume_frames(atoms: Atoms, volume_strains: Sequence[float]) -> list[tuple[str, Atoms]]:
    """Return (point, frame) with V = V0 (1 + strain); shape and fractional coordinates kept."""
    frames = []
    for strain in sorted(volume_strains):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * (1.0 + strain) ** (1.0 / 3.0), scale_atoms=True)
        frames.append((f"{strain:+.4f}", scaled))
    return frames


def fit_equation_of_state(volumes: FloatArray, energies: FloatArray, what: str) -> EquationOfState:
    """Fit E(V), shape (F,) each, Å^3 and eV, by least squares.

    E(V) = E0 + 9/16 V0 B0 [(x - 1)^3 B' + (x - 1)^2 (6 - 4 x)], x = (V0 / V)^(2/3). This is a
    cubic in V^(-2/3), so the fit is linear and needs no start.

    Raises
    ------
    DataError
        If there are fewer than five points, or no minimum between them.
    """
    good = np.isfinite(volumes) & np.isfinite(energies)
    volume, energy = volumes[good], energies[good]
    if len(volume) < SMALLEST_POINTS:
        raise DataError(
            f"{what}: {len(volume)} energies, expected at least {SMALLEST_POINTS} volumes for an "
            "equation of state."
        )
    # Scaled and shifted, or the powers of y lose every digit of the energies.
    unit = float(np.median(volume)) ** (-2.0 / 3.0)
    y = volume ** (-2.0 / 3.0) / unit - 1.0
    offset = energy.mean()
    cubic = np.polynomial.Polynomial.fit(y, energy - offset, 3)
    curved = cubic.deriv(2)
    minima = [
        float(root.real)
        for root in cubic.deriv().roots()
        if abs(root.imag) < 1e-12 and y.min() <= root.real <= y.max() and curved(root.real) > 0
    ]
    if not minima:
        raise DataError(
            f"{what}: no minimum of the energy between {volume.min():.2f} and "
            f"{volume.max():.2f} Å^3. Expected volumes on both sides of equilibrium."
        )
    lowest = minima[0]
    v0 = ((lowest + 1.0) * unit) ** -1.5
    # Chain rule at the minimum, where dE/dy vanishes: y = V^(-2/3) / unit - 1.
    first = -2.0 / 3.0 * v0 ** (-5.0 / 3.0) / unit
    second = 10.0 / 9.0 * v0 ** (-8.0 / 3.0) / unit
    energy_vv = float(curved(lowest)) * first**2
    energy_vvv = float(cubic.deriv(3)(lowest)) * first**3 + 3.0 * curved(lowest) * first * second
    return EquationOfState(
        v0,
        float(cubic(lowest) + offset),
        v0 * energy_vv * GPA_PER_EV_ANGSTROM3,
        float(-1.0 - v0 * energy_vvv / energy_vv),
        float(np.sqrt(np.mean(np.square(cubic(y) + offset - energy)))),
    )


def birch_murnaghan(volumes: FloatArray, fit: EquationOfState) -> FloatArray:
    """Return E(V) in eV at volumes in Å^3; formula in `fit_equation_of_state`."""
    v0, b0 = fit.volume_angstrom3, fit.bulk_modulus_gpa / GPA_PER_EV_ANGSTROM3
    x = (v0 / volumes) ** (2.0 / 3.0)
    cubed = (x - 1.0) ** 3 * fit.pressure_derivative
    return np.asarray(
        fit.energy_ev + 9.0 / 16.0 * v0 * b0 * (cubed + (x - 1.0) ** 2 * (6.0 - 4.0 * x))
    )


def shape_difference(one: FloatArray, other: FloatArray, atoms: int) -> float:
    """Return the rms difference of two energy curves, meV/atom, once their means agree.

    Energy zeros do not count; the curves, shape (F,) in eV, are of the same frames.
    """
    difference = one - other
    return float(1000.0 * np.std(difference) / atoms)
