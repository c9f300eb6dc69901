"""One stage of a run: start or resume LAMMPS, and know when it is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from analysis.errors import TrajectoryError
from analysis.reading.dcd import open_dcd
from mlip.engines.lammps import blew_up, lammps_job
from mlip.engines.lammps_output import (
    ended_normally,
    last_step,
    restart_is_whole,
    running_step,
)
from mlip.errors import BlowUpError, DataError, EngineError
from mlip.execution.job import Progress, Resources
from mlip.execution.local import log_tail, run_job
from mlip.execution.progress import tell
from mlip.files import fingerprint, read_json, write_json, write_text
from mlip.md.records import StageRecord, segments, write_trajectory_index
from mlip.md.script import Attempt, Cell, stage_script
from mlip.recipes.protocol import Minimise, Npt, Nve, Nvt, Protocol

STATE = "stage.json"
KEPT_RESTARTS = 2


@dataclass(frozen=True)
class StagePlan:
    """All that is fixed about a stage before its engine starts.

    Attributes
    ----------
    stage : Minimise, Npt, Nvt or Nve
    directory : Path
    first_step : int
        Dynamics step at which it begins.
    source : Path
        Data file, or final restart of the stage before.
    velocity_seed : int or None
        Draw velocities at its start.
    cell : Cell or None
        Bring the cell to this one at its start.
    """

    stage: Minimise | Npt | Nvt | Nve
    directory: Path
    first_step: int
    source: Path
    velocity_seed: int | None
    cell: Cell | None


@dataclass(frozen=True)
class Surroundings:
    """What all stages of a run share.

    Attributes
    ----------
    protocol : Protocol
    models : tuple of Path
        Committee; the first drives.
    elements : tuple of str
    temperature_kelvin : float
    triclinic : bool
    resources : Resources
    token : str
        Lock token of the run directory.
    """

    protocol: Protocol
    models: tuple[Path, ...]
    elements: tuple[str, ...]
    temperature_kelvin: float
    triclinic: bool
    resources: Resources
    token: str


def run_stage(plan: StagePlan, around: Surroundings) -> StageRecord:
    """Run a stage to its end, from where an earlier attempt left it.

    Returns
    -------
    StageRecord

    Raises
    ------
    BlowUpError
        If the simulation broke down by itself.
    EngineError
        If LAMMPS failed, or ended early.
    """
    directory = plan.directory
    directory.mkdir(parents=True, exist_ok=True)
    attempts = _read_attempts(directory)
    last = plan.first_step + around.protocol.stage_steps(plan.stage)
    if not _is_done(_record(plan, around, attempts), around.protocol.trajectory_every_steps):
        attempt = _next_attempt(plan, attempts)
        attempts.append(attempt)
        script = directory / f"in.{attempt.number}.lammps"
        write_text(
            script,
            stage_script(
                around.protocol,
                plan.stage,
                attempt,
                models=[Path(os.path.relpath(model, directory)) for model in around.models],
                elements=list(around.elements),
                temperature_kelvin=around.temperature_kelvin,
                first_step=plan.first_step,
                velocity_seed=plan.velocity_seed,
                cell=plan.cell,
                triclinic=around.triclinic,
            ),
        )
        _write_state(directory, attempts, complete=False)
        log = directory / attempt.log
        job = lammps_job(
            f"{plan.stage.name} {around.temperature_kelvin:g} K",
            directory,
            script,
            log,
            resources=around.resources,
            outputs=[directory / "final.restart", directory / "final.dump"],
            progress=_follow(plan, log, last),
        )
        try:
            run_job(job, around.token)
        except EngineError as error:
            if blew_up(log_tail(log) + log_tail(job.log)):
                raise BlowUpError(str(error)) from error
            raise
        _require_end(directory, log, plan, last)
        _write_state(directory, attempts, complete=True)
        for path in directory.glob("[0-9]*.restart"):
            path.unlink()
    return _record(plan, around, attempts)


def write_trajectory_so_far(
    path: Path, finished: Sequence[StageRecord], plan: StagePlan, around: Surroundings
) -> None:
    """Write trajectory.json with the finished stages and the whole frames of a broken one."""
    every = around.protocol.trajectory_every_steps
    records = list(finished)
    attempts = _read_attempts(plan.directory)
    if attempts and plan.stage.kind != "minimise":
        written = plan.directory / attempts[-1].trajectory
        frames = open_dcd(written).n_frames if _holds_frames(written) else 0
        first = -(-attempts[-1].start_step // every) * every
        last = first + (frames - 1) * every
        if last >= first:
            broken = replace(_record(plan, around, attempts), last_step=last)
            records.append(broken)
    if records:
        write_trajectory_index(
            path,
            records,
            every_steps=every,
            timestep_fs=around.protocol.timestep_fs,
            temperature_kelvin=around.temperature_kelvin,
        )


def _holds_frames(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        return open_dcd(path).n_frames > 0
    except TrajectoryError:  # killed while the header was written
        return False


def _record(plan: StagePlan, around: Surroundings, attempts: list[Attempt]) -> StageRecord:
    return StageRecord(
        name=plan.stage.name,
        ensemble=plan.stage.kind,
        purpose=plan.stage.purpose if plan.stage.kind in ("nvt", "nve") else "equilibration",
        directory=plan.directory,
        first_step=plan.first_step,
        last_step=plan.first_step + around.protocol.stage_steps(plan.stage),
        attempts=tuple(attempts),
    )


def _is_done(record: StageRecord, every_steps: int) -> bool:
    """A stage is done if its state says so and all that it left is still there."""
    if not record.attempts:
        return False
    directory = record.directory
    state = read_json(directory / STATE)
    needed = [directory / "final.restart", directory / "final.dump"]
    if record.ensemble != "minimise":
        needed += [directory / attempt.log for attempt in record.attempts[-1:]]
        needed += [directory / segment["file"] for segment in segments(record, every_steps)]
    return bool(
        state["complete"]
        and all(path.is_file() for path in needed)
        and state["final_restart_sha256"] == fingerprint(directory / "final.restart")
    )


def _next_attempt(plan: StagePlan, earlier: list[Attempt]) -> Attempt:
    """Take up from the newest whole restart file, or from the stage's own start."""
    number = len(earlier) + 1
    for path in _restarts(plan.directory):
        if restart_is_whole(path):
            tell(f"{plan.stage.name}: continues from step {_step(path)}.")
            return Attempt(number, _step(path), path.name)
        tell(f"{path}: torn by a kill while it was written; the one before it is used.")
    source = os.path.relpath(plan.source, plan.directory)
    return Attempt(number, plan.first_step, source)


def _restarts(directory: Path) -> list[Path]:
    """Return the numbered restart files, newest first."""
    return sorted(directory.glob("[0-9]*.restart"), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _follow(plan: StagePlan, log: Path, last: int) -> Callable[[], Progress | None]:
    """Return a function that tells the progress and drops restart files no longer needed."""

    def progress() -> Progress | None:
        for path in _restarts(plan.directory)[KEPT_RESTARTS:]:
            path.unlink(missing_ok=True)
        step = running_step(log)
        if step is None:
            return None
        if plan.stage.kind == "minimise":
            return Progress(min(step, plan.stage.maximum_steps), plan.stage.maximum_steps)
        return Progress(step - plan.first_step, last - plan.first_step)

    return progress


def _require_end(directory: Path, log: Path, plan: StagePlan, last: int) -> None:
    if not ended_normally(log):
        raise EngineError(f"{log}: LAMMPS stopped without its end line. The same command resumes.")
    reached = last_step(log)
    if plan.stage.kind != "minimise" and reached != last:
        raise EngineError(f"{log}: ended at step {reached}, expected {last}.")
    if not restart_is_whole(directory / "final.restart"):
        raise EngineError(f"{directory / 'final.restart'}: not a whole restart file.")


def _read_attempts(directory: Path) -> list[Attempt]:
    path = directory / STATE
    if not path.is_file():
        return []
    state = read_json(path)
    try:
        return [Attempt(**entry) for entry in state["attempts"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged stage record ({error}). Remove {directory}.") from error


def _write_state(directory: Path, attempts: list[Attempt], *, complete: bool) -> None:
    state: dict[str, Any] = {
        "attempts": [asdict(attempt) for attempt in attempts],
        "complete": complete,
    }
    if complete:
        state["final_restart_sha256"] = fingerprint(directory / "final.restart")
    write_json(directory / STATE, state)
