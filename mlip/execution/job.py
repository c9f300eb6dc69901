"""What one engine call is: enough for the local pool, and for a scheduler, to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Resources:
    """What a job occupies while it runs.

    Attributes
    ----------
    ranks : int
        MPI ranks.
    threads : int
        Threads per rank.
    gpus : int
        Graphics cards.
    """

    ranks: int = 1
    threads: int = 1
    gpus: int = 0

    @property
    def cores(self) -> int:
        """Return the number of processor cores."""
        return self.ranks * self.threads


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    done, total : float
        In `unit`.
    unit : str
        For example 'step'.
    text : str
        Short extra information, for example the loss.
    """

    done: float
    total: float
    unit: str = "step"
    text: str = ""


@dataclass(frozen=True)
class Job:
    """One engine call.

    Attributes
    ----------
    name : str
        Short, unique within a pool; shown in progress and errors.
    argv : tuple of str
        Program and arguments; the program is an absolute path.
    directory : Path
        Working directory.
    log : Path
        Receives standard output and error, appended.
    outputs : tuple of Path
        Files that must exist and not be empty afterwards, or the job counts as failed.
    inputs : tuple of Path
        Files that must exist before.
    environment : mapping
        Added to the present environment.
    resources : Resources
        What it occupies.
    checkpoint : Path, optional
        If this file exists, `resume_argv` is run instead of `argv`.
    resume_argv : tuple of str
        Program and arguments that continue from the checkpoint.
    progress : callable, optional
        Returns a `Progress`, or None while nothing is known yet; called while the job runs.
    explain : callable, optional
        Given the end of the log, returns the cause of a failure and its remedy in words.
    """

    name: str
    argv: tuple[str, ...]
    directory: Path
    log: Path
    outputs: tuple[Path, ...] = ()
    inputs: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    checkpoint: Path | None = None
    resume_argv: tuple[str, ...] = ()
    progress: Callable[[], Progress | None] | None = None
    explain: Callable[[str], str] | None = None

    def command(self) -> tuple[str, ...]:
        """Return the command to run now: from the checkpoint if there is one."""
        if self.checkpoint is not None and self.checkpoint.is_file():
            return self.resume_argv
        return self.argv


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes
    ----------
    job : Job
    exit_code : int
        Of the process; negative for a signal.
    seconds : float
        Wall time.
    failure : str
        Empty on success, else what went wrong and what to do.
    """

    job: Job
    exit_code: int
    seconds: float
    failure: str

    @property
    def ok(self) -> bool:
        """Return whether the job did what it promised."""
        return not self.failure
