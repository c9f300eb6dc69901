"""Division of a periodic cell among its atoms: plain and radical Voronoi cells."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import AnalysisError
from analysis.pairs.neighbours import neighbour_pairs, neighbour_search

# Voro++ ends the process on two points in one place.
MIN_DISTANCE_ANGSTROM = 1e-3
SUM_TOLERANCE = 1e-6
# Atoms of a crystal on a face of the cell would be found on both sides of it.
SHIFT = np.array([0.137035999, 0.271828183, 0.314159265])


def atomic_volumes(
    positions: FloatArray, cell: FloatArray, radii_angstrom: FloatArray | None = None
) -> FloatArray:
    """Divide a periodic cell among its atoms.

    Parameters
    ----------
    positions : (N, 3) float array
        Angstrom; need not be wrapped.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom; triclinic, in any orientation.
    radii_angstrom : (N,) float array, optional
        Makes the tessellation radical: faces lie where |r - r_i|^2 - R_i^2 is equal.

    Returns
    -------
    (N,) float array
        Angstrom^3; 0 for an atom whose radical cell others cover.

    Raises
    ------
    AnalysisError
        If two atoms lie in one place, the library for radical cells is missing, or the volumes do
        not fill the cell.

    Notes
    -----
    Plain cells by freud, radical ones (B. J. Gellatly and J. L. Finney, J. Non-Cryst. Solids 50,
    313 (1982), doi 10.1016/0022-3093(82)90093-X) by pyvoro2; both wrap Voro++ (C. H. Rycroft,
    Chaos 19, 041111 (2009), doi 10.1063/1.3215722). freud stores positions in single precision:
    its volumes are good to about 1e-6 relative.
    """
    from ase.geometry import minkowski_reduce

    if len(positions) == 0:
        return np.zeros(0)
    # The reduced cell spans the same lattice; Voro++ is slow and less exact in a skewed one.
    reduced = np.asarray(minkowski_reduce(np.asarray(cell, dtype=float))[0])
    fractions = positions @ np.linalg.inv(reduced) + SHIFT
    fractions -= np.floor(fractions)
    _refuse_coincident(fractions @ reduced, reduced)
    # Both want a along x and b in xy; a rotation, or a reflection, changes no volume.
    lower = lower_triangular(reduced)
    places = fractions @ lower
    if radii_angstrom is None:
        volumes = _plain(places, lower)
    else:
        volumes = _radical(places, lower, radii_angstrom)
    whole = float(np.prod(np.diag(lower)))
    if not abs(volumes.sum() / whole - 1.0) < SUM_TOLERANCE:
        raise AnalysisError(
            f"the Voronoi volumes sum to {volumes.sum():.8g} Angstrom^3 in a cell of "
            f"{whole:.8g}; look for atoms that nearly coincide"
        )
    return volumes


def lower_triangular(cell: FloatArray) -> FloatArray:
    """Return the cell turned, and mirrored if left-handed, to have a along x and b in xy.

    Parameters
    ----------
    cell : (3, 3) float array
        Cell vectors in rows.

    Returns
    -------
    (3, 3) float array
        Lower triangular with a positive diagonal. Fractional coordinates stay as they are.
    """
    # h h^T holds lengths and angles; its Cholesky factor has the same.
    return np.linalg.cholesky(cell @ cell.T)


def radical_library_missing() -> str:
    """Return what to do to get radical cells, or "" if nothing is missing."""
    if find_spec("pyvoro2") is not None:
        return ""
    return "radical cells need the package pyvoro2; install it with `pip install pyvoro2`"


def _plain(places: FloatArray, lower: FloatArray) -> FloatArray:
    import freud

    voronoi = freud.locality.Voronoi()
    # freud wants the vectors in columns.
    box = freud.box.Box.from_matrix(lower.T)
    voronoi.compute((box, box.wrap(places)))
    return np.asarray(voronoi.volumes, dtype=float)


def _radical(places: FloatArray, lower: FloatArray, radii: FloatArray) -> FloatArray:
    if missing := radical_library_missing():
        raise AnalysisError(missing)
    import pyvoro2

    found = pyvoro2.compute(
        places,
        domain=pyvoro2.PeriodicCell(vectors=tuple(tuple(row) for row in lower.tolist())),
        mode="power",
        radii=np.asarray(radii, dtype=float),
        output="cells",
        include_empty=True,
        return_vertices=False,
        return_faces=False,
        return_adjacency=False,
    )
    volumes = np.zeros(len(places))
    for cell in found:
        volumes[cell["id"]] = cell["volume"]
    return volumes


def _refuse_coincident(positions: FloatArray, cell: FloatArray) -> None:
    i, j = neighbour_pairs(neighbour_search(MIN_DISTANCE_ANGSTROM), positions, cell, "ij")
    if len(i):
        first, second = sorted((int(i[0]), int(j[0])))
        raise AnalysisError(
            f"atoms {first} and {second} lie in one place; {len(i)} such pairs have no Voronoi "
            "cells. Remove one of each."
        )
