"""Ideal coordination polyhedra and how far directions are from them."""

from __future__ import annotations

import numpy as np

from analysis.constants import FloatArray

OTHER = "other"
_RIGHT, _FRONT, _UP = np.eye(3)
_OCTAHEDRON = np.array([_UP, -_UP, _RIGHT, -_RIGHT, _FRONT, -_FRONT])
# Five neighbours, and six in a trigonal prism, are missing: random directions that keep apart as
# neighbours do come as close to these shapes as thermal ions.
SHAPES: dict[int, dict[str, FloatArray]] = {
    4: {
        "tetrahedron": np.array(
            [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
        ),
        "square": _OCTAHEDRON[2:],
        # An octahedron without two neighbouring vertices.
        "seesaw": _OCTAHEDRON[[0, 1, 2, 4]],
    },
    6: {"octahedron": _OCTAHEDRON},
}


def shape_names() -> tuple[str, ...]:
    """Return the names of all shapes, ``other`` last."""
    return (*(name for ideals in SHAPES.values() for name in ideals), OTHER)


def angle_deviations(directions: FloatArray, ideal: FloatArray) -> FloatArray:
    """Return how far the angles between directions are from those of a polyhedron.

    Parameters
    ----------
    directions : (M, n, 3) float array
        Unit vectors from M centres to their n neighbours.
    ideal : (n, 3) float array
        Vectors from the centre of the polyhedron to its vertices, of any length.

    Returns
    -------
    (M,) float array
        Root mean square over the n(n-1)/2 angles, degrees; 0 for the ideal shape in any
        orientation, and for any order of the neighbours.

    Notes
    -----
    The angular variance of K. Robinson, G. V. Gibbs and P. H. Ribbe, Science 172, 567 (1971),
    doi 10.1126/science.172.3983.567, extended to shapes with angles of several sizes: the sorted
    angles are compared with the sorted ideal ones, which is the assignment of least squares.
    Divided by the number of angles, 6 for a tetrahedron where that paper divides by 5, and with
    the straight angles of an octahedron, which it leaves out.
    """
    a, b = np.triu_indices(len(ideal), k=1)
    cosines = np.einsum("mkx,mkx->mk", directions[:, a], directions[:, b])
    angles = np.sort(np.arccos(np.clip(cosines, -1.0, 1.0)), axis=1)
    unit = ideal / np.linalg.norm(ideal, axis=1, keepdims=True)
    expected = np.sort(np.arccos(np.clip(np.sum(unit[a] * unit[b], axis=1), -1.0, 1.0)))
    return np.degrees(np.sqrt(((angles - expected) ** 2).mean(axis=1)))
