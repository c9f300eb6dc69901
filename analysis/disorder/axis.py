"""The coordinate along a cell vector that F(z), profiles and regions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError, RangeError
from analysis.trajectory import Frame, Trajectory

Axis = Literal["a", "b", "c"]


@dataclass(frozen=True)
class AxisCoordinate:
    """Where atoms are along a cell vector, drift of the framework removed.

    The coordinate is fractional: slabs, bins and planes are parallel to the other two cell
    vectors and breathe with the cell. Lengths in Angstrom follow from `height_angstrom`.

    Attributes
    ----------
    axis : {"a", "b", "c"}
    framework_weights : (N,) float array
        Mass weights of the atoms whose centre defines the frame of reference, sum 1.
    framework_start : float
        Fractional coordinate of that centre in the first frame.
    """

    axis: Axis
    framework_weights: FloatArray
    framework_start: float

    @property
    def index(self) -> int:
        """Row of the axis in the cell."""
        return get_args(Axis).index(self.axis)

    @property
    def in_plane(self) -> tuple[int, int]:
        """Rows of the other two cell vectors."""
        first, second = (row for row in range(3) if row != self.index)
        return first, second

    def drift(self, frame: Frame) -> float:
        """Return how far the framework has moved along the axis, in units of the cell vector."""
        # The weighted mean is taken first: one small product in place of an (N, 3) one.
        centre = (self.framework_weights @ frame.positions) @ np.linalg.inv(frame.cell)
        return float(centre[self.index]) - self.framework_start

    def wrapped_fractions(self, frame: Frame) -> FloatArray:
        """Return the (N,) fractional coordinates in [0, 1) relative to the drifting framework."""
        column = np.linalg.inv(frame.cell)[:, self.index]
        fractions = frame.positions @ column - self.drift(frame)
        fractions -= np.floor(fractions)
        # A tiny negative number is rounded up to 1 by the line above.
        fractions[fractions >= 1.0] = 0.0
        return fractions


def axis_coordinate(
    trajectory: Trajectory, axis: Axis, framework_ids: IntArray | None = None
) -> AxisCoordinate:
    """Return the coordinate along `axis`, at rest relative to the framework.

    Parameters
    ----------
    trajectory : Trajectory
    axis : {"a", "b", "c"}
    framework_ids : (n,) int array, optional
        Atoms whose centre of mass is taken as fixed along the axis; by default all.

    Raises
    ------
    AnalysisError
        If the axis is unknown or the framework is empty.
    """
    if axis not in get_args(Axis):
        raise AnalysisError(f"axis {axis!r}: expected one of {', '.join(get_args(Axis))}.")
    weights = np.array(trajectory.masses, dtype=float)
    if framework_ids is not None:
        if not len(framework_ids):
            raise AnalysisError(
                f"{trajectory.path}: the framework holds no atom; name ids that do not diffuse."
            )
        chosen = np.zeros(trajectory.n_atoms, dtype=bool)
        chosen[framework_ids] = True
        weights = np.where(chosen, weights, 0.0)
    weights /= weights.sum()
    start = AxisCoordinate(axis, weights, 0.0)
    # A stride beyond the end yields the first frame alone.
    first = next(trajectory.frames(trajectory.n_frames))
    return AxisCoordinate(axis, weights, start.drift(first))


def height_angstrom(cells: FloatArray, axis_index: int) -> FloatArray:
    """Return the distance between the cell faces that the other two vectors span.

    Parameters
    ----------
    cells : (..., 3, 3) float array
        Cell vectors in rows, Angstrom.
    axis_index : int

    Returns
    -------
    (...) float array
        Angstrom; 1/|reciprocal vector|, Giacovazzo, Fundamentals of Crystallography, eq. 2.4.
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(cells)[..., :, axis_index], axis=-1)


def mean_height_angstrom(trajectory: Trajectory, coordinate: AxisCoordinate) -> float:
    """Return the height of the cell along the axis, mean over frames, Angstrom."""
    return float(height_angstrom(trajectory.cells, coordinate.index).mean())


def divisions(
    trajectory: Trajectory, coordinate: AxisCoordinate, width_angstrom: float, what: str
) -> int:
    """Return the whole number of slabs or bins whose width comes closest to the one asked for.

    Raises
    ------
    RangeError
        If the width is not positive or exceeds the cell.
    """
    height = mean_height_angstrom(trajectory, coordinate)
    if not 0.0 < width_angstrom <= height * (1 + 1e-9):
        raise RangeError(
            f"{trajectory.path}: {what} width {width_angstrom:g} Angstrom along "
            f"{coordinate.axis}; it must lie above 0 and at most at the height of the cell, "
            f"{height:.3f} Angstrom"
        )
    return max(1, round(height / width_angstrom))


def layer_directions(cell: FloatArray, axis_index: int) -> tuple[FloatArray, FloatArray]:
    """Return the two directions in the plane of the layers and their normal.

    Parameters
    ----------
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.
    axis_index : int
        Row of the axis along which layers are stacked; the layers lie in the plane of the others.

    Returns
    -------
    parallel : (2, 3) float array
    normal : (1, 3) float array
        Orthonormal rows.
    """
    first, second = (cell[row] for row in range(3) if row != axis_index)
    normal = np.cross(first, second)
    normal = normal / np.linalg.norm(normal)
    along = first / np.linalg.norm(first)
    return np.stack([along, np.cross(normal, along)]), normal[None]
