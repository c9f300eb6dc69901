"""Exchange of ions between groups as numbers with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.motion.membership import Membership
from analysis.regional.exchange import MIN_STAY_PS, Exchange, exchange
from analysis.results import Quantity


def exchange_quantities(
    membership: Membership,
    groups: Sequence[int],
    label: str,
    frame_interval_ps: float,
    *,
    min_stay_ps: float = MIN_STAY_PS,
) -> list[Quantity]:
    """Return exchange rates between groups and mean residence times.

    Parameters
    ----------
    membership : Membership
    groups : sequence of int
        Indices of the names of the membership to report.
    label : str
        Chemical symbol of the ions.
    frame_interval_ps : float
    min_stay_ps : float
        Shorter stays are excursions and no exchange.
    """
    found = exchange(membership, frame_interval_ps, min_stay_ps=min_stay_ps)
    watched = [group for group in groups if found.time_ps[group] > 0]
    pairs = [(a, b) for a in watched for b in groups if a != b]
    rates = [_rate(found, a, b, label) for a, b in pairs]
    return rates + [_residence(found, group, label) for group in watched]


def _rate(found: Exchange, start: int, end: int, label: str) -> Quantity:
    name = f"exchange_rate_{label}_{found.names[start]}_to_{found.names[end]}"
    count, (value, low, high) = int(found.crossings[start, end]), found.rate(start, end)
    reason = (
        f"{count} crossings in {found.time_ps[start]:.4g} ps of ions, Poisson interval; stays "
        f"below {found.min_stay_ps:g} ps do not count"
    )
    if not count:
        return Quantity(name, math.nan, "1/ps", 0.0, high, status="unresolved", reason=reason)
    return Quantity(name, value, "1/ps", low, high, reason=reason)


def _residence(found: Exchange, group: int, label: str) -> Quantity:
    name = f"stay_time_{label}_{found.names[group]}"
    count, (value, low, high) = int(found.departures[group]), found.residence_ps(group)
    reason = (
        f"{found.time_ps[group]:.4g} ps of ions over {count} departures, exponential stays; stays "
        f"below {found.min_stay_ps:g} ps do not count"
    )
    if not count:
        return Quantity(name, math.nan, "ps", low, math.inf, status="unresolved", reason=reason)
    return Quantity(name, value, "ps", low, high, reason=reason)
