"""Mean squared displacement of the ions of a group that they may enter and leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.motion.membership import Membership, Rule
from analysis.motion.msd import (
    TRANSFORM_ATOMS,
    MeanSquaredDisplacement,
    checked_directions,
    sample_lags,
)
from analysis.regional.visits import counted_squared_displacements
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory, centre_of_mass_path

# Lags at which fewer of the ions than this share are still counted rest on a few that stay.
MIN_COUNTED_SHARE = 0.2


@dataclass(frozen=True)
class GroupPart:
    """Which MSD is wanted.

    Attributes
    ----------
    group : int or None
        Index of the names of the membership; None for all ions wherever they are.
    label : str
        Name in results, such as ``Li_crystal``.
    rule : {"origin", "origin_and_end", "throughout"}
        Which displacements count for the group, see `membership.counted`.
    directions : (d, 3) float array, optional
        Orthonormal rows onto which displacements are projected; by default all three Cartesian.
    """

    group: int | None
    label: str
    rule: Rule = "origin"
    directions: FloatArray | None = None


def group_mean_squared_displacement(
    trajectory: Trajectory,
    membership: Membership,
    group: int,
    *,
    label: str,
    rule: Rule = "origin",
    drift_path: FloatArray | None = None,
    directions: FloatArray | None = None,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> MeanSquaredDisplacement:
    """Compute the MSD of the ions of one group; see `group_mean_squared_displacements`."""
    part = GroupPart(group, label, rule, directions)
    (msd,) = group_mean_squared_displacements(
        trajectory, membership, [part], drift_path=drift_path, max_bytes=max_bytes
    )
    return msd


def group_mean_squared_displacements(
    trajectory: Trajectory,
    membership: Membership,
    parts: Sequence[GroupPart],
    *,
    drift_path: FloatArray | None = None,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> list[MeanSquaredDisplacement]:
    """Compute the MSD of ions in several groups or directions in one pass over the trajectory.

    Parameters
    ----------
    trajectory : Trajectory
    membership : Membership
        Of the ions wanted, from wrapped positions; displacements are of unwrapped ones.
    parts : sequence of GroupPart
    drift_path : (F, 3) float array, optional
        Path to subtract from every ion, Angstrom; by default the centre of mass of all atoms.
    max_bytes : int
        Size limit of the positions held at once.

    Returns
    -------
    list of MeanSquaredDisplacement
        `msd` is nan at lags at which no displacement counts. `n_atoms` is the mean number of ions
        in the group and `atom_msd` has that many rows: ions that are there for a part of the time
        are taken together, and a row holds the linearised contribution of its ions to the MSD,
        so that mean and covariance of rows are those of the MSD. `sample_lags` end where
        fewer than a fifth of the ions are still counted.

    Raises
    ------
    RangeError
        If there are fewer than two frames, the membership is of another trajectory, no
        displacement counts for a group or directions are not orthonormal.

    Notes
    -----
    MSD = sum_i S_i / sum_i W_i with S_i the squared displacements of ion i that count and W_i their
    number, a ratio of two random sums. Its error is that of the mean of
    MSD + (S_i - MSD W_i) / mean(W): Cochran, Sampling Techniques, 3rd ed., eq. 6.13.
    """
    n_frames, n_ions = membership.codes.shape
    if n_frames < 2 or n_frames != trajectory.n_frames:
        raise RangeError(
            f"{trajectory.path}: groups of ions in {n_frames} frames of {trajectory.n_frames}; "
            "expected one row for each frame, at least two"
        )
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    lags = sample_lags(n_frames)
    tallies = []
    for part in parts:
        dimensions = 3 if part.directions is None else checked_directions(part.directions)
        tallies.append(_Tally.empty(n_frames, n_ions, lags, dimensions))
    done = 0
    for _, positions in trajectory.atom_blocks(membership.ids, max_bytes):
        positions = positions - drift_path[:, None, :]
        for start in range(0, positions.shape[1], TRANSFORM_ATOMS):
            some = positions[:, start : start + TRANSFORM_ATOMS]
            columns = slice(done + start, done + start + some.shape[1])
            for part, tally in zip(parts, tallies, strict=True):
                inside = _inside(membership, part.group, columns).T
                ever = np.flatnonzero(inside.any(axis=1))
                if not len(ever):
                    continue
                paths = some[:, ever]
                if part.directions is not None:
                    paths = paths @ np.asarray(part.directions, dtype=float).T
                paths = np.ascontiguousarray(paths.transpose(1, 2, 0))
                tally.add(columns.start + ever, paths, inside[ever], part.rule)
        done += positions.shape[1]
    return [tally.result(trajectory, part) for part, tally in zip(parts, tallies, strict=True)]


def at_lags(msd: MeanSquaredDisplacement, chosen: IntArray) -> MeanSquaredDisplacement:
    """Keep some of the sample lags, by index, so that a slope is fitted to these alone."""
    return replace(
        msd,
        sample_lags=msd.sample_lags[chosen],
        atom_msd=msd.atom_msd[:, chosen],
        variance=msd.variance[chosen],
        n_independent=msd.n_independent[chosen],
        correlation=msd.correlation[chosen],
    )


def _inside(membership: Membership, group: int | None, columns: slice) -> np.ndarray:
    if group is None:
        return np.ones_like(membership.codes[:, columns], dtype=bool)
    return membership.inside(group, columns)


@dataclass
class _Tally:
    """Running sums over the ions of one group."""

    lags: IntArray
    axes: FloatArray  # (d, F) squared displacements
    counts: IntArray  # (F,) their number
    atom_sums: FloatArray  # (n, K)
    atom_counts: FloatArray  # (n, K), whole numbers below 2^24
    # Of non-overlapping origins, for each sample lag: sums over ions of c q and of c for each
    # origin, with q the squared displacement and c whether it counts.
    sums: list[FloatArray]
    numbers: list[FloatArray]
    fourth: FloatArray  # (K,) sum of c q^2
    # Sum over ions of the variances in time of c q and c, and of their covariance.
    between: FloatArray = field(repr=False)  # (K, 3)

    @classmethod
    def empty(cls, n_frames: int, n_ions: int, lags: IntArray, dimensions: int) -> _Tally:
        per_lag = (n_frames - 1) // lags
        return cls(
            lags=lags,
            axes=np.zeros((dimensions, n_frames)),
            counts=np.zeros(n_frames, dtype=np.int64),
            atom_sums=np.zeros((n_ions, len(lags))),
            atom_counts=np.zeros((n_ions, len(lags)), dtype=np.float32),
            sums=[np.zeros(n) for n in per_lag],
            numbers=[np.zeros(n) for n in per_lag],
            fourth=np.zeros(len(lags)),
            between=np.zeros((len(lags), 3)),
        )

    def add(self, rows: IntArray, paths: FloatArray, inside: np.ndarray, rule: Rule) -> None:
        axes, atoms, counts = counted_squared_displacements(paths, inside, rule)
        self.axes += axes
        self.counts += counts.sum(axis=0)
        self.atom_sums[rows] = atoms[:, self.lags]
        self.atom_counts[rows] = counts[:, self.lags]
        outside = np.zeros((len(inside), inside.shape[1] + 1), dtype=np.int32)
        np.cumsum(~inside, axis=1, out=outside[:, 1:])
        for k, lag in enumerate(self.lags):
            # As `membership.counted`, at every lag-th origin alone.
            starts = np.arange(0, inside.shape[1] - lag, lag)
            c = inside[:, starts].astype(float)
            if rule == "origin_and_end":
                c *= inside[:, starts + lag]
            elif rule == "throughout":
                c *= outside[:, starts + lag + 1] == outside[:, starts]
            squared = (np.diff(paths[..., ::lag], axis=-1) ** 2).sum(axis=1) * c
            self.sums[k] += squared.sum(axis=0)
            self.numbers[k] += c.sum(axis=0)
            self.fourth[k] += (squared**2).sum()
            if c.shape[1] > 1:
                dq = squared - squared.mean(axis=1, keepdims=True)
                dc = c - c.mean(axis=1, keepdims=True)
                products = np.array([(dq**2).sum(), (dc**2).sum(), (dq * dc).sum()])
                self.between[k] += products / (c.shape[1] - 1)

    def result(self, trajectory: Trajectory, part: GroupPart) -> MeanSquaredDisplacement:
        n_frames = len(self.counts)
        origins = n_frames - np.arange(n_frames)
        n_atoms = max(1, round(self.counts[0] / n_frames))
        share = self.counts[self.lags] / origins[self.lags] / n_atoms
        kept = np.flatnonzero((share >= MIN_COUNTED_SHARE) & (self.counts[self.lags] > 0))
        if not len(kept):
            raise RangeError(
                f"{trajectory.path}: no displacement of {part.label} counts by the rule "
                f"{part.rule}; frames are {trajectory.frame_interval_ps:g} ps apart"
            )
        lags = self.lags[kept]
        with np.errstate(invalid="ignore", divide="ignore"):
            axes = (self.axes / self.counts).T
        msd = axes.sum(axis=1)
        variance, correlation = self._statistics(kept, msd[lags])
        per_ion = (n_frames - 1) // lags
        independent = np.round(self.counts[lags] / origins[lags] * per_ion).astype(np.int64)
        # Below two displacements an ion the observed correlation says nothing.
        correlation[independent < 2 * n_atoms] = np.nan
        return MeanSquaredDisplacement(
            label=part.label,
            times_ps=np.arange(n_frames) * trajectory.frame_interval_ps,
            msd=msd,
            msd_axes=axes,
            n_origins=origins,
            n_atoms=n_atoms,
            sample_lags=lags,
            atom_msd=_linearised(
                self.atom_sums[:, kept], self.atom_counts[:, kept], msd[lags], n_atoms
            ),
            variance=variance,
            n_independent=independent,
            correlation=correlation,
            motion_convention=trajectory.motion_convention,
            dimensions=axes.shape[1],
        )

    def _statistics(self, kept: IntArray, msd: FloatArray) -> tuple[FloatArray, FloatArray]:
        variance = np.zeros(len(kept))
        correlation = np.full(len(kept), np.nan)
        for n, k in enumerate(kept):
            sums, numbers = self.sums[k], self.numbers[k]
            if not numbers.sum():
                continue
            mean = sums.sum() / numbers.sum()
            variance[n] = max(self.fourth[k] / numbers.sum() - mean**2, 0.0)
            # About the MSD, so that ions which come and go add no variance of their own.
            residual = sums - msd[n] * numbers
            dq, dc, both = self.between[k]
            expected = dq - 2.0 * msd[n] * both + msd[n] ** 2 * dc
            if len(sums) >= 3 and expected > 0:
                correlation[n] = residual.var(ddof=1) / expected
        return variance, correlation


def _linearised(sums: FloatArray, counts: FloatArray, msd: FloatArray, n_rows: int) -> FloatArray:
    """Return contributions to the ratio, (n_rows, K), of ions pooled to about equal counts."""
    present = counts.max(axis=1)
    order = np.argsort(-present, kind="stable")
    middle = np.cumsum(present[order]) - 0.5 * present[order]
    row = np.minimum((middle / present.sum() * n_rows).astype(np.int64), n_rows - 1)
    pooled = np.zeros((2, n_rows, sums.shape[1]))
    np.add.at(pooled[0], row, sums[order])
    np.add.at(pooled[1], row, counts[order])
    return msd + (pooled[0] - msd * pooled[1]) / pooled[1].mean(axis=0)
