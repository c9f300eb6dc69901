"""Which frames are used, and errors of means and ratios from blocks of consecutive frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.results import Quantity
from analysis.trajectory import Trajectory

N_BLOCKS = 5
MAX_FRAMES = 200
LEVEL = 0.95


@dataclass(frozen=True)
class BlockMean:
    """Mean over frames with its error.

    Attributes
    ----------
    mean : (...) float array
    standard_error : (...) float array
        Over blocks; nan for a single block.
    blocks : (n_blocks, ...) float array
        Means of blocks of consecutive frames.
    """

    mean: FloatArray
    standard_error: FloatArray
    blocks: FloatArray


def used_frames(trajectory: Trajectory, stride: int | None) -> range:
    """Return the frames to use, every `stride`-th; by default such that at most 200 are used.

    Raises
    ------
    RangeError
        If the stride is not positive.
    """
    if stride is not None and stride < 1:
        raise RangeError(f"stride {stride}; it must be at least 1")
    return range(0, trajectory.n_frames, stride or -(-trajectory.n_frames // MAX_FRAMES))


def block_mean(per_frame: FloatArray) -> BlockMean:
    """Average over the first index, in at most 5 blocks for the error.

    Notes
    -----
    The standard error of correlated data is that of the means of blocks longer than the
    correlation time: Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989),
    doi 10.1063/1.457480.
    """
    blocks = np.stack(
        [
            part.mean(axis=0)
            for part in np.array_split(per_frame, min(N_BLOCKS, len(per_frame)), axis=0)
        ]
    )
    return BlockMean(per_frame.mean(axis=0), error_of_blocks(blocks), blocks)


def error_of_blocks(blocks: FloatArray) -> FloatArray:
    """Return the standard error of the mean of blocks; nan for a single one."""
    if len(blocks) < 2:
        return np.full(blocks.shape[1:], np.nan)
    return np.asarray(blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)))


def half_interval(standard_error: float, n_samples: int, level: float) -> float:
    """Return half the Student interval of a mean of `n_samples`; nan below two."""
    if n_samples < 2:
        return float("nan")
    return float(stats.t.ppf(0.5 + 0.5 * level, n_samples - 1)) * standard_error


@dataclass(frozen=True)
class BlockRatio:
    """Sum of something over the number it is divided by, in all frames and in blocks.

    Attributes
    ----------
    value : (...) float array
        nan where the number is zero.
    blocks : (n_blocks, ...) float array
        The same in blocks of consecutive frames.
    """

    value: FloatArray
    blocks: FloatArray

    @property
    def standard_error(self) -> FloatArray:
        """Standard error over the blocks that have a value, (...); nan for fewer than two."""
        number = np.isfinite(self.blocks).sum(axis=0)
        safe = np.where(np.isfinite(self.blocks), self.blocks, 0.0)
        mean = safe.sum(axis=0) / np.maximum(number, 1)
        squares = np.where(np.isfinite(self.blocks), (safe - mean) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / np.maximum(number - 1, 1) / np.maximum(number, 1))
        return np.where(number > 1, error, np.nan)


def block_ratio(sums: FloatArray, numbers: FloatArray) -> BlockRatio:
    """Divide sums by numbers, both (n_blocks, ...), in each block and over all."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return BlockRatio(sums.sum(axis=0) / numbers.sum(axis=0), sums / numbers)


def ratio_quantity(
    name: str,
    unit: str,
    value: float,
    blocks: FloatArray,
    reason: str,
    *,
    missing: str = "",
    curve: str = "",
) -> Quantity:
    """Return a quantity with the Student interval over blocks of frames.

    Parameters
    ----------
    name, unit : str
    value : float
        nan makes it unresolved, for the reason `missing`.
    blocks : (n_blocks,) float array
        Blocks without a value are nan and do not count.
    reason, missing, curve : str
    """
    if not math.isfinite(value):
        return Quantity(name, math.nan, unit, status="unresolved", reason=missing, curve=curve)
    known = blocks[np.isfinite(blocks)]
    # Blocks that agree to round-off are a symmetry or a single state, not an error of zero.
    if len(known) < 2 or np.ptp(known) <= 1e-12 * max(abs(value), 1e-300):
        why = "a single block" if len(known) < 2 else "equal blocks"
        reason += f", no error estimate from {why}"
        return Quantity(name, value, unit, reason=reason, curve=curve)
    half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, len(known) - 1) * stats.sem(known))
    reason += f", error from {len(known)} blocks"
    return Quantity(name, value, unit, value - half, value + half, LEVEL, "ok", reason, curve)
