"""Sets whose labels, units, levels or splits cannot be right."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ingest_recipes import certified, check_in
from toy_runs import toy_frames, write_cp2k, write_npy

from mlip.data.frames import select
from mlip.data.level import common_level
from mlip.data.split import System
from mlip.errors import DataError, UnitError


def test_exact_copies_on_two_sides_fail_the_certificate(tmp_path):
    frames = toy_frames(10)
    write_npy(tmp_path / "one", frames)
    write_npy(tmp_path / "two", select(frames, slice(3, 6)))
    certificate = certified(
        tmp_path,
        {"name": "one", "format": "deepmd-npy", "path": "one", "split": "train"},
        {"name": "two", "format": "deepmd-npy", "path": "two", "split": "test"},
    )
    assert certificate.verdict == "fail"
    check = check_in(certificate, "duplicates")
    assert (check.verdict, check.number) == ("fail", 3.0)


def test_exact_copies_on_one_side_only_warn(tmp_path):
    frames = toy_frames(10)
    write_npy(tmp_path / "one", select(frames, np.array([0, 1, 2, 3, 3, 4, 5])))
    source = {"name": "one", "format": "deepmd-npy", "path": "one", "split": "train"}
    assert check_in(certified(tmp_path, source), "duplicates").verdict == "warn"


@pytest.mark.parametrize("factor", [10.0, 0.1, 160.2, 1 / 160.2, 1602.0, 1 / 1602.0])
def test_virial_in_another_unit_is_refused(tmp_path, factor):
    frames = toy_frames(10)
    write_npy(tmp_path / "npy", replace(frames, virials=frames.virials * factor))
    with pytest.raises(UnitError, match="virial is in another unit"):
        certified(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_virial_of_zeros_is_refused_as_not_calculated(tmp_path):
    frames = toy_frames(10)
    write_npy(tmp_path / "npy", replace(frames, virials=np.zeros_like(frames.virials)))
    with pytest.raises(UnitError, match="All are zero"):
        certified(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_virial_with_the_wrong_sign_is_refused_where_cells_differ(tmp_path):
    frames = toy_frames(40, strain=0.004)
    write_npy(tmp_path / "good", frames)
    source = {"name": "toy", "format": "deepmd-npy", "path": "good", "split": "train"}
    check = check_in(certified(tmp_path, source), "virial sign and strain")
    assert check.verdict == "pass"
    assert check.number == pytest.approx(1.0, abs=0.1)
    write_npy(tmp_path / "bad", replace(frames, virials=-frames.virials))
    with pytest.raises(UnitError, match="sign"):
        certified(tmp_path, {**source, "path": "bad"})


@pytest.mark.parametrize("factor", [51.422, 1 / 51.422, -1.0])
def test_forces_in_another_unit_or_sign_are_refused(tmp_path, factor):
    frames = toy_frames(20)
    write_npy(tmp_path / "npy", replace(frames, forces=frames.forces * factor, virials=None))
    with pytest.raises(UnitError, match="work of the"):
        certified(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_nan_in_forces_is_refused_naming_the_frame(tmp_path):
    frames = toy_frames(10)
    frames.forces[4, 3, 1] = np.nan
    write_npy(tmp_path / "npy", frames)
    with pytest.raises(DataError, match=r"forces of frame 4 \(step 4\)"):
        certified(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_sources_of_different_level_are_refused_naming_the_key(tmp_path):
    write_cp2k(tmp_path / "a", toy_frames(8, seed=1))
    write_cp2k(tmp_path / "b", toy_frames(8, seed=2), cutoff="300")
    with pytest.raises(DataError, match="cutoff_rydberg: 400 in a, 300 in b"):
        certified(
            tmp_path,
            {"name": "a", "format": "cp2k", "path": "a"},
            {"name": "b", "format": "cp2k", "path": "b"},
        )


@pytest.mark.parametrize(
    ("key", "one", "other", "same"),
    [
        ("eps_scf", "1e-06", "0.0001", True),
        ("eps_scf", "1e-06", "0.001", False),
        ("eps_default", "1e-11", "1e-09", True),
        ("eps_default", "1e-11", "1e-08", False),
        ("rel_cutoff_rydberg", "50", "40", True),
        ("rel_cutoff_rydberg", "50", "30", False),
        ("cutoff_rydberg", "400", "350", False),
        ("functional", "PBE", "SCAN", False),
    ],
)
def test_settings_that_are_converged_are_one_level_and_others_are_not(key, one, other, same):
    systems = [
        System(name, SimpleNamespace(), replace(toy_frames(2), level={key: value}))
        for name, value in (("a", one), ("b", other), ("c", one))
    ]
    if not same:
        with pytest.raises(DataError, match=f"{key}: {one} in a, {other} in b"):
            common_level(systems)
        return
    level, check = common_level(systems)
    assert check.verdict == "pass"
    assert set(level[key].split(", ")) == {one, other}


def test_run_without_a_converged_frame_is_refused_saying_so(tmp_path):
    write_cp2k(tmp_path / "run", toy_frames(3), unconverged={0, 1, 2})
    with pytest.raises(DataError, match="none of 3 frames converged"):
        certified(tmp_path, {"name": "toy", "format": "cp2k", "path": "run"})


def test_sources_with_different_energy_zeros_fail(tmp_path):
    frames = toy_frames(8)
    other = toy_frames(8, seed=2)
    write_npy(tmp_path / "a", frames)
    write_npy(tmp_path / "b", replace(other, energies=other.energies - 234.0 * 32))
    certificate = certified(
        tmp_path,
        {"name": "a", "format": "deepmd-npy", "path": "a"},
        {"name": "b", "format": "deepmd-npy", "path": "b"},
    )
    assert check_in(certificate, "energy zero").verdict == "fail"


def test_atoms_on_top_of_each_other_fail(tmp_path):
    frames = toy_frames(8)
    frames.coords[2, 1] = frames.coords[2, 0] + [1.0, 0.0, 0.0]
    write_npy(tmp_path / "a", replace(frames, virials=None))
    # Forces no longer belong to the positions of that frame, which is the point.
    source = {"name": "a", "format": "deepmd-npy", "path": "a", "stride": 2}
    check = check_in(certified(tmp_path, source), "smallest distance")
    assert check.verdict == "fail"
    assert check.frames == ("a:2",)
