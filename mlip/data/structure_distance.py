"""How far two frames of one composition are apart, and the nearest frame of a pool."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from mlip.data.frames import FloatArray, IntArray

# The estimate that chooses candidates leaves out the skew of the cell: more than one is measured.
CANDIDATES = 4
ROWS_AT_ONCE = 128


def frame_distance(
    one: FloatArray, other: FloatArray, cell: FloatArray, other_cell: FloatArray
) -> FloatArray:
    """Return the distance of frames whose atoms have the same order, Å.

    The root of the mean squared minimum-image displacement of fractional coordinates after
    the mean displacement is removed, plus (in squares) the strain between the cells times
    the mean spacing of atoms: how far a neighbour moves by it. The orientation of the cell
    does not matter.

    Parameters
    ----------
    one, other : (P, N, 3) arrays
        Fractional coordinates.
    cell, other_cell : (P, 3, 3) arrays
        Cell vectors in rows, Å.

    Returns
    -------
    (P,) array
    """
    step = other - one
    # A common shift, measured on the circle so that it does not depend on the wrapping.
    shift = np.angle(np.exp(2j * np.pi * step).mean(axis=1)) / (2.0 * np.pi)
    step = step - shift[:, None, :]
    step -= np.rint(step)
    step -= step.mean(axis=1, keepdims=True)
    metric = 0.5 * (cell @ cell.transpose(0, 2, 1) + other_cell @ other_cell.transpose(0, 2, 1))
    squared = np.einsum("pna,pab,pnb->p", step, metric, step) / one.shape[1]
    return np.sqrt(squared + _strain_squared(cell, other_cell, one.shape[1]))


def _strain_squared(cell: FloatArray, other: FloatArray, atoms: int) -> FloatArray:
    """Return (Green strain times mean spacing)^2, Å^2; it is free of rotations."""
    inverse = np.linalg.inv(cell)
    metric = other @ other.transpose(0, 2, 1)
    strain = 0.5 * (inverse @ metric @ inverse.transpose(0, 2, 1) - np.eye(3))
    spacing_squared = (np.abs(np.linalg.det(cell)) / atoms) ** (2.0 / 3.0)
    squared: FloatArray = (strain**2).sum(axis=(1, 2)) * spacing_squared
    return squared


def nearest_frames(
    coords: FloatArray, cells: FloatArray, queries: IntArray, pool: IntArray
) -> tuple[IntArray, FloatArray]:
    """Return the nearest other frame in the pool for each query, atoms in fixed order.

    Candidates come from C = |sum_j exp(2 pi i (s_j - s'_j))| / N along each axis of the
    cell, one matrix product for all pairs: it does not change under a common shift, and is
    exp(-2 pi^2 v) for normal displacements of variance v (characteristic function of the
    normal distribution). The best `CANDIDATES` are measured with `frame_distance`.

    Parameters
    ----------
    coords : (F, N, 3) array
        Fractional coordinates.
    cells : (F, 3, 3) array
        Å.
    queries, pool : int arrays
        Frames; a frame is never its own neighbour.

    Returns
    -------
    index : (Q,) int array
        Frame of the pool, -1 if there is no other.
    distance : (Q,) array
        Å; inf if there is no other.
    """
    index = np.full(len(queries), -1, dtype=np.int64)
    distance = np.full(len(queries), np.inf)
    if len(pool) == 0:
        return index, distance
    waves = _waves(coords[pool])
    lengths = (np.linalg.norm(cells[pool].mean(axis=0), axis=1) ** 2).astype(np.float32)
    kept = min(CANDIDATES, len(pool))
    for start in range(0, len(queries), ROWS_AT_ONCE):
        rows = queries[start : start + ROWS_AT_ONCE]
        own = _waves(coords[rows])
        far = np.zeros((len(rows), len(pool)), dtype=np.float32)
        for axis in range(3):
            overlap = np.abs(own[axis].conj() @ waves[axis].T) / coords.shape[1]
            far -= lengths[axis] * np.log(np.maximum(overlap, 1e-6))
        far[rows[:, None] == pool[None, :]] = np.inf
        near = np.argpartition(far, kept - 1, axis=1)[:, :kept]
        chosen = pool[near]
        one, other = np.repeat(rows, kept), chosen.ravel()
        exact = frame_distance(coords[one], coords[other], cells[one], cells[other])
        exact = np.where(one == other, np.inf, exact).reshape(chosen.shape)
        best = exact.argmin(axis=1)
        place = slice(start, start + len(rows))
        distance[place] = exact[np.arange(len(rows)), best]
        index[place] = np.where(
            np.isfinite(distance[place]), chosen[np.arange(len(rows)), best], -1
        )
    return index, distance


def _waves(coords: FloatArray) -> npt.NDArray[np.complex64]:
    """Return exp(2 pi i s), shape (3, F, N)."""
    phase = (2.0 * np.pi * (coords - np.floor(coords))).astype(np.float32)
    return np.ascontiguousarray(np.exp(1j * phase).astype(np.complex64).transpose(2, 0, 1))


def permuted_distance(
    symbols: tuple[str, ...],
    one: FloatArray,
    other: FloatArray,
    cell: FloatArray,
    other_cell: FloatArray,
) -> float:
    """Return the distance of two frames, best over orders of like atoms and shifts, Å.

    Each atom of the rarest element of `other` is laid on the first one of `one`; then like
    atoms are paired so that the squared minimum-image distances sum to the least
    (Hungarian method, doi 10.1002/nav.3800020109). Cells must have the same axes;
    exchanged axes are not tried.

    Parameters
    ----------
    symbols : tuple of str
        (N,) of both frames.
    one, other : (N, 3) arrays
        Fractional coordinates.
    cell, other_cell : (3, 3) arrays
        Å.
    """
    kinds = sorted(set(symbols), key=symbols.count)
    members = [np.flatnonzero([s == kind for s in symbols]) for kind in kinds]
    best = np.inf
    for pivot in members[0]:
        shifted = other - other[pivot] + one[members[0][0]]
        order = np.arange(len(symbols))
        for atoms in members:
            step = shifted[atoms][None, :, :] - one[atoms][:, None, :]
            step -= np.rint(step)
            cost = ((step @ cell) ** 2).sum(axis=2)
            rows, columns = linear_sum_assignment(cost)
            order[atoms[rows]] = atoms[columns]
        found = frame_distance(one[None], shifted[order][None], cell[None], other_cell[None])
        best = min(best, float(found[0]))
    return best
