"""The largest hole in a structure: what tells a melt that has cavitated from one that has not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import AnalysisError
from analysis.order.tessellation import SHIFT, lower_triangular
from analysis.trajectory import Trajectory


@dataclass(frozen=True)
class Void:
    """A sphere without the centre of any atom.

    Attributes
    ----------
    radius_angstrom : float
    fractions : (3,) float array
        Its centre in fractional coordinates of the cell, within [0, 1).
    """

    radius_angstrom: float
    fractions: FloatArray


def largest_void(positions: FloatArray, cell: FloatArray) -> Void:
    """Find the largest sphere between the atoms of a periodic cell.

    Its centre is a vertex of the Voronoi tessellation (A. Okabe et al., Spatial Tessellations,
    2nd ed., section 2.3).

    Parameters
    ----------
    positions : (N, 3) float array
        Angstrom; need not be wrapped.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.

    Returns
    -------
    Void
        Radius good to about 1e-6 relative, the precision of freud.

    Raises
    ------
    AnalysisError
        If there is no atom.
    """
    import freud

    if not len(positions):
        raise AnalysisError("a cell without atoms has no largest void")
    fractions = positions @ np.linalg.inv(cell) + SHIFT
    fractions -= np.floor(fractions)
    lower = lower_triangular(np.asarray(cell, dtype=float))
    box = freud.box.Box.from_matrix(lower.T)
    voronoi = freud.locality.Voronoi()
    places = box.wrap(fractions @ lower)
    voronoi.compute((box, places))
    radius, vertex = 0.0, places[0]
    for place, polytope in zip(places, voronoi.polytopes, strict=True):
        distances = np.linalg.norm(polytope - place, axis=1)
        farthest = int(distances.argmax())
        if distances[farthest] > radius:
            radius, vertex = float(distances[farthest]), polytope[farthest]
    centre = np.asarray(vertex, dtype=float) @ np.linalg.inv(lower) - SHIFT
    return Void(radius, centre - np.floor(centre))


def largest_void_of(trajectory: Trajectory, frames: int) -> Void:
    """Return the largest void of some evenly spaced frames, the last one among them."""
    chosen = np.unique(np.linspace(trajectory.n_frames - 1, 0, frames).astype(int))
    voids = [
        largest_void(
            trajectory.source.read(int(index), int(index) + 1, slice(None))[0],
            trajectory.cells[index],
        )
        for index in chosen
    ]
    return max(voids, key=lambda void: void.radius_angstrom)
