from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_trajectories import (
    IMAGES,
    TRICLINIC,
    XS,
    XSU,
    XU,
    X,
    brownian,
    lattice_hops,
    make_trajectory,
    ornstein_uhlenbeck,
    write_dump,
)

from analysis.errors import RangeError
from analysis.motion.msd import mean_squared_displacement
from analysis.reading.foreign import open_foreign
from analysis.trajectory import FRACTIONAL_DIFFERENCES, IMAGE_FLAGS, centre_of_mass_path

STILL = "no drift"


def msd_of(positions, *, drift=None, directions=None, **keywords):
    trajectory = make_trajectory(positions, **keywords)
    path = np.zeros((len(positions), 3)) if drift == STILL else None
    ids = np.arange(trajectory.n_atoms)
    return mean_squared_displacement(
        trajectory, ids, label="Li", drift_path=path, directions=directions
    )


def direct_msd(positions):
    return np.array(
        [0.0]
        + [
            ((positions[lag:] - positions[:-lag]) ** 2).sum(axis=2).mean()
            for lag in range(1, len(positions))
        ]
    )


def test_msd_of_ballistic_motion_is_v2_t2_at_every_lag(rng):
    velocities = rng.normal(0.0, 2.0, (7, 3))
    times = np.arange(101) * 0.5
    msd = msd_of(times[:, None, None] * velocities, drift=STILL, frame_interval_ps=0.5)
    np.testing.assert_allclose(msd.times_ps, times, rtol=1e-14)
    expected = (velocities**2).sum(axis=1).mean() * times**2
    np.testing.assert_allclose(msd.msd[1:], expected[1:], rtol=1e-9)
    assert msd.msd[0] == 0.0
    assert len(msd.msd) == 101
    assert msd.n_origins[-1] == 1


def test_msd_of_brownian_steps_is_6dt_within_four_errors(rng):
    D = 0.05
    msd = msd_of(brownian(rng, 400, 500, D), drift=STILL)
    error = msd.atom_msd.std(axis=0, ddof=1) / np.sqrt(400)
    lags = msd.sample_lags
    assert np.all(np.abs(msd.msd[lags] - 6 * D * lags) < 4 * error)


def test_msd_of_a_harmonic_cage_relaxes_to_its_plateau(rng):
    width, relaxation = 0.6, 8.0
    msd = msd_of(ornstein_uhlenbeck(rng, 400, 400, relaxation, width), drift=STILL)
    lags = msd.sample_lags
    expected = 6 * width**2 * (1 - np.exp(-lags / relaxation))
    error = msd.atom_msd.std(axis=0, ddof=1) / np.sqrt(400)
    assert np.all(np.abs(msd.msd[lags] - expected) < 4 * error)


def test_msd_of_lattice_hops_is_length_squared_times_rate_times_time(rng):
    msd = msd_of(lattice_hops(rng, 400, 400, probability=0.05, length=3.0), drift=STILL)
    lags = msd.sample_lags
    error = msd.atom_msd.std(axis=0, ddof=1) / np.sqrt(400)
    assert np.all(np.abs(msd.msd[lags] - 9.0 * 0.05 * lags) < 4 * error)


def test_msd_agrees_with_direct_evaluation_and_with_its_own_parts(rng):
    positions = brownian(rng, 70, 90) + 500.0
    msd = msd_of(positions, drift=STILL)
    np.testing.assert_allclose(msd.msd, direct_msd(positions), rtol=1e-10)
    np.testing.assert_allclose(msd.msd_axes.sum(axis=1), msd.msd, rtol=1e-13)
    np.testing.assert_allclose(msd.atom_msd.mean(axis=0), msd.msd[msd.sample_lags], rtol=1e-10)


def test_msd_agrees_with_tidynamics_to_1e_10(rng):
    tidynamics = pytest.importorskip("tidynamics", reason="tidynamics is not installed")
    positions = brownian(rng, 10, 300)
    reference = np.mean([tidynamics.msd(positions[:, n]) for n in range(10)], axis=0)
    np.testing.assert_allclose(msd_of(positions, drift=STILL).msd[1:], reference[1:], rtol=1e-10)


def test_msd_is_unchanged_by_a_constant_velocity_of_all_atoms(rng):
    positions = brownian(rng, 30, 100)
    species = ["Li"] * 20 + ["S"] * 10
    drift = np.arange(100)[:, None, None] * np.array([0.3, -0.2, 0.1])
    still = msd_of(positions, species=species)
    moving = msd_of(positions + drift, species=species)
    np.testing.assert_allclose(moving.msd, still.msd, rtol=1e-9, atol=1e-10)


def test_drift_is_the_mass_weighted_centre_of_all_atoms():
    positions = np.zeros((2, 2, 3))
    positions[1, 0] = [1.0, 0.0, 0.0]
    trajectory = make_trajectory(positions, species=["Li", "S"])
    expected = trajectory.masses[0] / trajectory.masses.sum()
    np.testing.assert_allclose(centre_of_mass_path(trajectory)[1], [expected, 0, 0])


def test_reading_in_blocks_equals_reading_whole(rng):
    trajectory = make_trajectory(brownian(rng, 70, 50))
    ids = np.arange(1, 70, 3)
    whole = mean_squared_displacement(trajectory, ids, label="Li")
    blocks = mean_squared_displacement(trajectory, ids, label="Li", max_bytes=2 * 50 * 24)
    for name in ("msd", "msd_axes", "atom_msd", "variance", "correlation"):
        np.testing.assert_allclose(
            getattr(blocks, name), getattr(whole, name), rtol=1e-9, atol=1e-12, err_msg=name
        )


def test_variance_and_correlation_are_those_of_independent_displacements(rng):
    D = 0.05
    msd = msd_of(brownian(rng, 300, 300, D), drift=STILL)
    early = msd.sample_lags <= 10
    # For a Gaussian displacement in three dimensions var(r^2) = (2/3) <r^2>^2.
    expected = 2.0 / 3.0 * (6 * D * msd.sample_lags[early]) ** 2
    np.testing.assert_allclose(msd.variance[early], expected, rtol=0.08)
    np.testing.assert_allclose(msd.correlation[msd.sample_lags == 1], 1.0, atol=0.35)
    grouped = msd_of(lattice_hops(rng, 200, 500, 0.05, group=4), drift=STILL)
    np.testing.assert_allclose(grouped.correlation[grouped.sample_lags == 1], 4.0, rtol=0.25)


def test_msd_is_unchanged_by_permutation_rotation_and_supercell(rng):
    positions = brownian(rng, 24, 60)
    reference = msd_of(positions).msd
    permuted = msd_of(positions[:, rng.permutation(24)]).msd
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotated = msd_of(positions @ rotation.T, cell=1000.0 * rotation.T).msd
    doubled = msd_of(np.concatenate([positions, positions + np.array([1000.0, 0, 0])], axis=1)).msd
    for other in (permuted, rotated, doubled):
        np.testing.assert_allclose(other, reference, rtol=1e-9, atol=1e-12)


def test_fixed_fractional_coordinates_in_a_breathing_box_move_only_by_image_flags(rng):
    scale = 1.0 + 0.05 * np.sin(np.arange(40) / 3.0)
    cells = scale[:, None, None] * TRICLINIC
    positions = rng.random((10, 3)) @ cells
    keywords = {"cell": cells, "drift": STILL}
    by_fractions = msd_of(positions, motion_convention=FRACTIONAL_DIFFERENCES, **keywords)
    by_flags = msd_of(positions, motion_convention=IMAGE_FLAGS, **keywords)
    assert by_fractions.msd.max() < 1e-20
    assert by_flags.msd.max() > 0.1
    assert by_fractions.motion_convention != by_flags.motion_convention


def rotation(rng):
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]


def test_projected_msd_is_that_of_the_projected_path(rng):
    positions = brownian(rng, 20, 80) * np.array([1.0, 0.5, 0.2])
    axes = rotation(rng)
    plane = msd_of(positions, drift=STILL, directions=axes[:2])
    normal = msd_of(positions, drift=STILL, directions=axes[2:])
    whole = msd_of(positions, drift=STILL)
    assert (plane.dimensions, normal.dimensions, whole.dimensions) == (2, 1, 3)
    assert plane.msd_axes.shape == (80, 2)
    np.testing.assert_allclose(normal.msd, direct_msd(positions @ axes[2:].T), rtol=1e-9)
    np.testing.assert_allclose(plane.msd + normal.msd, whole.msd, rtol=1e-9)
    np.testing.assert_allclose(plane.atom_msd + normal.atom_msd, whole.atom_msd, rtol=1e-8)
    np.testing.assert_allclose(
        plane.msd_axes[:, 1], direct_msd(positions @ axes[1:2].T), rtol=1e-9, atol=1e-12
    )


def test_projection_onto_the_cartesian_axes_is_no_projection(rng):
    positions = brownian(rng, 20, 80)
    ours = msd_of(positions, directions=np.eye(3))
    np.testing.assert_allclose(ours.msd_axes, msd_of(positions).msd_axes, rtol=1e-12)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ([[2.0, 0, 0]], "not orthonormal"),
        ([[1.0, 0, 0], [0.6, 0.8, 0]], "not orthonormal"),
        ([1.0, 0, 0], "one to three rows"),
        (np.zeros((0, 3)), "one to three rows"),
        ([[1.0, 0]], "one to three rows"),
    ],
)
def test_directions_that_are_not_orthonormal_rows_are_refused(rng, directions, message):
    with pytest.raises(RangeError, match=message):
        msd_of(brownian(rng, 3, 10), directions=np.array(directions))


@pytest.mark.parametrize("cell", [np.diag([9.0, 8.0, 7.0]), TRICLINIC])
def test_msd_is_the_same_from_wrapped_unwrapped_and_image_columns(rng, tmp_path, cell):
    positions = brownian(rng, 6, 40, D=0.1) + rng.random((6, 3)) @ cell
    curves = [
        mean_squared_displacement(
            open_foreign(
                write_dump(tmp_path / f"{n}.lammpstrj", positions, cell, columns, types=["Li"] * 6),
                frame_interval_fs=1000.0,
                temperature_kelvin=300.0,
                species=["Li"] * 6,
            ),
            np.arange(6),
            label="Li",
        ).msd
        for n, columns in enumerate((XU, f"{X} {IMAGES}", XSU, X, f"{XS} {IMAGES}"))
    ]
    assert curves[0][-1] > 1.0
    for curve in curves[1:]:
        np.testing.assert_allclose(curve, curves[0], rtol=1e-8, atol=1e-9)


def test_msd_of_a_single_frame_is_refused(rng):
    trajectory = make_trajectory(brownian(rng, 3, 5))
    short = dataclasses.replace(trajectory, cells=trajectory.cells[:1])
    with pytest.raises(RangeError, match="at least one atom and two frames"):
        mean_squared_displacement(short, np.arange(3), label="Li")
