"""Whether ions hop and units near them rotate at the same time more often than by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.anions.persistence import read_frame
from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.hops.all_hops import Hops
from analysis.hops.event_rate import LEVEL
from analysis.hops.rotations import Rotations
from analysis.pairs.pair_counts import largest_r_max
from analysis.trajectory import Trajectory

# The first shell of ligands around a mobile ion, about 3.5, and a bond of the unit, 2 Angstrom.
RADIUS_ANGSTROM = 6.0
WINDOW_PS = 2.0
N_SHUFFLES = 1000
SEED = 20210
MIN_ROTATIONS = 20
# Fewer coincidences expected by chance leave the ratio to luck.
MIN_EXPECTED = 2.0
# Distances held at once.
MAX_PAIRS = 1_000_000


@dataclass(frozen=True)
class Coincidence:
    """Hops near rotating units, within a time of a rotation.

    Attributes
    ----------
    observed : int
        Pairs of a rotation and a hop near that unit in the window.
    expected : float
        The same by chance: mean over shuffles.
    ratio, low, high : float
        Observed over expected, and its interval at the level 0.95; nan if none is expected.
    p_value : float
        Share of shuffles with at least as many pairs, the data themselves included.
    n_rotations : int
    window_ps : float
        Largest time between the two, a whole number of intervals.
    radius_angstrom : float
        Largest distance of the ion from the centre of the unit.
    """

    observed: int
    expected: float
    ratio: float
    low: float
    high: float
    p_value: float
    n_rotations: int
    window_ps: float
    radius_angstrom: float


def hop_rotation_coincidence(
    trajectory: Trajectory,
    mobile_ids: IntArray,
    hops: Hops,
    rotations: Rotations,
    *,
    window_ps: float = WINDOW_PS,
    radius_angstrom: float = RADIUS_ANGSTROM,
) -> Coincidence:
    """Count hops near every unit that rotates, and compare with rotations at shifted times.

    Parameters
    ----------
    trajectory : Trajectory
    mobile_ids : (n,) int array
        Rows of the ions of `hops`.
    hops : Hops
    rotations : Rotations
        Over the same intervals of time.
    window_ps : float
        Largest time between a hop and a rotation.
    radius_angstrom : float
        Largest distance of the ion from the centre, in the frame between the intervals before
        and after the hop; below half the smallest perpendicular cell width.

    Raises
    ------
    RangeError
        If the intervals differ or the radius is too large.
    """
    if (hops.n_steps, hops.frames_per_step) != (rotations.n_steps, rotations.frames_per_step):
        raise RangeError(
            f"{trajectory.path}: hops in {hops.n_steps} intervals of {hops.frames_per_step} frames "
            f"and rotations in {rotations.n_steps} of {rotations.frames_per_step}; use the same "
            "averaging time"
        )
    turning, unit = np.unique(rotations.units, return_inverse=True)
    centres = rotations.followed[turning]
    hop, near = near_units(trajectory, mobile_ids, hops, centres, radius_angstrom)
    window = int(window_ps / hops.interval_ps + 1e-9)
    return count_coincidences(
        near,
        hops.steps[hop],
        unit,
        rotations.steps,
        n_steps=hops.n_steps,
        window=window,
        interval_ps=hops.interval_ps,
        radius_angstrom=radius_angstrom,
    )


def near_units(
    trajectory: Trajectory,
    mobile_ids: IntArray,
    hops: Hops,
    centres: IntArray,
    radius_angstrom: float,
) -> tuple[IntArray, IntArray]:
    """Return the pairs of a hop and a unit that is near when it happens, (pairs,) each.

    Parameters
    ----------
    trajectory : Trajectory
        Read once, only the frames in which there is a hop.
    mobile_ids : (n,) int array
    hops : Hops
    centres : (U,) int array
        Rows of the centres of the units.
    radius_angstrom : float

    Raises
    ------
    RangeError
        If the radius is above half the smallest perpendicular cell width.
    """
    limit = largest_r_max(trajectory)
    if not 0 < radius_angstrom <= limit:
        raise RangeError(
            f"{trajectory.path}: hops up to {radius_angstrom:g} Angstrom from a unit; at most half "
            f"the smallest perpendicular cell width, {limit:.4f} Angstrom, is allowed"
        )
    order = np.argsort(hops.steps, kind="stable")
    steps, begin = np.unique(hops.steps[order], return_index=True)
    found_hops, found_units = [order[:0]], [order[:0]]
    for step, now in zip(steps.tolist(), np.split(order, begin[1:]), strict=False):
        frame = read_frame(trajectory, step * hops.frames_per_step)
        inverse = np.linalg.inv(frame.cell)
        units = frame.positions[centres] @ inverse
        for some in np.array_split(now, -(-len(now) * len(centres) // MAX_PAIRS) or 1):
            ions = frame.positions[mobile_ids[hops.ions[some]]] @ inverse
            apart = ions[:, None] - units
            # Within half the perpendicular width the nearest image is that of the rounded fraction.
            apart -= np.round(apart)
            distance = np.linalg.norm(apart @ frame.cell, axis=2)
            which, unit = np.nonzero(distance <= radius_angstrom)
            found_hops.append(some[which])
            found_units.append(unit)
    return np.concatenate(found_hops), np.concatenate(found_units)


def count_coincidences(
    hop_units: IntArray,
    hop_steps: IntArray,
    rotation_units: IntArray,
    rotation_steps: IntArray,
    *,
    n_steps: int,
    window: int,
    interval_ps: float,
    radius_angstrom: float,
    n_shuffles: int = N_SHUFFLES,
    seed: int = SEED,
) -> Coincidence:
    """Count pairs within a window, and again with the rotations of each unit shifted in time.

    Parameters
    ----------
    hop_units, hop_steps : (P,) int arrays
        Unit near each hop, and interval of the hop; a hop near two units stands twice.
    rotation_units, rotation_steps : (E,) int arrays
        From interval 1 to `n_steps` - 1, as the hops.
    n_steps : int
    window : int
        Largest difference in intervals.
    interval_ps, radius_angstrom : float
        Written into the result.
    n_shuffles, seed : int

    Notes
    -----
    All rotations of a unit move together around the run, which keeps their rate and how they
    follow each other, and all hops stay, so that only the relation of the two is lost. The shifts
    of different units are independent: a change of conditions that sets both off in the whole
    sample counts as coincidence. The interval is that of the logarithm, its error the larger of
    the jackknife over units and the scatter of the shuffles.
    """
    n_units = int(max(rotation_units.max(initial=-1), hop_units.max(initial=-1))) + 1
    # One sorted axis for all units, too far apart to meet.
    stride = n_steps + 2 * window + 1
    hop_keys = np.sort(hop_units * stride + hop_steps)

    def pairs(steps: IntArray) -> IntArray:
        keys = rotation_units * stride + steps
        after = np.searchsorted(hop_keys, keys + window, side="right")
        return np.asarray(after - np.searchsorted(hop_keys, keys - window, side="left"))

    rng = np.random.default_rng(seed)
    observed = np.zeros(n_units)
    np.add.at(observed, rotation_units, pairs(rotation_steps))
    expected, totals = np.zeros(n_units), np.empty(n_shuffles)
    for n in range(n_shuffles):
        shift = rng.integers(0, n_steps - 1, n_units)[rotation_units]
        shuffled = pairs(1 + (rotation_steps - 1 + shift) % (n_steps - 1))
        totals[n] = shuffled.sum()
        expected += np.bincount(rotation_units, weights=shuffled, minlength=n_units) / n_shuffles
    low, high = _ratio_interval(observed, expected, totals)
    mean = float(totals.mean())
    return Coincidence(
        observed=int(observed.sum()),
        expected=mean,
        ratio=float(observed.sum()) / mean if mean > 0 else math.nan,
        low=low,
        high=high,
        p_value=float((totals >= observed.sum()).sum() + 1) / (n_shuffles + 1),
        n_rotations=len(rotation_units),
        window_ps=window * interval_ps,
        radius_angstrom=radius_angstrom,
    )


def _ratio_interval(
    observed: FloatArray, expected: FloatArray, totals: FloatArray
) -> tuple[float, float]:
    """Return the interval of the ratio of the sums over units; nan where it has none."""
    known = expected > 0
    n = int(known.sum())
    seen, chance = observed[known].sum(), expected[known].sum()
    if n < 2 or seen <= 0:
        return math.nan, math.nan
    with np.errstate(divide="ignore"):
        without = np.log((seen - observed[known]) / (chance - expected[known]))
    if not np.isfinite(without).all():
        return math.nan, math.nan
    jackknife = (n - 1) / n * ((without - without.mean()) ** 2).sum()
    # In units of the count that was seen: what chance alone scatters.
    scatter = totals.var(ddof=1) / totals.mean() / seen
    half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, n - 1)) * math.sqrt(max(jackknife, scatter))
    ratio = math.log(seen / chance)
    return math.exp(ratio - half), math.exp(ratio + half)
