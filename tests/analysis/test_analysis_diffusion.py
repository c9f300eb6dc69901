from __future__ import annotations

import math

import numpy as np
import pytest
from toy_trajectories import brownian, lattice_hops, make_trajectory, ornstein_uhlenbeck

from analysis.conductivity.conductivity import nernst_einstein_conductivity, number_density
from analysis.errors import AnalysisError
from analysis.hops.loop_erasure import loop_erased_hops
from analysis.hops.net_hops import net_hops
from analysis.motion.diffusion import diffusion_coefficient
from analysis.motion.msd import mean_squared_displacement
from analysis.results import Quantity

CM2_PER_S = 1e-4


def diffusion_of(positions, *, directions=None, **keywords):
    trajectory = make_trajectory(positions, **keywords)
    ids = np.arange(trajectory.n_atoms)
    still = np.zeros((trajectory.n_frames, 3))
    msd = mean_squared_displacement(
        trajectory, ids, label="Li", drift_path=still, directions=directions
    )
    return diffusion_coefficient(msd, net_hops(trajectory, ids, drift_path=still))


def test_an_unresolved_coefficient_carries_both_bounds_and_no_value(rng):
    result = diffusion_of(ornstein_uhlenbeck(rng, 64, 500, 5, 0.3))
    coefficient = result.coefficient
    assert coefficient.status == "unresolved"
    assert math.isnan(coefficient.value)
    assert coefficient.low == 0.0
    assert coefficient.high == result.msd_bound.high
    assert "net hops" in coefficient.reason
    assert "MSD/(6 t)" in coefficient.reason
    plateau = 6 * 0.3**2
    assert result.msd_bound.high == pytest.approx(plateau / (6 * 250) * CM2_PER_S, rel=0.2)
    # No hop seen: 3 l^2 / (6 N t), with -ln(0.05) = 2.996 for the 3.
    expected = -math.log(0.05) * 9.0 / (6 * 64 * 499) * CM2_PER_S
    assert result.hop_bound.high == pytest.approx(expected, rel=1e-6)
    assert "3.00 Angstrom" in result.hop_bound.reason


def test_ballistic_motion_is_unresolved_and_bounded_by_nothing(rng):
    velocities = rng.normal(0.0, 0.3, (64, 3))
    result = diffusion_of(np.arange(200)[:, None, None] * velocities)
    assert result.coefficient.status == "unresolved"
    assert math.isinf(result.coefficient.high)


def test_rare_hops_are_unresolved_for_want_of_hops(rng):
    result = diffusion_of(lattice_hops(rng, 64, 500, 0.001))
    assert result.coefficient.status == "unresolved"
    assert "needs 100" in result.coefficient.reason


@pytest.mark.parametrize(
    ("walk", "truth"),
    [
        (lambda rng: brownian(rng, 40, 200, D=0.01), 0.01),
        # Between sites 1.5 Angstrom apart; the MSD of one hop is p l^2 a frame.
        (lambda rng: lattice_hops(rng, 34, 400, 0.04, length=1.5), 0.04 * 1.5**2 / 6),
    ],
)
def test_the_bound_from_hops_holds_for_ions_that_move_by_less_than_a_hop(walk, truth):
    found = [diffusion_of(walk(np.random.default_rng(seed))) for seed in range(40)]
    unresolved = [each for each in found if each.coefficient.status == "unresolved"]
    assert len(unresolved) > 20
    holds = [each.hop_bound.high >= truth * CM2_PER_S for each in unresolved]
    # By the hops alone it would be too low in all of them.
    assert sum(holds) >= 0.9 * len(holds)
    assert "raised to the upper end of the slope" in unresolved[0].hop_bound.reason


def test_the_fitted_window_spans_half_a_decade_and_is_reported(rng):
    result = diffusion_of(brownian(rng, 64, 500))
    assert result.fit is not None
    assert result.fit.stop_ps >= math.sqrt(10) * result.fit.start_ps
    assert f"from {result.fit.start_ps:.4g} to {result.fit.stop_ps:.4g} ps" in (
        result.coefficient.reason
    )


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_d_in_fewer_dimensions_is_the_slope_over_twice_their_number(rng, rows):
    result = diffusion_of(brownian(rng, 200, 500), directions=np.eye(3)[:rows])
    value = result.coefficient.value / CM2_PER_S
    assert value == pytest.approx(0.05, rel=0.15)
    assert result.slope.pooled == pytest.approx(2 * rows * value, rel=1e-12)
    # One hop, 9 Angstrom^2 in three dimensions, takes 30 ps at this D, whatever is seen of it.
    assert result.fit.start_ps == pytest.approx(30.0, rel=0.4)
    # The straight line and the average over memory are of one slope where there is no memory.
    assert result.fit.slope == pytest.approx(2 * rows * 0.05, rel=0.15)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_bounds_in_fewer_dimensions_are_those_of_d(rng, rows):
    cage = ornstein_uhlenbeck(rng, 64, 500, 5, 0.3)
    result = diffusion_of(cage, directions=np.eye(3)[:rows])
    # Each direction has its share of the plateau and of 2 d t.
    expected = 0.3**2 / 250 * CM2_PER_S
    assert result.msd_bound.high == pytest.approx(expected, rel=0.2)
    assert f"MSD/({2 * rows} t)" in result.coefficient.reason
    expected = -math.log(0.05) * 9.0 / (6 * 64 * 499) * CM2_PER_S
    assert result.hop_bound.high == pytest.approx(expected, rel=1e-6)


def test_a_small_msd_is_a_caution_and_no_refusal(rng):
    far = diffusion_of(brownian(rng, 64, 500, D=0.05))
    near = diffusion_of(lattice_hops(rng, 200, 500, probability=0.004))
    assert far.coefficient.status == near.coefficient.status == "ok"
    assert "caution" not in far.coefficient.reason
    assert "caution: the MSD is only" in near.coefficient.reason


def test_d_does_not_depend_on_the_unit_of_time(rng):
    positions = lattice_hops(rng, 64, 500, 0.05)
    slow = diffusion_of(positions, frame_interval_ps=2.0).coefficient
    fast = diffusion_of(positions, frame_interval_ps=4.0).coefficient
    for name in ("value", "low", "high"):
        assert getattr(slow, name) == pytest.approx(2 * getattr(fast, name), rel=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("place", [0.0, 0.3])  # the MSD is zero or round-off
def test_ions_that_do_not_move_are_unresolved_without_a_warning(place):
    result = diffusion_of(np.full((200, 20, 3), place))
    assert result.coefficient.status == "unresolved"
    assert result.msd_bound.high < 1e-30


def test_too_few_frames_are_unresolved(rng):
    result = diffusion_of(brownian(rng, 64, 4))
    assert result.coefficient.status == "unresolved"
    assert result.fit is None


def test_a_single_ion_is_unresolved(rng):
    result = diffusion_of(brownian(rng, 1, 500))
    assert result.coefficient.status == "unresolved"
    assert "single atom" in result.coefficient.reason


def path_along_x(*sites):
    positions = np.zeros((len(sites), 1, 3))
    positions[:, 0, 0] = sites
    return positions


@pytest.mark.parametrize(
    ("sites", "count"),
    [
        ((0, 0, 3, 3, 3), 1),
        ((0, 3, 0, 3, 0), 0),
        ((0, 3, 0, 3, 3), 0),  # rattles between two sites, wherever it ends
        ((0, 3, 6, 3, 0), 0),  # the way back erases the way out
        ((0, 3, 6, 9, 9), 3),
        ((0, 3, 0, -3, -6), 2),
        ((0, 1.9, 0, 1.9, 0), 0),
    ],
)
def test_net_hops_are_those_not_undone(sites, count):
    steps, lengths = loop_erased_hops(path_along_x(*sites), 2.0)
    assert len(steps) == count
    np.testing.assert_allclose(lengths, 3.0)


def test_net_hops_of_a_long_walk_outlive_the_memory_of_sites():
    steps, _ = loop_erased_hops(path_along_x(*(3.0 * np.arange(100))), 2.0)
    np.testing.assert_array_equal(np.sort(steps), np.arange(1, 100))


def test_positions_are_averaged_over_1_ps_where_frames_allow(rng):
    vibration = rng.normal(0.0, 1.0, (400, 20, 3))
    fine = make_trajectory(vibration, frame_interval_ps=0.05)
    coarse = make_trajectory(vibration, frame_interval_ps=2.0)
    ids = np.arange(20)
    assert net_hops(fine, ids).averaging_ps == pytest.approx(1.0)
    assert len(net_hops(fine, ids).times_ps) == 0
    assert net_hops(coarse, ids).averaging_ps == 0.0


def test_hop_times_fall_in_their_blocks():
    positions = np.zeros((100, 1, 3))
    positions[30:] += [3.0, 0, 0]
    positions[90:] += [3.0, 0, 0]
    trajectory = make_trajectory(positions)
    hops = net_hops(trajectory, np.array([0]), drift_path=np.zeros((100, 3)))
    np.testing.assert_array_equal(hops.counts_in_blocks(5), [0, 1, 0, 0, 1])


def test_nernst_einstein_of_li3ps4_matches_the_derived_number():
    diffusion = Quantity("diffusion_coefficient_Li", 4.392e-11, "cm^2/s", 4e-11, 5e-11)
    sigma = nernst_einstein_conductivity(
        diffusion, number_density_per_cm3=1.8454e22, temperature_kelvin=300.0, charge_e=1.0
    )
    assert sigma.value == pytest.approx(5.023e-6, rel=2e-4)
    assert sigma.low / sigma.value == pytest.approx(4 / 4.392)
    assert sigma.high / sigma.value == pytest.approx(5 / 4.392)
    assert sigma.unit == "S/cm"


def test_nernst_einstein_carries_an_unresolved_status_and_its_bound():
    diffusion = Quantity(
        "diffusion_coefficient_Li", math.nan, "cm^2/s", 0.0, 1e-8, status="unresolved", reason="why"
    )
    sigma = nernst_einstein_conductivity(
        diffusion, number_density_per_cm3=1.8454e22, temperature_kelvin=300.0, charge_e=1.0
    )
    assert sigma.status == "unresolved"
    assert math.isnan(sigma.value)
    assert sigma.high == pytest.approx(5.023e-6 / 4.392e-11 * 1e-8, rel=2e-4)
    assert "why" in sigma.reason


def test_nernst_einstein_refuses_other_units():
    with pytest.raises(AnalysisError, match="expected cm\\^2/s"):
        nernst_einstein_conductivity(
            Quantity("D", 1.0, "S/cm"),
            number_density_per_cm3=1.0,
            temperature_kelvin=1.0,
            charge_e=1.0,
        )


def test_number_density_of_li3ps4_follows_from_its_mass_density():
    # 1.839 g/cm^3 and 180.03 g/mol give 1.8454e22 Li per cm^3.
    volume = 180.03 / 1.839 / 0.602214076
    trajectory = make_trajectory(
        np.zeros((2, 8, 3)),
        species=["Li"] * 3 + ["P"] + ["S"] * 4,
        cell=volume ** (1 / 3),
    )
    assert number_density(trajectory, "Li") == pytest.approx(1.8454e22, rel=1e-4)
