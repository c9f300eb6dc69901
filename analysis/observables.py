"""Which observables suit a trajectory: a list of plain functions, each of which gives findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.anions.anion_groups import anion_groups
from analysis.anions.anion_rules import anion_rules
from analysis.anions.speciation_findings import speciation_findings
from analysis.constants import IntArray
from analysis.disorder.axis import Axis, axis_coordinate, height_angstrom
from analysis.disorder.disorder_profile import DisorderProfile, disorder_profile
from analysis.disorder.findings import disorder_findings
from analysis.disorder.regions import origin_groups, planes_of, region_groups
from analysis.errors import AnalysisError, RangeError
from analysis.groups import Groups
from analysis.motion.transport import transport_findings
from analysis.order.crystallinity_findings import crystallinity_findings
from analysis.order.polyhedra import polyhedra_findings
from analysis.order.voronoi import voronoi_findings
from analysis.pairs.angles import angle_findings
from analysis.pairs.group_rdf_findings import group_rdf_findings
from analysis.pairs.pair_findings import pair_findings
from analysis.pairs.rdf import PairDistribution
from analysis.results import Findings, Quantity, Skipped
from analysis.scattering.measured_scattering import Measured
from analysis.scattering.scattering_findings import scattering_findings
from analysis.trajectory import Trajectory


@dataclass(frozen=True)
class Request:
    """What the user asks of an analysis.

    Attributes
    ----------
    mobile : str, optional
        Mobile species.
    charge_e : float
        Its charge, elementary charges.
    axis : {"a", "b", "c"}, optional
        Normal of the layers. By default that along which crystal and glass were stacked, where
        the structure says which atoms are of which.
    measured : tuple of Measured
        Scattering measurements to compare with.
    references : (Trajectory, Trajectory), optional
        Crystal and glass that F(z) and the order of atoms are measured against.
    """

    mobile: str | None = None
    charge_e: float = 1.0
    axis: Axis | None = None
    measured: tuple[Measured, ...] = ()
    references: tuple[Trajectory, Trajectory] | None = None


@dataclass
class Sample:
    """A trajectory with what several observables share.

    Attributes
    ----------
    trajectory : Trajectory
    request : Request
    pairs : list of PairDistribution
    shells : list of Quantity
        First peaks and minima of g(r).
    regions : Groups or None
        Crystal, interface and glass, where there are such.
    """

    trajectory: Trajectory
    request: Request
    pairs: list[PairDistribution] = field(default_factory=list)
    shells: list[Quantity] = field(default_factory=list)
    regions: Groups | None = None

    @property
    def axis(self) -> Axis | None:
        """Normal of the layers, if there are any or F(z) was asked for."""
        return self.request.axis or _stacking_axis(self.trajectory)

    def framework_ids(self, trajectory: Trajectory) -> IntArray:
        """Return the atoms that do not diffuse; all where no species is mobile."""
        return np.flatnonzero(trajectory.species != (self.request.mobile or ""))


def examine(trajectory: Trajectory, request: Request) -> dict[str, Findings]:
    """Run every observable; one that the trajectory cannot give is left out with the reason.

    Parameters
    ----------
    trajectory : Trajectory
    request : Request

    Returns
    -------
    dict of str to Findings
        By name of the observable.
    """
    sample, findings = Sample(trajectory, request), {}
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
    if sample.regions is None and _has_layers(trajectory):
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
    """Compute mean squared displacements, diffusion and conductivity."""
    request = sample.request
    return transport_findings(sample.trajectory, request.mobile, request.charge_e)


# Disorder comes first, since regions serve the others; g(r) comes before what needs its minima.
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
)


def _profile(sample: Sample, run: Trajectory, axis: Axis) -> DisorderProfile:
    ids = sample.framework_ids(run)
    return disorder_profile(run, axis, ids=ids, framework_ids=ids)


def _has_layers(trajectory: Trajectory) -> bool:
    """Tell whether the structure names atoms of a crystal and others of a glass."""
    origin = trajectory.origin
    return origin is not None and {"crystal", "glass"} <= set(origin.tolist())


def _stacking_axis(trajectory: Trajectory) -> Axis | None:
    """Return the longest axis of a cell that holds atoms of a crystal and others of a glass."""
    if not _has_layers(trajectory):
        return None
    heights = [float(height_angstrom(trajectory.cells[0], row)) for row in range(3)]
    names: tuple[Axis, Axis, Axis] = ("a", "b", "c")
    return names[int(np.argmax(heights))]
