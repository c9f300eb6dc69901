"""Walks with known distributions of displacements, and how tests look at them."""

from __future__ import annotations

import numpy as np
from toy_trajectories import lattice_hops, make_trajectory

from analysis.displacements.displacements import displacements_of

D = 0.05


def still(n_frames):
    return np.zeros((n_frames, 3))


def chosen(positions, *, asked_ps=(), **settings):
    """Displacements of all ions, with a frame a picosecond and no drift removed."""
    trajectory = make_trajectory(positions)
    settings = {"drift_path": still(len(positions)), **settings}
    ids = np.arange(positions.shape[1])
    return displacements_of(trajectory, ids, asked_ps=asked_ps, **settings)


def require_close(value, error, truth, errors=4.0):
    assert np.isfinite(error).all()
    assert (error > 0).all()
    assert (np.abs(value - truth) < errors * error).all(), (value - truth) / error


CAGE, RATE, LENGTH = 0.25, 0.02, 3.0


def caged_hops(rng, n_ions, n_frames):
    """Rattle about sites with variance CAGE of a displacement per axis, and hop between them."""
    hops = lattice_hops(rng, n_ions, n_frames, probability=RATE, length=LENGTH)
    return hops + rng.normal(0.0, np.sqrt(CAGE / 2), hops.shape)


def caged_alpha2(times):
    mean = LENGTH**2 * RATE * times
    hops4 = LENGTH**4 * (RATE * times + 5 / 3 * RATE**2 * times * (times - 1))
    return 0.6 * (15 * CAGE**2 + 10 * CAGE * mean + hops4) / (3 * CAGE + mean) ** 2 - 1
