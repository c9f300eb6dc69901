"""The command line as a stranger meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlip.cli import app, main

VERBS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)
REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_verb_of_the_flow_is_there():
    flow = {"ingest", "train", "validate", "build", "md", "analyse", "report"}
    flow |= {"label", "explore", "doctor"}
    assert set(VERBS) == flow


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_explains_every_option(verb, capsys):
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    options = re.findall(r"^  (--?[a-z][\w, -]*?)(?: <[^>]*>|  )(.*)", text, flags=re.M)
    assert options
    for line in text.splitlines():
        if line.startswith("  --"):
            assert re.search(r"(\s{2,}\S|>$)", line), f"no explanation: {line}"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["md", "--help"]])
def test_help_imports_neither_torch_nor_ase(arguments):
    code = (
        "import sys; from mlip.cli import main; main(sys.argv[1:]); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'ase', 'matplotlib', 'dpdata')))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
    assert done.returncode == 0


@pytest.mark.parametrize("verb", ["ingest", "train", "build", "md"])
def test_a_call_on_finished_work_imports_no_torch(
    verb, laboratory, tiny_set, tiny_model, tiny_structure, tiny_run
):
    md = ["md", "protocol.yml", "--model", "model", "--structure", "structure", "--out", "run"]
    commands = {
        "ingest": ["ingest", "ingest.yml", "--out", "set"],
        "train": ["train", "train.yml", "--out", "model"],
        "build": ["build", "beta-Li3PS4", "--out", "structure"],
        "md": [*md, "--accept-parity"],
    }
    code = (
        "import sys; from mlip.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *commands[verb]],
        cwd=laboratory,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout


def test_json_is_all_that_is_on_stdout(tmp_path, capsys):
    out = tmp_path / "structure"
    assert main(["build", "gamma-Li3PS4", "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["density_g_cm3"] == pytest.approx(1.934, abs=0.002)


def test_verify_makes_a_silently_damaged_file_again(tmp_path, capsys):
    out = tmp_path / "structure"
    command = ["build", "gamma-Li3PS4", "--out", str(out)]
    assert main(command) == 0
    path = out / "structure.data"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"1", b"7"))
    capsys.readouterr()
    assert main(command) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["--verify", *command]) == 0
    assert "nothing to do" not in capsys.readouterr().out
    assert path.read_bytes() == good
    assert (out / "structure.data.damaged").is_file()
    assert main(["--verify", *command]) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        "ingest {lab}/ingest.yml --out {new}",
        "train {lab}/train.yml --out {new}",
        "validate {lab}/model --data {lab}/set --out {new}",
        "build beta-Li3PS4 --supercell 2x1x1 --out {new}",
        "md {lab}/protocol.yml --model {lab}/model --structure {lab}/structure --out {new}",
        "analyse {lab}/run --out {new}",
        "report {lab}/set {lab}/model {lab}/run --out {new}",
        "label {lab}/structure --out {new}",
    ],
    ids=lambda command: command.split()[0],
)
def test_dry_run_prints_a_plan_and_writes_nothing(
    command, laboratory, tiny_run, tiny_set, tmp_path, capsys
):
    inputs = [laboratory / name for name in ("set", "model", "structure", "run")]
    before = [sorted(path.rglob("*")) for path in inputs]
    words = command.format(lab=laboratory, new=tmp_path / "new").split()
    assert main([*words, "--dry-run"]) == 0
    assert str(tmp_path / "new") in capsys.readouterr().out
    assert not (tmp_path / "new").exists()
    assert [sorted(path.rglob("*")) for path in inputs] == before


def test_analysis_and_report_of_a_run_stand_alone(laboratory, tiny_set, tiny_run, tmp_path):
    analysis, page = tmp_path / "analysis", tmp_path / "report"
    assert main(["analyse", str(tiny_run), "--out", str(analysis)]) == 0
    directories = [str(path) for path in (tiny_set, tiny_run, analysis)]
    assert main(["report", *directories, "--out", str(page)]) == 0
    html = (page / "report.html").read_text()
    assert 'src="http' not in html
    # 60 fs of a potential trained for seconds support no diffusion coefficient.
    results = json.loads((analysis / "results.json").read_text())["quantities"]
    (diffusion,) = [q for q in results if q["name"] == "diffusion_coefficient_Li"]
    assert diffusion["status"] == "unresolved"
    assert diffusion["reason"]


def test_make_targets_of_the_design_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)", makefile, flags=re.M)
    for target in phony.split():
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    assert {"doctor", "demo", "train", "validate", "md", "analyse", "report"} < set(phony.split())
