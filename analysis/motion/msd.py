"""Mean squared displacement over all time origins, with the statistics its error model needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory, centre_of_mass_path

# Working memory of the transforms is about 10 doubles a frame and atom; more atoms gain no speed.
TRANSFORM_ATOMS = 64
SAMPLE_LAGS_PER_DECADE = 12


@dataclass(frozen=True)
class MeanSquaredDisplacement:
    """MSD of a group of atoms relative to the centre of mass of the whole system.

    Attributes
    ----------
    label : str
        Name of the group, such as its chemical symbol.
    times_ps : (F,) float array
        Lag times, from zero.
    msd : (F,) float array
        Mean over atoms and all origins of the squared displacement, Angstrom^2.
    msd_axes : (F, d) float array
        Its parts, Angstrom^2: Cartesian xx, yy, zz without directions, otherwise one for each
        direction that displacements were projected onto.
    n_origins : (F,) int array
        Time origins averaged over, F - lag.
    n_atoms : int
        Atoms in the group.
    sample_lags : (K,) int array
        Logarithmically spaced lags, in frames, at which the fields below are kept.
    atom_msd : (n, K) float array
        Origin-averaged squared displacement of every atom, Angstrom^2.
    variance : (K,) float array
        Variance of the squared displacement over atoms and non-overlapping origins, Angstrom^4.
    n_independent : (K,) int array
        Non-overlapping displacements, atoms times floor((F - 1) / lag).
    correlation : (K,) float array
        Variance in time of the atom-averaged squared displacement over the value it would have
        if atoms moved independently: 1 for independent atoms, m if they hop in groups of m; nan
        below three non-overlapping origins.
    motion_convention, drift : str
        How displacements were defined.
    dimensions : int
        Directions d that displacements have: 3, or fewer where they were projected. D is the
        slope over 2 d.
    """

    label: str
    times_ps: FloatArray
    msd: FloatArray
    msd_axes: FloatArray
    n_origins: IntArray
    n_atoms: int
    sample_lags: IntArray
    atom_msd: FloatArray
    variance: FloatArray
    n_independent: IntArray
    correlation: FloatArray
    motion_convention: str
    drift: str = "centre of mass of all atoms removed"
    dimensions: int = 3

    @property
    def frame_interval_ps(self) -> float:
        """Time between frames."""
        return float(self.times_ps[1])


def mean_squared_displacement(
    trajectory: Trajectory,
    ids: IntArray,
    *,
    label: str,
    drift_path: FloatArray | None = None,
    directions: FloatArray | None = None,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> MeanSquaredDisplacement:
    """Compute the MSD of the atoms `ids` over all lags and origins.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
        Rows of the atoms.
    label : str
        Name of the group in results.
    drift_path : (F, 3) float array, optional
        Path to subtract from every atom, Angstrom; by default the centre of mass of all atoms,
        which costs one pass over the trajectory.
    directions : (d, 3) float array, optional
        Orthonormal rows onto which displacements are projected, such as the two in a plane or its
        normal; by default all of the displacement counts.
    max_bytes : int
        Size limit of the positions held at once.

    Returns
    -------
    MeanSquaredDisplacement

    Raises
    ------
    RangeError
        If there are fewer than two frames or no atoms, or directions are not orthonormal.

    Notes
    -----
    MSD(t) = <|r(t0 + t) - r(t0)|^2> as a difference of two sums, the second an autocorrelation by
    fast Fourier transform: Calandrini et al., Collection SFN 12, 201 (2011),
    doi 10.1051/sfn/201112010, section 4.2.
    """
    n_frames = trajectory.n_frames
    if n_frames < 2 or not len(ids):
        raise RangeError(
            f"{trajectory.path}: MSD of {len(ids)} atoms over {n_frames} frames; "
            "needs at least one atom and two frames"
        )
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    dimensions = 3 if directions is None else checked_directions(directions)
    lags = sample_lags(n_frames)
    sums = np.zeros((n_frames, dimensions))
    atom_msd = np.empty((len(ids), len(lags)))
    moments = _IndependentMoments.empty(n_frames, lags)
    done = 0
    for _, positions in trajectory.atom_blocks(ids, max_bytes):
        positions = positions - drift_path[:, None, :]
        if directions is not None:
            positions = positions @ np.asarray(directions, dtype=float).T
        for start in range(0, positions.shape[1], TRANSFORM_ATOMS):
            part = np.ascontiguousarray(
                positions[:, start : start + TRANSFORM_ATOMS].transpose(1, 2, 0)
            )
            axes, atoms = windowed_squared_displacement(part)
            sums += axes.T
            atom_msd[done : done + len(part)] = atoms[:, lags]
            moments.add(part, lags)
            done += len(part)
    msd_axes = sums / len(ids)
    variance, correlation = moments.statistics(len(ids))
    return MeanSquaredDisplacement(
        label=label,
        times_ps=np.arange(n_frames) * trajectory.frame_interval_ps,
        msd=msd_axes.sum(axis=1),
        msd_axes=msd_axes,
        n_origins=n_frames - np.arange(n_frames),
        n_atoms=len(ids),
        sample_lags=lags,
        atom_msd=atom_msd,
        variance=variance,
        n_independent=len(ids) * ((n_frames - 1) // lags),
        correlation=correlation,
        motion_convention=trajectory.motion_convention,
        dimensions=dimensions,
    )


def sample_lags(n_frames: int) -> IntArray:
    """Return the logarithmically spaced lags, in frames, at which statistics are kept.

    Twelve a decade, from 1 to `n_frames` - 1.
    """
    decades = np.log10(n_frames - 1) if n_frames > 2 else 0.0
    count = int(np.ceil(decades * SAMPLE_LAGS_PER_DECADE)) + 1
    return np.unique(np.round(np.geomspace(1, n_frames - 1, count)).astype(np.int64))


def checked_directions(directions: FloatArray) -> int:
    """Return how many directions there are.

    Parameters
    ----------
    directions : (d, 3) float array

    Raises
    ------
    RangeError
        If the rows are not one to three orthonormal vectors.
    """
    rows = np.asarray(directions, dtype=float)
    if rows.ndim != 2 or rows.shape[1] != 3 or not 1 <= len(rows) <= 3:
        raise RangeError(f"directions of shape {rows.shape}; expected one to three rows of three")
    if not np.allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-8):
        raise RangeError(
            f"directions {rows.tolist()} are not orthonormal; divide each by its length and make "
            "them perpendicular"
        )
    return len(rows)


def windowed_squared_displacement(positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Average squared displacements over all origins.

    Parameters
    ----------
    positions : (n, d, F) float array
        Unwrapped positions, Angstrom.

    Returns
    -------
    axes : (d, F) float array
        Sum over atoms for each axis and lag, Angstrom^2.
    atoms : (n, F) float array
        Sum over axes for each atom and lag, Angstrom^2.
    """
    n_frames = positions.shape[-1]
    # Centring keeps the difference of the two large sums below free of round-off.
    positions = positions - positions.mean(axis=-1, keepdims=True)
    size = fft.next_fast_len(2 * n_frames - 1, real=True)
    spectrum = fft.rfft(positions, size, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    squares = positions**2
    count = n_frames - np.arange(n_frames)
    result = []
    for axis in (0, 1):
        product = fft.irfft(power.sum(axis=axis), size, axis=-1)[..., :n_frames]
        # Sum over origins of r(t0)^2 + r(t0 + t)^2 from cumulative sums.
        totals = np.cumsum(squares.sum(axis=axis), axis=-1)
        ends = totals[..., ::-1] + totals[..., -1:]
        ends[..., 1:] -= totals[..., :-1]
        mean = (ends - 2.0 * product) / count
        mean[..., 0] = 0.0
        result.append(mean)
    return result[0], result[1]


@dataclass(frozen=True)
class _IndependentMoments:
    """Running sums over atoms of squared displacements between non-overlapping origins."""

    first: list[FloatArray]  # per lag: sum over atoms of r^2 of each origin
    second: FloatArray  # per lag: sum over atoms and origins of r^4
    between: FloatArray  # per lag: sum over atoms of the variance in time of r^2

    @classmethod
    def empty(cls, n_frames: int, lags: IntArray) -> _IndependentMoments:
        counts = (n_frames - 1) // lags
        return cls([np.zeros(n) for n in counts], np.zeros(len(lags)), np.zeros(len(lags)))

    def add(self, positions: FloatArray, lags: IntArray) -> None:
        for k, lag in enumerate(lags):
            squared = (np.diff(positions[..., ::lag], axis=-1) ** 2).sum(axis=1)
            self.first[k][:] += squared.sum(axis=0)
            self.second[k] += (squared**2).sum()
            if squared.shape[1] > 1:
                self.between[k] += squared.var(axis=1, ddof=1).sum()

    def statistics(self, n_atoms: int) -> tuple[FloatArray, FloatArray]:
        counts = np.array([len(series) for series in self.first])
        mean = np.array([series.sum() for series in self.first]) / (n_atoms * counts)
        variance = np.maximum(self.second / (n_atoms * counts) - mean**2, 0.0)
        correlation = np.full(len(counts), np.nan)
        for k, series in enumerate(self.first):
            if len(series) >= 3 and self.between[k] > 0:
                correlation[k] = series.var(ddof=1) / self.between[k]
        return variance, correlation
