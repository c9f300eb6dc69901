"""Motion by region: coverage with closed and open walls, boundaries of the cell, findings."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sandwiches import NAMES, layer_groups, sandwich_walk
from scipy import stats
from toy_trajectories import make_trajectory

from analysis.disorder.axis import axis_coordinate
from analysis.disorder.regions import Planes, region_groups
from analysis.groups import static_groups
from analysis.hops.net_hops import net_hops
from analysis.motion.diffusion import diffusion_coefficient
from analysis.motion.membership import Membership, membership_of
from analysis.motion.msd import mean_squared_displacement
from analysis.regional.group_hops import hops_from_group
from analysis.regional.group_msd import (
    GroupPart,
    group_mean_squared_displacement,
    group_mean_squared_displacements,
)
from analysis.regional.region_findings import region_findings
from analysis.regional.region_motion import (
    SLOPE_LOST_AT_FACES,
    between_rules,
    region_diffusion,
    region_motions,
)

D_CRYSTAL, D_GLASS = 0.02, 0.1
CM2_PER_S = 1e-4
IN_PLANE = np.eye(3)[:2]


def sandwich(seed, n_ions, n_frames, *, walls, height=40.0, D_crystal=D_CRYSTAL):
    positions = sandwich_walk(
        np.random.default_rng(seed),
        n_ions,
        n_frames,
        D_crystal,
        D_GLASS,
        walls=walls,
        height=height,
    )
    trajectory = make_trajectory(positions, cell=np.diag([20.0, 20.0, height]))
    ids = np.arange(n_ions)
    membership = membership_of(trajectory, ids, layer_groups(height))
    still = np.zeros((n_frames, 3))
    return trajectory, membership, net_hops(trajectory, ids, drift_path=still), still


def test_d_of_each_region_is_covered_with_reflecting_walls():
    replicas, covered = 200, np.zeros(2)
    parts = [GroupPart(group, NAMES[group], "origin", IN_PLANE) for group in (0, 1)]
    for seed in range(replicas):
        trajectory, membership, hops, still = sandwich(seed, 40, 200, walls="closed")
        curves = group_mean_squared_displacements(trajectory, membership, parts, drift_path=still)
        for group, (msd, D) in enumerate(zip(curves, (D_CRYSTAL, D_GLASS), strict=True)):
            # The gate of net hops is not what is tested here.
            found = diffusion_coefficient(msd, hops).coefficient
            covered[group] += found.low <= D * CM2_PER_S <= found.high
    assert covered.min() >= stats.binom.ppf(0.001, replicas, 0.95), covered


def test_rules_at_open_walls_are_biased_as_documented():
    # In the plane: ions that stay are unbiased, those that only start there mix the regions.
    slopes = {rule: [] for rule in ("origin", "origin_and_end", "throughout")}
    for seed in range(40):
        trajectory, membership, _, still = sandwich(seed, 64, 260, walls="open")
        for rule, found in slopes.items():
            msd = group_mean_squared_displacement(
                trajectory,
                membership,
                0,
                label="x",
                rule=rule,
                drift_path=still,
                directions=IN_PLANE,
            )
            found.append(msd.msd[130] / (4 * 130.0 * D_CRYSTAL))
    mean = {rule: np.mean(found) for rule, found in slopes.items()}
    error = {rule: np.std(found) / np.sqrt(40) for rule, found in slopes.items()}
    assert abs(mean["throughout"] - 1.0) < 4 * error["throughout"]
    assert mean["origin"] > 1.0 + 4 * error["origin"]
    assert mean["throughout"] < mean["origin_and_end"] < mean["origin"]


def test_d_of_each_region_is_covered_with_open_walls():
    replicas, covered = 25, np.zeros((3, 2))
    for seed in range(replicas):
        trajectory, membership, hops, still = sandwich(seed, 64, 300, walls="open", height=80.0)
        motions, whole = region_motions(
            trajectory, "Li", membership, [0, 1], "c", hops, still, "throughout"
        )
        assert set(whole) == {"total", "parallel", "normal"}
        for n, (motion, D) in enumerate(zip(motions, (D_CRYSTAL, D_GLASS), strict=True)):
            for k, name in enumerate(whole):
                found, _ = region_diffusion(motion, name, "throughout", layer_width_angstrom=40.0)
                covered[k, n] += found.low <= D * CM2_PER_S <= found.high
    assert covered.min() >= stats.binom.ppf(0.001, replicas, 0.95), covered


def test_the_interval_spans_both_rules_and_is_refused_where_ions_leave():
    trajectory, membership, hops, still = sandwich(3, 64, 300, walls="open")
    motions, _ = region_motions(
        trajectory, "Li", membership, [0, 1], "c", hops, still, "throughout"
    )
    glass = motions[1]
    stays, starts = (
        diffusion_coefficient(curves["parallel"], hops) for curves in (glass.msd, glass.other)
    )
    assert stays.coefficient.status == starts.coefficient.status == "ok"
    both = between_rules(stays, starts, glass.survivors, "throughout")
    assert both.value == stays.coefficient.value
    assert both.low == min(stays.coefficient.low, starts.coefficient.low)
    assert both.high == max(stays.coefficient.high, starts.coefficient.high)
    alone = between_rules(stays, None, glass.survivors, "throughout")
    assert glass.survivors.share_throughout[stays.fit.lags[-1]] < 0.9
    assert alone.status == "unresolved"
    assert (alone.low, alone.high) == (0.0, math.inf)
    whole = dataclasses.replace(glass.survivors, throughout=glass.survivors.origin)
    assert between_rules(stays, None, whole, "throughout").value == both.value


def test_the_slope_lost_at_reflecting_faces_is_that_of_the_exact_solution():
    # <x^2> = L^2/6 - 16 L^2/pi^4 sum over odd n of exp(-n^2 pi^2 D t/L^2)/n^4.
    n, L, D = np.arange(1, 4001, 2), 20.0, 0.1
    for t in (0.5, 2.0, 20.0):
        slope = 16 * D / np.pi**2 * (np.exp(-(n**2) * np.pi**2 * D * t / L**2) / n**2).sum()
        expected = SLOPE_LOST_AT_FACES * np.sqrt(2 * D * t) / L
        assert 1.0 - slope / (2 * D) == pytest.approx(expected, rel=0.01)


def test_the_upper_limit_across_a_layer_is_raised_for_its_faces():
    trajectory, membership, hops, still = sandwich(2, 64, 300, walls="closed")
    motions, _ = region_motions(
        trajectory, "Li", membership, [0, 1], "c", hops, still, "throughout"
    )
    glass = dataclasses.replace(motions[1], other={})
    for name, directions in (("normal", 1.0), ("total", 3.0), ("parallel", math.inf)):
        found, first = region_diffusion(glass, name, "throughout", layer_width_angstrom=12.0)
        last = first.fit.lags[-1]
        lost = 2 * math.sqrt(2 / math.pi) * math.sqrt(glass.msd["normal"].msd[last]) / 12.0
        assert found.high == pytest.approx(first.coefficient.high / (1.0 - lost / directions))
        assert (lost <= 0.3) == (name != "parallel")
    thin, _ = region_diffusion(glass, "normal", "throughout", layer_width_angstrom=0.0)
    assert thin.status == "unresolved"


def test_ions_that_cross_the_boundary_keep_their_region_and_their_path():
    # Glass between 0.25 and 0.75; ions of the crystal run through the boundary at z = 0 for ever.
    planes = Planes(np.array([0.25, 0.75]), np.array([True, False]), np.full(2, 1e-6))
    speed = np.repeat([0.4, 0.1, 0.0], [6, 6, 8])
    start = np.repeat([38.0, 18.0, 20.0], [6, 6, 8])
    # Some are whole cells away, where a region by the unwrapped position is that of another layer.
    images = np.concatenate([np.tile([0, 1, -3], 4), np.zeros(8)])
    z = start + 40.0 * images + speed * np.arange(30)[:, None]
    positions = np.zeros((30, 20, 3))
    positions[..., 2] = z
    species = ["Li"] * 12 + ["P"] * 8
    trajectory = make_trajectory(positions, species=species, cell=np.diag([20.0, 20.0, 40.0]))
    framework = np.arange(12, 20)
    groups = region_groups(axis_coordinate(trajectory, "c", framework), planes)
    membership = membership_of(trajectory, np.arange(12), groups)
    # 38 + 0.4 t leaves the crystal at z = 50 only, after 30 frames.
    np.testing.assert_array_equal(membership.codes[:, :6], 0)
    np.testing.assert_array_equal(membership.codes[:, 6:], 2)
    for rule in ("origin", "origin_and_end", "throughout"):
        for group, v in ((0, 0.4), (2, 0.1)):
            msd = group_mean_squared_displacement(
                trajectory, membership, group, label="x", rule=rule, drift_path=np.zeros((30, 3))
            )
            np.testing.assert_allclose(msd.msd, (v * np.arange(30)) ** 2, atol=1e-9)


def test_net_hops_count_for_the_region_they_start_in():
    # Two ions step from crystal (x < 5) to glass, one of them in averages over four frames.
    positions = np.zeros((40, 3, 3))
    positions[20:, 0, 0] = 10.0
    positions[:, 1, 0] = 20.0
    positions[32:, 1, 0] = 30.0
    trajectory = make_trajectory(positions, frame_interval_ps=0.25)
    inside = positions[..., 0] < 5.0
    # It came only with the interval before the hop, which is what counts.
    inside[:16, 0] = False
    membership = Membership(NAMES, np.arange(3), np.where(inside, 0, 1).astype(np.int8))
    for averaging in (0.25, 1.0):
        hops = net_hops(
            trajectory, np.arange(3), drift_path=np.zeros((40, 3)), averaging_ps=averaging
        )
        assert len(hops.times_ps) == 2
        crystal, glass = (hops_from_group(hops, membership, group, 0.25) for group in (0, 1))
        assert crystal.ions.tolist() == [0]
        assert glass.ions.tolist() == [1]
        np.testing.assert_allclose(crystal.lengths_angstrom, 10.0)
        # 44 of 120 positions lie in the crystal, 1.1 ions; 1.9 are rounded down.
        assert (crystal.n_ions, glass.n_ions) == (1, 1)


def findings_of(walls, n_ions=120, n_frames=300, regions=None, axis="c"):
    trajectory, _, _, still = sandwich(1, n_ions, n_frames, walls=walls)
    groups = regions or layer_groups(40.0)
    return trajectory, region_findings(trajectory, "Li", groups, axis, 1.0, drift_path=still)


def test_findings_name_every_quantity_by_region():
    trajectory, found = findings_of("open")
    names = [item.name for item in found.quantities]
    assert len(set(names)) == len(names)
    expected = {
        f"{what}_Li_{region}"
        for region in NAMES
        for what in (
            "diffusion_coefficient",
            "diffusion_coefficient_parallel",
            "diffusion_coefficient_normal",
            "conductivity_nernst_einstein",
            "mobile_share",
            "stay_time",
        )
    } | {f"exchange_rate_Li_{a}_to_{b}" for a, b in (NAMES, NAMES[::-1])}
    for part in ("parallel", "normal", "isotropic", "parallel_bound", "normal_bound"):
        expected |= {f"diffusion_coefficient_{part}_Li", f"conductivity_nernst_einstein_{part}_Li"}
    assert expected <= set(names)
    quantity = {item.name: item for item in found.quantities}
    assert quantity["diffusion_coefficient_isotropic_Li"].status == "refused"
    for region, D in zip(NAMES, (D_CRYSTAL, D_GLASS), strict=True):
        item = quantity[f"diffusion_coefficient_parallel_Li_{region}"]
        assert item.status == "ok"
        assert item.low <= D * CM2_PER_S <= item.high
    assert [curve.name for curve in found.curves] == ["msd_Li_crystal", "msd_Li_glass"]
    for curve in found.curves:
        assert curve.columns["share throughout [1]"][0] == 1.0
        assert len(curve.columns["time [ps]"]) == trajectory.n_frames
    counted = sum(curve.columns["displacements [1]"][0] for curve in found.curves)
    assert counted == trajectory.n_atoms * trajectory.n_frames
    assert found.figures["msd_by_region_Li"].startswith(b"\x89PNG")


def test_conductivity_of_a_region_uses_its_own_density():
    _, found = findings_of("closed")
    quantity = {item.name: item for item in found.quantities}
    for region in NAMES:
        diffusion = quantity[f"diffusion_coefficient_Li_{region}"]
        conductivity = quantity[f"conductivity_nernst_einstein_Li_{region}"]
        # 60 ions in half of 16,000 Angstrom^3; e^2/(kB T) at 300 K.
        density = 60 / 8000.0 * 1e24
        factor = density * 1.602176634e-19**2 / (1.380649e-23 * 300.0)
        assert conductivity.high == pytest.approx(diffusion.high * factor, rel=0.03)
    assert quantity["exchange_rate_Li_crystal_to_glass"].status == "unresolved"
    assert quantity["stay_time_Li_glass"].status == "unresolved"


def test_other_divisions_of_ions_need_no_axis_and_one_alone_is_left_out():
    kinds = np.repeat(["PS4", "P2S7"], 60)
    trajectory, found = findings_of("closed", regions=static_groups(kinds), axis=None)
    names = {item.name for item in found.quantities}
    assert {"diffusion_coefficient_Li_PS4", "diffusion_coefficient_Li_P2S7"} <= names
    assert not any("parallel" in name or "isotropic" in name for name in names)
    for kind in ("PS4", "P2S7"):
        plain = mean_squared_displacement(
            trajectory, np.flatnonzero(kinds == kind), label="x", drift_path=np.zeros((300, 3))
        )
        curve = next(curve for curve in found.curves if curve.name == f"msd_Li_{kind}")
        np.testing.assert_allclose(curve.columns["msd [Angstrom^2]"], plain.msd, atol=1e-8)
    _, alone = findings_of("closed", regions=static_groups(np.full(120, "PS4")), axis=None)
    assert not alone.quantities
    assert "fewer than two" in alone.skipped[0].reason
