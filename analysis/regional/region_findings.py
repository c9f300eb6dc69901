"""Motion of the mobile ion by region: D, exchange, and transport along and across layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.conductivity.conductivity import nernst_einstein_conductivity, number_density
from analysis.constants import CM_PER_ANGSTROM, FloatArray
from analysis.disorder.axis import Axis
from analysis.figures.region_motion import region_msd_figure
from analysis.groups import Groups
from analysis.hops.net_hops import NetHops, net_hops
from analysis.motion.membership import Membership, Rule, membership_of
from analysis.motion.msd import MeanSquaredDisplacement
from analysis.regional.exchange_findings import exchange_quantities
from analysis.regional.layered import layer_bounds, layered_diffusion
from analysis.regional.layers import Layers, layers_of
from analysis.regional.mobile_share import mobile_shares
from analysis.regional.region_motion import RegionMotion, region_diffusion, region_motions
from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.trajectory import Trajectory

MIN_FRAMES = 10
# On average; the scatter between fewer ions gives no error.
MIN_IONS = 2.0


def region_findings(
    trajectory: Trajectory,
    mobile: str,
    regions: Groups,
    axis: Axis | None,
    charge_e: float,
    *,
    drift_path: FloatArray,
    membership: Membership | None = None,
    rule: Rule = "throughout",
    title: str = "region",
) -> Findings:
    """Compute motion of the mobile ions by region.

    Parameters
    ----------
    trajectory : Trajectory
    mobile : str
        Mobile species.
    regions : Groups
        Regions of the sample, or any other division of the ions.
    axis : {"a", "b", "c"} or None
        Cell vector across layers; without it there are no components.
    charge_e : float
        Charge of an ion, elementary charges.
    drift_path : (F, 3) float array
        Path subtracted from every ion, Angstrom.
    membership : Membership, optional
        The regions of the mobile ions in every frame, where they are known: that takes a pass.
    rule : {"origin", "origin_and_end", "throughout"}
        Which displacements count for a region. The interval of D spans this rule and the one at
        the other extreme. "throughout" is the default since only it is free of bias along layers
        that ions leave: of a sandwich with D in the ratio 5, of which 8 % of the displacements
        leave the slow layer, "origin" overestimates its D by 16 %.
    title : str
        What divides the ions; part of the names of files.
    """
    topic = f"motion_by_{title}"
    if trajectory.n_frames < MIN_FRAMES:
        reason = f"{trajectory.n_frames} frames; needs at least {MIN_FRAMES}"
        return Findings(skipped=[Skipped(topic, reason)])
    findings = Findings()
    ids = trajectory.ids_of(mobile)
    if membership is None:
        membership = membership_of(trajectory, ids, regions)
    numbers = {
        group: float((membership.codes == group).sum() / trajectory.n_frames)
        for group in range(len(regions.names))
    }
    present = [group for group, number in numbers.items() if number >= MIN_IONS]
    few = [
        f"{regions.names[group]} ({number:.1f})"
        for group, number in numbers.items()
        if 0 < number < MIN_IONS
    ]
    rare = f"fewer than {MIN_IONS:g} ions on average: {', '.join(few)}" if few else ""
    if len(present) < 2:
        reason = f"ions of fewer than two kinds of {title}" + (f"; {rare}" if rare else "")
        return Findings(skipped=[Skipped(topic, reason)])
    if rare:
        findings.skipped.append(Skipped(topic, rare))
    hops = net_hops(trajectory, ids, drift_path=drift_path)
    motions, whole = region_motions(
        trajectory, mobile, membership, present, axis, hops, drift_path, rule
    )
    layers = None
    if axis is not None:
        framework = np.flatnonzero(trajectory.species != mobile)
        layers = layers_of(trajectory, regions, axis, framework if len(framework) else None)
    diffusion = {}
    for motion in motions:
        diffusion[motion.name] = _add_region(
            findings, trajectory, mobile, motion, layers, charge_e, rule
        )
    findings.quantities += [
        share
        for share in mobile_shares(trajectory, membership, label=mobile, drift_path=drift_path)
        if share.name in {f"mobile_share_{mobile}_{motion.name}" for motion in motions}
    ]
    findings.quantities += exchange_quantities(
        membership, present, mobile, trajectory.frame_interval_ps
    )
    if layers is not None:
        _add_layers(findings, trajectory, mobile, motions, whole, hops, layers, diffusion, charge_e)
    findings.figures[f"msd_by_{title}_{mobile}"] = region_msd_figure(
        [motion.msd["total"] for motion in motions], [motion.survivors for motion in motions]
    )
    return findings


def _add_region(
    findings: Findings,
    trajectory: Trajectory,
    mobile: str,
    motion: RegionMotion,
    layers: Layers | None,
    charge_e: float,
    rule: Rule,
) -> dict[str, Quantity]:
    """Add curve, D and conductivity of one region; return D by direction."""
    curve = f"msd_{mobile}_{motion.name}"
    findings.curves.append(_curve(curve, motion))
    found = {}
    width, share = None, 0.0
    if layers is not None:
        row = layers.names.index(motion.name)
        width, share = float(layers.widest_angstrom[row]), float(layers.volume_shares[row])
    for name in motion.msd:
        coefficient, first = region_diffusion(
            motion, name, rule, layer_width_angstrom=width, curve=f"{curve}.csv"
        )
        coefficient = replace(
            coefficient, reason=f"{coefficient.reason}; {motion.ions:.1f} ions, rule {rule}"
        )
        found[name] = coefficient
        findings.quantities.append(coefficient)
        if name == "total" and coefficient.status != "ok":
            findings.quantities += [first.msd_bound, first.hop_bound]
    if share > 0 and trajectory.temperature_kelvin is not None:
        volume_cm3 = share * trajectory.volumes.mean() * CM_PER_ANGSTROM**3
        findings.quantities.append(
            nernst_einstein_conductivity(
                found["total"],
                number_density_per_cm3=motion.ions / volume_cm3,
                temperature_kelvin=trajectory.temperature_kelvin,
                charge_e=charge_e,
            )
        )
    return found


def _add_layers(
    findings: Findings,
    trajectory: Trajectory,
    mobile: str,
    motions: Sequence[RegionMotion],
    whole: dict[str, MeanSquaredDisplacement],
    hops: NetHops,
    layers: Layers,
    diffusion: dict[str, dict[str, Quantity]],
    charge_e: float,
) -> None:
    """Add D and conductivity of the stack along and across its layers, and their bounds."""
    rows = [layers.names.index(motion.name) for motion in motions]
    stack = layered_diffusion(
        whole["total"],
        whole["parallel"],
        whole["normal"],
        hops,
        layer_width_angstrom=float(layers.widest_angstrom[rows].max()),
    )
    ions = np.array([motion.ions for motion in motions])
    volumes = layers.volume_shares[rows]
    found = [stack.parallel, stack.normal, stack.isotropic]
    if volumes.sum() > 0:
        found += layer_bounds(
            [diffusion[motion.name]["parallel"] for motion in motions],
            [diffusion[motion.name]["normal"] for motion in motions],
            ions / ions.sum(),
            volumes / volumes.sum(),
            label=mobile,
        )
    findings.quantities += found
    if trajectory.temperature_kelvin is not None:
        findings.quantities += [
            nernst_einstein_conductivity(
                item,
                number_density_per_cm3=number_density(trajectory, mobile),
                temperature_kelvin=trajectory.temperature_kelvin,
                charge_e=charge_e,
            )
            for item in found
        ]


def _curve(name: str, motion: RegionMotion) -> Curve:
    msd = motion.msd["total"]
    error = np.full(len(msd.msd), np.nan)
    if msd.n_atoms > 1:
        error[msd.sample_lags] = msd.atom_msd.std(axis=0, ddof=1) / np.sqrt(msd.n_atoms)
    columns = {"time [ps]": msd.times_ps, "msd [Angstrom^2]": msd.msd}
    for part, item in motion.msd.items():
        if part != "total":
            columns[f"msd {part} [Angstrom^2]"] = item.msd
    if "total" in motion.other:
        columns["msd by opposite rule [Angstrom^2]"] = motion.other["total"].msd
    columns |= {
        "standard error over ions [Angstrom^2]": error,
        "displacements [1]": motion.survivors.origin.astype(float),
        "share at end [1]": motion.survivors.share_at_end,
        "share throughout [1]": motion.survivors.share_throughout,
    }
    return Curve(name, columns)
