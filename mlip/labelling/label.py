"""`mlip label`: structures to energies, forces and virials of first principles.

The structures are entries of a store, not inputs of the directory: the manifest holds the
level alone. So a directory refuses another level, and takes further structures at any time;
each is labelled once, by its hash, however many calls it takes and however they ended.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlip.engines.single_point import Failed, SinglePoint
from mlip.errors import EngineError
from mlip.execution.job import Job, Outcome, Progress, Resources
from mlip.execution.local import available_cores, run_jobs
from mlip.execution.progress import Reporter, reporter, tell
from mlip.execution.speed import forecast, remember_speed
from mlip.files import write_text
from mlip.labelling import store
from mlip.labelling.calculators import (
    Calculator,
    calculator_of,
    level_in_words,
    require_known_elements,
)
from mlip.labelling.frames import Frame, frame_id, read_frames, small_cells
from mlip.manifest import Manifest, differing_keys, read_manifest, relative, write_manifest
from mlip.recipes.label import Cp2kLevel, LabelRecipe
from mlip.workspace import Workspace, open_workspace

KIND = "labels"
# Li24P8S32 at the default level: 65 s on 2 cores.
CORE_SECONDS, CORE_SECONDS_ATOMS = 130.0, 64


def label(
    recipe: LabelRecipe,
    structures: Sequence[Path],
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Compute a single point for every structure that has none yet.

    Parameters
    ----------
    recipe : LabelRecipe
        Level of theory; `recipe.execution` may differ from call to call.
    structures : sequence of Path
        Files that ASE reads, with any number of frames, and structure directories.
    out : Path
        Directory of the labels: ``labels/<id>/`` as they land, ``labels.extxyz`` at the end
        (energy in eV, forces in eV/Å, stress in eV/Å^3 with ASE's sign).
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Gates overridden on the command line.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If a structure or an element cannot be labelled; nothing is started then.
    EngineError
        If the engine is missing or failed for a reason that is no structure's fault, the disk
        is full, or no frame converged. What landed stays, and the same command goes on from
        there.
    InterruptedRunError
        On Ctrl-C or SIGTERM.
    """
    # Engines run in directories of their own.
    out = out.resolve()
    frames = _readable(recipe, structures)
    wanted = _by_id(recipe, frames)
    known = {} if force else store.stored(out)
    pending = {key: frame for key, frame in wanted.items() if key not in known}
    if pending:
        calculator_of(recipe).command()
        if not force:
            _reopen(out, recipe)
    with open_workspace(
        out,
        kind=KIND,
        recipe=recipe.settings(),
        inputs=[],
        overrides=overrides,
        force=force,
        notice=tell,
    ) as workspace:
        if workspace.finished:
            return workspace.manifest
        try:
            with reporter() as show:
                _compute(recipe, pending, workspace, show)
            return _finish(workspace, set(wanted))
        except OSError as error:
            raise EngineError(
                f"{out}: cannot write a label ({error.strerror or error}). Free some space; the "
                "labels that landed are kept, and the same command goes on from there."
            ) from error


def plan_label(recipe: LabelRecipe, structures: Sequence[Path], out: Path) -> list[str]:
    """Return what `label` would read, compute and write, and about how long it takes."""
    frames = _readable(recipe, structures)
    known = store.stored(out)
    wanted = _by_id(recipe, frames)
    pending = [frame for key, frame in wanted.items() if key not in known]
    calculator = calculator_of(recipe)
    resources = _resources(recipe, calculator, len(pending))
    lines = [
        f"read: {len(frames)} frames of {len(structures)} files, {len(wanted)} different",
        "level: " + ", ".join(f"{k} {v}" for k, v in sorted(recipe.level.expanded().items()) if v),
        f"labelled already: {len(wanted) - len(pending)}; to be computed: {len(pending)}",
        f"write: {out}/labels/<id>/, {out}/labels.extxyz",
    ]
    if pending:
        work = sum(_work(frame) for frame in pending)
        cost = forecast(_speed_kind(recipe, resources), work)
        if isinstance(recipe.level, Cp2kLevel):
            core_hours = CORE_SECONDS * work / CORE_SECONDS_ATOMS**2 / 3600
            cost += f"; {core_hours:.2g} core hours on another machine"
        lines.append(
            f"cost: {cost} ({resources.ranks} rank(s) x "
            f"{resources.threads} thread(s) a calculation, "
            f"{max(1, available_cores() // resources.cores)} side by side)"
        )
        try:
            lines.append(f"engine: {calculator.command()}")
        except EngineError as error:
            lines.append(f"engine: missing. {error}")
    return lines


def _readable(recipe: LabelRecipe, structures: Sequence[Path]) -> list[Frame]:
    """Read the structures and refuse what the level cannot do; warn of cells too small for it."""
    frames = read_frames(structures)
    require_known_elements(
        recipe, [frame.name for frame in frames], [frame.atoms for frame in frames]
    )
    gamma_only = isinstance(recipe.level, Cp2kLevel) and recipe.level.kpoints is None
    if gamma_only and (warning := small_cells(frames)):
        tell(warning)
    return frames


def _by_id(recipe: LabelRecipe, frames: Sequence[Frame]) -> dict[str, Frame]:
    """Return the frames by the id of their label; of equal ones the first."""
    wanted: dict[str, Frame] = {}
    for frame in frames:
        wanted.setdefault(frame_id(recipe, frame.atoms), frame)
    return wanted


def _reopen(out: Path, recipe: LabelRecipe) -> None:
    """Mark a finished directory of the same level as running, for further structures."""
    if not (out / "manifest.json").is_file():
        return
    manifest = read_manifest(out)
    same = manifest.kind == KIND and not differing_keys(manifest.recipe, recipe.settings())
    if same and manifest.status == "complete":
        manifest.status = "running"
        write_manifest(out, manifest)


def _resources(recipe: LabelRecipe, calculator: Calculator, pending: int) -> Resources:
    """Share the cores out: several calculations side by side scale better than several ranks."""
    threads = recipe.execution.threads
    if not calculator.parallel:
        return Resources(threads=threads)
    most = max(1, available_cores() // threads)
    side_by_side = max(1, min(pending, most))
    return Resources(ranks=recipe.execution.ranks or most // side_by_side, threads=threads)


def _work(frame: Frame) -> float:
    """Return the size of a calculation: grid work grows with atoms, orthogonality faster."""
    return float(len(frame.atoms) ** 2)


def _speed_kind(recipe: LabelRecipe, resources: Resources) -> str:
    level = recipe.level
    if not isinstance(level, Cp2kLevel):
        return f"label atoms squared, {level.calculator}"
    return (
        f"label atoms squared, cp2k {level.cutoff_rydberg:g} Ry, "
        f"{available_cores() // resources.cores} x {resources.cores} cores"
    )


@dataclass
class _Pending:
    """One structure on its way to a label."""

    key: str
    frame: Frame
    tries: list[store.Try] = field(default_factory=list)


def _compute(
    recipe: LabelRecipe, pending: Mapping[str, Frame], workspace: Workspace, show: Reporter
) -> None:
    """Run and land the pending labels as cores become free; a failed one is tried once more.

    Raises
    ------
    EngineError
        If a failure is no structure's fault, or the very first structure cannot be labelled:
        the others would fail alike.
    """
    calculator = calculator_of(recipe)
    resources = _resources(recipe, calculator, len(pending))
    out = workspace.directory
    waiting = {key: _Pending(key, frame) for key, frame in pending.items()}
    by_job: dict[str, _Pending] = {}
    landed = sum(1 for record in store.stored(out).values() if record.status == "converged")
    began_with = landed
    total_seconds, total_work = 0.0, 0.0

    def next_job(entry: _Pending) -> Job:
        job = _prepare(calculator, entry, out, resources)
        by_job[job.name] = entry
        return replace(job, progress=lambda: _progress(calculator, job, waiting, len(pending)))

    def land(job: Job, outcome: Outcome | None) -> Job | None:
        """Store a finished calculation; return the next try of a failed one."""
        nonlocal landed, total_seconds, total_work
        entry = by_job[job.name]
        result = calculator.read(job, outcome, entry.frame.atoms)
        method = calculator.methods[len(entry.tries)]
        seconds = round(outcome.seconds, 1) if outcome is not None else 0.0
        if isinstance(result, Failed) and result.cause == "environment":
            raise EngineError(result.message)
        entry.tries.append(_try(method, result, seconds))
        if isinstance(result, Failed) and len(entry.tries) < len(calculator.methods):
            return next_job(entry)
        if isinstance(result, Failed) and result.cause == "aborted" and not landed:
            raise EngineError(result.message)
        _store(recipe, calculator, entry, result, resources, out)
        del waiting[entry.key]
        if isinstance(result, SinglePoint):
            landed += 1
            total_seconds += sum(t.seconds for t in entry.tries)
            total_work += _work(entry.frame)
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
    if landed > began_with and total_seconds:
        side_by_side = max(1, available_cores() // resources.cores)
        remember_speed(_speed_kind(recipe, resources), total_work, total_seconds / side_by_side)


def _progress(
    calculator: Calculator, job: Job, waiting: Mapping[str, _Pending], total: int
) -> Progress:
    return Progress(total - len(waiting), total, "frame", calculator.step(job.directory))


def _prepare(calculator: Calculator, entry: _Pending, out: Path, resources: Resources) -> Job:
    """Write the input of the next try, unless an earlier call left it with its result."""
    number = len(entry.tries)
    text = calculator.input_text(entry.frame.atoms, calculator.methods[number])
    work = out / "work" / entry.key / str(number)
    path = work / calculator.input_name
    same = path.is_file() and path.read_text() == text
    if work.exists() and not (same and calculator.is_ended(work)):
        shutil.rmtree(work)
    if not work.exists():
        write_text(path, text)
    again = f", {calculator.methods[number]}" if number else ""
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


def _finish(workspace: Workspace, wanted: set[str]) -> Manifest:
    out = workspace.directory
    records = list(store.stored(out).values())
    collected = store.collect(out, records)
    summary = _summary(records, wanted)
    if not summary["labels"]:
        raise EngineError(
            f"{out}: none of {len(records)} structures converged (after up to "
            f"{max(record.iterations for record in records)} steps and {len(records[0].tries)} "
            f"ways), so there is no label. Look at {out}/labels/*/*.gz and check the structures; "
            "to try again with more steps (execution.max_scf), take another --out."
        )
    if failed := summary["unconverged"] + summary["aborted"]:
        tell(f"{out}: {failed} structures could not be computed and are no labels.")
    if (out / "work").is_dir():
        shutil.rmtree(out / "work")
    workspace.finish([collected, *store.files(out)], summary)
    return workspace.manifest


def _summary(records: Sequence[store.Record], wanted: set[str]) -> dict[str, Any]:
    good = [record for record in records if record.status == "converged"]
    timed = [record.seconds for record in good if record.seconds > 0]
    gaps = [record.gap_ev for record in good if record.gap_ev is not None]
    forces = [record.largest_force_ev_per_angstrom or 0.0 for record in good]
    return {
        "structures_asked": len(wanted),
        "labels": len(good),
        "unconverged": sum(record.status == "unconverged" for record in records),
        "aborted": sum(record.status == "aborted" for record in records),
        "second_tries": sum(len(record.tries) > 1 for record in records),
        "median_scf_iterations": statistics.median([r.iterations for r in good] or [0]),
        "median_seconds": statistics.median(timed or [0.0]),
        "median_core_seconds": statistics.median(
            [r.seconds * r.cores for r in good if r.seconds > 0] or [0.0]
        ),
        "largest_force_ev_per_angstrom": max(forces, default=0.0),
        "smallest_gap_ev": min(gaps) if gaps else None,
    }
