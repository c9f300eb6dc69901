"""Distributions of displacements: numbers, curves and figures, for all ions or by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.displacements.displacements import MAX_ORIGINS, accumulate, displacements_of
from analysis.displacements.non_gaussian import (
    MomentSums,
    NonGaussian,
    non_gaussian_of,
    non_gaussian_peak,
)
from analysis.displacements.self_scattering import (
    Q_PER_ANGSTROM,
    SelfScattering,
    SineSums,
    relaxation_time,
    self_scattering_of,
)
from analysis.displacements.van_hove_distinct import van_hove_distinct
from analysis.displacements.van_hove_self import (
    BIN_ANGSTROM,
    SHORT_PS,
    HistogramSums,
    VanHoveSelf,
    long_times,
    van_hove_self_of,
)
from analysis.figures.displacements import (
    group_van_hove_self_figure,
    non_gaussian_figure,
    self_scattering_figure,
    van_hove_distinct_figure,
    van_hove_self_figure,
)
from analysis.motion.membership import Membership, Rule
from analysis.results import Curve, Findings, Skipped
from analysis.trajectory import Trajectory, centre_of_mass_path

MIN_FRAMES = 10
DISTINCT_PS = (0.0, 1.0, 10.0, 100.0, 1000.0)


def displacement_findings(
    trajectory: Trajectory,
    ids: IntArray,
    *,
    label: str,
    drift_path: FloatArray | None = None,
    dense: Trajectory | None = None,
    membership: Membership | None = None,
    dense_membership: Membership | None = None,
    rule: Rule = "origin",
    q_per_angstrom: Sequence[float] = Q_PER_ANGSTROM,
    max_origins: int = MAX_ORIGINS,
) -> Findings:
    """Compute alpha2, both parts of the van Hove function and F_s.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
        Rows of the ions, of one species.
    label : str
        Their name.
    drift_path, dense, membership, dense_membership, rule, max_origins
        As in `displacements_of`.
    q_per_angstrom : sequence of float
        Where F_s is computed, 1/Angstrom.

    Returns
    -------
    Findings
        With groups, a quantity and a curve for each, names end in that of the group, and one figure
        of all. The distinct part counts the groups of the earlier ions, whatever the rule.
    """
    if trajectory.n_frames < MIN_FRAMES:
        reason = f"{trajectory.n_frames} frames; needs at least {MIN_FRAMES}"
        return Findings(skipped=[Skipped(f"displacements_{label}", reason)])
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    wanted = (*SHORT_PS, *long_times(trajectory.duration_ps))
    displacements = displacements_of(
        trajectory,
        ids,
        asked_ps=wanted,
        drift_path=drift_path,
        membership=membership,
        rule=rule,
        dense=dense,
        dense_membership=dense_membership,
        max_origins=max_origins,
    )
    moments = MomentSums.empty(displacements)
    sines = SineSums.empty(displacements, q_per_angstrom)
    histograms = HistogramSums(displacements, displacements.nearest(wanted), BIN_ANGSTROM)
    accumulate(displacements, [moments, sines, histograms])

    findings = Findings()
    if membership is not None and dense is not None and dense_membership is None:
        findings.skipped.append(
            Skipped(
                f"displacements_{label}_below_{trajectory.frame_interval_ps:g}_ps",
                "the groups are not known in the frames of the dense recording",
            )
        )
    alpha2 = [item for item in non_gaussian_of(displacements, moments) if item.survivors.any()]
    empty = sorted(set(displacements.groups) - {item.group for item in alpha2})
    if empty:
        reason = f"no displacement is counted in {', '.join(empty)}"
        findings.skipped.append(Skipped(f"displacements_{label}", reason))
    if not alpha2:
        return findings
    by = "_by_group" if membership is not None else ""
    _add_non_gaussian(findings, alpha2, label, by)
    found = van_hove_self_of(displacements, histograms)
    _add_van_hove_self(findings, found, label, by)
    scattered = [item for item in self_scattering_of(displacements, sines) if item.survivors.any()]
    _add_self_scattering(findings, scattered, label, by)
    _add_distinct(findings, trajectory, ids, label, drift_path, membership, by)
    return findings


def _add_non_gaussian(
    findings: Findings, found: Sequence[NonGaussian], label: str, by: str
) -> None:
    peaks = []
    for item in found:
        name = _named(label, item.group)
        curve = f"non_gaussian_{name}"
        peaks.append(non_gaussian_peak(item, name, f"{curve}.csv"))
        findings.quantities += peaks[-1]
        findings.curves.append(
            Curve(
                curve,
                {
                    "time [ps]": item.times_ps,
                    "alpha2 [1]": item.alpha2,
                    "standard error of alpha2 [1]": item.spread.standard_error,
                    "alpha2 along axes [1]": item.alpha2_axes,
                    "standard error along axes [1]": item.axes_spread.standard_error,
                    "mean squared displacement [Angstrom^2]": item.msd,
                    "standard error of it [Angstrom^2]": item.msd_spread.standard_error,
                    "variance enlarged for ions moving together [1]": item.spread.together,
                    "independent displacements [1]": item.n_independent,
                    "displacements counted over all [1]": item.survivors,
                    "origins [1]": item.n_origins.astype(float),
                },
            )
        )
    findings.figures[f"non_gaussian_{label}{by}"] = non_gaussian_figure(found, peaks, label)


def _add_van_hove_self(
    findings: Findings, found: Sequence[VanHoveSelf], label: str, by: str
) -> None:
    if not found:
        reason = f"no lag of {', '.join(f'{time:g}' for time in SHORT_PS)} ps within half the run"
        findings.skipped.append(Skipped(f"van_hove_self_{label}", reason))
        return
    for group in dict.fromkeys(item.group for item in found):
        items = [item for item in found if item.group == group]
        longest = max(items, key=lambda item: len(item.density))
        columns = {"r [Angstrom]": longest.r_angstrom}
        for item in items:
            lag = f"{item.time_ps:.4g} ps"
            for heading, values in (
                ("4 pi r^2 G_s", item.density),
                ("standard error", item.standard_error),
                ("Gaussian of the same <r^2>", item.gaussian),
            ):
                padded = np.zeros(len(longest.density))
                padded[: len(values)] = values
                columns[f"{heading} at {lag} [1/Angstrom]"] = padded
        findings.curves.append(Curve(f"van_hove_self_{_named(label, group)}", columns))
    figure = group_van_hove_self_figure(found) if by else van_hove_self_figure(found, SHORT_PS[-1])
    findings.figures[f"van_hove_self_{label}{by}"] = figure


def _add_self_scattering(
    findings: Findings, found: Sequence[SelfScattering], label: str, by: str
) -> None:
    for group in dict.fromkeys(item.group for item in found):
        items = [item for item in found if item.group == group]
        curve = f"self_scattering_{_named(label, group)}"
        columns = {"time [ps]": items[0].times_ps}
        for item in items:
            q = f"{item.q_per_angstrom:g}"
            columns[f"F_s at q = {q} per Angstrom [1]"] = item.values
            columns[f"standard error at q = {q} per Angstrom [1]"] = item.spread.standard_error
            name = _named(f"{label}_q{q}", group)
            findings.quantities.append(relaxation_time(item, name, f"{curve}.csv"))
        columns["displacements counted over all [1]"] = items[0].survivors
        findings.curves.append(Curve(curve, columns))
    findings.figures[f"self_scattering_{label}{by}"] = self_scattering_figure(found)


def _add_distinct(
    findings: Findings,
    trajectory: Trajectory,
    ids: IntArray,
    label: str,
    drift_path: FloatArray,
    membership: Membership | None,
    by: str,
) -> None:
    own = set(trajectory.species[ids].tolist())
    # Other species in the order of the alphabet, after the ions themselves.
    sets = [(label, ids)] if len(ids) > 1 else []
    sets += [
        (species, trajectory.ids_of(species))
        for species in sorted(set(trajectory.species.tolist()) - own)
    ]
    drawn = []
    for species, others in sets:
        found = van_hove_distinct(
            trajectory, ids, others, DISTINCT_PS, drift_path=drift_path, membership=membership
        )
        found = [item for item in found if np.isfinite(item.ratio).all()]
        for group in dict.fromkeys(item.group for item in found):
            items = [item for item in found if item.group == group]
            columns = {"r [Angstrom]": items[0].r_angstrom}
            for item in items:
                lag = f"{item.time_ps:.4g} ps"
                columns[f"G_d over rho at {lag} [1]"] = item.ratio
                columns[f"standard error at {lag} [1]"] = item.standard_error
            name = _named(f"{label}-{species}", group)
            findings.curves.append(Curve(f"van_hove_distinct_{name}", columns))
        if found:
            drawn.append((f"{species} around earlier {label}", found))
    if drawn:
        findings.figures[f"van_hove_distinct_{label}{by}"] = van_hove_distinct_figure(drawn)


def _named(label: str, group: str) -> str:
    return "_".join([label, *group.split()])
