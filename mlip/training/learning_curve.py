"""Error against the amount of training data: what more data would bring."""

from __future__ import annotations

import csv
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip.errors import DataError
from mlip.execution.local import available_cores, visible_gpus
from mlip.execution.progress import tell
from mlip.execution.speed import forecast
from mlip.files import read_json, write_json, write_text
from mlip.manifest import Manifest
from mlip.model_directory import read_model_directory
from mlip.recipes.base import resolve
from mlip.recipes.train import TrainRecipe
from mlip.training.budget import layout
from mlip.training.committee import speed_kind, train
from mlip.training.curve_errors import ALL, ForceError, force_errors, frame_sums
from mlip.training.curve_figure import draw_curve
from mlip.training.sets import check_set, split_systems, system_size
from mlip.training.subsets import rows_of_fraction, write_subset
from mlip.workspace import open_workspace

TABLE, FIGURE, ERRORS = "learning_curve.csv", "learning_curve.png", "errors.json"


@dataclass(frozen=True)
class Point:
    """A part of the data and the errors of the committee trained on it.

    Attributes
    ----------
    fraction : float
    frames, atoms : int
        Training frames, and atoms in all of them.
    errors : tuple of ForceError
    """

    fraction: float
    frames: int
    atoms: int
    errors: tuple[ForceError, ...]


def learning_curve(
    recipe: TrainRecipe,
    source: Path,
    out: Path,
    *,
    accept_certificate: bool = False,
    force: bool = False,
) -> Manifest:
    """Train committees on nested parts of a set and measure them on its test frames.

    Every committee makes the same number of steps, so that only the data differ.

    Parameters
    ----------
    recipe : TrainRecipe
        Its `learning_curve` says which parts; a budget is shared out evenly.
    source : Path
        The recipe file.
    out : Path
        Gets ``learning_curve.csv``, ``learning_curve.png`` and ``fraction_<f>/{set,model}``;
        a part that is done is not done again.
    accept_certificate, force : bool
        See `mlip.training.committee.train`.

    Raises
    ------
    DataError
        If the set has no test frames; also see `train`.
    GateError, EngineError
        See `train`.
    """
    out = out.resolve()
    data, elements = _measurable(recipe, source, accept_certificate)
    settings = recipe.learning_curve
    with open_workspace(
        out,
        kind="learning-curve",
        recipe=recipe.expanded(),
        inputs=[data],
        seeds={"committee": recipe.seed, "resamples": recipe.seed},
        overrides=["accept-certificate"] if accept_certificate else [],
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        points: list[Point] = []
        models: list[Path] = []
        steps: int | None = None
        for fraction in reversed(settings.fractions):  # the largest finds the steps of a budget
            folder = out / f"fraction_{fraction:g}"
            frames, atoms = amount(data, fraction)
            tell(f"{fraction:g} of the training data: {frames} frames, {atoms} atoms.")
            write_subset(data, fraction, folder / "set")
            part = _part(recipe, source, folder, steps)
            manifest = train(
                part, folder / "train", folder / "model", accept_certificate=accept_certificate
            )
            steps = int(manifest.summary["steps"])
            if not (folder / ERRORS).is_file():
                members = read_model_directory(folder / "model").members
                sums = frame_sums(members, data, elements, folder / "test", work.token)
                errors = force_errors(sums, settings.resamples, recipe.seed)
                _write_errors(folder / ERRORS, errors)
            found = _read_errors(folder / ERRORS)
            points.insert(0, Point(fraction, frames, atoms, found))
            models.append(folder / "model" / "manifest.json")
        write_text(out / TABLE, _table(points))
        draw_curve(out / FIGURE, [(p.frames, p.atoms, p.errors) for p in points])
        work.finish([out / TABLE, out / FIGURE, *models], _summary(points, steps))
        return work.manifest


def plan_learning_curve(recipe: TrainRecipe, source: Path, out: Path) -> list[str]:
    """Return what `learning_curve` would do, without doing it."""
    data, _ = _measurable(recipe, source, accept_certificate=True)
    settings = recipe.learning_curve
    lines = []
    for fraction in settings.fractions:
        frames, atoms = amount(data, fraction)
        lines.append(
            f"train  {settings.committee_size} member(s) on {frames} frames, {atoms} atoms"
        )
    waves = layout(settings.committee_size, available_cores(), len(visible_gpus())).waves
    parts = len(settings.fractions)
    cost = (
        forecast(speed_kind(recipe), recipe.steps * waves * parts)
        if recipe.steps
        else f"{recipe.budget_hours:g} h of training"
    )
    return [*lines, f"cost   {cost}", f"write  {out}/{TABLE}, {FIGURE}, fraction_<f>/"]


def amount(data: Path, fraction: float) -> tuple[int, int]:
    """Return the frames of a fraction of the training data, and the atoms in all of them."""
    sizes = [system_size(system) for system in split_systems(data, "train")]
    chosen = [(len(rows_of_fraction(frames, fraction)), atoms) for frames, atoms in sizes]
    return sum(frames for frames, _ in chosen), sum(frames * atoms for frames, atoms in chosen)


def _measurable(
    recipe: TrainRecipe, source: Path, accept_certificate: bool
) -> tuple[Path, list[str]]:
    """Return the set and its elements; it can be trained on and has test frames."""
    data = resolve(recipe.data, source)
    elements = check_set(data, accept_certificate=accept_certificate)
    if not split_systems(data, "test"):
        raise DataError(f"{data}/test: no test systems to measure on. Give a source `split: test`.")
    return data, elements


def _part(recipe: TrainRecipe, source: Path, folder: Path, steps: int | None) -> TrainRecipe:
    """Return the recipe of one part; it lies in the folder of the part."""
    changes: dict[str, Any] = {
        "data": "set",
        "committee_size": recipe.learning_curve.committee_size,
        "compress": False,
    }
    if recipe.start_from is not None:
        changes["start_from"] = os.path.relpath(resolve(recipe.start_from, source), folder)
    if steps is not None:
        changes |= {"steps": steps, "budget_hours": None}
    elif recipe.budget_hours is not None:
        changes["budget_hours"] = recipe.budget_hours / len(recipe.learning_curve.fractions)
    return recipe.model_copy(update=changes)


def _write_errors(path: Path, errors: list[ForceError]) -> None:
    """Write errors as JSON, which has no NaN: null."""
    rows = [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in vars(error).items()}
        for error in errors
    ]
    write_json(path, rows)


def _read_errors(path: Path) -> tuple[ForceError, ...]:
    rows: list[dict[str, Any]] = [
        {k: math.nan if v is None else v for k, v in row.items()} for row in read_json(path)
    ]
    return tuple(ForceError(**row) for row in rows)


def _table(points: list[Point]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["fraction", "train_frames", "train_atoms", "phase", "species", "test_frames"]
        + [f"force_rmse{end}_mev_per_angstrom" for end in ("", "_low", "_high")]
    )
    for p in points:
        for e in p.errors:
            numbers = [
                f"{value:.3f}" if math.isfinite(value) else "" for value in (e.rmse, e.low, e.high)
            ]
            row = [p.fraction, p.frames, p.atoms, e.phase, e.species, e.test_frames]
            writer.writerow([*row, *numbers])
    return text.getvalue()


def _summary(points: list[Point], steps: int | None) -> dict[str, Any]:
    total = {
        str(p.frames): round(e.rmse, 1)
        for p in points
        for e in p.errors
        if e.phase == ALL and e.species == ALL
    }
    return {"steps": steps, "force_rmse_mev_per_angstrom_by_frames": total}
