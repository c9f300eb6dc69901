"""Walks in a periodic sandwich of two layers with a diffusion coefficient each."""

from __future__ import annotations

import numpy as np

from analysis.groups import Groups

HEIGHT = 40.0
PLANE_SPACING = 1.0
NAMES = ("crystal", "glass")


def sandwich_walk(rng, n_ions, n_frames, D_crystal, D_glass, *, walls, height=HEIGHT):
    """Return unwrapped positions; crystal is the lower half of the cell along z, glass the upper.

    In-plane steps are Gaussian with the D of the layer that the ion is in; along z ions hop between
    planes with rates that are equal back and forth, so that they stay evenly spread. `walls` are
    "closed" (ions stay in their layer) or "open".
    """
    planes = round(height / PLANE_SPACING)
    D = np.where(np.arange(planes) < planes // 2, D_crystal, D_glass)
    # Rate of hops from each plane up: that of resistances in series across the bond.
    up = 2.0 / (1.0 / D + 1.0 / np.roll(D, -1)) / PLANE_SPACING**2
    if walls == "closed":
        up[[planes // 2 - 1, planes - 1]] = 0.0
    down = np.roll(up, 1)
    plane = rng.integers(0, planes, n_ions)
    if walls == "closed":
        plane = np.arange(n_ions) * planes // n_ions
    path = np.empty((n_frames, n_ions, 3))
    path[0] = np.stack([*rng.random((2, n_ions)) * 20.0, (plane + 0.5) * PLANE_SPACING], axis=1)
    gauss = rng.normal(size=(n_frames - 1, n_ions, 2))
    uniform = rng.random((n_frames - 1, n_ions))
    unwrapped = plane.copy()
    for t in range(1, n_frames):
        here = unwrapped % planes
        path[t, :, :2] = path[t - 1, :, :2] + np.sqrt(2.0 * D[here])[:, None] * gauss[t - 1]
        rises = uniform[t - 1] < up[here]
        falls = ~rises & (uniform[t - 1] < up[here] + down[here])
        unwrapped = unwrapped + rises - falls
        path[t, :, 2] = (unwrapped + 0.5) * PLANE_SPACING
    return path


def layer_groups(height=HEIGHT):
    """Return crystal and glass by the wrapped position along z."""

    def codes(frame):
        return ((frame.positions[:, 2] % height) >= height / 2).astype(np.int64)

    return Groups(NAMES, codes)
