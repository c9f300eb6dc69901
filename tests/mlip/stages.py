"""Starting `mlip` as a process of its own and killing it at a named stage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

from mlip.lock import TOKEN_VARIABLE


def mlip_process(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start the command line as a separate process."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlip.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_when(
    process: subprocess.Popen[bytes],
    reached: Callable[[], bool],
    *,
    engine_too: bool,
    seconds: float = 240.0,
) -> None:
    """SIGKILL `mlip` (and its engines) once `reached`; it may not end before."""
    end = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, f"mlip ended with {process.returncode} before the stage"
        assert time.monotonic() < end, "the stage was not reached"
        time.sleep(0.02)
    engines = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert engines, "no engine was running"
    assert any(_carries_token(engine) for engine in engines), "an orphan must be left"
    if engine_too:
        for engine in engines:
            if engine.is_running():
                engine.kill()


def engine_log_starts(log: str) -> int:
    """Count how often DeePMD-kit started in a training log."""
    return log.count("Start to train")


def _carries_token(engine: psutil.Process) -> bool:
    try:
        return TOKEN_VARIABLE in engine.environ()
    except psutil.Error:
        return False
