"""Motion of the ions of each region, and D with what the choice of displacements makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.constants import FloatArray
from analysis.disorder.axis import Axis, layer_directions
from analysis.hops.net_hops import NetHops
from analysis.motion.diffusion import Diffusion, diffusion_coefficient
from analysis.motion.membership import Membership, Rule
from analysis.motion.msd import MeanSquaredDisplacement
from analysis.regional.exchange import Survivors, survivors
from analysis.regional.group_hops import hops_from_group
from analysis.regional.group_msd import (
    MIN_COUNTED_SHARE,
    GroupPart,
    at_lags,
    group_mean_squared_displacements,
)
from analysis.results import Quantity
from analysis.trajectory import Trajectory

# Where fewer displacements than this stay in the region, D must not depend on those that leave.
MIN_STAYING_SHARE = 0.9
# 3/2 (4/3) sqrt(2/pi): see `region_diffusion`.
SLOPE_LOST_AT_FACES = 2.0 * math.sqrt(2.0 / math.pi)
MAX_LOST_AT_FACES = 0.3


@dataclass(frozen=True)
class RegionMotion:
    """Motion of the ions of one region.

    Attributes
    ----------
    name : str
    ions : float
        Mean number.
    msd : dict of str to MeanSquaredDisplacement
        Of all directions (``total``), and with an axis ``parallel`` and ``normal``.
    other : dict of str to MeanSquaredDisplacement
        The same by the rule at the other extreme, as far as displacements count by it.
    survivors : Survivors
    hops : NetHops
    """

    name: str
    ions: float
    msd: dict[str, MeanSquaredDisplacement]
    other: dict[str, MeanSquaredDisplacement]
    survivors: Survivors
    hops: NetHops


def region_motions(
    trajectory: Trajectory,
    mobile: str,
    membership: Membership,
    present: Sequence[int],
    axis: Axis | None,
    hops: NetHops,
    drift_path: FloatArray,
    rule: Rule,
) -> tuple[list[RegionMotion], dict[str, MeanSquaredDisplacement]]:
    """Return the motion in each region and, with an axis, that of all ions.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str
        Chemical symbol of the ions, for labels.
    membership : Membership
    present : sequence of int
        Indices of the names of the membership.
    axis : {"a", "b", "c"} or None
        Cell vector across layers.
    hops : NetHops
        Of all ions of the membership.
    drift_path : (F, 3) float array
        Path subtracted from every ion, Angstrom.
    rule : {"origin", "origin_and_end", "throughout"}

    Returns
    -------
    motions : list of RegionMotion
    whole : dict of str to MeanSquaredDisplacement
        ``total``, ``parallel`` and ``normal``; empty without an axis.
    """
    directions: dict[str, FloatArray | None] = {"total": None}
    if axis is not None:
        row = ("a", "b", "c").index(axis)
        directions["parallel"], directions["normal"] = layer_directions(
            trajectory.cells.mean(axis=0), row
        )
    interval = trajectory.frame_interval_ps
    staying = {group: survivors(membership, group, interval) for group in present}
    other_rule: Rule = "origin" if rule == "throughout" else "throughout"
    wanted: list[tuple[int | None, bool, str]] = []
    parts = []
    for name, rows in directions.items():
        across = "" if name == "total" else f"{name}_"
        if axis is not None:
            wanted.append((None, True, name))
            parts.append(GroupPart(None, f"{across}{mobile}", rule, rows))
        for group in present:
            label = f"{across}{mobile}_{membership.names[group]}"
            wanted.append((group, True, name))
            parts.append(GroupPart(group, label, rule, rows))
            if staying[group].share_throughout[1] >= MIN_COUNTED_SHARE:
                wanted.append((group, False, name))
                parts.append(GroupPart(group, label, other_rule, rows))
    curves = group_mean_squared_displacements(trajectory, membership, parts, drift_path=drift_path)
    found = dict(zip(wanted, curves, strict=True))
    motions = [
        RegionMotion(
            name=membership.names[group],
            ions=float((membership.codes == group).sum(axis=1).mean()),
            msd={name: found[group, True, name] for name in directions},
            other={
                name: found[group, False, name]
                for name in directions
                if (group, False, name) in found
            },
            survivors=staying[group],
            hops=hops_from_group(hops, membership, group, interval),
        )
        for group in present
    ]
    return motions, {name: found[None, True, name] for name in directions if axis is not None}


def region_diffusion(
    motion: RegionMotion,
    name: str,
    rule: Rule,
    *,
    layer_width_angstrom: float | None = None,
    curve: str = "",
) -> tuple[Quantity, Diffusion]:
    """Determine D of one region in one direction.

    Parameters
    ----------
    motion : RegionMotion
    name : {"total", "parallel", "normal"}
    rule : {"origin", "origin_and_end", "throughout"}
        That `motion.msd` was computed by.
    layer_width_angstrom : float, optional
        Thickness of the layer that the region is.
    curve : str
        File name of the MSD curve, recorded in the result.

    Returns
    -------
    coefficient : Quantity
        As `between_rules`.
    diffusion : Diffusion
        By the rule alone.

    Notes
    -----
    Faces of a layer of thickness L lower the MSD across it, 2 D t, by the share
    (4/3) sqrt(2/pi) sqrt(2 D t) / L if they reflect (leading term of the images of evenly spread
    ions) and its slope by 3/2 of that; faces that absorb lower it less. D across a layer and in all
    directions is fitted where that is at most 30 % and at least 90 % of the displacements stay;
    the upper limit is raised by as much.
    """
    confined = layer_width_angstrom is not None and name != "parallel"
    across = motion.msd.get("normal", motion.msd[name])
    # The limit of a region too thin for one slab: confined at any lag.
    width = max(layer_width_angstrom or 0.0, 1e-9)
    lost = SLOPE_LOST_AT_FACES * np.sqrt(across.msd) / width

    def fitted(msd: MeanSquaredDisplacement) -> Diffusion:
        if confined:
            lags = msd.sample_lags
            stay = motion.survivors.share_throughout[lags] >= MIN_STAYING_SHARE
            within = np.flatnonzero(stay & (lost[lags] <= MAX_LOST_AT_FACES))
            # One lag is too few for a fit, which is then refused for that reason.
            msd = at_lags(msd, within if len(within) else np.zeros(1, dtype=np.int64))
        return diffusion_coefficient(msd, motion.hops, curve=curve)

    first = fitted(motion.msd[name])
    second = fitted(motion.other[name]) if name in motion.other else None
    coefficient = between_rules(first, second, motion.survivors, rule)
    if not confined or coefficient.status != "ok" or first.fit is None:
        return coefficient, first
    # One of three directions is across.
    share = float(lost[first.fit.lags[-1]]) / (3.0 if name == "total" else 1.0)
    raised = replace(
        coefficient,
        high=coefficient.high / (1.0 - share),
        reason=f"{coefficient.reason}; upper limit raised since the faces of a layer of "
        f"{width:.3g} Angstrom may take {100 * share:.0f} % of the slope",
    )
    return raised, first


def between_rules(
    first: Diffusion, second: Diffusion | None, survivors: Survivors, rule: Rule
) -> Quantity:
    """Return D of a region with an interval that holds whichever displacements count.

    Displacements that start in a region mix regions as ions leave; those that stay favour slow
    ions. Where ions leave within the fitted window, the interval spans both.

    Parameters
    ----------
    first : Diffusion
        By the rule asked for.
    second : Diffusion or None
        By the rule at the other extreme.
    survivors : Survivors
    rule : {"origin", "origin_and_end", "throughout"}

    Returns
    -------
    Quantity
        Unresolved where more than a tenth of the displacements leave within the window and those
        at the other extreme give no D.
    """
    coefficient = first.coefficient
    if coefficient.status != "ok" or first.fit is None:
        return coefficient
    stayed = float(survivors.share_throughout[first.fit.lags[-1]])
    staying = f"{100 * stayed:.0f} % of displacements over {first.fit.stop_ps:.4g} ps stay"
    if second is None or second.coefficient.status != "ok":
        if stayed >= MIN_STAYING_SHARE:
            return replace(coefficient, reason=f"{coefficient.reason}; {staying}")
        return replace(
            coefficient,
            value=math.nan,
            low=0.0,
            high=math.inf,
            status="unresolved",
            reason=f"ions leave before they diffuse: {staying}, too few for D of this region alone",
        )
    other = second.coefficient
    return replace(
        coefficient,
        low=min(coefficient.low, other.low),
        high=max(coefficient.high, other.high),
        reason=f"{coefficient.reason}; {staying}; the interval spans D = {coefficient.value:.3g} "
        f"by the rule {rule} and {other.value:.3g} by its opposite",
    )
