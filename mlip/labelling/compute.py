"""Running the calculations of labels side by side, and landing each as it ends."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlip.engines.single_point import Failed, SinglePoint
from mlip.errors import EngineError
from mlip.execution.job import Job, Outcome, Progress, Resources
from mlip.execution.local import run_jobs
from mlip.execution.progress import Reporter
from mlip.files import write_text
from mlip.labelling import store
from mlip.labelling.calculators import Calculator, calculator_of, level_in_words
from mlip.labelling.frames import Frame
from mlip.manifest import relative
from mlip.recipes.label import LabelRecipe
from mlip.workspace import Workspace


@dataclass(frozen=True)
class Spent:
    """Seconds of all calculations that gave a label, and their sizes (see `size_of`)."""

    seconds: float
    work: float


@dataclass
class _Pending:
    """One structure on its way to a label."""

    key: str
    frame: Frame
    tries: list[store.Try] = field(default_factory=list)


def compute(
    recipe: LabelRecipe,
    pending: Mapping[str, Frame],
    resources: Resources,
    workspace: Workspace,
    show: Reporter,
) -> Spent:
    """Run and land the pending labels as cores become free; a failed one is tried once more.

    Parameters
    ----------
    recipe : LabelRecipe
    pending : mapping of str to Frame
        Structures by the id of their label.
    resources : Resources
        Of one calculation.
    workspace : Workspace
    show : callable
        Gets the progress.

    Raises
    ------
    EngineError
        If a failure is no structure's fault: the others would fail alike.
    """
    calculator = calculator_of(recipe)
    out = workspace.directory
    waiting = {key: _Pending(key, frame) for key, frame in pending.items()}
    by_job: dict[str, _Pending] = {}
    seconds_spent, work_done = 0.0, 0.0

    def next_job(entry: _Pending) -> Job:
        job = _prepare(calculator, entry, out, resources)
        by_job[job.name] = entry
        return replace(job, progress=lambda: _progress(calculator, job, waiting, len(pending)))

    def land(job: Job, outcome: Outcome | None) -> Job | None:
        """Store a finished calculation; return the next try of a failed one."""
        nonlocal seconds_spent, work_done
        entry = by_job[job.name]
        result = calculator.read(job, outcome, entry.frame.atoms)
        methods = calculator.methods(entry.frame.atoms)
        method = methods[len(entry.tries)]
        seconds = round(outcome.seconds, 1) if outcome is not None else 0.0
        if isinstance(result, Failed) and result.cause == "environment":
            raise EngineError(result.message)
        entry.tries.append(_try(method, result, seconds))
        if isinstance(result, Failed) and len(entry.tries) < len(methods):
            return next_job(entry)
        _store(recipe, calculator, entry, result, resources, out)
        del waiting[entry.key]
        if isinstance(result, SinglePoint):
            seconds_spent += sum(t.seconds for t in entry.tries)
            work_done += size_of(entry.frame)
        show("label", Progress(len(pending) - len(waiting), len(pending), "frame"))
        return None

    jobs = []
    for entry in list(waiting.values()):
        following: Job | None = next_job(entry)
        # A call that was killed may have left finished calculations.
        while following is not None and calculator.is_ended(following.directory):
            following = land(following, None)
        if following is not None:
            jobs.append(following)
    run_jobs(jobs, workspace.token, show=lambda name, now: show("label", now), ended=land)
    return Spent(seconds_spent, work_done)


def size_of(frame: Frame) -> float:
    """Return the size of a calculation, to foretell its time: the square of the atoms."""
    return float(len(frame.atoms) ** 2)


def _progress(
    calculator: Calculator, job: Job, waiting: Mapping[str, _Pending], total: int
) -> Progress:
    return Progress(total - len(waiting), total, "frame", calculator.step(job.directory))


def _prepare(calculator: Calculator, entry: _Pending, out: Path, resources: Resources) -> Job:
    """Write the input of the next try, unless an earlier call left it with its result."""
    number = len(entry.tries)
    method = calculator.methods(entry.frame.atoms)[number]
    text = calculator.input_text(entry.frame.atoms, method)
    work = out / "work" / entry.key / str(number)
    path = work / calculator.input_name
    same = path.is_file() and path.read_text() == text
    if work.exists() and not (same and calculator.is_ended(work)):
        shutil.rmtree(work)
    if not work.exists():
        write_text(path, text)
    again = f", {method}" if number else ""
    return calculator.job(f"label {entry.frame.name}{again}", work, resources)


def _try(method: str, result: SinglePoint | Failed, seconds: float) -> store.Try:
    if isinstance(result, SinglePoint):
        return store.Try(
            method=method, result="converged", iterations=result.iterations, seconds=seconds
        )
    return store.Try(
        method=method,
        result="unconverged" if result.cause == "unconverged" else "aborted",
        iterations=result.iterations,
        seconds=seconds,
        message=result.message.splitlines()[0],
    )


def _store(
    recipe: LabelRecipe,
    calculator: Calculator,
    entry: _Pending,
    result: SinglePoint | Failed,
    resources: Resources,
    out: Path,
) -> None:
    """Put the end of a structure into the store: its label, or all its failed tries."""
    frame = entry.frame
    record = store.Record(
        id=entry.key,
        status=entry.tries[-1].result,
        source=relative(frame.source, out),
        frame=frame.index,
        formula=frame.atoms.get_chemical_formula(),
        cores=resources.cores,
        tries=tuple(entry.tries),
    )
    point = result if isinstance(result, SinglePoint) else None
    if point is not None:
        record = store.with_results(record, frame.atoms, point)
    work = out / "work" / entry.key
    last = len(entry.tries) - 1
    files: dict[str, Path] = {}
    for number in range(len(entry.tries)):
        prefix = "" if number == last else f"failed_{number}_"
        for name in (calculator.input_name, calculator.output_name):
            if (work / str(number) / name).is_file():
                files[prefix + name] = work / str(number) / name
    level = level_in_words(recipe, list(frame.atoms.symbols))
    store.add(out, record, frame.atoms, point, files, level)
    shutil.rmtree(work)
