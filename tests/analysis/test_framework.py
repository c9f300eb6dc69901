"""Is the framework frozen? Plateaus, melts, parts that move and anions that change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from toy_trajectories import brownian, make_trajectory, ornstein_uhlenbeck

from analysis.errors import RangeError
from analysis.motion.framework import (
    framework_quantities,
    framework_state,
    species_motion,
)
from analysis.motion.msd import mean_squared_displacement
from analysis.motion.transport import transport
from analysis.observables import motion
from analysis.sample import Request, Sample

FRAMES = 400
CELL = 30.0
SIDE = 2.05 / math.sqrt(3.0)
CORNERS = SIDE * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def tetrahedra(n=8):
    """P at sites 12 Angstrom apart or more, then S, four a P; (5 n, 3)."""
    grid = np.array(list(np.ndindex(2, 2, 2)))[:n] * 15.0 + 5.0
    return np.concatenate([grid, (grid[:, None] + CORNERS).reshape(-1, 3)])


def curves_of(trajectory, species):
    at_rest = np.zeros((trajectory.n_frames, 3))
    return {
        name: mean_squared_displacement(
            trajectory, trajectory.ids_of(name), label=name, drift_path=at_rest
        )
        for name in species
    }


def state_of(positions, species=("P", "S")):
    symbols = ["P"] * 8 + ["S"] * 32
    trajectory = make_trajectory(positions, species=symbols, cell=CELL)
    curves = curves_of(trajectory, species)
    return framework_state(trajectory, curves), curves


def vibrating(rng, width=0.1):
    return tetrahedra() + ornstein_uhlenbeck(rng, 40, FRAMES, 2, width)


def test_a_vibrating_framework_is_frozen(rng):
    state, curves = state_of(vibrating(rng))
    assert state.frozen
    assert state.label == ""
    assert state.speciation_change == 0.0
    for found in state.species:
        # 6 sigma^2 of two independent positions.
        assert found.msd_angstrom2 == pytest.approx(0.06, rel=0.1)
        assert abs(found.log_slope) < 0.1
        assert found.time_ps == 199.0
    names = {item.name: item for item in framework_quantities(state, curves)}
    assert names["framework_frozen"].value == 1.0
    msd = [name for name in names if name.startswith("framework_mean_squared_displacement")]
    assert len(msd) == 1
    assert names[msd[0]].value == pytest.approx(0.06, rel=0.1)


def test_a_melt_is_not_frozen_and_called_a_melt(rng):
    moves = brownian(rng, 8, FRAMES, D=0.02)
    # Whole PS4 units diffuse: anions stay, sites do not.
    state, curves = state_of(
        tetrahedra() + np.concatenate([moves, np.repeat(moves, 4, axis=1)], axis=1)
    )
    assert not state.frozen
    assert state.label.startswith("melt")
    assert state.speciation_change == 0.0
    assert all(found.log_slope > 0.5 for found in state.species)
    assert "after 199 ps, log slope" in state.reason
    values = {item.name: item.value for item in framework_quantities(state, curves)}
    assert (values["framework_frozen"], values["framework_melted"]) == (0.0, 1.0)


def test_anions_that_turn_in_place_are_not_a_melt(rng):
    positions = np.repeat(tetrahedra()[None], FRAMES, axis=0)
    from scipy.spatial.transform import Rotation

    for unit in range(8):
        turn = Rotation.identity()
        for frame in range(FRAMES):
            turn = Rotation.from_rotvec(rng.normal(0.0, 0.3, 3)) * turn
            rows = slice(8 + 4 * unit, 12 + 4 * unit)
            positions[frame, rows] = positions[frame, unit] + turn.apply(CORNERS)
    state, _ = state_of(positions)
    assert not state.frozen
    assert not state.melted
    assert state.label == "framework moves in part (S)"
    # Uncorrelated directions: 2 r^2.
    sulphur = next(found for found in state.species if found.label == "S")
    assert sulphur.msd_angstrom2 == pytest.approx(2 * 2.05**2, rel=0.2)


def test_anions_that_fall_apart_are_noticed_while_atoms_hardly_move(rng):
    positions = vibrating(rng)
    # One S of each of two P steps out of bonding distance, at 30 and 60 % of the run.
    for unit, start in ((0, 120), (1, 240)):
        positions[start:, 8 + 4 * unit] += 0.9 * CORNERS[0] / 2.05
    state, _ = state_of(positions)
    assert all(found.frozen for found in state.species)
    assert state.speciation_change == pytest.approx(0.25)
    assert not state.frozen
    assert state.label == "anions change during the run"


def test_anions_are_not_compared_where_the_table_knows_none(rng):
    trajectory = make_trajectory(
        ornstein_uhlenbeck(rng, 6, FRAMES, 2, 0.1), species=["Zr"] * 3 + ["O"] * 3, cell=CELL
    )
    state = framework_state(trajectory, curves_of(trajectory, ("Zr", "O")))
    assert state.frozen
    assert math.isnan(state.speciation_change)
    assert "anions not compared" in state.reason


def test_log_slope_and_time_are_read_at_half_the_run(rng):
    # r = v t: MSD v^2 t^2, log slope 2.
    path = np.arange(101.0)[:, None, None] * np.array([0.01, 0.0, 0.0])
    trajectory = make_trajectory(np.repeat(path, 2, axis=1), species="P", frame_interval_ps=0.5)
    found = species_motion(curves_of(trajectory, ("P",))["P"])
    assert found.time_ps == 25.0
    assert found.msd_angstrom2 == pytest.approx(0.5**2)
    assert found.log_slope == pytest.approx(2.0)
    assert not found.frozen  # however small the MSD
    short = make_trajectory(brownian(rng, 2, 4), species="P")
    with pytest.raises(RangeError, match="half a decade"):
        species_motion(curves_of(short, ("P",))["P"])
    with pytest.raises(RangeError, match="no framework"):
        framework_state(trajectory, {})


def test_a_conductivity_in_a_melt_says_so(rng):
    ions = brownian(rng, 40, FRAMES)
    for framework, melt in ((brownian(rng, 8, FRAMES), True), (np.zeros((FRAMES, 8, 3)), False)):
        trajectory = make_trajectory(
            np.concatenate([ions, framework], axis=1),
            species=["Li"] * 40 + ["Zr"] * 8,
            cell=CELL,
        )
        found = {q.name: q for q in motion(Sample(trajectory, Request(mobile="Li"))).quantities}
        for name in ("conductivity_collective_Li", "conductivity_nernst_einstein_Li"):
            assert found[name].status == "ok"
            assert found[name].reason.startswith("melt") == melt


def test_the_recoil_of_a_light_framework_is_no_motion_of_it(rng):
    ions = brownian(rng, 40, FRAMES)
    # Momentum is conserved, so that all others move against the ions as one.
    recoil = -6.94 * ions.sum(axis=1, keepdims=True) / (8 * 91.224)
    vibrating = rng.normal(0.0, 0.1, (FRAMES, 8, 3))
    trajectory = make_trajectory(
        np.concatenate([ions, recoil + vibrating], axis=1),
        species=["Li"] * 40 + ["Zr"] * 8,
        cell=CELL,
    )
    assert (recoil[-1] ** 2).sum() > 1.0
    found = {q.name: q for q in transport(trajectory, "Li").findings.quantities}
    assert found["framework_frozen"].value == 1.0
    assert found["framework_mean_squared_displacement_Zr"].value == pytest.approx(0.06, rel=0.2)
