"""Everything that scattering has to say of a trajectory, with and without a measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from analysis.blocks import error_of_blocks
from analysis.constants import FloatArray
from analysis.errors import AnalysisError
from analysis.figures.scattering import (
    comparison_figure,
    partial_structure_factor_figure,
    total_scattering_figure,
)
from analysis.pairs.rdf import PairDistribution
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.scattering.measured_scattering import Measured
from analysis.scattering.pair_transform import (
    find_join,
    joined_structure_factors,
    transformed_structure_factors,
)
from analysis.scattering.partials import (
    DIRECT_Q_MAX_INVERSE_ANGSTROM,
    Q_BIN_INVERSE_ANGSTROM,
    StructureFactors,
    direct_structure_factors,
    lowest_q,
)
from analysis.scattering.scattering_comparison import (
    Comparison,
    compare,
    comparison_quantities,
)
from analysis.scattering.scattering_peaks import first_sharp_peak
from analysis.scattering.scattering_weights import neutron_lengths, xray_form_factors
from analysis.scattering.total_scattering import (
    Radiation,
    ReducedDistribution,
    TotalStructureFactor,
    total_structure_factor,
    weighted_distribution,
)
from analysis.trajectory import Trajectory

Q_MAX_INVERSE_ANGSTROM = 20.0
# Of the direct sum, half a second a frame; neighbouring frames scatter alike.
MAX_DIRECT_FRAMES = 50
RADIATIONS: tuple[Radiation, ...] = ("neutron", "xray")


def scattering_findings(
    trajectory: Trajectory,
    pairs: Sequence[PairDistribution],
    *,
    isotopes: Mapping[str, int] | None = None,
    lengths_fm: Mapping[str, float] | None = None,
    measured: Sequence[Measured] = (),
) -> Findings:
    """Compute partial and total structure factors and G(r), and compare them with measurements.

    Parameters
    ----------
    trajectory : Trajectory
    pairs : sequence of PairDistribution
        Of the same trajectory.
    isotopes, lengths_fm : mappings, optional
        See `neutron_lengths`.
    measured : sequence of Measured, optional
        Of files with names of their own: results are named after them.

    Returns
    -------
    Findings
    """
    findings = Findings()
    factors = structure_factors(trajectory, pairs, findings)
    findings.curves.append(_partial_curve(factors))
    findings.figures["partial_structure_factors"] = partial_structure_factor_figure(factors)
    totals: dict[Radiation, TotalStructureFactor] = {}
    reduced: dict[Radiation, ReducedDistribution] = {}
    for radiation in RADIATIONS:
        try:
            amplitudes = _amplitudes(radiation, factors, isotopes, lengths_fm)
            totals[radiation] = total_structure_factor(factors, amplitudes, radiation)
        except AnalysisError as error:
            findings.skipped.append(_skip(f"total_structure_factor_{radiation}", error))
            continue
        findings.quantities += first_sharp_peak(totals[radiation], lowest_q(trajectory))
        findings.curves.append(_total_curve(totals[radiation]))
        try:
            at_zero = _at_zero(radiation, factors, amplitudes)
            reduced[radiation] = weighted_distribution(factors, pairs, at_zero)
        except AnalysisError as error:
            findings.skipped.append(_skip(f"reduced_distribution_{radiation}", error))
            continue
        findings.curves.append(_reduced_curve(radiation, reduced[radiation]))
    if totals:
        findings.figures["total_scattering"] = total_scattering_figure(
            list(totals.values()), reduced
        )
    for n, item in enumerate(measured):
        try:
            if any(item.label == other.label for other in measured[:n]):
                raise AnalysisError(
                    f"{item.path}: another measurement has the name {item.label!r} too, which "
                    "results are named after; rename one of the files"
                )
            total = totals.get(item.radiation)
            if item.function == "G(r)":
                total = _for_real_space(trajectory, pairs, item, isotopes, lengths_fm)
            if total is None:
                raise AnalysisError(f"no {item.radiation} S(Q) to compare {item.path} with")
            _add_comparison(findings, item, total, pairs)
        except AnalysisError as error:
            findings.skipped.append(_skip(f"comparison_{item.label}", error))
    return findings


def structure_factors(
    trajectory: Trajectory,
    pairs: Sequence[PairDistribution],
    findings: Findings,
) -> StructureFactors:
    """Join direct sum and transform, or sum directly over the whole range where they disagree.

    What was done, and why, goes into `findings`.
    """
    n_blocks = len(pairs[0].g_blocks) if pairs else None
    stride = -(-trajectory.n_frames // MAX_DIRECT_FRAMES)
    name, reason, join = "structure_factor_join", "the cell holds no pair of atoms", None
    direct = None
    if pairs and lowest_q(trajectory) < DIRECT_Q_MAX_INVERSE_ANGSTROM:
        r_max = float(pairs[0].edges_angstrom[-1])
        try:
            direct = direct_structure_factors(trajectory, n_blocks=n_blocks, stride=stride)
            same = transformed_structure_factors(
                trajectory, pairs, direct.q_inverse_angstrom, closed_cell=True
            )
            join = find_join(direct, same, r_max)
            reason = join.reason
        except AnalysisError as error:
            reason = str(error)
    if direct is not None and join is not None and join.agreed:
        findings.quantities.append(
            Quantity(name, join.q_inverse_angstrom, "1/Angstrom", reason=reason)
        )
        above = transformed_structure_factors(trajectory, pairs, _q_grid(), closed_cell=True)
        return joined_structure_factors(direct, above, join)
    findings.quantities.append(
        Quantity(
            name,
            math.nan,
            "1/Angstrom",
            status="unresolved",
            reason=f"S(Q) is the direct sum up to {Q_MAX_INVERSE_ANGSTROM:g} 1/Angstrom: {reason}",
        )
    )
    return direct_structure_factors(
        trajectory,
        q_max_inverse_angstrom=Q_MAX_INVERSE_ANGSTROM,
        n_blocks=n_blocks,
        stride=stride,
    )


def _amplitudes(
    radiation: Radiation,
    factors: StructureFactors,
    isotopes: Mapping[str, int] | None,
    lengths_fm: Mapping[str, float] | None,
) -> FloatArray:
    if radiation == "neutron":
        return neutron_lengths(factors.species, isotopes=isotopes, lengths_fm=lengths_fm)
    return xray_form_factors(factors.species, factors.q_inverse_angstrom)


def _at_zero(radiation: Radiation, factors: StructureFactors, amplitudes: FloatArray) -> FloatArray:
    if radiation == "neutron":
        return amplitudes
    return xray_form_factors(factors.species, np.zeros(1))[:, 0]


def _for_real_space(
    trajectory: Trajectory,
    pairs: Sequence[PairDistribution],
    measured: Measured,
    isotopes: Mapping[str, int] | None,
    lengths_fm: Mapping[str, float] | None,
) -> TotalStructureFactor:
    """Return the transform of g(r) up to the Q_max of a measured G(r)."""
    factors = transformed_structure_factors(
        trajectory, pairs, _q_grid(measured.q_max_inverse_angstrom)
    )
    amplitudes = _amplitudes(measured.radiation, factors, isotopes, lengths_fm)
    return total_structure_factor(factors, amplitudes, measured.radiation)


def _add_comparison(
    findings: Findings,
    measured: Measured,
    total: TotalStructureFactor,
    pairs: Sequence[PairDistribution],
) -> None:
    r_max = float(pairs[0].edges_angstrom[-1]) if pairs else 0.0
    comparison = compare(measured, total, r_max_angstrom=r_max)
    findings.quantities += comparison_quantities(comparison)
    findings.curves.append(_comparison_curve(comparison))
    findings.figures[f"comparison_{measured.label}"] = comparison_figure(comparison)


def _q_grid(q_max_inverse_angstrom: float = Q_MAX_INVERSE_ANGSTROM) -> FloatArray:
    """Return the middles of bins that continue those of the direct sum."""
    n_bins = math.ceil(q_max_inverse_angstrom / Q_BIN_INVERSE_ANGSTROM)
    return (np.arange(n_bins) + 0.5) * Q_BIN_INVERSE_ANGSTROM


def _skip(name: str, error: AnalysisError) -> Skipped:
    return Skipped(name, str(error).rstrip("."))


def _partial_curve(factors: StructureFactors) -> Curve:
    columns = {"Q [1/Angstrom]": factors.q_inverse_angstrom}
    errors = error_of_blocks(factors.s_blocks)
    for a, one in enumerate(factors.species):
        for b, other in enumerate(factors.species[a:], start=a):
            columns[f"S_{one}-{other} [1]"] = factors.s[a, b]
            columns[f"standard error of S_{one}-{other} [1]"] = errors[a, b]
    columns["wave vectors [1]"] = factors.n_vectors.astype(float)
    return Curve("partial_structure_factors", columns)


def _total_curve(total: TotalStructureFactor) -> Curve:
    return Curve(
        f"total_structure_factor_{total.radiation}",
        {
            "Q [1/Angstrom]": total.q_inverse_angstrom,
            "S [1]": total.s,
            "standard error of S [1]": error_of_blocks(total.s_blocks),
        },
    )


def _reduced_curve(radiation: Radiation, reduced: ReducedDistribution) -> Curve:
    return Curve(
        f"reduced_distribution_{radiation}",
        {
            "r [Angstrom]": reduced.r_angstrom,
            "G [1/Angstrom^2]": reduced.g,
            "standard error of G [1/Angstrom^2]": error_of_blocks(reduced.g_blocks),
        },
    )


def _comparison_curve(comparison: Comparison) -> Curve:
    x = "r [Angstrom]" if comparison.measured.function == "G(r)" else "Q [1/Angstrom]"
    return Curve(
        f"comparison_{comparison.measured.label}",
        {
            x: comparison.x,
            f"measured {comparison.measured.function}": comparison.y,
            f"simulated {comparison.measured.function}": comparison.simulated,
            "standard error of simulated": comparison.simulated_error,
        },
    )
