"""Rotation of tetrahedra: correlation functions and jumps against rotations that were put in."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from toy_trajectories import lattice_hops, make_trajectory

from analysis.errors import AnalysisError, RangeError
from analysis.hops.all_hops import all_hops
from analysis.hops.rotating_units import nearest_rotations, orientations, rotating_units
from analysis.hops.rotation_findings import rotation_findings
from analysis.hops.rotations import relaxation_time, rotation_rate, rotations

BOND = 2.05
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
SPACING = 9.0


def tetrahedra(turned, *, interval_ps=1.0, mobile=None, cell=None):
    """Place one PS4 a unit on a grid; `turned` (F, U, 3, 3) turns it. Atoms start wrapped."""
    n_frames, n_units = turned.shape[:2]
    side = int(np.ceil(n_units ** (1 / 3)))
    cell = np.eye(3) * side * SPACING if cell is None else cell
    grid = np.stack(np.unravel_index(np.arange(n_units), (side,) * 3), axis=1) / side
    centres = np.tile(grid @ cell, (n_frames, 1, 1))
    ligands = centres[:, :, None] + BOND * CORNERS @ turned.swapaxes(2, 3)
    positions = np.concatenate([centres, ligands.reshape(n_frames, -1, 3)], axis=1)
    positions -= np.floor(positions[0] @ np.linalg.inv(cell)) @ cell
    species = ["P"] * n_units + ["S"] * 4 * n_units
    if mobile is not None:
        positions = np.concatenate([positions, mobile], axis=1)
        species += ["Li"] * mobile.shape[1]
    return make_trajectory(positions, species=species, cell=cell, frame_interval_ps=interval_ps)


def followed(trajectory, **options):
    (units,) = rotating_units(trajectory)
    return rotations(trajectory, units, **options)


def random_walk(rng, n_frames, n_units, step):
    """Isotropic rotational diffusion, rotation vectors of standard deviation `step` an axis."""
    steps = Rotation.from_rotvec(rng.normal(0.0, step, (n_frames * n_units, 3))).as_matrix()
    steps = steps.reshape(n_frames, n_units, 3, 3)
    steps[0] = Rotation.random(n_units, rng).as_matrix()
    for t in range(1, n_frames):
        steps[t] = steps[t] @ steps[t - 1]
    return steps


def libration(rng, n_frames, n_units, degree):
    vectors = rng.normal(0.0, np.radians(degree), (n_frames * n_units, 3))
    return Rotation.from_rotvec(vectors).as_matrix().reshape(n_frames, n_units, 3, 3)


def about(axis, degree):
    axis = np.asarray(axis) / np.linalg.norm(axis)
    return Rotation.from_rotvec(np.radians(degree) * axis).as_matrix()


def test_rotational_diffusion_decays_at_the_known_rates(rng):
    step, interval = 0.07, 0.5
    diffusion = step**2 / (2 * interval)  # 1/ps
    result = followed(
        tetrahedra(random_walk(rng, 1200, 60, step), interval_ps=interval), averaging_ps=0.1
    )
    for order, mean, groups in ((1, result.c1, result.c1_groups), (2, result.c2, result.c2_groups)):
        error = groups.std(axis=0, ddof=1) / np.sqrt(len(groups))
        assert len(groups) == 20
        np.testing.assert_allclose(groups.mean(axis=0), mean, atol=1e-12)
        for lag in (10, 50, 100, 200):
            truth = np.exp(-order * (order + 1) * diffusion * result.times_ps[lag])
            assert mean[lag] == pytest.approx(truth, abs=4 * error[lag])
            assert error[lag] < 0.05
    time = relaxation_time(result)
    truth = 1 / (2 * diffusion)
    assert time.low < time.value < time.high
    assert time.value == pytest.approx(truth, abs=4 * (time.high - time.low) / 4.19)
    assert result.times_ps[1] == interval


def test_correlation_functions_are_those_of_the_direct_sum(rng):
    turned = random_walk(rng, 30, 3, 0.3)
    result = followed(tetrahedra(turned))
    bonds = (CORNERS @ turned.swapaxes(2, 3)).reshape(30, -1, 3)
    for lag in (0, 1, 7, 15):
        cosine = (bonds[: 30 - lag] * bonds[lag:]).sum(axis=2)
        assert result.c1[lag] == pytest.approx(cosine.mean(), abs=1e-10)
        assert result.c2[lag] == pytest.approx((1.5 * cosine**2 - 0.5).mean(), abs=1e-10)
    assert len(result.c1) == 16


@pytest.mark.parametrize("interval_ps", [0.1, 1.0])
def test_a_jump_about_a_bond_is_found_with_its_angle_and_time(rng, interval_ps):
    n_frames, jump = round(60 / interval_ps), round(37 / interval_ps) + 4
    turned = libration(rng, n_frames, 30, 5.0)
    turned[jump:, 11] = turned[jump:, 11] @ about(CORNERS[2], 120.0)
    result = followed(tetrahedra(turned, interval_ps=interval_ps))
    np.testing.assert_array_equal(result.units, [11])
    assert result.followed[11] == 11
    assert abs(result.event_times_ps[0] - jump * interval_ps) <= 1.0
    assert result.angles_degree[0] == pytest.approx(120.0, abs=4.0)
    assert rotation_rate(result).estimate.value == pytest.approx(
        1 / (30 * (60 // result.interval_ps - 1) * result.interval_ps)
    )


def test_a_jump_that_turns_back_and_one_below_the_angle_do_not_count(rng):
    turned = libration(rng, 80, 5, 3.0)
    turned[30:50, 1] = turned[30:50, 1] @ about([0, 0, 1], 90.0)
    turned[30:, 2] = turned[30:, 2] @ about([0, 0, 1], 30.0)
    turned[30:, 3] = turned[30:, 3] @ about([0, 0, 1], 50.0)
    trajectory = tetrahedra(turned)
    np.testing.assert_array_equal(followed(trajectory).units, [3])
    assert followed(trajectory).angles_degree[0] == pytest.approx(50.0, abs=3.0)
    np.testing.assert_array_equal(followed(trajectory, jump_degree=20.0).units, [2, 3])
    with pytest.raises(RangeError, match="between 0 and 180"):
        followed(trajectory, jump_degree=180.0)


def test_libration_of_10_degrees_is_a_plateau_without_jumps(rng):
    turned = libration(rng, 400, 40, 10.0 / np.sqrt(3))
    result = followed(tetrahedra(turned, interval_ps=0.25))
    assert len(result.units) == 0
    # Independent orientations: C1 is the squared length of the mean direction.
    plateau = (CORNERS @ libration(rng, 20000, 1, 10.0 / np.sqrt(3)).mean(axis=(0, 1)).T) ** 2
    assert result.c1[1:].mean() == pytest.approx(plateau.sum() / 4, abs=2e-3)
    assert np.ptp(result.c1[1:]) < 0.01
    time = relaxation_time(result)
    assert np.isinf(time.value)
    assert time.low == pytest.approx(result.times_ps[-1])


def test_a_crystal_that_turns_as_a_whole_is_reported_as_it_is():
    # The bonds alone are followed, so the centres need not turn about the origin.
    turned = np.array([[about([0, 0, 1], angle)] * 8 for angle in np.linspace(0, 90, 91)])
    result = followed(tetrahedra(turned))
    assert len(result.units) >= 8
    cosine = (1 + 2 * np.cos(np.radians(45.0))) / 3
    assert result.c1[45] == pytest.approx(cosine, abs=1e-10)


def test_units_that_lose_a_ligand_are_left_out_and_counted(rng):
    trajectory = tetrahedra(libration(rng, 100, 8, 3.0))
    positions = trajectory.source.positions
    positions[60:, 8 + 4 * 5] += [1.5, 0.0, 0.0]
    positions[50, 8] += [0.9, 0.9, 0.9]
    names = {q.name: q for q in rotation_findings_of(trajectory).quantities}
    assert names["rotation_followed_share_P"].value == 6 / 8
    (units,) = rotating_units(trajectory)
    np.testing.assert_array_equal(units.centres, np.arange(8))
    result = rotations(trajectory, units)
    np.testing.assert_array_equal(result.followed, [1, 2, 3, 4, 6, 7])


def test_blocks_of_units_change_nothing(rng):
    turned = random_walk(rng, 60, 27, 0.2)
    trajectory = tetrahedra(turned)
    whole, parts = followed(trajectory), followed(trajectory, max_bytes=60 * 24 * 16 * 4)
    np.testing.assert_allclose(whole.c2_groups, parts.c2_groups, atol=1e-10)
    np.testing.assert_array_equal(whole.units, parts.units)
    np.testing.assert_array_equal(whole.followed, parts.followed)
    assert len(whole.units) > 5


def test_bonds_through_a_triclinic_cell_that_breathes_do_not_turn():
    cell = np.array([[20.0, 0, 0], [4.0, 19.0, 0], [-3.0, 2.0, 21.0]])
    trajectory = tetrahedra(np.tile(np.eye(3), (40, 8, 1, 1)), cell=cell)
    scale = 1 + 0.02 * np.sin(np.arange(40))[:, None, None]
    breathing = make_trajectory(
        trajectory.source.positions * scale, species=trajectory.species, cell=cell * scale
    )
    result = followed(breathing)
    assert len(result.followed) == 8
    np.testing.assert_allclose(result.c1, 1.0, atol=1e-10)


def test_an_orientation_turns_the_first_directions_into_those_of_its_time(rng):
    turned = random_walk(rng, 20, 3, 0.5)
    bonds = (CORNERS @ turned.swapaxes(2, 3)).reshape(20, -1, 3)
    found = orientations(bonds, np.repeat(np.arange(3), 4))
    np.testing.assert_allclose(found, turned @ turned[0].swapaxes(1, 2), atol=1e-10)


def test_nearest_rotation_is_that_of_the_singular_values(rng):
    matrices = rng.normal(size=(500, 3, 3))
    left, _, right = np.linalg.svd(matrices)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]
    found = nearest_rotations(matrices)
    np.testing.assert_allclose(found, left @ right, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(found), 1.0)


def rotation_findings_of(trajectory):
    mobile = str(trajectory.species[-1])
    still = np.zeros((trajectory.n_frames, 3))
    return rotation_findings(
        trajectory, mobile, all_hops(trajectory, trajectory.ids_of(mobile), drift_path=still)
    )


def test_findings_bound_what_a_rigid_solid_does_not_show(rng):
    mobile = lattice_hops(rng, 5, 100, 0.02) + 4.0
    found = rotation_findings_of(tetrahedra(libration(rng, 100, 27, 4.0), mobile=mobile))
    by_name = {quantity.name: quantity for quantity in found.quantities}
    time = by_name["rotational_relaxation_time_P"]
    assert (time.status, time.low, time.high) == ("unresolved", 50.0, np.inf)
    rate = by_name["rotation_rate_P"]
    assert rate.status == "unresolved"
    assert rate.high == pytest.approx(2.9957 / (27 * 99), rel=1e-4)
    together = by_name["hop_rotation_coincidence_Li_P"]
    assert together.status == "unresolved"
    assert "0 rotations of P; needs 20" in together.reason
    assert [curve.name for curve in found.curves] == ["rotational_correlation_P"]
    assert found.figures["rotations_P"][:4] == b"\x89PNG"


def test_a_sample_without_tetrahedra_is_skipped_with_the_reason():
    positions = np.zeros((20, 3, 3)) + np.arange(3)[:, None] * 5.0
    trajectory = make_trajectory(positions, species=["Li", "S", "S"], cell=20.0)
    with pytest.raises(AnalysisError, match="4 ligands"):
        rotating_units(trajectory)
    hops = all_hops(trajectory, np.array([0]))
    (skipped,) = rotation_findings(trajectory, "Li", hops).skipped
    assert skipped.name == "rotations"
