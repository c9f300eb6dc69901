"""Net hops: moves of an ion from site to site that it does not undo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory, centre_of_mass_path

AVERAGING_PS = 1.0
HOP_LENGTH_ANGSTROM = 2.0
# Sites an ion left longer ago than this many net hops are forgotten, so memory stays bounded.
REMEMBERED_SITES = 24


@dataclass(frozen=True)
class NetHops:
    """Net hops of a group of ions.

    Attributes
    ----------
    times_ps : (H,) float array
        When each net hop took place, sorted.
    lengths_angstrom : (H,) float array
        Distance between the sites.
    n_ions : int
        Ions watched.
    duration_ps : float
        Time watched.
    averaging_ps : float
        Time over which positions were averaged; 0 where frames are too far apart to average.
    """

    times_ps: FloatArray
    lengths_angstrom: FloatArray
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

    Positions are averaged over consecutive intervals of `averaging_ps`. An ion hops when its
    averaged position is farther than `hop_length_angstrom` from its site and from every site on
    its way there; the way is the loop-erased sequence of its sites, so a return to an earlier site
    erases the hops in between. An ion that came back to a site rattles about it: its next departure
    from that site counts as motion only once it goes on to a second new site.

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
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    width = max(1, round(averaging_ps / trajectory.frame_interval_ps))
    width = min(width, max(1, trajectory.n_frames // 2))
    interval_ps = width * trajectory.frame_interval_ps
    times, lengths = [], []
    for _, positions in trajectory.atom_blocks(ids, max_bytes):
        positions = positions - drift_path[:, None, :]
        usable = len(positions) // width * width
        averaged = positions[:usable].reshape(-1, width, *positions.shape[1:]).mean(axis=1)
        steps, distances = loop_erased_hops(averaged, hop_length_angstrom)
        times.append((steps + 0.5) * interval_ps)
        lengths.append(distances)
    order = np.argsort(np.concatenate(times), kind="stable")
    return NetHops(
        times_ps=np.concatenate(times)[order],
        lengths_angstrom=np.concatenate(lengths)[order],
        n_ions=len(ids),
        duration_ps=trajectory.duration_ps,
        averaging_ps=interval_ps if width > 1 else 0.0,
    )


def loop_erased_hops(
    positions: FloatArray, hop_length_angstrom: float
) -> tuple[IntArray, FloatArray]:
    """Find the net hops in averaged positions.

    Parameters
    ----------
    positions : (K, n, 3) float array
        Averaged unwrapped positions, Angstrom.
    hop_length_angstrom : float
        Radius of a site.

    Returns
    -------
    steps : (H,) int array
        Index into the first axis at which each net hop arrived.
    lengths : (H,) float array
        Hop lengths, Angstrom.
    """
    n_ions = positions.shape[1]
    size = REMEMBERED_SITES
    sites = np.zeros((n_ions, size, 3))
    sites[:, 0] = positions[0]
    arrival = np.zeros((n_ions, size), dtype=np.int64)  # step at which the site was reached
    length = np.zeros((n_ions, size))
    rattles = np.zeros((n_ions, size), dtype=bool)  # the ion came back to this site
    depth = np.zeros(n_ions, dtype=np.int64)
    steps: list[IntArray] = []
    lengths: list[FloatArray] = []
    current = positions[0].copy()  # sites[:, depth], kept for speed
    radius2 = hop_length_angstrom**2
    for step in range(1, len(positions)):
        here = positions[step]
        offset = here - current
        left = np.flatnonzero(np.einsum("ij,ij->i", offset, offset) > radius2)
        if not len(left):
            continue
        visited = int(depth[left].max()) + 1
        away = sites[left, :visited] - here[left, None]
        distance2 = np.einsum("ijk,ijk->ij", away, away)
        distance2[np.arange(visited) > depth[left, None]] = np.inf
        nearest = distance2.argmin(axis=1)
        back = distance2[np.arange(len(left)), nearest] <= radius2
        returned = left[back]
        depth[returned] = nearest[back]
        rattles[returned, nearest[back]] = True
        current[returned] = sites[returned, nearest[back]]

        moved = left[~back]
        full = moved[depth[moved] == size - 1]
        if len(full):
            steps.append(arrival[full, 1])
            lengths.append(length[full, 1])
            for array in (sites, arrival, length, rattles):
                array[full, :-1] = array[full, 1:]
            depth[full] -= 1
        level = depth[moved] + 1
        sites[moved, level] = here[moved]
        arrival[moved, level] = step
        length[moved, level] = np.linalg.norm(offset[moved], axis=1)
        current[moved] = here[moved]
        rattles[moved, level] = False
        depth[moved] = level
    for level in range(1, size):
        # A last hop away from a site the ion is known to rattle about may still be undone.
        still_rattling = rattles[:, level - 1] & (depth == level)
        counted = np.flatnonzero((depth >= level) & ~still_rattling)
        steps.append(arrival[counted, level])
        lengths.append(length[counted, level])
    return np.concatenate(steps), np.concatenate(lengths)
