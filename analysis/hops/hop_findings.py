"""Quantities, curves and figure of hops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from analysis.constants import CM2_PER_S_PER_ANGSTROM2_PER_PS, FloatArray
from analysis.errors import RangeError
from analysis.figures.hops import LENGTH_BIN_ANGSTROM, hop_figure
from analysis.hops.all_hops import Hops, all_hops
from analysis.hops.event_rate import LEVEL, Estimate, Rate
from analysis.hops.hop_statistics import (
    back_hop_share,
    correlation_factor,
    diffusion_from_hops,
    estimate,
    hop_rate,
    hop_table,
    mean_length,
    net_hop_share,
    residence_time,
)
from analysis.hops.residence import Survival, survival_of_stays
from analysis.motion.membership import Membership
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

MIN_FRAMES = 10
# Fewer events do not give a mean with an interval.
MIN_EVENTS = 20


def hop_findings(
    trajectory: Trajectory,
    mobile: str,
    *,
    drift_path: FloatArray | None = None,
    membership: Membership | None = None,
    hops: Hops | None = None,
) -> Findings:
    """Describe the hops of the mobile species, and their rate by region of the start.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str
        Mobile species.
    drift_path : (F, 3) float array, optional
        Path to subtract, Angstrom; by default the centre of mass of all atoms.
    membership : Membership, optional
        Regions of the mobile ions, all of them in the order of the rows.
    hops : Hops, optional
        Of `all_hops` for the same ions, where they are known.

    Raises
    ------
    RangeError
        If the membership is of other ions.
    """
    if trajectory.n_frames < MIN_FRAMES:
        reason = f"{trajectory.n_frames} frames; needs at least {MIN_FRAMES}"
        return Findings(skipped=[Skipped("hops", reason)])
    ids = trajectory.ids_of(mobile)
    if hops is None:
        hops = all_hops(trajectory, ids, drift_path=drift_path)
    rate = hop_rate(hops)
    survival = survival_of_stays(hops, rate.together)
    findings = Findings(quantities=hop_quantities(hops, rate, survival, mobile))
    if membership is not None:
        if not np.array_equal(membership.ids, ids):
            raise RangeError(
                f"{trajectory.path}: regions of {len(membership.ids)} ions, expected those of the "
                f"{len(ids)} {mobile} in their order"
            )
        for group, name in enumerate(membership.names):
            findings.quantities.append(
                rate_quantity(
                    f"hop_rate_{mobile}_{name.replace(' ', '_')}",
                    hop_rate(hops, membership, group),
                    f"hops of {mobile} that start in {name}",
                )
            )
    if len(hops.ions):
        findings.curves += [_length_curve(hops, mobile), _survival_curve(survival, mobile)]
        findings.figures[f"hops_{mobile}"] = hop_figure(hops, survival, rate, mobile)
    return findings


def hop_quantities(hops: Hops, rate: Rate, survival: Survival, label: str) -> list[Quantity]:
    """Return what the hops say as quantities."""
    table = hop_table(hops)
    number = {name: int(table[name].sum()) for name in ("hops", "pairs", "left")}
    events = {"hops": "hops", "pairs": "successive hops of an ion", "left": "stays that ended"}
    lengths, stays = f"hop_lengths_{label}.csv", f"residence_{label}.csv"

    def mean(
        name: str,
        unit: str,
        function: Callable[[dict[str, FloatArray]], FloatArray],
        of: str,
        reason: str,
        *,
        bound: tuple[float, float] = (math.nan, math.nan),
        scale: float = 1.0,
        curve: str = "",
    ) -> Quantity:
        found = Estimate(math.nan, math.nan, math.nan)
        if number[of] >= MIN_EVENTS:
            found = estimate(function, table, rate.together, share=name.endswith("share"))
        if not (math.isfinite(found.value) and math.isfinite(found.high)):
            few = f"{number[of]} {events[of]}; needs {MIN_EVENTS}, of several ions"
            low, high = bound
            return Quantity(
                f"{name}_{label}", math.nan, unit, low, high, status="unresolved", reason=few
            )
        return Quantity(
            f"{name}_{label}",
            found.value * scale,
            unit,
            found.low * scale,
            found.high * scale,
            reason=f"{reason}, from {number[of]} {events[of]}",
            curve=curve if len(hops.ions) else "",
        )

    def share(
        name: str,
        function: Callable[[dict[str, FloatArray]], FloatArray],
        part: str,
        of: str,
        reason: str,
    ) -> Quantity:
        some, total = int(table[part].sum()), number[of]
        if total < MIN_EVENTS or some not in (0, total):
            return mean(name, "1", function, of, reason)
        # All alike: no scatter to learn from, but a limit (Clopper and Pearson 1934).
        limit = (1 - LEVEL) ** (rate.together / total)
        return Quantity(
            f"{name}_{label}",
            math.nan,
            "1",
            0.0 if some == 0 else limit,
            1.0 - limit if some == 0 else 1.0,
            status="unresolved",
            reason=f"{reason}: {some} of {total} {events[of]}, one-sided bound",
        )

    high_rate = rate.estimate.high
    no_less = (1.0 / high_rate if high_rate > 0 else math.nan, math.inf)
    return [
        rate_quantity(f"hop_rate_{label}", rate, f"all hops of {label}, also undone ones"),
        mean(
            "hop_length",
            "Angstrom",
            mean_length,
            "hops",
            f"mean distance between sites, hops above {hops.hop_length_angstrom:g} Angstrom",
            curve=lengths,
        ),
        mean(
            "residence_time",
            "ps",
            residence_time,
            "left",
            "mean time between hops, with stays cut off by the end of the run",
            bound=no_less,
            curve=stays,
        ),
        _variation_quantity(survival, label, number["left"], stays),
        share(
            "back_hop_share",
            back_hop_share,
            "back",
            "pairs",
            "hops that return to the site before the last",
        ),
        share(
            "net_hop_share",
            net_hop_share,
            "net",
            "hops",
            "hops not undone over all, below 1 also for a random walk, sites by mean place",
        ),
        mean(
            "correlation_factor",
            "1",
            correlation_factor,
            "pairs",
            "from the angle between one hop and the next, later ones taken as following from it",
        ),
        mean(
            "diffusion_coefficient_from_hops",
            "cm^2/s",
            diffusion_from_hops,
            "pairs",
            f"estimate f l^2 rate / 6, a check: misses motion below "
            f"{hops.hop_length_angstrom:g} Angstrom and correlation beyond the next hop",
            scale=CM2_PER_S_PER_ANGSTROM2_PER_PS,
        ),
    ]


def rate_quantity(name: str, rate: Rate, what: str) -> Quantity:
    """Return a rate as a quantity, or its upper bound if there was no event."""
    found = rate.estimate
    if rate.count:
        reason = (
            f"{rate.count} {what}; Poisson interval, variance enlarged {rate.dispersion:.3g} times"
        )
        return Quantity(name, found.value, "1/ps", found.low, found.high, reason=reason)
    reason = f"0 {what}; upper Poisson bound"
    if not math.isfinite(found.high):
        reason = f"no time watched: 0 {what}"
    return Quantity(
        name, math.nan, "1/ps", found.low, found.high, status="unresolved", reason=reason
    )


def _variation_quantity(survival: Survival, label: str, ended: int, curve: str) -> Quantity:
    name, found = f"residence_time_variation_{label}", survival.variation
    if ended < MIN_EVENTS or not (math.isfinite(found.value) and math.isfinite(found.high)):
        reason = "too few stays end within the run to tell how their times scatter"
        return Quantity(name, math.nan, "1", status="unresolved", reason=reason)
    reason = "standard deviation over mean of residence times; 1 for a single rate, above for more"
    return Quantity(
        name, found.value, "1", max(found.low, 0.0), found.high, reason=reason, curve=curve
    )


def _length_curve(hops: Hops, label: str) -> Curve:
    lengths = hops.lengths_angstrom
    edges = np.arange(math.floor(lengths.max() / LENGTH_BIN_ANGSTROM) + 2) * LENGTH_BIN_ANGSTROM
    counts = np.histogram(lengths, edges)[0]
    return Curve(
        f"hop_lengths_{label}",
        {
            "length [Angstrom]": 0.5 * (edges[1:] + edges[:-1]),
            "probability density [1/Angstrom]": counts / counts.sum() / LENGTH_BIN_ANGSTROM,
            "hops [1]": counts.astype(float),
        },
    )


def _survival_curve(survival: Survival, label: str) -> Curve:
    return Curve(
        f"residence_{label}",
        {
            "time [ps]": survival.times_ps,
            "survival [1]": survival.survival,
            "standard error [1]": survival.error,
            "stays watched [1]": survival.at_risk.astype(float),
        },
    )
