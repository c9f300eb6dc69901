"""The local pool: jobs side by side as far as cores and graphics cards allow.

Every job is a process group of its own and carries the lock token of its directory, so
that Ctrl-C, SIGTERM and a later resume reach the engine behind any wrapper or launcher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mlip.errors import EngineError, InterruptedRunError
from mlip.execution.job import Job, Outcome
from mlip.execution.progress import Reporter, reporter
from mlip.lock import TOKEN_VARIABLE, end_processes

POLL_SECONDS = 0.2
LOG_TAIL_BYTES = 20_000
CORES_VARIABLE = "LIPS_MLIP_CORES"


@dataclass(frozen=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    began: float
    devices: tuple[int, ...]
    log_start: int


def available_cores() -> int:
    """Return the number of cores that this process may use; ``LIPS_MLIP_CORES`` limits them."""
    allowed = len(os.sched_getaffinity(0))
    limit = os.environ.get(CORES_VARIABLE, "")
    return max(1, min(allowed, int(limit))) if limit.isdigit() else allowed


def visible_gpus() -> tuple[int, ...]:
    """Return the indices of the NVIDIA cards that jobs may use, without importing torch.

    ``CUDA_VISIBLE_DEVICES`` limits them; ``DEVICE=cpu`` hides them all.
    """
    if os.environ.get("DEVICE") == "cpu":
        return ()
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    present = tuple(int(line) for line in listing.split())
    limit = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limit is None:
        return present
    chosen = [part.strip() for part in limit.split(",")]
    return tuple(int(part) for part in chosen if part.isdigit() and int(part) in present)


def run_jobs(
    jobs: Sequence[Job],
    token: str,
    *,
    show: Reporter | None = None,
    ended: Callable[[Job, Outcome], Job | None] | None = None,
) -> list[Outcome]:
    """Run jobs to their end; one that fails does not stop the others.

    Parameters
    ----------
    jobs : sequence of Job
        They start in this order as soon as their resources are free.
    token : str
        Lock token of the directory that they work for.
    show : Reporter, optional
        Where progress goes; standard error by default.
    ended : callable, optional
        Called as each job ends; a job that it returns is run next. An error that it raises
        ends the other jobs.

    Returns
    -------
    list of Outcome
        In the order of `jobs`, without those that `ended` added.

    Raises
    ------
    InterruptedRunError
        On Ctrl-C or SIGTERM, after every engine has ended.
    """
    if show is None:
        with reporter() as default:
            return run_jobs(jobs, token, show=default, ended=ended)
    waiting = list(jobs)
    running: list[_Running] = []
    outcomes: dict[str, Outcome] = {}
    cores, gpus = available_cores(), visible_gpus()
    try:
        with _sigterm_interrupts():
            while waiting or running:
                for job in list(waiting):
                    busy_cores = sum(entry.job.resources.cores for entry in running)
                    busy_gpus = {device for entry in running for device in entry.devices}
                    free = [device for device in gpus if device not in busy_gpus]
                    fits = busy_cores + job.resources.cores <= cores or not running
                    if not fits or len(free) < min(job.resources.gpus, len(gpus)):
                        break
                    waiting.remove(job)
                    devices = tuple(free[: job.resources.gpus])
                    running.append(_start(job, token, devices))
                time.sleep(POLL_SECONDS)
                for entry in list(running):
                    if entry.job.progress is not None and (now := entry.job.progress()):
                        show(entry.job.name, now)
                    if entry.process.poll() is not None:
                        running.remove(entry)
                        outcomes[entry.job.name] = _outcome(entry)
                        if ended and (more := ended(entry.job, outcomes[entry.job.name])):
                            waiting.insert(0, more)
    except KeyboardInterrupt as error:
        for entry in running:
            _signal_group(entry.process, signal.SIGTERM)
        # A job may have engines of its own to end first.
        _wait(running, seconds=10.0)
        end_processes(token)
        _wait(running)
        raise InterruptedRunError("Interrupted. The same command resumes.") from error
    except BaseException:
        end_processes(token)
        raise
    return [outcomes[job.name] for job in jobs]


def run_job(job: Job, token: str, *, show: Reporter | None = None) -> Outcome:
    """Run one job; see `run_jobs`.

    Raises
    ------
    EngineError
        If it failed, with the cause, the remedy and the log's name.
    InterruptedRunError
        On Ctrl-C or SIGTERM.
    """
    (outcome,) = run_jobs([job], token, show=show)
    if not outcome.ok:
        raise EngineError(outcome.failure)
    return outcome


def log_tail(path: Path, start: int = 0) -> str:
    """Return the end of a log file, of what was written after the first `start` bytes."""
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        handle.seek(max(start, path.stat().st_size - LOG_TAIL_BYTES))
        return handle.read().decode(errors="replace")


def _start(job: Job, token: str, devices: tuple[int, ...]) -> _Running:
    absent = [str(path) for path in job.inputs if not path.is_file()]
    if absent:
        raise EngineError(f"{job.name}: input {', '.join(absent)} is missing.")
    job.directory.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **_thread_variables(job), **job.environment}
    environment[TOKEN_VARIABLE] = token
    if job.resources.gpus and devices:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, devices))
    with job.log.open("ab") as log:
        # What an earlier attempt said must not explain how this one ends.
        written = log.tell()
        try:
            process = subprocess.Popen(
                job.command(),
                cwd=job.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(
                f"{job.name}: cannot start {job.command()[0]} ({error.strerror}). Try: mlip doctor"
            ) from error
    return _Running(job, process, time.monotonic(), devices, written)


def _thread_variables(job: Job) -> Mapping[str, str]:
    threads = str(job.resources.threads)
    return {
        "OMP_NUM_THREADS": threads,
        "DP_INTRA_OP_PARALLELISM_THREADS": threads,
        "DP_INTER_OP_PARALLELISM_THREADS": "1",
        # Spinning threads cost a factor of fifty where another job shares the cores.
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _outcome(entry: _Running) -> Outcome:
    job = entry.job
    seconds = time.monotonic() - entry.began
    code = entry.process.returncode
    absent = [p.name for p in job.outputs if not p.is_file() or p.stat().st_size == 0]
    failure = ""
    if code != 0 or absent:
        tail = log_tail(job.log, entry.log_start)
        cause = job.explain(tail) if job.explain else ""
        what = f"ended with {_exit_words(code)}"
        if absent:
            what += f" without {', '.join(absent)}"
        last = "\n".join(f"    {line}" for line in tail.splitlines()[-4:])
        reason = f" {cause}" if cause else ""
        failure = f"{job.name}: {what}.{reason}\n  Log: {job.log}\n{last}"
    return Outcome(job=job, exit_code=code, seconds=seconds, failure=failure)


def _exit_words(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _wait(running: Sequence[_Running], seconds: float | None = None) -> None:
    """Wait for processes to end, for so many seconds altogether at most."""
    until = None if seconds is None else time.monotonic() + seconds
    for entry in running:
        try:
            entry.process.wait(None if until is None else max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread: the caller owns the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
