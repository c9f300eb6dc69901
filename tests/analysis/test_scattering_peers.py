"""The same frames through dynasor and freud, with their conventions converted."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from scattering_samples import packed_spheres
from toy_trajectories import make_trajectory

from analysis.scattering.density_modes import density_modes, select_wave_vectors
from analysis.scattering.partials import direct_structure_factors

SIDE, SPECIES = 14.0, ["Li"] * 60 + ["S"] * 90


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(11)
    return np.array([packed_spheres(rng, 150, SIDE, 2.0) for _ in range(3)])


def test_dynasor_gives_the_same_partials(frames, tmp_path):
    dynasor = pytest.importorskip("dynasor", reason="dynasor is a peer, not a dependency")
    images = [Atoms(SPECIES, positions=x, cell=np.eye(3) * SIDE, pbc=True) for x in frames]
    write(tmp_path / "run.extxyz", images, format="extxyz")
    kinds = {"Li": np.arange(60), "S": np.arange(60, 150)}
    trajectory = dynasor.Trajectory(str(tmp_path / "run.extxyz"), "extxyz", atomic_indices=kinds)
    (part,) = select_wave_vectors(
        np.eye(3) * SIDE, np.array([0.0, 4.0]), np.random.default_rng(0), max_vectors=10**6
    )
    q = 2 * np.pi / SIDE * part.indices
    sample = dynasor.compute_static_structure_factors(trajectory, q)
    edges = np.arange(81) * 0.05
    bins = np.searchsorted(edges, part.k, side="right") - 1
    ours = direct_structure_factors(
        make_trajectory(frames, species=SPECIES, cell=SIDE), q_max_inverse_angstrom=4.0
    )
    number = np.bincount(bins)
    c = np.array([0.4, 0.6])
    for a, one in enumerate(("Li", "S")):
        for b, other in enumerate(("Li", "S")[a:], start=a):
            theirs = sample[f"Sq_{one}_{other}"].ravel()
            mean = np.bincount(bins, theirs)[number > 0] / number[number > 0]
            # Theirs is over all atoms, unlike pairs counted twice: like partials tend to c_a.
            expected = 1.0 + (mean / (1 + (a != b)) - (a == b) * c[a]) / (c[a] * c[b])
            # Positions of the file have 8 decimals.
            assert np.allclose(ours.s[a, b], expected, atol=1e-5)


def test_freud_gives_the_same_partials_on_the_octant_that_it_samples(frames):
    freud = pytest.importorskip("freud", reason="freud is not installed")
    edges = np.arange(0.0, 4.01, 0.1)
    (part,) = select_wave_vectors(
        np.eye(3) * SIDE, edges, np.random.default_rng(0), max_vectors=10**6
    )
    (modes,) = density_modes(frames[0] / SIDE, np.repeat([0, 1], [60, 90]), 2, [part])
    # Only wave vectors without a negative component, each as likely as another.
    octant = (part.indices >= 0).all(axis=1)
    bins = np.searchsorted(edges, part.k[octant], side="right") - 1
    number = np.bincount(bins, minlength=40)
    used = number > 0
    atoms = [frames[0][:60] - SIDE / 2, frames[0][60:] - SIDE / 2]
    for a, b in ((0, 0), (0, 1), (1, 1)):
        direct = freud.diffraction.StaticStructureFactorDirect(bins=40, k_max=4.0)
        box = freud.box.Box.cube(SIDE)
        direct.compute((box, atoms[a]), query_points=atoms[b], N_total=150)
        product = (modes[a] * modes[b].conj()).real[octant] / 150
        ours = np.bincount(bins, product, minlength=40)[used] / number[used]
        # Single precision; like partials tend to c_a and unlike ones to 0.
        assert np.allclose(direct.S_k[used], ours, atol=1e-4)
