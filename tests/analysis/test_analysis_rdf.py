from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from ase.build import bulk
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.errors import RangeError
from analysis.pairs.pair_counts import largest_r_max
from analysis.pairs.rdf import pair_distributions
from analysis.pairs.shells import find_first_shell, first_shell


def ideal_gas(rng, n_atoms, n_frames, cells):
    return rng.random((n_frames, n_atoms, 3)) @ cells


def mean_and_error(pair, from_bin):
    """Mean of g beyond `from_bin`, weighted by shell volume, and its standard error."""
    weights = np.diff(pair.edges_angstrom**3)[from_bin:]
    blocks = (pair.g_blocks[:, from_bin:] * weights).sum(axis=1) / weights.sum()
    return blocks.mean(), blocks.std(ddof=1) / np.sqrt(len(blocks))


def test_ideal_gas_of_20_atoms_gives_1_not_0_95(rng):
    cells = np.tile(np.eye(3) * 10.0, (500, 1, 1))
    trajectory = make_trajectory(ideal_gas(rng, 20, 500, cells), cell=cells)
    (pair,) = pair_distributions(trajectory, stride=1)
    g, _ = mean_and_error(pair, 0)
    # Poisson error from the 500 x 190 pairs, of which pi/6 lie within half the cell.
    error = 1 / math.sqrt(500 * 190 * math.pi / 6)
    assert abs(g - 1.0) < 4 * error
    assert 4 * error < 0.05


def test_ideal_gas_in_boxes_alternating_20_and_24_gives_1_not_1_076(rng):
    cells = np.eye(3) * np.where(np.arange(400) % 2, 24.0, 20.0)[:, None, None]
    trajectory = make_trajectory(ideal_gas(rng, 60, 400, cells), cell=cells)
    (pair,) = pair_distributions(trajectory, stride=1)
    g, _ = mean_and_error(pair, 0)
    pairs_seen = 400 * 60 * 59 / 2 * 4 / 3 * math.pi * 10**3 / 24**3
    assert abs(g - 1.0) < 4 / math.sqrt(pairs_seen)
    assert 4 / math.sqrt(pairs_seen) < 0.076


def test_triclinic_ideal_gas_gives_1(rng):
    cells = np.tile(TRICLINIC, (600, 1, 1))
    positions = ideal_gas(rng, 30, 600, cells)
    trajectory = make_trajectory(positions, cell=cells, species=["Li"] * 10 + ["S"] * 20)
    for pair in pair_distributions(trajectory, stride=1):
        n_pairs = {"Li-Li": 45, "Li-S": 200, "S-S": 190}[pair.label]
        sphere = 4 / 3 * math.pi * pair.edges_angstrom[-1] ** 3
        expected = 600 * n_pairs * sphere / np.linalg.det(TRICLINIC)
        g, _ = mean_and_error(pair, 0)
        assert abs(g - 1.0) < 4 / math.sqrt(expected), pair.label


def fcc(rng=None, noise=0.0, n_frames=1):
    atoms = bulk("Al", "fcc", a=4.0, cubic=True).repeat(4)
    positions = np.tile(atoms.positions, (n_frames, 1, 1))
    if rng is not None:
        positions = positions + rng.normal(0.0, noise, positions.shape)
    return make_trajectory(positions, cell=atoms.cell[:], species="Al")


def test_fcc_shells_hold_12_6_and_24_neighbours_at_their_distances():
    # Bins of 0.0137 Angstrom keep all three distances away from bin edges.
    (pair,) = pair_distributions(fcc(), r_max_angstrom=5.5, bin_angstrom=0.0137)
    occupied = np.flatnonzero(pair.g)
    distances = [4.0 / math.sqrt(2), 4.0, 4.0 * math.sqrt(1.5)]
    np.testing.assert_allclose(pair.r_angstrom[occupied], distances, atol=0.0137 / 2)
    np.testing.assert_allclose(pair.cn_ij[occupied], [12, 18, 42], rtol=1e-12)


def test_first_shell_of_vibrating_fcc_is_found_with_12_neighbours(rng):
    (pair,) = pair_distributions(fcc(rng, 0.15, 20))
    shell = {q.name: q for q in first_shell(pair)}
    assert shell["rdf_first_peak_Al-Al"].value == pytest.approx(4 / math.sqrt(2), abs=0.04)
    assert 3.2 < shell["rdf_first_minimum_Al-Al"].value < 3.7
    number = shell["coordination_number_Al-Al"]
    assert number.value == pytest.approx(12.0, abs=0.1)
    assert number.low <= number.value <= number.high


def test_equal_numbers_in_every_block_are_no_error_of_zero(rng):
    (pair,) = pair_distributions(fcc(rng, 0.02, 10))
    shell = {q.name: q for q in first_shell(pair)}
    number = shell["coordination_number_Al-Al"]
    assert number.value == pytest.approx(12, rel=1e-12)
    assert math.isnan(number.low)
    assert math.isnan(number.high)
    assert "no error estimate from equal blocks" in number.reason
    peak = shell["rdf_first_peak_Al-Al"]
    assert peak.high - peak.low >= 0.02 - 1e-12


def test_a_minimum_that_some_blocks_lack_says_so(rng):
    (pair,) = pair_distributions(fcc(rng, 0.1, 20))
    g_blocks = pair.g_blocks.copy()
    g_blocks[3] = 1.0
    shell = {q.name: q for q in first_shell(dataclasses.replace(pair, g_blocks=g_blocks))}
    minimum = shell["rdf_first_minimum_Al-Al"]
    assert math.isnan(minimum.low)
    assert minimum.reason.endswith("no error estimate from 4 of 5 blocks alone")


def test_gas_has_no_first_shell(rng):
    cells = np.tile(np.eye(3) * 20.0, (300, 1, 1))
    trajectory = make_trajectory(ideal_gas(rng, 100, 300, cells), cell=cells)
    (pair,) = pair_distributions(trajectory)
    shell = first_shell(pair)
    assert {quantity.status for quantity in shell} == {"unresolved"}


def test_minimum_in_a_gap_is_its_middle():
    r = np.arange(0.01, 8, 0.02)
    g = 10 * np.exp(-((r - 2.0) ** 2) / 0.01) + 5 * np.exp(-((r - 4.0) ** 2) / 0.01)
    peak, minimum = find_first_shell(r, g, np.full(len(r), 1e4))
    assert peak == pytest.approx(2.0, abs=0.02)
    assert minimum == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(("valley", "minimum"), [(0.3, 3.5), (0.85, 5.0)])
def test_a_split_peak_is_one_shell(valley, minimum):
    r = np.arange(0.01, 8, 0.02)
    nodes = [0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0]
    g = np.interp(r, nodes, [0, 0, 2.0, 2.0 * valley, 2.0, 0.2, 1.2, 1.0])
    found = find_first_shell(r, g, np.full(len(r), 1e4))
    assert found == pytest.approx((3.0, minimum), abs=0.1)


def test_first_shell_without_peak_is_unresolved_with_a_reason(rng):
    trajectory = make_trajectory(
        np.zeros((2, 2, 3)) + np.array([[0, 0, 0], [9.0, 0, 0]]), cell=20.0
    )
    (pair,) = pair_distributions(trajectory, r_max_angstrom=5.0)
    shell = first_shell(pair)
    assert {q.status for q in shell} == {"unresolved"}
    assert all(q.reason for q in shell)


def test_r_max_beyond_half_the_perpendicular_width_is_refused_naming_the_limit():
    cell = np.array([[10.0, 0, 0], [6.0, 8.0, 0], [0, 0, 12.0]])
    trajectory = make_trajectory(np.zeros((1, 2, 3)), cell=cell)
    # Width between the bc faces is 80 / 10, not the edge length 10.
    assert largest_r_max(trajectory) == pytest.approx(4.0)
    with pytest.raises(RangeError, match=r"at most 4\.0000 Angstrom"):
        pair_distributions(trajectory, r_max_angstrom=4.5)


@pytest.mark.parametrize("wrong", [{"stride": -1}, {"bin_angstrom": 0}, {"r_max_angstrom": np.nan}])
def test_impossible_requests_are_refused(rng, wrong):
    with pytest.raises(RangeError, match=r"at least 1|holds no bin"):
        pair_distributions(fcc(rng, 0.1, 5), **wrong)


def test_smallest_frame_limits_r_max():
    cells = np.eye(3) * np.array([20.0, 12.0, 24.0])[:, None, None]
    trajectory = make_trajectory(np.zeros((3, 2, 3)), cell=cells)
    assert largest_r_max(trajectory) == pytest.approx(6.0)


def test_g_is_unchanged_by_permutation_rotation_translation_and_unwrapping(rng):
    n = 40
    positions = ideal_gas(rng, n, 3, np.tile(TRICLINIC, (3, 1, 1)))
    species = np.array(["Li"] * 15 + ["S"] * 25)
    order = rng.permutation(n)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    images = rng.integers(-3, 4, (3, n, 3)) @ TRICLINIC
    variants = [
        make_trajectory(positions[:, order], cell=TRICLINIC, species=species[order]),
        make_trajectory(positions @ rotation, cell=TRICLINIC @ rotation, species=species),
        make_trajectory(positions + np.array([1.3, -7.7, 4.0]), cell=TRICLINIC, species=species),
        make_trajectory(positions + images, cell=TRICLINIC, species=species),
    ]
    reference = pair_distributions(make_trajectory(positions, cell=TRICLINIC, species=species))
    for variant in variants:
        for pair, expected in zip(
            pair_distributions(variant, r_max_angstrom=reference[0].edges_angstrom[-1]),
            reference,
            strict=True,
        ):
            assert pair.label == expected.label
            # Round-off may carry a single pair across a bin edge.
            np.testing.assert_allclose(pair.cn_ij[-1], expected.cn_ij[-1], rtol=1e-2)
            assert np.count_nonzero(~np.isclose(pair.g, expected.g)) <= 2


def test_supercell_has_the_running_coordination_number_of_its_cell(rng):
    cell = np.eye(3) * 8.0
    small = rng.random((1, 20, 3)) @ cell
    shifts = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)]) * 8.0
    large = (small[:, None] + shifts[None, :, None]).reshape(1, -1, 3)
    (one,) = pair_distributions(make_trajectory(small, cell=cell))
    (eight,) = pair_distributions(make_trajectory(large, cell=2 * cell), r_max_angstrom=4.0)
    np.testing.assert_allclose(eight.cn_ij, one.cn_ij, atol=0.1 + 1e-9)
    np.testing.assert_allclose(eight.cn_ij[-1], one.cn_ij[-1], rtol=1e-12)


def test_coordination_numbers_of_a_pair_are_in_the_ratio_of_the_numbers_of_atoms(rng):
    cells = np.tile(TRICLINIC, (2, 1, 1))
    trajectory = make_trajectory(
        ideal_gas(rng, 30, 2, cells), cell=cells, species=["Li"] * 10 + ["S"] * 20
    )
    pair = next(p for p in pair_distributions(trajectory) if p.label == "Li-S")
    np.testing.assert_allclose(pair.cn_ij * 10, pair.cn_ji * 20, rtol=1e-12)


def test_a_single_atom_of_a_species_has_no_like_pair(rng):
    cells = np.tile(TRICLINIC, (2, 1, 1))
    trajectory = make_trajectory(ideal_gas(rng, 3, 2, cells), cell=cells, species=["Li", "S", "S"])
    assert [pair.label for pair in pair_distributions(trajectory)] == ["Li-S", "S-S"]
