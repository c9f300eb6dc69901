"""The members of a committee: trained side by side, then frozen and compressed in a row."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mlip.engines.deepmd import in_one_process
from mlip.engines.deepmd_train import (
    checkpoint_step,
    compress_job,
    freeze_job,
    last_checkpoint,
    train_job,
)
from mlip.errors import EngineError
from mlip.execution.job import Job, Resources
from mlip.execution.local import run_job, run_jobs
from mlip.execution.progress import tell
from mlip.files import replacing
from mlip.training.starting import StartingPoint


@dataclass(frozen=True)
class Trained:
    """How the training of all members ended.

    Attributes
    ----------
    failures : tuple of str
        One text a member, empty if it is trained.
    speeds : tuple of (int, float)
        Steps made now, and the seconds that they took, of each member that was trained now.
    """

    failures: tuple[str, ...]
    speeds: tuple[tuple[int, float], ...]


def train_members(
    members: Sequence[Path],
    steps: int,
    resources: Resources,
    start: StartingPoint | None,
    token: str,
) -> Trained:
    """Train what is not trained yet; one member that fails does not stop the others.

    Parameters
    ----------
    members : sequence of Path
        Directories with ``input.json``.
    steps : int
        As in the inputs.
    resources : Resources
        Of each member.
    start : StartingPoint or None
        First weights of a member without a checkpoint.
    token : str
        Lock token of the model directory.
    """
    jobs: dict[int, Job] = {}
    before: dict[int, int] = {}
    for n, member in enumerate(members):
        checkpoint = last_checkpoint(member)
        before[n] = checkpoint_step(checkpoint) if checkpoint is not None else 0
        if before[n] == steps:
            continue
        if checkpoint is not None:
            tell(f"member {n}: continues from {checkpoint.name}.")
        first = start.of(n) if start is not None else None
        jobs[n] = train_job(f"train member {n}", member, steps, resources, start=first)
    outcomes = dict(zip(jobs, run_jobs(list(jobs.values()), token), strict=True))
    return Trained(
        tuple(outcomes[n].failure if n in outcomes else "" for n in range(len(members))),
        tuple(
            (steps - before[n], outcome.seconds) for n, outcome in outcomes.items() if outcome.ok
        ),
    )


def finished_members(
    members: Sequence[Path],
    steps: int,
    script: Path | None,
    failures: Sequence[str],
    token: str,
) -> tuple[list[Path], list[str]]:
    """Freeze and compress the members that are trained.

    Parameters
    ----------
    members : sequence of Path
        Their directories, in the model directory.
    steps : int
    script : Path or None
        For `compress_job`; None leaves the models as they are.
    failures : sequence of str
        Of the training, one text a member.
    token : str

    Returns
    -------
    tuple of (list of Path, list of str)
        The files at the top of the model directory, and all failures.
    """
    work = {n: _calls(n, members[n], steps, script) for n in range(len(members)) if not failures[n]}
    # With all calls of a member: the names inside a compressed file are others without the freeze.
    missing = {
        n: list(f.values()) for n, f in work.items() if not all(path.is_file() for path in f)
    }
    written = len(missing) > 1 and _all_at_once(missing, members[0].parent, token)
    made: list[Path] = []
    found = list(failures)
    for n, files in work.items():
        try:
            if n in missing and not written:
                own = in_one_process(f"freeze member {n}", members[n] / "freeze.log", missing[n])
                for job in missing[n] if own is None else [own]:
                    run_job(job, token)
            for path, job in files.items():
                if not path.is_file():
                    with replacing(path) as temporary:
                        shutil.copyfile(job.outputs[0], temporary)
                made.append(path)
        except EngineError as error:
            found[n] = str(error)
    return made, found


def _all_at_once(missing: Mapping[int, Sequence[Job]], top: Path, token: str) -> bool:
    """Make the calls of several members in one process; return whether that worked."""
    together = in_one_process("freeze", top / "freeze.log", list(chain(*missing.values())))
    if together is None:
        return False
    (outcome,) = run_jobs([together], token)
    if outcome.failure:
        tell(f"{outcome.failure}\nNow each member by itself: one that fails stops no other.")
    return outcome.ok


def _calls(n: int, member: Path, steps: int, script: Path | None) -> dict[Path, Job]:
    """Return what makes the files of one member at the top of the model directory."""
    top, frozen = member.parent, member / "model.pth"
    checkpoint = member / f"model.ckpt-{steps}.pt"
    files = {top / f"model_{n}.pth": freeze_job(f"freeze member {n}", member, checkpoint, frozen)}
    if script is not None:
        files[top / f"compressed_{n}.pth"] = compress_job(
            f"compress member {n}", member, frozen, member / "compressed.pth", script
        )
    return files
