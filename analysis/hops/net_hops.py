"""Net hops: moves of an ion from site to site that it does not undo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.hops.stays import find_stays
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory, centre_of_mass_path

AVERAGING_PS = 1.0
HOP_LENGTH_ANGSTROM = 2.0


@dataclass(frozen=True)
class NetHops:
    """Net hops of a group of ions.

    Attributes
    ----------
    times_ps : (H,) float array
        When each net hop took place, sorted: halfway between the averages before and after it.
    lengths_angstrom : (H,) float array
        Distance between the sites.
    ions : (H,) int array
        Which ion hopped, as an index of the rows that were asked for.
    starts_angstrom, ends_angstrom : (H, 3) float arrays
        Averaged unwrapped positions of the ion at the two sites, relative to the drift path.
    n_ions : int
        Ions watched.
    duration_ps : float
        Time watched.
    averaging_ps : float
        Time over which positions were averaged; 0 where frames are too far apart to average.
    """

    times_ps: FloatArray
    lengths_angstrom: FloatArray
    ions: IntArray
    starts_angstrom: FloatArray
    ends_angstrom: FloatArray
    n_ions: int
    duration_ps: float
    averaging_ps: float

    def counts_in_blocks(self, n_blocks: int) -> IntArray:
        """Return the number of net hops in equal time blocks, (n_blocks,)."""
        edges = np.linspace(0.0, self.duration_ps, n_blocks + 1)
        return np.histogram(self.times_ps, bins=edges)[0].astype(np.int64)


def net_hops(
    trajectory: Trajectory,
    ids: IntArray,
    *,
    drift_path: FloatArray | None = None,
    averaging_ps: float = AVERAGING_PS,
    hop_length_angstrom: float = HOP_LENGTH_ANGSTROM,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> NetHops:
    """Count the hops of the atoms `ids` that are not undone.

    Positions are averaged over consecutive intervals of `averaging_ps` and divided into stays, see
    `stays.find_stays`. An ion hops when its new site is farther than `hop_length_angstrom` from
    the site before and from every site on its way there; the way is the loop-erased sequence of its
    sites, so a return to an earlier site erases the hops in between. An ion that came back to a
    site rattles about it: its next departure from that site counts as motion only once it goes on
    to a second new site.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
        Rows of the ions.
    drift_path : (F, 3) float array, optional
        Path to subtract from every ion, Angstrom; by default the centre of mass of all atoms.
    averaging_ps : float
        Averaging time. Frames farther apart than this are used as they are.
    hop_length_angstrom : float
        Shortest hop.
    max_bytes : int
        Size limit of the positions held at once.

    Returns
    -------
    NetHops
    """
    found = []
    first = 0
    width = frames_averaged(trajectory, averaging_ps)
    interval_ps = trajectory.frame_interval_ps
    for _, averaged in averaged_blocks(trajectory, ids, drift_path, width, max_bytes):
        stays = find_stays(averaged, hop_length_angstrom, averaged=width > 1)
        paths = stays.net_moves(hop_length_angstrom)
        found.append((paths.steps, paths.ions + first, paths.starts, paths.ends))
        first += averaged.shape[1]
    if not found:
        raise RangeError(f"{trajectory.path}: no ions to watch; name at least one row")
    steps, ions, starts, ends = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(steps, kind="stable")
    return NetHops(
        times_ps=arrival_times(steps[order], width, interval_ps),
        lengths_angstrom=np.linalg.norm(ends - starts, axis=1)[order],
        ions=ions[order],
        starts_angstrom=starts[order],
        ends_angstrom=ends[order],
        n_ions=len(ids),
        duration_ps=trajectory.duration_ps,
        averaging_ps=width * interval_ps if width > 1 else 0.0,
    )


def frames_averaged(trajectory: Trajectory, averaging_ps: float) -> int:
    """Return how many frames are averaged, 1 where they are too far apart, at most half of all."""
    width = max(1, round(averaging_ps / trajectory.frame_interval_ps))
    return min(width, max(1, trajectory.n_frames // 2))


def averaged_blocks(
    trajectory: Trajectory,
    ids: IntArray,
    drift_path: FloatArray | None,
    width: int,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield positions averaged over consecutive intervals of `width` frames, by block of ions.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
    drift_path : (F, 3) float array, optional
        Path to subtract, Angstrom; by default the centre of mass of all atoms.
    width : int
        Frames left over at the end are not used.
    max_bytes : int
        Size limit of the positions of one block.

    Yields
    ------
    block_ids : (m,) int array
    averaged : (K, m, 3) float array
        Unwrapped, Angstrom.
    """
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    for block_ids, positions in trajectory.atom_blocks(ids, max_bytes):
        yield block_ids, averages(positions - drift_path[:, None, :], width)


def averages(series: FloatArray, width: int) -> FloatArray:
    """Average (F, ...) over consecutive intervals of `width` frames, to (F // width, ...)."""
    if width == 1:
        return series
    usable = len(series) // width * width
    return np.asarray(series[:usable].reshape(-1, width, *series.shape[1:]).mean(axis=1))


def arrival_times(steps: IntArray, width: int, frame_interval_ps: float) -> FloatArray:
    """Return the time halfway between interval `step` and the one before it, (H,) ps."""
    return np.asarray((steps * width - 0.5) * frame_interval_ps)
