"""How ions change between groups: who is still counted at each lag, how often they cross over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, stats

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.groups import NO_GROUP
from analysis.motion.membership import Membership
from analysis.regional.visits import displacements_within, visits_of

# Ions that vibrate across a plane have not left.
MIN_STAY_PS = 1.0
LEVEL = 0.95
# Ions transformed at once.
TRANSFORM_IONS = 256


@dataclass(frozen=True)
class Survivors:
    """Displacements of one group that count, by lag and rule.

    Attributes
    ----------
    group : str
    times_ps : (F,) float array
    origin, origin_and_end, throughout : (F,) int arrays
        Displacements that each rule counts.
    """

    group: str
    times_ps: FloatArray
    origin: IntArray
    origin_and_end: IntArray
    throughout: IntArray

    @property
    def share_at_end(self) -> FloatArray:
        """Share of the displacements from the group that end in it, (F,); nan without any."""
        return _ratio(self.origin_and_end, self.origin)

    @property
    def share_throughout(self) -> FloatArray:
        """Share of the displacements from the group that never leave it, (F,); nan without any."""
        return _ratio(self.throughout, self.origin)


@dataclass(frozen=True)
class Exchange:
    """Crossings from group to group that last.

    Attributes
    ----------
    names : tuple of str
        Groups, G of them.
    crossings : (G, G) int array
        Ions that went from the group of the row to that of the column.
    departures : (G,) int array
        Ions that left a group, for whatever or for none.
    time_ps : (G,) float array
        Time that all ions together spent in each group, brief excursions counted to the group
        they started from.
    min_stay_ps : float
        Shorter stays are excursions.
    """

    names: tuple[str, ...]
    crossings: IntArray
    departures: IntArray
    time_ps: FloatArray
    min_stay_ps: float

    def rate(self, start: int, end: int, level: float = LEVEL) -> tuple[float, float, float]:
        """Return crossings per ion in group `start` and ps with their Poisson interval.

        Raises
        ------
        RangeError
            If no ion was ever in the group.
        """
        time = self._watched(start)
        count = int(self.crossings[start, end])
        low, high = poisson_interval(count, level)
        return count / time, low / time, high / time

    def residence_ps(self, group: int, level: float = LEVEL) -> tuple[float, float, float]:
        """Return the mean time in a group with its interval; inf where no ion left.

        Notes
        -----
        All time spent over the number of departures: the maximum of the likelihood of exponential
        stays of which the first and last are cut off by the run (Lawless, Statistical Models and
        Methods for Lifetime Data, 2nd ed., section 4.1.1). Without departures `low` is a
        lower bound.
        """
        time = self._watched(group)
        count = int(self.departures[group])
        fewest, most = poisson_interval(count, level)
        high = time / fewest if fewest > 0 else np.inf
        return (time / count if count else np.inf), time / most, high

    def _watched(self, group: int) -> float:
        if not self.time_ps[group] > 0:
            raise RangeError(f"no ion was in {self.names[group]}; it has no rate of exchange")
        return float(self.time_ps[group])


def poisson_interval(count: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the limits of the expected number of events of which `count` were seen.

    Without events the upper limit is one-sided, so that it is exceeded with probability
    1 - `level` as well. Garwood, Biometrika 28, 437 (1936), doi 10.1093/biomet/28.3-4.437.
    """
    if count == 0:
        return 0.0, float(0.5 * stats.chi2.ppf(level, 2))
    tail = 0.5 * (1.0 - level)
    low = 0.5 * stats.chi2.ppf(tail, 2 * count)
    return float(low), float(0.5 * stats.chi2.ppf(1.0 - tail, 2 * (count + 1)))


def survivors(membership: Membership, group: int, frame_interval_ps: float) -> Survivors:
    """Count the displacements of a group by each rule, exactly and at every lag.

    Parameters
    ----------
    membership : Membership
    group : int
        Index of the names of the membership.
    frame_interval_ps : float
    """
    n_frames, n_ions = membership.codes.shape
    origin, both, throughout = np.zeros((3, n_frames), dtype=np.int64)
    size = fft.next_fast_len(2 * n_frames - 1, real=True)
    for start in range(0, n_ions, TRANSFORM_IONS):
        inside = membership.inside(group, slice(start, start + TRANSFORM_IONS)).T
        origin += np.cumsum(inside.sum(axis=0))[::-1]
        power = (np.abs(fft.rfft(inside.astype(float), size, axis=1)) ** 2).sum(axis=0)
        both += np.round(fft.irfft(power, size)[:n_frames]).astype(np.int64)
        throughout += displacements_within(visits_of(inside), n_frames)
    times = np.arange(n_frames) * frame_interval_ps
    return Survivors(membership.names[group], times, origin, both, throughout)


def exchange(
    membership: Membership, frame_interval_ps: float, *, min_stay_ps: float = MIN_STAY_PS
) -> Exchange:
    """Count the ions that go from one group to another and stay.

    Parameters
    ----------
    membership : Membership
        Atoms in none of the groups form one of their own, to which crossings are not listed.
    frame_interval_ps : float
    min_stay_ps : float
        Shortest stay; an ion that is elsewhere for less has not left, and one that passes through
        a group in less goes from the one before to the one after.

    Returns
    -------
    Exchange
    """
    n_groups = len(membership.names)
    # A stay of L frames is seen to last between L - 1 and L + 1 intervals, L on average.
    min_frames = max(1, int(np.ceil(min_stay_ps / frame_interval_ps - 1e-9)))
    crossings = np.zeros((n_groups + 1, n_groups + 1), dtype=np.int64)
    time = np.zeros(n_groups + 1)
    for start in range(0, membership.codes.shape[1], TRANSFORM_IONS):
        settled = _settled(membership.codes[:, start : start + TRANSFORM_IONS].T, min_frames)
        # Group -1 comes last, where an index of -1 points.
        before, after = settled[:, :-1], settled[:, 1:]
        left = before != after
        np.add.at(crossings, (before[left], after[left]), 1)
        # The time between two frames is that of the group at its start.
        time += np.bincount(before.ravel() % (n_groups + 1), minlength=n_groups + 1)
    return Exchange(
        names=membership.names,
        crossings=crossings[:n_groups, :n_groups],
        departures=crossings[:n_groups].sum(axis=1),
        time_ps=time[:n_groups] * frame_interval_ps,
        min_stay_ps=min_stay_ps,
    )


def _settled(codes: np.ndarray, min_frames: int) -> IntArray:
    """Give the frames of brief stays to the lasting stay before, or after at the start, (m, F)."""
    n_ions, n_frames = codes.shape
    codes = codes.astype(np.int64)
    begins = np.ones((n_ions, n_frames), dtype=bool)
    begins[:, 1:] = codes[:, 1:] != codes[:, :-1]
    flat = np.flatnonzero(begins)
    lengths = np.diff(np.append(flat, codes.size))
    lasting = np.repeat(lengths >= min_frames, lengths).reshape(codes.shape)
    frames = np.arange(n_frames)
    last = np.maximum.accumulate(np.where(lasting, frames, -1), axis=1)
    first = np.where(lasting.any(axis=1), lasting.argmax(axis=1), 0)
    chosen = np.where(last >= 0, last, first[:, None])
    settled = np.take_along_axis(codes, chosen, axis=1)
    # Without any stay that lasts an ion is nowhere.
    settled[~lasting.any(axis=1)] = NO_GROUP
    return settled


def _ratio(part: IntArray, whole: IntArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole)
