"""Distances, bonds, neighbour counts and coverage of a certificate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from certificate_systems import frames_of, part_of, single_frame, surveys_of, system_of
from certificate_systems import thiophosphate as unit
from toy_runs import toy_frames

from mlip.data.coverage import conditions, coverage
from mlip.data.geometry_checks import (
    bonds,
    closest_of,
    most_neighbours,
    neighbour_excess,
    smallest_distances,
)
from mlip.data.neighbours import CUTOFFS_ANGSTROM, survey


def lattice(length: float, count: int = 1):
    """Return fcc sulphur, nearest distance length / sqrt(2)."""
    cell = bulk("Ar", "fcc", a=length, cubic=True)
    coords = np.repeat(cell.positions[None], count, axis=0)
    return frames_of(["S"] * 4, coords, cell.cell.array)


def bond_check(frames):
    system = system_of(frames)
    return bonds([system], surveys_of(system))


def test_neighbours_of_the_fcc_lattice_are_those_of_its_shells():
    # Shells of fcc at sqrt(k/2) a: 12, 6, 24, 12, 24, 8, 48 atoms; a cell far below the cut-off.
    found = survey(lattice(4.2))
    shells = 4.2 * np.sqrt(np.arange(1, 8) / 2)
    sizes = np.array([12, 6, 24, 12, 24, 8, 48])
    for g, cutoff in enumerate(CUTOFFS_ANGSTROM):
        if cutoff > shells[-1]:
            continue
        assert found.most[0, g, 0] == sizes[shells <= cutoff].sum()
    assert found.closest[0, 0, 0] == pytest.approx(4.2 / np.sqrt(2))


def test_counts_by_element_agree_with_a_direct_sum_over_images():
    frames = toy_frames(2)
    found = survey(frames)
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)
    k = 1
    points = (frames.coords[k][None] + (images @ frames.cells[k])[:, None]).reshape(-1, 3)
    kinds = np.tile(np.array(frames.symbols), len(images))
    distance = np.linalg.norm(frames.coords[k][:, None] - points[None], axis=2)
    distance[distance < 1e-9] = np.inf
    for g, cutoff in enumerate(CUTOFFS_ANGSTROM):
        expected = [
            (distance[:, kinds == element] <= cutoff).sum(axis=1).max()
            for element in found.elements
        ]
        assert found.most[k, g].tolist() == expected


def test_the_profile_does_not_change_when_atoms_are_renumbered_and_moved():
    frames = toy_frames(1)
    order = np.concatenate([np.arange(4, 32), np.arange(4)])
    moved = replace(frames, coords=frames.coords[:, order] + [1.3, -2.0, 0.4])
    np.testing.assert_allclose(survey(moved).profile, survey(frames).profile, atol=1e-9)


def test_atoms_on_top_of_each_other_fail_and_the_frame_is_named():
    frames = toy_frames(5)
    system = system_of(frames)
    assert smallest_distances([system], surveys_of(system)).verdict == "pass"
    frames.coords[3, 1] = frames.coords[3, 0] + [1.0, 0.0, 0.0]
    system = system_of(frames)
    check = smallest_distances([system], surveys_of(system))
    assert (check.verdict, check.frames) == ("fail", ("toy:3",))
    assert check.number == pytest.approx(1.0)


def test_a_lone_atom_in_a_wide_cell_has_no_distance():
    system = system_of(frames_of(["Li"], np.zeros((1, 1, 3)), 20.0 * np.eye(3)))
    assert smallest_distances([system], surveys_of(system)).verdict == "undecided"
    assert bonds([system], surveys_of(system)).verdict == "undecided"


def test_bonds_of_a_relaxed_crystal_pass_and_a_long_one_is_named():
    assert bond_check(unit()).verdict == "pass"
    frames = unit()
    frames.coords[2, 4] += 0.4 * (frames.coords[2, 4] - frames.coords[2, 3]) / 2.05
    # The nearest sulphur is still at 2.05; the bond of lithium to the moved one is short.
    check = bond_check(frames)
    assert check.verdict == "warn"
    assert check.frames == ("toy:2 (Li-S)",)


def test_a_short_bond_is_thermal_where_forces_act_and_wrong_where_none_does():
    frames = unit(bond=1.87)
    assert bond_check(frames).verdict == "warn"
    hot = replace(frames, forces=np.full(frames.forces.shape, 2.0))
    assert bond_check(hot).verdict == "pass"
    shorter = unit(bond=1.75)
    check = bond_check(replace(shorter, forces=hot.forces))
    assert (check.verdict, check.number) == ("warn", pytest.approx(1.75))


def test_exchanged_elements_leave_the_window_of_the_bonds():
    frames = unit()
    exchange = {"P": "S", "S": "P", "Li": "Li"}
    swapped = replace(frames, symbols=tuple(exchange[s] for s in frames.symbols))
    swapped = replace(swapped, forces=np.full(frames.forces.shape, 2.0))
    long = replace(swapped, coords=swapped.coords.copy())
    # Lithium is now bonded to phosphorus; bring the sulphur within 3 Å of one.
    long.coords[:, 0] = long.coords[:, 3] + [0.0, 0.0, -2.9]
    assert bond_check(long).verdict == "warn"


def test_neighbours_of_held_out_frames_are_compared_with_training():
    train = part_of(lattice(4.2, 3))
    same = part_of(lattice(4.15), "test", "same")
    dense = part_of(lattice(3.4, 2), "test", "dense")
    check = neighbour_excess([train, same], surveys_of(train, same))
    assert check.verdict == "pass"
    check = neighbour_excess([train, same, dense], surveys_of(train, same, dense))
    assert check.verdict == "warn"
    assert set(check.frames) == {"dense:0", "dense:1"}
    assert neighbour_excess([train], surveys_of(train)).verdict == "undecided"


def test_stored_neighbours_and_distances_are_those_of_the_given_parts():
    train, test = part_of(lattice(4.2)), part_of(lattice(3.4), "test", "dense")
    surveys = surveys_of(train, test)
    assert most_neighbours([train], surveys)["6.0"] == {"S": 54}
    assert most_neighbours([], surveys) == {}
    smallest = closest_of([train], surveys)
    assert smallest == pytest.approx({"all": 4.2 / np.sqrt(2), "S-S": 4.2 / np.sqrt(2)})
    assert list(most_neighbours([train], surveys)) == [f"{c:.1f}" for c in CUTOFFS_ANGSTROM]


def test_coverage_lists_every_part_with_its_density():
    rows = coverage([part_of(lattice(4.2), temperature_kelvin=300), part_of(lattice(4.0), "test")])
    assert [(r.split, r.composition, r.temperature_kelvin) for r in rows] == [
        ("train", "S4", 300.0),
        ("test", "S4", None),
    ]
    # Four atoms of 32.06 amu in 4.2^3 Å^3.
    assert rows[0].density_low_g_cm3 == pytest.approx(4 * 32.06 * 1.66053907 / 4.2**3, rel=1e-4)


def test_conditions_inside_training_pass():
    train = [
        part_of(lattice(4.0), temperature_kelvin=300),
        part_of(lattice(4.2), name="b", temperature_kelvin=900),
    ]
    test = part_of(lattice(4.1), "test", "c", temperature_kelvin=600)
    assert conditions([*train, test]).verdict == "pass"


@pytest.mark.parametrize(
    ("frames", "source", "reason"),
    [
        (lattice(3.8), {}, "g/cm3"),
        (lattice(4.0), {"temperature_kelvin": 1200}, "1200 K"),
        (lattice(4.0), {"phase": "melt"}, "phase melt"),
        (replace(lattice(4.0), symbols=("S", "S", "S", "P")), {}, "composition P1S3"),
    ],
)
def test_conditions_outside_training_are_named(frames, source, reason):
    train = part_of(lattice(4.0), temperature_kelvin=600)
    check = conditions([train, part_of(frames, "test", "far", **source)])
    assert (check.verdict, check.number, check.frames) == ("warn", 1.0, ("far:0",))
    assert reason in check.text


def test_a_mixture_of_trained_compositions_is_inside():
    sulphur = lattice(4.0)
    mixed = replace(sulphur, symbols=("S", "S", "P", "P"))
    phosphorus = replace(sulphur, symbols=("P",) * 4)
    train = [part_of(sulphur), part_of(phosphorus, name="p")]
    assert "composition" not in conditions([*train, part_of(mixed, "test", "m")]).text


def test_one_frame_on_one_side_decides_nothing():
    part = part_of(single_frame())
    assert conditions([part]).verdict == "undecided"
    assert neighbour_excess([part], surveys_of(part)).verdict == "undecided"
