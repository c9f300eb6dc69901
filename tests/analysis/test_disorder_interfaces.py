"""Interfaces: planted planes and widths, honest errors, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from toy_trajectories import make_trajectory

from analysis.disorder.disorder_profile import disorder_profile
from analysis.disorder.findings import disorder_findings, interface_quantities
from analysis.disorder.interfaces import disorder_interfaces, fit_steps
from analysis.disorder.measure import DisorderSettings
from analysis.disorder.step_model import StepModel
from analysis.errors import RangeError
from analysis.observables import disorder
from analysis.sample import Request, Sample
from mlip.structures.crystals import conventional_cell, find_crystal

HEIGHT = 120.0


def tanh_profile(planes, widths, n_slabs=24, low=1.0, high=5.0, rising=True):
    """Bin averages of a periodic sandwich, by brute-force integration."""
    fine = 400
    z = (np.arange(n_slabs * fine) + 0.5) * HEIGHT / (n_slabs * fine)
    share = np.full(len(z), 0.0 if rising else 1.0)
    for n, (plane, width) in enumerate(zip(planes, widths, strict=True)):
        sign = 1.0 if (n % 2 == 0) == rising else -1.0
        for image in (-1, 0, 1):
            share += sign * 0.5 * np.tanh((z - plane - image * HEIGHT) / width)
    values = (low + (high - low) * share).reshape(n_slabs, fine).mean(axis=1)
    return (np.arange(n_slabs) + 0.5) * HEIGHT / n_slabs, values


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize(
    ("planes", "widths"),
    [([31.0, 83.0], [4.0, 7.0]), ([12.0, 40.0, 71.0, 97.0], [3.0, 4.0, 2.5, 4.0])],
)
def test_tanh_steps_are_recovered_from_their_bin_averages(planes, widths, rising):
    z, values = tanh_profile(planes, widths, rising=rising)
    found = fit_steps("c", z, values, np.full(len(z), 0.1), HEIGHT)
    np.testing.assert_allclose(found.z_angstrom, planes, atol=2e-3)
    np.testing.assert_allclose(found.widths_angstrom, widths, rtol=2e-3)
    assert (found.low, found.high) == pytest.approx((1.0, 5.0), abs=2e-3)
    assert found.glass_above.tolist() == [(n % 2 == 0) == rising for n in range(len(planes))]
    order = fit_steps("c", z, values, np.full(len(z), 0.1), HEIGHT, glass_is_high=False)
    assert (order.glass_above != found.glass_above).all()


def test_gradient_of_the_model_is_that_of_its_values():
    z = (np.arange(24) + 0.5) * HEIGHT / 24
    model = StepModel(z, HEIGHT / 24, HEIGHT, np.array([False, True]))
    start = np.array([1.0, 4.0, 22.0, 71.0, 6.0, 3.0])
    steps = 1e-6 * np.eye(6)
    expected = [(model.value(start + h) - model.value(start - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(model.gradient(start), np.transpose(expected), atol=1e-8)


def test_errors_of_positions_and_limits_of_widths_cover_the_truth(rng):
    planes, widths, noise = np.array([31.0, 83.0]), np.array([5.0, 8.0]), 0.2
    z, values = tanh_profile(planes, widths)
    pulls, covered = [], []
    for _ in range(40):
        drawn = values + rng.normal(0.0, noise, len(z))
        found = fit_steps("c", z, drawn, np.full(len(z), noise), HEIGHT)
        pulls.append((found.z_angstrom - planes) / found.z_errors_angstrom)
        low, high = found.width_limits_angstrom.T
        covered.append((low <= widths) & (widths <= high))
    # The error is never made smaller by a lucky chi squared, hence a spread of at most 1.
    assert 0.75 < np.std(pulls) < 1.15
    assert abs(np.mean(pulls)) < 4 / np.sqrt(80)
    # 80 trials of 95 %: 4 binomial errors are 10 %.
    assert np.mean(covered) > 0.85


def test_scatter_between_blocks_adds_to_the_error(rng):
    z, values = tanh_profile([31.0, 83.0], [5.0, 8.0])
    errors = np.full(len(z), 0.05)
    moved = np.stack(
        [tanh_profile(31.0 + s * np.array([1, 52 / s + 1]), [5.0, 8.0])[1] for s in (-4, -2, 2, 4)]
    )
    alone = fit_steps("c", z, values, errors, HEIGHT)
    blocks = fit_steps("c", z, values, errors, HEIGHT, block_values=moved)
    scatter = np.std([-4, -2, 2, 4], ddof=1) / 2
    expected = np.hypot(alone.z_errors_angstrom, scatter)
    np.testing.assert_allclose(blocks.z_errors_angstrom, expected, rtol=0.02)


def test_a_sharp_step_has_a_position_but_only_a_bound_for_its_width():
    z, values = tanh_profile([31.0, 83.0], [0.05, 0.05])
    found = fit_steps("c", z, values, np.full(len(z), 0.2), HEIGHT)
    np.testing.assert_allclose(found.z_angstrom, [31.0, 83.0], atol=0.3)
    by_name = {q.name: q for q in interface_quantities(found)}
    position, width = by_name["interface_position_c_1"], by_name["interface_width_c_1"]
    assert position.status == "ok"
    assert position.low <= 31.0 - 2.4
    assert position.high >= 31.0 + 2.4
    assert width.status == "unresolved"
    assert 0 < width.high < 10.0
    share = by_name["glass_share_c"]
    assert share.low < (83 - 31) / HEIGHT < share.high


def test_a_step_as_wide_as_the_cell_allows_has_no_upper_limit(rng):
    z, values = tanh_profile([30.0, 90.0], [40.0, 40.0])
    drawn = values + rng.normal(0.0, 0.1, len(z))
    found = fit_steps("c", z, drawn, np.full(len(z), 0.1), HEIGHT)
    assert (found.width_limits_angstrom[:, 0] < 40.0).all()
    assert np.isinf(found.width_limits_angstrom[:, 1]).all()


def test_a_position_that_the_fit_does_not_know_is_unresolved():
    z, values = tanh_profile([31.0, 83.0], [4.0, 7.0])
    found = fit_steps("c", z, values, np.full(len(z), 0.1), HEIGHT)
    lost = dataclasses.replace(found, z_errors_angstrom=np.array([0.5, 2e4]))
    by_name = {q.name: q for q in interface_quantities(lost)}
    assert by_name["interface_position_c_1"].status == "ok"
    for name, most in (("interface_position_c_2", HEIGHT), ("glass_share_c", 1.0)):
        assert by_name[name].status == "unresolved"
        assert (by_name[name].low, by_name[name].high) == (0.0, most)


def test_noise_alone_is_no_interface(rng):
    z = (np.arange(16) + 0.5) * HEIGHT / 16
    for _ in range(200):
        values = 1.0 + rng.normal(0.0, 0.2, 16)
        found = fit_steps("c", z, values, np.full(16, 0.2), HEIGHT)
        assert found.number == 0
        assert "noise" in found.reason
        assert interface_quantities(found) == []


def test_what_the_profile_does_not_support_is_refused():
    z, values = tanh_profile([31.0, 83.0], [4.0, 7.0])
    errors = np.full(len(z), 0.1)
    with pytest.raises(RangeError, match="no interface along c"):
        fit_steps("c", z, np.ones(len(z)), errors, HEIGHT, n_planes=2)
    with pytest.raises(RangeError, match="2 planes along c instead of 4"):
        fit_steps("c", z, values, errors, HEIGHT, n_planes=4)
    with pytest.raises(RangeError, match="even number"):
        fit_steps("c", z, values, errors, HEIGHT, n_planes=3)
    with pytest.raises(RangeError, match="at least 7 slabs, found 6"):
        fit_steps("c", *tanh_profile([31.0, 83.0], [4.0, 7.0], 6), errors[:6], HEIGHT)
    with pytest.raises(RangeError, match="finite"):
        fit_steps("c", z, np.where(z < 10, np.nan, values), errors, HEIGHT)
    few = fit_steps("c", z[:3], values[:3], errors[:3], HEIGHT)
    assert few.number == 0
    assert "3 slabs" in few.reason


def sandwich(rng, planes, frames=5):
    """Beta crystal, a random gas of the same composition and density between two planes."""
    atoms = conventional_cell(find_crystal("beta-Li3PS4")) * (4, 12, 6)
    cell = atoms.cell.array
    low, high = planes
    positions = atoms.positions.copy()
    inside = (positions[:, 1] > low) & (positions[:, 1] < high)
    place = rng.random((inside.sum(), 3)) * [cell[0, 0], high - low, cell[2, 2]]
    positions[inside] = place + np.array([0.0, low, 0.0])
    moved = positions + rng.normal(0.0, 0.15, (frames, *positions.shape))
    return make_trajectory(moved, species=atoms.get_chemical_symbols(), cell=cell)


@pytest.mark.parametrize(
    ("form", "planes"),
    [("power", (30.6, 73.0)), ("power", (20.9, 61.65)), ("amplitude", (26.0, 70.5))],
)
def test_planted_planes_of_a_sandwich_are_recovered_within_half_a_slab(rng, form, planes):
    settings = DisorderSettings(slab_angstrom=8.22, form=form)
    profile = disorder_profile(sandwich(rng, planes), "b", settings)
    found = disorder_interfaces(profile)
    assert found.glass_above.tolist() == [True, False]
    np.testing.assert_allclose(found.z_angstrom, planes, atol=0.5 * profile.slab_width_angstrom)
    assert (np.abs(found.z_angstrom - planes) < 4 * found.z_errors_angstrom).all()
    middle = (profile.z_angstrom > planes[0] + 9) & (profile.z_angstrom < planes[1] - 9)
    outside = (profile.z_angstrom < planes[0] - 9) | (profile.z_angstrom > planes[1] + 9)
    assert profile.values[middle].min() > 4 * profile.values[outside].max()


def test_findings_of_a_sandwich_and_of_a_bulk_cell(rng):
    found, interfaces = disorder_findings(
        sandwich(rng, (30.6, 73.0), 2), "b", charges_e={"Li": 1, "P": 5, "S": -2}
    )
    assert interfaces is not None
    assert interfaces.number == 2
    names = {quantity.name for quantity in found.quantities}
    assert {"interface_position_b_1", "interface_position_b_2", "glass_share_b"} <= names
    assert {curve.name for curve in found.curves} == {"disorder_b", "profiles_b"}
    assert found.figures["disorder_b"].startswith(b"\x89PNG")
    assert [skipped.name for skipped in found.skipped] == ["disorder_mapped_b"]

    bulk = conventional_cell(find_crystal("beta-Li3PS4")) * (3, 5, 5)
    positions = bulk.positions + rng.normal(0.0, 0.15, (2, len(bulk), 3))
    trajectory = make_trajectory(
        positions, species=bulk.get_chemical_symbols(), cell=bulk.cell.array
    )
    found, interfaces = disorder_findings(trajectory, "b")
    assert interfaces is None
    reasons = {skipped.name: skipped.reason for skipped in found.skipped}
    assert "bulk cell along b; F is 0.0" in reasons["interfaces_b"]
    values = {quantity.name: quantity.value for quantity in found.quantities}
    share = 100 * values["disorder_mean_b"] / values["disorder_random_level_b"]
    assert f"{share:.0f} % of that of a random gas" in reasons["interfaces_b"]
    assert "charges" in reasons["charge_density_b"]
    with pytest.raises(RangeError, match="no interface along b"):
        disorder_findings(trajectory, "b", n_planes=2)


def test_a_cell_of_too_few_slabs_is_not_called_bulk(rng):
    found, interfaces = disorder_findings(
        sandwich(rng, (30.6, 73.0), 1), "b", DisorderSettings(slab_angstrom=33.0)
    )
    assert interfaces is None
    reasons = {skipped.name: skipped.reason for skipped in found.skipped}
    assert reasons["interfaces_b"] == "3 slabs along b; at least 4 show an interface"


def test_a_layer_too_thin_for_regions_leaves_the_other_observables(rng):
    # One slab of gas: the interface regions on both sides of it would meet.
    sample = Sample(sandwich(rng, (26.0, 33.0), 2), Request(mobile="Li", axis="b"))
    found = disorder(sample)
    assert any(q.name == "interface_position_b_1" for q in found.quantities)
    reasons = {skipped.name: skipped.reason for skipped in found.skipped}
    assert "its interface regions take" in reasons["regions"]
    assert sample.regions is None


def test_a_cell_too_small_for_f_still_has_its_density_profiles(rng):
    trajectory = make_trajectory(rng.random((2, 20, 3)) * 4.0, cell=4.0)
    found, _ = disorder_findings(trajectory, "c")
    assert {curve.name for curve in found.curves} == {"profiles_c"}
    reasons = {skipped.name: skipped.reason for skipped in found.skipped}
    assert "Fourier pixels" in reasons["disorder_c"]
    with pytest.raises(RangeError, match="Fourier pixels"):
        disorder_findings(trajectory, "c", DisorderSettings())
