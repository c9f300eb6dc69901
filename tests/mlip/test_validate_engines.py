"""The validate room with real engines; `tiny_model` and `tiny_set` come from conftest."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlip.errors import GateError, InputError
from mlip.files import read_json
from mlip.manifest import read_manifest
from mlip.model_directory import parity_status, read_model_directory
from mlip.recipes.validate import AcceptanceLimits, ValidateRecipe
from mlip.validation.reference import read_system, require_frames
from mlip.validation.trust import TrustLevels
from mlip.validation.validate import plan_validate, require_accepted, validate

RECIPE = ValidateRecipe(parity_frames=1, train_frames_per_system=2)


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("validate") / "model"
    shutil.copytree(tiny_model, copy, ignore=shutil.ignore_patterns("validation", "lock"))
    return copy


@pytest.fixture(scope="module")
def validated(model: Path, tiny_set: Path) -> Path:
    validate(RECIPE, model, tiny_set)
    return model


def test_engines_agree_and_a_permuted_order_does_not(validated):
    assert parity_status(validated).ok
    record = read_json(validated / "validation" / "parity.json")
    files = {f.name for f in read_model_directory(validated).files}
    assert set(record["models"]) == files
    # Test tool, Python, LAMMPS and LAMMPS in another order of types and atoms, for every file.
    pairs = [
        (row["model"], row["pair"])
        for row in record["comparisons"]
        if row["quantity"] == "force" and "compressed" not in row["pair"]
    ]
    assert len(set(pairs)) == len(pairs) == 6 * len(files)
    kinds = ", ".join(record["frames"])
    assert all(kind in kinds for kind in ("orthogonal", "sheared", "small"))
    control = record["negative_control"]
    assert control["force_difference"] > 0.01
    assert set(control["all_models"]) == files


def test_metrics_cover_every_test_frame_and_keep_splits_apart(validated, tiny_set):
    metrics = read_json(validated / "validation" / "metrics.json")
    systems = [read_system(tiny_set, "test", path) for path in require_frames(tiny_set, "test")]
    overall = metrics["splits"]["test"]["overall"]
    assert overall["frames"] == sum(system.n_frames for system in systems)
    assert overall["force_components"] == sum(system.forces.size for system in systems)
    size = sum(np.square(s.forces).sum() for s in systems) / overall["force_components"]
    assert overall["force_reference_rms_mev_per_angstrom"] == pytest.approx(1000 * size**0.5)
    assert metrics["splits"]["train"]["overall"]["frames"] == 2
    assert "train" not in metrics["committee_deviation"]


def test_trust_levels_come_from_all_atoms_of_the_untouched_test_frames(validated, tiny_set):
    trust = read_json(validated / "validation" / "trust.json")
    metrics = read_json(validated / "validation" / "metrics.json")
    systems = [read_system(tiny_set, "test", path) for path in require_frames(tiny_set, "test")]
    assert trust["atoms"] == sum(s.n_frames * s.n_atoms for s in systems)
    assert trust["frames"] == metrics["splits"]["test"]["overall"]["frames"]
    assert trust["independence"]["headline"] == "run untouched by training"
    levels = TrustLevels.from_json(trust["levels"])
    assert set(levels.by_species) == {"Li", "P", "S"}
    # The melt is far from the crystal that the committee knows: it is surer than it should be.
    assert all(level.scale > 1 for level in levels.by_species.values())
    assert metrics["trust"] == {"written": True, "reason": ""}
    assert (validated / "validation" / "figures" / "calibration.png").is_file()


def test_the_worst_frame_is_the_worst_line_of_the_table(validated):
    folder = validated / "validation"
    worst = read_json(folder / "metrics.json")["splits"]["test"]["worst_frames"]
    with (folder / "frame_errors.csv").open(newline="") as handle:
        errors = [float(row["force_rmse_mev_per_angstrom"]) for row in csv.DictReader(handle)]
    found = [row["force_rmse_mev_per_angstrom"] for row in worst]
    assert found == pytest.approx(sorted(errors, reverse=True)[:10], rel=1e-5)


def test_compressed_members_have_the_errors_of_the_plain_ones(validated):
    models = read_json(validated / "validation" / "metrics.json")["splits"]["test"]["models"]
    for name in [name for name in models if name.startswith("compressed")]:
        plain = models[name.replace("compressed", "model")]["overall"]
        assert models[name]["overall"]["force_rmse_mev_per_angstrom"] == pytest.approx(
            plain["force_rmse_mev_per_angstrom"], rel=0.02
        )


def test_a_second_call_changes_nothing_and_renews_a_lost_card(validated, tiny_set):
    before = (validated / "validation" / "metrics.json").stat().st_mtime_ns
    (validated / "MODEL_CARD.md").unlink()
    validate(RECIPE, validated, tiny_set)
    assert (validated / "validation" / "metrics.json").stat().st_mtime_ns == before
    assert "Errors against DFT" in (validated / "MODEL_CARD.md").read_text()


def test_an_error_above_the_accepted_limit_is_refused(validated):
    folder = validated / "validation"
    require_accepted(AcceptanceLimits(force_rmse_mev_per_angstrom=1e6), folder, "test")
    with pytest.raises(GateError, match="force_rmse_mev_per_angstrom") as caught:
        require_accepted(AcceptanceLimits(force_rmse_mev_per_angstrom=1e-3), folder, "test")
    assert caught.value.exit_code == 3


def test_a_member_that_does_not_match_its_compressed_form_is_refused(model, tiny_set, tmp_path):
    compressed = read_model_directory(model).compressed
    assert len(compressed) == 2
    broken = tmp_path / "model"
    broken.mkdir()
    shutil.copy(model / "type_map.json", broken)
    shutil.copy(model / "model_0.pth", broken)
    shutil.copy(compressed[1], broken / "compressed_0.pth")
    (broken / "MODEL_CARD.md").write_text("of an earlier validation")
    with pytest.raises(GateError, match="compressed_0"):
        validate(RECIPE, broken, tiny_set)
    assert json.loads((broken / "validation" / "parity.json").read_text())["passed"] is False
    assert not parity_status(broken).ok
    assert not (broken / "MODEL_CARD.md").exists()


def test_one_foreign_potential_is_validated_unproved_and_without_trust(foreign_model):
    folder = foreign_model / "validation"
    assert parity_status(foreign_model).ok
    metrics = read_json(folder / "metrics.json")
    assert metrics["training"] == {"data": "unknown", "unproved": True, "range": None}
    # Nobody knows whether it was trained on the training frames of this set.
    assert set(metrics["splits"]) == {"test"}
    assert set(metrics["splits"]["test"]["by_independence"]) == {"unknown"}
    assert not metrics["trust"]["written"]
    assert "committee of two" in metrics["trust"]["reason"]
    assert not (folder / "trust.json").exists()
    assert "has no manifest" in read_manifest(folder).summary["errors_are_of"]
    assert "UNPROVED" in (foreign_model / "MODEL_CARD.md").read_text()


def test_dynamics_elsewhere_needs_parity_where_md_looks_for_it(model, tiny_set, tmp_path):
    unproved = tmp_path / "unproved"
    unproved.mkdir()
    for name in ("model_0.pth", "type_map.json"):
        shutil.copy(model / name, unproved)
    recipe = ValidateRecipe.model_validate({"dynamics": {}})
    with pytest.raises(InputError, match="never tested"):
        validate(recipe, unproved, tiny_set, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_reference_is_refused_before_any_engine_runs(model, tiny_set, tmp_path):
    crystals = [{"name": "beta-Li3PS4", "reference": "nowhere.extxyz"}]
    recipe = ValidateRecipe.model_validate({"physics": {"crystals": crystals}})
    with pytest.raises(InputError, match=r"nowhere\.extxyz: no such file"):
        validate(recipe, model, tiny_set, source=tmp_path / "recipe.yml", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_plan_writes_nothing(tiny_model, tiny_set, tmp_path):
    plan = plan_validate(RECIPE, tiny_model, tiny_set, out=tmp_path / "out")
    assert any("dp test" in line for line in plan)
    assert not (tmp_path / "out").exists()


def test_an_empty_test_split_leaves_nothing_behind(tiny_model, tiny_set, tmp_path):
    data = tmp_path / "set"
    shutil.copytree(tiny_set, data)
    shutil.rmtree(data / "test")
    with pytest.raises(InputError, match="test split is empty"):
        validate(RECIPE, tiny_model, data, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
