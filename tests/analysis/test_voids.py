from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.errors import AnalysisError
from analysis.order.voids import largest_void, largest_void_of


@pytest.mark.parametrize(
    ("kind", "radius"),
    [("sc", np.sqrt(3) / 2), ("bcc", np.sqrt(5) / 4), ("fcc", 0.5)],
)
def test_holes_of_cubic_crystals(kind, radius):
    atoms = bulk("Cu", kind, a=4.0, cubic=True) * (3, 3, 3)
    found = largest_void(atoms.positions, atoms.cell.array)
    assert found.radius_angstrom == pytest.approx(4.0 * radius, rel=1e-5)


def test_a_hole_of_removed_atoms_is_found_where_it_is(rng):
    atoms = bulk("Cu", "fcc", a=4.0, cubic=True) * (5, 5, 5)
    atoms.rattle(0.05, seed=1)
    centre = np.array([0.97, 0.5, 0.03])  # across two faces of the cell
    offset = atoms.get_scaled_positions() - centre
    offset -= np.round(offset)
    distance = np.linalg.norm(offset @ atoms.cell.array, axis=1)
    atoms = atoms[distance > 5.0]
    found = largest_void(atoms.positions, atoms.cell.array)
    assert 4.7 < found.radius_angstrom < 5.8
    shift = found.fractions - centre
    assert np.linalg.norm((shift - np.round(shift)) @ atoms.cell.array) < 0.8


def test_no_atom_lies_in_the_void_of_a_tilted_cell(rng):
    positions = rng.random((40, 3)) @ TRICLINIC
    found = largest_void(positions + 3 * TRICLINIC[1], TRICLINIC)
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ TRICLINIC
    away = positions - found.fractions @ TRICLINIC
    nearest = np.linalg.norm(away[:, None] + shifts, axis=2).min()
    assert nearest == pytest.approx(found.radius_angstrom, rel=1e-4)
    # Nowhere on a fine grid is there more room.
    grid = np.array(np.meshgrid(*[np.arange(20) / 20] * 3)).reshape(3, -1).T @ TRICLINIC
    gaps = np.array([np.linalg.norm(positions - p + shifts[:, None], axis=2).min() for p in grid])
    assert gaps.max() <= found.radius_angstrom + 1e-4
    assert gaps.max() > found.radius_angstrom - 0.5


def test_the_worst_of_the_frames_counts_the_last_one_among_them(rng):
    cell = np.eye(3) * 12.0
    frames = np.tile(bulk("Cu", "sc", a=3.0).repeat((4, 4, 4)).positions, (11, 1, 1))
    frames[-1] *= 0.8
    found = largest_void_of(make_trajectory(frames, cell=cell), 3)
    assert found.radius_angstrom > 3.0
    assert largest_void_of(make_trajectory(frames[:-1], cell=cell), 3).radius_angstrom < 2.7


def test_an_empty_cell_is_refused():
    with pytest.raises(AnalysisError, match="without atoms"):
        largest_void(np.empty((0, 3)), np.eye(3))
