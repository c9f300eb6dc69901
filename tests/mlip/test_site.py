"""The site file: what it changes in how LAMMPS starts, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from mlip.doctor.site import check_site
from mlip.engines import lammps_start as start
from mlip.engines.lammps import lammps_job, lammps_words, lmp_command, setup_lines
from mlip.engines.lammps_start import without_script
from mlip.errors import EngineError, InputError, RecipeError
from mlip.execution.job import Resources
from mlip.execution.local import run_job
from mlip.execution.speed import remember_record
from mlip.recipes.site import Site, read_site, site_file


@pytest.fixture(autouse=True)
def no_site(tmp_path, monkeypatch):
    for name in ("LIPS_MLIP_SITE", "LIPS_MLIP_LAMMPS", "LIPS_MLIP_MPIEXEC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def site(tmp_path, monkeypatch):
    def write(text: str):
        path = tmp_path / "site.yml"
        path.write_text(text)
        monkeypatch.setenv("LIPS_MLIP_SITE", str(path))
        return path

    return write


def test_without_a_site_file_all_is_as_installed():
    assert site_file() is None
    assert read_site() == Site()
    assert lammps_words(Resources(), ["-h"]) == (*without_script(lmp_command()), "-h")
    assert check_site().status == "absent"


def test_the_user_s_own_file_is_found_and_the_named_one_goes_before_it(tmp_path, site):
    own = tmp_path / "config" / "lips-mlip" / "site.yml"
    own.parent.mkdir(parents=True)
    own.write_text("ranks: 3\n")
    named = site("ranks: 5\n")
    assert site_file() == named
    assert read_site().ranks == 5


def test_the_user_s_own_file_is_used_where_none_is_named(tmp_path):
    own = tmp_path / "config" / "lips-mlip" / "site.yml"
    own.parent.mkdir(parents=True)
    own.write_text("ranks: 3\n")
    assert read_site().ranks == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lammps: lmp\n", "lammps: unknown key"),
        ("launcher: [srun, -n, '4']\n", "{ranks}"),
        ("launcher: srun -n 4\n", "expected a list"),
        ("threads: 2\n", "set both"),
        ("ranks: 0\n", "ranks"),
        ("ranks: 1\nranks: 2\n", "ranks"),
    ],
)
def test_a_wrong_key_is_refused_with_file_and_key(site, text, words):
    path = site(text)
    with pytest.raises(RecipeError) as caught:
        read_site()
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    layer = check_site()
    assert (layer.status, layer.needed) == ("broken", True)
    assert words in layer.text


def test_a_named_file_that_is_missing_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("LIPS_MLIP_SITE", str(tmp_path / "none.yml"))
    with pytest.raises(InputError, match=r"none\.yml"):
        read_site()


def test_a_launcher_gets_ranks_and_threads_also_for_one_rank(site):
    site("launcher: [srun, -n, '{ranks}', '--cpus-per-task={threads}']\nlammps_command: [sh, -x]\n")
    words = lammps_words(Resources(ranks=4, threads=2), ["-in", "x"])
    assert words[:4] == ("srun", "-n", "4", "--cpus-per-task=2")
    assert words[-3:] == ("-x", "-in", "x")
    assert lammps_words(Resources(), [])[:3] == ("srun", "-n", "1")


def test_the_environment_goes_before_the_site_file(site, monkeypatch):
    site("lammps_command: [sh]\n")
    monkeypatch.setenv("LIPS_MLIP_LAMMPS", "true")
    assert lmp_command()[0].endswith("/true")


def test_the_engine_is_started_with_what_its_console_script_sets(monkeypatch, tmp_path):
    script = lmp_command()
    assert script == (str(Path(sys.prefix) / "bin" / "lmp"),)
    words = without_script(script)
    assert not {script[0], sys.executable} & set(words)
    show = tmp_path / "show.py"
    show.write_text("import os\nfor name in sorted(os.environ): print(name, os.environ[name])\n")
    # What the engine finds around it: of the script, its binary replaced, and of our words.
    ask = "import sys; from lammps import executable as e; e._program = lambda _, words: "
    ask += "e.subprocess.call([sys.executable, *words]); e.lmp()"
    old = subprocess.run([sys.executable, "-c", ask, show], capture_output=True, text=True)
    new = subprocess.run([*words[:-1], sys.executable, show], capture_output=True, text=True)
    assert "LAMMPS_PLUGIN_PATH" in new.stdout
    assert new.stdout == old.stdout
    assert without_script(("/usr/bin/lmp",)) == ("/usr/bin/lmp",)

    monkeypatch.setenv("LAMMPS_PLUGIN_PATH", "/mine")
    assert any(re.fullmatch("LAMMPS_PLUGIN_PATH=.+:/mine", word) for word in without_script(script))


def test_what_the_script_sets_is_asked_once_and_a_program_that_is_gone_is_not_started(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "lips-mlip" / "lammps.json"

    def words() -> tuple[str, ...]:
        start._asked.cache_clear()  # as a new process
        return without_script(lmp_command())

    first = words()
    (key,) = json.loads(kept.read_text())
    # A mark that only what is kept can have.
    remember_record(start.STORE, key, {"words": ["MARK=1", *first[1:]]})
    assert words() == (first[0], "MARK=1", *first[1:])
    remember_record(start.STORE, key, {"words": [*first[1:-1], f"{first[-1]}.gone"]})
    assert words() == first
    monkeypatch.setattr(start, "version", lambda package: "9.9")
    assert words() == first
    assert len(json.loads(kept.read_text())) == 2
    start._asked.cache_clear()


def test_a_program_that_is_not_there_is_named_with_its_file(site):
    path = site("lammps_command: [no-such-lmp]\n")
    with pytest.raises(EngineError, match="no-such-lmp") as caught:
        lmp_command()
    assert str(path) in str(caught.value)


def test_the_real_engine_runs_behind_a_prologue_and_sees_what_it_set(site, tmp_path):
    real = lmp_command()[0]
    site(f"prologue: ['export SITE_ATOMS=7', 'lmp_here={real}']\nlammps_command: [{real}]\n")
    script = tmp_path / "in.lmp"
    lines = [*setup_lines(1.0), "variable n getenv SITE_ATOMS", 'print "atoms ${n}" file seen']
    script.write_text("\n".join(lines) + "\n")
    job = lammps_job(
        "site",
        tmp_path,
        script,
        tmp_path / "log.lammps",
        resources=Resources(),
        outputs=[tmp_path / "seen"],
    )
    run_job(job, uuid.uuid4().hex)
    assert (tmp_path / "seen").read_text().strip() == "atoms 7"
    assert "export SITE_ATOMS=7" in check_site().text


def test_a_prologue_that_does_not_load_the_program_fails_with_the_shell_s_words(site, tmp_path):
    site("prologue: [': nothing']\nlammps_command: [lmp-of-a-module]\n")
    script = tmp_path / "in.lmp"
    script.write_text("print hello\n")
    job = lammps_job("site", tmp_path, script, tmp_path / "log", resources=Resources())
    with pytest.raises(EngineError, match="lmp-of-a-module"):
        run_job(job, uuid.uuid4().hex)
