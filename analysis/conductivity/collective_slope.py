"""The long-time slope of the squared charge displacement, with an interval that covers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.conductivity.collective import ChargeDisplacement, sine_ordinates
from analysis.constants import FloatArray
from analysis.errors import RangeError

LEVEL = 0.95
# Fewer tapers, which are windows of time, leave an interval wider than a decade.
MIN_TAPERS = 3
# Single ions may still remember at the shortest window by this much; the interval takes it in.
MAX_MEMORY = 0.1
# With more in the longest windows a run is too short.
MAX_MEMORY_AT_ALL = 0.3
# Slow and fast tapers that differ at this probability are not one plateau.
FLATNESS_PROBABILITY = 1.0e-3


@dataclass(frozen=True)
class CollectiveSlope:
    """Long-time slope of the squared charge displacement, for each direction.

    Attributes
    ----------
    slope, low, high : float
        lim d/dt <|P|^2> / d and its interval at 0.95, e^2 Angstrom^2/ps.
    ion_slope : float
        The same if ions moved independently: sum over ions, from the same tapers.
    degrees_of_freedom, ion_degrees_of_freedom : float
        Of the two.
    n_tapers : int
        Time windows the run consists of, each as long as `window_ps`.
    window_ps : float
    memory : float
        By how much the motion of single ions over that time exceeds its long-time limit.
    dimensions : int
    objection : str
        Why the slope is not one of long times, or ""; `high` is then a bound, or inf.
    """

    slope: float
    low: float
    high: float
    ion_slope: float
    degrees_of_freedom: float
    ion_degrees_of_freedom: float
    n_tapers: int
    window_ps: float
    memory: float
    dimensions: int
    objection: str


def collective_slope(
    charge: ChargeDisplacement,
    ions: FloatArray,
    *,
    start_ps: float,
    ion_limit: float,
    directions: FloatArray | None = None,
    like: CollectiveSlope | None = None,
) -> CollectiveSlope:
    """Estimate the long-time slope of the squared charge displacement.

    Parameters
    ----------
    charge : ChargeDisplacement
    ions : (K, d) float array
        From `ion_power` in the same directions; at least as many tapers as `start_ps` goes into
        the run.
    start_ps : float
        Time from which single ions diffuse: the shortest window. It must come from the ions, not
        from the collective curve, whose noise would choose it.
    ion_limit : float
        Long-time slope of the squared displacement of single ions in one direction, times squared
        charge and summed over ions, e^2 Angstrom^2/ps; the longest windows are those of which the
        motion of ions is within 10 % of it. nan if unknown.
    directions : (d, 3) float array, optional
        Directions to average over, see `sine_ordinates`.
    like : CollectiveSlope, optional
        Take windows and memory of this one, such as that of all directions for one of them.

    Returns
    -------
    CollectiveSlope

    Raises
    ------
    RangeError
        If the run is shorter than three windows.

    Notes
    -----
    The slope is the spectrum of the steps at zero frequency, here the mean square of sine-tapered
    sums (see `sine_ordinates`), one a window and direction. It is distributed as chi square; its
    degrees of freedom are reduced where directions differ (Satterthwaite, Biometrics Bull. 2, 110
    (1946), doi 10.2307/3002019) and where few large jumps make steps that are not Gaussian (the
    fourth cumulant of steps over a quarter of a window). Where single ions still show memory, the
    lower limit is moved down by as much, since collective motion may share it or not.

    Coverage of the interval, 64 ions x 500 frames, 1,000 replicas: Brownian 95.7 %, lattice hops
    95.8 %, hops in groups of four 95.9 %; 300 replicas: hops that reverse with probability 0.3
    94 % (the value is 14 % too high), walkers that exclude each other from sites 97 %.
    """
    available = min(len(ions), int(charge.duration_ps / start_ps * (1 + 1e-9)))
    if available < MIN_TAPERS:
        raise RangeError(
            f"{charge.duration_ps:.4g} ps are fewer than {MIN_TAPERS} windows of {start_ps:.4g} ps"
        )
    interval = charge.frame_interval_ps
    dimensions = ions.shape[1]
    totals = ions.sum(axis=1)
    running = np.cumsum(totals) / (np.arange(1, len(totals) + 1) * dimensions * interval)
    if like is not None:
        n_tapers, memory = like.n_tapers, like.memory
    else:
        n_tapers = _tapers_within(running[:available], ion_limit, len(charge.ids) * dimensions)
        excess = float(running[n_tapers - 1]) / ion_limit - 1.0
        memory = max(excess, 0.0) if np.isfinite(excess) else 0.0
    ordinates = sine_ordinates(charge.path, n_tapers, directions)
    window_ps = charge.duration_ps / n_tapers
    degrees = _degrees_of_freedom(charge, ordinates, directions, window_ps)
    slope = float((ordinates**2).sum()) / (n_tapers * dimensions * interval)
    low, high = chi_square_interval(slope, degrees)
    objection, bounded = _plateau(ordinates, degrees)
    if memory > MAX_MEMORY_AT_ALL:
        objection = f"single ions do not yet diffuse in windows of {window_ps:.3g} ps"
    used = totals[:n_tapers]
    spread = used.var(ddof=1) / n_tapers / max(float(used.mean()) ** 2, 1e-300)
    return CollectiveSlope(
        slope=slope,
        low=low / (1.0 + memory),
        high=high if bounded else math.inf,
        ion_slope=float(running[n_tapers - 1]),
        degrees_of_freedom=degrees,
        ion_degrees_of_freedom=2.0 / max(float(spread), 1e-12),
        n_tapers=n_tapers,
        window_ps=window_ps,
        memory=memory,
        dimensions=dimensions,
        objection=objection,
    )


def chi_square_interval(value: float, degrees: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the limits of a mean square with some degrees of freedom."""
    tail = 0.5 * (1.0 - level)
    largest = float(stats.chi2.ppf(1.0 - tail, degrees))
    return value * degrees / largest, value * degrees / float(stats.chi2.ppf(tail, degrees))


def _tapers_within(running: FloatArray, limit: float, n_series: int) -> int:
    """Return the largest number of tapers over which ions move as at long times."""
    if not np.isfinite(limit):
        return len(running)
    error = 1.645 * np.sqrt(2.0 / (n_series * np.arange(1, len(running) + 1)))
    good = np.flatnonzero(running <= limit * (1.0 + np.maximum(MAX_MEMORY, error)))
    return max(int(good[-1]) + 1 if len(good) else 0, MIN_TAPERS)


def _degrees_of_freedom(
    charge: ChargeDisplacement,
    ordinates: FloatArray,
    directions: FloatArray | None,
    window_ps: float,
) -> float:
    n_tapers, dimensions = ordinates.shape
    tensor = ordinates.T @ ordinates / n_tapers
    trace, contracted = float(np.trace(tensor)), float((tensor**2).sum())
    if trace <= 0.0:
        return float(n_tapers)
    # Unbiased (tr S)^2 and tr S^2 of a covariance S from the sample one (Wishart moments).
    k = n_tapers
    squares = (contracted - trace**2 / k) / (1.0 + 1.0 / k - 2.0 / k**2)
    product = trace**2 - 2.0 * squares / k
    gaussian = n_tapers * dimensions
    if squares > 0.0:
        gaussian = float(np.clip(k * product / squares, k, gaussian))
    lag = max(1, int(window_ps / charge.frame_interval_ps / 4))
    path = charge.path if directions is None else charge.path @ directions.T
    moved = path[lag:] - path[:-lag]
    squared = (moved**2).sum(axis=1)
    covariance = moved.T @ moved / len(moved)
    cumulant = (squared**2).mean() - squared.mean() ** 2 - 2.0 * (covariance**2).sum()
    excess = max(float(cumulant) / (lag * (len(path) - 1) * trace**2), 0.0)
    return 2.0 / (2.0 / gaussian + excess)


def _plateau(ordinates: FloatArray, degrees: float) -> tuple[str, bool]:
    """Return why slow and fast tapers show no plateau, or "", and whether fast ones bound it."""
    half = len(ordinates) // 2
    if half < MIN_TAPERS:
        return "", True
    slow, fast = (ordinates[:half] ** 2).mean(), (ordinates[half:] ** 2).mean()
    share = degrees / len(ordinates)
    law = stats.f(share * half, share * (len(ordinates) - half))
    ratio = float(slow / fast) if fast > 0 else 1.0
    if 2.0 * min(law.cdf(ratio), law.sf(ratio)) >= FLATNESS_PROBABILITY:
        return "", True
    word = "faster" if ratio > 1.0 else "slower"
    return f"the charge displacement still grows {word} over longer times", ratio < 1.0
