"""`mlip label`: structures to energies, forces and virials of first principles.

The structures are entries of a store, not inputs of the directory: the manifest holds the
level alone. So a directory refuses another level, and takes further structures at any time;
each is labelled once, by its hash, however many calls it takes and however they ended.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlip.errors import EngineError
from mlip.execution.job import Resources
from mlip.execution.local import available_cores
from mlip.execution.progress import reporter, tell
from mlip.execution.speed import forecast, remember_speed
from mlip.labelling import store
from mlip.labelling.calculators import Calculator, calculator_of, require_known_elements
from mlip.labelling.compute import compute, size_of
from mlip.labelling.frames import Frame, frame_id, read_frames, small_cells
from mlip.manifest import Manifest, differing_keys, read_manifest, write_manifest
from mlip.recipes.label import Cp2kLevel, LabelRecipe
from mlip.workspace import Workspace, open_workspace

KIND = "labels"
# Li24P8S32 melt at the default level (training_data/reference/dft_convergence.md).
CORE_SECONDS, CORE_SECONDS_ATOMS = 100.0, 64


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
    if not force and (pending or known):
        _reopen(out, recipe, len(known), bool(pending))
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
                resources = _resources(recipe, calculator_of(recipe), len(pending))
                spent = compute(recipe, pending, resources, workspace, show)
                side_by_side = max(1, available_cores() // resources.cores)
                remember_speed(
                    _speed_kind(recipe, resources), spent.work, spent.seconds / side_by_side
                )
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
        work = sum(size_of(frame) for frame in pending)
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
    level = recipe.level
    gamma_only = isinstance(level, Cp2kLevel) and not (
        level.kpoints or level.sampling_width_angstrom
    )
    if gamma_only and (warning := small_cells(frames)):
        tell(warning)
    return frames


def _by_id(recipe: LabelRecipe, frames: Sequence[Frame]) -> dict[str, Frame]:
    """Return the frames by the id of their label; of equal ones the first."""
    wanted: dict[str, Frame] = {}
    for frame in frames:
        wanted.setdefault(frame_id(recipe, frame.atoms), frame)
    return wanted


def _reopen(out: Path, recipe: LabelRecipe, known: int, pending: bool) -> None:
    """Mark a finished directory of the same level as running, if it has something to add.

    That is further structures, or labels that were copied in from another directory.
    """
    if not (out / "manifest.json").is_file():
        return
    manifest = read_manifest(out)
    same = manifest.kind == KIND and not differing_keys(manifest.recipe, recipe.settings())
    if same and manifest.status == "complete":
        told = sum(manifest.summary[kind] for kind in ("labels", "unconverged", "aborted"))
        if pending or told != known:
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


def _speed_kind(recipe: LabelRecipe, resources: Resources) -> str:
    level = recipe.level
    if not isinstance(level, Cp2kLevel):
        return f"label atoms squared, {level.calculator}"
    return (
        f"label atoms squared, cp2k {level.cutoff_rydberg:g} Ry, "
        f"{available_cores() // resources.cores} x {resources.cores} cores"
    )


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
