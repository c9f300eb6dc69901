"""From a recipe to a set: what is read, how it is shared out, what is written."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from ingest_recipes import certified, check_in, check_of, read, recipe_of, run
from toy_runs import toy_frames, write_cp2k, write_extxyz, write_npy

from mlip.data.ingest import plan_ingest, read_systems
from mlip.data.split import split_systems
from mlip.errors import DataError, RecipeError, TypeMapError
from mlip.manifest import read_manifest


@pytest.fixture(scope="module")
def long_run():
    return toy_frames(64, timestep_fs=50.0)


def test_frames_come_back_from_the_set_to_1e_10_in_one_order_of_elements(tmp_path):
    frames = toy_frames(10)
    write_npy(tmp_path / "npy", frames)
    run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy", "split": "train"})
    folder = tmp_path / "set" / "train" / "toy"
    order = np.argsort([["Li", "P", "S"].index(s) for s in frames.symbols], kind="stable")
    types = np.loadtxt(folder / "type.raw", dtype=int)
    assert (np.diff(types) >= 0).all()
    assert (folder / "type_map.raw").read_text().split() == ["Li", "P", "S"]
    load = {p.stem: np.load(p) for p in (folder / "set.000").glob("*.npy")}
    assert all(array.dtype == np.float64 for array in load.values())
    np.testing.assert_allclose(
        load["coord"].reshape(10, -1, 3), frames.coords[:, order], atol=1e-10
    )
    np.testing.assert_allclose(
        load["force"].reshape(10, -1, 3), frames.forces[:, order], atol=1e-10
    )
    np.testing.assert_allclose(load["energy"], frames.energies, atol=1e-10)
    np.testing.assert_allclose(load["virial"].reshape(10, 3, 3), frames.virials, atol=1e-10)
    np.testing.assert_allclose(load["box"].reshape(10, 3, 3), frames.cells, atol=1e-10)


@pytest.mark.parametrize("fraction", [0.1, 0.3])
@pytest.mark.parametrize("purge", [0.5, 0.8])
def test_split_of_a_long_run_leaves_the_purge_gap(tmp_path, long_run, fraction, purge):
    write_cp2k(tmp_path / "run", long_run)
    manifest = run(
        tmp_path,
        {"name": "toy", "format": "cp2k", "path": "run"},
        test_fraction=fraction,
        purge_ps=purge,
    )
    with (tmp_path / "set" / "frames.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    times = {
        split: np.array([0.05 * int(r["frame"]) for r in rows if r["split"] == split])
        for split in ("train", "valid", "test")
    }
    assert all(len(t) for t in times.values())
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        gap = np.abs(times[one][:, None] - times[other]).min()
        assert gap >= purge - 1e-9
    assert manifest.summary["test_frames"] == len(times["test"])
    assert check_of(tmp_path, "gap between sides")["verdict"] == "pass"


def test_of_short_runs_one_goes_whole_to_test(tmp_path):
    for k in range(3):
        write_cp2k(tmp_path / f"run{k}", toy_frames(8 + k, seed=k))
    sources = [{"name": f"r{k}", "format": "cp2k", "path": f"run{k}"} for k in range(3)]
    summary = run(tmp_path, *sources).summary
    assert summary["test_frames"] in (8, 9, 10)
    assert summary["train_frames"] + summary["valid_frames"] + summary["test_frames"] == 27
    assert summary["purged_frames"] == 0


def test_single_short_run_trains_whole_and_the_certificate_warns(tmp_path):
    write_cp2k(tmp_path / "run", toy_frames(8))
    summary = run(tmp_path, {"name": "toy", "format": "cp2k", "path": "run"}).summary
    assert (summary["train_frames"], summary["test_frames"]) == (8, 0)
    assert check_of(tmp_path, "split")["verdict"] == "warn"


def test_element_outside_the_type_map_is_refused(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    with pytest.raises(TypeMapError, match="holds S"):
        run(
            tmp_path,
            {"name": "toy", "format": "deepmd-npy", "path": "npy"},
            type_map=("Li", "P"),
        )


def test_missing_source_is_refused_naming_the_path(tmp_path):
    with pytest.raises(DataError, match="absent"):
        run(tmp_path, {"name": "toy", "format": "extxyz", "path": "absent.xyz"})


def test_glob_makes_one_system_of_each_match(tmp_path):
    for k in range(2):
        write_cp2k(tmp_path / f"run{k}", toy_frames(6, seed=k))
    run(tmp_path, {"name": "r", "format": "cp2k", "path": "run*", "split": "train"})
    names = sorted(p.name for p in (tmp_path / "set" / "train").iterdir())
    assert names == ["r-000", "r-001"]


def test_second_call_with_the_same_recipe_does_nothing(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    source = {"name": "toy", "format": "deepmd-npy", "path": "npy"}
    run(tmp_path, source)
    before = (tmp_path / "set" / "manifest.json").read_bytes()
    run(tmp_path, source)
    assert (tmp_path / "set" / "manifest.json").read_bytes() == before
    assert len(read_manifest(tmp_path / "set").attempts) == 1


def test_plan_writes_nothing_and_names_every_source(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    recipe = recipe_of({"name": "toy", "format": "deepmd-npy", "path": "npy"})
    lines = plan_ingest(recipe, tmp_path / "recipe.yml", tmp_path / "set")
    assert any("read toy" in line for line in lines)
    assert not (tmp_path / "set").exists()


def test_purge_gap_below_half_a_picosecond_is_refused():
    with pytest.raises(RecipeError, match="purge_ps"):
        recipe_of({"name": "a", "format": "cp2k", "path": "a"}, purge_ps=0.1)


def frames_of(tmp_path):
    with (tmp_path / "set" / "frames.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_slice_is_taken_before_the_stride(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(20))
    source = {"name": "toy", "format": "deepmd-npy", "path": "npy", "split": "train"}
    system = read(tmp_path, {**source, "frames": [5, 14], "stride": 4})[0]
    assert system.frames.steps.tolist() == [5, 9, 13]


def test_two_slices_of_one_body_share_it_out_by_blocks(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(20))
    source = {"format": "deepmd-npy", "path": "npy"}
    blocks = (
        {**source, "name": "early", "frames": [0, 14], "split": "train"},
        {**source, "name": "late", "frames": [16, 99], "split": "test"},
    )
    assert read(tmp_path, *blocks)[1].frames.steps.tolist() == [16, 17, 18, 19]
    assert check_in(certified(tmp_path, *blocks), "duplicates").verdict == "pass"


def test_slice_beyond_the_end_is_refused_with_the_number_of_frames(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    source = {"name": "toy", "format": "deepmd-npy", "path": "npy", "frames": [6, 9]}
    with pytest.raises(DataError, match="it has 6"):
        read(tmp_path, source)


@pytest.mark.parametrize(
    ("key", "value"), [("frames", [4, 4]), ("frames", [-1, 4]), ("weight", 0.0), ("weight", -1.0)]
)
def test_empty_slices_and_weights_that_draw_nothing_are_refused(key, value):
    with pytest.raises(RecipeError, match=key):
        recipe_of({"name": "a", "format": "extxyz", "path": "a", key: value})


def test_weight_is_kept_with_every_frame(tmp_path):
    for name in ("a", "b"):
        write_npy(tmp_path / name, toy_frames(6, seed=ord(name)))
    source = {"format": "deepmd-npy", "split": "train"}
    run(
        tmp_path,
        {**source, "name": "a", "path": "a"},
        {**source, "name": "b", "path": "b", "weight": 2.5},
    )
    rows = frames_of(tmp_path)
    assert {(row["source"], row["weight"]) for row in rows} == {("a", "1"), ("b", "2.5")}
    assert list(rows[0])[-2:] == ["temperature_kelvin", "weight"]


def test_directory_is_searched_for_files_of_the_format_plain_and_compressed(tmp_path):
    first = write_extxyz(tmp_path / "one.xyz", toy_frames(3, seed=1))
    (tmp_path / "body" / "deep").mkdir(parents=True)
    (tmp_path / "body" / "one.extxyz").write_text(first.read_text())
    second = write_extxyz(tmp_path / "two.xyz", toy_frames(4, seed=2))
    with gzip.open(tmp_path / "body" / "deep" / "two.xyz.gz", "wt") as handle:
        handle.write(second.read_text())
    (tmp_path / "body" / "notes.txt").write_text("not data")
    source = {"name": "x", "format": "extxyz", "path": "body", "split": "train"}
    assert [len(system.frames) for system in read(tmp_path, source)] == [4, 3]


def test_directory_of_run_directories_is_one_trajectory_each(tmp_path):
    for k in range(3):
        write_npy(tmp_path / "body" / f"run{k}", toy_frames(5, seed=k))
    source = {"name": "r", "format": "deepmd-npy", "path": "body", "split": "train"}
    assert [system.name for system in read(tmp_path, source)] == ["r-000", "r-001", "r-002"]


def test_directory_without_files_of_the_format_is_refused_naming_what_was_looked_for(tmp_path):
    (tmp_path / "body").mkdir()
    with pytest.raises(DataError, match=r"no OUTCAR"):
        read(tmp_path, {"name": "x", "format": "vasp-outcar", "path": "body"})


def test_unconverged_share_is_that_of_the_whole_run_whatever_the_stride(tmp_path):
    write_cp2k(tmp_path / "run", toy_frames(40), unconverged={2, 9})
    source = {"name": "toy", "format": "cp2k", "path": "run", "stride": 10, "split": "train"}
    check = check_in(certified(tmp_path, source), "electronic convergence")
    assert (check.verdict, check.number) == ("warn", 2.0)
    assert "2 of 40 frames" in check.text


def test_unconverged_frames_of_a_run_in_two_slices_are_counted_once(tmp_path):
    write_cp2k(tmp_path / "run", toy_frames(40), unconverged={2, 9})
    source = {"format": "cp2k", "path": "run", "split": "train"}
    slices = (
        {**source, "name": "a", "frames": [0, 20]},
        {**source, "name": "b", "frames": [20, 40]},
    )
    check = check_in(certified(tmp_path, *slices), "electronic convergence")
    assert "2 of 40 frames" in check.text


@pytest.mark.parametrize(("start", "verdict"), [(20, "fail"), (30, "pass")])
def test_gap_between_slices_of_one_run_is_measured(tmp_path, start, verdict):
    write_npy(tmp_path / "npy", toy_frames(40))
    source = {"format": "deepmd-npy", "path": "npy", "timestep_fs": 50.0}
    slices = (
        {**source, "name": "early", "frames": [0, 20], "split": "train"},
        {**source, "name": "late", "frames": [start, 40], "split": "test"},
    )
    check = check_in(certified(tmp_path, *slices), "gap between sides")
    assert check.verdict == verdict
    assert check.number == pytest.approx(0.05 * (start - 19))


def test_gap_between_slices_without_a_time_axis_is_undecided(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(40))
    source = {"format": "deepmd-npy", "path": "npy"}
    slices = (
        {**source, "name": "early", "frames": [0, 20], "split": "train"},
        {**source, "name": "late", "frames": [20, 40], "split": "test"},
    )
    check = check_in(certified(tmp_path, *slices), "gap between sides")
    assert check.verdict == "undecided"
    assert "timestep_fs" in check.text


def test_run_that_gaps_would_leave_without_training_frames_stays_whole(tmp_path, long_run):
    write_cp2k(tmp_path / "run", long_run)
    source = {"name": "toy", "format": "cp2k", "path": "run"}
    recipe = recipe_of(source, purge_ps=2.0)
    parts = split_systems(read_systems(recipe, tmp_path / "recipe.yml"), recipe.split)
    assert [(part.split, len(part.index)) for part in parts] == [("train", 64)]
