"""Where the layers of a stack lie: their directions, thickness and share of the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.disorder.axis import Axis, axis_coordinate, divisions, mean_height_angstrom
from analysis.errors import RangeError
from analysis.groups import Groups
from analysis.trajectory import Trajectory

SLAB_ANGSTROM = 1.0
MAX_FRAMES = 20


@dataclass(frozen=True)
class Layers:
    """Thickness of the layers of each region along an axis.

    Attributes
    ----------
    names : tuple of str
        Regions.
    volume_shares : (G,) float array
        Share of the cell; 0 for a region without a slab.
    widest_angstrom : (G,) float array
        Its thickest layer; 0 for a region without a slab.
    height_angstrom : float
        Of the cell along the axis.
    """

    names: tuple[str, ...]
    volume_shares: FloatArray
    widest_angstrom: FloatArray
    height_angstrom: float


def layers_of(
    trajectory: Trajectory, regions: Groups, axis: Axis, framework_ids: IntArray | None = None
) -> Layers:
    """Measure the layers of each region from where its atoms are.

    Parameters
    ----------
    trajectory : Trajectory
        At most 20 frames are read.
    regions : Groups
    axis : {"a", "b", "c"}
    framework_ids : (n,) int array, optional
        Atoms that the layers are made of and whose centre is at rest; by default all.

    Notes
    -----
    Slabs of about 1 Angstrom belong to the region of most of the atoms in them.
    """
    coordinate = axis_coordinate(trajectory, axis, framework_ids)
    number = divisions(trajectory, coordinate, SLAB_ANGSTROM, "slab")
    atoms = slice(None) if framework_ids is None else framework_ids
    votes = np.zeros((number, len(regions.names)), dtype=np.int64)
    stride = -(-trajectory.n_frames // MAX_FRAMES)
    for frame in trajectory.frames(stride):
        slab = (coordinate.wrapped_fractions(frame)[atoms] * number).astype(np.int64)
        codes = regions.codes(frame)[atoms]
        np.add.at(votes, (slab[codes >= 0], codes[codes >= 0]), 1)
    filled = np.flatnonzero(votes.any(axis=1))
    if not len(filled):
        raise RangeError(f"{trajectory.path}: no atom is in {', '.join(regions.names)}")
    # A slab between two lattice planes may be empty: it goes with the nearest filled one below.
    below = filled[np.searchsorted(filled, np.arange(number), side="right") - 1]
    region = votes.argmax(axis=1)[below]
    height = mean_height_angstrom(trajectory, coordinate)
    names = range(len(regions.names))
    return Layers(
        names=regions.names,
        volume_shares=np.array([(region == code).mean() for code in names]),
        widest_angstrom=np.array([_longest_run(region == code) for code in names])
        * (height / number),
        height_angstrom=height,
    )


def _longest_run(marks: np.ndarray) -> int:
    """Return the length of the longest run of True around a ring."""
    if marks.all():
        return len(marks)
    # Begin after a gap, so that no run goes around the end.
    marks = np.roll(marks, -int(np.argmin(marks)))
    steps = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    return int((steps[1::2] - steps[::2]).max(initial=0))
