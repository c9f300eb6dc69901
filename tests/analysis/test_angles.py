"""Bond angles: exact geometries, random directions, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from toy_trajectories import make_trajectory

from analysis.errors import RangeError
from analysis.groups import Groups
from analysis.pairs.angles import angle_distributions, angle_findings, angle_quantities
from analysis.pairs.rdf import pair_distributions
from analysis.pairs.shells import first_shell

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / math.sqrt(3)
SQUARE = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], dtype=float)
SKEWED = np.array([[12.0, 0.0, 0.0], [5.0, 11.0, 0.0], [-4.0, 3.0, 12.0]])


def molecule(ends, *, length=2.05, centre=(0.1, 0.2, 11.8), cell=SKEWED, frames=1):
    """One P with S around it, close to the boundary."""
    positions = np.vstack([centre, np.asarray(centre) + length * ends])
    return make_trajectory(
        np.tile(positions, (frames, 1, 1)), species=["P"] + ["S"] * len(ends), cell=cell
    )


def bins_of(found):
    return found.degrees[found.density > 0], found.density[found.density > 0]


def test_a_perfect_tetrahedron_has_one_angle():
    (found,) = angle_distributions(molecule(TETRAHEDRON), "P", "S", 2.6)
    angles, density = bins_of(found)
    assert angles == pytest.approx([109.25])
    assert density == pytest.approx([2.0])
    assert found.angles_per_centre == 6
    mean = angle_quantities(found)[0]
    assert mean.value == pytest.approx(math.degrees(math.acos(-1 / 3)), abs=1e-10)


def test_a_square_has_right_and_straight_angles_two_to_one():
    (found,) = angle_distributions(molecule(SQUARE), "P", "S", 2.6, bin_degrees=1.0)
    _, density = bins_of(found)
    assert sorted(density) == pytest.approx([1 / 3, 2 / 3])
    assert found.density[-1] == pytest.approx(1 / 3)  # 180 degrees belong to the last bin
    assert angle_quantities(found)[0].value == pytest.approx(120.0, abs=1e-6)


def test_random_directions_are_flat_relative_to_random(rng):
    ends = rng.normal(size=(2000, 8, 3))
    ends /= np.linalg.norm(ends, axis=-1, keepdims=True)
    frames = np.concatenate([np.zeros((2000, 1, 3)), 2.0 * ends], axis=1)
    trajectory = make_trajectory(frames, species=["P"] + ["S"] * 8, cell=20.0)
    (found,) = angle_distributions(trajectory, "P", "S", 2.5, bin_degrees=10.0, stride=1)
    total = 2000 * 28
    random = -0.5 * np.diff(np.cos(np.radians(found.edges_degrees)))
    error = np.sqrt((1 - random) / (total * random))
    assert (np.abs(found.relative_to_random - 1) < 4 * error).all()
    assert (found.density * 10.0).sum() == pytest.approx(1.0)
    mean = angle_quantities(found)[0]
    assert mean.low < 90.0 < mean.high


def test_bonds_through_the_boundary_and_unwrapped_atoms_count_the_same(rng):
    plain = molecule(TETRAHEDRON + rng.normal(0, 0.1, (4, 3)))
    (frame,) = plain.frames()
    images = rng.integers(-2, 3, (5, 3)) @ SKEWED
    moved = make_trajectory(
        (frame.positions + images + [3.0, -4.0, 5.0])[None], species=plain.species, cell=SKEWED
    )
    (one,), (other,) = (angle_distributions(t, "P", "S", 2.8) for t in (plain, moved))
    assert one.mean_degrees_blocks == pytest.approx(other.mean_degrees_blocks, abs=1e-9)


def test_a_supercell_has_the_distribution_of_its_cell(rng):
    atoms = Atoms("P8S24", scaled_positions=rng.random((32, 3)), cell=SKEWED, pbc=True)
    results = []
    for repeat in ((1, 1, 1), (2, 1, 3)):
        big = atoms.repeat(repeat)
        trajectory = make_trajectory(
            big.positions[None], species=big.get_chemical_symbols(), cell=np.array(big.cell)
        )
        (found,) = angle_distributions(trajectory, "P", "S", 4.5)
        results.append(found)
    assert results[0].density == pytest.approx(results[1].density, abs=1e-9)
    assert results[0].angles_per_centre == pytest.approx(results[1].angles_per_centre)
    assert results[1].angles_blocks.sum() == 6 * results[0].angles_blocks.sum() > 0


def test_groups_of_centres_divide_the_angles():
    both = np.concatenate([2.0 * TETRAHEDRON, 2.0 * SQUARE + [10.0, 10.0, 10.0]])
    positions = np.vstack([[0.0] * 3, [10.0] * 3, both])
    trajectory = make_trajectory(positions[None], species=["P"] * 2 + ["S"] * 8, cell=20.0)
    codes = np.array([0, 1] + [-1] * 8)
    tetra, square = angle_distributions(
        trajectory, "P", "S", 2.4, groups=Groups(("tetra", "square"), lambda frame: codes)
    )
    assert tetra.label == "S-P-S tetra"
    assert tetra.mean_degrees_blocks[0] == pytest.approx(109.4712, abs=1e-4)
    assert square.mean_degrees_blocks[0] == pytest.approx(120.0)


def test_without_two_neighbours_there_is_no_angle_and_the_reason_is_given():
    (found,) = angle_distributions(molecule(TETRAHEDRON), "P", "S", 1.5)
    assert np.isnan(found.density).all()
    for quantity in angle_quantities(found):
        assert quantity.status == "unresolved"
        assert "no P has two S within 1.50" in quantity.reason


@pytest.mark.parametrize(
    ("cutoff", "width", "message"),
    [(9.0, 0.5, "half the smallest perpendicular"), (2.0, 0.7, "do not divide 180")],
)
def test_impossible_requests_are_refused(cutoff, width, message):
    with pytest.raises(RangeError, match=message):
        angle_distributions(molecule(TETRAHEDRON), "P", "S", cutoff, bin_degrees=width)


def test_a_single_species_has_angles_between_like_atoms(rng):
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(2)
    positions = atoms.positions + rng.normal(0, 0.05, (5, len(atoms), 3))
    trajectory = make_trajectory(positions, species="Si", cell=np.array(atoms.cell))
    findings = angle_findings(trajectory, first_shell(*pair_distributions(trajectory)))
    assert [curve.name for curve in findings.curves] == ["angles_Si-Si-Si"]
    mean = findings.quantities[0]
    assert mean.value == pytest.approx(109.4, abs=0.1)
    assert "6.00 angles a centre" in mean.reason


def test_species_without_a_first_shell_are_named_as_left_out():
    findings = angle_findings(molecule(TETRAHEDRON), [])
    assert [item.name for item in findings.skipped] == ["angles of P and S"]
    assert not findings.quantities
