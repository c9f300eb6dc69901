"""Diffusion along and across the layers of a stack, and what the layers by themselves allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.hops.net_hops import NetHops
from analysis.motion.diffusion import Diffusion, diffusion_coefficient
from analysis.motion.msd import MeanSquaredDisplacement
from analysis.regional.group_msd import at_lags
from analysis.results import Findings, Quantity

# Of the whole sample, an average over directions.
ISOTROPIC = (
    "diffusion_coefficient",
    "conductivity_nernst_einstein",
    "conductivity_collective",
    "conductivity_green_kubo",
    "apparent_diffusion_coefficient",
    "apparent_conductivity_nernst_einstein",
)


@dataclass(frozen=True)
class LayeredDiffusion:
    """D of a stack of layers.

    Attributes
    ----------
    parallel, normal, isotropic : Quantity
        D in the plane of the layers, across them, and a third of the trace, cm^2/s.
    fits : tuple of Diffusion
        What the first two come from.
    """

    parallel: Quantity
    normal: Quantity
    isotropic: Quantity
    fits: tuple[Diffusion, Diffusion]


def layered_diffusion(
    total: MeanSquaredDisplacement,
    parallel: MeanSquaredDisplacement,
    normal: MeanSquaredDisplacement,
    hops: NetHops,
    *,
    layer_width_angstrom: float,
) -> LayeredDiffusion:
    """Determine D along and across layers, and an isotropic one only where ions crossed them.

    Parameters
    ----------
    total, parallel, normal : MeanSquaredDisplacement
        Of the same ions, in all directions, in the plane of the layers and across.
    hops : NetHops
    layer_width_angstrom : float
        Thickness of the thickest layer.

    Returns
    -------
    LayeredDiffusion
        D across is fitted where the MSD across exceeds the squared layer width. Until then its
        slope is the mean over layers of ions that have not met a second one: an upper bound.

    Notes
    -----
    Resistances in series: across layers 1/D is the mean of 1/D of the layers, along them D is the
    mean of D (Torquato, Random Heterogeneous Materials, section 16.1.2).
    """
    label = total.label
    along = diffusion_coefficient(parallel, hops)
    local = diffusion_coefficient(normal, hops)
    reached = np.flatnonzero(2 * normal.sample_lags <= len(normal.msd) - 1)
    last = int(normal.sample_lags[reached[-1] if len(reached) else 0])
    squared = layer_width_angstrom**2
    crossed = np.flatnonzero(normal.msd[normal.sample_lags] >= squared)
    name = f"diffusion_coefficient_isotropic_{label}"
    moved = (
        f"MSD across the layers is {normal.msd[last]:.3g} Angstrom^2 after "
        f"{normal.times_ps[last]:.4g} ps, the squared layer width {squared:.4g} Angstrom^2"
    )
    if normal.msd[last] < squared or len(crossed) < 3:
        refusal = f"no isotropic value of layers that ions have not crossed: {moved}"
        across = replace(
            local.coefficient,
            value=math.nan,
            low=0.0,
            status="unresolved",
            reason=f"upper bound, the mean over layers that ions have not crossed: {moved}",
        )
        isotropic = Quantity(name, math.nan, "cm^2/s", status="refused", reason=refusal)
        return LayeredDiffusion(along.coefficient, across, isotropic, (along, local))
    local = diffusion_coefficient(at_lags(normal, crossed), hops)
    both = diffusion_coefficient(at_lags(total, crossed), hops).coefficient
    isotropic = replace(both, name=name, reason=f"a third of the trace; {both.reason}")
    return LayeredDiffusion(along.coefficient, local.coefficient, isotropic, (along, local))


def layer_bounds(
    parallel: Sequence[Quantity],
    normal: Sequence[Quantity],
    ion_shares: FloatArray,
    volume_shares: FloatArray | None = None,
    *,
    label: str,
) -> tuple[Quantity, Quantity]:
    """Return the D that a stack has if each layer keeps the D of its region.

    Parameters
    ----------
    parallel, normal : sequence of Quantity
        D of each region in the plane of the layers and across, cm^2/s.
    ion_shares : (G,) float array
        Share of the mobile ions in each region.
    volume_shares : (G,) float array, optional
        Share of the volume of each region; by default that of the ions.
    label : str
        Of the ions.

    Returns
    -------
    arithmetic, harmonic : Quantity
        Along the layers (Voigt) and across (Reuss), both per ion of the whole sample, so that the
        Nernst-Einstein relation with the mean density gives the conductivity. Where a region is
        unresolved the result is unresolved, with the bound from the bounds of its parts.

    Raises
    ------
    RangeError
        If shares do not sum to 1 or are not one a region.

    Notes
    -----
    sigma = sum_r v_r sigma_r along, 1/sigma = sum_r v_r / sigma_r across, with sigma_r in
    proportion to x_r D_r / v_r for ion share x_r and volume share v_r (Torquato, Random
    Heterogeneous Materials, section 16.1.2). Limits of sums from the limits of their terms: Zou
    and Donner, Stat. Med. 27, 1693 (2008), doi 10.1002/sim.3095.
    """
    x = np.asarray(ion_shares, dtype=float)
    v = x if volume_shares is None else np.asarray(volume_shares, dtype=float)
    for shares in (x, v):
        if not (len(shares) == len(parallel) == len(normal)) or abs(shares.sum() - 1.0) > 1e-6:
            raise RangeError(
                f"shares {np.round(shares, 4).tolist()} of {len(parallel)} regions; expected one "
                "a region, with the sum 1"
            )
    arithmetic = _combined(
        f"diffusion_coefficient_parallel_bound_{label}",
        "arithmetic mean of D of the regions in the plane of the layers (Voigt)",
        parallel,
        *_sum_limits(x, *_limits(parallel)),
    )
    # A region without ions blocks the way across.
    weight = np.divide(v**2, x, out=np.where(v > 0, np.inf, 0.0), where=x > 0)
    value, low, high = (_inverse(limits) for limits in _limits(normal))
    limits = (float(_inverse(limit)) for limit in _sum_limits(weight, value, high, low))
    across, upper, lower = limits
    harmonic = _combined(
        f"diffusion_coefficient_normal_bound_{label}",
        "harmonic mean of D of the regions across the layers (Reuss)",
        normal,
        across,
        lower,
        upper,
    )
    return arithmetic, harmonic


def refuse_isotropic(findings: Findings, label: str) -> None:
    """Take back isotropic values of the whole sample where its layers have not been crossed.

    Parameters
    ----------
    findings : Findings
        Of transport and of regions together; changed in place.
    label : str
        Of the ions.
    """
    refused = f"diffusion_coefficient_isotropic_{label}"
    reasons = [
        item.reason
        for item in findings.quantities
        if item.name == refused and item.status == "refused"
    ]
    if not reasons:
        return
    names = {f"{name}_{label}" for name in ISOTROPIC}
    findings.quantities = [
        replace(
            item, value=math.nan, low=math.nan, high=math.nan, status="refused", reason=reasons[0]
        )
        if item.name in names
        else item
        for item in findings.quantities
    ]


def _limits(items: Sequence[Quantity]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return values and limits; of an unresolved one its upper bound stands for the value."""
    low = np.array([item.low for item in items])
    high = np.array([item.high for item in items])
    value = np.array([item.value if item.status == "ok" else item.high for item in items])
    return value, np.where(np.isfinite(low), low, 0.0), high


def _sum_limits(
    weights: FloatArray, value: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[float, float, float]:
    """Return a weighted sum and its limits; terms without weight do not count, even infinite."""
    weights, value, low, high = (part[weights > 0] for part in (weights, value, low, high))
    total = float(weights @ value)
    if not math.isfinite(total):
        return total, float(weights @ low), math.inf
    below = math.sqrt(float(((weights * (value - low)) ** 2).sum()))
    above = math.sqrt(float(((weights * (high - value)) ** 2).sum()))
    return total, max(total - below, 0.0), total + above


def _inverse(values: FloatArray | float) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.asarray(values, dtype=float))


def _combined(
    name: str, what: str, items: Sequence[Quantity], value: float, low: float, high: float
) -> Quantity:
    unresolved = [item.name for item in items if item.status != "ok"]
    if unresolved:
        reason = f"{what}; unresolved: {', '.join(unresolved)}"
        return Quantity(name, math.nan, "cm^2/s", 0.0, high, status="unresolved", reason=reason)
    return Quantity(name, value, "cm^2/s", low, high, status="ok", reason=what)
