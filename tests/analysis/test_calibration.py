"""How often the 95 % interval of D contains the truth; tests/benchmarks/coverage.py runs more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from toy_trajectories import (
    brownian,
    lattice_hops,
    make_trajectory,
    ornstein_uhlenbeck,
    reversing_hops,
    two_populations,
)

from analysis.hops.net_hops import net_hops
from analysis.motion.diffusion import diffusion_coefficient
from analysis.motion.msd import mean_squared_displacement

CM2_PER_S = 1e-4
IONS, FRAMES, REPLICAS = 64, 500, 200
# Below this number a coverage of 95 % has one chance in a thousand.
FEWEST_COVERED = stats.binom.ppf(0.001, REPLICAS, 0.95)


def reversing(reversal, ions=IONS, frames=FRAMES, probability=0.02):
    D = 9.0 * probability / 6 * (1 - reversal) / (1 + reversal)
    return lambda rng: reversing_hops(rng, ions, frames, probability, reversal), D


MODELS = {  # how to make a replica, and its D in Angstrom^2/ps
    "Brownian": (lambda rng: brownian(rng, IONS, FRAMES, D=0.05), 0.05),
    "lattice hops": (lambda rng: lattice_hops(rng, IONS, FRAMES, 0.02), 9.0 * 0.02 / 6),
    "lattice hops in groups of four": (
        lambda rng: lattice_hops(rng, IONS, FRAMES, 0.05, group=4),
        9.0 * 0.05 / 6,
    ),
    "hops that reverse with probability 0.3": reversing(0.3),
    "two populations": (lambda rng: two_populations(rng, IONS, FRAMES, 0.05), 0.5 * 0.055),
    "cage and rare hops": (
        lambda rng: (
            lattice_hops(rng, IONS, FRAMES, 0.015) + ornstein_uhlenbeck(rng, IONS, FRAMES, 5, 0.5)
        ),
        9.0 * 0.015 / 6,
    ),
    "Brownian with a relaxed cage": (
        lambda rng: (
            brownian(rng, IONS, FRAMES, D=0.05) + ornstein_uhlenbeck(rng, IONS, FRAMES, 10, 0.6)
        ),
        0.05,
    ),
}
CAGES = ((5, 0.5), (30, 1.0), (100, 1.5))  # relaxation in frames, width in Angstrom


def coefficient_of(positions):
    trajectory = make_trajectory(positions)
    ids = np.arange(trajectory.n_atoms)
    still = np.zeros((trajectory.n_frames, 3))
    msd = mean_squared_displacement(trajectory, ids, label="Li", drift_path=still)
    return diffusion_coefficient(msd, net_hops(trajectory, ids, drift_path=still)).coefficient


@pytest.mark.parametrize("model", MODELS)
def test_the_95_percent_interval_of_d_covers_the_truth(model):
    make, D = MODELS[model]
    found = [coefficient_of(make(np.random.default_rng(seed))) for seed in range(REPLICAS)]
    resolved = sum(coefficient.status == "ok" for coefficient in found)
    # Over all replicas: an unresolved one counts with the bound it reports.
    covered = sum(item.low <= D * CM2_PER_S <= item.high for item in found)
    assert resolved >= 0.95 * REPLICAS
    assert covered >= FEWEST_COVERED, f"{covered} of {REPLICAS} covered"


@pytest.mark.parametrize(("relaxation", "width"), CAGES)
def test_a_harmonic_cage_is_unresolved(relaxation, width):
    unresolved = 0
    for seed in range(REPLICAS):
        rng = np.random.default_rng(seed)
        found = coefficient_of(ornstein_uhlenbeck(rng, IONS, FRAMES, relaxation, width))
        unresolved += found.status == "unresolved"
    assert unresolved >= 0.95 * REPLICAS
