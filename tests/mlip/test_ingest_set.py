"""From a recipe to a certified set."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy_runs import toy_frames, write_cp2k, write_extxyz, write_npy

from mlip.data.frames import select
from mlip.data.ingest import ingest, plan_ingest
from mlip.data.level import common_level
from mlip.data.readers import read_deepmd, read_extxyz, read_outcar, read_xml
from mlip.data.split import System
from mlip.errors import DataError, RecipeError, TypeMapError, UnitError
from mlip.manifest import read_manifest
from mlip.recipes.base import validated
from mlip.recipes.ingest import IngestRecipe

EXTERNAL = Path(
    os.environ.get(
        "LIPS_MLIP_EXTERNAL_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"
    )
)


def external(name: str) -> Path:
    path = EXTERNAL / name
    if not path.exists():
        pytest.skip(f"external data {path} absent; set LIPS_MLIP_EXTERNAL_DATA")
    return path


def recipe_of(*sources: dict, type_map=("Li", "P", "S"), **split) -> IngestRecipe:
    entries = [{"phase": "crystal", **source} for source in sources]
    content = {"type_map": list(type_map), "sources": entries, "split": split}
    return validated(content, IngestRecipe, "recipe")


def run(tmp_path: Path, *sources: dict, **settings):
    return ingest(recipe_of(*sources, **settings), tmp_path / "recipe.yml", tmp_path / "set")


def check_of(tmp_path: Path, name: str) -> dict:
    certificate = json.loads((tmp_path / "set" / "certificate.json").read_text())
    return next(check for check in certificate["checks"] if check["name"] == name)


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


def test_exact_copies_on_two_sides_fail_the_certificate(tmp_path):
    frames = toy_frames(10)
    write_npy(tmp_path / "one", frames)
    write_npy(tmp_path / "two", select(frames, slice(3, 6)))
    manifest = run(
        tmp_path,
        {"name": "one", "format": "deepmd-npy", "path": "one", "split": "train"},
        {"name": "two", "format": "deepmd-npy", "path": "two", "split": "test"},
    )
    assert manifest.summary["verdict"] == "fail"
    check = check_of(tmp_path, "duplicates")
    assert (check["verdict"], check["number"]) == ("fail", 3.0)
    assert manifest.status == "complete"


def test_exact_copies_on_one_side_only_warn(tmp_path):
    frames = toy_frames(10)
    write_npy(tmp_path / "one", select(frames, np.array([0, 1, 2, 3, 3, 4, 5])))
    run(tmp_path, {"name": "one", "format": "deepmd-npy", "path": "one", "split": "train"})
    assert check_of(tmp_path, "duplicates")["verdict"] == "warn"


@pytest.mark.parametrize("factor", [10.0, 0.1, 160.2, 1 / 160.2, 1602.0, 1 / 1602.0])
def test_virial_in_another_unit_is_refused(tmp_path, factor):
    frames = toy_frames(10)
    write_npy(tmp_path / "npy", replace(frames, virials=frames.virials * factor))
    with pytest.raises(UnitError, match="virial is in another unit"):
        run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})
    assert not (tmp_path / "set").exists()


def test_virial_with_the_wrong_sign_is_refused_where_cells_differ(tmp_path):
    frames = toy_frames(40, strain=0.004)
    write_npy(tmp_path / "good", frames)
    run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "good", "split": "train"})
    check = check_of(tmp_path, "virial sign and strain")
    assert check["verdict"] == "pass"
    assert check["number"] == pytest.approx(1.0, abs=0.1)
    write_npy(tmp_path / "bad", replace(frames, virials=-frames.virials))
    with pytest.raises(UnitError, match="sign"):
        ingest(
            recipe_of({"name": "toy", "format": "deepmd-npy", "path": "bad"}),
            tmp_path / "recipe.yml",
            tmp_path / "other",
        )


@pytest.mark.parametrize("factor", [51.422, 1 / 51.422, -1.0])
def test_forces_in_another_unit_or_sign_are_refused(tmp_path, factor):
    frames = toy_frames(20)
    write_npy(tmp_path / "npy", replace(frames, forces=frames.forces * factor, virials=None))
    with pytest.raises(UnitError, match="work of the"):
        run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_nan_in_forces_is_refused_naming_the_frame(tmp_path):
    frames = toy_frames(10)
    frames.forces[4, 3, 1] = np.nan
    write_npy(tmp_path / "npy", frames)
    with pytest.raises(DataError, match=r"forces of frame 4 \(step 4\)"):
        run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})
    assert not (tmp_path / "set").exists()


def test_element_outside_the_type_map_is_refused(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    with pytest.raises(TypeMapError, match="holds S"):
        run(
            tmp_path,
            {"name": "toy", "format": "deepmd-npy", "path": "npy"},
            type_map=("Li", "P"),
        )


def test_missing_type_map_is_refused(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    (tmp_path / "npy" / "type_map.raw").unlink()
    with pytest.raises(TypeMapError, match=r"no type_map\.raw"):
        run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_arrays_with_different_numbers_of_frames_are_refused(tmp_path):
    write_npy(tmp_path / "npy", toy_frames(6))
    path = tmp_path / "npy" / "set.000" / "force.npy"
    np.save(path, np.load(path)[:-1])
    with pytest.raises(DataError, match="force 5"):
        run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_zero_frames_are_refused(tmp_path):
    write_npy(tmp_path / "npy", select(toy_frames(6), slice(0, 0)))
    with pytest.raises(DataError, match="no frames"):
        run(tmp_path, {"name": "toy", "format": "deepmd-npy", "path": "npy"})


def test_missing_source_is_refused_naming_the_path(tmp_path):
    with pytest.raises(DataError, match="absent"):
        run(tmp_path, {"name": "toy", "format": "extxyz", "path": "absent.xyz"})


@pytest.mark.parametrize("wrong", ["vasp-outcar", "vasp-xml", "deepmd-npy", "cp2k"])
def test_wrong_format_is_refused(tmp_path, wrong):
    write_extxyz(tmp_path / "frames.xyz", toy_frames(3))
    with pytest.raises(DataError):
        run(tmp_path, {"name": "toy", "format": wrong, "path": "frames.xyz"})
    assert not (tmp_path / "set").exists()


def test_truncated_extxyz_is_refused(tmp_path):
    path = write_extxyz(tmp_path / "frames.xyz", toy_frames(3))
    path.write_text("\n".join(path.read_text().splitlines()[:-4]) + "\n")
    with pytest.raises(DataError, match="extended XYZ"):
        run(tmp_path, {"name": "toy", "format": "extxyz", "path": "frames.xyz"})


def test_extxyz_stress_becomes_a_virial_with_the_deepmd_sign(tmp_path):
    frames = toy_frames(4)
    read = read_extxyz(write_extxyz(tmp_path / "frames.xyz", frames))[0]
    np.testing.assert_allclose(read.virials, frames.virials, atol=1e-4)


def test_sources_of_different_level_are_refused_naming_the_key(tmp_path):
    write_cp2k(tmp_path / "a", toy_frames(8, seed=1))
    write_cp2k(tmp_path / "b", toy_frames(8, seed=2), cutoff="300")
    with pytest.raises(DataError, match="cutoff_rydberg: 400 in a, 300 in b"):
        run(
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


def test_sources_with_different_energy_zeros_fail(tmp_path):
    frames = toy_frames(8)
    other = toy_frames(8, seed=2)
    write_npy(tmp_path / "a", frames)
    write_npy(tmp_path / "b", replace(other, energies=other.energies - 234.0 * 32))
    run(
        tmp_path,
        {"name": "a", "format": "deepmd-npy", "path": "a"},
        {"name": "b", "format": "deepmd-npy", "path": "b"},
    )
    assert check_of(tmp_path, "energy zero")["verdict"] == "fail"


def test_atoms_on_top_of_each_other_fail(tmp_path):
    frames = toy_frames(8)
    frames.coords[2, 1] = frames.coords[2, 0] + [1.0, 0.0, 0.0]
    write_npy(tmp_path / "a", replace(frames, virials=None))
    # Forces no longer belong to the positions of that frame, which is the point.
    run(tmp_path, {"name": "a", "format": "deepmd-npy", "path": "a", "stride": 2})
    check = check_of(tmp_path, "smallest distance")
    assert check["verdict"] == "fail"
    assert check["frames"] == ["a:2"]


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


@pytest.mark.parametrize(
    ("reader", "name"), [(read_outcar, "OUTCAR.h2o.md"), (read_xml, "vasprun.h2o.md.xml")]
)
def test_vasp_pressure_is_that_of_the_external_pressure_lines(reader, name):
    frames = reader(external(f"parser_fixtures/dpdata/poscars/{name}"))[0]
    pressure = np.trace(frames.virials, axis1=1, axis2=2) / (3 * frames.volumes) * 1602.1766
    np.testing.assert_allclose(pressure, [-2.65, -1.52, 0.45], atol=0.01)
    assert frames.energies[0] == pytest.approx(-28.38622624, abs=1e-6)
    assert frames.unconverged == 0
    assert frames.level["cutoff_ev"] == "800"
    assert frames.level["functional"] == "PE"


def test_vasp_frames_that_stopped_before_ediff_are_dropped_and_counted(tmp_path):
    text = external("parser_fixtures/dpdata/poscars/OUTCAR.h2o.md").read_text()
    head, _, tail = text.rpartition("aborting loop because EDIFF is reached")
    path = tmp_path / "OUTCAR"
    path.write_text(f"{head}aborting loop EDIFF was not reached (unconverged){tail}")
    frames = read_outcar(path)[0]
    assert frames.unconverged == 1
    assert frames.steps.tolist() == [1, 2]


def test_vasp_stress_that_dpdata_turns_round_is_refused(tmp_path):
    text = external("parser_fixtures/dpdata/poscars/OUTCAR.h2o.md").read_text()
    path = tmp_path / "OUTCAR"
    path.write_text(
        text.replace("external pressure =       -2.65", "external pressure =        2.65")
    )
    with pytest.raises(UnitError, match="left-handed"):
        read_outcar(path)


@pytest.mark.filterwarnings("ignore:no energy found")
@pytest.mark.parametrize(
    ("reader", "name"), [(read_outcar, "OUTCAR.h2o.md"), (read_xml, "vasprun.h2o.md.xml")]
)
def test_truncated_vasp_output_is_refused(tmp_path, reader, name):
    text = external(f"parser_fixtures/dpdata/poscars/{name}").read_text()
    (tmp_path / name).write_text(text[: int(len(text) * 0.8)])
    with pytest.raises(DataError):
        reader(tmp_path / name)


@pytest.mark.parametrize("name", ["beta-Li3PS4", "Li2S", "S"])
@pytest.mark.parametrize("factor", [1.0, 10.0, 0.1, 160.2176634, 1 / 160.2176634, 1602.0])
def test_unit_check_accepts_first_principles_virials_and_refuses_scaled_ones(
    tmp_path, name, factor
):
    frames = read_deepmd(external(f"lips20_dft/{name}"))[0]
    frames = select(frames, slice(None, None, 20))
    write_npy(tmp_path / "npy", replace(frames, virials=frames.virials * factor))
    source = {"name": "toy", "format": "deepmd-npy", "path": "npy"}
    if factor == 1.0:
        assert run(tmp_path, source).summary["verdict"] in ("pass", "warn")
    else:
        with pytest.raises(UnitError):
            run(tmp_path, source)


def test_variable_cell_stress_of_lgps_is_accepted(tmp_path):
    path = external("lgps_vasp_pbe/lgps_train.extxyz")
    source = {"name": "lgps", "format": "extxyz", "path": str(path), "stride": 10}
    run(tmp_path, source, type_map=("Li", "Ge", "P", "S"))
    assert check_of(tmp_path, "virial unit")["number"] == pytest.approx(1.06, abs=0.1)


def test_published_split_that_shares_copies_fails(tmp_path):
    folder = external("li3ps4_pbesol_r2scan")
    run(
        tmp_path,
        {"name": "a", "format": "extxyz", "path": str(folder / "train.xyz"), "split": "train"},
        {"name": "b", "format": "extxyz", "path": str(folder / "val.xyz"), "split": "test"},
    )
    assert check_of(tmp_path, "duplicates")["verdict"] == "fail"
