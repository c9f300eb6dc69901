"""How well a simulated S(Q) or G(r) agrees with a measured one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.blocks import error_of_blocks
from analysis.constants import FloatArray
from analysis.errors import AnalysisError, RangeError
from analysis.results import Quantity
from analysis.scattering.measured_scattering import Measured
from analysis.scattering.partials import jackknife_error
from analysis.scattering.scattering_peaks import (
    TOP,
    Peak,
    find_peaks,
    nearest_peak,
    peak_quantity,
    point_scatter,
)
from analysis.scattering.total_scattering import TotalStructureFactor, reduced_distribution

# Ripples of the normalisation, not atoms, lie below.
R_MIN_ANGSTROM = 1.0
# Peaks smaller than this share of the largest swing are not compared.
MIN_PEAK_SHARE = 0.05
# 1/Angstrom for functions of Q, Angstrom for G(r); both far below the width of a peak.
SMOOTHING = 0.05


@dataclass(frozen=True)
class PeakPair:
    """A measured peak and the simulated one nearest to it, in the unit of x.

    `simulated` is nan where there is none within half the width of the measured peak;
    `simulated_error` is nan for a single block, `measured_error` where the noise is unknown.
    """

    measured: float
    measured_error: float
    simulated: float
    simulated_error: float


@dataclass(frozen=True)
class Comparison:
    """Agreement of a simulation with a measurement on the points of the measurement.

    Attributes
    ----------
    measured : Measured
    x, y, simulated, simulated_error : (n,) float arrays
        Where both are known; errors nan for a single block.
    r_chi, r_chi_error : float
        Wright's R_chi without any adjustment.
    scale, offset : float
        Of the least-squares fit measured = scale * simulated + offset.
    r_chi_adjusted : float
        R_chi of the simulation so adjusted; far below `r_chi`, the two differ in normalisation.
    peaks : tuple of PeakPair
    n_blocks : int
    source : str
    """

    measured: Measured
    x: FloatArray
    y: FloatArray
    simulated: FloatArray
    simulated_error: FloatArray
    r_chi: float
    r_chi_error: float
    scale: float
    offset: float
    r_chi_adjusted: float
    peaks: tuple[PeakPair, ...]
    n_blocks: int
    source: str


def compare(
    measured: Measured,
    total: TotalStructureFactor,
    *,
    r_max_angstrom: float,
    x_range: tuple[float, float] | None = None,
) -> Comparison:
    """Compare a simulated S(Q) with a measurement, G(r) by the transform of the measurement.

    Parameters
    ----------
    measured : Measured
    total : TotalStructureFactor
        Of the same radiation; for G(r) the transform of g(r), without window, to the Q_max of
        the measurement.
    r_max_angstrom : float
        Range of g(r), beyond which G(r) is not compared.
    x_range : (float, float), optional
        Part to compare; by default all that both cover, G(r) from 1 Angstrom.

    Returns
    -------
    Comparison

    Raises
    ------
    AnalysisError
        If the radiations differ.
    RangeError
        If the two have fewer than 10 points in common, or S(Q) ends below the Q_max of G(r).

    Notes
    -----
    R_chi = sqrt(sum (T_exp - T_sim)^2 / sum T_exp^2), Wright, J. Non-Cryst. Solids 159, 264
    (1993), doi 10.1016/0022-3093(93)90232-M, on T(r) = G(r) + 4 pi rho0 r with the simulated
    density for G(r), and by the same formula on S(Q) - 1 or Q [S(Q) - 1].
    """
    if measured.radiation != total.radiation:
        raise AnalysisError(
            f"{measured.path}: measured with {measured.radiation} but compared with the "
            f"{total.radiation} S(Q)"
        )
    real_space = measured.function == "G(r)"
    q = total.q_inverse_angstrom
    limits = (R_MIN_ANGSTROM, r_max_angstrom) if real_space else (q[0], q[-1])
    low, high = x_range or limits
    low, high = max(low, limits[0] if not real_space else 0.0), min(high, limits[1])
    used = (measured.x >= low) & (measured.x <= high)
    if used.sum() < 10:
        raise RangeError(
            f"{measured.path}: {used.sum()} points between {low:.3g} and {high:.3g}, where the "
            "simulation has values; at least 10 are needed"
        )
    x, y = measured.x[used], measured.y[used]
    simulated, blocks, source = _simulated(measured, total, x)
    background = 4.0 * np.pi * total.density_per_cubic_angstrom * x if real_space else np.zeros(())
    if measured.function == "S(Q)":
        background = background - 1.0

    def r_chi(curve: FloatArray) -> FloatArray:
        return np.sqrt(((y - curve) ** 2).sum() / ((y + background) ** 2).sum())

    design = np.column_stack([simulated, np.ones(len(x))])
    scale, offset = np.linalg.lstsq(design, y, rcond=None)[0]
    return Comparison(
        measured=measured,
        x=x,
        y=y,
        simulated=simulated,
        simulated_error=error_of_blocks(blocks),
        r_chi=float(r_chi(simulated)),
        r_chi_error=float(jackknife_error(r_chi, blocks)),
        scale=float(scale),
        offset=float(offset),
        r_chi_adjusted=float(r_chi(scale * simulated + offset)),
        peaks=_peak_pairs(measured, used, simulated, blocks),
        n_blocks=len(blocks),
        source=source,
    )


def comparison_quantities(comparison: Comparison) -> list[Quantity]:
    """Return R_chi, scale, offset and positions of peaks.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    list of Quantity
        Differences of peak positions are simulated minus measured; their interval holds the
        errors of both as far as they are known. Peaks without a partner are unresolved.
    """
    measured = comparison.measured
    label, curve = measured.label, f"comparison_{measured.label}.csv"
    between = f"{comparison.x[0]:.3g} and {comparison.x[-1]:.3g}"
    unit = "Angstrom" if measured.function == "G(r)" else "1/Angstrom"
    height = {"G(r)": "1/Angstrom^2", "Q[S(Q)-1]": "1/Angstrom", "S(Q)": "1"}[measured.function]
    n = comparison.n_blocks
    what = f"{measured.function}, {measured.radiation}, between {between} {unit}"
    found = [
        peak_quantity(
            f"r_chi_{label}",
            comparison.r_chi,
            "1",
            comparison.r_chi_error,
            n,
            f"Wright's R_chi of {what}, nothing adjusted; {comparison.source}",
            curve,
        ),
        Quantity(
            f"r_chi_adjusted_{label}",
            comparison.r_chi_adjusted,
            "1",
            reason="the same after the scale and offset; far lower means that the "
            "normalisations differ, so judge positions of peaks, not heights",
            curve=curve,
        ),
        Quantity(
            f"scale_{label}",
            comparison.scale,
            "1",
            reason="least squares, measured = scale * simulated + offset",
            curve=curve,
        ),
        Quantity(
            f"offset_{label}",
            comparison.offset,
            height,
            reason="least squares, measured = scale * simulated + offset",
            curve=curve,
        ),
    ]
    for number, pair in enumerate(comparison.peaks, start=1):
        name = f"peak_{number}_difference_{label}"
        place = f"measured {pair.measured:.3f} {unit}"
        if math.isfinite(pair.measured_error):
            place += f" +- {pair.measured_error:.1g}"
        else:
            place += ", whose error is unknown and not in the interval"
        if math.isnan(pair.simulated):
            found.append(
                Quantity(
                    name,
                    math.nan,
                    unit,
                    status="unresolved",
                    reason=f"{place}; no simulated peak within half its width",
                    curve=curve,
                )
            )
            continue
        known = pair.measured_error if math.isfinite(pair.measured_error) else 0.0
        error = math.hypot(pair.simulated_error, known)
        found.append(
            peak_quantity(
                name,
                pair.simulated - pair.measured,
                unit,
                error,
                n,
                f"simulated {pair.simulated:.3f} +- {pair.simulated_error:.1g}, {place}",
                curve,
            )
        )
    return found


def _simulated(
    measured: Measured, total: TotalStructureFactor, x: FloatArray
) -> tuple[FloatArray, FloatArray, str]:
    if measured.function == "G(r)":
        reduced = reduced_distribution(
            total,
            x,
            q_max_inverse_angstrom=measured.q_max_inverse_angstrom,
            window=measured.window,
        )
        return reduced.g, reduced.g_blocks, reduced.source
    q = total.q_inverse_angstrom
    curves = [np.interp(x, q, s) for s in (total.s, *total.s_blocks)]
    if measured.function == "Q[S(Q)-1]":
        curves = [x * (s - 1.0) for s in curves]
    return curves[0], np.array(curves[1:]), total.source


def _peak_pairs(
    measured: Measured, used: np.ndarray, simulated: FloatArray, blocks: FloatArray
) -> tuple[PeakPair, ...]:
    x, y = measured.x[used], measured.y[used]
    smoothing = SMOOTHING

    def peaks_of(curve: FloatArray) -> list[Peak]:
        least = MIN_PEAK_SHARE * float(np.ptp(curve))
        return find_peaks(x, curve, smoothing=smoothing, min_prominence=least)

    simulated_peaks = peaks_of(simulated)
    noise = measured.error[used]
    if not np.isfinite(noise).all() and measured.function != "G(r)":
        # Noise of a transform is smooth and does not show between neighbouring points.
        noise = np.full(len(x), point_scatter(y))
    pairs = []
    for peak in peaks_of(y):
        reach = 0.5 * peak.width
        match = nearest_peak(simulated_peaks, peak.position, reach)
        error = np.nan
        if match:
            error = float(jackknife_error(_position_near(peaks_of, match, reach), blocks))
            error = max(error, 0.5 * match.spacing)
        pairs.append(
            PeakPair(
                measured=peak.position,
                measured_error=_noise_of_position(x, peak, noise),
                simulated=match.position if match else np.nan,
                simulated_error=error,
            )
        )
    return tuple(pairs)


def _position_near(
    peaks_of: Callable[[FloatArray], list[Peak]], near: Peak, reach: float
) -> Callable[[FloatArray], FloatArray]:
    def position(curve: FloatArray) -> FloatArray:
        found = nearest_peak(peaks_of(curve), near.position, reach)
        return np.array(found.position if found else np.nan)

    return position


def _noise_of_position(x: FloatArray, peak: Peak, noise: FloatArray) -> float:
    """Propagate the noise of the points through the parabola; nan where noise is zero."""
    # A parabola of this prominence and width at half of it: y = top - curvature (x - x0)^2.
    curvature = 2.0 * peak.prominence / peak.width**2
    near = np.abs(x - peak.position) <= 0.5 * np.sqrt(TOP / 0.5) * peak.width
    spread = ((x[near] - x[near].mean()) ** 2).sum()
    if near.sum() < 3 or spread == 0 or not noise[near].any():
        return np.nan
    # The position is the slope over twice the curvature.
    return float(noise[near].mean() / np.sqrt(spread) / (2.0 * curvature))
