"""Reading extended XYZ and DeePMD npy."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
from ingest_recipes import read
from toy_runs import toy_frames, write_extxyz, write_npy

from mlip.data.deepmd_npy import read_deepmd
from mlip.data.extxyz import read_extxyz
from mlip.data.frames import select
from mlip.errors import DataError, TypeMapError


def test_missing_type_map_is_refused(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    (tmp_path / "npy" / "type_map.raw").unlink()
    with pytest.raises(TypeMapError, match=r"no type_map\.raw"):
        read(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_arrays_with_different_numbers_of_frames_are_refused(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    path = tmp_path / "npy" / "set.000" / "force.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DataError, match="force 5"):
        read(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_zero_frames_are_refused(tmp_path):
    write_npy(tmp_path / "npy", select(toy_frames(6), slice(0, 0)))
    with pytest.raises(DataError, match="no frames"):
        read(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


@pytest.mark.parametrize("wrong", ["vasp-outcar", "vasp-xml", "deepmd-npy", "cp2k"])
def test_wrong_format_is_refused(tmp_path, wrong):
    write_extxyz(tmp_path / "frames.xyz", toy_frames(3))
    with pytest.raises(DataError):
        read(tmp_path, {"name": "toy", "format": wrong, "path": "frames.xyz"})


def test_truncated_extxyz_is_refused(tmp_path):
    path = write_extxyz(tmp_path / "frames.xyz", toy_frames(3))
    path.write_text("\n".join(path.read_text().splitlines()[:-4]) + "\n")
    with pytest.raises(DataError, match="extended XYZ"):
        read(tmp_path, {"name": "toy", "format": "extxyz", "path": "frames.xyz"})


def test_extxyz_stress_becomes_a_virial_with_the_deepmd_sign(tmp_path):
    frames = toy_frames(4)
    read = read_extxyz(write_extxyz(tmp_path / "frames.xyz", frames))[0]
    np.testing.assert_allclose(read.virials, frames.virials, atol=1e-4)


def test_npy_in_several_parts_comes_back_in_their_order(tmp_path):
    frames = toy_frames(9)
    write_npy(tmp_path / "npy", select(frames, slice(0, 5)))
    rest = write_npy(tmp_path / "rest", select(frames, slice(5, 9)))
    (rest / "set.000").rename(tmp_path / "npy" / "set.001")
    read = read_deepmd(tmp_path / "npy")[0]
    np.testing.assert_allclose(read.energies, frames.energies, atol=1e-12)
    np.testing.assert_allclose(read.coords, frames.coords, atol=1e-12)


def test_compressed_extxyz_reads_as_the_plain_one(tmp_path):
    frames = toy_frames(4)
    path = write_extxyz(tmp_path / "frames.xyz", frames)
    packed = tmp_path / "frames.xyz.gz"
    with gzip.open(packed, "wt") as handle:
        handle.write(path.read_text())
    np.testing.assert_array_equal(read_extxyz(packed)[0].forces, read_extxyz(path)[0].forces)


def test_frames_of_two_compositions_become_two_systems_with_their_numbers(tmp_path):
    one, other = toy_frames(2), toy_frames(2, seed=3)
    other = type(other)(**{**vars(other), "symbols": other.symbols[::-1]})
    text = "".join(write_extxyz(tmp_path / "f.xyz", f).read_text() for f in (one, other, one))
    (tmp_path / "f.xyz").write_text(text)
    read = read_extxyz(tmp_path / "f.xyz")
    assert [frames.steps.tolist() for frames in read] == [[0, 1, 4, 5], [2, 3]]


def test_extxyz_frame_without_energy_is_named(tmp_path):
    path = write_extxyz(tmp_path / "frames.xyz", toy_frames(3))
    lines = path.read_text().split("\n")
    comment = 2 * (len(toy_frames(1).symbols) + 2) + 1
    lines[comment] = re.sub(r" energy=\S+", "", lines[comment])
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="frame 2 has no energy"):
        read_extxyz(path)


def test_energy_that_the_two_libraries_read_differently_is_refused_showing_both(tmp_path):
    path = write_extxyz(tmp_path / "frames.xyz", toy_frames(3))
    # dpdata converts units that a comment line names; ASE does not know of them.
    text = re.sub(r" energy=", " energy-unit=hartree energy=", path.read_text())
    path.write_text(text)
    with pytest.raises(DataError, match=r"(?s)energy of frame 0.*ASE .*dpdata "):
        read_extxyz(path)


def test_npy_of_mixed_type_is_refused_because_type_raw_does_not_name_the_elements(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    types = np.loadtxt(tmp_path / "npy" / "type.raw", dtype=int)
    (tmp_path / "npy" / "type.raw").write_text("0\n" * len(types))
    np.save(tmp_path / "npy" / "set.000" / "real_atom_types.npy", np.tile(types, (6, 1)))
    with pytest.raises(DataError, match="mixed type"):
        read_deepmd(tmp_path / "npy")


@pytest.mark.parametrize("text", ["", "Li\nP\n", "-1\n"])
def test_type_raw_that_is_no_list_of_indices_is_refused(tmp_path, text):
    write_npy(tmp_path / "npy", toy_frames(6))
    (tmp_path / "npy" / "type.raw").write_text(text)
    with pytest.raises(TypeMapError, match="one index"):
        read_deepmd(tmp_path / "npy")


def test_npy_with_boxes_of_zero_is_refused_as_not_periodic(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    np.save(tmp_path / "npy" / "set.000" / "box.npy", np.zeros((6, 9)))
    with pytest.raises(DataError, match="Only periodic cells"):
        read(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_extxyz_of_an_open_boundary_is_refused(tmp_path):
    path = write_extxyz(tmp_path / "frames.xyz", toy_frames(2))
    path.write_text(path.read_text().replace('pbc="T T T"', 'pbc="T T F"'))
    with pytest.raises(DataError, match="frame 0 is not periodic"):
        read_extxyz(path)


def test_extxyz_virial_that_only_dpdata_knows_is_refused_saying_what_to_write(tmp_path):
    path = write_extxyz(tmp_path / "frames.xyz", toy_frames(2))
    path.write_text(path.read_text().replace("stress=", "virial="))
    with pytest.raises(DataError, match=r"`virial`.*Write `stress`"):
        read_extxyz(path)
