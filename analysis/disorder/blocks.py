"""Which frames are used, and errors of their mean from blocks of consecutive frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.pairs.rdf import MAX_FRAMES, N_BLOCKS
from analysis.trajectory import Trajectory


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
