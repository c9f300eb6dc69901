"""Fourier modes of the atomic density on the wave vectors that fit a periodic cell."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray

# Wave vectors of one half space kept in a range of |k|: at least this many, more in small cells,
# where as many products of atoms and vectors as this cost a tenth of a second.
MIN_WAVE_VECTORS = 10_000
PRODUCTS = 2e8
SCRATCH_BYTES = 48 * 1024**2


@dataclass(frozen=True)
class WaveVectors:
    """Wave vectors with h1, h2 in common columns, all h3 of a column at once.

    Attributes
    ----------
    columns : (C, 2) int array
        h1 >= 0 and h2 of every column.
    h3_max : int
        Columns hold h3 = -h3_max ... h3_max.
    wanted : (C, 2 h3_max + 1) bool array
        Wave vectors that belong to the selection; of k and -k only one does.
    k : (K,) float array
        Lengths of the wanted wave vectors, row by row of `wanted`, 1/Angstrom.
    fraction : float
        Share of the wave vectors of this range of |k| that was selected.
    """

    columns: IntArray
    h3_max: int
    wanted: np.ndarray
    k: FloatArray
    fraction: float

    @property
    def indices(self) -> IntArray:
        """Miller indices of the wanted wave vectors, (K, 3)."""
        column, h3 = np.nonzero(self.wanted)
        return np.column_stack([self.columns[column], h3 - self.h3_max])


def select_wave_vectors(
    cell: FloatArray,
    edges_inverse_angstrom: FloatArray,
    rng: np.random.Generator,
    *,
    max_vectors: int,
) -> list[WaveVectors]:
    """Choose wave vectors of a cell up to the last edge, all of them or an even subsample.

    Parameters
    ----------
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.
    edges_inverse_angstrom : (B + 1,) float array
        Edges of the bins in |k| that the modes are meant for.
    rng : numpy Generator
    max_vectors : int
        About how many vectors to keep in one range of |k|.

    Returns
    -------
    list of WaveVectors
        One for each range of |k|. The first range holds every vector; each further one spans a
        factor of two and is thinned by whole columns (h1, h2), each as likely as any other, so
        that all vectors of a range have the same chance and averages over bins have no bias.
    """
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell).T
    # Vectors of a half space per cubed radius.
    number = abs(np.linalg.det(cell)) / (2.0 * np.pi) ** 3 * (2.0 / 3.0) * np.pi
    top = float(edges_inverse_angstrom[-1])
    complete = (max_vectors / number) ** (1.0 / 3.0)
    limits = [float(edges_inverse_angstrom[0])]
    goal = complete
    while limits[-1] < top:
        # Ranges end at edges of bins: vectors of one bin all have the same chance.
        at = int(np.searchsorted(edges_inverse_angstrom, goal, side="right")) - 1
        reached = top if goal >= top else float(edges_inverse_angstrom[at])
        if reached > limits[-1]:
            limits.append(reached)
        goal *= 2.0
    ranges = []
    for low, high in itertools.pairwise(limits):
        fraction = min(1.0, max_vectors / (number * (high**3 - low**3)))
        ranges.append(_columns_within(cell, reciprocal, low, high, fraction, rng))
    return ranges


def affordable_vectors(n_atoms: int) -> int:
    """Return how many wave vectors of one range of |k| to use for a cell of this size."""
    return max(MIN_WAVE_VECTORS, round(PRODUCTS / n_atoms))


def _columns_within(
    cell: FloatArray,
    reciprocal: FloatArray,
    low: float,
    high: float,
    fraction: float,
    rng: np.random.Generator,
) -> WaveVectors:
    # |h_i| = |k . a_i| / 2 pi cannot exceed this.
    limit = np.floor(high * np.linalg.norm(cell, axis=1) / (2.0 * np.pi) + 1e-9).astype(int)
    h1, h2 = np.meshgrid(np.arange(limit[0] + 1), np.arange(-limit[1], limit[1] + 1), indexing="ij")
    columns = np.column_stack([h1.ravel(), h2.ravel()])
    columns = columns[(columns[:, 0] > 0) | (columns[:, 1] >= 0)]
    in_plane = columns @ reciprocal[:2]
    axis = reciprocal[2] / np.linalg.norm(reciprocal[2])
    distance_squared = (in_plane**2).sum(axis=1) - (in_plane @ axis) ** 2
    columns = columns[distance_squared <= high**2 * (1.0 + 1e-12)]
    if fraction < 1.0:
        kept = max(1, round(fraction * len(columns)))
        fraction = kept / len(columns)
        columns = columns[np.sort(rng.choice(len(columns), kept, replace=False))]
    h3 = np.arange(-limit[2], limit[2] + 1)
    vectors = (columns @ reciprocal[:2])[:, None, :] + h3[:, None] * reciprocal[2]
    k = np.sqrt((vectors**2).sum(axis=-1))
    wanted = (k >= low) & (k < high)
    wanted[(columns[:, 0] == 0) & (columns[:, 1] == 0)] &= h3 > 0
    return WaveVectors(columns, int(limit[2]), wanted, k[wanted], fraction)


def density_modes(
    fractional: FloatArray, codes: IntArray, n_kinds: int, ranges: list[WaveVectors]
) -> list[FloatArray]:
    """Sum exp(2 pi i h . s) over the atoms of each kind.

    The factors of h1 and h2 are multiplied first and the sum over atoms for all h3 of a column
    is a matrix product, several times faster than one exponential for each atom and vector.

    Parameters
    ----------
    fractional : (N, 3) float array
        Fractional coordinates, wrapped or not.
    codes : (N,) int array
        Kind of every atom, 0 to n_kinds - 1.
    n_kinds : int
    ranges : list of WaveVectors

    Returns
    -------
    list of (n_kinds, K) complex arrays
        Density modes of every range, Hansen and McDonald, Theory of Simple Liquids, 4th ed.,
        eq. 3.1.4, with the sign of k reversed, which no structure factor feels.
    """
    h1_max = max(int(part.columns[:, 0].max()) for part in ranges)
    h2_max = max(int(np.abs(part.columns[:, 1]).max()) for part in ranges)
    h3_max = max(part.h3_max for part in ranges)
    doubles = 2 * (h1_max + 2 * h2_max + 2 * h3_max) + 4 * max(len(p.columns) for p in ranges)
    chunk = max(16, SCRATCH_BYTES // (8 * doubles))
    modes = []
    for kind in range(n_kinds):
        atoms = fractional[codes == kind]
        sums = [np.zeros((2 * len(p.columns), 2 * (p.h3_max + 1))) for p in ranges]
        for start in range(0, len(atoms), chunk):
            part = atoms[start : start + chunk]
            first = _powers(part[:, 0], h1_max)
            second = _powers(part[:, 1], h2_max)
            third = _powers(part[:, 2], h3_max)
            # Row h2_max + h2, for h2 of both signs.
            second = np.concatenate([second[:0:-1].conj(), second])
            waves = np.stack([third.real, third.imag], axis=1).reshape(-1, len(part))
            for total, group in zip(sums, ranges, strict=True):
                planes = first[group.columns[:, 0]]
                planes *= second[group.columns[:, 1] + h2_max]
                rows = np.concatenate([planes.real, planes.imag])
                total += rows @ waves[: 2 * (group.h3_max + 1)].T
        modes.append([_both_signs(t)[p.wanted] for t, p in zip(sums, ranges, strict=True)])
    return [np.stack(parts) for parts in zip(*modes, strict=True)]


def _powers(coordinate: FloatArray, h_max: int) -> np.ndarray:
    """Return exp(2 pi i h s) for h = 0 to h_max, (h_max + 1, n)."""
    # Wrapping keeps the phase exact for atoms that left the cell long ago.
    base = np.exp(2j * np.pi * (coordinate - np.floor(coordinate)))
    powers = np.empty((h_max + 1, len(coordinate)), dtype=complex)
    powers[0] = 1.0
    for h in range(h_max):
        np.multiply(powers[h], base, out=powers[h + 1])
    return powers


def _both_signs(total: FloatArray) -> np.ndarray:
    """Combine the products of real and imaginary parts to modes at -h3 ... h3."""
    real, imaginary = np.split(total, 2)
    plus = real[:, ::2] - imaginary[:, 1::2] + 1j * (real[:, 1::2] + imaginary[:, ::2])
    minus = real[:, ::2] + imaginary[:, 1::2] + 1j * (imaginary[:, ::2] - real[:, 1::2])
    return np.concatenate([minus[:, :0:-1], plus], axis=1)
