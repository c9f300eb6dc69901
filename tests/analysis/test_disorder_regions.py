"""Density profiles and regions: sums, frames of reference, boundaries of the cell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.constants import G_CM3_PER_AMU_ANGSTROM3
from analysis.disorder.axis import axis_coordinate, height_angstrom
from analysis.disorder.interfaces import fit_steps
from analysis.disorder.profiles import density_profile_curves, density_profiles
from analysis.disorder.regions import Planes, origin_groups, planes_of, region_codes, region_groups
from analysis.errors import AnalysisError, RangeError

SPECIES = ["Li"] * 30 + ["P"] * 10 + ["S"] * 40
CHARGES = {"Li": 1.0, "P": 5.0, "S": -2.0}


@pytest.mark.parametrize("axis", ["a", "b", "c"])
def test_profiles_integrate_to_the_number_of_atoms_mass_and_charge(rng, axis):
    positions = rng.normal(0.0, 30.0, (7, 80, 3))
    trajectory = make_trajectory(positions, species=SPECIES, cell=TRICLINIC)
    found = density_profiles(trajectory, axis, bin_angstrom=0.7, charges_e=CHARGES)
    bin_volume = trajectory.volumes[0] / len(found.z_angstrom)
    for name, row in zip(found.species, found.number_density, strict=True):
        assert row.sum() * bin_volume == pytest.approx(SPECIES.count(name), rel=1e-12)
    mass = found.mass_density.sum() * bin_volume / G_CM3_PER_AMU_ANGSTROM3
    assert mass == pytest.approx(trajectory.masses.sum(), rel=1e-12)
    assert found.charge_density.sum() * bin_volume == pytest.approx(30 + 50 - 80, abs=1e-10)
    np.testing.assert_allclose(np.nansum(found.concentration, axis=0), 1.0, rtol=1e-12)
    index = "abc".index(axis)
    assert found.height_angstrom == pytest.approx(height_angstrom(TRICLINIC, index))
    area = np.linalg.norm(np.cross(*[TRICLINIC[row] for row in range(3) if row != index]))
    assert found.height_angstrom * area == pytest.approx(trajectory.volumes[0])


def test_uniform_gas_is_flat_and_its_error_is_that_of_counting(rng):
    trajectory = make_trajectory(rng.random((100, 800, 3)) * 20.0, cell=20.0)
    found = density_profiles(trajectory, "c", bin_angstrom=1.0)
    density, expected = found.number_density[0], 800 / 20.0**3
    error = np.sqrt(40 / 100) / 400
    assert abs(density - expected).max() < 4 * error
    assert found.number_density_error.mean() == pytest.approx(error, rel=0.3)
    single = density_profiles(make_trajectory(np.zeros((1, 1, 3)) + 1.0, cell=20.0), "c")
    assert np.isnan(single.number_density_error).all()
    assert np.isnan(single.concentration).sum() == single.concentration.size - 1


def test_a_dense_layer_is_where_it_was_put(rng):
    positions = rng.random((1, 4000, 3)) * 20.0
    positions[:, 3000:, 2] = 11.0 + rng.random(1000)
    found = density_profiles(make_trajectory(positions, cell=20.0), "c", bin_angstrom=1.0)
    assert found.z_angstrom[found.counts[0].argmax()] == pytest.approx(11.5)
    assert found.counts[0].max() == pytest.approx(1000 + 150, abs=4 * np.sqrt(150))


def test_profiles_follow_a_breathing_cell_and_a_drifting_framework(rng):
    start = rng.random((60, 3)) @ TRICLINIC
    scale = np.linspace(1.0, 1.2, 5)[:, None, None]
    still = density_profiles(make_trajectory(start[None], cell=TRICLINIC), "b")
    breathing = make_trajectory(start * scale, cell=TRICLINIC * scale)
    found = density_profiles(breathing, "b", bin_angstrom=still.bin_angstrom * scale.mean())
    np.testing.assert_allclose(found.counts, still.counts, atol=1e-12)
    expected = still.number_density * (1 / scale**3).mean()
    np.testing.assert_allclose(found.number_density, expected, rtol=1e-12)
    drift = np.linspace(0, 50, 5)[:, None, None] * np.array([0.3, 1.0, -0.5])
    # Off the edges of bins, where round-off would decide.
    moving = density_profiles(make_trajectory(start + drift, cell=TRICLINIC), "b")
    np.testing.assert_allclose(moving.counts, still.counts, atol=1e-12)


def test_charges_come_from_the_caller_or_the_trajectory(rng):
    trajectory = make_trajectory(rng.random((2, 80, 3)) * 9.0, species=SPECIES, cell=9.0)
    bare = density_profiles(trajectory, "a")
    assert np.isnan(bare.charge_density).all()
    assert not any("charge" in name for name in density_profile_curves(bare)[0].columns)
    given = density_profiles(trajectory, "a", charges_e=CHARGES)
    of_atoms = np.array([CHARGES[name] for name in SPECIES])
    own = density_profiles(dataclasses.replace(trajectory, charges_e=of_atoms), "a")
    np.testing.assert_array_equal(own.charge_density, given.charge_density)
    assert "charge density [e/Angstrom^3]" in density_profile_curves(given)[0].columns
    with pytest.raises(AnalysisError, match="no charge of P, S"):
        density_profiles(trajectory, "a", charges_e={"Li": 1.0})


PLANES = Planes(np.array([0.25, 0.75]), np.array([True, False]), np.array([2.0, 1.0]))


def test_regions_lie_between_planes_and_close_over_the_boundary():
    fractions = np.array([0.0, 0.22, 0.24, 0.26, 0.28, 0.5, 0.745, 0.755, 0.78, 0.99])
    codes = region_codes(fractions, PLANES, 100.0)
    assert codes.tolist() == [0, 0, 1, 1, 2, 2, 1, 1, 0, 0]
    turned = Planes(PLANES.fractions, ~PLANES.glass_above, np.array([2.0, 30.0]))
    assert region_codes(fractions, turned, 100.0).tolist() == [1, 2, 1, 1, 0, 1, 1, 1, 1, 1]
    at_edge = Planes(np.array([0.01, 0.5]), np.array([True, False]), np.array([2.0, 2.0]))
    assert region_codes(np.array([0.995, 0.985]), at_edge, 100.0).tolist() == [1, 0]


def test_region_is_that_of_wrapped_positions_and_moves_with_the_framework(rng):
    fractions = rng.random((500, 3))
    expected = region_codes(fractions[:, 2], PLANES, float(height_angstrom(TRICLINIC, 2)))
    assert np.bincount(expected).min() > 20
    wound = fractions + rng.integers(-2, 3, (4, 500, 3))
    # Winding must not shift the centre of mass, which defines the frame of reference.
    wound[1:] = wound[0]
    positions = wound @ TRICLINIC + np.arange(4)[:, None, None] * np.array([0.5, -0.2, 1.7])
    trajectory = make_trajectory(positions, cell=TRICLINIC)
    groups = region_groups(axis_coordinate(trajectory, "c"), PLANES)
    assert groups.names == ("crystal", "interface", "glass")
    for frame in trajectory.frames():
        np.testing.assert_array_equal(groups.codes(frame), expected)


def test_an_atom_that_crosses_the_boundary_of_the_cell_stays_in_its_layer():
    # Crystal from 0.75 through the boundary to 0.25; one ion walks from 0.9 to 1.1.
    positions = np.full((11, 100, 3), 50.0)
    positions[:, 0, 2] = np.linspace(90.0, 110.0, 11)
    trajectory = make_trajectory(positions, cell=100.0)
    coordinate = axis_coordinate(trajectory, "c", np.arange(1, 100))
    codes = [
        int(region_groups(coordinate, PLANES).codes(frame)[0]) for frame in trajectory.frames()
    ]
    assert codes == [0] * 11


def test_planes_come_from_fitted_interfaces():
    z = (np.arange(20) + 0.5) * 5.0
    values = 1.0 + 2.0 * (np.tanh((z - 30.0) / 6.0) - np.tanh((z - 70.0) / 1.0))
    interfaces = fit_steps("c", z, values, np.full(20, 0.1), 100.0)
    planes = planes_of(interfaces)
    np.testing.assert_allclose(planes.fractions, [0.3, 0.7], atol=0.02)
    np.testing.assert_allclose(planes.half_widths_angstrom, [1.0986 * 6.0, 2.5], rtol=0.1)
    assert planes.glass_above.tolist() == [True, False]
    np.testing.assert_array_equal(planes_of(interfaces, 4.0).half_widths_angstrom, 4.0)
    with pytest.raises(RangeError, match="interface regions take 60"):
        planes_of(interfaces, 30.0)
    none = fit_steps("c", z, np.ones(20), np.full(20, 0.1), 100.0)
    with pytest.raises(AnalysisError, match="no regions along c"):
        planes_of(none)


def test_impossible_planes_are_refused():
    up, half = np.array([True, False]), np.ones(2)
    with pytest.raises(RangeError, match="ascend"):
        Planes(np.array([0.7, 0.2]), up, half)
    with pytest.raises(RangeError, match="alternate"):
        Planes(np.array([0.2, 0.7]), np.array([True, True]), half)
    with pytest.raises(RangeError, match="even number"):
        Planes(np.array([0.2]), up[:1], half[:1])
    with pytest.raises(RangeError, match="one of each"):
        Planes(np.array([0.2, 0.7]), up, half[:1])
    wide = Planes(np.array([0.2, 0.3]), up, np.array([6.0, 6.0]))
    with pytest.raises(RangeError, match=r"10\.00 Angstrom thick"):
        region_codes(np.array([0.5]), wide, 100.0)


def test_groups_by_origin(rng):
    trajectory = make_trajectory(rng.random((1, 4, 3)), cell=5.0)
    with pytest.raises(AnalysisError, match="no origin"):
        origin_groups(trajectory)
    built = dataclasses.replace(trajectory, origin=np.array(["crystal", "none", "glass", "glass"]))
    groups = origin_groups(built)
    assert groups.names == ("crystal", "glass")
    assert groups.codes(next(built.frames())).tolist() == [0, -1, 1, 1]
    with pytest.raises(AnalysisError, match="every atom"):
        origin_groups(dataclasses.replace(trajectory, origin=np.full(4, "none")))
