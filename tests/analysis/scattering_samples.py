"""Disordered and crystalline samples for the tests of scattering."""

from __future__ import annotations

import numpy as np


def packed_spheres(rng, n, side, diameter):
    """Random sequential addition of hard spheres in a cube: a fluid without long-range order."""
    placed = np.empty((n, 3))
    count = 0
    while count < n:
        trial = rng.random(3) * side
        apart = placed[:count] - trial
        apart -= side * np.round(apart / side)
        if not count or (apart**2).sum(axis=1).min() > diameter**2:
            placed[count] = trial
            count += 1
    return placed
