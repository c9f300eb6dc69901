"""Training with the real engine: files, gates, resume, and what may not happen twice."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
from stages import engine_log_starts, kill_when, mlip_process

from mlip.cli import main
from mlip.engines.deepmd_train import last_checkpoint, read_learning_curve, training_progress
from mlip.manifest import read_manifest
from mlip.training.members import finished_members


def test_a_committee_has_all_promised_files(tiny_model):
    names = {path.name for path in tiny_model.iterdir()}
    assert {"model_0.pth", "model_1.pth", "compressed_0.pth", "compressed_1.pth"} <= names
    assert json.loads((tiny_model / "type_map.json").read_text()) == ["Li", "P", "S"]
    manifest = read_manifest(tiny_model)
    assert manifest.status == "complete"
    assert manifest.seeds == {"member_0": 1, "member_1": 2}
    assert [attempt.exit_code for attempt in manifest.attempts] == [0]


def test_members_differ(tiny_model):
    first, second = (
        read_learning_curve(tiny_model / f"member_{n}" / "lcurve.out")[-1]["rmse_f_trn"]
        for n in (0, 1)
    )
    assert first != second


def test_a_second_call_starts_no_engine(tiny_model, laboratory, capsys):
    before = (tiny_model / "manifest.json").read_bytes()
    assert main(["train", str(laboratory / "train.yml"), "--out", str(tiny_model)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (tiny_model / "manifest.json").read_bytes() == before


def test_a_torn_model_is_made_again(tiny_model, laboratory):
    out = laboratory / "model_with_a_torn_file"
    shutil.copytree(tiny_model, out)
    torn = out / "compressed_1.pth"
    size = torn.stat().st_size
    torn.write_bytes(torn.read_bytes()[:1000])
    assert main(["train", str(laboratory / "train.yml"), "--out", str(out)]) == 0
    assert torn.stat().st_size == read_manifest(out).outputs["compressed_1.pth"].bytes == size


def test_a_failed_certificate_stops_training_unless_accepted(tiny_set, laboratory, tmp_path):
    shutil.copytree(tiny_set, tmp_path / "set")
    path = tmp_path / "set" / "certificate.json"
    certificate = json.loads(path.read_text())
    path.write_text(json.dumps({**certificate, "verdict": "fail"}))
    shutil.copy(laboratory / "train.yml", tmp_path)
    command = ["train", str(tmp_path / "train.yml"), "--out", str(tmp_path / "model")]
    assert main(command) == 3
    assert not (tmp_path / "model").exists()
    assert main([*command, "--dry-run"]) == 0


def test_too_few_neighbours_are_refused(tiny_set, laboratory, tmp_path, capsys):
    command = ["train", str(laboratory / "train.yml"), "--out", str(tmp_path / "model")]
    setting = "descriptor.maximum_neighbours={Li: 1, P: 1, S: 1}"
    assert main([*command, "--set", setting]) == 2
    assert "the data has up to" in capsys.readouterr().err


def test_a_torn_checkpoint_is_passed_over(tiny_model, tmp_path):
    whole = tiny_model / "member_0" / "model.ckpt-40.pt"
    shutil.copy(whole, tmp_path / "model.ckpt-20.pt")
    (tmp_path / "model.ckpt-40.pt").write_bytes(whole.read_bytes()[:1000])
    assert last_checkpoint(tmp_path) == tmp_path / "model.ckpt-20.pt"


def test_progress_reads_the_end_of_a_long_curve_and_passes_over_a_torn_line(tmp_path):
    header = "#  step  rmse_trn  rmse_f_trn  lr\n"
    rows = "".join(f"{step:6d} 1.0e+00 {step / 1e6:.3e} 1.0e-03\n" for step in range(1, 3001))
    (tmp_path / "lcurve.out").write_text(header + rows + "  3001 1.0e")
    found = training_progress(tmp_path, 9000)
    assert (found.done, found.total) == (3000, 9000)
    assert found.text == "force 3 meV/Å (last batch)"
    assert len(read_learning_curve(tmp_path / "lcurve.out")) == 3000


def test_one_failed_member_does_not_lose_the_others(tiny_model, laboratory, tmp_path, capsys):
    out = laboratory / "model_with_a_failed_member"
    shutil.copytree(tiny_model, out)
    for name in ("model_0.pth", "model_1.pth", "compressed_0.pth", "compressed_1.pth"):
        (out / name).unlink()
    last = out / "member_1" / "model.ckpt-40.pt"
    last.rename(tmp_path / last.name)
    # An archive that is whole, so it counts as a checkpoint, with nothing in it to train on.
    broken = out / "member_1" / "model.ckpt-20.pt"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("nothing", "")
    command = ["train", str(laboratory / "train.yml"), "--out", str(out)]
    assert main(command) == 4
    told = capsys.readouterr().err
    assert "1 of 2 members are trained and kept" in told
    assert "train member 1" in told
    assert (out / "model_0.pth").is_file()
    assert not (out / "model_1.pth").exists()
    (tmp_path / last.name).rename(last)
    assert main(command) == 0
    assert (out / "model_1.pth").is_file()
    assert read_manifest(out).status == "complete"


@pytest.mark.slow
def test_a_member_that_cannot_be_frozen_does_not_lose_the_others(tiny_model, tmp_path):
    out = tmp_path / "model"
    shutil.copytree(tiny_model, out)
    for name in ("model_0.pth", "model_1.pth"):
        (out / name).unlink()
    broken = out / "member_1" / "model.ckpt-40.pt"
    broken.write_bytes(b"torn")
    members = [out / "member_0", out / "member_1"]
    made, failures = finished_members(members, 40, None, ["", ""], "test")
    assert made == [out / "model_0.pth"]
    assert made[0].read_bytes() == (tiny_model / "model_0.pth").read_bytes()
    assert not failures[0]
    assert "freeze member 1" in failures[1]
    assert not (out / "model_1.pth").exists()


def test_kill_during_training_then_the_same_command_resumes(tiny_set, laboratory, tmp_path):
    recipe = laboratory / "train_long.yml"
    recipe.write_text(
        (laboratory / "train.yml")
        .read_text()
        .replace("steps: 40", "steps: 400")
        .replace("committee_size: 2", "committee_size: 1\ncompress: false")
    )
    out = tmp_path / "model"
    command = ["train", str(recipe), "--out", str(out)]
    kill_when(
        mlip_process(command),
        lambda: last_checkpoint(out / "member_0") is not None,
        engine_too=False,
    )
    assert read_manifest(out).status == "running"
    assert main(command) == 0
    manifest = read_manifest(out)
    assert manifest.status == "complete"
    assert len(manifest.attempts) == 2
    assert manifest.attempts[0].exit_code is None
    log = (out / "member_0" / "train.log").read_text()
    assert engine_log_starts(log) == 2
    steps = [row["step"] for row in read_learning_curve(out / "member_0" / "lcurve.out")]
    assert steps[-1] == 400
    assert np.all(np.diff(steps) > 0)
