"""Error against the amount of data, with the real engine: files, nesting, resume."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

from mlip.cli import main
from mlip.manifest import read_manifest
from mlip.training.sets import frame_rows, split_systems, system_size
from mlip.training.subsets import write_subset

RECIPE = """
data: set
steps: 10
committee_size: 2
descriptor: {cutoff_angstrom: 4.0, embedding_neurons: [4, 8], axis_neurons: 2}
fitting_neurons: [8, 8]
checkpoint_every_steps: 10
report_every_steps: 5
learning_curve: {fractions: [0.5, 1.0], resamples: 200}
"""


def coordinates(data, split):
    parts = sorted((data / split).glob("*/set.*/coord.npy"))
    return {row.tobytes() for part in parts for row in np.load(part)}


def test_a_part_is_a_set_whose_frames_are_of_the_whole(tiny_set, tmp_path):
    write_subset(tiny_set, 0.25, tmp_path / "quarter")
    write_subset(tiny_set, 0.5, tmp_path / "half")
    quarter, half, whole = (
        coordinates(data, "train") for data in (tmp_path / "quarter", tmp_path / "half", tiny_set)
    )
    assert quarter < half < whole
    frames, atoms = system_size(split_systems(tiny_set, "train")[0])
    assert system_size(split_systems(tmp_path / "half", "train")[0]) == (round(frames / 2), atoms)
    rows = [row.row for row in frame_rows(tmp_path / "half")]
    assert rows == list(range(round(frames / 2)))
    assert read_manifest(tmp_path / "half").summary["train_frames"] == len(rows)


def test_without_test_frames_there_is_nothing_to_measure(tiny_set, laboratory, tmp_path, capsys):
    shutil.copytree(tiny_set, tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "test")
    (tmp_path / "curve.yml").write_text(RECIPE)
    command = ["train", str(tmp_path / "curve.yml"), "--out", str(tmp_path / "curve")]
    assert main([*command, "--learning-curve"]) == 2
    assert "no test systems" in capsys.readouterr().err


@pytest.mark.slow
def test_a_learning_curve_is_measured_once_and_resumed(tiny_set, laboratory, one_core, capsys):
    recipe = laboratory / "curve.yml"
    recipe.write_text(RECIPE)
    out = laboratory / "curve"
    command = ["train", str(recipe), "--out", str(out), "--learning-curve"]
    assert main([*command, "--dry-run"]) == 0
    assert not out.exists()
    assert main(command) == 0
    with (out / "learning_curve.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    frames = sorted({int(row["train_frames"]) for row in rows})
    assert frames == [frames[-1] // 2, frames[-1]]
    assert {row["species"] for row in rows} == {"all", "Li", "P", "S"}
    for row in rows:
        low, value, high = (
            float(row[f"force_rmse{end}_mev_per_angstrom"]) for end in ("_low", "", "_high")
        )
        assert 0.0 < low <= high
        assert value > 0.0
    assert (out / "learning_curve.png").stat().st_size > 10_000
    # A lost table is made again from the parts, which are not trained again.
    model = out / "fraction_0.5" / "model" / "model_0.pth"
    before = model.stat().st_mtime_ns
    (out / "learning_curve.csv").unlink()
    assert main(command) == 0
    assert model.stat().st_mtime_ns == before
    assert (out / "learning_curve.csv").is_file()
    capsys.readouterr()
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
