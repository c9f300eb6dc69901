"""What a diffraction experiment sees: total structure factors and reduced distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import AnalysisError, RangeError
from analysis.pairs.rdf import PairDistribution
from analysis.scattering.pair_transform import Window
from analysis.scattering.partials import StructureFactors
from analysis.scattering.scattering_weights import pair_weights

Radiation = Literal["neutron", "xray"]


@dataclass(frozen=True)
class TotalStructureFactor:
    """S(Q) as measured with one radiation; tends to 1.

    Attributes
    ----------
    radiation : {"neutron", "xray"}
    q_inverse_angstrom, q_width_inverse_angstrom : (Q,) float arrays
        See `StructureFactors`.
    s : (Q,) float array
    s_blocks : (n_blocks, Q) float array
    density_per_cubic_angstrom : float
    source : str
        Route of the partials and amplitudes of the species.
    """

    radiation: Radiation
    q_inverse_angstrom: FloatArray
    q_width_inverse_angstrom: FloatArray
    s: FloatArray
    s_blocks: FloatArray
    density_per_cubic_angstrom: float
    source: str


@dataclass(frozen=True)
class ReducedDistribution:
    """G(r) = 4 pi rho0 r (g_w(r) - 1), 1/Angstrom^2; falls as -4 pi rho0 r before the first peak.

    Attributes
    ----------
    r_angstrom, g : (R,) float arrays
    g_blocks : (n_blocks, R) float array
    density_per_cubic_angstrom : float
        rho0.
    source : str
    """

    r_angstrom: FloatArray
    g: FloatArray
    g_blocks: FloatArray
    density_per_cubic_angstrom: float
    source: str


def total_structure_factor(
    factors: StructureFactors, amplitudes: FloatArray, radiation: Radiation
) -> TotalStructureFactor:
    """Weight the partials: S(Q) = sum_ij c_i c_j b_i b_j S_ij(Q) / (sum c b)^2.

    Parameters
    ----------
    factors : StructureFactors
    amplitudes : (n,) or (n, Q) float array
        Scattering lengths or form factors in the order of `factors.species`.
    radiation : {"neutron", "xray"}

    Returns
    -------
    TotalStructureFactor
        Convention of Faber and Ziman, Phil. Mag. 11, 153 (1965), doi 10.1080/14786436508211931;
        X-ray form factors are divided out at every Q.
    """
    weights = pair_weights(factors.fractions, amplitudes)
    if weights.ndim == 2:
        weights = weights[..., None]
    shown = amplitudes if amplitudes.ndim == 1 else amplitudes[:, 0]
    unit = "b = {:.4g} fm" if radiation == "neutron" else "f = {:.4g} at the lowest Q"
    named = ", ".join(
        f"{symbol} {unit.format(value)}"
        for symbol, value in zip(factors.species, shown, strict=True)
    )
    return TotalStructureFactor(
        radiation=radiation,
        q_inverse_angstrom=factors.q_inverse_angstrom,
        q_width_inverse_angstrom=factors.q_width_inverse_angstrom,
        s=(weights * factors.s).sum(axis=(0, 1)),
        s_blocks=(weights * factors.s_blocks).sum(axis=(1, 2)),
        density_per_cubic_angstrom=factors.density_per_cubic_angstrom,
        source=f"{named}; {factors.route}",
    )


def reduced_distribution(
    total: TotalStructureFactor,
    r_angstrom: FloatArray,
    *,
    q_max_inverse_angstrom: float,
    window: Window = "none",
) -> ReducedDistribution:
    """Transform S(Q) as a measurement does, with its Q_max and window.

    Parameters
    ----------
    total : TotalStructureFactor
    r_angstrom : (R,) float array
    q_max_inverse_angstrom : float
    window : {"none", "lorch"}
        Lorch: sin(pi Q / Q_max) / (pi Q / Q_max) (J. Phys. C 2, 229 (1969),
        doi 10.1088/0022-3719/2/2/305).

    Returns
    -------
    ReducedDistribution

    Raises
    ------
    AnalysisError
        If the window is unknown.
    RangeError
        If S(Q) ends below `q_max_inverse_angstrom`.

    Notes
    -----
    G(r) = 2/pi int_0^Qmax Q [S(Q) - 1] M(Q) sin(Qr) dQ, Keen, J. Appl. Cryst. 34, 172 (2001),
    doi 10.1107/S0021889800019993, as a sum over bins. The transform of g(r) without window,
    though it ripples where g(r) is cut, comes back as the G(r) of that range; a direct sum of
    all wave vectors gives the periodic G(r) of the cell, but thinned ones carry noise.
    """
    if window not in get_args(Window):
        raise AnalysisError(f"window {window!r} is unknown; expected 'lorch' or 'none'")
    q = total.q_inverse_angstrom
    # Points lie inside their bins, so the last may be almost a bin below Q_max.
    if q_max_inverse_angstrom > q[-1] + (q[-1] - q[-2]):
        raise RangeError(
            f"Q_max {q_max_inverse_angstrom:g} is beyond S(Q), which ends at {q[-1]:.4g} "
            "1/Angstrom; compute S(Q) further or lower Q_max"
        )
    half = 0.5 * total.q_width_inverse_angstrom
    # The last bin counts as far as it lies below Q_max.
    widths = np.clip(q_max_inverse_angstrom - q + half, 0.0, 2.0 * half)
    if window == "lorch":
        widths *= np.sinc(np.minimum(q / q_max_inverse_angstrom, 1.0))
    kernel = (2.0 / np.pi) * np.sin(np.outer(r_angstrom, q)) * (widths * q)
    name = "Lorch window" if window == "lorch" else "no window"
    return ReducedDistribution(
        r_angstrom=r_angstrom,
        g=kernel @ (total.s - 1.0),
        g_blocks=(total.s_blocks - 1.0) @ kernel.T,
        density_per_cubic_angstrom=total.density_per_cubic_angstrom,
        source=f"transform of S(Q) to {q_max_inverse_angstrom:g} 1/Angstrom, {name}; "
        f"{total.source}",
    )


def weighted_distribution(
    factors: StructureFactors, pairs: Sequence[PairDistribution], amplitudes: FloatArray
) -> ReducedDistribution:
    """Return G(r) = 4 pi rho0 r [g_w(r) - 1] straight from the pair distributions.

    Parameters
    ----------
    factors : StructureFactors
        Species, numbers and density of the sample.
    pairs : sequence of PairDistribution
    amplitudes : (n,) float array
        Scattering lengths, or form factors at Q = 0: for X-rays an approximation, for the shape
        of f(Q) broadens peaks of a measurement (Warren, Krutter and Morningstar, J. Am. Ceram.
        Soc. 19, 202 (1936)).

    Returns
    -------
    ReducedDistribution
        g_w = sum_ij w_ij g_ij with the weights of `pair_weights`.

    Raises
    ------
    AnalysisError
        If a pair is missing.
    """
    weights = pair_weights(factors.fractions, amplitudes)
    table = {(pair.i, pair.j): pair for pair in pairs}
    weighted, blocks = 0.0, 0.0
    for a, one in enumerate(factors.species):
        for b, other in enumerate(factors.species[a:], start=a):
            pair = table.get((one, other))
            if pair is None:
                raise AnalysisError(
                    f"no pair distribution of {one}-{other}: G(r) needs all; a single {one} atom "
                    "in a cell has none"
                )
            weight = weights[a, b] * (1 if a == b else 2)
            weighted = weighted + weight * pair.g
            blocks = blocks + weight * pair.g_blocks
    r = pairs[0].r_angstrom
    slope = 4.0 * np.pi * factors.density_per_cubic_angstrom * r
    return ReducedDistribution(
        r_angstrom=r,
        g=slope * (np.asarray(weighted) - 1.0),
        g_blocks=slope * (np.asarray(blocks) - 1.0),
        density_per_cubic_angstrom=factors.density_per_cubic_angstrom,
        source=f"pair distributions, {pairs[0].n_frames} frames",
    )
