"""Neighbour search: against sums over images, and without what it does not need."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.pairs.neighbours import neighbour_directions, neighbour_pairs, neighbour_search
from analysis.trajectory import Frame

SKEWED = np.array([[4.0, 0.0, 0.0], [1.5, 3.5, 0.0], [-1.0, 0.8, 5.0]])
MIRRORED = SKEWED[[1, 0, 2]]


def _distances_by_images(positions, cell, cutoff):
    reach = range(-4, 5)
    shifts = np.array(list(itertools.product(reach, reach, reach))) @ cell
    apart = positions[None, :, None] + shifts - positions[:, None, None]
    lengths = np.linalg.norm(apart, axis=-1)
    return np.sort(lengths[(lengths > 0) & (lengths <= cutoff)])


@pytest.mark.parametrize("cell", [SKEWED, MIRRORED], ids=["skewed", "left-handed"])
def test_pairs_beyond_half_the_cell_are_those_of_a_sum_over_images(cell):
    positions = np.random.default_rng(3).uniform(-20, 20, (6, 3))
    both = neighbour_search(7.0, both_ways=True)
    (lengths,) = neighbour_pairs(both, positions, cell, "d")
    fractional = positions @ np.linalg.inv(cell)
    expected = _distances_by_images((fractional - np.floor(fractional)) @ cell, cell, 7.0)
    assert np.sort(lengths) == pytest.approx(expected, abs=1e-9)
    (once,) = neighbour_pairs(neighbour_search(7.0), positions, cell, "d")
    assert len(once) * 2 == len(lengths)


def test_shifts_and_vectors_belong_to_the_positions_as_given():
    positions = np.random.default_rng(4).uniform(-20, 20, (6, 3))
    search = neighbour_search(6.0, both_ways=True)
    shift, i, vector, j, length = neighbour_pairs(search, positions, SKEWED, "SiDjd")
    assert i.dtype == j.dtype == shift.dtype == np.int64
    assert positions[j] + shift @ SKEWED - positions[i] == pytest.approx(vector, abs=1e-9)
    assert np.linalg.norm(vector, axis=1) == pytest.approx(length)
    (alone,) = neighbour_pairs(search, positions, SKEWED, "S")
    assert (alone == shift).all()


@pytest.mark.parametrize(
    ("positions", "cell", "said"),
    [
        (np.full((2, 3), np.nan), np.eye(3), "finite"),
        (np.zeros((2, 3)), np.diag([1.0, 1.0, 0.0]), "no volume"),
    ],
)
def test_numbers_that_are_none_and_flat_cells_are_refused(positions, cell, said):
    with pytest.raises(AnalysisError, match=said):
        neighbour_pairs(neighbour_search(1.0), positions, cell, "ij")


def test_directions_reach_as_far_as_the_neighbour_allows():
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0], [0, 3.0, 0], [0, 0, 1.0]])
    frame = Frame(0, 0.0, positions, 20 * np.eye(3))
    owner, directions = neighbour_directions(frame, np.array([0]), np.array([0, 2.5, 2.5, 0]))
    assert owner.tolist() == [0]
    assert directions == pytest.approx(np.array([[1.0, 0, 0]]))
    frame.positions[1] = 0
    with pytest.raises(AnalysisError, match="one place"):
        neighbour_directions(frame, np.array([0]), np.array([0, 2.5, 2.5, 0]))


def test_the_search_does_not_load_torch():
    code = (
        "import sys; from analysis.pairs.neighbours import neighbour_search; "
        "neighbour_search(1.0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
