"""Which voxels connect a periodic cell with its images, and the highest level that does."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy import ndimage

from analysis.constants import FloatArray


def connected_axes(inside: np.ndarray) -> tuple[bool, bool, bool]:
    """Return along which lattice vectors the voxels inside lead from the cell to its images.

    Voxels are neighbours if they share a face. A path counts for every vector along which its
    end is shifted, so that one along a + b counts for both.

    Parameters
    ----------
    inside : (n_a, n_b, n_c) bool array
    """
    labels, number = ndimage.label(inside)
    # Pieces of the cell as nodes; an edge across a face carries the image it leads to.
    edges: dict[int, list[tuple[int, tuple[int, int, int]]]] = defaultdict(list)
    for axis in range(3):
        step = [0, 0, 0]
        step[axis] = 1
        last, first = np.take(labels, -1, axis=axis), np.take(labels, 0, axis=axis)
        both = (last > 0) & (first > 0)
        for one, other in np.unique(np.stack([last[both], first[both]], axis=1), axis=0).tolist():
            edges[one].append((other, (step[0], step[1], step[2])))
            edges[other].append((one, (-step[0], -step[1], -step[2])))
    found = [False, False, False]
    image: dict[int, tuple[int, int, int]] = {}
    for start in range(1, number + 1):
        if start in image:
            continue
        image[start] = (0, 0, 0)
        pending = [start]
        while pending:
            piece = pending.pop()
            for other, step_taken in edges[piece]:
                a, b, c = (x + y for x, y in zip(image[piece], step_taken, strict=True))
                if other not in image:
                    image[other] = (a, b, c)
                    pending.append(other)
                # Reached in two images: a path from one to the other.
                for axis, (x, y) in enumerate(zip((a, b, c), image[other], strict=True)):
                    found[axis] |= x != y
    return found[0], found[1], found[2]


def percolation_levels(density: FloatArray) -> FloatArray:
    """Return the highest level whose voxels, at least so dense, connect the cell along a, b, c.

    It is the density at the bottleneck of the best path; 0 where every path has a voxel that was
    never visited.

    Parameters
    ----------
    density : (n_a, n_b, n_c) float array
        Not negative.
    """
    levels = np.unique(density)
    levels = levels[levels > 0]
    found = np.zeros(3)
    known: dict[int, tuple[bool, bool, bool]] = {}
    for axis in range(3):
        # The lower the level, the more voxels: connected below, not above.
        low, high = -1, len(levels)
        while high - low > 1:
            middle = (low + high) // 2
            if middle not in known:
                known[middle] = connected_axes(density >= levels[middle])
            low, high = (middle, high) if known[middle][axis] else (low, middle)
        found[axis] = levels[low] if low >= 0 else 0.0
    return found
