"""What all hops of ions say: how often, how far, how often back, and what D they give."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.hops.all_hops import Hops, stay_durations
from analysis.hops.event_rate import LEVEL, Estimate, Rate, event_rate
from analysis.motion.membership import Membership


def hop_rate(hops: Hops, membership: Membership | None = None, group: int = 0) -> Rate:
    """Return the rate of hops, of all or of those that start in a group.

    Parameters
    ----------
    hops : Hops
    membership : Membership, optional
        Of the same ions. A hop belongs to the group of its ion in the middle of the interval
        before, and so does the time in which it could have hopped.
    group : int
        Index of `membership.names`.
    """
    trials = np.ones((hops.n_steps - 1, hops.n_ions), dtype=bool)
    counted = np.ones(len(hops.ions), dtype=bool)
    if membership is not None:
        middle = np.arange(hops.n_steps - 1) * hops.frames_per_step + hops.frames_per_step // 2
        if membership.codes.shape[1] != hops.n_ions or len(membership.codes) <= middle[-1]:
            raise RangeError(
                f"groups of shape {membership.codes.shape} for {hops.n_ions} ions and "
                f"{hops.n_steps} intervals of {hops.frames_per_step} frames; give those of the "
                "same ions and frames"
            )
        trials = membership.codes[middle] == group
        counted = trials[hops.steps - 1, hops.ions]
    ions, steps = hops.ions[counted], hops.steps[counted] - 1
    return event_rate(ions, steps, trials, hops.interval_ps)


def hop_table(hops: Hops) -> dict[str, FloatArray]:
    """Return what the estimates are made of as sums over the hops of every ion, (n,) each.

    ``hops``, ``length``, ``length2``: number of hops, sum of lengths and of squares, Angstrom;
    ``pairs``, ``back``: successive hops, and those that go back; ``dot``, ``pair2``: sum of their
    scalar products and of the mean of their squares; ``stays_ps``, ``left``: time watched in
    stays that began with a hop, and how many of them ended; ``net``: hops not undone;
    ``watched_ps``: time watched.
    """
    n, first = hops.n_ions, hops.successive
    vectors, lengths = hops.vectors_angstrom, hops.lengths_angstrom
    durations, ended = stay_durations(hops)

    def by_ion(ions: IntArray, weights: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(ions, weights=weights, minlength=n), dtype=float)

    dot = (vectors[first] * vectors[first + 1]).sum(axis=1)
    pair2 = 0.5 * (lengths[first] ** 2 + lengths[first + 1] ** 2)
    return {
        "hops": by_ion(hops.ions, np.ones(len(lengths))),
        "length": by_ion(hops.ions, lengths),
        "length2": by_ion(hops.ions, lengths**2),
        "pairs": by_ion(hops.ions[first], np.ones(len(first))),
        "back": by_ion(hops.ions[first], hops.goes_back.astype(float)),
        "dot": by_ion(hops.ions[first], dot),
        "pair2": by_ion(hops.ions[first], pair2),
        "stays_ps": by_ion(hops.ions, durations * hops.interval_ps),
        "left": by_ion(hops.ions, ended.astype(float)),
        "net": hops.net_counts.astype(float),
        "watched_ps": np.full(n, (hops.n_steps - 1) * hops.interval_ps),
    }


def mean_length(sums: dict[str, FloatArray]) -> FloatArray:
    """Mean length of a hop, Angstrom."""
    return sums["length"] / sums["hops"]


def residence_time(sums: dict[str, FloatArray]) -> FloatArray:
    """Mean residence time of one rate with stays cut off by the end of the run, ps.

    Maximum likelihood: time watched over stays that ended (Kalbfleisch and Prentice, The
    Statistical Analysis of Failure Time Data, section 3.2).
    """
    return sums["stays_ps"] / sums["left"]


def back_hop_share(sums: dict[str, FloatArray]) -> FloatArray:
    """Share of hops that return to the site before the last hop."""
    return sums["back"] / sums["pairs"]


def net_hop_share(sums: dict[str, FloatArray]) -> FloatArray:
    """Hops not undone over all hops; below 1 also for a random walk, which comes back by chance."""
    return sums["net"] / sums["hops"]


def correlation_factor(sums: dict[str, FloatArray]) -> FloatArray:
    """Correlation factor f = (1 + c) / (1 - c), c = <l1.l2> / <l^2> of successive hops.

    Exact where the direction of a hop depends on the last one only (Compaan and Haven, Trans.
    Faraday Soc. 52, 786 (1956), doi 10.1039/TF9565200786).
    """
    cosine = sums["dot"] / sums["pair2"]
    return (1 + cosine) / (1 - cosine)


def diffusion_from_hops(sums: dict[str, FloatArray]) -> FloatArray:
    """Estimate D = f <l^2> rate / 6, Angstrom^2/ps."""
    return correlation_factor(sums) * sums["length2"] / sums["watched_ps"] / 6.0


def estimate(
    function: Callable[[dict[str, FloatArray]], FloatArray],
    table: dict[str, FloatArray],
    together: float,
    *,
    share: bool = False,
) -> Estimate:
    """Evaluate a ratio of sums over ions with its interval.

    Parameters
    ----------
    function : callable
        From sums to the value, both of any shape.
    table : dict of str to (n,) float arrays
        Of `hop_table`.
    together : float
        Factor by which ions that move together enlarge the variance, see `Rate`.
    share : bool
        Whether the value lies between 0 and 1; otherwise it is positive.

    Notes
    -----
    The standard error of the logarithm, of the odds for a share, is that of the jackknife that
    leaves out one ion at a time (Efron and Stein, Ann. Stat. 9, 586 (1981),
    doi 10.1214/aos/1176345462), so the interval does not leave the possible range.
    """
    sums = {name: column.sum() for name, column in table.items()}
    active = table["hops"] > 0
    left_out = {name: sums[name] - column for name, column in table.items()}
    n = int(active.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(function(sums))
        others = function(left_out)
        logs = np.log(others / (1 - others) if share else others)
    if not (n > 1 and value > 0 and np.isfinite(logs).all()):
        return Estimate(value, math.nan, math.nan)
    error = math.sqrt((len(logs) - 1) / len(logs) * ((logs - logs.mean()) ** 2).sum() * together)
    factor = math.exp(stats.t.ppf(0.5 + 0.5 * LEVEL, max(n / together - 1.0, 1.0)) * error)
    if share:
        odds = value / (1 - value)
        return Estimate(value, odds / (odds + factor), odds / (odds + 1 / factor))
    return Estimate(value, value / factor, value * factor)
