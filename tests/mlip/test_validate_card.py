"""Worst frames, training range, physics table and the model card, from known numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from reference_systems import shifted, system

from mlip.errors import GateError, RecipeError
from mlip.files import fingerprint, read_json, write_json
from mlip.manifest import Manifest
from mlip.model_directory import read_model_directory
from mlip.recipes.base import validated
from mlip.recipes.validate import ValidateRecipe
from mlip.validation.card import write_card
from mlip.validation.card_tables import range_lines
from mlip.validation.finding import Finding
from mlip.validation.frame_errors import frame_errors, worst_frames, write_frame_errors
from mlip.validation.independence import BLOCK, UNTOUCHED, Independence
from mlip.validation.metrics import groups_to_json, system_errors
from mlip.validation.physics_table import reference_files, require_physics, write_findings
from mlip.validation.ranges import training_range

ROWS = [
    Finding("beta", "bulk modulus (GPa)", 21.0, 20.0, "DFT", 0.1, "pass", "within 10 %"),
    Finding("gamma", "barrier (meV)", 410.0, 300.0, "DFT", 50.0, "fail", "110 meV too high"),
    Finding("glass", "density | g/cm3", None, None, "none", None, "not assessed", "no reference"),
]


def planted_errors():
    """Three systems; the worst frame of all lies in a block of a training run."""
    systems = [
        system("a", frames=3, phases=("melt",) * 3),
        system("b", frames=2, temperatures=(300.0, np.nan)),
        system("c", frames=1),
    ]
    labels = ((UNTOUCHED,) * 3, (UNTOUCHED,) * 2, (BLOCK,))
    sizes = ([0.1, 0.4, 0.2], [0.3, 0.05], [9.0])
    frames = []
    for reference, size in zip(systems, sizes, strict=True):
        force = np.zeros((len(size), 2, 3))
        force[:, 1, 0] = size  # sulfur alone
        wrong = shifted(reference, force=force)
        frames.append(frame_errors(reference, wrong, [wrong, shifted(reference)]))
    return systems, frames, Independence(labels, UNTOUCHED, 0.5, "words")


def test_the_worst_frames_are_those_of_the_headline_with_the_largest_force_error():
    systems, frames, unseen = planted_errors()
    found = worst_frames(systems, frames, unseen, count=3)
    assert [(row["system"], row["row"]) for row in found] == [("a", 1), ("b", 0), ("a", 2)]
    first = found[0]
    assert first["force_rmse_mev_per_angstrom"] == pytest.approx(400 / np.sqrt(6))
    assert first["largest_force_error_mev_per_angstrom"] == pytest.approx(400)
    assert first["worst_element"] == "S"
    # Two members half the planted error away from their mean.
    assert first["largest_force_deviation_mev_per_angstrom"] == pytest.approx(200)
    assert (first["source"], first["source_frame"], first["phase"]) == ("a", 10, "melt")
    assert worst_frames(systems, frames, unseen)[-1]["temperature_kelvin"] is None


def test_every_frame_is_in_the_table_with_its_independence(tmp_path):
    systems, frames, unseen = planted_errors()
    write_frame_errors(tmp_path / "f.csv", "test", systems, frames, unseen)
    with (tmp_path / "f.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["system"] for row in rows] == ["a"] * 3 + ["b"] * 2 + ["c"]
    assert [row["independence"] for row in rows] == [UNTOUCHED] * 5 + [BLOCK]
    assert float(rows[5]["largest_force_error_mev_per_angstrom"]) == pytest.approx(9000)
    assert rows[4]["temperature_kelvin"] == ""


def make_set(directory: Path) -> Path:
    """Two training systems with a known nearest pair and density, and one test frame."""
    rows = []
    for split, name, phase, kelvin, edge, gap in (
        ("train", "warm", "melt", 900, 10.0, 2.4),
        ("train", "cold", "crystal", 300, 8.0, 2.0),
        ("test", "cold", "crystal", 300, 5.0, 1.0),
    ):
        folder = directory / split / name
        (folder / "set.000").mkdir(parents=True)
        (folder / "type.raw").write_text("0\n1\n")
        (folder / "type_map.raw").write_text("Li\nS\n")
        arrays = {
            "coord": [[0, 0, 0, gap, 0, 0]],
            "force": np.zeros((1, 6)),
            "energy": np.zeros(1),
            "box": [np.diag([edge] * 3).ravel()],
        }
        for key, values in arrays.items():
            np.save(folder / "set.000" / f"{key}.npy", np.asarray(values, dtype=float))
        rows.append(f"{split},{name},0,{name},0,{phase},{kelvin}")
    head = "split,system,row,source,frame,phase,temperature_kelvin"
    (directory / "frames.csv").write_text("\n".join([head, *rows]) + "\n")
    return directory


def test_pairs_that_never_meet_are_said_to_be_farther_than_was_searched(tmp_path):
    data = make_set(tmp_path / "set")
    for name in ("warm", "cold"):
        path = data / "train" / name / "set.000"
        np.save(path / "coord.npy", np.array([[0, 0, 0, 9.0, 9.0, 9.0]]))
        np.save(path / "box.npy", np.array([18 * np.eye(3).ravel()]))
    text = "\n".join(range_lines({"range": training_range(data).as_json()}))
    assert "Smallest distances in the training frames (Å): none below 4 Å." in text


def test_the_training_range_is_that_of_the_training_frames_alone(tmp_path):
    found = training_range(make_set(tmp_path / "set"))
    assert found.elements == ("Li", "S")
    assert dict(found.smallest_distance_angstrom) == pytest.approx({"Li-S": 2.0})
    assert found.phases["melt"].temperature_kelvin == (900.0, 900.0)
    # 6.94 + 32.06 amu in 1000 and in 512 cubic Angstrom.
    assert found.phases["melt"].density_g_cm3[0] == pytest.approx(39.0 * 1.66054e-3, rel=1e-3)
    assert found.phases["crystal"].density_g_cm3[1] == pytest.approx(39.0 / 512 * 1.66054, rel=1e-3)
    assert found.phases["crystal"].compositions == ("LiS",)


def test_distances_of_the_certificate_are_taken_as_they_are(tmp_path):
    data = make_set(tmp_path / "set")
    stored = {"all": 1.5, "Li-S": 1.5}
    write_json(data / "certificate.json", {"smallest_distance_angstrom": stored})
    assert dict(training_range(data).smallest_distance_angstrom) == {"Li-S": 1.5}


def test_findings_are_counted_and_failed_ones_refuse_only_if_required(tmp_path):
    path = tmp_path / "physics.json"
    assert write_findings(path, ROWS) == {"pass": 1, "fail": 1, "not assessed": 1}
    assert [row["verdict"] for row in read_json(path)["findings"]] == [r.verdict for r in ROWS]
    with pytest.raises(GateError, match=r"1 physical test.*\n  gamma, barrier.*110 meV") as caught:
        require_physics(path)
    assert caught.value.exit_code == 3
    write_findings(path, [ROWS[0], ROWS[2]])
    require_physics(path)


def test_physics_cannot_be_required_without_a_section_for_it():
    with pytest.raises(RecipeError, match="needs a physics or a dynamics section"):
        validated({"accept": {"require_physics": True}}, ValidateRecipe, "recipe")


def test_files_that_physics_compares_with_are_inputs_and_names_of_crystals_are_not(tmp_path):
    (tmp_path / "labels.extxyz").write_text("")
    (tmp_path / "start").mkdir()
    crystals = [
        {"name": "beta-Li3PS4", "reference": "labels.extxyz"},
        {"name": "mine", "structure": "start"},
    ]
    recipe = validated({"physics": {"crystals": crystals}}, ValidateRecipe, "recipe")
    found = reference_files(recipe, tmp_path / "recipe.yml")
    assert found == [tmp_path / "labels.extxyz", tmp_path / "start"]
    assert reference_files(ValidateRecipe(), tmp_path / "recipe.yml") == []


@pytest.fixture
def card(tmp_path):
    """Write a card; returns its text."""

    def write(*, foreign=False, licence="", files=(), headline="all frames are untouched") -> str:
        data, model = make_set(tmp_path / "set"), tmp_path / "model"
        (model / "validation").mkdir(parents=True)
        (model / "model_0.pth").write_bytes(b"0")
        (model / "type_map.json").write_text('["Li", "S"]')
        for name, text in files:
            (model / name).write_text(text)
        systems, frames, unseen = planted_errors()
        groups = groups_to_json(
            system_errors(systems[0], shifted(systems[0], force=0.1), unseen.labels[0], UNTOUCHED)
        )
        errors = {
            "frames_in_split": 6,
            "independence": {"statement": headline},
            **groups,
            "worst_frames": worst_frames(systems, frames, unseen),
            "models": {"model_0": groups},
        }
        span = None if foreign else training_range(data).as_json()
        metrics = {
            "splits": {"test": errors},
            "trust": {"written": False, "reason": "one member"},
            "training": {
                "data": "unknown" if foreign else "this set",
                "unproved": foreign,
                "range": span,
            },
        }
        write_json(model / "validation" / "metrics.json", metrics)
        row = {"model": "model_0.pth", "pair": "a = b", "quantity": "force", "unit": "eV/Å"}
        parity = {
            "passed": True,
            "precision": "float32",
            "models": {"model_0.pth": "0"},
            "frames": ["a: orthogonal, sheared", "a: small"],
            "comparisons": [row | {"difference": 1e-5, "tolerance": 1e-4, "passed": True}],
            "negative_control": {"elements": ["S", "Li"], "force_difference": 2.5},
        }
        write_json(model / "validation" / "parity.json", parity)
        write_findings(model / "validation" / "physics.json", ROWS)
        inputs = {"../set": fingerprint(data)}
        manifest = Manifest(kind="model", recipe={"steps": 7}, inputs=inputs, versions={"dp": "3"})
        path = model / "MODEL_CARD.md"
        known = None if foreign else manifest
        validation = model / "validation"
        write_card(path, read_model_directory(model), known, data, validation, licence)
        return path.read_text()

    return write


def test_the_card_shows_errors_range_physics_parity_and_what_is_missing(card):
    text = card()
    assert "UNPROVED" not in text
    for line in (
        "Errors on 3 frames of the test split",
        "| crystal | 1 | 300 to 300 | 0.13 to 0.13 | LiS |",
        "Smallest distances in the training frames (Å): Li-S 2.00.",
        "No trust levels: one member.",
        "| a, row 1 | a 10 | melt | 650 |",
        "1 pass, 1 fail, 1 not assessed.",
        "| gamma | barrier (meV) | 410 | 300 (DFT) | 50 | **fail** | 110 meV too high |",
        r"| glass | density \| g/cm3 | - | - | - | not assessed | no reference |",
        "A wrong element order (S Li) changes forces by 2.5 eV/Å or more",
        "- steps: 7",
        "Not measured: set `speed_atoms`",
        "- training: dp 3",
        "Not stated.",
        "- Frames by split: train 2, test 1.",
    ):
        assert line in text
    for kind in ("independence", "system", "phase", "temperature", "composition"):
        assert f"| {kind} | frames |" in text


def test_a_foreign_model_is_marked_unproved_before_any_number(card):
    text = card(foreign=True)
    assert text.index("UNPROVED") < text.index("Committee of 1")
    assert "Trained on: unknown" in text
    assert "no range is shown to be trusted" in text


def test_the_first_paragraph_says_what_the_errors_are_of(card):
    words = "no run is untouched by training: these are blocks at least 0.5 ps from training"
    head = card(headline=words).split("## Data")[0]
    assert words in head


@pytest.mark.parametrize(
    ("licence", "files", "expected"),
    [
        ("CC-BY-4.0", (("LICENSE", "MIT License\n"),), "CC-BY-4.0."),
        ("", (("LICENSE", "\nMIT License\n\nmore"),), "MIT License (see LICENSE)."),
        ("", (), "Not stated."),
    ],
)
def test_the_licence_is_that_of_the_recipe_or_of_the_file(card, licence, files, expected):
    assert f"## Licence\n{expected}\n" in card(licence=licence, files=files)
