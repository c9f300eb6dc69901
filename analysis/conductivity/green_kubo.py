"""Conductivity from the fluctuations of the current, where a trajectory has velocities."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from analysis.conductivity.collective import ChargeDisplacement
from analysis.conductivity.collective_slope import LEVEL, chi_square_interval
from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError, RangeError
from analysis.motion.vibrations import velocity_autocorrelation
from analysis.results import Quantity
from analysis.trajectory import Trajectory

N_BLOCKS = 10
# The correlation has decayed where it stays within this many of its errors.
DECAYED_ERRORS = 3.0
# The integral of the velocities must give the displacement to this share.
DISPLACEMENT_TOLERANCE = 0.1
# A running integral that moves through its plateau at this probability has not settled.
UNSETTLED_PROBABILITY = 1.0e-3
# From the integral over three directions to the slope of the squared displacement in one.
TWO_THIRDS = 2.0 / 3.0


@dataclass(frozen=True)
class GreenKubo:
    """Autocorrelation of the current and its running integral.

    Attributes
    ----------
    times_ps : (L,) float array
        Lags, from zero to half a block.
    correlation, correlation_error : (L,) float array and float
        <J(0) . J(t)>, (e Angstrom/ps)^2, and its standard error once it has decayed.
    running, running_error : (L,) float arrays
        Its integral up to each lag, e^2 Angstrom^2/ps, and the standard error over blocks.
    slope, low, high : float
        Two thirds of the mean running integral over the plateau, the slope of the squared charge
        displacement in one direction, e^2 Angstrom^2/ps, with its interval at 0.95; nan if there
        is no plateau.
    start_ps, stop_ps : float
        The plateau: from where the correlation has decayed to twice that lag.
    objection : str
        Why there is no conductivity from it, or "".
    """

    times_ps: FloatArray
    correlation: FloatArray
    correlation_error: float
    running: FloatArray
    running_error: FloatArray
    slope: float
    low: float
    high: float
    start_ps: float
    stop_ps: float
    objection: str


def charge_current(trajectory: Trajectory, ids: IntArray, charge_e: float) -> FloatArray:
    """Return the current of the mobile ions relative to the framework.

    Parameters
    ----------
    trajectory : Trajectory
        Every frame is read once.
    ids : (n,) int array
        Rows of the ions.
    charge_e : float

    Returns
    -------
    (F, 3) float array
        Sum over ions of charge times velocity relative to the centre of mass of all other atoms,
        e Angstrom/ps.

    Raises
    ------
    AnalysisError
        If the trajectory has no velocities, no ion is named or there is no other atom.
    """
    if trajectory.velocities is None:
        raise AnalysisError(
            f"{trajectory.path}: has no velocities; dump vx vy vz every few fs for Green-Kubo"
        )
    others = np.ones(trajectory.n_atoms, dtype=bool)
    others[ids] = False
    if not len(ids) or not others.any():
        raise AnalysisError(
            f"{trajectory.path}: {len(ids)} of {trajectory.n_atoms} atoms are mobile; a current "
            "needs at least one, and one other to be measured against"
        )
    weights = np.zeros(trajectory.n_atoms)
    weights[others] = -charge_e * len(ids) * trajectory.masses[others]
    weights[others] /= trajectory.masses[others].sum()
    weights[ids] = charge_e
    current = np.empty((trajectory.n_frames, 3))
    for index in range(trajectory.n_frames):
        current[index] = weights @ trajectory.velocities.read(index, index + 1, slice(None))[0]
    return current


def green_kubo(current: FloatArray, charge: ChargeDisplacement) -> GreenKubo:
    """Integrate the autocorrelation of the current up to a plateau.

    Parameters
    ----------
    current : (F, 3) float array
        From `charge_current`.
    charge : ChargeDisplacement
        Of the same ions: the current must be its derivative.

    Returns
    -------
    GreenKubo

    Raises
    ------
    RangeError
        If there are fewer than 100 frames.

    Notes
    -----
    sigma = 1/(3 V kB T) int_0^inf <J(0) . J(t)> dt (Frenkel and Smit, Understanding Molecular
    Simulation, 2nd ed., section 4.4.1). The plateau starts at the first lag t such that the
    correlation stays within three of its errors from t to 2 t. That error is the one number
    (sum_s C(s)^2 / 3 F)^(1/2) of a decayed correlation (Bartlett, J. R. Stat. Soc. Suppl. 8, 27
    (1946), doi 10.2307/2983611), not the scatter at each lag; the plateau value is the mean from t
    to 2 t and not its largest or flattest point. Its interval is that of a mean square with the
    degrees of freedom of the scatter over ten blocks, but at most 9 T / 8 t for a run of length T:
    the integral to t has the relative variance 4 t / 3 T (Jones and Mandadapu, J. Chem. Phys. 136,
    154102 (2012), doi 10.1063/1.3700344), here averaged from t to 2 t. It is widened by what may
    be left of the correlation below its noise.
    """
    n_frames, interval = len(current), charge.frame_interval_ps
    if n_frames < 10 * N_BLOCKS:
        raise RangeError(f"{n_frames} frames; Green-Kubo needs at least {10 * N_BLOCKS}")
    length = n_frames // N_BLOCKS
    n_lags = length // 2
    correlation, running = _integrated(current, n_lags, interval)
    parts = np.array(
        [_integrated(current[k * length :][:length], n_lags, interval)[1] for k in range(N_BLOCKS)]
    )
    power = 2.0 * float((correlation**2).sum()) - float(correlation[0] ** 2)
    # Three directions add up: the variance of the sum is three times that of one.
    error = math.sqrt(power / (3.0 * n_frames))
    start = _decay_lag(correlation, error)
    found = GreenKubo(
        times_ps=np.arange(n_lags) * interval,
        correlation=correlation,
        correlation_error=error,
        running=running,
        running_error=parts.std(axis=0, ddof=1) / math.sqrt(N_BLOCKS),
        slope=math.nan,
        low=math.nan,
        high=math.nan,
        start_ps=math.nan,
        stop_ps=math.nan,
        objection=_mismatch(current, charge),
    )
    return found if found.objection else _with_plateau(found, parts, start, n_frames)


def green_kubo_conductivity(
    result: GreenKubo, scale: float, einstein: Quantity, *, name: str, curve: str = ""
) -> Quantity:
    """Convert the plateau to a conductivity, if the Einstein form does not contradict it.

    Parameters
    ----------
    result : GreenKubo
    scale : float
        From `analysis.conductivity.conductivity.conductivity_per_slope`.
    einstein : Quantity
        Collective conductivity from displacements over longer times, or its bound. Ions that
        rattle have a plateau of the current long before they are seen to come back.
    name, curve : str
    """
    low, high = result.low * scale, result.high * scale
    objection = result.objection
    if not objection and (low > einstein.high or high < einstein.low):
        objection = (
            f"{result.slope * scale:.2g} S/cm from a plateau at {result.start_ps:.2g} ps, against "
            "displacements over longer times: a slow tail lies below the noise"
        )
    if not objection and einstein.status != "ok":
        objection = f"the plateau at {result.start_ps:.2g} ps is not that of diffusion: ions are "
        objection += "not seen to diffuse over longer times"
    if objection:
        bound = einstein.high if einstein.status != "ok" else math.inf
        return Quantity(name, math.nan, "S/cm", 0.0, bound, LEVEL, "unresolved", objection, curve)
    reason = (
        f"integral of the current correlation, mean from {result.start_ps:.3g} to "
        f"{result.stop_ps:.3g} ps, error from {N_BLOCKS} blocks"
    )
    return Quantity(name, result.slope * scale, "S/cm", low, high, LEVEL, "ok", reason, curve)


def _integrated(current: FloatArray, n_lags: int, interval: float) -> tuple[FloatArray, FloatArray]:
    correlation = velocity_autocorrelation(current[:, None, :], n_lags)
    steps = 0.5 * interval * (correlation[1:] + correlation[:-1])
    return correlation, np.concatenate([[0.0], np.cumsum(steps)])


def _decay_lag(correlation: FloatArray, error: float) -> int:
    """Return the first lag from which to its double the correlation is noise, or -1."""
    loud = np.flatnonzero(np.abs(correlation) >= DECAYED_ERRORS * error)
    for lag in range(1, (len(correlation) - 1) // 2 + 1):
        if not ((loud >= lag) & (loud <= 2 * lag)).any():
            return lag
    return -1


def _mismatch(current: FloatArray, charge: ChargeDisplacement) -> str:
    """Return that the current is not the derivative of the displacement, or ""."""
    steps = np.diff(charge.path, axis=0)
    integrated = 0.5 * charge.frame_interval_ps * (current[1:] + current[:-1])
    power = float((integrated**2).sum())
    share = float((steps * integrated).sum()) / power if power > 0.0 else math.inf
    rest = float(((steps - integrated) ** 2).sum()) / max(float((steps**2).sum()), 1e-300)
    if abs(share - 1.0) <= DISPLACEMENT_TOLERANCE and rest <= DISPLACEMENT_TOLERANCE:
        return ""
    return (
        f"displacements are {share:.3g} times the integral of the velocities, "
        f"{100 * rest:.2g} % unexplained: frames {1e3 * charge.frame_interval_ps:.3g} fs apart are "
        "too far, or the unit of the velocities is another"
    )


def _with_plateau(found: GreenKubo, parts: FloatArray, start: int, n_frames: int) -> GreenKubo:
    if start < 0:
        reason = (
            f"the current is still correlated after {found.times_ps[-1] / 2:.3g} ps; run longer"
        )
        return replace(found, objection=reason)
    middle, stop = start + (start + 1) // 2, 2 * start + 1
    # Whether the integral goes on rising or falling through what is called its plateau.
    trend = parts[:, middle:stop].mean(axis=1) - parts[:, start:middle].mean(axis=1)
    statistic = abs(trend.mean()) / max(trend.std(ddof=1) / math.sqrt(N_BLOCKS), 1e-300)
    if 2.0 * stats.t.sf(statistic, N_BLOCKS - 1) < UNSETTLED_PROBABILITY:
        return replace(found, objection="the running integral of the current does not settle")
    value = float(found.running[start:stop].mean())
    if value <= 0.0:
        return replace(found, objection="the integral of the current is not above zero")
    spread = float(parts[:, start:stop].mean(axis=1).var(ddof=1)) / N_BLOCKS
    degrees = min(2.0 * value**2 / max(spread, 1e-300), 9.0 * n_frames / (8.0 * start))
    low, high = chi_square_interval(value, degrees)
    step = float(found.times_ps[1])
    # What the correlation may hold below its noise: half an error for as long as it took to decay,
    # but no more than the integral still moves by.
    moves = float(abs(found.running[middle:stop].mean() - found.running[start:middle].mean()))
    tail = min(0.5 * found.correlation_error * start * step, moves)
    return replace(
        found,
        slope=value * TWO_THIRDS,
        low=max(low - tail, 0.0) * TWO_THIRDS,
        high=(high + tail) * TWO_THIRDS,
        start_ps=start * step,
        stop_ps=(stop - 1) * step,
    )
