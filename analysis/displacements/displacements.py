"""Displacements of ions over chosen lags, streamed once for every distribution made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.motion.membership import Membership, Rule, counted
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory, centre_of_mass_path

LAGS_PER_DECADE = 8
MAX_ORIGINS = 1000
# Parts of the ions and of the run that errors are taken between.
N_BUNCHES = 64
N_TIME_BLOCKS = 20
# Displacements at work at once: their arrays then stay in the cache of a core.
PIECE_DISPLACEMENTS = 65_536


@dataclass(frozen=True)
class Stream:
    """One recording of a run: its main trajectory, or a denser one of short lags.

    Attributes
    ----------
    trajectory : Trajectory
    drift_path : (F, 3) float array
        Path subtracted from every ion, Angstrom.
    membership : Membership or None
        Groups of the ions in the frames of this recording; None for one group of all.
    """

    trajectory: Trajectory
    drift_path: FloatArray
    membership: Membership | None


@dataclass(frozen=True)
class Displacements:
    """Which displacements are to be looked at: ions, lags, time origins, groups.

    Attributes
    ----------
    streams : tuple of Stream
        The main recording, and a denser one if there is one.
    ids : (n,) int array
        Rows of the ions.
    groups : tuple of str
        Names of groups; one empty name if ions are not divided.
    rule : {"origin", "origin_and_end", "throughout"}
        Which displacements a group counts, see `membership`.
    times_ps : (K,) float array
        Lag times, increasing.
    stream_of, lag_frames : (K,) int arrays
        Recording that each lag is taken from, and the lag in its frames.
    strides, n_origins : (K,) int arrays
        Frames between time origins, and how many there are.
    """

    streams: tuple[Stream, ...]
    ids: IntArray
    groups: tuple[str, ...]
    rule: Rule
    times_ps: FloatArray
    stream_of: IntArray
    lag_frames: IntArray
    strides: IntArray
    n_origins: IntArray

    @property
    def n_bunches(self) -> int:
        """Number of parts that the ions are divided into, neighbouring rows together."""
        return min(N_BUNCHES, len(self.ids))

    @property
    def tiles(self) -> tuple[int, int, int, int]:
        """Shape of sums by group, bunch of ions, block of time and lag, (G, P, T, K)."""
        return len(self.groups), self.n_bunches, N_TIME_BLOCKS, len(self.times_ps)

    @property
    def n_independent(self) -> IntArray:
        """Lags that follow one another within their recording, (K,)."""
        frames = np.array([self.streams[s].trajectory.n_frames for s in self.stream_of])
        return (frames - 1) // self.lag_frames

    def nearest(self, asked_ps: Sequence[float]) -> IntArray:
        """Return the lags that are the asked ones up to half a frame; others are left out."""
        found = []
        for time in asked_ps:
            k = int(np.argmin(np.abs(self.times_ps - time)))
            interval = self.streams[self.stream_of[k]].trajectory.frame_interval_ps
            if abs(self.times_ps[k] - time) <= 0.5 * interval * (1 + 1e-9):
                found.append(k)
        return np.unique(np.array(found, dtype=np.int64))


@dataclass(frozen=True)
class Piece:
    """Displacements of some ions of one bunch over one lag.

    Attributes
    ----------
    lag, bunch : int
    axes : (3, O, m) float array
        Displacements from O origins of m ions, Angstrom.
    squared : (O, m) float array
        Their squared lengths, Angstrom^2.
    block : (O,) int array
        Block of time that each origin is in.
    counted : (G, O, m) bool array or None
        Which of them each group counts; None for all in one group.
    """

    lag: int
    bunch: int
    axes: FloatArray
    squared: FloatArray
    block: IntArray
    counted: np.ndarray | None

    def sums(self, values: FloatArray) -> FloatArray:
        """Return sums of `values` (O, m) by group and block of time, (G, T)."""
        if self.counted is None:
            by_origin = [values.sum(axis=1)]
        else:
            by_origin = [np.einsum("om,om->o", values, inside) for inside in self.counted]
        return np.stack([np.bincount(self.block, row, N_TIME_BLOCKS) for row in by_origin])


class Accumulator(Protocol):
    """Something that sums over displacements."""

    def add(self, piece: Piece) -> None:
        """Take in one piece."""
        ...


def displacements_of(
    trajectory: Trajectory,
    ids: IntArray,
    *,
    asked_ps: Sequence[float] = (),
    drift_path: FloatArray | None = None,
    membership: Membership | None = None,
    rule: Rule = "origin",
    dense: Trajectory | None = None,
    dense_membership: Membership | None = None,
    max_origins: int = MAX_ORIGINS,
) -> Displacements:
    """Choose lags and time origins.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
        Rows of the ions.
    asked_ps : sequence of float
        Lags wanted besides 8 a decade from one frame to half the run; each becomes the nearest
        whole number of frames, those beyond half the run are left out.
    drift_path : (F, 3) float array, optional
        Path to subtract from every ion, Angstrom; by default the centre of mass of all atoms.
    membership : Membership, optional
        Groups of the ions.
    rule : {"origin", "origin_and_end", "throughout"}
    dense : Trajectory, optional
        Another recording of the same atoms with frames closer in time. Lags shorter than the
        frame interval of `trajectory` are taken from it; with groups only if these are known there.
    dense_membership : Membership, optional
        Groups of the ions in the frames of `dense`.
    max_origins : int
        Most time origins a lag, evenly spaced.

    Raises
    ------
    RangeError
        If there are fewer than three frames, no ions, no origins, or the groups are those of other
        ions or frames, or of other names in the two recordings.
    """
    if trajectory.n_frames < 3 or not len(ids) or max_origins < 1:
        raise RangeError(
            f"{trajectory.path}: displacements of {len(ids)} ions over {trajectory.n_frames} "
            f"frames from at most {max_origins} origins; needs an ion, three frames and an origin"
        )
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    streams = [Stream(trajectory, drift_path, membership)]
    if dense is not None and dense.n_frames >= 3 and (membership is None or dense_membership):
        groups = None if membership is None else dense_membership
        streams.append(Stream(dense, centre_of_mass_path(dense), groups))
    for stream in streams:
        _require_fitting(stream, ids)
    names = {() if stream.membership is None else stream.membership.names for stream in streams}
    if len(names) > 1:
        raise RangeError(f"the two recordings have groups of different names: {sorted(names)}")
    main = trajectory.frame_interval_ps
    rows = [
        (lag * stream.trajectory.frame_interval_ps, s, lag)
        for s, stream in enumerate(streams)
        for lag in _lags(stream.trajectory, asked_ps)
        if s == 0 or lag * stream.trajectory.frame_interval_ps < main * (1 - 1e-6)
    ]
    rows.sort()
    stream_of = np.array([row[1] for row in rows], dtype=np.int64)
    lag_frames = np.array([row[2] for row in rows], dtype=np.int64)
    available = np.array([streams[s].trajectory.n_frames for s in stream_of]) - lag_frames
    strides = -(-available // max_origins)
    return Displacements(
        streams=tuple(streams),
        ids=ids,
        groups=names.pop() or ("",),
        rule=rule,
        times_ps=np.array([row[0] for row in rows]),
        stream_of=stream_of,
        lag_frames=lag_frames,
        strides=strides,
        n_origins=-(-available // strides),
    )


def accumulate(
    displacements: Displacements,
    accumulators: Sequence[Accumulator],
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> None:
    """Show every displacement to every accumulator, in one pass over each recording.

    Parameters
    ----------
    displacements : Displacements
    accumulators : sequence of Accumulator
    max_bytes : int
        Size limit of the positions held at once.
    """
    n, bunches = len(displacements.ids), displacements.n_bunches
    ends = -(-np.arange(1, bunches + 1) * n // bunches)
    for s, stream in enumerate(displacements.streams):
        lags = np.flatnonzero(displacements.stream_of == s)
        if not len(lags):
            continue
        widest = max(1, PIECE_DISPLACEMENTS // int(displacements.n_origins[lags].max()))
        first = 0
        for block_ids, positions in stream.trajectory.atom_blocks(displacements.ids, max_bytes):
            stop = first + len(block_ids)
            start = first
            while start < stop:
                bunch = int(np.searchsorted(ends, start, side="right"))
                end = min(stop, int(ends[bunch]), start + widest)
                part = positions[:, start - first : end - first] - stream.drift_path[:, None, :]
                columns = slice(start, end)
                _show(displacements, stream, lags, part, columns, bunch, accumulators)
                start = end
            first = stop


def _show(
    displacements: Displacements,
    stream: Stream,
    lags: IntArray,
    part: FloatArray,
    columns: slice,
    bunch: int,
    accumulators: Sequence[Accumulator],
) -> None:
    n_frames = len(part)
    path = np.ascontiguousarray(part.transpose(2, 0, 1))
    membership, inside = stream.membership, []
    if membership is not None:
        inside = [membership.inside(g, columns) for g in range(len(membership.names))]
    for k in lags:
        lag, stride = int(displacements.lag_frames[k]), int(displacements.strides[k])
        axes = path[:, lag::stride] - path[:, : n_frames - lag : stride]
        among = None
        if inside:
            among = np.stack([counted(one, lag, displacements.rule)[::stride] for one in inside])
        piece = Piece(
            lag=int(k),
            bunch=bunch,
            axes=axes,
            squared=np.einsum("aom,aom->om", axes, axes),
            block=np.arange(0, n_frames - lag, stride) * N_TIME_BLOCKS // (n_frames - lag),
            counted=among,
        )
        for accumulator in accumulators:
            accumulator.add(piece)


def _lags(trajectory: Trajectory, asked_ps: Sequence[float]) -> IntArray:
    longest = (trajectory.n_frames - 1) // 2
    count = int(np.ceil(np.log10(longest) * LAGS_PER_DECADE)) + 1
    spread = np.round(np.geomspace(1, longest, count)).astype(np.int64)
    asked = np.round(np.asarray(asked_ps, dtype=float) / trajectory.frame_interval_ps)
    lags = np.unique(np.concatenate([spread, asked.astype(np.int64)]))
    return lags[(lags >= 1) & (lags <= longest)]


def _require_fitting(stream: Stream, ids: IntArray) -> None:
    groups, trajectory = stream.membership, stream.trajectory
    if len(stream.drift_path) != trajectory.n_frames:
        raise RangeError(
            f"{trajectory.path}: a drift path of {len(stream.drift_path)} frames for "
            f"{trajectory.n_frames}; compute it from this trajectory"
        )
    if groups is not None and (
        len(groups.codes) != trajectory.n_frames or not np.array_equal(groups.ids, ids)
    ):
        raise RangeError(
            f"{trajectory.path}: groups of {groups.codes.shape[1]} ions in {len(groups.codes)} "
            f"frames do not fit {len(ids)} ions in {trajectory.n_frames} frames; make them with "
            "membership_of from this trajectory and these ions"
        )
