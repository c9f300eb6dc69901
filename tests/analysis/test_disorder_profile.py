"""F(z): exactness, the published table, invariances, and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.disorder.disorder_profile import (
    disorder_profile,
    disorder_profile_curves,
    disorder_profile_quantities,
)
from analysis.disorder.measure import DisorderSettings
from analysis.disorder.slab_fourier import pixels_below, slab_intensities
from analysis.errors import AnalysisError, RangeError
from mlip.structures.crystals import conventional_cell, find_crystal

# As in the measurement that the published numbers of this test come from: 12,288 atoms.
REPEATS = (4, 12, 8)
THERMAL_ANGSTROM = 0.15


def beta(repeats=REPEATS):
    return conventional_cell(find_crystal("beta-Li3PS4")) * repeats


def beta_repeat():
    return float(conventional_cell(find_crystal("beta-Li3PS4")).cell.lengths()[1])


def trajectory_of(atoms, frames=1, rng=None, width=THERMAL_ANGSTROM, positions=None):
    positions = atoms.positions if positions is None else positions
    moved = np.repeat(positions[None], frames, axis=0)
    if rng is not None:
        moved = moved + rng.normal(0.0, width, moved.shape)
    return make_trajectory(moved, species=atoms.get_chemical_symbols(), cell=atoms.cell.array)


def gas(rng, atoms):
    return trajectory_of(atoms, positions=rng.random((len(atoms), 3)) @ atoms.cell.array)


def brute_force_patterns(positions, cell, axis, n_slabs, sigma, points):
    """FFT of a 3-D Gaussian density on a grid, integrated over slabs by Gauss-Legendre nodes."""
    first, second = (row for row in range(3) if row != axis)
    normal = np.cross(cell[first], cell[second])
    normal /= np.linalg.norm(normal) * np.sign(normal @ cell[axis])
    height = normal @ cell[axis]
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ cell
    centres = (positions[:, None] + images).reshape(-1, 3)
    u = np.arange(points) / points
    plane = (u[:, None, None] * cell[first] + u[None, :, None] * cell[second]).reshape(-1, 3)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    slab_width = height / n_slabs
    area = np.linalg.norm(np.cross(cell[first], cell[second]))
    # exp(-r^2/2 sigma^2) is the product of the part along the normal and that in the plane.
    off = centres - np.outer(centres @ normal, normal)
    squared = ((plane[:, None] - off) ** 2).sum(axis=-1)
    in_plane = np.exp(-0.5 * squared / sigma**2) / (2 * np.pi * sigma**2) ** 1.5
    patterns = []
    for slab in range(n_slabs):
        z = slab_width * (slab + 0.5 + 0.5 * nodes)
        along = np.exp(-0.5 * (z[:, None] - centres @ normal) ** 2 / sigma**2)
        projected = in_plane @ (0.5 * slab_width * weights @ along)
        patterns.append(np.fft.fft2(projected.reshape(points, points)) * area / points**2)
    return np.array(patterns)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_intensities_are_those_of_a_gaussian_density_on_a_grid(rng, axis):
    positions = rng.random((7, 3)) @ TRICLINIC
    fractions = (positions @ np.linalg.inv(TRICLINIC))[:, axis]
    in_plane = tuple(row for row in range(3) if row != axis)
    pixels = pixels_below(TRICLINIC, in_plane, 3.0)
    found, populations = slab_intensities(positions, fractions, TRICLINIC, axis, 3, 0.5, pixels)
    patterns = brute_force_patterns(positions, TRICLINIC, axis, 3, 0.5, 40)
    expected = np.abs(patterns[:, pixels.h, pixels.l]) ** 2
    np.testing.assert_allclose(found, expected, atol=1e-9 * expected.max())
    np.testing.assert_allclose(populations, patterns[:, 0, 0].real, rtol=1e-9)


def test_measure_is_mean_over_maximum_of_the_full_pattern(rng):
    cell = np.diag([12.0, 9.0, 11.0])
    positions = rng.random((9, 3)) @ cell
    pattern = np.abs(brute_force_patterns(positions, cell, 1, 3, 0.5, 48)) ** 2
    q = 2 * np.pi * np.fft.fftfreq(48, 1 / 48)
    q = np.sqrt((q[:, None] / 12.0) ** 2 + (q[None] / 11.0) ** 2)
    trajectory = make_trajectory(positions[None], cell=cell)
    for form, power in (("power", 1.0), ("amplitude", 0.5)):
        for kept in (False, True):
            shown = (pattern**power)[:, (q < 3.0) & ((q > 0) | kept)]
            settings = DisorderSettings(slab_angstrom=3.0, form=form, published_form=kept)
            profile = disorder_profile(trajectory, "b", settings)
            np.testing.assert_allclose(profile.values, shown.mean(1) / shown.max(1), rtol=1e-8)


@pytest.mark.parametrize(
    ("form", "slabs_a_repeat", "crystal", "random"),
    [("power", 2, 0.0060, 0.087), ("power", 1, 0.0044, 0.087), ("amplitude", 2, 0.036, 0.247)],
)
def test_levels_of_beta_and_a_random_gas_are_those_measured(
    rng, form, slabs_a_repeat, crystal, random
):
    settings = DisorderSettings(slab_angstrom=beta_repeat() / slabs_a_repeat, form=form)
    atoms = beta()
    assert len(atoms) == 12_288
    ordered = disorder_profile(trajectory_of(atoms, 1, rng), "b", settings)
    disordered = disorder_profile(gas(rng, atoms), "b", settings)
    # The thermal width of the crystal is not stated with the numbers.
    assert ordered.values.mean() == pytest.approx(crystal, rel=0.25)
    error = disordered.values.std(ddof=1) / np.sqrt(len(disordered.values))
    assert disordered.values.mean() == pytest.approx(disordered.random_level, abs=4 * error)
    assert disordered.random_level == pytest.approx(random, rel=0.06)


def test_the_literal_published_form_has_no_contrast(rng):
    atoms = beta()
    for width in (2.055, 4.11, 8.22):
        kept = DisorderSettings(slab_angstrom=width, published_form=True)
        crystal = disorder_profile(trajectory_of(atoms, 1, rng), "b", kept)
        random = disorder_profile(gas(rng, atoms), "b", kept)
        for profile in (crystal, random):
            assert 0.0005 < profile.values.mean() < 0.0025
        assert random.values.mean() / crystal.values.mean() < 2.0
    removed = DisorderSettings(slab_angstrom=8.22)
    crystal = disorder_profile(trajectory_of(atoms, 1, rng), "b", removed)
    random = disorder_profile(gas(rng, atoms), "b", removed)
    assert random.values.mean() / crystal.values.mean() > 14


def test_f_of_a_crystal_does_not_depend_on_the_origin():
    atoms = beta((3, 4, 6))
    profiles = [
        disorder_profile(trajectory_of(atoms, positions=atoms.positions + shift), "b").values
        for shift in ([0, 0, 0], [0, 1.234, 0], [0.4, beta_repeat(), -7.7], [50.0, -3.3, 0.1])
    ]
    for values in profiles:
        np.testing.assert_allclose(values, profiles[0][0], rtol=1e-9)


def test_f_of_a_crystal_falls_as_one_over_the_repeats_in_the_plane():
    found = [
        disorder_profile(trajectory_of(beta((na, 2, nc))), "b").values.mean() * na * nc
        for na, nc in ((2, 4), (3, 6), (4, 8))
    ]
    np.testing.assert_allclose(found, found[0], rtol=0.02)


def sample(rng):
    """Crystal of which one part in three is scrambled, so that slabs differ."""
    atoms = beta((3, 4, 5))
    atoms.positions += rng.normal(0.0, 0.1, atoms.positions.shape)
    moved = atoms.positions[:, 1] > 20.0
    atoms.positions[moved] += rng.normal(0.0, 2.0, (moved.sum(), 3)) * [1, 0, 1]
    return atoms


def profile_of(positions, cell, symbols, axis="b", **options):
    trajectory = make_trajectory(np.asarray(positions)[None], species=symbols, cell=cell)
    return disorder_profile(trajectory, axis, DisorderSettings(slab_angstrom=4.1), **options)


def test_f_is_invariant_to_description(rng):
    atoms = sample(rng)
    cell, symbols = atoms.cell.array, np.array(atoms.get_chemical_symbols())
    expected = profile_of(atoms.positions, cell, symbols).values
    assert expected.max() > 3 * expected.min()

    order = rng.permutation(len(atoms))
    found = profile_of(atoms.positions[order], cell, symbols[order])
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)

    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    found = profile_of(atoms.positions @ turn.T, cell @ turn.T, symbols)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)

    wound = atoms.positions + rng.integers(-3, 4, (len(atoms), 3)) @ cell
    np.testing.assert_allclose(profile_of(wound, cell, symbols).values, expected, rtol=1e-9)

    # The same lattice by tilted vectors, the planes of the slabs kept.
    for change in ([[1, 0, 0], [1, 1, 0], [0, 0, 1]], [[1, 0, 0], [-1, 1, 2], [1, 0, 1]]):
        found = profile_of(atoms.positions, np.array(change) @ cell, symbols)
        np.testing.assert_allclose(found.values, expected, rtol=1e-8)
        assert found.slab_width_angstrom == pytest.approx(4.11, abs=0.01)
    found = profile_of(atoms.positions, cell[[1, 2, 0]], symbols, axis="a")
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)


@pytest.mark.parametrize("axis", ["a", "b", "c"])
def test_winding_and_drift_change_nothing_in_a_tilted_cell(rng, axis):
    # Images along a tilted axis are displaced in the plane of the slabs too.
    cell = 1.5 * TRICLINIC
    positions = rng.random((40, 3)) @ cell
    expected = profile_of(positions, cell, "Li", axis).values
    assert expected.max() > 1.2 * expected.min()
    wound = positions + rng.integers(-3, 4, (40, 3)) @ cell
    drift = np.array([1.3, -2.9, 17.3])
    trajectory = make_trajectory(np.stack([wound, wound + drift]), cell=cell)
    found = disorder_profile(trajectory, axis, DisorderSettings(slab_angstrom=4.1))
    np.testing.assert_allclose(found.values, expected, rtol=1e-8)
    np.testing.assert_allclose(found.standard_errors, 0.0, atol=1e-9)


def test_slabs_move_with_a_shift_by_whole_slabs(rng):
    atoms = sample(rng)
    symbols = atoms.get_chemical_symbols()
    expected = profile_of(atoms.positions, atoms.cell.array, symbols)
    shifted = atoms.positions + np.array([0.3, 2 * expected.slab_width_angstrom, -0.8])
    found = profile_of(shifted, atoms.cell.array, symbols)
    np.testing.assert_allclose(found.values, np.roll(expected.values, 2), rtol=1e-9)


def test_drift_of_the_framework_along_the_axis_is_removed(rng):
    atoms = sample(rng)
    symbols = atoms.get_chemical_symbols()
    drift = np.linspace(0, 40, 6)[:, None, None] * np.array([0.1, 1.0, 0.05])
    trajectory = make_trajectory(atoms.positions + drift, species=symbols, cell=atoms.cell.array)
    settings = DisorderSettings(slab_angstrom=4.1)
    expected = profile_of(atoms.positions, atoms.cell.array, symbols)
    found = disorder_profile(trajectory, "b", settings)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-8)
    np.testing.assert_allclose(found.standard_errors, 0.0, atol=1e-9)
    # Mobile ions that all move on do not take the slabs with them.
    still = np.repeat(atoms.positions[None], 4, axis=0)
    lithium = np.array(symbols) == "Li"
    still[:, lithium] += np.arange(4)[:, None, None] * np.array([0.0, 5.0, 0.0])
    moving = make_trajectory(still, species=symbols, cell=atoms.cell.array)
    framework = np.flatnonzero(~lithium)
    found = disorder_profile(moving, "b", settings, ids=framework, framework_ids=framework)
    expected = profile_of(atoms.positions, atoms.cell.array, symbols, ids=framework)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-9)


def test_an_affinely_breathing_crystal_keeps_f_but_for_the_envelope(rng):
    atoms = sample(rng)
    scale = np.array([1.0, 1.01, 0.99, 1.005])[:, None, None]
    trajectory = make_trajectory(
        atoms.positions * scale, species=atoms.get_chemical_symbols(), cell=atoms.cell.array * scale
    )
    still = profile_of(atoms.positions, atoms.cell.array, atoms.get_chemical_symbols())
    found = disorder_profile(trajectory, "b", DisorderSettings(slab_angstrom=4.1))
    np.testing.assert_allclose(found.values, still.values, rtol=0.02)


def test_error_of_a_slab_comes_from_blocks_and_a_single_frame_has_none(rng):
    atoms = beta((3, 2, 5))
    frames = np.stack([rng.random((len(atoms), 3)) @ atoms.cell.array for _ in range(40)])
    symbols = atoms.get_chemical_symbols()
    many = disorder_profile(make_trajectory(frames, species=symbols, cell=atoms.cell.array), "b")
    assert many.block_values.shape == (5, len(many.values))
    # Independent frames: error = scatter of one frame over sqrt(frames).
    expected = many.random_noise * many.random_level / np.sqrt(40)
    assert many.standard_errors.mean() == pytest.approx(expected, rel=0.5)
    assert abs(many.values - many.random_level).max() < 5 * expected
    one = make_trajectory(frames[:1], species=symbols, cell=atoms.cell.array)
    single = disorder_profile(one, "b")
    assert np.isnan(single.standard_errors).all()
    lowest = {q.name: q for q in disorder_profile_quantities(single)}["disorder_lowest_b"]
    assert lowest.status == "ok"
    assert np.isnan([lowest.low, lowest.high]).all()


def test_slab_width_that_does_not_fit_the_lattice_is_warned_of(rng):
    trajectory = trajectory_of(beta((3, 6, 5)), 1, rng)
    repeat = beta_repeat()
    fitting = disorder_profile(trajectory, "b", DisorderSettings(repeat_angstrom=repeat))
    assert len(fitting.values) == 6
    assert fitting.repeat_mismatch < 1e-9
    assert fitting.warning == ""
    bad = DisorderSettings(slab_angstrom=6 * repeat / 7, repeat_angstrom=repeat)
    profile = disorder_profile(trajectory, "b", bad)
    assert profile.repeat_mismatch == pytest.approx(1 / 7)
    assert "use slabs of 8.220 Angstrom" in profile.warning
    assert any("Warning" in q.reason for q in disorder_profile_quantities(profile))


def test_an_empty_slab_has_no_f_and_no_mean_is_claimed(rng):
    cell = np.diag([30.0, 40.0, 30.0])
    positions = rng.random((800, 3)) * [30, 20, 30]
    profile = disorder_profile(make_trajectory(positions[None], cell=cell), "b")
    assert np.isfinite(profile.values[:2]).all()
    assert np.isnan(profile.values[3])
    assert [q.status for q in disorder_profile_quantities(profile)] == ["unresolved"]


def test_bad_requests_are_refused(rng):
    atoms = beta((2, 2, 2))
    trajectory = trajectory_of(atoms, 1, rng)
    with pytest.raises(RangeError, match="slab width 40 Angstrom"):
        disorder_profile(trajectory, "b", DisorderSettings(slab_angstrom=40.0))
    with pytest.raises(RangeError, match=r"Fourier pixels below q 0\.5"):
        disorder_profile(trajectory, "b", DisorderSettings(q_max_per_angstrom=0.5))
    with pytest.raises(AnalysisError, match="axis 'y'"):
        disorder_profile(trajectory, "y")
    with pytest.raises(AnalysisError, match="form 'modulus'"):
        DisorderSettings(form="modulus")
    with pytest.raises(AnalysisError, match="no atom"):
        disorder_profile(trajectory, "b", ids=np.array([], dtype=np.int64))
    with pytest.raises(RangeError, match="stride 0"):
        disorder_profile(trajectory, "b", stride=0)


def test_result_records_all_settings(rng):
    profile = disorder_profile(trajectory_of(beta((3, 3, 5)), 3, rng), "b", stride=2)
    text = profile.description
    for part in ("power form", "3 slabs of 8.220", "0.5 Angstrom", "q 3 1/A", "2 frames of 1440"):
        assert part in text
    (curve,) = disorder_profile_curves(profile)
    np.testing.assert_array_equal(curve.columns["F [1]"], profile.values)
    assert curve.columns["atoms [1]"].sum() == pytest.approx(1440)
    assert dataclasses.is_dataclass(profile)
