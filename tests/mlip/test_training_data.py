"""What training takes from a set: neighbours, distances, weights, nested parts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlip.errors import DataError, RecipeError
from mlip.recipes.train import TrainRecipe
from mlip.training.curve_errors import FrameSums, force_errors
from mlip.training.neighbours import (
    closest_pair,
    maximum_neighbours,
    most_in_data,
    most_neighbours,
    neighbour_limits,
    neighbour_room,
    smallest_distance,
)
from mlip.training.sets import frame_rows, probabilities, split_systems, system_size
from mlip.training.subsets import nested_order, rows_of_fraction

ELEMENTS = ["Li", "P", "S"]
HEADER = "split,system,row,source,frame,phase,temperature_kelvin,weight\n"


def write_system(path, frames, repeats=3, spacing=2.5):
    """A simple cubic lattice of Li: six neighbours at the spacing, twelve at sqrt(2) times it."""
    sites = spacing * np.array(list(np.ndindex(repeats, repeats, repeats)), dtype=float)
    (path / "set.000").mkdir(parents=True)
    (path / "type.raw").write_text("0\n" * len(sites))
    np.save(path / "set.000" / "coord.npy", np.tile(sites.ravel(), (frames, 1)))
    box = repeats * spacing * np.eye(3).ravel()
    np.save(path / "set.000" / "box.npy", np.tile(box, (frames, 1)))
    return path


def write_set(path, frames_by_system, weights=None, certificate=None):
    lines = []
    for name, frames in frames_by_system.items():
        write_system(path / "train" / name, frames)
        weight = (weights or {}).get(name, "")
        lines += [f"train,{name},{k},{name},{k},crystal,300,{weight}\n" for k in range(frames)]
    (path / "frames.csv").write_text(HEADER + "".join(lines))
    (path / "certificate.json").write_text(json.dumps(certificate or {}))
    return path


def room_of(recipe, data):
    most = most_in_data(recipe, data, split_systems(data, "train"), ELEMENTS)
    return neighbour_room(recipe, most)


def test_neighbours_and_distance_of_a_lattice_are_known(tmp_path):
    systems = [write_system(tmp_path / "lattice", 2)]
    assert maximum_neighbours(systems, ELEMENTS, 2.6) == {"Li": 6, "P": 0, "S": 0}
    assert maximum_neighbours(systems, ELEMENTS, 3.6) == {"Li": 18, "P": 0, "S": 0}
    assert smallest_distance(systems) == pytest.approx(2.5)
    assert system_size(systems[0]) == (2, 27)


def test_a_cell_smaller_than_the_cutoff_has_its_own_images_as_neighbours(tmp_path):
    folder = tmp_path / "primitive" / "set.000"
    folder.mkdir(parents=True)
    (folder.parent / "type.raw").write_text("0\n")
    np.save(folder / "coord.npy", np.zeros((1, 3)))
    # The primitive fcc cell, a = 4 Å: 12 neighbours at a / sqrt(2), 6 at a, 24 at a sqrt(3/2).
    np.save(folder / "box.npy", np.array([[0.0, 2.0, 2.0, 2.0, 0.0, 2.0, 2.0, 2.0, 0.0]]))
    systems = [folder.parent]
    counts = [maximum_neighbours(systems, ["Li"], cutoff)["Li"] for cutoff in (3.0, 4.1, 5.0)]
    assert counts == [12, 18, 42]
    assert smallest_distance(systems) == pytest.approx(4.0 / np.sqrt(2.0))


def test_room_is_the_maximum_with_a_margin():
    assert neighbour_limits({"Li": 10, "P": 0, "S": 20}) == {"Li": 16, "P": 4, "S": 28}


def test_the_certificate_saves_counting_at_its_own_cutoffs_alone(tmp_path):
    table = {"4.0": {"Li": 40, "P": 1, "S": 2}, "6.0": {"Li": 60, "P": 3, "S": 4}}
    distances = {"Li-Li": 2.6, "all": 1.9}
    data = write_set(
        tmp_path,
        {"a": 1},
        certificate={"neighbours": table, "smallest_distance_angstrom": distances},
    )
    systems = split_systems(data, "train")
    assert most_neighbours(data, systems, ELEMENTS, 4.0) == table["4.0"]
    # Beside the grid and beyond it they are counted: those of a larger cutoff are too many.
    assert most_neighbours(data, systems, ELEMENTS, 3.6) == {"Li": 18, "P": 0, "S": 0}
    assert most_neighbours(data, systems, ELEMENTS, 6.5)["P"] == 0
    assert closest_pair(data, systems) == 1.9


def test_without_a_certified_table_the_frames_are_counted(tmp_path):
    data = write_set(tmp_path, {"a": 1})
    systems = split_systems(data, "train")
    assert most_neighbours(data, systems, ELEMENTS, 2.6)["Li"] == 6
    assert closest_pair(data, systems) == pytest.approx(2.5)


def test_too_little_room_is_refused_by_name(tmp_path):
    data = write_set(tmp_path, {"a": 1})
    descriptor = {"cutoff_angstrom": 2.6, "maximum_neighbours": {"Li": 4, "P": 4, "S": 4}}
    recipe = TrainRecipe(data="set", steps=5, descriptor=descriptor)
    with pytest.raises(RecipeError, match="Li 4, but the data has up to 6"):
        room_of(recipe, data)


def test_angles_of_dpa3_have_room_of_their_own(tmp_path):
    data = write_set(tmp_path, {"a": 1})
    net = {"cutoff_angstrom": 3.6, "cutoff_smooth_angstrom": 3.0}
    net |= {"angle_cutoff_angstrom": 2.6, "angle_cutoff_smooth_angstrom": 2.0}
    recipe = TrainRecipe(data="set", steps=5, descriptor={"type": "dpa3", "repflow": net})
    room = room_of(recipe, data)
    assert room.pairs["Li"] >= 18 > room.angles["Li"] >= 6


def test_equal_weights_leave_the_engines_own_draw(tmp_path):
    data = write_set(tmp_path, {"a": 3, "b": 5})
    assert probabilities(data, split_systems(data, "train"), 32) == []


def test_a_frame_is_drawn_in_proportion_to_its_weight(tmp_path):
    data = write_set(tmp_path, {"a": 12, "b": 4}, weights={"a": 1.0, "b": 6.0})
    systems = split_systems(data, "train")
    for batch_atoms, batch in ((27, 1), (54, 2)):
        shares = np.array(probabilities(data, systems, batch_atoms))
        assert shares.sum() == pytest.approx(1.0)
        per_frame = shares * batch / np.array([12, 4])
        assert per_frame[1] / per_frame[0] == pytest.approx(6.0)


def test_a_weight_that_is_no_weight_is_refused(tmp_path):
    data = write_set(tmp_path, {"a": 1}, weights={"a": -1.0})
    with pytest.raises(DataError, match=r"line 2: weight -1\.0"):
        frame_rows(data)


@pytest.mark.parametrize("count", [1, 2, 3, 12, 31, 100])
def test_parts_are_nested_and_spread_evenly(count):
    order = nested_order(count)
    assert sorted(order) == list(range(count))
    smaller = set()
    for fraction in (0.125, 0.25, 0.5, 1.0):
        rows = rows_of_fraction(count, fraction)
        assert smaller <= set(rows)
        smaller = set(rows)
        if len(rows) > 1:
            gaps = np.diff(rows)
            assert gaps.max() <= 2 * gaps.min() + 1
    assert len(smaller) == count


def test_errors_of_known_sums():
    # Two frames of a crystal with 3 and 5 meV/Å, one of a melt with 4; one element each half.
    squares = np.array([[9.0, 9.0], [25.0, 25.0], [16.0, 16.0]]) * 1e-6
    sums = FrameSums(("crystal", "crystal", "melt"), ("Li", "S"), squares, np.ones((3, 2)))
    errors = {(e.phase, e.species): e for e in force_errors(sums, 500, seed=1)}
    assert errors["melt", "all"].rmse == pytest.approx(4.0)
    assert errors["crystal", "Li"].rmse == pytest.approx(np.sqrt(17.0))
    everything = errors["all", "all"]
    assert everything.rmse == pytest.approx(np.sqrt(50.0 / 3.0))
    assert 3.0 <= everything.low <= everything.rmse <= everything.high <= 5.0
    # One frame of a phase says nothing of the spread.
    assert np.isnan(errors["melt", "all"].low)
    assert np.isnan(errors["melt", "all"].high)
