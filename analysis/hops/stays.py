"""Stays of a moving point at its sites, every one of them: what lies between two moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.hops.loop_erasure import LoopErased, loop_erased

# A stop of one interval whose distances to the sites before and after add up to less than this
# times their distance is the average over a move, not a site.
MAX_DETOUR = 1.2


@dataclass(frozen=True)
class Stays:
    """Stays of n points, sorted by point and then by time; every point has at least one.

    Attributes
    ----------
    points : (M,) int array
        Which point stays.
    first_steps : (M,) int array
        Interval of arrival; 0 for the stay at the start, whose arrival was not seen.
    sites : (M, d) float array
        Mean place during the stay.
    n_points, n_steps : int
        Points watched, and intervals of time.
    """

    points: IntArray
    first_steps: IntArray
    sites: FloatArray
    n_points: int
    n_steps: int

    @property
    def arrivals(self) -> IntArray:
        """Rows of the stays that began with a move, (H,); row - 1 is the stay before."""
        return np.flatnonzero(self.first_steps > 0)

    def net_moves(self, radius: float) -> LoopErased:
        """Return the moves between sites that are not undone; steps count intervals of time."""
        if not len(self.arrivals):
            empty = np.zeros(0, dtype=np.int64)
            place = np.zeros((0, self.sites.shape[1]))
            return LoopErased(empty, empty, place, place)
        moving = np.unique(self.points[self.arrivals])
        begin = np.searchsorted(self.points, moving)
        number = np.searchsorted(self.points, moving, side="right") - begin
        # One column a point; a path that has ended stays at its last site.
        rows = begin + np.minimum(np.arange(number.max())[:, None], number - 1)
        moves = loop_erased(self.sites[rows], radius)
        return LoopErased(
            self.first_steps[rows[moves.steps, moves.ions]],
            moving[moves.ions],
            moves.starts,
            moves.ends,
        )


def find_stays(places: FloatArray, radius: float, *, averaged: bool) -> Stays:
    """Divide paths into stays at sites.

    A point leaves when it is farther than `radius` from the mean place of its stay so far; the
    new stay begins there, wherever it is. Stays whose mean places turn out to be no farther apart
    than `radius` are one.

    Parameters
    ----------
    places : (K, n, d) float array
        Places in K intervals of time: positions, or rotation matrices as 9 numbers.
    radius : float
        Radius of a site, in the unit of `places`.
    averaged : bool
        Whether places are averages over an interval, so that those at the ends of a stay may mix
        two sites. They then do not count for the mean place of a longer stay, and a stop of one
        interval on the way from a site to another is no stay.

    Returns
    -------
    Stays
    """
    n_steps, n_points, _ = places.shape
    site = places[0].copy()
    closed = site.copy()  # mean place if the point were to leave now
    weight = np.ones(n_points)
    gone = np.zeros(0, dtype=np.int64)
    who, when, where = [], [], []
    for step in range(1, n_steps):
        here = places[step]
        offset = here - site
        arrived, gone = gone, np.flatnonzero(np.einsum("ij,ij->i", offset, offset) > radius**2)
        who.append(gone)
        when.append(np.full(len(gone), step))
        where.append((closed if averaged else site)[gone])
        if averaged:
            closed[:] = site
            weight[arrived] = 0.0
        weight += 1.0
        site += offset / weight[:, None]
        if averaged:
            closed[arrived] = site[arrived]
        site[gone] = closed[gone] = here[gone]
        weight[gone] = 1.0
    everyone = np.arange(n_points)
    departed, steps = (np.concatenate([*part, everyone[:0]]) for part in (who, when))
    points = np.concatenate([departed, everyone])
    # Departures end one stay each and begin the next; the last stays are still open.
    order = np.lexsort((np.append(steps, np.full(n_points, n_steps)), points))
    sites = np.concatenate([*where, site])[order]
    begin = np.lexsort((np.append(steps, np.zeros(n_points, dtype=np.int64)), points))
    first = np.append(steps, np.zeros(n_points, dtype=np.int64))[begin]
    stays = Stays(points[order], first, sites, n_points, n_steps)
    return _without_near(_without_flights(stays) if averaged else stays, radius)


def _without_flights(stays: Stays) -> Stays:
    """Leave out stops of one interval between two sites; the next stay begins there."""
    points, first, sites = stays.points, stays.first_steps.copy(), stays.sites
    inner = np.flatnonzero((points[2:] == points[:-2]) & (np.diff(first)[1:] == 1)) + 1
    inner = inner[points[inner - 1] == points[inner]]
    before, here, after = sites[inner - 1], sites[inner], sites[inner + 1]
    way = np.linalg.norm(here - before, axis=1) + np.linalg.norm(after - here, axis=1)
    flights = inner[way < MAX_DETOUR * np.linalg.norm(after - before, axis=1)]
    # Two in a row cannot both be told from a slow walk: only the first goes.
    flights = flights[np.diff(flights, prepend=-2) > 1]
    first[flights + 1] = first[flights]
    keep = np.ones(len(points), dtype=bool)
    keep[flights] = False
    return Stays(points[keep], first[keep], sites[keep], stays.n_points, stays.n_steps)


def _without_near(stays: Stays, radius: float) -> Stays:
    """Join successive stays whose mean places are one site after all."""
    while True:
        points, first, sites = stays.points, stays.first_steps, stays.sites
        same = points[1:] == points[:-1]
        near = same & (np.linalg.norm(np.diff(sites, axis=0), axis=1) <= radius)
        rows = np.flatnonzero(near) + 1
        if not len(rows):
            return stays
        rows = rows[np.diff(rows, prepend=-2) > 1]
        until = np.append(np.where(same, first[1:], stays.n_steps), stays.n_steps)
        weight = (until - first).astype(float)[:, None]
        joined = sites.copy()
        joined[rows - 1] = weight[rows - 1] * sites[rows - 1] + weight[rows] * sites[rows]
        joined[rows - 1] /= weight[rows - 1] + weight[rows]
        keep = np.ones(len(points), dtype=bool)
        keep[rows] = False
        stays = Stays(points[keep], first[keep], joined[keep], stays.n_points, stays.n_steps)
