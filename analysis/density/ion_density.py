"""Density of ions on a grid fixed to the framework."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import RangeError
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory

# Half the width of a site; finer voxels gain noise, not detail.
SPACING_ANGSTROM = 0.3
MAX_VOXELS = 500_000
# Coarser voxels join a site and the bottleneck beside it.
COARSEST_ANGSTROM = 0.6
N_BLOCKS = 4


@dataclass(frozen=True)
class IonDensity:
    """How often ions were in each voxel of the cell, by block of time.

    Attributes
    ----------
    counts : (B, n_a, n_b, n_c) int array
        Visits: one for every ion and frame. Voxel i along a vector spans the fractions i/n to
        (i+1)/n.
    cell_angstrom : (3, 3) float array
        Mean cell vectors in rows.
    n_frames : int
    n_ions : int
    """

    counts: IntArray
    cell_angstrom: FloatArray
    n_frames: int
    n_ions: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along a, b and c."""
        a, b, c = self.counts.shape[1:]
        return a, b, c

    @property
    def voxel_angstrom3(self) -> float:
        """Volume of a voxel."""
        volume = abs(float(np.linalg.det(self.cell_angstrom)))
        return volume / math.prod(self.shape)

    @property
    def total(self) -> IntArray:
        """Visits in all blocks, (n_a, n_b, n_c)."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def density(self) -> FloatArray:
        """Ions per Angstrom^3, (n_a, n_b, n_c); integrates to the number of ions."""
        return np.asarray(self.total / (self.n_frames * self.voxel_angstrom3))


def ion_density(
    trajectory: Trajectory,
    ids: IntArray,
    *,
    drift_path: FloatArray,
    spacing_angstrom: float | None = None,
    n_blocks: int = N_BLOCKS,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> IonDensity:
    """Count the visits of ions to the voxels of the cell.

    Parameters
    ----------
    trajectory : Trajectory
        Of a framework that stays on its sites. Where the cell changes, voxels change with it.
    ids : (n,) int array
        Rows of the ions.
    drift_path : (F, 3) float array
        Path of the framework, Angstrom, which the grid follows.
    spacing_angstrom : float, optional
        Largest edge of a voxel. By default 0.3 Angstrom, or what gives 500,000 voxels.
    n_blocks : int
        Blocks of consecutive frames, the last ones a frame shorter where they do not share out.
    max_bytes : int
        Size limit of the positions held at once.

    Raises
    ------
    RangeError
        If there are no ions, fewer frames than blocks, or the default voxels were too coarse.
    """
    if not len(ids) or trajectory.n_frames < n_blocks:
        raise RangeError(
            f"{trajectory.path}: {len(ids)} ions and {trajectory.n_frames} frames; a density needs "
            f"an ion and {n_blocks} frames"
        )
    cell = trajectory.cells.mean(axis=0)
    if spacing_angstrom is None:
        spacing_angstrom = default_spacing(cell)
        if spacing_angstrom > COARSEST_ANGSTROM:
            raise RangeError(
                f"{trajectory.path}: {MAX_VOXELS} voxels of this cell are {spacing_angstrom:.2f} "
                f"Angstrom wide; above {COARSEST_ANGSTROM:g} sites and bottlenecks are one"
            )
    shape = np.maximum(1, np.ceil(np.linalg.norm(cell, axis=1) / spacing_angstrom - 1e-9))
    grid = shape.astype(int)
    voxels = int(grid.prod())
    counts = np.zeros((n_blocks, voxels), dtype=np.int64)
    borders = np.linspace(0, trajectory.n_frames, n_blocks + 1).astype(int)
    per_chunk = max(1, int(max_bytes) // (24 * len(ids)))
    for block in range(n_blocks):
        for start in range(borders[block], borders[block + 1], per_chunk):
            stop = min(start + per_chunk, borders[block + 1])
            positions = trajectory.source.read(start, stop, ids) - drift_path[start:stop, None]
            fractions = positions @ np.linalg.inv(trajectory.cells[start:stop])
            # Rounding may make a fraction just below zero a whole one.
            voxel = np.floor((fractions % 1.0) * shape).astype(int) % grid
            flat = np.ravel_multi_index(tuple(np.moveaxis(voxel, -1, 0)), tuple(grid)).ravel()
            counts[block] += np.bincount(flat, minlength=voxels)
    return IonDensity(
        counts=counts.reshape(n_blocks, *grid),
        cell_angstrom=cell,
        n_frames=trajectory.n_frames,
        n_ions=len(ids),
    )


def default_spacing(cell: FloatArray) -> float:
    """Return the edge of a voxel: 0.3 Angstrom, or what gives 500,000 voxels of this cell."""
    volume = abs(float(np.linalg.det(cell)))
    return max(SPACING_ANGSTROM, (volume / MAX_VOXELS) ** (1.0 / 3.0))


def volume_share(density: FloatArray, share_of_time: float = 0.95) -> float:
    """Return the smallest share of the cell in which ions spend so much of their time."""
    values = np.sort(density.ravel())[::-1]
    reached = np.searchsorted(np.cumsum(values), share_of_time * values.sum() * (1 - 1e-12))
    return float((reached + 1) / values.size)
