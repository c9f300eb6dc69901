"""g(r) and coordination numbers by region or by kind of anion: curves, numbers and a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis.blocks import ratio_quantity
from analysis.figures.pairs import group_rdf_figure
from analysis.groups import Groups, intersection, species_groups
from analysis.pairs.group_rdf import GroupDistribution, group_distributions
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

# Of a species in a group, frame by frame; fewer are noise.
MIN_ATOMS = 1.0


def group_rdf_findings(
    trajectory: Trajectory, groups: Groups, shells: Sequence[Quantity], title: str
) -> Findings:
    """Compute g(r) around the atoms of each species in each group.

    Parameters
    ----------
    trajectory : Trajectory
    groups : Groups
        Regions, or kinds of anion.
    shells : sequence of Quantity
        First minima of the g(r) of the whole cell, up to which neighbours are counted, so that
        numbers of different groups compare.
    title : str
        What divides the atoms, such as ``region``; part of the names of files.
    """
    findings = Findings()
    name = f"rdf_by_{title}"
    by = intersection(species_groups(trajectory), groups)
    found = [item for item in group_distributions(trajectory, by) if item.mean_atoms > 0]
    rare = list(dict.fromkeys(item.group for item in found if item.mean_atoms < MIN_ATOMS))
    found = [item for item in found if item.mean_atoms >= MIN_ATOMS]
    few = f"fewer than one atom a frame of {', '.join(rare)}" if rare else ""
    if len({item.group.partition(" ")[2] for item in found}) < 2:
        reason = f"all atoms are of one {title}" + (f", with {few}" if few else "")
        return Findings(skipped=[Skipped(name, reason)])
    if few:
        findings.skipped.append(Skipped(name, few))
    minima = {shell.name: shell.value for shell in shells if shell.status == "ok"}
    for group in dict.fromkeys(item.group for item in found):
        around = [item for item in found if item.group == group]
        curve = f"{name}_{group.replace(' ', '_')}"
        findings.curves.append(_curve(curve, around))
        for item in around:
            centre = group.split(" ")[0]
            pair = "-".join(sorted((centre, item.species)))
            minimum = minima.get(f"rdf_first_minimum_{pair}", math.nan)
            if math.isfinite(minimum):
                findings.quantities.append(_coordination(item, minimum, f"{curve}.csv"))
    findings.figures[name] = group_rdf_figure(found)
    return findings


def _coordination(item: GroupDistribution, minimum: float, curve: str) -> Quantity:
    centre, _, group = item.group.partition(" ")
    name = f"coordination_number_{centre}-{item.species}_{group.replace(' ', '_')}"
    last = int(np.searchsorted(item.edges_angstrom, minimum + 1e-9, side="right")) - 2
    reason = (
        f"neighbours up to {item.edges_angstrom[last + 1]:.2f} Angstrom, the first minimum of g(r) "
        f"of the whole cell; {item.mean_atoms:.1f} atoms a frame"
    )
    return ratio_quantity(
        name, "1", float(item.cn[last]), item.cn_blocks[:, last], reason, curve=curve
    )


def _curve(name: str, around: Sequence[GroupDistribution]) -> Curve:
    columns = {
        "r [Angstrom]": around[0].r_angstrom,
        "upper bin edge [Angstrom]": around[0].edges_angstrom[1:],
    }
    for item in around:
        columns[f"g of {item.species} [1]"] = item.g
        columns[f"number of {item.species} [1]"] = item.cn
    return Curve(name, columns)
