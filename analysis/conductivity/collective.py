"""The charge displacement of all ions together.

The conductivity follows from d/dt <|P(t) - P(0)|^2> at long times, P = sum_i z_i r_i. A run has one
P, so that its error is that of the time windows in it, whatever the number of ions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError, RangeError
from analysis.motion.msd import TRANSFORM_ATOMS, windowed_squared_displacement
from analysis.trajectory import Trajectory, apply_motion_convention

# The sum of charges that counts as zero, elementary charges an atom.
NEUTRAL_E = 1.0e-6


@dataclass(frozen=True)
class ChargeDisplacement:
    """Path of the charge displacement of some ions.

    Attributes
    ----------
    label : str
        Name of the ions, such as their chemical symbol.
    frame_interval_ps : float
    path : (F, 3) float array
        Sum over ions of charge times displacement since the first frame, e Angstrom.
    reference : (F, 3) float array
        Path relative to which the ions move, Angstrom; zero where the charges sum to zero.
    ids : (n,) int array
        Rows of the ions.
    charges_e : (n,) float array
        Their charges, elementary charges.
    reference_name : str
    """

    label: str
    frame_interval_ps: float
    path: FloatArray
    reference: FloatArray
    ids: IntArray
    charges_e: FloatArray
    reference_name: str

    @property
    def duration_ps(self) -> float:
        """Time from the first to the last frame."""
        return (len(self.path) - 1) * self.frame_interval_ps

    @property
    def squared_charges(self) -> float:
        """Sum over ions of the squared charge, e^2."""
        return float((self.charges_e**2).sum())

    def mean_squared(self) -> FloatArray:
        """Return <|P(t0 + t) - P(t0)|^2> over all origins, (F,) e^2 Angstrom^2."""
        _, squared = windowed_squared_displacement(self.path.T[None])
        return squared[0]


def mobile_charge_displacement(
    trajectory: Trajectory, ids: IntArray, charge_e: float, *, label: str
) -> ChargeDisplacement:
    """Follow the charge of the mobile ions relative to the centre of mass of all other atoms.

    Parameters
    ----------
    trajectory : Trajectory
        Every frame is read once.
    ids : (n,) int array
        Rows of the ions.
    charge_e : float
        Charge of each.
    label : str

    Raises
    ------
    RangeError
        If no ion is named.
    AnalysisError
        If there is no other atom.
    """
    if not len(ids):
        raise RangeError(f"{trajectory.path}: no ion named; the current needs at least one")
    others = np.ones(trajectory.n_atoms, dtype=bool)
    others[ids] = False
    if not others.any():
        raise AnalysisError(
            f"{trajectory.path}: all {trajectory.n_atoms} atoms are mobile, so nothing is at rest "
            "to measure their current against; leave the framework in the trajectory"
        )
    weights = np.zeros((2, trajectory.n_atoms))
    weights[0, ids] = charge_e
    weights[1, others] = trajectory.masses[others] / trajectory.masses[others].sum()
    charge, reference = _weighted_paths(trajectory, weights)
    return ChargeDisplacement(
        label=label,
        frame_interval_ps=trajectory.frame_interval_ps,
        path=charge - charge_e * len(ids) * reference,
        reference=reference,
        ids=ids,
        charges_e=np.full(len(ids), float(charge_e)),
        reference_name="relative to the centre of mass of the other atoms",
    )


def all_ion_charge_displacement(trajectory: Trajectory) -> ChargeDisplacement:
    """Follow the charge of all atoms, which needs no frame of reference.

    Raises
    ------
    AnalysisError
        If atoms have no charges, or these do not sum to zero within 1e-6 e an atom.
    """
    charges = trajectory.charges_e
    if charges is None:
        raise AnalysisError(f"{trajectory.path}: atoms have no charges; name one for every element")
    total = float(charges.sum())
    if abs(total) > NEUTRAL_E * trajectory.n_atoms:
        raise AnalysisError(
            f"{trajectory.path}: the charges sum to {total:.6g} e, so the current of all ions "
            "depends on the frame of reference; expected 0. Name charges of the anions that are "
            "there (P bonded to P has +4), or use the mobile ions alone"
        )
    (path,) = _weighted_paths(trajectory, charges[None])
    return ChargeDisplacement(
        label="all",
        frame_interval_ps=trajectory.frame_interval_ps,
        path=path,
        reference=np.zeros_like(path),
        ids=np.arange(trajectory.n_atoms),
        charges_e=charges,
        reference_name="whose charges sum to zero",
    )


def ion_power(
    trajectory: Trajectory,
    charge: ChargeDisplacement,
    n_tapers: int,
    directions: FloatArray | None = None,
) -> FloatArray:
    """Return what every taper would show if ions moved independently.

    Returns
    -------
    (K, d) float array
        Sum over ions of squared ordinates in each direction, e^2 Angstrom^2.
    """
    power = np.zeros((n_tapers, 3 if directions is None else len(directions)))
    squares = dict(zip(charge.ids.tolist(), charge.charges_e**2, strict=True))
    for block, positions in trajectory.atom_blocks(charge.ids):
        weights = np.array([squares[i] for i in block.tolist()])
        for start in range(0, len(block), TRANSFORM_ATOMS):
            part = slice(start, start + TRANSFORM_ATOMS)
            moved = positions[:, part] - charge.reference[:, None, :]
            ordinates = sine_ordinates(moved, n_tapers, directions)
            power += np.einsum("kid,i->kd", ordinates**2, weights[part])
    return power


def sine_ordinates(
    path: FloatArray, n_tapers: int, directions: FloatArray | None = None
) -> FloatArray:
    """Project the steps of a path onto the slowest sine tapers.

    Parameters
    ----------
    path : (F, ..., 3) float array
    n_tapers : int
        K, at most F - 1.
    directions : (d, 3) float array, optional
        Orthonormal rows to project on; by default x, y and z.

    Returns
    -------
    (K, ..., d) float array
        sum_n v_k(n) [r(n + 1) - r(n)] with v_k(n) = sqrt(2/F) sin(pi k (n + 1)/F). For independent
        Gaussian steps these are independent with the variance of a step.

    Notes
    -----
    Riedel and Sidorenko, IEEE Trans. Signal Process. 43, 188 (1995), doi 10.1109/78.365298. Tapers
    that vanish at both ends take no part of motion that leads nowhere, such as vibration.
    """
    steps = np.diff(path, axis=0)
    if directions is not None:
        steps = steps @ directions.T
    return np.asarray(fft.dst(steps, type=1, norm="ortho", axis=0)[:n_tapers])


def _weighted_paths(trajectory: Trajectory, weights: FloatArray) -> FloatArray:
    """Return the paths of W weighted sums over atoms from the first frame on, (W, F, 3)."""
    sums = np.empty((trajectory.n_frames, len(weights), 3))
    for frame in trajectory.frames():
        sums[frame.index] = weights @ frame.positions
    paths = apply_motion_convention(trajectory, sums).transpose(1, 0, 2)
    return np.asarray(paths - paths[:, :1])
