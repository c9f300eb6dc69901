from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlip.errors import DataError, InputError, TypeMapError
from mlip.validation.reference import (
    evenly_spaced,
    frames_by_split,
    read_system,
    require_frames,
)


def make_set(directory: Path, frames: int = 3, split: str = "test", virial: bool = True) -> Path:
    system = directory / split / "Li1S1"
    folder = system / "set.000"
    folder.mkdir(parents=True)
    (system / "type.raw").write_text("1\n0\n")
    (system / "type_map.raw").write_text("Li\nS\n")
    rng = np.random.default_rng(1)
    np.save(folder / "coord.npy", rng.normal(size=(frames, 6)))
    np.save(folder / "force.npy", rng.normal(size=(frames, 6)))
    np.save(folder / "energy.npy", np.arange(frames, dtype=float))
    np.save(folder / "box.npy", np.tile(10 * np.eye(3).ravel(), (frames, 1)))
    if virial:
        np.save(folder / "virial.npy", rng.normal(size=(frames, 9)))
    lines = ["split,system,row,source,frame,phase,temperature_kelvin"]
    lines += [f"{split},Li1S1,{k},run,{k},{'melt' if k else 'glass'},900" for k in range(frames)]
    (directory / "frames.csv").write_text("\n".join(lines) + "\n")
    return directory


def only(data: Path, split: str = "test"):
    (folder,) = require_frames(data, split)
    return read_system(data, split, folder)


def test_arrays_symbols_and_origins_are_joined(tmp_path):
    system = only(make_set(tmp_path / "set"))
    assert system.symbols == ("S", "Li")
    assert system.coords.shape == (3, 2, 3)
    assert system.phases == ("glass", "melt", "melt")
    assert system.temperatures.tolist() == [900.0] * 3
    assert system.sources == ("run",) * 3
    assert system.source_frames.tolist() == [0, 1, 2]
    assert frames_by_split(tmp_path / "set") == {"test": 3}


def test_missing_virials_are_marked_undefined(tmp_path):
    assert np.isnan(only(make_set(tmp_path / "set", virial=False)).virials).all()


def test_an_empty_test_split_is_refused_with_how_to_make_one(tmp_path):
    data = make_set(tmp_path / "set", split="train")
    with pytest.raises(InputError, match=r"test split is empty.*test_fraction") as caught:
        require_frames(data, "test")
    assert caught.value.exit_code == 2


def test_a_directory_that_is_no_set_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no frames\.csv"):
        require_frames(tmp_path, "test")


def test_forces_of_another_number_of_atoms_are_refused(tmp_path):
    data = make_set(tmp_path / "set")
    np.save(data / "test" / "Li1S1" / "set.000" / "force.npy", np.zeros((3, 9)))
    with pytest.raises(DataError, match=r"27 numbers, expected 18"):
        only(data)


def test_a_type_without_a_name_is_refused(tmp_path):
    data = make_set(tmp_path / "set")
    (data / "test" / "Li1S1" / "type_map.raw").write_text("Li\n")
    with pytest.raises(TypeMapError, match="types 0 to 1"):
        only(data)


def test_frames_csv_of_more_frames_than_the_data_is_refused(tmp_path):
    data = make_set(tmp_path / "set")
    with (data / "frames.csv").open("a") as handle:
        handle.write("test,Li1S1,9,run,9,melt,900\n")
    with pytest.raises(DataError, match="line 5"):
        only(data)


def test_a_frame_without_a_source_is_refused(tmp_path):
    data = make_set(tmp_path / "set")
    lines = (data / "frames.csv").read_text().splitlines()
    (data / "frames.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match=r"no source for 1 of 3 frames of test/Li1S1"):
        only(data)


@pytest.mark.parametrize("name", ["energy", "force", "coord", "box"])
def test_labels_that_are_no_numbers_are_refused_by_frame(tmp_path, name):
    data = make_set(tmp_path / "set")
    path = data / "test" / "Li1S1" / "set.000" / f"{name}.npy"
    values = np.load(path)
    values[1:] = np.nan
    np.save(path, values)
    with pytest.raises(DataError, match=rf"{name}\.npy: .* 2 of 3 frames, first in row 1"):
        only(data)


def test_evenly_spaced_keeps_first_and_last_frame(tmp_path):
    system = only(make_set(tmp_path / "set", frames=11))
    assert evenly_spaced(system, 3).energies.tolist() == [0.0, 5.0, 10.0]
    assert evenly_spaced(system, 20) is system
