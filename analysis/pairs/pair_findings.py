"""g(r) of every pair of species: curves, first shells, coordination numbers and a figure."""

from __future__ import annotations

import numpy as np

from analysis.constants import FloatArray
from analysis.figures.pairs import rdf_figure
from analysis.pairs.rdf import PairDistribution, pair_distributions
from analysis.pairs.shells import first_shell
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory


def pair_findings(
    trajectory: Trajectory,
) -> tuple[Findings, list[PairDistribution], list[Quantity]]:
    """Compute, tabulate and draw g(r) and coordination numbers of every pair of species.

    Returns
    -------
    findings : Findings
    pairs : list of PairDistribution
    shells : list of Quantity
        First peaks, first minima and coordination numbers, also among the findings.
    """
    findings, shells = Findings(), []
    pairs = pair_distributions(trajectory)
    for species in sorted(set(trajectory.species.tolist())):
        if len(trajectory.ids_of(species)) == 1:
            findings.skipped.append(
                Skipped(f"rdf_{species}-{species}", f"the cell holds a single {species} atom")
            )
    for pair in pairs:
        curve = _rdf_curve(pair)
        findings.curves.append(curve)
        shells += first_shell(pair, curve=f"{curve.name}.csv")
    findings.quantities += shells
    if pairs:
        findings.figures["rdf"] = rdf_figure(pairs, shells)
    return findings, pairs, shells


def _rdf_curve(pair: PairDistribution) -> Curve:
    columns: dict[str, FloatArray] = {
        "r [Angstrom]": pair.r_angstrom,
        f"g_{pair.label} [1]": pair.g,
        "upper bin edge [Angstrom]": pair.edges_angstrom[1:],
        f"number of {pair.j} around {pair.i} [1]": pair.cn_ij,
    }
    if pair.i != pair.j:
        columns[f"number of {pair.i} around {pair.j} [1]"] = pair.cn_ji
    if len(pair.g_blocks) > 1:
        error = pair.g_blocks.std(axis=0, ddof=1) / np.sqrt(len(pair.g_blocks))
        columns["standard error of g [1]"] = error
    return Curve(f"rdf_{pair.label}", columns)
