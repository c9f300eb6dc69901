"""Diffusion along and across layers: directions, thickness, bounds, refusal until crossed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sandwiches import sandwich_walk
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.disorder.axis import height_angstrom, layer_directions
from analysis.errors import RangeError
from analysis.groups import Groups
from analysis.hops.net_hops import net_hops
from analysis.motion.msd import mean_squared_displacement
from analysis.regional.layered import layer_bounds, layered_diffusion, refuse_isotropic
from analysis.regional.layers import layers_of
from analysis.results import Findings, Quantity


def coefficient(value, low=None, high=None, status="ok"):
    low, high = low if low is not None else 0.9 * value, high if high is not None else 1.1 * value
    return Quantity(
        "D", value if status == "ok" else math.nan, "cm^2/s", low, high, status=status, reason="x"
    )


def test_half_fast_half_slow_is_their_mean_along_and_harmonic_across():
    items = [coefficient(1e-9), coefficient(1e-11)]
    along, across = layer_bounds(items, items, np.array([0.5, 0.5]), label="Li")
    assert along.value == pytest.approx(5.05e-10)
    assert across.value == pytest.approx(2 / (1 / 1e-9 + 1 / 1e-11))
    assert across.value == pytest.approx(2.0e-11, rel=0.02)
    assert along.name == "diffusion_coefficient_parallel_bound_Li"
    assert across.name == "diffusion_coefficient_normal_bound_Li"
    # Half widths add in quadrature; across, the slow layer decides.
    half = math.hypot(0.5 * 1e-10, 0.5 * 1e-12)
    assert (along.low, along.high) == (
        pytest.approx(5.05e-10 - half),
        pytest.approx(5.05e-10 + half),
    )
    assert across.low == pytest.approx(0.9 * across.value, rel=0.01)
    assert across.high == pytest.approx(1.1 * across.value, rel=0.01)


def test_bounds_weigh_conductivities_by_volume():
    # sigma_r is in proportion to x_r D_r / v_r.
    x, v, D = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.3, 0.2]), np.array([3.0, 1.0, 0.2])
    sigma = x * D / v
    items = [coefficient(value) for value in D]
    along, across = layer_bounds(items, items, x, v, label="Li")
    assert along.value == pytest.approx(v @ sigma)
    assert across.value == pytest.approx(1 / (v / sigma).sum())
    assert across.value < along.value


def test_an_unresolved_region_bounds_the_stack_from_above():
    items = [coefficient(1.0), coefficient(math.nan, 0.0, 0.1, "unresolved")]
    along, across = layer_bounds(items, items, np.array([0.5, 0.5]), label="Li")
    assert along.status == across.status == "unresolved"
    assert along.low == across.low == 0.0
    assert along.high == pytest.approx(0.5 * 1.0 + 0.5 * 0.1 + 0.5 * 0.1)
    # The fast layer in quadrature about 1, the slow one at its bound.
    assert across.high == pytest.approx(1 / (0.5 / 0.1 + 0.5 - 0.5 * (1 - 1 / 1.1)))
    endless = [items[0], coefficient(math.nan, 0.0, math.inf, "unresolved")]
    along, across = layer_bounds(endless, endless, np.array([0.5, 0.5]), label="Li")
    assert math.isinf(along.high)
    assert across.high == pytest.approx(1 / (0.5 / 1.1))
    with pytest.raises(RangeError, match="sum 1"):
        layer_bounds(items, items, np.array([0.5, 0.6]), label="Li")


@pytest.mark.parametrize("row", [0, 1, 2])
def test_directions_are_orthonormal_and_the_normal_is_across_the_other_vectors(row):
    parallel, normal = layer_directions(TRICLINIC, row)
    basis = np.concatenate([parallel, normal])
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-12)
    others = [k for k in range(3) if k != row]
    np.testing.assert_allclose(TRICLINIC[others] @ normal[0], 0.0, atol=1e-12)
    assert abs(TRICLINIC[row] @ normal[0]) == pytest.approx(height_angstrom(TRICLINIC, row))


def test_layers_are_as_thick_as_they_were_planted_also_around_the_boundary(rng):
    # Glass from 0.85 around the boundary to 0.25, an interface from 0.25 to 0.35.
    positions = rng.random((4000, 3)) @ np.diag([10.0, 10.0, 40.0]) + [0.0, 0.0, 400.0]

    def codes(frame):
        z = (frame.positions[:, 2] / 40.0) % 1.0
        return np.where((z < 0.25) | (z >= 0.85), 2, np.where(z < 0.35, 1, 0))

    groups = Groups(("crystal", "interface", "glass", "none"), codes)
    trajectory = make_trajectory(np.tile(positions, (5, 1, 1)), cell=np.diag([10.0, 10.0, 40.0]))
    found = layers_of(trajectory, groups, "c")
    np.testing.assert_allclose(found.volume_shares, [0.5, 0.1, 0.4, 0.0], atol=1e-12)
    np.testing.assert_allclose(found.widest_angstrom, [20.0, 4.0, 16.0, 0.0], atol=1e-9)
    assert found.height_angstrom == pytest.approx(40.0)


def stack(rng, height, n_frames, D_crystal=0.05, D_glass=0.25, n_ions=64):
    positions = sandwich_walk(
        rng, n_ions, n_frames, D_crystal, D_glass, walls="open", height=height
    )
    trajectory = make_trajectory(positions, cell=np.diag([20.0, 20.0, height]))
    ids, still = np.arange(n_ions), np.zeros((n_frames, 3))
    parallel, normal = layer_directions(trajectory.cells[0], 2)
    msd = [
        mean_squared_displacement(
            trajectory, ids, label="Li", drift_path=still, directions=directions
        )
        for directions in (None, parallel, normal)
    ]
    hops = net_hops(trajectory, ids, drift_path=still)
    return layered_diffusion(*msd, hops, layer_width_angstrom=height / 2)


def test_no_isotropic_value_before_layers_are_crossed():
    covered = 0
    for seed in range(10):
        found = stack(np.random.default_rng(seed), 60.0, 400)
        assert found.isotropic.status == "refused"
        assert "squared layer width 900 Angstrom^2" in found.isotropic.reason
        assert math.isnan(found.isotropic.value)
        assert found.normal.status == "unresolved"
        # What looks like D across is the mean over layers, far above the true one.
        assert found.normal.high > 1e-4 * 2 / (1 / 0.05 + 1 / 0.25)
        assert found.parallel.status == "ok"
        covered += found.parallel.low <= 1e-4 * 0.15 <= found.parallel.high
    # The 0.1 % quantile of 10 replicas at 95 % is 7.
    assert covered >= 7


def test_layers_that_were_crossed_give_the_harmonic_mean_across():
    covered = {"parallel": 0, "normal": 0, "isotropic": 0}
    truth = {"parallel": 0.15, "normal": 2 / (1 / 0.05 + 1 / 0.25)}
    truth["isotropic"] = (2 * truth["parallel"] + truth["normal"]) / 3
    for seed in range(10):
        found = stack(np.random.default_rng(seed), 10.0, 1500)
        across = found.fits[1]
        assert across.msd.msd[across.fit.lags[0]] >= 25.0
        for name in covered:
            item = getattr(found, name)
            assert item.status == "ok", item.reason
            covered[name] += item.low <= 1e-4 * truth[name] <= item.high
    # The 0.1 % quantile of 10 replicas at 95 % is 7.
    assert min(covered.values()) >= 7


def test_isotropic_values_of_the_whole_sample_are_taken_back():
    refused = Quantity(
        "diffusion_coefficient_isotropic_Li", math.nan, "cm^2/s", status="refused", reason="layers"
    )
    names = ["diffusion_coefficient_Li", "conductivity_nernst_einstein_Li"]
    kept = Quantity("diffusion_coefficient_parallel_Li", 1.0, "cm^2/s", 0.9, 1.1)
    others = [Quantity(name, 1.0, "x", 0.9, 1.1) for name in names]
    findings = Findings(quantities=[*others, kept])
    refuse_isotropic(findings, "Li")
    assert [item.status for item in findings.quantities] == ["ok"] * 3
    findings.quantities.append(refused)
    refuse_isotropic(findings, "Li")
    assert [item.status for item in findings.quantities] == ["refused"] * 2 + ["ok", "refused"]
    assert math.isnan(findings.quantities[0].high)
