"""Self-diffusion coefficient with an interval, or the reason why the data give none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from analysis.constants import CM2_PER_S_PER_ANGSTROM2_PER_PS
from analysis.hops.net_hops import NetHops
from analysis.motion.memory import AveragedSlope, averaged_slope
from analysis.motion.msd import MeanSquaredDisplacement
from analysis.motion.window import ONE_HOP_ANGSTROM, SlopeFit, diffusive_window
from analysis.results import Quantity

MIN_NET_HOPS = 100
N_BLOCKS = 5
MIN_ACTIVE_BLOCKS = 3
# A block counts as active with a fair share of the smallest number of net hops.
MIN_HOPS_PER_BLOCK = MIN_NET_HOPS // (2 * N_BLOCKS)
LEVEL = 0.95
# Below this MSD at the longest lag a fit rests on a part of one site change an ion.
CAUTION_ANGSTROM2 = 10.0


@dataclass(frozen=True)
class Diffusion:
    """Diffusion of one species.

    Attributes
    ----------
    coefficient : Quantity
        D, cm^2/s. If unresolved, `low` is 0 and `high` the bound from the MSD.
    msd_bound : Quantity
        Upper bound MSD(t)/(2 d t) at the longest lag, cm^2/s; inf while motion is still ballistic.
    hop_bound : Quantity
        Upper bound from the number of net hops, cm^2/s, with the assumed hop length in `reason`;
        where the MSD is diffusive not below the upper end of its slope.
    fit : SlopeFit or None
        Straight line in the diffusive window, or in the one that was tried last.
    slope : AveragedSlope or None
        What the coefficient comes from; None if it is unresolved.
    msd : MeanSquaredDisplacement
    hops : NetHops
    """

    coefficient: Quantity
    msd_bound: Quantity
    hop_bound: Quantity
    fit: SlopeFit | None
    slope: AveragedSlope | None
    msd: MeanSquaredDisplacement
    hops: NetHops


def diffusion_coefficient(
    msd: MeanSquaredDisplacement, hops: NetHops, *, level: float = LEVEL, curve: str = ""
) -> Diffusion:
    """Determine D from the MSD where motion is diffusive, and refuse it where it is not.

    Parameters
    ----------
    msd : MeanSquaredDisplacement
    hops : NetHops
        Of the same atoms.
    level : float
        Confidence level of the intervals.
    curve : str
        File name of the MSD curve, recorded in the result.

    Returns
    -------
    Diffusion
        `coefficient.status` is "ok" only if a diffusive window of at least half a decade exists
        and at least 100 net hops are spread over at least three of five time blocks.

    Notes
    -----
    D = slope / (2 d) in d dimensions (Einstein relation; Frenkel and Smit, Understanding Molecular
    Simulation, 2nd ed., eq. 4.4.10), from `memory.averaged_slope`. How often the interval contains
    the truth is measured: `analysis/calibration.csv`.
    """
    label = msd.label
    fit, objection = diffusive_window(msd)
    slope = averaged_slope(msd, fit) if fit is not None and not objection else None
    if slope is not None and slope.share_flat > 0.5 - 0.5 * level:
        objection = (
            f"with probability {slope.share_flat:.2g} the MSD relaxes and does not rise at long "
            "times"
        )
    msd_bound = _msd_bound(msd, fit, level, curve)
    hop_bound = _hop_bound(hops, msd, slope, level)
    reasons = [f"motion is not diffusive: {objection}"] if objection else []
    blocks = hops.counts_in_blocks(N_BLOCKS)
    active = int((blocks >= MIN_HOPS_PER_BLOCK).sum())
    if len(hops.times_ps) < MIN_NET_HOPS or active < MIN_ACTIVE_BLOCKS:
        reasons.append(
            f"{len(hops.times_ps)} net hops, in {active} of {N_BLOCKS} time blocks at least "
            f"{MIN_HOPS_PER_BLOCK}; needs {MIN_NET_HOPS} in {MIN_ACTIVE_BLOCKS}"
        )
    if fit is None or slope is None or reasons:
        coefficient = Quantity(
            name=f"diffusion_coefficient_{label}",
            value=math.nan,
            unit="cm^2/s",
            low=0.0,
            high=msd_bound.high,
            level=level,
            status="unresolved",
            reason="; ".join(reasons)
            + f"; bounds: {msd_bound.high:.2g} cm^2/s from MSD/({2 * msd.dimensions} t), "
            + f"{hop_bound.high:.2g} cm^2/s from net hops",
            curve=curve,
        )
        return Diffusion(coefficient, msd_bound, hop_bound, fit, None, msd, hops)
    scale = CM2_PER_S_PER_ANGSTROM2_PER_PS / (2.0 * msd.dimensions)
    low, high = slope.interval(level)
    # A precise but improbable fit that contradicts the others could pull it out of the interval.
    value = min(max(slope.pooled, low), high)
    averaged = (
        f"positions averaged over {hops.averaging_ps:.3g} ps"
        if hops.averaging_ps
        else f"positions not averaged, frames are {msd.frame_interval_ps:.3g} ps apart"
    )
    coefficient = Quantity(
        name=f"diffusion_coefficient_{label}",
        value=value * scale,
        unit="cm^2/s",
        low=low * scale,
        high=high * scale,
        level=level,
        reason=f"MSD slope from {fit.start_ps:.4g} to {fit.stop_ps:.4g} ps, log slope "
        f"{fit.exponent:.2f} +- {fit.exponent_error:.2f} above a cage of "
        f"{max(fit.intercept, 0.0):.2f} Angstrom^2, corrected for memory with probability "
        f"{slope.share_with_memory:.2f} from {slope.start_ps:.4g} ps on; "
        f"{len(hops.times_ps)} net hops above 2 Angstrom ({averaged}); "
        f"variance enlarged {fit.correlation:.2f}-fold for correlated ions; "
        f"{msd.drift}; {msd.motion_convention}{_caution(msd, fit)}",
        curve=curve,
    )
    return Diffusion(coefficient, msd_bound, hop_bound, fit, slope, msd, hops)


def apparent_diffusion_coefficient(diffusion: Diffusion) -> Quantity:
    """Return the slope of an MSD that is not diffusive, under a name that says what it is not.

    Parameters
    ----------
    diffusion : Diffusion
        With an unresolved coefficient.

    Returns
    -------
    Quantity
        slope / (2 d) of the window tried last, cm^2/s, with the interval of that straight line
        alone; unresolved where the slope is not positive or no window could be tried.
    """
    fit, msd = diffusion.fit, diffusion.msd
    name = f"apparent_diffusion_coefficient_{msd.label}"
    why = f"no diffusion coefficient, accepted all the same: {diffusion.coefficient.reason}"
    if fit is None or not fit.slope > 0.0:
        missing = "no window to fit" if fit is None else "the MSD does not rise"
        return Quantity(
            name, math.nan, "cm^2/s", 0.0, diffusion.msd_bound.high, status="unresolved",
            reason=f"{missing}; {diffusion.coefficient.reason}",
        )  # fmt: skip
    scale = CM2_PER_S_PER_ANGSTROM2_PER_PS / (2.0 * msd.dimensions)
    low, high = fit.interval(LEVEL)
    return Quantity(
        name,
        fit.slope * scale,
        "cm^2/s",
        max(low, 0.0) * scale,
        high * scale,
        LEVEL,
        reason=f"slope of the MSD from {fit.start_ps:.4g} to {fit.stop_ps:.4g} ps; {why}",
        curve=diffusion.coefficient.curve,
    )


def _caution(msd: MeanSquaredDisplacement, fit: SlopeFit) -> str:
    reached = float(msd.msd[fit.lags[-1]])
    if reached >= CAUTION_ANGSTROM2:
        return ""
    return (
        f"; caution: the MSD is only {reached:.2g} Angstrom^2 at {fit.stop_ps:.4g} ps, less than "
        f"{CAUTION_ANGSTROM2:g}, one site change an ion"
    )


def _msd_bound(
    msd: MeanSquaredDisplacement, fit: SlopeFit | None, level: float, curve: str
) -> Quantity:
    # The longest lag with two independent origins; the very last ones are single events.
    candidates = [k for k, lag in enumerate(msd.sample_lags) if 2 * lag <= len(msd.msd) - 1]
    index = candidates[-1] if candidates else 0
    time_ps = float(msd.times_ps[msd.sample_lags[index]])
    values = msd.atom_msd[:, index]
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    bound = (values.mean() + stats.norm.ppf(level) * error) / (2.0 * msd.dimensions * time_ps)
    ballistic = fit is not None and fit.exponent > 1.0 and "log slope" in fit.objection()
    return Quantity(
        name=f"diffusion_coefficient_msd_bound_{msd.label}",
        value=math.nan,
        unit="cm^2/s",
        low=0.0,
        high=math.inf if ballistic else bound * CM2_PER_S_PER_ANGSTROM2_PER_PS,
        level=level,
        status="unresolved",
        reason="the log slope exceeds 1, so MSD/t still rises and bounds nothing"
        if ballistic
        else f"upper bound MSD/({2 * msd.dimensions} t) at {time_ps:.4g} ps; it includes vibration",
        curve=curve,
    )


def _hop_bound(
    hops: NetHops, msd: MeanSquaredDisplacement, slope: AveragedSlope | None, level: float
) -> Quantity:
    """Return what the number of net hops allows, but no less than the MSD where it is diffusive.

    Ions that also move by less than a net hop diffuse faster than their hops tell.
    """
    count = len(hops.times_ps)
    # Upper Poisson limit of the expected number of events (Garwood, Biometrika 28, 437 (1936)).
    expected = 0.5 * stats.chi2.ppf(level, 2 * (count + 1))
    length = ONE_HOP_ANGSTROM
    if count:
        length = max(length, float((hops.lengths_angstrom**2).mean() ** 0.5))
    # Of a hop in any direction d/3 of its square is seen in d dimensions: 2 d becomes 6.
    bound = expected * length**2 / (6.0 * hops.n_ions * hops.duration_ps)
    seen = 0.0 if slope is None else slope.interval(level)[1] / (2.0 * msd.dimensions)
    short = ""
    if seen > bound:
        short = (
            f" give {bound * CM2_PER_S_PER_ANGSTROM2_PER_PS:.2g}; raised to the upper end of the "
            "slope of the MSD, for the ions move by less than a hop too"
        )
    return Quantity(
        name=f"diffusion_coefficient_hop_bound_{msd.label}",
        value=math.nan,
        unit="cm^2/s",
        low=0.0,
        high=max(bound, seen) * CM2_PER_S_PER_ANGSTROM2_PER_PS,
        level=level,
        status="unresolved",
        reason=f"upper Poisson bound from {count} net hops of {hops.n_ions} ions in "
        f"{hops.duration_ps:.4g} ps, assuming uncorrelated hops of {length:.2f} Angstrom{short}",
    )
