"""Regions of a layered sample: crystal, interface and glass, per frame from where atoms are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.disorder.axis import AxisCoordinate, height_angstrom
from analysis.disorder.interfaces import WIDTH_10_90, Interfaces
from analysis.errors import AnalysisError, RangeError
from analysis.groups import Groups, static_groups
from analysis.trajectory import Frame, Trajectory

REGIONS = ("crystal", "interface", "glass")
CRYSTAL, INTERFACE, GLASS = range(3)
NO_ORIGIN = "none"


@dataclass(frozen=True)
class Planes:
    """Planes across an axis, between regions; they breathe with the cell.

    Attributes
    ----------
    fractions : (P,) float array
        Coordinates over the height of the cell, ascending in [0, 1), framework at rest.
    glass_above : (P,) bool array
        Whether glass begins at the plane in the direction of the axis; they alternate.
    half_widths_angstrom : (P,) float array
        Half the thickness of the interface region about each plane, not scaled with the cell.
    """

    fractions: FloatArray
    glass_above: np.ndarray
    half_widths_angstrom: FloatArray

    def __post_init__(self) -> None:
        number = len(self.fractions)
        shapes = {len(self.fractions), len(self.glass_above), len(self.half_widths_angstrom)}
        if number < 2 or number % 2 or shapes != {number}:
            raise RangeError(
                f"found {number} planes, {len(self.glass_above)} directions and "
                f"{len(self.half_widths_angstrom)} half widths; a periodic cell needs an even "
                "number of planes, at least 2, with one of each a plane"
            )
        if not (
            (np.diff(self.fractions) > 0).all()
            and self.fractions[0] >= 0.0
            and self.fractions[-1] < 1.0
        ):
            raise RangeError(
                f"planes at fractions {np.round(self.fractions, 4).tolist()}; they must ascend "
                "within 0 (included) and 1 (excluded)"
            )
        if (self.glass_above == np.roll(self.glass_above, 1)).any():
            raise RangeError("two planes in a row have glass on the same side; they must alternate")
        if not (self.half_widths_angstrom >= 0).all():
            raise RangeError("a half width is negative or not a number")


def planes_of(interfaces: Interfaces, half_width_angstrom: float | None = None) -> Planes:
    """Return the planes of fitted interfaces.

    Parameters
    ----------
    interfaces : Interfaces
    half_width_angstrom : float, optional
        Half the thickness of every interface region; by default from the middle of the step to
        its 10 or 90 %, 1.099 w, but at least half a slab, which is as well as it is known.

    Raises
    ------
    AnalysisError
        If there is no interface.
    RangeError
        If the interface regions on both sides of a layer meet.
    """
    if not interfaces.number:
        raise AnalysisError(f"no regions along {interfaces.axis}: {interfaces.reason}")
    if half_width_angstrom is None:
        half = np.maximum(
            0.5 * WIDTH_10_90 * interfaces.widths_angstrom, 0.5 * interfaces.slab_width_angstrom
        )
    else:
        half = np.full(interfaces.number, float(half_width_angstrom))
    height = interfaces.height_angstrom
    planes = Planes(interfaces.z_angstrom / height, interfaces.glass_above, half)
    _refuse_overlap(planes, height)
    return planes


def region_groups(coordinate: AxisCoordinate, planes: Planes) -> Groups:
    """Return the groups crystal, interface and glass of every frame.

    Membership follows from the wrapped position of an atom in each frame, so that an atom that
    crosses the boundary of the cell stays in its layer; displacements are to be taken from the
    unwrapped ones. The planes move with the framework and breathe with the cell.

    Parameters
    ----------
    coordinate : AxisCoordinate
        The one that F(z) was computed in: same axis, same framework.
    planes : Planes

    Raises
    ------
    RangeError
        When a frame is asked for in which the interface regions fill a whole layer.
    """

    def codes(frame: Frame) -> IntArray:
        height = float(height_angstrom(frame.cell, coordinate.index))
        return region_codes(coordinate.wrapped_fractions(frame), planes, height)

    return Groups(REGIONS, codes)


def region_codes(fractions: FloatArray, planes: Planes, height: float) -> IntArray:
    """Return the region of every coordinate, an index of `REGIONS`.

    Parameters
    ----------
    fractions : (n,) float array
        Wrapped coordinates in [0, 1).
    planes : Planes
    height : float
        Height of the cell along the axis, Angstrom.

    Raises
    ------
    RangeError
        If the interface regions on both sides of a layer meet.
    """
    _refuse_overlap(planes, height)
    above = np.searchsorted(planes.fractions, fractions, side="right") - 1
    codes = np.where(planes.glass_above[above], GLASS, CRYSTAL).astype(np.int64)
    for plane, half in zip(planes.fractions, planes.half_widths_angstrom, strict=True):
        distance = fractions - plane
        distance -= np.round(distance)
        codes[np.abs(distance) * height <= half] = INTERFACE
    return codes


def origin_groups(trajectory: Trajectory) -> Groups:
    """Return the groups by which part of the starting structure an atom was built into.

    Raises
    ------
    AnalysisError
        If the trajectory does not know, or every atom is of origin ``none``.
    """
    origin = trajectory.origin
    if origin is None:
        raise AnalysisError(
            f"{trajectory.path}: no origin of atoms is known; it is the column `origin` of the "
            "structure.extxyz that `mlip build` writes"
        )
    groups = static_groups(np.where(origin == NO_ORIGIN, "", origin))
    if not groups.names:
        raise AnalysisError(
            f"{trajectory.path}: every atom has the origin {NO_ORIGIN!r}; the structure was not "
            "built in parts"
        )
    return groups


def _refuse_overlap(planes: Planes, height: float) -> None:
    thickness = np.diff(np.append(planes.fractions, planes.fractions[0] + 1.0)) * height
    needed = planes.half_widths_angstrom + np.roll(planes.half_widths_angstrom, -1)
    if (thickness <= needed).any():
        worst = int(np.argmin(thickness - needed))
        raise RangeError(
            f"the layer above plane {worst} is {thickness[worst]:.2f} Angstrom thick, its "
            f"interface regions take {needed[worst]:.2f}; choose a smaller half_width_angstrom"
        )
