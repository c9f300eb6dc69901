"""Faber-Ziman partial structure factors by the sum over wave vectors of the cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.blocks import N_BLOCKS, error_of_blocks, used_frames
from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.scattering.density_modes import (
    WaveVectors,
    affordable_vectors,
    density_modes,
    select_wave_vectors,
)
from analysis.trajectory import Frame, Trajectory

Q_BIN_INVERSE_ANGSTROM = 0.05
DIRECT_Q_MAX_INVERSE_ANGSTROM = 6.0


@dataclass(frozen=True)
class StructureFactors:
    """Faber-Ziman partial structure factors of every pair of species; all tend to 1.

    Attributes
    ----------
    species : tuple of str
        In alphabetical order.
    numbers : (n,) int array
        Atoms of every species.
    density_per_cubic_angstrom : float
        Atoms per volume, mean over frames.
    q_inverse_angstrom : (Q,) float array
        For the direct sum the mean length of the wave vectors of a bin.
    q_width_inverse_angstrom : (Q,) float array
        Weight of every point in an integral over Q: the width of the bin or, where all wave
        vectors of the cell were summed, the width in which a continuum has as many.
    s : (n, n, Q) float array
        Symmetric in the species.
    s_blocks : (n_blocks, n, n, Q) float array
        The same in blocks of consecutive frames.
    n_vectors : (Q,) int array
        Wave vectors of a half space averaged over, summed over frames; 0 for the transform.
    n_frames : int
    route : str
        How the values came about, with all settings.
    """

    species: tuple[str, ...]
    numbers: IntArray
    density_per_cubic_angstrom: float
    q_inverse_angstrom: FloatArray
    q_width_inverse_angstrom: FloatArray
    s: FloatArray
    s_blocks: FloatArray
    n_vectors: IntArray
    n_frames: int
    route: str

    @property
    def fractions(self) -> FloatArray:
        """Atomic fractions, (n,)."""
        return self.numbers / self.numbers.sum()


def direct_structure_factors(
    trajectory: Trajectory,
    *,
    q_max_inverse_angstrom: float = DIRECT_Q_MAX_INVERSE_ANGSTROM,
    q_bin_inverse_angstrom: float = Q_BIN_INVERSE_ANGSTROM,
    n_blocks: int | None = None,
    stride: int | None = None,
    max_vectors: int | None = None,
    seed: int = 0,
) -> StructureFactors:
    """Sum over the wave vectors that fit the cell of each frame, averaged in bins of |k|.

    Parameters
    ----------
    trajectory : Trajectory
    q_max_inverse_angstrom, q_bin_inverse_angstrom : float
        Range and width of the bins.
    n_blocks : int, optional
        Blocks for errors; by default 5, or as many as there are frames.
    stride : int, optional
        Use every `stride`-th frame; by default such that at most 200 are used.
    max_vectors : int, optional
        About how many wave vectors to use in one range of |k|, see `select_wave_vectors`; by
        default 10,000, more for fewer than 20,000 atoms.
    seed : int
        Of the choice of wave vectors, recorded in `route`. Every frame draws anew, so that the
        scatter of blocks includes the error of the choice.

    Returns
    -------
    StructureFactors
        At the bins that hold a wave vector in every block.

    Raises
    ------
    RangeError
        If no wave vector of the cell is below `q_max_inverse_angstrom`, there are fewer frames
        than blocks, or the stride is not positive.

    Notes
    -----
    S_ab(k) = 1 + N (<rho_a(k) rho_b(-k)> - delta_ab N_a) / (N_a N_b): the Ashcroft-Langreth
    factor (Phys. Rev. 156, 685 (1967), doi 10.1103/PhysRev.156.685) in the convention of Faber
    and Ziman (Phil. Mag. 11, 153 (1965), doi 10.1080/14786436508211931).
    """
    used = used_frames(trajectory, stride)
    n_used = len(used)
    n_blocks = n_blocks or min(N_BLOCKS, n_used)
    if n_used < n_blocks:
        raise RangeError(
            f"{trajectory.path}: {n_used} frames cannot be cut into {n_blocks} blocks; "
            "use a smaller stride or fewer blocks"
        )
    n_bins = max(1, round(q_max_inverse_angstrom / q_bin_inverse_angstrom))
    edges = np.arange(n_bins + 1) * q_bin_inverse_angstrom
    kinds, codes = np.unique(trajectory.species, return_inverse=True)
    numbers = np.bincount(codes)
    n = len(kinds)
    rng = np.random.default_rng(seed)
    products = np.zeros((n_blocks, n, n, n_bins))
    vectors = np.zeros((n_blocks, n_bins), dtype=np.int64)
    lengths = np.zeros(n_bins)
    widths = np.zeros(n_bins)
    max_vectors = max_vectors or affordable_vectors(trajectory.n_atoms)
    ranges: list[WaveVectors] = []
    previous: FloatArray = np.zeros((3, 3))
    for index, frame in enumerate(trajectory.frames(used.step)):
        complete = all(part.fraction == 1.0 for part in ranges)
        if not (complete and np.array_equal(frame.cell, previous)):
            ranges = select_wave_vectors(frame.cell, edges, rng, max_vectors=max_vectors)
            previous = frame.cell
        block = index * n_blocks // n_used
        for part, found in zip(ranges, _frame_modes(frame, codes, n, ranges), strict=True):
            bins = np.searchsorted(edges, part.k, side="right") - 1
            vectors[block] += np.bincount(bins, minlength=n_bins)
            lengths += np.bincount(bins, part.k, minlength=n_bins)
            widths += _widths(part, bins, frame.cell, edges)
            for a in range(n):
                for b in range(a, n):
                    product = (found[a] * found[b].conj()).real
                    products[block, a, b] += np.bincount(bins, product, minlength=n_bins)
    full = (vectors > 0).all(axis=0)
    if not full.any():
        raise RangeError(
            f"{trajectory.path}: no wave vector that fits every cell lies below "
            f"{edges[-1]:g} 1/Angstrom; the shortest is {lowest_q(trajectory):.3f}, raise q_max"
        )
    upper = np.arange(n)[:, None] < np.arange(n)
    products += np.where(upper[..., None], products, 0.0).swapaxes(1, 2)
    blocks = _faber_ziman(products[..., full] / vectors[:, None, None, full], numbers)
    total = products[..., full].sum(axis=0) / vectors[:, full].sum(axis=0)
    share = ", ".join(f"{part.fraction:.2g} up to {part.k.max():.3g}" for part in ranges)
    return StructureFactors(
        species=tuple(str(kind) for kind in kinds),
        numbers=numbers,
        density_per_cubic_angstrom=mean_density(trajectory),
        q_inverse_angstrom=lengths[full] / vectors[:, full].sum(axis=0),
        q_width_inverse_angstrom=widths[full] / n_used,
        s=_faber_ziman(total, numbers),
        s_blocks=blocks,
        n_vectors=vectors[:, full].sum(axis=0),
        n_frames=n_used,
        route=f"direct sum over wave vectors in bins of {q_bin_inverse_angstrom:g} 1/Angstrom, "
        f"share of them used: {share} 1/Angstrom (seed {seed}); {n_used} frames",
    )


def sampling_variance(direct: StructureFactors) -> FloatArray:
    """Return the variance of every partial from the finite number of wave vectors, (n, n, Q).

    Modes of the density are nearly Gaussian, so that the variance of a product is
    (S_aa S_bb + S_ab^2) / 2 in the convention of Ashcroft and Langreth (Wick's theorem); where
    blocks scatter more, their variance of the mean.
    """
    c = direct.fractions
    root = np.sqrt(np.outer(c, c))[..., None]
    langreth = np.eye(len(c))[..., None] + root * (direct.s - 1.0)
    diagonal = np.maximum(np.einsum("aaq->aq", langreth), 0.0)
    counted = (diagonal[:, None] * diagonal[None] + langreth**2) / (2 * root**2 * direct.n_vectors)
    if len(direct.s_blocks) > 1:
        counted = np.maximum(counted, error_of_blocks(direct.s_blocks) ** 2)
    return counted


def jackknife_error(
    statistic: Callable[[FloatArray], FloatArray], blocks: FloatArray
) -> FloatArray:
    """Return the standard error of a statistic of the mean curve, from leaving out blocks.

    Parameters
    ----------
    statistic : callable
        From a curve like one of `blocks` to an array of numbers.
    blocks : (n_blocks, ...) float array

    Returns
    -------
    float array
        nan for a single block; for a linear statistic the standard error over blocks. Source:
        Efron and Stein, Ann. Statist. 9, 586 (1981), doi 10.1214/aos/1176345462.
    """
    n = len(blocks)
    if n < 2:
        return np.full_like(np.asarray(statistic(blocks[0]), dtype=float), np.nan)
    total = blocks.sum(axis=0)
    left = np.array([statistic((total - block) / (n - 1)) for block in blocks])
    return np.sqrt((n - 1) / n * ((left - left.mean(axis=0)) ** 2).sum(axis=0))


def lowest_q(trajectory: Trajectory) -> float:
    """Return 2 pi over the smallest perpendicular cell width, 1/Angstrom.

    The spacing of wave vectors across the narrowest direction, which limits what the cell
    resolves.
    """
    # Cell vectors are the rows, so reciprocal vectors are columns of the inverse.
    return float(2 * np.pi * np.linalg.norm(np.linalg.inv(trajectory.cells), axis=1).max())


def mean_density(trajectory: Trajectory) -> float:
    """Return atoms per volume, mean over frames, 1/Angstrom^3."""
    return float(trajectory.n_atoms * (1.0 / trajectory.volumes).mean())


def _frame_modes(
    frame: Frame, codes: IntArray, n: int, ranges: list[WaveVectors]
) -> list[FloatArray]:
    return density_modes(frame.positions @ np.linalg.inv(frame.cell), codes, n, ranges)


def _widths(part: WaveVectors, bins: IntArray, cell: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the share of every bin in an integral over |k|, 1/Angstrom."""
    n_bins = len(edges) - 1
    if part.fraction < 1.0:
        held = np.bincount(bins, minlength=n_bins) > 0
        return np.diff(edges) * held.astype(float)
    # Both half spaces: 2 (2 pi)^3 / (4 pi k^2 V) for each vector.
    each = 4.0 * np.pi**2 / (part.k**2 * abs(np.linalg.det(cell)))
    return np.bincount(bins, each, minlength=n_bins).astype(float)


def _faber_ziman(products: FloatArray, numbers: IntArray) -> FloatArray:
    """Turn mean products of density modes (..., n, n, Q) into Faber-Ziman partials."""
    pairs = np.outer(numbers, numbers)[..., None]
    own = np.diag(numbers)[..., None]
    return 1.0 + numbers.sum() * (products - own) / pairs
