"""Peaks of a curve with noise: positions and widths, the first sharp diffraction peak."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal, stats

from analysis.constants import FloatArray
from analysis.results import Quantity, Status
from analysis.scattering.partials import jackknife_error
from analysis.scattering.total_scattering import TotalStructureFactor

LEVEL = 0.95
MIN_SIGNIFICANCE = 5.0
# Part of a peak, from its top, that the parabola is fitted to.
TOP = 0.3
# Cells whose spacing of wave vectors is wider cannot place or size the first sharp peak.
MAX_SPACING_INVERSE_ANGSTROM = 0.15
Q_SMOOTHING_INVERSE_ANGSTROM = 0.05
FIRST_PEAK_Q_MAX_INVERSE_ANGSTROM = 3.0
# S(Q) swings by about 1; less than this is a shoulder or noise.
MIN_FIRST_PEAK_HEIGHT = 0.1


@dataclass(frozen=True)
class Peak:
    """One maximum of a curve.

    Attributes
    ----------
    position : float
        Top of a parabola through the upper part of the peak, in the unit of x.
    width : float
        Full width at half the prominence.
    prominence : float
        Height above the higher of the two valleys beside it.
    spacing : float
        Distance of points where too few for a parabola lie in the peak, else 0: the position
        and width are known no better.
    """

    position: float
    width: float
    prominence: float
    spacing: float


def find_peaks(
    x: FloatArray, y: FloatArray, *, smoothing: float, min_prominence: float
) -> list[Peak]:
    """Find the peaks of a curve.

    Parameters
    ----------
    x, y : (n,) float arrays
        x ascending, not necessarily equally spaced.
    smoothing : float
        Standard deviation of the Gaussian, in the unit of x, that decides what is a peak; the
        parabola is fitted to the points themselves.
    min_prominence : float
        Smaller peaks are left out, and those below five times the noise from point to point.

    Returns
    -------
    list of Peak
        In ascending order of position.
    """
    if len(x) < 5:
        return []
    step = float(np.median(np.diff(x)))
    grid = np.linspace(x[0], x[-1], max(5, round((x[-1] - x[0]) / step) + 1))
    step = float(grid[1] - grid[0])
    smooth = ndimage.gaussian_filter1d(np.interp(grid, x, y), smoothing / step, mode="nearest")
    # A Gaussian filter averages over 2 sqrt(pi) sigma points.
    averaged = max(1.0, 2.0 * math.sqrt(math.pi) * smoothing / step)
    # A prominence is the difference of two values.
    noise = math.sqrt(2.0 / averaged) * point_scatter(y)
    least = max(min_prominence, MIN_SIGNIFICANCE * noise)
    tops, found = signal.find_peaks(smooth, prominence=least)
    widths = signal.peak_widths(smooth, tops, rel_height=0.5)
    peaks = []
    for n, top in enumerate(tops):
        prominence = float(found["prominences"][n])
        left, right = signal.peak_widths(smooth, [top], rel_height=TOP)[2:]
        near = (x >= grid[0] + left[0] * step) & (x <= grid[0] + right[0] * step)
        position, spacing = _parabola_top(x[near], y[near]), 0.0
        if not grid[0] + left[0] * step <= position <= grid[0] + right[0] * step:
            position, spacing = float(grid[top]), step
        peaks.append(Peak(position, float(widths[0][n]) * step, prominence, spacing))
    return peaks


def point_scatter(y: FloatArray) -> float:
    """Return the noise of a curve sampled finer than it varies, from its second differences.

    The median absolute second difference over 0.6745 sqrt(6), which a few sharp peaks do not
    disturb.
    """
    if len(y) < 5:
        return 0.0
    return float(np.median(np.abs(np.diff(y, 2))) / (0.6745 * math.sqrt(6.0)))


def nearest_peak(peaks: list[Peak], position: float, within: float) -> Peak | None:
    """Return the peak nearest to a position, None if there is none within reach."""
    near = [peak for peak in peaks if abs(peak.position - position) <= within]
    return min(near, key=lambda peak: abs(peak.position - position)) if near else None


def first_sharp_peak(total: TotalStructureFactor, lowest_q: float) -> list[Quantity]:
    """Locate the first sharp diffraction peak, the first of S(Q), and measure its width.

    Parameters
    ----------
    total : TotalStructureFactor
    lowest_q : float
        Spacing of wave vectors across the narrowest direction of the cell, 2 pi / L, 1/Angstrom.

    Returns
    -------
    list of Quantity
        Position and full width at half prominence, 1/Angstrom, with Student t intervals from
        leaving out blocks of frames; refused where 2 pi / L exceeds 0.15 1/Angstrom, unresolved
        where there is no peak below 3 1/Angstrom. The width includes the bins of |k|.
    """
    names = [f"first_sharp_diffraction_peak_{what}_{total.radiation}" for what in _FIRST_PEAK]
    curve = f"total_structure_factor_{total.radiation}.csv"

    def without_value(status: Status, reason: str) -> list[Quantity]:
        return [
            Quantity(
                name, math.nan, "1/Angstrom", level=LEVEL, status=status, reason=reason, curve=curve
            )
            for name in names
        ]

    if lowest_q > MAX_SPACING_INVERSE_ANGSTROM:
        return without_value(
            "refused",
            f"2 pi / L = {lowest_q:.3f} 1/Angstrom for the narrowest width L = "
            f"{2 * np.pi / lowest_q:.1f} Angstrom; at most {MAX_SPACING_INVERSE_ANGSTROM} "
            f"1/Angstrom places the peak, that is L of at least "
            f"{2 * np.pi / MAX_SPACING_INVERSE_ANGSTROM:.0f} Angstrom",
        )
    q = total.q_inverse_angstrom
    used = q <= FIRST_PEAK_Q_MAX_INVERSE_ANGSTROM

    def peaks_of(s: FloatArray) -> list[Peak]:
        return find_peaks(
            q[used],
            s[used],
            smoothing=Q_SMOOTHING_INVERSE_ANGSTROM,
            min_prominence=MIN_FIRST_PEAK_HEIGHT,
        )

    found = peaks_of(total.s)
    if not found:
        return without_value(
            "unresolved",
            f"S(Q) has no peak above {MIN_FIRST_PEAK_HEIGHT} and the noise below "
            f"{FIRST_PEAK_Q_MAX_INVERSE_ANGSTROM:g} 1/Angstrom",
        )
    first = found[0]

    def again(s: FloatArray) -> FloatArray:
        same = nearest_peak(peaks_of(s), first.position, max(first.width, 2 * lowest_q))
        return np.array([same.position, same.width] if same else [math.nan, math.nan])

    errors = jackknife_error(again, total.s_blocks)
    n_blocks = len(total.s_blocks)
    return [
        peak_quantity(
            name,
            value,
            "1/Angstrom",
            error,
            n_blocks,
            f"first peak of S(Q), {how}; 2 pi / L = {lowest_q:.3f} 1/Angstrom; {total.source}",
            curve,
            spacing=first.spacing,
        )
        for name, value, error, how in zip(
            names, (first.position, first.width), errors, _FIRST_PEAK.values(), strict=True
        )
    ]


def peak_quantity(
    name: str,
    value: float,
    unit: str,
    error: float,
    n_blocks: int,
    reason: str,
    curve: str,
    *,
    spacing: float = 0.0,
) -> Quantity:
    """Return a value with its Student t interval over blocks, nan where there is one block.

    The interval is no narrower than the `spacing` of points.
    """
    low = high = math.nan
    if math.isfinite(error):
        half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, n_blocks - 1)) * error
        half = max(half, 0.5 * spacing)
        low, high = value - half, value + half
        reason += f"; error from leaving out each of {n_blocks} blocks"
    else:
        reason += "; no error estimate"
    return Quantity(name, value, unit, low, high, LEVEL, "ok", reason, curve)


_FIRST_PEAK = {
    "position": "top of a parabola through its upper part",
    "width": "full width at half prominence",
}


def _parabola_top(x: FloatArray, y: FloatArray) -> float:
    if len(x) < 4:  # Three leave no doubt to be averaged.
        return math.nan
    centre = x.mean()
    square, slope, _ = np.polyfit(x - centre, y, 2)
    return float(centre - 0.5 * slope / square) if square < 0 else math.nan
