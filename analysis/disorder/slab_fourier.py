"""Two-dimensional Fourier amplitudes of the Gaussian atomic density, projected slab by slab."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from analysis.constants import FloatArray, IntArray
from analysis.disorder.axis import height_angstrom
from analysis.errors import RangeError

# Beyond this many Gaussian widths an atom adds less than 1e-11 of itself to a slab.
REACH_SIGMAS = 6.8
# Atoms transformed at once; phases of one chunk stay in the cache or near it.
CHUNK_ATOMS = 4096
MIN_PIXELS = 10


@dataclass(frozen=True)
class Pixels:
    """In-plane reciprocal lattice points, one of every pair q, -q; the zero is not among them.

    Attributes
    ----------
    h, l : (M,) int arrays
        Indices along the reciprocals of the two in-plane cell vectors, in the order of the cell.
    """

    h: IntArray
    l: IntArray  # noqa: E741 (Miller index)

    def __len__(self) -> int:
        return len(self.h)


def pixels_below(cell: FloatArray, in_plane: tuple[int, int], q_max_per_angstrom: float) -> Pixels:
    """Return the pixels with 0 < q < q_max of a cell.

    Raises
    ------
    RangeError
        If there are fewer than 10.
    """
    vectors = cell[list(in_plane)]
    # h = q . a / 2 pi is at most q |a| / 2 pi.
    top_h, top_l = (q_max_per_angstrom * np.linalg.norm(vectors, axis=1) / (2 * np.pi)).astype(int)
    h, low = np.meshgrid(np.arange(top_h + 1), np.arange(-top_l, top_l + 1), indexing="ij")
    pixels = Pixels(h.ravel(), low.ravel())
    q_squared = pixel_q_squared(pixels, cell, in_plane)
    half = (pixels.h > 0) | (pixels.l > 0)
    kept = half & (q_squared < q_max_per_angstrom**2)
    if kept.sum() < MIN_PIXELS:
        lengths = np.linalg.norm(vectors, axis=1)
        raise RangeError(
            f"a plane of {lengths[0]:.2f} x {lengths[1]:.2f} Angstrom has {kept.sum()} independent "
            f"Fourier pixels below q {q_max_per_angstrom:g} 1/Angstrom; at least {MIN_PIXELS} are "
            "needed. Raise q_max_per_angstrom or use a wider cell."
        )
    return Pixels(pixels.h[kept], pixels.l[kept])


def pixel_q_squared(pixels: Pixels, cell: FloatArray, in_plane: tuple[int, int]) -> FloatArray:
    """Return q^2 of every pixel in a cell, 1/Angstrom^2."""
    # Reciprocal vectors within the plane: the pseudo-inverse of the two in-plane vectors.
    reciprocal = 2 * np.pi * np.linalg.pinv(cell[list(in_plane)]).T
    q = np.stack([pixels.h, pixels.l], axis=-1) @ reciprocal
    return np.einsum("mi,mi->m", q, q)


def slab_intensities(
    positions: FloatArray,
    fractions: FloatArray,
    cell: FloatArray,
    axis_index: int,
    n_slabs: int,
    sigma_angstrom: float,
    pixels: Pixels,
) -> tuple[FloatArray, FloatArray]:
    """Return the Fourier intensities of the projected Gaussian density of every slab.

    Parameters
    ----------
    positions : (n, 3) float array
        Angstrom, wrapped or not.
    fractions : (n,) float array
        Coordinate along the axis in [0, 1); slab k holds k/n_slabs to (k + 1)/n_slabs.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.
    axis_index : int
        Row of the axis; slabs are parallel to the other two vectors.
    n_slabs : int
    sigma_angstrom : float
        Standard deviation of the Gaussian that stands for an atom.
    pixels : Pixels

    Returns
    -------
    intensities : (n_slabs, M) float array
        |A(q)|^2, dimensionless, an atom counting 1.
    populations : (n_slabs,) float array
        Atoms in each slab, A(0); Gaussians across a boundary are shared.

    Notes
    -----
    The density sum_i g(r - r_i) of normalised 3-D Gaussians, integrated over a slab along its
    normal and transformed in its plane, is in closed form
    A(q) = exp(-q^2 sigma^2/2) sum_i w_i exp(-i q . r_i),
    w_i = [erf((z1 - z_i)/(sqrt 2 sigma)) - erf((z0 - z_i)/(sqrt 2 sigma))]/2
    (convolution theorem; Bracewell, The Fourier Transform and Its Applications, 3rd ed.,
    chapters 6 and 13). No grid is involved: with q on the reciprocal lattice of the plane the
    phases separate, exp(-i q . r) = exp(-2 pi i h u) exp(-2 pi i l v), and the sum over atoms is
    a matrix product.
    """
    in_plane = [row for row in range(3) if row != axis_index]
    height = float(height_angstrom(cell, axis_index))
    # Fractional coordinates in the plane after projection along its normal.
    to_plane = np.linalg.pinv(cell[in_plane])
    # The coordinate is that of the framework at rest; the in-plane part of the drift that goes
    # with a tilted axis must be taken off too, or images would not join at the slab faces.
    raw = positions @ np.linalg.inv(cell)[:, axis_index]
    tilt = cell[axis_index] @ to_plane
    order = np.argsort(fractions)
    z = fractions[order] * height
    plane = (positions @ to_plane - np.outer(raw - fractions, tilt))[order]

    reach = REACH_SIGMAS * sigma_angstrom
    images = range(-int(np.ceil(reach / height)), int(np.ceil(reach / height)) + 1)
    top_h, top_l = int(pixels.h.max()), int(np.abs(pixels.l).max())
    damping = np.exp(-pixel_q_squared(pixels, cell, (in_plane[0], in_plane[1])) * sigma_angstrom**2)
    intensities = np.empty((n_slabs, len(pixels)))
    populations = np.zeros(n_slabs)
    for slab in range(n_slabs):
        low, high = slab * height / n_slabs, (slab + 1) * height / n_slabs
        products = np.zeros((2 * (top_h + 1), 2 * (top_l + 1)))
        for image in images:
            shift = image * height
            first, last = np.searchsorted(z, [low - reach - shift, high + reach - shift])
            for start in range(first, last, CHUNK_ATOMS):
                part = slice(start, min(start + CHUNK_ATOMS, last))
                weights = _slab_weights(z[part] + shift, low, high, sigma_angstrom)
                populations[slab] += weights.sum()
                along_h = _waves(plane[part, 0] + image * tilt[0], top_h)
                along_l = _waves(plane[part, 1] + image * tilt[1], top_l)
                products += (along_h * weights) @ along_l.T
        intensities[slab] = damping * _intensities(products, pixels, top_h, top_l)
    return intensities, populations


def _slab_weights(z: FloatArray, low: float, high: float, sigma: float) -> FloatArray:
    """Return the share of each Gaussian that lies within the slab."""
    if sigma == 0.0:
        return ((z >= low) & (z < high)).astype(float)
    scale = 1.0 / (np.sqrt(2.0) * sigma)
    return 0.5 * (erf((high - z) * scale) - erf((low - z) * scale))


def _waves(u: FloatArray, top: int) -> FloatArray:
    """Return cos(2 pi h u), then sin(2 pi h u), for h = 0..top as rows, (2 top + 2, n)."""
    step = np.exp(2j * np.pi * u)
    waves = np.empty((2 * (top + 1), len(u)))
    power = np.ones(len(u), dtype=complex)
    for h in range(top + 1):
        waves[h], waves[top + 1 + h] = power.real, power.imag
        power *= step
    return waves


def _intensities(products: FloatArray, pixels: Pixels, top_h: int, top_l: int) -> FloatArray:
    """Combine products of cosines and sines to |sum exp(2 pi i (h u + l v))|^2."""
    cc, cs = products[: top_h + 1, : top_l + 1], products[: top_h + 1, top_l + 1 :]
    sc, ss = products[top_h + 1 :, : top_l + 1], products[top_h + 1 :, top_l + 1 :]
    at = (pixels.h, np.abs(pixels.l))
    sign = np.where(pixels.l < 0, -1.0, 1.0)
    return (cc[at] - sign * ss[at]) ** 2 + (sc[at] + sign * cs[at]) ** 2
