"""How much of a crystal a melt keeps, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import RangeError
from analysis.order.lattice_memory import bragg_intensity_kept

CONSTANT, REPEATS = 5.0, 8
CELL = CONSTANT * REPEATS * np.eye(3)


def simple_cubic() -> np.ndarray:
    sites = np.arange(REPEATS) / REPEATS
    return np.stack(np.meshgrid(sites, sites, sites), axis=-1).reshape(-1, 3)


def displaced(amplitude_angstrom: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    start = simple_cubic()
    return start + amplitude_angstrom * rng.normal(size=start.shape) / (CONSTANT * REPEATS)


@pytest.mark.parametrize("amplitude", [0.2, 0.4, 0.6])
def test_vibrating_atoms_keep_the_debye_waller_factor(amplitude):
    # Of a simple cubic crystal only reflections of length 1, sqrt 2 and sqrt 3 have intensity:
    # half of them are 3, 6 and 4.
    squares = (2 * np.pi / CONSTANT) ** 2 * np.repeat([1.0, 2.0, 3.0], [3, 6, 4])
    expected = np.exp(-squares * amplitude**2).mean()
    kept, by_chance = bragg_intensity_kept(simple_cubic(), CELL, displaced(amplitude))
    # The other waves of the 24 bring what chance gives.
    assert kept == pytest.approx(expected, abs=0.02)
    assert by_chance == pytest.approx(1 / REPEATS**3 / (13 / 24))


def test_a_crystal_moved_or_whose_atoms_changed_places_keeps_all():
    start = simple_cubic()
    moved = np.random.default_rng(2).permutation(start) + np.array([0.3, 0.1, -0.7])
    assert bragg_intensity_kept(start, CELL, moved)[0] == pytest.approx(1)


def test_a_sheared_copy_of_a_skewed_cell_keeps_all():
    cell = np.array([[40.0, 0, 0], [13.0, 38.0, 0], [-7.0, 5.0, 41.0]])
    assert bragg_intensity_kept(simple_cubic(), cell, simple_cubic())[0] == pytest.approx(1)


def test_atoms_at_random_keep_what_chance_gives():
    rng = np.random.default_rng(3)
    found = [bragg_intensity_kept(simple_cubic(), CELL, rng.random((512, 3))) for _ in range(40)]
    assert np.mean([kept for kept, _ in found]) == pytest.approx(found[0][1], rel=0.15)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(RangeError, match="same"):
        bragg_intensity_kept(simple_cubic(), CELL, simple_cubic()[1:])
    with pytest.raises(RangeError, match="larger cell"):
        bragg_intensity_kept(np.zeros((1, 3)), np.eye(3), np.zeros((1, 3)))
