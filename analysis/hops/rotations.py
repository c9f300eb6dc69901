"""Rotation of units with fixed ligands: time correlation of their directions, and jumps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import fft, stats

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.hops.event_rate import LEVEL, Estimate, Rate, event_rate
from analysis.hops.net_hops import AVERAGING_PS, arrival_times, averages, frames_averaged
from analysis.hops.rotating_units import (
    RotatingUnits,
    directions,
    nearest_rotations,
    orientations,
)
from analysis.hops.stays import find_stays
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory

JUMP_DEGREE = 40.0
# Groups of units whose scatter gives the errors of the correlation functions.
N_GROUPS = 20
FFT_BYTES = 64 * 1024**2
# Diagonal and off-diagonal products of components, whose scalar product is (u.u')^2.
PRODUCTS = ((0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (0, 1, 2.0), (0, 2, 2.0), (1, 2, 2.0))


@dataclass(frozen=True)
class Rotations:
    """Rotations of the units of one element.

    Attributes
    ----------
    element : str
        Of the centres.
    n_units : int
        Units in the first frame.
    followed : (u,) int array
        Rows in the trajectory of the centres of those whose ligands stayed for the whole run.
    times_ps : (m,) float array
        Lags of the correlation functions, up to half the run.
    c1, c2 : (m,) float arrays
        Mean over bonds and origins of P_l(u(0).u(t)), l = 1 and 2.
    c1_groups, c2_groups : (g, m) float arrays
        The same in groups of units.
    units : (E,) int array
        Which of `followed` jumped, ascending.
    steps : (E,) int array
        Interval of time in which it was first seen in the new orientation.
    event_times_ps : (E,) float array
        Time halfway between that interval and the one before.
    angles_degree : (E,) float array
        Between the mean orientations before and after.
    n_steps, frames_per_step : int
        Intervals of time, and frames in each.
    interval_ps : float
        Length of an interval.
    """

    element: str
    n_units: int
    followed: IntArray
    times_ps: FloatArray
    c1: FloatArray
    c2: FloatArray
    c1_groups: FloatArray
    c2_groups: FloatArray
    units: IntArray
    steps: IntArray
    event_times_ps: FloatArray
    angles_degree: FloatArray
    n_steps: int
    frames_per_step: int
    interval_ps: float


def rotations(
    trajectory: Trajectory,
    units: RotatingUnits,
    *,
    averaging_ps: float = AVERAGING_PS,
    jump_degree: float = JUMP_DEGREE,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> Rotations:
    """Follow the directions of all bonds, and the orientation of every unit.

    A unit jumps when its orientation, averaged over `averaging_ps`, differs by more than
    `jump_degree` from its mean since the last jump and does not turn back: jumps that are undone
    are erased, as for net hops. Ligands keep their identity, so that a turn about a symmetry axis
    counts. Rotation of the whole sample is not taken out.

    Parameters
    ----------
    trajectory : Trajectory
    units : RotatingUnits
    averaging_ps : float
        Frames farther apart than this are used as they are.
    jump_degree : float
        Between 0 and 180.
    max_bytes : int
        Size limit of the positions held at once.

    Raises
    ------
    RangeError
        If no unit keeps its ligands, there are fewer than four frames or the angle is impossible.

    Notes
    -----
    Rotations by an angle a have matrices that differ by 2 sqrt(2) sin(a / 2) in the Frobenius
    norm, so that sites and stays are found in that space as hops are in positions.
    """
    if not 0 < jump_degree < 180 or trajectory.n_frames < 4:
        raise RangeError(
            f"{trajectory.path}: jumps of {jump_degree:g} degrees in {trajectory.n_frames} frames; "
            "expected an angle between 0 and 180 and at least 4 frames"
        )
    width = frames_averaged(trajectory, averaging_ps)
    n_lags = trajectory.n_frames // 2 + 1
    sums = np.zeros((2, N_GROUPS, n_lags))
    bonds = np.zeros(N_GROUPS)
    followed, events = [], []
    before = 0
    for kept, block, vectors in directions(trajectory, units, width, max_bytes):
        group = (before + block.bond_unit) % N_GROUPS
        bonds += np.bincount(group, minlength=N_GROUPS)
        sums += _correlate(vectors, group, n_lags)
        turned = orientations(averages(vectors, width), block.bond_unit)
        jumps = _jumps(turned, jump_degree, averaged=width > 1)
        events.append((jumps[0] + before, *jumps[1:]))
        followed.append(kept)
        before += len(kept)
    if not followed:
        raise RangeError(
            f"{trajectory.path}: none of {len(units.centres)} {units.element} keeps its ligands "
            "for the whole run; rotations need units that last"
        )
    used = bonds > 0
    origins = trajectory.n_frames - np.arange(n_lags)
    squares = sums.sum(axis=1) / bonds.sum() / origins
    groups = sums[:, used] / bonds[used, None] / origins
    unit, step, angle = (np.concatenate(part) for part in zip(*events, strict=True))
    order = np.lexsort((step, unit))
    return Rotations(
        element=units.element,
        n_units=len(units.centres),
        followed=units.centres[np.concatenate(followed)],
        times_ps=np.arange(n_lags) * trajectory.frame_interval_ps,
        c1=squares[0],
        c2=1.5 * squares[1] - 0.5,
        c1_groups=groups[0],
        c2_groups=1.5 * groups[1] - 0.5,
        units=unit[order],
        steps=step[order],
        event_times_ps=arrival_times(step[order], width, trajectory.frame_interval_ps),
        angles_degree=angle[order],
        n_steps=trajectory.n_frames // width,
        frames_per_step=width,
        interval_ps=width * trajectory.frame_interval_ps,
    )


def half_widths(groups: FloatArray) -> FloatArray:
    """Return half the Student interval of the mean of (g, m) groups, (m,); inf for one group."""
    if len(groups) < 2:
        return np.full(groups.shape[1], math.inf)
    error = groups.std(axis=0, ddof=1) / math.sqrt(len(groups))
    return np.asarray(stats.t.ppf(0.5 + 0.5 * LEVEL, len(groups) - 1) * error)


def relaxation_time(rotations: Rotations) -> Estimate:
    """Return the time at which C1 falls to 1/e, and where the ends of its interval do, ps.

    What does not fall so far within half the run is inf; the lower limit is then the longest lag.
    """
    half = half_widths(rotations.c1_groups)
    times = rotations.times_ps
    low = _crossing(times, rotations.c1 - half)
    return Estimate(
        _crossing(times, rotations.c1),
        min(low, float(times[-1])),
        _crossing(times, rotations.c1 + half),
    )


def rotation_rate(rotations: Rotations) -> Rate:
    """Return the rate of jumps of a unit, 1/ps."""
    trials = np.ones((rotations.n_steps - 1, len(rotations.followed)), dtype=bool)
    return event_rate(rotations.units, rotations.steps - 1, trials, rotations.interval_ps)


def _crossing(times: FloatArray, correlation: FloatArray) -> float:
    below = np.flatnonzero(correlation < 1.0 / math.e)
    if not len(below):
        return math.inf
    last = int(below[0])
    if last == 0:
        return 0.0
    (early, late), (above, under) = times[last - 1 : last + 1], correlation[last - 1 : last + 1]
    return float(early + (late - early) * (above - 1.0 / math.e) / (above - under))


def _correlate(vectors: FloatArray, group: IntArray, n_lags: int) -> FloatArray:
    """Return sums over origins and bonds of u.u' and (u.u')^2 by group, (2, N_GROUPS, n_lags)."""
    n_frames = len(vectors)
    size = fft.next_fast_len(n_frames + n_lags, real=True)
    power = np.zeros((2, N_GROUPS, size // 2 + 1))
    at_once = max(1, FFT_BYTES // (size * 8 * 3))
    by_group = np.argsort(group, kind="stable")
    for start in range(0, len(group), at_once):
        some = by_group[start : start + at_once]
        begin = np.flatnonzero(np.diff(group[some], prepend=-1))
        part = np.ascontiguousarray(vectors[:, some].transpose(2, 1, 0))
        series = [(0, part[axis], 1.0) for axis in range(3)]
        series += [(1, part[i] * part[j], weight) for i, j, weight in PRODUCTS]
        for order, values, weight in series:
            spectrum = fft.rfft(values, size, axis=1)
            squared = spectrum.real**2 + spectrum.imag**2
            power[order, group[some[begin]]] += weight * np.add.reduceat(squared, begin, axis=0)
    return np.asarray(fft.irfft(power, size, axis=2)[:, :, :n_lags])


def _jumps(
    turned: FloatArray, jump_degree: float, *, averaged: bool
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return unit, interval of arrival and angle in degrees of every jump, (E,) each."""
    radius = 2.0 * math.sqrt(2.0) * math.sin(math.radians(jump_degree) / 2.0)
    places = turned.reshape(*turned.shape[:2], 9)
    stays = find_stays(places, radius, averaged=averaged)
    moves = stays.net_moves(radius)
    before, after = (
        nearest_rotations(ends.reshape(-1, 3, 3)) for ends in (moves.starts, moves.ends)
    )
    cosine = 0.5 * ((before * after).sum(axis=(1, 2)) - 1.0)
    return moves.ions, moves.steps, np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
