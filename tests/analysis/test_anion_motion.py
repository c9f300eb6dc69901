"""Motion of the mobile ions by the anion next to them, as an analysis reports it."""

from __future__ import annotations

import numpy as np
import pytest
from toy_trajectories import make_trajectory

from analysis.pairs.pair_findings import pair_findings
from analysis.regional.anion_motion import TOPIC, anion_motion_findings
from analysis.regional.neighbourhood import anion_neighbourhood_groups
from mlip.structures.crystals import conventional_cell, find_crystal

AMPLITUDES_ANGSTROM = {"PS4": 0.03, "P2S7": 0.09}
FRAMES = 300


def vibrating(name, rng, amplitude):
    """Return a crystal whose lithium ions vibrate about their sites by so much each."""
    atoms = conventional_cell(find_crystal(name)).repeat((2, 2, 2))
    lithium = np.flatnonzero(atoms.symbols == "Li")
    positions = np.tile(atoms.positions, (FRAMES, 1, 1))
    positions += 0.01 * rng.normal(size=positions.shape)
    at_rest = make_trajectory(
        atoms.positions[None], species=atoms.get_chemical_symbols(), cell=atoms.cell.array
    )
    groups = anion_neighbourhood_groups(at_rest, lithium, reach_angstrom=3.2)
    codes = groups.codes(next(at_rest.frames()))[lithium]
    own = np.array([amplitude(groups.names[code]) for code in codes])
    positions[:, lithium] += own[:, None] * rng.normal(size=(FRAMES, len(lithium), 3))
    return make_trajectory(
        positions,
        species=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        frame_interval_ps=0.1,
    )


def findings_of(trajectory):
    _, _, shells = pair_findings(trajectory)
    drift = np.zeros((trajectory.n_frames, 3))
    return anion_motion_findings(trajectory, "Li", shells, 1.0, drift_path=drift)


def test_ions_beside_each_kind_of_anion_have_the_motion_put_into_them(rng):
    found = findings_of(vibrating("Li7P3S11", rng, AMPLITUDES_ANGSTROM.__getitem__))
    curves = {curve.name: curve.columns for curve in found.curves}
    assert set(curves) == {"msd_Li_PS4", "msd_Li_P2S7"}
    for name, amplitude in AMPLITUDES_ANGSTROM.items():
        msd = curves[f"msd_Li_{name}"]["msd [Angstrom^2]"]
        # Uncorrelated vibrations: two of them apart at every lag, framework noise on top.
        expected = 6.0 * (amplitude**2 + 0.01**2)
        assert msd[1:50].mean() == pytest.approx(expected, rel=0.1)
    values = {quantity.name: quantity for quantity in found.quantities}
    for name in AMPLITUDES_ANGSTROM:
        assert values[f"diffusion_coefficient_Li_{name}"].status == "unresolved"
    assert not [name for name in values if name.startswith(("exchange_rate", "stay_time"))]
    assert list(found.figures) == ["msd_by_anion_Li"]


def test_a_crystal_of_one_kind_of_anion_is_left_out_with_the_reason(rng):
    found = findings_of(vibrating("beta-Li3PS4", rng, lambda name: 0.05))
    assert [skipped.name for skipped in found.skipped] == [TOPIC]
    assert "fewer than two kinds of anion" in found.skipped[0].reason
    assert "PS4" in found.skipped[0].reason
    assert not found.quantities
    assert not found.curves


def test_what_the_table_of_anions_does_not_know_is_left_out_with_the_reason(rng):
    positions = 8.0 * rng.random((20, 12, 3))
    trajectory = make_trajectory(positions, species=["Li"] * 6 + ["Au"] * 6, cell=8.0)
    found = anion_motion_findings(trajectory, "Li", [], 1.0, drift_path=np.zeros((20, 3)))
    assert "no anion rule for Au" in found.skipped[0].reason


def test_without_a_first_shell_nothing_is_next_to_an_ion(rng):
    positions = 8.0 * rng.random((20, 13, 3))
    species = ["Li"] * 6 + ["P"] + ["S"] * 6
    trajectory = make_trajectory(positions, species=species, cell=8.0)
    found = anion_motion_findings(trajectory, "Li", [], 1.0, drift_path=np.zeros((20, 3)))
    assert found.skipped[0].reason == "no g(r) of Li-S"
