"""One stage of a run: start or resume LAMMPS, and know when it is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from analysis.errors import TrajectoryError
from analysis.reading.dcd import open_dcd
from mlip.engines.lammps import lammps_job
from mlip.engines.lammps_output import (
    ended_normally,
    last_step,
    restart_is_whole,
    running_step,
)
from mlip.errors import DataError, EngineError, GateError, MlipError
from mlip.execution.job import Progress, Resources
from mlip.execution.local import log_tail, run_job
from mlip.execution.progress import tell
from mlip.files import fingerprint, read_json, write_json, write_text
from mlip.md.guards import HALTED, explain_failure
from mlip.md.records import StageRecord, segments
from mlip.md.script import Attempt, Start, Stream, stage_script, streams
from mlip.md.watch import compact, stop_verdict
from mlip.recipes.programme import Scheduled
from mlip.recipes.protocol import Protocol
from mlip.recipes.stages import Minimise, purpose_of

STATE = "stage.json"
KEPT_RESTARTS = 2


@dataclass(frozen=True)
class StagePlan:
    """All that is fixed about a stage before its engine starts.

    Attributes
    ----------
    part : Scheduled
        The stage, its steps and temperatures.
    directory : Path
    source : Path
        Data file, or final restart of the stage before.
    start : Start
        What is done to the sample at its start.
    volume_angstrom3 : float
        Of the cell at its start.
    """

    part: Scheduled
    directory: Path
    source: Path
    start: Start
    volume_angstrom3: float


@dataclass(frozen=True)
class Surroundings:
    """What all stages of a run share.

    Attributes
    ----------
    protocol : Protocol
    models : tuple of Path
        Committee; the first drives.
    elements : tuple of str
    symbols : tuple of str
        Element of each atom, in the order of the ids.
    smallest_angstrom : mapping of (str, str) to float
        Distance that no pair may come below.
    failed_levels : mapping of str to float
        Deviation above which a force is wrong, by element, eV/Å; empty if not calibrated.
    triclinic : bool
    ids_by_origin : mapping of str to tuple of int
        Atom ids, from 1, by column `origin` of the structure.
    resources : Resources
    token : str
        Lock token of the run directory.
    """

    protocol: Protocol
    models: tuple[Path, ...]
    elements: tuple[str, ...]
    symbols: tuple[str, ...]
    smallest_angstrom: Mapping[tuple[str, str], float]
    failed_levels: Mapping[str, float]
    triclinic: bool
    ids_by_origin: Mapping[str, tuple[int, ...]]
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
        If the simulation broke down by itself, or a guard stopped it.
    GateError
        If the committee distrusts all frames in a row and the protocol says to stop then.
    InputError
        If the disk is full.
    EngineError
        If LAMMPS failed, or ended early.
    """
    directory = plan.directory
    directory.mkdir(parents=True, exist_ok=True)
    attempts = _read_attempts(directory)
    if not _is_done(_record(plan, around, attempts)):
        _compact(plan, around, attempts)
        attempt = _next_attempt(plan, attempts)
        attempts.append(attempt)
        script = directory / f"in.{attempt.number}.lammps"
        write_text(
            script,
            stage_script(
                around.protocol,
                plan.part,
                attempt,
                models=[Path(os.path.relpath(model, directory)) for model in around.models],
                elements=list(around.elements),
                start=plan.start,
                triclinic=around.triclinic,
                ids_by_origin=around.ids_by_origin,
                atoms=len(around.symbols),
                smallest_angstrom=around.smallest_angstrom,
                volume_angstrom3=plan.volume_angstrom3,
            ),
        )
        _write_state(directory, attempts, complete=False)
        (directory / HALTED).unlink(missing_ok=True)
        log = directory / attempt.log
        job = lammps_job(
            f"{plan.part.stage.name} {_temperatures(plan.part)}",
            directory,
            script,
            log,
            resources=around.resources,
            outputs=[directory / "final.restart", directory / "final.dump"],
            progress=_follow(plan, around, attempt),
        )
        try:
            run_job(job, around.token)
        except EngineError as error:
            raise _explained(error, log_tail(log) + log_tail(job.log)) from error
        _require_end(directory, log, plan)
        _compact(plan, around, attempts)
        _write_state(directory, attempts, complete=True)
        for path in directory.glob("[0-9]*.restart"):
            path.unlink()
    return _record(plan, around, attempts)


def records_so_far(
    finished: Sequence[StageRecord], plan: StagePlan, around: Surroundings
) -> list[StageRecord]:
    """Return the records of the finished stages, and of the whole frames of a broken one."""
    records = list(finished)
    attempts = _read_attempts(plan.directory)
    if attempts:
        _compact(plan, around, attempts)
        broken = _record(plan, around, attempts)
        written = tuple(_written(stream, attempts[-1], plan.directory) for stream in broken.streams)
        broken = replace(broken, streams=written)
        if any(segments(broken, stream) for stream in written):
            records.append(broken)
    return records


def _explained(error: EngineError, tail: str) -> MlipError:
    """Return the failure as the error of the guard that it met, with what to do."""
    found = explain_failure(f"{error}\n{tail}")
    words = "" if found.correction and found.correction in str(error) else f"\n  {found}"
    return found.error(f"{error}{words}")


def _compact(plan: StagePlan, around: Surroundings, attempts: Sequence[Attempt]) -> None:
    """Turn what LAMMPS wrote of the committee into small tables, also after a kill."""
    for attempt in attempts:
        raw = plan.directory / attempt.deviation
        if raw.is_file():
            compact(raw, around.symbols, plan.directory / attempt.deviation_table)


def _written(stream: Stream, attempt: Attempt, directory: Path) -> Stream:
    """Return a stream up to the last frame that an attempt wrote."""
    if attempt.start_step > stream.last_step:
        return stream
    path = directory / attempt.trajectory(stream.name)
    frames = open_dcd(path).n_frames if _holds_frames(path) else 0
    first = -(-attempt.start_step // stream.every_steps) * stream.every_steps
    return replace(stream, last_step=first + (frames - 1) * stream.every_steps)


def _holds_frames(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        return open_dcd(path).n_frames > 0
    except TrajectoryError:  # killed while the header was written
        return False


def _record(plan: StagePlan, around: Surroundings, attempts: list[Attempt]) -> StageRecord:
    part = plan.part
    return StageRecord(
        name=part.stage.name,
        ensemble=part.stage.kind,
        purpose=purpose_of(part.stage),
        directory=plan.directory,
        first_step=part.first_step,
        last_step=part.last_step,
        timestep_fs=part.timestep_fs,
        start_ps=part.start_ps,
        temperature_kelvin=None if part.is_ramp else part.start_kelvin,
        streams=streams(around.protocol, part),
        attempts=tuple(attempts),
    )


def _is_done(record: StageRecord) -> bool:
    """A stage is done if its state says so and all that it left is still there."""
    if not record.attempts:
        return False
    directory = record.directory
    state = read_json(directory / STATE)
    needed = [directory / "final.restart", directory / "final.dump"]
    if record.ensemble != "minimise":
        needed += [directory / attempt.log for attempt in record.attempts[-1:]]
        needed += [
            directory / segment["file"]
            for stream in record.streams
            for segment in segments(record, stream)
        ]
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
            tell(f"{plan.part.stage.name}: continues from step {_step(path)}.")
            return Attempt(number, _step(path), path.name)
        tell(f"{path}: torn by a kill while it was written; the one before it is used.")
    source = os.path.relpath(plan.source, plan.directory)
    return Attempt(number, plan.part.first_step, source)


def _restarts(directory: Path) -> list[Path]:
    """Return the numbered restart files, newest first."""
    return sorted(directory.glob("[0-9]*.restart"), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _follow(
    plan: StagePlan, around: Surroundings, attempt: Attempt
) -> Callable[[], Progress | None]:
    """Return a function that tells the progress, drops old restart files, asks the committee."""
    log, raw = plan.directory / attempt.log, plan.directory / attempt.deviation
    seen = 0

    def ask_committee() -> None:
        nonlocal seen
        size = raw.stat().st_size if raw.is_file() else 0
        if size == seen:
            return
        seen = size
        verdict = stop_verdict(raw, around.symbols, around.failed_levels)
        if verdict.stop:
            raise GateError(
                f"{plan.directory}: {verdict.reason}. The sample has left what the potential "
                "knows. Label frames of it (untrusted.extxyz) and train on them, or go on all "
                "the same with --set untrusted=warn."
            )

    def progress() -> Progress | None:
        if around.protocol.untrusted == "stop":
            ask_committee()
        for path in _restarts(plan.directory)[KEPT_RESTARTS:]:
            path.unlink(missing_ok=True)
        step = running_step(log)
        if step is None:
            return None
        stage = plan.part.stage
        if isinstance(stage, Minimise):
            return Progress(min(step, stage.maximum_steps), stage.maximum_steps)
        return Progress(step - plan.part.first_step, plan.part.steps)

    return progress


def _temperatures(part: Scheduled) -> str:
    if part.is_ramp:
        return f"{part.start_kelvin:g} to {part.end_kelvin:g} K"
    return f"{part.start_kelvin:g} K"


def _require_end(directory: Path, log: Path, plan: StagePlan) -> None:
    if not ended_normally(log):
        raise EngineError(f"{log}: LAMMPS stopped without its end line. The same command resumes.")
    reached, last = last_step(log), plan.part.last_step
    if not isinstance(plan.part.stage, Minimise) and reached != last:
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
