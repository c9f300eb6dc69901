"""`mlip label`: structures to energies, forces and virials of first principles.

The structures are entries of a store, not inputs of the directory: the manifest holds the
settings alone. So a directory refuses other settings, and takes further structures at any
time; each is labelled once, by its hash, however many calls it takes and however they ended.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlip.engines import cp2k
from mlip.engines.cp2k_input import single_point_input
from mlip.engines.cp2k_output import ended, read_scf, read_single_point
from mlip.errors import EngineError
from mlip.execution.job import Job, Outcome, Progress, Resources
from mlip.execution.local import available_cores, run_jobs
from mlip.execution.progress import Reporter, reporter, tell
from mlip.files import write_text
from mlip.labelling import store
from mlip.labelling.frames import Frame, check_electrons, frame_id, read_frames, small_cells
from mlip.manifest import Manifest, differing_keys, read_manifest, relative, write_manifest
from mlip.recipes.label import LabelRecipe
from mlip.workspace import Workspace, open_workspace

KIND = "labels"
# 64 atoms (Li24P8S32), 400 Ry, 34 SCF steps from atomic densities: 155 s on 2 ranks.
CORE_SECONDS, CORE_SECONDS_ATOMS = 310.0, 64


def label(
    recipe: LabelRecipe,
    structures: Sequence[Path],
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Compute a CP2K single point for every structure that has none yet.

    Parameters
    ----------
    recipe : LabelRecipe
        Settings; `recipe.execution` may differ from call to call.
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
        If CP2K is missing or failed, or no frame converged. What landed stays, and the same
        command goes on from there.
    InterruptedRunError
        On Ctrl-C or SIGTERM.
    """
    frames = read_frames(structures)
    check_electrons(recipe, frames)
    if warning := small_cells(frames):
        tell(warning)
    wanted = _by_id(recipe, frames)
    known = {} if force else store.stored(out)
    pending = {key: frame for key, frame in wanted.items() if key not in known}
    if pending:
        cp2k.cp2k_command()
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
        with reporter() as show:
            failures = _compute(recipe, pending, workspace, show)
        return _finish(workspace, set(wanted), failures)


def plan_label(recipe: LabelRecipe, structures: Sequence[Path], out: Path) -> list[str]:
    """Return what `label` would read, compute and write, and about how long it takes."""
    frames = read_frames(structures)
    check_electrons(recipe, frames)
    known = store.stored(out)
    wanted = _by_id(recipe, frames)
    pending = [frame for key, frame in wanted.items() if key not in known]
    resources = _resources(recipe)
    atoms = [len(frame.atoms) for frame in pending]
    core_seconds = sum(CORE_SECONDS * (n / CORE_SECONDS_ATOMS) ** 2 for n in atoms)
    lines = [
        f"read: {len(frames)} frames of {len(structures)} files, {len(wanted)} different",
        f"settings: {recipe.functional} + {recipe.dispersion}, {recipe.cutoff_rydberg:g} Ry / "
        f"{recipe.rel_cutoff_rydberg:g} Ry, eps_scf {recipe.eps_scf:g}, Gamma",
        f"labelled already: {len(wanted) - len(pending)}; to be computed: {len(pending)}",
        f"write: {out}/labels/<id>/, {out}/labels.extxyz",
    ]
    if pending:
        hours = core_seconds / min(available_cores(), resources.cores * len(pending)) / 3600
        lines.append(
            f"cost: about {core_seconds / 3600:.2g} core hours, {hours:.2g} h on this machine "
            f"({resources.ranks} ranks x {resources.threads} threads each; from 64 atoms at "
            "400 Ry, growing with the square of the number of atoms)"
        )
        try:
            lines.append(f"engine: {' '.join(cp2k.cp2k_command())}")
        except EngineError as error:
            lines.append(f"engine: missing. {error}")
    if warning := small_cells(frames):
        lines.append(warning)
    return lines


def _by_id(recipe: LabelRecipe, frames: Sequence[Frame]) -> dict[str, Frame]:
    """Return the frames by the id of their label; of equal ones the first."""
    wanted: dict[str, Frame] = {}
    for frame in frames:
        wanted.setdefault(frame_id(recipe, frame.atoms), frame)
    return wanted


def _reopen(out: Path, recipe: LabelRecipe) -> None:
    """Mark a finished directory of the same settings as running, for further structures."""
    if not (out / "manifest.json").is_file():
        return
    manifest = read_manifest(out)
    same = manifest.kind == KIND and not differing_keys(manifest.recipe, recipe.settings())
    if same and manifest.status == "complete":
        manifest.status = "running"
        write_manifest(out, manifest)


def _resources(recipe: LabelRecipe) -> Resources:
    threads = recipe.execution.threads
    ranks = recipe.execution.ranks or max(1, available_cores() // threads)
    return Resources(ranks=ranks, threads=threads)


def _compute(
    recipe: LabelRecipe, pending: Mapping[str, Frame], workspace: Workspace, show: Reporter
) -> list[str]:
    """Run and land the pending labels, a batch side by side; return what failed."""
    resources = _resources(recipe)
    batch = max(1, available_cores() // resources.cores)
    keys = list(pending)
    failures: list[str] = []
    landed = 0

    def overall(name: str, progress: Progress) -> None:
        show("label", progress)

    for start in range(0, len(keys), batch):
        chosen = keys[start : start + batch]
        jobs = {
            key: _prepare(recipe, key, pending[key], workspace.directory, resources)
            for key in chosen
        }
        # A call that was killed may have left finished calculations.
        waiting = [job for job in jobs.values() if not _is_ended(job)]
        jobs_with_progress = [_with_progress(job, landed, len(keys)) for job in waiting]
        outcomes = {
            outcome.job.name: outcome
            for outcome in run_jobs(jobs_with_progress, workspace.token, show=overall)
        }
        for key, job in jobs.items():
            failure = _land(key, pending[key], job, outcomes.get(job.name), workspace.directory)
            if failure:
                failures.append(failure)
            else:
                landed += 1
        show("label", Progress(landed, len(keys), "frame"))
        if landed == 0 and failures:
            raise EngineError(failures[0])  # the others would fail alike
    return failures


def _prepare(recipe: LabelRecipe, key: str, frame: Frame, out: Path, resources: Resources) -> Job:
    atoms = frame.atoms
    text = single_point_input(recipe, list(atoms.symbols), atoms.positions, atoms.cell.array)
    work = out / "work" / key
    job = cp2k.single_point_job(f"label {frame.name}", work, resources)
    same = (work / cp2k.INPUT).is_file() and (work / cp2k.INPUT).read_text() == text
    if work.exists() and not (same and _is_ended(job)):
        shutil.rmtree(work)
    if not work.exists():
        write_text(work / cp2k.INPUT, text)
    return job


def _is_ended(job: Job) -> bool:
    return job.log.is_file() and ended(job.log.read_text(errors="replace"))


def _with_progress(job: Job, landed: int, total: int) -> Job:
    return replace(job, progress=lambda: cp2k.scf_progress(job.directory, landed, total))


def _land(key: str, frame: Frame, job: Job, outcome: Outcome | None, out: Path) -> str:
    """Put one finished calculation into the store; return what failed, or an empty text."""
    text = job.log.read_text(errors="replace") if job.log.is_file() else ""
    scf = read_scf(text)
    unconverged = scf.iterations > 0 and not scf.converged and "NOT converged" in text
    if outcome is not None and not outcome.ok and not unconverged:
        return outcome.failure
    record = store.Record(
        id=key,
        status="unconverged" if unconverged else "converged",
        source=relative(frame.source, out),
        frame=frame.index,
        formula=frame.atoms.get_chemical_formula(),
        scf_iterations=scf.iterations,
        seconds=round(outcome.seconds, 1) if outcome is not None else 0.0,
        cores=job.resources.cores,
    )
    point = None
    if not unconverged:
        try:
            point = read_single_point(text, len(frame.atoms), abs(frame.atoms.cell.volume))
        except EngineError as error:
            return f"{job.name}: {error}\n  Log: {job.log}"
        if outcome is not None and point.ranks != job.resources.ranks:
            return (
                f"{job.name}: {point.ranks} ranks worked together instead of "
                f"{job.resources.ranks}: the launcher {job.argv[0]} is not the one of this "
                f"CP2K. Set {cp2k.LAUNCHER_VARIABLE}, or --set execution.ranks=1."
            )
        record = store.with_results(record, frame.atoms, point)
    store.add(out, record, frame.atoms, point, job.directory)
    shutil.rmtree(job.directory)
    return ""


def _finish(workspace: Workspace, wanted: set[str], failures: list[str]) -> Manifest:
    out = workspace.directory
    records = list(store.stored(out).values())
    collected = store.collect(out, records)
    summary = _summary(records, wanted)
    if failures:
        raise EngineError(
            f"{out}: {len(failures)} of {len(wanted)} structures failed; the first:\n"
            f"  {failures[0]}\n{summary['labels']} labels are kept; the same command tries "
            "the others again."
        )
    if not summary["labels"]:
        raise EngineError(
            f"{out}: the SCF converged for none of {len(records)} structures (after up to "
            f"{max(record.scf_iterations for record in records)} steps), so there is no label. "
            f"Look at {out}/labels/*/output.out.gz; raise max_outer_scf or max_scf, or check the "
            "structures, with another --out."
        )
    if summary["unconverged"]:
        tell(f"{out}: {summary['unconverged']} structures did not converge and are no labels.")
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
        "unconverged": len(records) - len(good),
        "median_scf_iterations": statistics.median([r.scf_iterations for r in good] or [0]),
        "median_seconds": statistics.median(timed or [0.0]),
        "largest_force_ev_per_angstrom": max(forces, default=0.0),
        "smallest_gap_ev": min(gaps) if gaps else None,
    }
