"""Partial structure factors: exact crystals, gases, both routes on one fluid, invariances."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase.build import bulk
from scattering_samples import packed_spheres
from scipy.spatial.transform import Rotation
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.errors import AnalysisError, RangeError
from analysis.pairs.rdf import pair_distributions
from analysis.scattering.density_modes import density_modes, select_wave_vectors
from analysis.scattering.pair_transform import (
    find_join,
    joined_structure_factors,
    transformed_structure_factors,
)
from analysis.scattering.partials import (
    direct_structure_factors,
    lowest_q,
    mean_density,
    sampling_variance,
)


@pytest.fixture(scope="module")
def fluid():
    """Ten packings of two kinds of spheres, with pairs to half the cell."""
    rng = np.random.default_rng(7)
    side, frames = 18.0, [packed_spheres(rng, 320, 18.0, 2.0) for _ in range(10)]
    trajectory = make_trajectory(np.array(frames), species=["Li"] * 120 + ["S"] * 200, cell=side)
    return trajectory, pair_distributions(trajectory, r_max_angstrom=9.0)


@pytest.mark.parametrize("most", [10**6, 150])
def test_modes_are_the_plain_sum_over_atoms(rng, most):
    edges = np.arange(0.0, 5.01, 0.05)
    ranges = select_wave_vectors(TRICLINIC, edges, rng, max_vectors=most)
    fractional, codes = rng.normal(size=(40, 3)) * 3.0, rng.integers(0, 3, 40)
    reciprocal = 2 * np.pi * np.linalg.inv(TRICLINIC).T
    for part, modes in zip(ranges, density_modes(fractional, codes, 3, ranges), strict=True):
        phases = np.exp(2j * np.pi * fractional @ part.indices.T)
        plain = np.array([phases[codes == kind].sum(axis=0) for kind in range(3)])
        assert np.abs(modes - plain).max() < 1e-10 * 40
        assert np.allclose(part.k, np.linalg.norm(part.indices @ reciprocal, axis=1), rtol=1e-12)
    assert (len(ranges) > 1) == (most == 150)


def test_every_wave_vector_of_a_half_space_is_found_once(rng):
    (part,) = select_wave_vectors(TRICLINIC, np.arange(0, 3.01, 0.05), rng, max_vectors=10**6)
    reciprocal = 2 * np.pi * np.linalg.inv(TRICLINIC).T
    h = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), -1).reshape(-1, 3)
    k = np.linalg.norm(h @ reciprocal, axis=1)
    inside = {tuple(row) for row in h[(k < 3.0) & (k > 0)].tolist()}
    found = {tuple(row) for row in part.indices.tolist()}
    opposite = {tuple(-x for x in row) for row in found}
    assert found | opposite == inside
    assert not found & opposite


def test_thinned_wave_vectors_are_few_and_point_everywhere():
    edges = np.arange(0.0, 4.01, 0.05)
    cell = np.diag([40.0, 20.0, 30.0])
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    squares = []
    for seed in range(200):
        ranges = select_wave_vectors(cell, edges, np.random.default_rng(seed), max_vectors=500)
        last = ranges[-1]
        assert len(last.k) < 1000
        unit = (last.indices @ reciprocal) / last.k[:, None]
        squares.append((unit**2).mean(axis=0))
    error = np.std(squares, axis=0, ddof=1) / np.sqrt(200)
    assert (np.abs(np.mean(squares, axis=0) - 1 / 3) < 4 * error + 0.01).all()


def test_fcc_has_its_peaks_and_nothing_at_mixed_indices():
    atoms = bulk("Al", "fcc", a=4.0, cubic=True).repeat(3)
    trajectory = make_trajectory(atoms.positions[None], species="Al", cell=12.0)
    found = direct_structure_factors(
        trajectory, q_max_inverse_angstrom=4.6, q_bin_inverse_angstrom=0.002
    )
    s, q = found.s[0, 0], found.q_inverse_angstrom
    peaks = s > 1e-9
    assert q[peaks] == pytest.approx(2 * np.pi / 4.0 * np.sqrt([3.0, 4.0, 8.0]), abs=1e-10)
    assert q[peaks] == pytest.approx([2.7207, 3.1416, 4.4429], abs=1e-4)
    # At a peak every one of the 108 atoms is in phase; bins hold non-Bragg vectors too.
    assert (s[~peaks] < 1e-10).all()
    (part,) = select_wave_vectors(
        np.eye(3) * 12, np.array([0, 4.6]), np.random.default_rng(0), max_vectors=10**6
    )
    (modes,) = density_modes(atoms.get_scaled_positions(), np.zeros(108, int), 1, [part])
    bragg = (part.indices % 3 == 0).all(axis=1) & (np.ptp(part.indices // 3 % 2, axis=1) == 0)
    intensity = np.abs(modes[0]) ** 2 / 108
    assert intensity[bragg] == pytest.approx(108.0, rel=1e-10)
    assert intensity[~bragg].max() < 1e-10


def test_ideal_gas_gives_1_in_every_partial(rng):
    positions = rng.random((400, 60, 3)) @ TRICLINIC
    trajectory = make_trajectory(positions, species=["Li"] * 20 + ["S"] * 40, cell=TRICLINIC)
    found = direct_structure_factors(trajectory, stride=1)
    used = found.q_inverse_angstrom > lowest_q(trajectory)
    error = np.sqrt(sampling_variance(found))[..., used]
    # Few blocks make errors of single bins uncertain: judge all bins together.
    deviation = (found.s[..., used] - 1.0) / error
    assert np.abs(deviation.mean(axis=-1)).max() < 4.0 / np.sqrt(used.sum())
    assert np.sqrt((deviation**2).mean()) < 1.3


def test_scatter_from_the_number_of_wave_vectors_is_as_predicted(rng):
    positions = rng.random((20, 60, 3)) @ TRICLINIC
    trajectory = make_trajectory(positions, species=["Li"] * 20 + ["S"] * 40, cell=TRICLINIC)
    # A single block: the prediction alone.
    found = direct_structure_factors(trajectory, n_blocks=1, q_bin_inverse_angstrom=0.02)
    squares = (found.s - 1.0) ** 2 / sampling_variance(found)
    squares = squares[..., found.q_inverse_angstrom > lowest_q(trajectory)]
    # The mean of n squares of unit variance scatters by sqrt(2/n).
    for a, b in ((0, 0), (0, 1), (1, 1)):
        error = np.sqrt(2.0 / squares.shape[-1])
        assert squares[a, b].mean() == pytest.approx(1.0, abs=4 * error)


def test_ideal_gas_in_changing_boxes_gives_1(rng):
    cells = np.eye(3) * np.where(np.arange(400) % 2, 24.0, 20.0)[:, None, None] / 2
    positions = rng.random((400, 40, 3)) @ cells
    found = direct_structure_factors(
        make_trajectory(positions, cell=cells), stride=1, q_max_inverse_angstrom=4.0
    )
    weights = found.n_vectors / found.n_vectors.sum()
    blocks = found.s_blocks[:, 0, 0] @ weights
    assert abs(blocks.mean() - 1.0) < 4 * blocks.std(ddof=1) / np.sqrt(len(blocks))


def test_one_frame_gives_the_same_by_both_routes_above_the_resolution(fluid):
    trajectory, _ = fluid
    frame = make_trajectory(trajectory.source.positions[:1], species=trajectory.species, cell=18.0)
    pairs = pair_distributions(frame, r_max_angstrom=9.0)
    direct = direct_structure_factors(frame, q_max_inverse_angstrom=8.0)
    same = transformed_structure_factors(frame, pairs, direct.q_inverse_angstrom, closed_cell=True)
    resolution = 2 * np.pi / 9.0
    variance = sampling_variance(direct)
    for low in np.arange(2 * resolution, 7.0, resolution):
        near = np.abs(direct.q_inverse_angstrom - low) < resolution / 2
        weights = direct.n_vectors[near] / direct.n_vectors[near].sum()
        difference = (direct.s - same.s)[..., near] @ weights
        error = np.sqrt(variance[..., near] @ weights**2)
        # A single frame and one realisation: 4 errors and the ripple of the cut.
        assert (np.abs(difference) < 4 * error + 0.03).all()


def test_routes_join_where_they_agree_and_tend_to_1(fluid):
    trajectory, pairs = fluid
    direct = direct_structure_factors(trajectory)
    same = transformed_structure_factors(
        trajectory, pairs, direct.q_inverse_angstrom, closed_cell=True
    )
    join = find_join(direct, same, 9.0)
    assert join.agreed
    assert join.disagreement < 0.1
    assert 1.0 < join.q_inverse_angstrom < 6.0
    above = transformed_structure_factors(
        trajectory, pairs, np.arange(0.025, 60, 0.05), closed_cell=True
    )
    joined = joined_structure_factors(direct, above, join)
    assert (np.diff(joined.q_inverse_angstrom) > 0).all()
    assert (joined.n_vectors[joined.q_inverse_angstrom < join.q_inverse_angstrom] > 0).all()
    top = joined.q_inverse_angstrom > 40
    assert np.abs(joined.s[..., top].mean(axis=-1) - 1.0).max() < 0.02
    assert f"{join.q_inverse_angstrom:.3g}" in joined.route


def test_a_crystal_does_not_join():
    atoms = bulk("Al", "fcc", a=4.0, cubic=True).repeat(5)
    noise = np.random.default_rng(1).normal(0, 0.05, (5, len(atoms), 3))
    trajectory = make_trajectory(atoms.positions + noise, species="Al", cell=20.0)
    pairs = pair_distributions(trajectory)
    direct = direct_structure_factors(trajectory)
    same = transformed_structure_factors(
        trajectory, pairs, direct.q_inverse_angstrom, closed_cell=True
    )
    join = find_join(direct, same, 10.0)
    assert not join.agreed
    with pytest.raises(AnalysisError, match="cannot be joined"):
        joined_structure_factors(direct, same, join)


def test_thinned_sum_agrees_with_the_complete_one(fluid):
    trajectory, _ = fluid
    every = direct_structure_factors(trajectory)
    few = direct_structure_factors(trajectory, max_vectors=400, seed=3)
    assert few.n_vectors.sum() < 0.3 * every.n_vectors.sum()
    top = few.q_inverse_angstrom > 3.0
    other = every.q_inverse_angstrom > 3.0
    blocks = few.s_blocks[..., top].mean(axis=-1) - every.s_blocks[..., other].mean(axis=-1)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    assert (np.abs(blocks.mean(axis=0)) < 4 * error + 1e-3).all()
    again = direct_structure_factors(trajectory, max_vectors=400, seed=3)
    assert np.array_equal(few.s, again.s)


def _moved(fluid, change):
    trajectory, _ = fluid
    x, cell, species = trajectory.source.positions, trajectory.cells[0], trajectory.species
    if change == "translation":
        x = x + np.array([3.0, -40.0, 1.7])
    elif change == "permutation":
        order = np.random.default_rng(2).permutation(x.shape[1])
        x, species = x[:, order], species[order]
    elif change == "rotation":
        turn = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
        x, cell = x @ turn, cell @ turn
    elif change == "unwrapping":
        x = x + 18.0 * np.random.default_rng(3).integers(-3, 4, x.shape)
    else:
        cell = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ cell
    return make_trajectory(x, species=species.tolist(), cell=cell)


@pytest.mark.parametrize(
    "change", ["translation", "permutation", "rotation", "unwrapping", "triclinic description"]
)
def test_structure_factors_do_not_depend_on_the_description(fluid, change):
    # Off the edges of bins, where round-off decides.
    options = {"q_max_inverse_angstrom": 3.0 * 1.0007, "q_bin_inverse_angstrom": 0.1 * 1.0007}
    found = direct_structure_factors(fluid[0], **options)
    moved = direct_structure_factors(_moved(fluid, change), **options)
    assert np.array_equal(found.n_vectors, moved.n_vectors)
    assert np.allclose(found.s, moved.s, rtol=1e-9, atol=1e-9)


def test_a_supercell_repeats_the_modes(rng):
    fractional = rng.random((10, 3))
    shifts = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).reshape(-1, 3)
    edges = np.array([0.0, 3.0])
    (small,) = select_wave_vectors(TRICLINIC, edges, rng, max_vectors=10**6)
    (large,) = select_wave_vectors(2 * TRICLINIC, edges, rng, max_vectors=10**6)
    codes = np.zeros(10, int)
    (modes,) = density_modes(fractional, codes, 1, [small])
    many = ((fractional[:, None] + shifts) / 2).reshape(-1, 3)
    (repeated,) = density_modes(many, np.zeros(80, int), 1, [large])
    table = dict(zip(map(tuple, large.indices.tolist()), repeated[0], strict=True))
    common = [table[tuple(row)] for row in (2 * small.indices).tolist()]
    assert np.allclose(common, 8 * modes[0], atol=1e-10)
    odd = (large.indices % 2 != 0).any(axis=1)
    assert np.abs(repeated[0][odd]).max() < 1e-10


def test_a_single_atom_of_a_species_gives_exactly_1(rng):
    trajectory = make_trajectory(rng.random((3, 30, 3)) * 12, species=["P"] + ["S"] * 29, cell=12.0)
    direct = direct_structure_factors(trajectory)
    assert np.abs(direct.s[0, 0] - 1.0).max() < 1e-10
    pairs = pair_distributions(trajectory)
    assert [pair.label for pair in pairs] == ["P-S", "S-S"]
    assert (
        transformed_structure_factors(trajectory, pairs, np.arange(1.0, 3.0)).s[0, 0] == 1
    ).all()


def test_transform_of_a_gaussian_shell_is_analytic(fluid):
    trajectory, pairs = fluid
    pair = next(p for p in pairs if p.label == "Li-S")
    a, width, height = 3.0, 0.06, 2.0
    fine = np.linspace(pair.edges_angstrom[:-1], pair.edges_angstrom[1:], 21)
    shell = height * fine * np.exp(-((fine - a) ** 2) / (2 * width**2))  # r^2 (g - 1)
    # What a histogram would count: the mean over the volume of each bin.
    g = 1.0 + np.trapezoid(shell, fine, axis=0) / np.trapezoid(fine**2, fine, axis=0)
    planted = [dataclasses.replace(p, g=g, g_blocks=np.array([g])) for p in pairs]
    q = np.arange(0.5, 40.0, 0.5)
    found = transformed_structure_factors(trajectory, planted, q).s[0, 1]
    scale = 4 * np.pi * mean_density(trajectory) * height * width * np.sqrt(2 * np.pi)
    envelope = scale / q * np.exp(-((q * width) ** 2) / 2)
    expected = 1.0 + envelope * np.sin(q * a)
    # Without the transform of a bin 3 % would be missing at 40 1/Angstrom.
    assert (np.abs(found - expected) < 1e-3 * envelope).all()


def test_lorchs_window_weakens_each_shell_by_its_factor(fluid):
    trajectory, pairs = fluid
    g = np.ones(len(pairs[0].g))
    shell = 300
    g[shell] = 5.0
    planted = [dataclasses.replace(p, g=g, g_blocks=np.array([g])) for p in pairs]
    q = np.arange(0.5, 20.0, 0.5)
    plain = transformed_structure_factors(trajectory, planted, q).s - 1.0
    windowed = transformed_structure_factors(trajectory, planted, q, window="lorch")
    at = np.pi * pairs[0].r_angstrom[shell] / pairs[0].edges_angstrom[-1]
    np.testing.assert_allclose(windowed.s - 1.0, plain * np.sin(at) / at, rtol=1e-10)
    assert "Lorch" in windowed.route


def test_the_closed_cell_lowers_like_pairs_by_one_atom(fluid):
    trajectory, pairs = fluid
    q = np.arange(1.0, 4.0, 0.1)
    open_one = transformed_structure_factors(trajectory, pairs, q).s - 1.0
    closed = transformed_structure_factors(trajectory, pairs, q, closed_cell=True).s - 1.0
    assert np.allclose(closed[0, 0], open_one[0, 0] * 119 / 120, rtol=1e-12)
    assert np.allclose(closed[0, 1], open_one[0, 1], rtol=1e-12)


def test_impossible_requests_are_refused(fluid):
    trajectory, pairs = fluid
    with pytest.raises(RangeError, match=r"shortest is 0\.349"):
        direct_structure_factors(trajectory, q_max_inverse_angstrom=0.3)
    with pytest.raises(RangeError, match="2 frames cannot be cut into 5"):
        direct_structure_factors(trajectory, stride=5, n_blocks=5)
    for stride in (0, -1):
        with pytest.raises(RangeError, match=f"stride {stride}"):
            direct_structure_factors(trajectory, stride=stride)
    q = np.arange(1.0, 3.0)
    with pytest.raises(AnalysisError, match="at 1 values of Q"):
        transformed_structure_factors(trajectory, pairs, q[:1])
    with pytest.raises(AnalysisError, match="no pair distribution of Li-S"):
        transformed_structure_factors(trajectory, [pairs[0], pairs[2]], q)
    with pytest.raises(AnalysisError, match="'hann' is unknown"):
        transformed_structure_factors(trajectory, pairs, q, window="hann")
    with pytest.raises(AnalysisError, match="nothing to transform"):
        transformed_structure_factors(trajectory, [], q)
    other = dataclasses.replace(pairs[1], g_blocks=pairs[1].g_blocks[:2])
    with pytest.raises(AnalysisError, match="differ in bins or blocks"):
        transformed_structure_factors(trajectory, [pairs[0], other, pairs[2]], q)


def test_one_frame_has_no_error_and_blocks_are_what_they_say(fluid):
    trajectory, _ = fluid
    found = direct_structure_factors(trajectory)
    assert found.s_blocks.shape == (5, 2, 2, len(found.q_inverse_angstrom))
    assert np.allclose(found.s_blocks.mean(axis=0), found.s)
    assert found.s[0, 1] == pytest.approx(found.s[1, 0])
