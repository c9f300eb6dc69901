"""Measuring a committee on a set: errors, independence, trust levels, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip.errors import DataError
from mlip.files import write_json
from mlip.manifest import Manifest
from mlip.model_directory import ModelDirectory
from mlip.recipes.validate import ValidateRecipe
from mlip.validation.calibration import calibrated, trust_record
from mlip.validation.calibration_figure import calibration_figure
from mlip.validation.frame_errors import write_frame_errors
from mlip.validation.held_out import (
    SplitErrors,
    atom_errors,
    errors_to_json,
    split_errors,
    spread_to_json,
    write_figures,
)
from mlip.validation.independence import (
    Independence,
    independence,
    of_training,
    trained_on,
    training_set,
)
from mlip.validation.predictions import predict
from mlip.validation.ranges import training_range
from mlip.validation.reference import (
    ReferenceSystem,
    evenly_spaced,
    read_system,
    system_directories,
)

SCHEMA = 1
METRICS, TRUST, FRAMES = "metrics.json", "trust.json", "frame_errors.csv"
ONE_MEMBER = "one member has nothing to deviate from; train a committee of two or more"


@dataclass(frozen=True)
class Task:
    """What is measured, and where.

    Attributes
    ----------
    recipe : ValidateRecipe
    potential : ModelDirectory
    manifest : Manifest or None
        Of the model; None for a foreign one.
    data : Path
        Set directory.
    systems : tuple of ReferenceSystem
        The split that counts as unseen.
    out, scratch : Path
        Directory of the results, and for the engines.
    token : str
        Lock token of the workspace.
    """

    recipe: ValidateRecipe
    potential: ModelDirectory
    manifest: Manifest | None
    data: Path
    systems: tuple[ReferenceSystem, ...]
    out: Path
    scratch: Path
    token: str


def measure(task: Task) -> tuple[dict[str, Any], list[Path]]:
    """Evaluate all potentials and write errors, trust levels and figures.

    Returns
    -------
    metrics : dict
        The content of ``metrics.json``, see Notes.
    files : list of Path
        What was written.

    Notes
    -----
    ``splits``: by split, see `mlip.validation.held_out.errors_to_json`; the train split is there
    for comparison only, and only if the model was trained on this set. ``committee_deviation``:
    by split, null for one member. ``trust``: whether ``trust.json`` was written, and the reason
    if not. ``training``: ``data`` (this set, another set, unknown), ``unproved``, and ``range``
    (null where the data are not at hand), see
    `mlip.validation.ranges.TrainingRange`.
    """
    split = task.recipe.split
    folder = task.scratch / split
    members = len(task.potential.members)
    unseen = independence(task.data, task.systems, task.manifest)
    predict(task.potential.files, task.systems, folder, task.token, split)
    errors = split_errors(task.potential.files, members, task.systems, unseen, folder)
    frames = sum(system.n_frames for system in task.systems)
    splits: dict[str, Any] = {
        split: errors_to_json(errors, task.systems, unseen, frames_in_split=frames)
    }
    if task.recipe.train_frames_per_system and trained_on(task.data, task.manifest):
        splits |= _train_errors(task)
    files = write_figures(
        task.out / "figures", errors, task.systems, unseen, splits[split], task.potential
    )
    reason, trust_files = _write_trust(task, errors, unseen)
    write_frame_errors(task.out / FRAMES, split, task.systems, errors.frames, unseen)
    metrics = {
        "schema": SCHEMA,
        "committee": {"members": members, "type_map": list(task.potential.type_map)},
        "training": _training(task),
        "splits": splits,
        "committee_deviation": {split: spread_to_json(errors, unseen)},
        "trust": {"written": not reason, "reason": reason},
    }
    write_json(task.out / METRICS, metrics)
    return metrics, [*files, *trust_files, task.out / FRAMES, task.out / METRICS]


def _write_trust(task: Task, errors: SplitErrors, unseen: Independence) -> tuple[str, list[Path]]:
    """Write ``trust.json`` and its figure; return why not, empty if done, and the files."""
    path, figure = task.out / TRUST, task.out / "figures" / "calibration.png"
    for leftover in (path, figure):
        leftover.unlink(missing_ok=True)
    if len(task.potential.members) == 1:
        return ONE_MEMBER, []
    atoms = atom_errors(errors, task.systems, unseen)
    try:
        found = calibrated(atoms, task.potential.type_map, task.recipe.trust)
    except DataError as error:
        # Equal members, or errors of zero: there is nothing to trust.
        return str(error), []
    record = trust_record(found, task.recipe.trust, task.recipe.split, unseen.as_json())
    write_json(path, record)
    calibration_figure(figure, found)
    return "", [path, figure]


def _train_errors(task: Task) -> dict[str, Any]:
    """Return the errors of the plain members on some training frames, under their own name."""
    folders = system_directories(task.data, "train")
    whole = [read_system(task.data, "train", path) for path in folders]
    if not whole:
        return {}
    systems = [evenly_spaced(system, task.recipe.train_frames_per_system) for system in whole]
    members, folder = task.potential.members, task.scratch / "train"
    seen = of_training(systems)
    predict(members, systems, folder, task.token, "train")
    errors = split_errors(members, len(members), systems, seen, folder)
    frames = sum(system.n_frames for system in whole)
    return {"train": errors_to_json(errors, systems, seen, frames_in_split=frames)}


def _training(task: Task) -> dict[str, Any]:
    known = trained_on(task.data, task.manifest)
    source = training_set(task.potential.directory, task.manifest, task.data)
    words = {None: "unknown", True: "this set", False: "another set"}
    return {
        "data": words[known],
        "unproved": known is None,
        "range": None if source is None else training_range(source).as_json(),
    }
