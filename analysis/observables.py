"""Which observables suit a trajectory: a list of plain functions, each of which gives findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.anions.anion_groups import anion_groups
from analysis.anions.anion_rules import anion_rules
from analysis.anions.speciation_findings import speciation_findings
from analysis.conductivity.collective_findings import collective_findings
from analysis.density.density_findings import density_findings
from analysis.disorder.axis import Axis, axis_coordinate
from analysis.disorder.disorder_profile import DisorderProfile, disorder_profile
from analysis.disorder.findings import disorder_findings
from analysis.disorder.regions import origin_groups, planes_of, region_groups
from analysis.displacements.displacement_findings import displacement_findings
from analysis.errors import AnalysisError, RangeError
from analysis.hops.all_hops import all_hops
from analysis.hops.hop_findings import hop_findings
from analysis.hops.rotation_findings import rotation_findings
from analysis.motion.transport import MIN_MSD_FRAMES, transport
from analysis.order.crystallinity_findings import crystallinity_findings
from analysis.order.polyhedra import polyhedra_findings
from analysis.order.voronoi import voronoi_findings
from analysis.pairs.angles import angle_findings
from analysis.pairs.group_rdf_findings import group_rdf_findings
from analysis.pairs.pair_findings import pair_findings
from analysis.regional.anion_motion import anion_motion_findings
from analysis.regional.layered import refuse_isotropic
from analysis.regional.region_findings import region_findings
from analysis.results import Findings, Skipped
from analysis.sample import Request, Sample, has_layers
from analysis.scattering.scattering_findings import scattering_findings
from analysis.trajectory import Trajectory

NO_MOBILE = "no Li in the cell; name the mobile species"


def examine(
    trajectory: Trajectory, request: Request, dense: Trajectory | None = None
) -> dict[str, Findings]:
    """Run every observable; one that the trajectory cannot give is left out with the reason.

    Parameters
    ----------
    trajectory : Trajectory
    request : Request
    dense : Trajectory, optional
        More closely spaced frames of the same atoms, for motion at short times.

    Returns
    -------
    dict of str to Findings
        By name of the observable.
    """
    sample, findings = Sample(trajectory, request, dense), {}
    for name, observable in OBSERVABLES:
        try:
            findings[name] = observable(sample)
        except AnalysisError as error:
            findings[name] = Findings(skipped=[Skipped(name, str(error))])
    return findings


def disorder(sample: Sample) -> Findings:
    """Find layers of crystal and glass; other observables then tell them apart."""
    trajectory, axis = sample.trajectory, sample.axis
    if axis is None:
        reason = "no stack of crystal and glass; name the axis to have F(z) of this cell"
        return Findings(skipped=[Skipped("disorder", reason)])
    ids = sample.framework_ids(trajectory)
    references = None
    if sample.request.references is not None:
        crystal, glass = (_profile(sample, run, axis) for run in sample.request.references)
        references = (crystal, glass)
    findings, interfaces = disorder_findings(
        trajectory, axis, references=references, ids=ids, framework_ids=ids
    )
    if interfaces is not None:
        coordinate = axis_coordinate(trajectory, axis, ids)
        try:
            sample.regions = region_groups(coordinate, planes_of(interfaces))
        except RangeError as error:
            findings.skipped.append(Skipped("regions", str(error)))
    if sample.regions is None and has_layers(trajectory):
        sample.regions = origin_groups(trajectory)
    return findings


def pair_structure(sample: Sample) -> Findings:
    """Compute g(r) and coordination numbers of every pair of species."""
    findings, sample.pairs, sample.shells = pair_findings(sample.trajectory)
    return findings


def pairs_by_group(sample: Sample) -> Findings:
    """Compute g(r) by region, and by the kind of anion that an atom is part of."""
    trajectory, findings = sample.trajectory, Findings()
    if sample.regions is not None:
        findings.add(group_rdf_findings(trajectory, sample.regions, sample.shells, "region"))
    if missing := anion_rules().missing(set(trajectory.species.tolist())):
        findings.skipped.append(Skipped("rdf_by_anion", missing))
        return findings
    groups = anion_groups(trajectory)
    if len(groups.names) > 1:
        findings.add(group_rdf_findings(trajectory, groups, sample.shells, "anion"))
    return findings


def angles(sample: Sample) -> Findings:
    """Compute angles between bonds up to the first minimum of g(r)."""
    return angle_findings(sample.trajectory, sample.shells)


def anions(sample: Sample) -> Findings:
    """Name the anions, count them, and where there are regions count them in each."""
    return speciation_findings(sample.trajectory, sample.pairs, regions=sample.regions)


def scattering(sample: Sample) -> Findings:
    """Compute structure factors, and compare them with measurements."""
    return scattering_findings(sample.trajectory, sample.pairs, measured=sample.request.measured)


def volumes(sample: Sample) -> Findings:
    """Divide the cell among its atoms."""
    findings = voronoi_findings(sample.trajectory)
    if sample.regions is not None:
        findings.add(voronoi_findings(sample.trajectory, sample.regions))
    return findings


def polyhedra(sample: Sample) -> Findings:
    """Name the coordination polyhedra that anions form around the mobile ion."""
    mobile, trajectory = sample.request.mobile, sample.trajectory
    states = anion_rules().oxidation_states
    species = sorted(set(trajectory.species.tolist()))
    ligands = [name for name in species if states.get(name, 0) < 0]
    if mobile is None or not ligands:
        lacking = "no mobile species" if mobile is None else "no species is known as an anion"
        return Findings(skipped=[Skipped("polyhedra", lacking)])
    findings = polyhedra_findings(trajectory, mobile, ligands, sample.shells)
    if sample.regions is not None:
        findings.add(polyhedra_findings(trajectory, mobile, ligands, sample.shells, sample.regions))
    return findings


def order(sample: Sample) -> Findings:
    """Measure the order of each atom, and with references the crystalline share."""
    references = sample.request.references
    findings = crystallinity_findings(sample.trajectory, references=references, axis=sample.axis)
    if sample.regions is not None:
        findings.add(
            crystallinity_findings(sample.trajectory, references=references, groups=sample.regions)
        )
    return findings


def motion(sample: Sample) -> Findings:
    """Compute MSD, diffusion and conductivity, of single ions, of all together, and by region."""
    trajectory, request = sample.trajectory, sample.request
    found = transport(
        trajectory,
        request.mobile,
        request.charge_e,
        drift_path=sample.drift_path,
        dense=sample.dense,
        accept_subdiffusive=request.accept_subdiffusive,
    )
    findings = found.findings
    sample.flows = found.framework is not None and found.framework.melted
    if request.mobile is None or found.diffusion is None:
        return findings
    try:
        findings.add(
            collective_findings(
                trajectory,
                request.mobile,
                request.charge_e,
                found.diffusion,
                axis=sample.axis,
                framework_label=found.framework_label,
            )
        )
    except AnalysisError as error:
        name = f"conductivity_collective_{request.mobile}"
        findings.skipped.append(Skipped(name, str(error)))
    if sample.regions is not None:
        findings.add(
            region_findings(
                trajectory,
                request.mobile,
                sample.regions,
                sample.axis,
                request.charge_e,
                drift_path=sample.drift_path,
                membership=sample.membership,
            )
        )
        refuse_isotropic(findings, request.mobile)
    return findings


def motion_by_anion(sample: Sample) -> Findings:
    """Tell the motion of mobile ions next to one kind of anion from that next to another."""
    trajectory, request = sample.trajectory, sample.request
    if request.mobile is None:
        return Findings(skipped=[Skipped("motion_by_anion", NO_MOBILE)])
    return anion_motion_findings(
        trajectory, request.mobile, sample.shells, request.charge_e, drift_path=sample.drift_path
    )


def displacements(sample: Sample) -> Findings:
    """Compute alpha2, van Hove functions and F_s of the mobile ions, also by region."""
    mobile = sample.request.mobile
    if mobile is None:
        return Findings(skipped=[Skipped("displacements", NO_MOBILE)])
    ids = sample.trajectory.ids_of(mobile)
    findings = displacement_findings(
        sample.trajectory, ids, label=mobile, drift_path=sample.drift_path, dense=sample.dense
    )
    if sample.membership is not None:
        findings.add(
            displacement_findings(
                sample.trajectory,
                ids,
                label=mobile,
                drift_path=sample.drift_path,
                membership=sample.membership,
            )
        )
    return findings


def hops(sample: Sample) -> Findings:
    """Describe hops of the mobile ions, rotations of anions, and whether they coincide."""
    trajectory, mobile = sample.trajectory, sample.request.mobile
    if mobile is None:
        return Findings(skipped=[Skipped("hops", NO_MOBILE)])
    if trajectory.n_frames < MIN_MSD_FRAMES:
        reason = f"{trajectory.n_frames} frames; needs at least {MIN_MSD_FRAMES}"
        return Findings(skipped=[Skipped("hops", reason)])
    found = all_hops(trajectory, trajectory.ids_of(mobile), drift_path=sample.drift_path)
    findings = hop_findings(trajectory, mobile, hops=found, membership=sample.membership)
    findings.add(rotation_findings(trajectory, mobile, found))
    return findings


def density(sample: Sample) -> Findings:
    """Map where the mobile ions are in a framework that stays, and the passes between."""
    if sample.request.mobile is None:
        return Findings(skipped=[Skipped("density", NO_MOBILE)])
    if sample.flows:
        reason = "the framework flows, so that no place in it stays"
        return Findings(skipped=[Skipped("density", reason)])
    return density_findings(sample.trajectory, sample.request.mobile)


# Disorder comes first, since regions serve the others; g(r) comes before what needs its minima,
# motion before what needs a framework.
OBSERVABLES: Sequence[tuple[str, Callable[[Sample], Findings]]] = (
    ("disorder", disorder),
    ("rdf", pair_structure),
    ("rdf_by_group", pairs_by_group),
    ("angles", angles),
    ("anions", anions),
    ("scattering", scattering),
    ("volumes", volumes),
    ("polyhedra", polyhedra),
    ("order", order),
    ("motion", motion),
    ("motion_by_anion", motion_by_anion),
    ("displacements", displacements),
    ("hops", hops),
    ("density", density),
)


def _profile(sample: Sample, run: Trajectory, axis: Axis) -> DisorderProfile:
    ids = sample.framework_ids(run)
    return disorder_profile(run, axis, ids=ids, framework_ids=ids)
