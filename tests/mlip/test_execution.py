"""The local pool and the lock, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import psutil
import pytest

from mlip.errors import EngineError, InputError, InterruptedRunError
from mlip.execution.job import Job, Progress, Resources
from mlip.execution.local import available_cores, run_job, run_jobs
from mlip.lock import locked, processes_with_token

LONG = "import time, pathlib; pathlib.Path('started').touch(); time.sleep(600)"


# It needs a second to end, as an engine that writes a last file does.
SLOW_TO_END = (
    "import signal, sys, time; "
    "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit())); " + LONG
)


def python_job(tmp_path, code, name="job", **options):
    return Job(
        name=name,
        argv=(sys.executable, "-c", code),
        directory=tmp_path,
        log=tmp_path / f"{name}.log",
        **options,
    )


def wait_for(path: Path, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


def test_a_job_that_promises_a_file_and_makes_none_has_failed(tmp_path):
    job = python_job(tmp_path, "print('all fine')", outputs=(tmp_path / "result",))
    with pytest.raises(EngineError, match="without result"):
        run_job(job, uuid.uuid4().hex)


def test_a_failure_shows_cause_log_and_exit_code(tmp_path):
    job = python_job(
        tmp_path,
        "import sys; print('ERROR: no fuel'); sys.exit(7)",
        explain=lambda tail: "Refuel." if "no fuel" in tail else "",
    )
    with pytest.raises(EngineError, match=r"exit code 7\. Refuel\.") as caught:
        run_job(job, uuid.uuid4().hex)
    assert "job.log" in str(caught.value)
    assert "no fuel" in str(caught.value)


def test_what_an_earlier_attempt_logged_does_not_explain_a_failure(tmp_path):
    (tmp_path / "job.log").write_text("ERROR: no fuel\n")
    job = python_job(
        tmp_path,
        "import sys; print('a wheel came off'); sys.exit(3)",
        explain=lambda tail: "Refuel." if "no fuel" in tail else "",
    )
    with pytest.raises(EngineError) as caught:
        run_job(job, uuid.uuid4().hex)
    assert "a wheel came off" in str(caught.value)
    assert "fuel" not in str(caught.value).lower()
    assert (tmp_path / "job.log").read_text().startswith("ERROR: no fuel")


def test_one_failed_job_does_not_lose_the_others(tmp_path):
    jobs = [
        python_job(tmp_path, "raise SystemExit(3)", name="bad"),
        python_job(tmp_path, "open('good.txt', 'w').write('x')", name="good"),
    ]
    bad, good = run_jobs(jobs, uuid.uuid4().hex)
    assert not bad.ok
    assert good.ok
    assert (tmp_path / "good.txt").read_text() == "x"


def test_jobs_wait_for_free_cores(tmp_path):
    cores = len(os.sched_getaffinity(0))
    code = (
        "import os, time; open(f'{NAME}.start', 'w').write(str(time.time())); "
        "time.sleep(0.5); open(f'{NAME}.end', 'w').write(str(time.time()))"
    )
    jobs = [
        python_job(
            tmp_path,
            code.replace("{NAME}", name),
            name=name,
            resources=Resources(threads=cores),
        )
        for name in ("first", "second")
    ]
    run_jobs(jobs, uuid.uuid4().hex)
    first_end = float((tmp_path / "first.end").read_text())
    second_start = float((tmp_path / "second.start").read_text())
    assert second_start >= first_end


def test_a_job_continues_from_its_checkpoint(tmp_path):
    (tmp_path / "checkpoint").touch()
    job = python_job(
        tmp_path,
        "raise SystemExit('started anew')",
        checkpoint=tmp_path / "checkpoint",
        resume_argv=(sys.executable, "-c", "print('continued')"),
    )
    assert run_job(job, uuid.uuid4().hex).ok
    assert "continued" in (tmp_path / "job.log").read_text()


def test_progress_is_asked_while_the_job_runs(tmp_path):
    shown = []
    job = python_job(
        tmp_path, "import time; time.sleep(0.6)", progress=lambda: Progress(1, 2, "step")
    )
    run_job(job, uuid.uuid4().hex, show=lambda name, progress: shown.append((name, progress)))
    assert shown[0] == ("job", Progress(1, 2, "step"))


def test_sigterm_ends_the_engine_behind_a_wrapper_and_says_resumable(tmp_path):
    token = uuid.uuid4().hex
    wrapper = f"import subprocess, sys; subprocess.call([sys.executable, '-c', {LONG!r}])"

    def stop():
        wait_for(tmp_path / "started")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(InterruptedRunError, match="resumes"):
        run_job(python_job(tmp_path, wrapper), token)
    thread.join()
    assert processes_with_token(token) == []


def test_a_job_that_is_a_pool_itself_ends_its_own_engines_first(tmp_path):
    outer, inner = uuid.uuid4().hex, uuid.uuid4().hex
    code = f"""
import sys
from pathlib import Path
from mlip.errors import InterruptedRunError
from mlip.execution.job import Job
from mlip.execution.local import run_job
here = Path.cwd()
argv = (sys.executable, "-c", {SLOW_TO_END!r})
try:
    run_job(Job("engine", argv, here, here / "engine.log"), {inner!r})
except InterruptedRunError:
    Path("tidied").touch()
"""

    def stop():
        wait_for(tmp_path / "started")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(InterruptedRunError):
        run_job(python_job(tmp_path, code), outer)
    thread.join()
    assert (tmp_path / "tidied").is_file()
    assert processes_with_token(inner) == []


@pytest.mark.parametrize(("limit", "cores"), [("1", 1), ("999", None), ("", None), ("0", 1)])
def test_the_environment_limits_the_cores_and_never_to_none(monkeypatch, limit, cores):
    monkeypatch.setenv("LIPS_MLIP_CORES", limit)
    assert available_cores() == (cores or len(os.sched_getaffinity(0)))


def test_a_live_owner_is_refused(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="is working here"), locked(tmp_path):
        pass


def test_an_orphaned_engine_is_ended_before_resuming(tmp_path):
    owner = (
        "import sys, pathlib, uuid\n"
        "from mlip.lock import locked\n"
        "from mlip.execution.local import run_job\n"
        "from mlip.execution.job import Job\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "with locked(here) as lock:\n"
        f"    run_job(Job('engine', (sys.executable, '-c', {LONG!r}), here, here / 'log'),"
        " lock.token)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", owner, str(tmp_path)])
    wait_for(tmp_path / "started")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with locked(tmp_path) as lock:
        assert len(lock.ended) == 1
        assert not psutil.pid_exists(lock.ended[0])
