"""Density, concentration and charge along an axis, in the frame of reference of F(z)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.blocks import BlockMean, block_mean, error_of_blocks, used_frames
from analysis.constants import G_CM3_PER_AMU_ANGSTROM3, FloatArray, IntArray
from analysis.disorder.axis import (
    Axis,
    axis_coordinate,
    divisions,
    mean_height_angstrom,
)
from analysis.errors import AnalysisError
from analysis.results import Curve
from analysis.trajectory import Trajectory

BIN_ANGSTROM = 0.25


@dataclass(frozen=True)
class DensityProfiles:
    """Composition of bins along an axis; every frame is normalised by its own cell.

    Attributes
    ----------
    axis : {"a", "b", "c"}
    species : tuple of str
        K species, alphabetical.
    z_angstrom : (B,) float array
        Bin centres at the mean cell, origin as in `DisorderProfile`.
    bin_angstrom, height_angstrom : float
        At the mean cell.
    counts : (K, B) float array
        Atoms in each bin, mean over frames; the sum is the number of atoms.
    number_density, number_density_error : (K, B) float arrays
        1/Angstrom^3, mean and standard error from blocks.
    mass_density, mass_density_error : (B,) float arrays
        g/cm3.
    concentration, concentration_error : (K, B) float arrays
        Share of a species among the atoms of the bin; nan where the bin is empty on average over
        a block.
    charge_density, charge_density_error : (B,) float arrays
        e/Angstrom^3; nan where no charges are known.
    n_frames : int
        Used.
    """

    axis: Axis
    species: tuple[str, ...]
    z_angstrom: FloatArray
    bin_angstrom: float
    height_angstrom: float
    counts: FloatArray
    number_density: FloatArray
    number_density_error: FloatArray
    mass_density: FloatArray
    mass_density_error: FloatArray
    concentration: FloatArray
    concentration_error: FloatArray
    charge_density: FloatArray
    charge_density_error: FloatArray
    n_frames: int


def density_profiles(
    trajectory: Trajectory,
    axis: Axis,
    *,
    bin_angstrom: float = BIN_ANGSTROM,
    charges_e: Mapping[str, float] | None = None,
    framework_ids: IntArray | None = None,
    stride: int | None = None,
) -> DensityProfiles:
    """Compute profiles along a cell vector from wrapped positions.

    Parameters
    ----------
    trajectory : Trajectory
    axis : {"a", "b", "c"}
        Bins are parallel to the other two cell vectors.
    bin_angstrom : float
        Bin width; the nearest that divides the cell is taken.
    charges_e : mapping of str to float, optional
        Charge of every species, e; by default those of the trajectory, if it has any.
    framework_ids : (n,) int array, optional
        Atoms whose centre of mass is at rest along the axis; by default all.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.

    Raises
    ------
    RangeError
        If a bin is wider than the cell.
    AnalysisError
        If charges are given but not for every species.

    Notes
    -----
    n_s(k) = <N_s(k)/(A d)> with area A and bin width d of each frame (Allen and Tildesley,
    Computer Simulation of Liquids, 2nd ed., section 14.1).
    """
    coordinate = axis_coordinate(trajectory, axis, framework_ids)
    used = used_frames(trajectory, stride)
    n_bins = divisions(trajectory, coordinate, bin_angstrom, "bin")
    kinds, codes = np.unique(trajectory.species, return_inverse=True)
    charges = _charges(trajectory, kinds, charges_e)
    n_kinds = len(kinds)

    counts = np.empty((len(used), n_kinds, n_bins))
    masses = np.empty((len(used), n_bins))
    charge = np.full((len(used), n_bins), np.nan)
    for n, frame in enumerate(trajectory.frames(used.step)):
        bins = (coordinate.wrapped_fractions(frame) * n_bins).astype(np.int64)
        bins = np.minimum(bins, n_bins - 1)
        flat = np.bincount(codes * n_bins + bins, minlength=n_kinds * n_bins)
        counts[n] = flat.reshape(n_kinds, n_bins)
        masses[n] = np.bincount(bins, trajectory.masses, minlength=n_bins)
        if charges is not None:
            charge[n] = np.bincount(bins, charges, minlength=n_bins)
    per_volume = n_bins / trajectory.volumes[:: used.step]
    number = block_mean(counts * per_volume[:, None, None])
    mass = block_mean(masses * per_volume[:, None] * G_CM3_PER_AMU_ANGSTROM3)
    charged = block_mean(charge * per_volume[:, None])
    share = _concentration(number)
    height = mean_height_angstrom(trajectory, coordinate)
    return DensityProfiles(
        axis=axis,
        species=tuple(kinds.tolist()),
        z_angstrom=(np.arange(n_bins) + 0.5) * height / n_bins,
        bin_angstrom=height / n_bins,
        height_angstrom=height,
        counts=counts.mean(axis=0),
        number_density=number.mean,
        number_density_error=number.standard_error,
        mass_density=mass.mean,
        mass_density_error=mass.standard_error,
        concentration=share.mean,
        concentration_error=share.standard_error,
        charge_density=charged.mean,
        charge_density_error=charged.standard_error,
        n_frames=len(used),
    )


def density_profile_curves(profiles: DensityProfiles) -> list[Curve]:
    """Return one table of all profiles; charges only where they are known."""
    columns: dict[str, FloatArray] = {"z [Angstrom]": profiles.z_angstrom}
    for row, name in enumerate(profiles.species):
        columns[f"number density of {name} [1/Angstrom^3]"] = profiles.number_density[row]
        columns[f"standard error of number density of {name} [1/Angstrom^3]"] = (
            profiles.number_density_error[row]
        )
        columns[f"share of {name} [1]"] = profiles.concentration[row]
        columns[f"standard error of share of {name} [1]"] = profiles.concentration_error[row]
    columns["mass density [g/cm3]"] = profiles.mass_density
    columns["standard error of mass density [g/cm3]"] = profiles.mass_density_error
    if np.isfinite(profiles.charge_density).all():
        columns["charge density [e/Angstrom^3]"] = profiles.charge_density
        columns["standard error of charge density [e/Angstrom^3]"] = profiles.charge_density_error
    return [Curve(f"profiles_{profiles.axis}", columns)]


def _concentration(number: BlockMean) -> BlockMean:
    """Return shares from mean densities; shares of single frames would be noise in thin bins."""

    def share(density: FloatArray) -> FloatArray:
        total = density.sum(axis=-2, keepdims=True)
        return np.where(total > 0, density / np.where(total > 0, total, 1.0), np.nan)

    blocks = share(number.blocks)
    return BlockMean(share(number.mean), error_of_blocks(blocks), blocks)


def _charges(
    trajectory: Trajectory, kinds: np.ndarray, charges_e: Mapping[str, float] | None
) -> FloatArray | None:
    if charges_e is None:
        return trajectory.charges_e
    if missing := [kind for kind in kinds.tolist() if kind not in charges_e]:
        raise AnalysisError(
            f"{trajectory.path}: no charge of {', '.join(missing)}; `charges_e` names "
            f"{', '.join(sorted(charges_e))}. Give the charge of every species."
        )
    return np.array([charges_e[kind] for kind in trajectory.species.tolist()], dtype=float)
