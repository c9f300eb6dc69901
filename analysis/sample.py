"""What is asked of an analysis, and what observables of one trajectory share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.disorder.axis import Axis, height_angstrom
from analysis.groups import Groups
from analysis.motion.membership import Membership, membership_of
from analysis.pairs.rdf import PairDistribution
from analysis.results import Quantity
from analysis.scattering.measured_scattering import Measured
from analysis.trajectory import Trajectory, centre_of_mass_path


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
    accept_subdiffusive : bool
        Where motion is not diffusive, give an apparent coefficient and conductivity as well.
    """

    mobile: str | None = None
    charge_e: float = 1.0
    axis: Axis | None = None
    measured: tuple[Measured, ...] = ()
    references: tuple[Trajectory, Trajectory] | None = None
    accept_subdiffusive: bool = False


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
    dense : Trajectory or None
        More closely spaced frames of the first part of it.
    flows : bool
        Whether the framework was found to flow: then no place in it stays.
    """

    trajectory: Trajectory
    request: Request
    dense: Trajectory | None = None
    pairs: list[PairDistribution] = field(default_factory=list)
    shells: list[Quantity] = field(default_factory=list)
    regions: Groups | None = None
    flows: bool = False

    @cached_property
    def drift_path(self) -> FloatArray:
        """Path of the centre of mass, which motion is relative to."""
        return centre_of_mass_path(self.trajectory)

    @cached_property
    def membership(self) -> Membership | None:
        """Regions of the mobile ions in every frame."""
        if self.regions is None or self.request.mobile is None:
            return None
        ids = self.trajectory.ids_of(self.request.mobile)
        return membership_of(self.trajectory, ids, self.regions)

    @property
    def axis(self) -> Axis | None:
        """Normal of the layers, if there are any or F(z) was asked for."""
        return self.request.axis or _stacking_axis(self.trajectory)

    def framework_ids(self, trajectory: Trajectory) -> IntArray:
        """Return the atoms that do not diffuse; all where no species is mobile."""
        return np.flatnonzero(trajectory.species != (self.request.mobile or ""))


def has_layers(trajectory: Trajectory) -> bool:
    """Tell whether the structure names atoms of a crystal and others of a glass."""
    origin = trajectory.origin
    return origin is not None and {"crystal", "glass"} <= set(origin.tolist())


def _stacking_axis(trajectory: Trajectory) -> Axis | None:
    """Return the longest axis of a cell that holds atoms of a crystal and others of a glass."""
    if not has_layers(trajectory):
        return None
    heights = [float(height_angstrom(trajectory.cells[0], row)) for row in range(3)]
    names: tuple[Axis, Axis, Axis] = ("a", "b", "c")
    return names[int(np.argmax(heights))]
