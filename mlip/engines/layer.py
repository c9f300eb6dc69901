"""One layer of the environment, and trying a program without letting it stop the others."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlip.errors import EngineError
from mlip.execution.job import Job, Progress, Resources
from mlip.execution.local import run_jobs

Status = Literal["ok", "broken", "absent", "warning"]
LIMIT_SECONDS = 180


@dataclass(frozen=True)
class Layer:
    """What was found of one thing that the program stands on.

    Attributes
    ----------
    name : str
    status : {'ok', 'broken', 'absent', 'warning'}
        'absent' also when it could not be tested because another layer is broken.
    needed : bool
        Whether training and MD on this machine need it.
    found : str
        Version, or an empty text.
    text : str
        What was tried and seen.
    repair : str
        What to type; empty if there is nothing to repair.
    """

    name: str
    status: Status
    needed: bool
    found: str
    text: str
    repair: str = ""

    @property
    def works(self) -> bool:
        """Return whether layers above may rely on it."""
        return self.status in ("ok", "warning")


@dataclass(frozen=True)
class Trial:
    """How a program that was tried ended.

    Attributes
    ----------
    ok : bool
        Exit code 0 and every promised file there.
    text : str
        All that it printed.
    """

    ok: bool
    text: str


@dataclass(frozen=True)
class Bench:
    """Where programs are tried: a temporary directory, and the token of the processes."""

    directory: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)


def attempt(
    bench: Bench,
    name: str,
    argv: Sequence[str],
    *,
    outputs: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    resources: Resources | None = None,
) -> Trial:
    """Run a program for at most `LIMIT_SECONDS`; failing is an answer, not an error.

    Raises
    ------
    InterruptedRunError
        On Ctrl-C or SIGTERM.
    """
    log = bench.directory / f"{name}.log"
    limit = ("timeout", "-k", "5", str(LIMIT_SECONDS)) if shutil.which("timeout") else ()
    job = Job(
        name=name,
        argv=(*limit, *argv),
        directory=bench.directory,
        log=log,
        outputs=tuple(outputs),
        environment=environment or {},
        resources=resources or Resources(),
    )
    try:
        (outcome,) = run_jobs([job], bench.token, show=_silent)
    except EngineError as error:
        return Trial(ok=False, text=str(error))
    text = log.read_text(errors="replace")
    if outcome.exit_code == 124:
        text += f"\n{name}: no answer within {LIMIT_SECONDS} s"
    return Trial(ok=outcome.ok, text=text)


def untested(name: str, below: Layer, *, needed: bool = True) -> Layer:
    """Return the layer that could not be tested because one below does not work."""
    return Layer(name, "absent", needed, "", f"not tested: {below.name} is {below.status}")


def last_lines(text: str, count: int = 3) -> str:
    """Return the last lines that say something, joined to one."""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-count:])


def _silent(name: str, progress: Progress) -> None:
    return
