"""What a melt or a glass still knows of the crystal that it was made from."""

from __future__ import annotations

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import RangeError

REFLECTIONS = 24
# Reflections of framework atoms lie below; above, vibrations alone take the intensity away.
LARGEST_WAVE_PER_ANGSTROM = 2.5


def bragg_intensity_kept(
    start: FloatArray, cell: FloatArray, end: FloatArray
) -> tuple[float, float]:
    """Return the share of its Bragg intensity that a crystal has kept.

    The intensity of the strongest reflections of the start, at the same Miller indices of the
    supercell later: ``sum_k |rho_k(end)|^2 / sum_k |rho_k(start)|^2`` with ``rho_k = <exp(2 pi i
    h_k s)>`` over the atoms, s their fractional coordinates. For Gaussian displacements u about the
    sites it is the Debye-Waller factor ``exp(-q^2 <u^2> / 3)`` (Ashcroft and Mermin, Solid State
    Physics, appendix N). Displacements of ions that only change places leave it; bond-orientational
    order, which small periodic cells impose on a liquid too, does not count.

    Parameters
    ----------
    start, end : ndarray, shape (N, 3)
        Fractional coordinates of the same kind of atoms, best of the framework (phosphorus).
    cell : ndarray, shape (3, 3)
        Rows are the cell vectors of the start, Å.

    Returns
    -------
    tuple of float
        The share, and what atoms at random would have of it: ``1 / N`` over the mean of the start.
        In a liquid it is the structure factor at these waves times that.

    Raises
    ------
    RangeError
        If there are no atoms, or no wave of the cell is that long.
    """
    if len(start) == 0 or np.shape(start) != np.shape(end):
        raise RangeError(
            f"positions of shape {np.shape(start)} and {np.shape(end)}; expected the same (N, 3)."
        )
    indices = _half_space(np.asarray(cell, dtype=float))
    if not len(indices):
        raise RangeError(
            f"no wave of this cell is below {LARGEST_WAVE_PER_ANGSTROM:g} 1/Å; expected a larger "
            "cell."
        )
    first = _intensity(start, indices)
    strongest = np.argsort(-first)[:REFLECTIONS]
    scale = float(first[strongest].mean())
    kept = float(_intensity(end, indices[strongest]).mean())
    return kept / scale, 1.0 / (len(start) * scale)


def _intensity(scaled: FloatArray, indices: FloatArray) -> FloatArray:
    intensity: FloatArray = np.abs(np.exp(2j * np.pi * (indices @ scaled.T)).mean(axis=1)) ** 2
    return intensity


def _half_space(cell: FloatArray) -> FloatArray:
    """Return Miller indices (K, 3) up to the largest wave, one of each pair of opposites."""
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    most = (LARGEST_WAVE_PER_ANGSTROM * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
    ranges = [np.arange(-n, n + 1) for n in most]
    indices = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    # Of all triples in this order the second half is opposite to the first, zero between them.
    indices = indices[len(indices) // 2 + 1 :]
    waves = np.linalg.norm(indices @ reciprocal, axis=1)
    return indices[waves < LARGEST_WAVE_PER_ANGSTROM].astype(float)
