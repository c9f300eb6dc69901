"""All hops of ions, also those that are undone, with the sites that they connect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.hops.net_hops import (
    AVERAGING_PS,
    HOP_LENGTH_ANGSTROM,
    arrival_times,
    averaged_blocks,
    frames_averaged,
)
from analysis.hops.stays import find_stays
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory


@dataclass(frozen=True)
class Hops:
    """All hops of n ions, sorted by ion and then by time.

    Attributes
    ----------
    ions : (H,) int array
        Which ion hopped, as an index of the rows that were asked for.
    steps : (H,) int array
        Interval of time, from zero, in which the ion was first seen at its new site.
    times_ps : (H,) float array
        Time halfway between that interval and the one before.
    starts_angstrom, ends_angstrom : (H, 3) float arrays
        Mean unwrapped positions of the ion during the stays before and after, relative to the
        drift path.
    net_counts : (n,) int array
        Hops of every ion that were not undone.
    n_steps : int
        Intervals of time K; a hop can be seen in all but the first.
    interval_ps : float
        Length of an interval.
    frames_per_step : int
        Frames averaged in an interval.
    hop_length_angstrom : float
        Shortest hop, and the distance within which a site is the same.
    """

    ions: IntArray
    steps: IntArray
    times_ps: FloatArray
    starts_angstrom: FloatArray
    ends_angstrom: FloatArray
    net_counts: IntArray
    n_steps: int
    interval_ps: float
    frames_per_step: int
    hop_length_angstrom: float

    @property
    def n_ions(self) -> int:
        """Number of ions n."""
        return len(self.net_counts)

    @property
    def vectors_angstrom(self) -> FloatArray:
        """From start to end, (H, 3)."""
        return self.ends_angstrom - self.starts_angstrom

    @property
    def lengths_angstrom(self) -> FloatArray:
        """Distances between the sites, (H,)."""
        return np.asarray(np.linalg.norm(self.vectors_angstrom, axis=1))

    @property
    def successive(self) -> IntArray:
        """Rows of the hops after which the same ion hops again; the next row is that hop."""
        return np.flatnonzero(self.ions[1:] == self.ions[:-1])

    @property
    def goes_back(self) -> np.ndarray:
        """Whether the hop after each of `successive` returns to the site before both, bool."""
        first = self.successive
        apart = self.ends_angstrom[first + 1] - self.starts_angstrom[first]
        return np.asarray(np.linalg.norm(apart, axis=1) <= self.hop_length_angstrom)


def all_hops(
    trajectory: Trajectory,
    ids: IntArray,
    *,
    drift_path: FloatArray | None = None,
    averaging_ps: float = AVERAGING_PS,
    hop_length_angstrom: float = HOP_LENGTH_ANGSTROM,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> Hops:
    """Find every hop of the atoms `ids`, also those that are undone.

    An ion hops when its position, averaged over `averaging_ps`, is farther than
    `hop_length_angstrom` from its mean position since it came. Visits shorter than about the
    averaging time are not seen.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
        Rows of the ions.
    drift_path : (F, 3) float array, optional
        Path to subtract from every ion, Angstrom; by default the centre of mass of all atoms.
    averaging_ps : float
        Frames farther apart than this are used as they are.
    hop_length_angstrom : float
    max_bytes : int
        Size limit of the positions held at once.

    Raises
    ------
    RangeError
        If there are no ions or fewer than two intervals.
    """
    width = frames_averaged(trajectory, averaging_ps)
    n_steps = trajectory.n_frames // width
    if not len(ids) or n_steps < 2:
        raise RangeError(
            f"{trajectory.path}: {len(ids)} ions and {trajectory.n_frames} frames; hops need at "
            "least one ion and two frames"
        )
    parts, net = [], []
    first = 0
    for block_ids, averaged in averaged_blocks(trajectory, ids, drift_path, width, max_bytes):
        stays = find_stays(averaged, hop_length_angstrom, averaged=width > 1)
        rows = stays.arrivals
        parts.append(
            (
                stays.points[rows] + first,
                stays.first_steps[rows],
                stays.sites[rows - 1],
                stays.sites[rows],
            )
        )
        moves = stays.net_moves(hop_length_angstrom)
        net.append(np.bincount(moves.ions, minlength=len(block_ids)))
        first += len(block_ids)
    ions, steps, starts, ends = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Hops(
        ions=ions,
        steps=steps,
        times_ps=arrival_times(steps, width, trajectory.frame_interval_ps),
        starts_angstrom=starts,
        ends_angstrom=ends,
        net_counts=np.concatenate(net),
        n_steps=n_steps,
        interval_ps=width * trajectory.frame_interval_ps,
        frames_per_step=width,
        hop_length_angstrom=hop_length_angstrom,
    )


def stay_durations(hops: Hops) -> tuple[IntArray, np.ndarray]:
    """Return for how many intervals each stay after a hop was watched, and whether it ended.

    The stay at the start of the run, whose beginning was not seen, is left out: such stays are
    longer than the mean one.
    """
    ended = np.zeros(len(hops.ions), dtype=bool)
    ended[hops.successive] = True
    until = np.full(len(hops.ions), hops.n_steps - 1)
    until[hops.successive] = hops.steps[hops.successive + 1]
    return until - hops.steps, ended
