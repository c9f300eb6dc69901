"""Coverage of the interval of the collective conductivity, over fixed replicas."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from toy_trajectories import brownian, lattice_hops, make_trajectory

from analysis.conductivity.collective import ion_power, mobile_charge_displacement
from analysis.conductivity.collective_slope import collective_slope
from analysis.motion.msd import mean_squared_displacement
from analysis.motion.window import diffusive_window

IONS, FRAMES = 64, 500
HOP_LENGTH = 3.0


def reversing_hops(rng, n_atoms, n_frames, probability=0.03, reverse=0.3):
    """Hops that undo the last one with some probability, else go anywhere."""
    shape = (n_frames - 1, n_atoms)
    codes = rng.integers(0, 6, shape)  # axis and sign; c and (c + 3) % 6 undo each other
    hops = rng.random(shape) < probability
    back = rng.random(shape) < reverse
    # Only the hops matter: they are few, so ions are taken one by one along their own hops.
    for i in range(n_atoms):
        rows = np.flatnonzero(hops[:, i])
        for earlier, later in pairwise(rows):
            if back[later, i]:
                codes[later, i] = (codes[earlier, i] + 3) % 6
    directions = np.concatenate([np.eye(3), -np.eye(3)]) * HOP_LENGTH
    steps = directions[codes] * hops[..., None]
    return np.concatenate([np.zeros((1, n_atoms, 3)), np.cumsum(steps, axis=0)])


def exclusion(rng, n_atoms, n_frames, side=5, attempts=0.1):
    """Random walkers on a cubic lattice that may not share a site."""
    sites = np.array(list(np.ndindex(side, side, side)))
    towards = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    neighbours = (((sites[:, None] + towards) % side) @ np.array([side * side, side, 1])).tolist()
    where = rng.permutation(side**3)[:n_atoms].tolist()
    occupied = set(where)
    counts = rng.poisson(attempts * n_atoms, n_frames - 1)
    frames = np.repeat(np.arange(1, n_frames), counts).tolist()
    ions = rng.integers(0, n_atoms, len(frames)).tolist()
    codes = rng.integers(0, 6, len(frames)).tolist()
    steps = np.zeros((n_frames, n_atoms, 3))
    for frame, i, code in zip(frames, ions, codes, strict=True):
        target = neighbours[where[i]][code]
        if target not in occupied:
            occupied.remove(where[i])
            occupied.add(target)
            where[i] = target
            steps[frame, i] += HOP_LENGTH * towards[code]
    return np.cumsum(steps, axis=0)


# Each with the exact slope of <|P|^2> in one direction, Angstrom^2/ps. For exclusion the current is
# a gradient, so that hops of the ensemble are uncorrelated: free neighbours times attempts. Hops
# that reverse have successive steps with correlation -r: the factor (1 - r)/(1 + r).
MODELS = {
    "brownian": (lambda rng: brownian(rng, IONS, FRAMES), 2 * 0.05 * IONS),
    "hops": (lambda rng: lattice_hops(rng, IONS, FRAMES), 0.02 * 3.0 * IONS),
    "groups of four": (lambda rng: lattice_hops(rng, IONS, FRAMES, group=4), 0.02 * 12.0 * IONS),
    "reversing": (lambda rng: reversing_hops(rng, IONS, FRAMES), 0.03 * 3.0 * IONS * 0.7 / 1.3),
    "exclusion": (lambda rng: exclusion(rng, IONS, FRAMES), 0.1 * 3.0 * IONS * 61 / 124),
}


def interval_covers(positions, truth):
    """Whether the interval of the conductivity holds the truth; None if ions do not diffuse."""
    n_frames, n_ions, _ = positions.shape
    at_rest = np.zeros((n_frames, 1, 3))
    trajectory = make_trajectory(
        np.concatenate([positions, at_rest], axis=1), species=["Li"] * n_ions + ["S"]
    )
    ids = np.arange(n_ions)
    msd = mean_squared_displacement(trajectory, ids, label="Li", drift_path=at_rest[:, 0])
    fit, objection = diffusive_window(msd)
    if fit is None or objection:
        return None
    charge = mobile_charge_displacement(trajectory, ids, 1.0, label="Li")
    ions = ion_power(trajectory, charge, int(charge.duration_ps / fit.start_ps))
    limit = fit.slope / 3.0 * n_ions
    slope = collective_slope(charge, ions, start_ps=fit.start_ps, ion_limit=limit)
    return None if slope.objection else bool(slope.low <= truth <= slope.high)


@pytest.mark.parametrize("name", list(MODELS))
def test_the_interval_covers_the_truth(name):
    make, truth = MODELS[name]
    rng = np.random.default_rng(11)
    replicas = 200
    covered = [interval_covers(make(rng), truth) for _ in range(replicas)]
    known = [item for item in covered if item is not None]
    assert len(known) > 0.9 * replicas
    assert sum(known) >= stats.binom.ppf(0.001, len(known), 0.95)
    # Nor wide enough to be empty: a 95 % interval misses now and then.
    assert sum(known) < len(known)
