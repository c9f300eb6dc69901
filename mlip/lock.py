"""One owner a directory; engines orphaned by a killed owner are ended before resuming.

The kernel's file lock says whether the owner lives (it goes with the process, however
that dies). The file's content says who it is, and carries a token that every engine
process inherits in its environment, so that orphans are found even after their parent,
their process group leader or their MPI launcher is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from mlip.errors import InputError

NAME = "lock"
TOKEN_VARIABLE = "LIPS_MLIP_JOB"
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Lock:
    """A held lock.

    Attributes
    ----------
    token : str
        Goes into the environment variable `TOKEN_VARIABLE` of every engine process.
    ended : tuple of int
        Process ids of engines left by an earlier owner that were ended.
    """

    token: str
    ended: tuple[int, ...]


def processes_with_token(token: str) -> list[psutil.Process]:
    """Return the live processes of this user whose environment carries `token`."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(TOKEN_VARIABLE) == token
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_processes(token: str) -> tuple[int, ...]:
    """End every process that carries `token`: SIGTERM, then SIGKILL; return their ids."""
    processes = processes_with_token(token)
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return tuple(process.pid for process in processes)


@contextmanager
def locked(directory: Path) -> Iterator[Lock]:
    """Hold the lock of a directory.

    Raises
    ------
    InputError
        If a live process of this host, or any process of another host, holds it.
    """
    path = directory / NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        holder = _read(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{directory}: process {holder.get('pid', '?')} on {holder.get('host', '?')} "
                "is working here. Wait for it, or stop it (Ctrl-C leaves it resumable)."
            ) from error
        if not path.exists() or path.stat().st_ino != os.fstat(descriptor).st_ino:
            raise InputError(f"{directory}: another mlip has just ended here. Type it again.")
        holder = _read(descriptor)
        if holder and holder["host"] != socket.gethostname():
            raise InputError(
                f"{directory}: locked by process {holder['pid']} on {holder['host']}, which cannot "
                f"be checked from {socket.gethostname()}. If nothing runs there any more: rm {path}"
            )
        ended = end_processes(holder["token"]) if holder else ()
        token = uuid.uuid4().hex
        content = {"host": socket.gethostname(), "pid": os.getpid(), "token": token}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(content).encode(), 0)
        os.fsync(descriptor)
        try:
            yield Lock(token=token, ended=ended)
        finally:
            end_processes(token)
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> dict[str, str]:
    text = os.pread(descriptor, 4096, 0).decode(errors="replace")
    try:
        content = json.loads(text) if text else {}
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
