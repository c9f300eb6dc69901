"""Bad input at the command line: exit code, one clear message, nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_runs import toy_frames, write_cp2k, write_extxyz, write_npy

from mlip.cli import main


@dataclass(frozen=True)
class Case:
    """A wrong call: how to make it, how it must end, and what the message must say."""

    name: str
    arguments: Callable[[Path], list[str]]
    says: tuple[str, ...]
    code: int = 2


def ingest(here: Path, source: str, *, type_map: str = "[Li, P, S]", extra: str = "") -> list[str]:
    recipe = here / "recipe.yml"
    recipe.write_text(
        f"type_map: {type_map}\n"
        f"sources: [{{name: toy, {source}, phase: crystal, split: train}}]\n{extra}"
    )
    return ["ingest", str(recipe), "--out", str(here / "out")]


def frames():
    return toy_frames(4)


def changed_npy(here: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> list[str]:
    system = write_npy(here / "npy", frames())
    path = system / "set.000" / f"{name}.npy"
    np.save(path, change(np.load(path)))
    return ingest(here, f"format: deepmd-npy, path: {system}")


def first_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[2, 5] = np.nan
    return array


def truncated_log(here: Path) -> list[str]:
    run = write_cp2k(here / "run", frames())
    (log,) = run.glob("*.out")
    text = log.read_text()
    log.write_text(text[: len(text) // 2])
    return ingest(here, f"format: cp2k, path: {run}")


def unreadable(here: Path) -> list[str]:
    (here / "frames.xyz").write_bytes(bytes(range(256)) * 40)
    return ingest(here, f"format: extxyz, path: {here / 'frames.xyz'}, timestep_fs: 1")


def wrong_format(here: Path) -> list[str]:
    path = write_extxyz(here / "frames.xyz", frames())
    return ingest(here, f"format: vasp-outcar, path: {path}")


def train(here: Path, text: str) -> list[str]:
    (here / "train.yml").write_text(text)
    return ["train", str(here / "train.yml"), "--out", str(here / "out")]


def md(here: Path, temperature: str = "300", model: str = "model") -> list[str]:
    (here / "protocol.yml").write_text(
        f"temperatures_kelvin: [{temperature}]\nstages: [{{kind: nvt, duration_ps: 1}}]\n"
    )
    return [
        *("md", str(here / "protocol.yml"), "--model", str(here / model)),
        *("--structure", str(here / "structure"), "--out", str(here / "out")),
    ]


def md_without_models(here: Path) -> list[str]:
    (here / "model").mkdir()
    (here / "model" / "type_map.json").write_text('["Li", "P", "S"]')
    return md(here)


CASES = [
    Case(
        "missing file",
        lambda here: ingest(here, "format: cp2k, path: nowhere"),
        ("nowhere",),
    ),
    Case("unreadable file", unreadable, ("frames.xyz",)),
    Case("wrong format named", wrong_format, ("frames.xyz",)),
    Case("truncated output", truncated_log, (".out",)),
    Case(
        "element outside the type map",
        lambda here: ingest(
            here,
            f"format: extxyz, path: {write_extxyz(here / 'f.xyz', frames())}, timestep_fs: 1",
            type_map="[Li, P]",
        ),
        ("S", "type_map"),
    ),
    Case("NaN in forces", lambda here: changed_npy(here, "force", first_nan), ("force", "frame")),
    Case(
        "virial in kbar",
        lambda here: changed_npy(here, "virial", lambda virial: 1602.18 * virial),
        ("virial",),
    ),
    Case("zero frames", lambda here: changed_npy(here, "coord", lambda a: a[:0]), ("frame",)),
    Case(
        "unknown recipe key",
        lambda here: ingest(here, "format: cp2k, path: x", extra="colour: blue\n"),
        ("colour: unknown key", "sources"),
    ),
    Case(
        "duplicate recipe key",
        lambda here: ingest(here, "format: cp2k, path: x", extra="type_map: [Li]\n"),
        ("duplicate key",),
    ),
    Case("negative temperature", lambda here: md(here, "-5"), ("temperatures_kelvin.0", "-5")),
    Case(
        "missing set",
        lambda here: train(here, "data: no_set\nsteps: 5\n"),
        ("no_set", "mlip ingest"),
    ),
    Case("no model directory", md, ("model", "mlip train")),
    Case("model directory without models", md_without_models, ("without models",)),
    Case(
        "unknown crystal",
        lambda here: ["build", "delta-Li3PS4", "--out", str(here / "out")],
        ("delta-Li3PS4", "beta-Li3PS4"),
    ),
    Case(
        "supercell of two numbers",
        lambda here: ["build", "beta-Li3PS4", "--supercell", "2x2", "--out", str(here / "out")],
        ("2x2x4",),
    ),
    Case("missing option", lambda here: ["build", "beta-Li3PS4"], ("--out",)),
    Case("unknown verb", lambda here: ["bake"], ("bake",)),
    Case(
        "nothing to analyse",
        lambda here: ["analyse", str(here / "nowhere"), "--out", str(here / "out")],
        ("nowhere",),
    ),
    Case(
        "nothing to report",
        lambda here: ["report", str(here / "nowhere"), "--out", str(here / "out")],
        ("nowhere",),
    ),
    Case(
        "nothing to label",
        lambda here: ["label", str(here / "nowhere.xyz"), "--out", str(here / "out")],
        ("nowhere.xyz",),
    ),
    Case(
        "nothing to validate",
        lambda here: ["validate", str(here / "nowhere"), "--data", str(here / "set")],
        ("nowhere",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_ends_with_its_code_one_message_and_no_output(case, tmp_path, capsys):
    assert main(case.arguments(tmp_path)) == case.code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    for words in case.says:
        assert words in captured.err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    "arguments",
    [
        lambda lab: ["train", str(lab / "train.yml"), "--out", str(lab / "model")],
        lambda lab: ["build", "beta-Li3PS4", "--out", str(lab / "structure")],
    ],
    ids=["train", "build"],
)
def test_another_recipe_in_a_finished_directory_is_refused(
    arguments, laboratory, tiny_model, tiny_structure, capsys
):
    command = arguments(laboratory)
    key = "steps=41" if command[0] == "train" else "supercell=[1, 1, 2]"
    before = {p: p.stat().st_mtime_ns for p in Path(command[-1]).rglob("*")}
    assert main([*command, "--set", key]) == 2
    assert key.partition("=")[0] in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in Path(command[-1]).rglob("*")} == before


def test_a_structure_with_an_element_that_the_model_does_not_know_is_refused(
    tiny_model, tiny_structure, tmp_path, capsys
):
    shutil.copytree(tiny_structure, tmp_path / "structure")
    path = tmp_path / "structure" / "structure.extxyz"
    path.write_text(path.read_text().replace("P  ", "Ge "))
    shutil.copytree(tiny_model, tmp_path / "model")
    assert main(md(tmp_path)) == 2
    assert "Ge" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_manifest_is_the_users_error_not_a_traceback(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text('{"schema": 1')
    assert main(["build", "beta-Li3PS4", "--out", str(out)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_frames_of_the_toy_run_are_accepted_unchanged(tmp_path):
    """The control: what the cases above break is good before they break it."""
    system = write_npy(tmp_path / "npy", replace(frames()))
    assert main(ingest(tmp_path, f"format: deepmd-npy, path: {system}")) == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == "complete"
