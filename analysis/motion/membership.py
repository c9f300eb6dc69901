"""Which group each ion is in, in every frame: what makes an observable one of a region.

Species, regions of a sample, kinds of anions and windows of time are all `analysis.groups.Groups`.
Displacements are counted from time origins at which an ion is in the group; where an ion is follows
from its wrapped position, how far it moved from the unwrapped one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.groups import NO_GROUP, Groups
from analysis.trajectory import Trajectory

# "origin": in the group at the start of the displacement, wherever the ion goes; mixes groups at
# long times. "origin_and_end": at its start and its end. "throughout": in every frame from start
# to end; favours ions that do not leave.
Rule = Literal["origin", "origin_and_end", "throughout"]


@dataclass(frozen=True)
class Membership:
    """The group of each of some ions in every frame.

    Attributes
    ----------
    names : tuple of str
        Groups.
    ids : (n,) int array
        Rows of the ions in the trajectory.
    codes : (F, n) int8 array
        Index of `names`, or -1 for none.
    """

    names: tuple[str, ...]
    ids: IntArray
    codes: np.ndarray

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.shape[1] != len(self.ids):
            raise RangeError(
                f"groups of shape {self.codes.shape} for {len(self.ids)} ions; expected one "
                "column an ion and one row a frame"
            )

    def inside(self, group: int, columns: slice = slice(None)) -> np.ndarray:
        """Return whether each ion is in `group`, (F, m) bool, for some columns of `codes`."""
        return np.asarray(self.codes[:, columns] == group)


def membership_of(trajectory: Trajectory, ids: IntArray, groups: Groups) -> Membership:
    """Ask groups for every frame of a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        Every frame is read once.
    ids : (n,) int array
        Rows of the ions wanted.
    groups : Groups

    Raises
    ------
    RangeError
        If there are more than 127 groups.
    """
    if len(groups.names) > 127:
        raise RangeError(f"{len(groups.names)} groups; at most 127 can be told apart")
    codes = np.empty((trajectory.n_frames, len(ids)), dtype=np.int8)
    for frame in trajectory.frames():
        codes[frame.index] = groups.codes(frame)[ids]
    return Membership(groups.names, ids, codes)


def window_membership(trajectory: Trajectory, ids: IntArray, windows_ps: FloatArray) -> Membership:
    """Divide a run into windows of time, so that early and late motion can be compared.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
    windows_ps : (W, 2) float array
        First and last time of each window, ps since the first frame; they may
        not overlap. A frame at the end of one and the start of the next is in the earlier.
    """
    times = np.arange(trajectory.n_frames) * trajectory.frame_interval_ps
    row = np.full(trajectory.n_frames, NO_GROUP, dtype=np.int8)
    names = []
    for number, (start, stop) in enumerate(np.asarray(windows_ps, dtype=float)):
        within = (times >= start - 1e-9) & (times <= stop + 1e-9) & (row == NO_GROUP)
        if not within.any():
            raise RangeError(
                f"{trajectory.path}: no frame between {start:g} and {stop:g} ps, or all of them "
                f"in an earlier window; the run lasts {trajectory.duration_ps:g} ps"
            )
        row[within] = number
        names.append(f"{start:g} to {stop:g} ps")
    codes = np.repeat(row[:, None], len(ids), axis=1)
    return Membership(tuple(names), ids, codes)


def counted(inside: np.ndarray, lag: int, rule: Rule) -> np.ndarray:
    """Tell which displacements over `lag` frames belong to a group.

    Parameters
    ----------
    inside : (F, m) bool array
        Whether each ion is in the group in every frame.
    lag : int
        Frames from start to end of the displacement, at least 0.
    rule : {"origin", "origin_and_end", "throughout"}

    Returns
    -------
    (F - lag, m) bool array
        By frame of the origin.

    Raises
    ------
    RangeError
        If the lag is negative or leaves no origin, or the rule is unknown.
    """
    n_frames = len(inside)
    if not 0 <= lag < n_frames:
        raise RangeError(f"lag {lag} in {n_frames} frames; expected 0 to {n_frames - 1}")
    start, end = inside[: n_frames - lag], inside[lag:]
    if rule == "origin":
        return start
    if rule == "origin_and_end":
        return np.asarray(start & end)
    if rule == "throughout":
        outside = np.zeros((n_frames + 1, inside.shape[1]), dtype=np.int64)
        np.cumsum(~inside, axis=0, out=outside[1:])
        return np.asarray(outside[lag + 1 :] == outside[: n_frames - lag])
    raise RangeError(f"rule {rule!r}; expected one of {', '.join(get_args(Rule))}")
