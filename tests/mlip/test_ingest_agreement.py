"""Two readings of one file: what passes as the same, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from toy_runs import toy_frames

from mlip.data.agreement import Reading, require_agreement, sampled
from mlip.errors import DataError

FILE = Path("OUTCAR")
TURN = Rotation.from_euler("xyz", [20.0, -35.0, 70.0], degrees=True).as_matrix()


@pytest.fixture
def reading() -> Reading:
    frames = toy_frames(30, strain=0.01)
    assert frames.virials is not None
    return Reading(
        reader="dpdata",
        symbols=frames.symbols,
        cells=frames.cells,
        coords=frames.coords,
        energies=frames.energies - 6.0e4,
        forces=frames.forces,
        virials=frames.virials,
    )


def other(reading: Reading, **changes) -> Reading:
    copied = {k: np.array(v) for k, v in vars(reading).items() if isinstance(v, np.ndarray)}
    return replace(reading, **{**copied, "reader": "ASE", **changes})


def test_turned_cell_with_turned_forces_and_virials_is_the_same(reading):
    turned = other(
        reading,
        cells=reading.cells @ TURN,
        coords=reading.coords @ TURN,
        forces=reading.forces @ TURN,
        virials=TURN.T @ reading.virials @ TURN,
    )
    require_agreement(reading, turned, FILE)


def test_positions_in_another_periodic_image_are_the_same(reading):
    moved = reading.coords + 2 * reading.cells[:, None, 0] - reading.cells[:, None, 2]
    require_agreement(reading, other(reading, coords=moved), FILE)


def test_energies_by_constants_of_other_years_are_the_same(reading):
    require_agreement(reading, other(reading, energies=reading.energies * (1 + 9e-8)), FILE)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("energies", lambda a: a + 0.05, "energy of frame 0"),
        ("cells", lambda a: a * 1.001, "cell lengths of frame 0"),
        ("coords", lambda a: a + np.eye(1, 32).T * 0.002, "position of atom 0 in frame 0"),
        ("coords", lambda a: a * np.nan, "position of atom 0 in frame 0"),
        ("cells", lambda a: a * np.nan, "cell lengths of frame 0"),
        ("coords", lambda a: a[::-1], "position of atom"),
        ("forces", lambda a: -a, "force on atom"),
        ("forces", lambda a: a[:, ::-1], "force on atom"),
        ("forces", lambda a: a * 0.999, "force on atom"),
        ("forces", lambda a: a @ TURN, "force on atom"),
        ("forces", lambda a: a * np.nan, "force on atom"),
        ("virials", lambda a: -a, "virial of frame 0"),
        ("virials", lambda a: a * 1.01, "virial of frame 0"),
    ],
)
def test_numbers_that_differ_are_refused_showing_both(reading, name, change, message):
    changed = other(reading, **{name: change(getattr(reading, name))})
    with pytest.raises(DataError, match=message) as caught:
        require_agreement(reading, changed, FILE)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("  dpdata  ")
    assert lines[2].startswith("  ASE     ")
    assert lines[1].split(maxsplit=1)[1] != lines[2].split(maxsplit=1)[1]


def test_sheared_cell_with_the_same_lengths_is_refused(reading):
    cells = reading.cells.copy()
    cells[:, 1] = np.linalg.norm(cells[:, 1], axis=1)[:, None] * np.array([0.1, 1.0, 0.0]) / 1.00499
    with pytest.raises(DataError, match="cell angles of frame 0"):
        require_agreement(reading, other(reading, cells=cells), FILE)


def test_another_number_of_frames_is_refused_with_both_numbers(reading):
    fewer = other(
        reading,
        **{
            name: getattr(reading, name)[:29]
            for name in ("cells", "coords", "energies", "forces", "virials")
        },
    )
    with pytest.raises(DataError, match=r"(?s)number of frames:.*30.*29"):
        require_agreement(reading, fewer, FILE)


def test_other_elements_are_refused_naming_the_atom(reading):
    symbols = ("P", *reading.symbols[1:])
    with pytest.raises(DataError, match=r"(?s)elements.*atom 0 is Li.*atom 0 is P"):
        require_agreement(reading, other(reading, symbols=symbols), FILE)


def test_virial_that_only_one_finds_is_refused(reading):
    with pytest.raises(DataError, match=r"(?s)virial.*present.*none"):
        require_agreement(reading, other(reading, virials=None), FILE)


def test_frame_is_named_by_its_number_in_the_file(reading):
    changed = other(reading, energies=reading.energies + 1.0)
    with pytest.raises(DataError, match="energy of frame 500 "):
        require_agreement(reading, changed, FILE, first=500)


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (7, 7), (20, 20), (5000, 20)])
def test_twenty_frames_from_first_to_last_are_compared(count, expected):
    index = sampled(count)
    assert len(index) == expected
    assert index[0] == 0
    assert index[-1] == count - 1


def test_cells_without_a_volume_that_both_read_are_left_to_the_check_of_the_frames(reading):
    flat = other(reading, cells=np.zeros_like(reading.cells))
    require_agreement(flat, flat, FILE)
    with pytest.raises(DataError, match="cell lengths of frame 0"):
        require_agreement(reading, flat, FILE)
