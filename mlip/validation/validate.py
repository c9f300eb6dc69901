"""`mlip validate`: a model and a set to errors, proof of parity and a model card."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlip.errors import GateError, TypeMapError
from mlip.execution.progress import tell
from mlip.files import read_json, write_json
from mlip.manifest import Manifest
from mlip.model_directory import (
    PARITY_FILE,
    ModelDirectory,
    network_precision,
    read_model_directory,
    worst_comparison,
)
from mlip.recipes.validate import AcceptanceLimits, ValidateRecipe
from mlip.validation.card import write_card
from mlip.validation.held_out import (
    errors_to_json,
    split_errors,
    spread_to_json,
    write_figures,
    write_frame_errors,
)
from mlip.validation.parity import run_parity
from mlip.validation.predictions import predict
from mlip.validation.reference import (
    ReferenceSystem,
    evenly_spaced,
    read_system,
    require_frames,
    system_directories,
)
from mlip.validation.thresholds import load_thresholds
from mlip.workspace import Workspace, open_workspace

SCHEMA = 1
CARD = "MODEL_CARD.md"


def validate(
    recipe: ValidateRecipe,
    model: Path,
    data: Path,
    *,
    out: Path | None = None,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Prove parity of all engines, then measure errors on the frames kept for testing.

    Parameters
    ----------
    recipe : ValidateRecipe
    model : Path
        Model directory.
    data : Path
        Set directory.
    out : Path, optional
        ``MODEL/validation`` by default: where `mlip md` looks for the proof of parity.
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Recorded.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If model or set are missing, or the split is empty.
    TypeMapError
        If the set has an element that the model does not know.
    GateError
        If the engines disagree, or an error is above a limit of the recipe.
    EngineError
        If an engine failed.
    """
    potential = read_model_directory(model)
    network_precision(potential.members[0])
    systems = _read_split(potential, data, recipe.split)
    directory = out or model / "validation"
    with open_workspace(
        directory,
        kind="validation",
        recipe=recipe.expanded(),
        inputs=[*potential.files, model / "type_map.json", data],
        overrides=overrides,
        force=force,
        notice=tell,
    ) as work:
        card = _card_path(model, directory)
        if not work.finished:
            _validate(recipe, potential, data, systems, work)
        if not work.finished or not card.is_file():
            write_card(card, potential, data, directory)
        require_accepted(recipe.accept, directory, recipe.split)
        return work.manifest


def plan_validate(
    recipe: ValidateRecipe, model: Path, data: Path, *, out: Path | None = None
) -> list[str]:
    """Return what `validate` would do, without doing it."""
    potential = read_model_directory(model)
    folders = require_frames(data, recipe.split)
    train = system_directories(data, "train") if recipe.train_frames_per_system else []
    directory = out or model / "validation"
    return [
        f"model   {model}: {len(potential.members)} members, {len(potential.compressed)} "
        f"compressed, {network_precision(potential.members[0])}, "
        f"elements {' '.join(potential.type_map)}",
        f"set     {data}: {len(folders)} system(s) in the {recipe.split} split, all frames",
        f"        {len(train)} training system(s), up to {recipe.train_frames_per_system} frames "
        "each, for comparison",
        f"parity  {len(potential.files)} potentials: dp test, Python, LAMMPS on "
        f"{recipe.parity_frames} frames of a system, and a permuted element order",
        f"write   {directory}: parity.json, metrics.json, frame_errors.csv, figures; "
        f"{_card_path(model, directory)}",
    ]


def _read_split(potential: ModelDirectory, data: Path, split: str) -> list[ReferenceSystem]:
    systems = [read_system(data, split, folder) for folder in require_frames(data, split)]
    for system in systems:
        unknown = sorted(set(system.symbols) - set(potential.type_map))
        if unknown:
            raise TypeMapError(
                f"{data / split / system.name}: has {', '.join(unknown)}, but "
                f"{potential.directory} knows only {', '.join(potential.type_map)}. Validate "
                "with a set of these elements, or train on this one."
            )
    return systems


def _validate(
    recipe: ValidateRecipe,
    potential: ModelDirectory,
    data: Path,
    systems: Sequence[ReferenceSystem],
    work: Workspace,
) -> None:
    out = work.directory
    # Absolute, since engines run in folders of their own.
    scratch = (out / "work").resolve()
    shutil.rmtree(scratch, ignore_errors=True)
    parity = run_parity(
        potential,
        systems,
        recipe.parity_frames,
        load_thresholds(),
        scratch / "parity",
        work.token,
    )
    write_json(out / Path(PARITY_FILE).name, parity)
    if not parity["passed"]:
        raise GateError(
            f"{out / 'parity.json'}: the engines disagree: {worst_comparison(parity)}. Do not run "
            "MD with this model. Check type_map.json against the model and the installation with "
            f"`mlip doctor`, then freeze and compress again. The engines' files: {scratch}"
        )
    predict(potential.files, systems, scratch / recipe.split, work.token, recipe.split)
    errors = split_errors(potential.files, len(potential.members), systems, scratch / recipe.split)
    frames = sum(system.n_frames for system in systems)
    splits: dict[str, Any] = {recipe.split: errors_to_json(errors, frames_in_split=frames)}
    if recipe.train_frames_per_system:
        splits |= _train_errors(recipe, potential, data, scratch, work.token)
    metrics = {
        "schema": SCHEMA,
        "committee": {"members": len(potential.members), "type_map": list(potential.type_map)},
        "splits": splits,
        "committee_deviation": {recipe.split: spread_to_json(errors)},
    }
    figures = write_figures(out / "figures", errors, splits[recipe.split], potential)
    write_frame_errors(out / "frame_errors.csv", recipe.split, systems, errors)
    write_json(out / "metrics.json", metrics)
    shutil.rmtree(scratch)
    outputs = [out / name for name in ("parity.json", "metrics.json", "frame_errors.csv")]
    work.finish([*outputs, *figures], _summary(metrics, recipe.split, parity))


def _train_errors(
    recipe: ValidateRecipe, potential: ModelDirectory, data: Path, scratch: Path, token: str
) -> dict[str, Any]:
    """Return the errors of the plain members on some training frames, under their own name."""
    whole = [read_system(data, "train", path) for path in system_directories(data, "train")]
    if not whole:
        return {}
    systems = [evenly_spaced(system, recipe.train_frames_per_system) for system in whole]
    predict(potential.members, systems, scratch / "train", token, "train")
    errors = split_errors(potential.members, len(potential.members), systems, scratch / "train")
    return {"train": errors_to_json(errors, frames_in_split=sum(s.n_frames for s in whole))}


def _summary(metrics: dict[str, Any], split: str, parity: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "frames",
        "energy_rmse_mev_per_atom",
        "energy_after_system_shift_rmse_mev_per_atom",
        "force_rmse_mev_per_angstrom",
        "force_reference_rms_mev_per_angstrom",
        "virial_rmse_mev_per_atom",
    )
    overall = metrics["splits"][split]["overall"]
    summary: dict[str, Any] = {"split": split, "parity": "passed", "precision": parity["precision"]}
    summary |= {key: overall[key] for key in keys}
    if "train" in metrics["splits"]:
        train = metrics["splits"]["train"]["overall"]
        summary["train_force_rmse_mev_per_angstrom"] = train["force_rmse_mev_per_angstrom"]
    deviation = metrics["committee_deviation"][split]
    if deviation:
        summary["deviation_p95_mev_per_angstrom"] = deviation[
            "largest_deviation_p95_mev_per_angstrom"
        ]
    return summary


def require_accepted(limits: AcceptanceLimits, directory: Path, split: str) -> None:
    """Refuse a validated model whose errors are above the limits of the recipe.

    Raises
    ------
    GateError
        Naming the quantity, what was found and what is accepted.
    """
    overall = read_json(directory / "metrics.json")["splits"][split]["overall"]
    for key, limit in limits.model_dump().items():
        if limit is None:
            continue
        found = overall[key]
        if found is None:
            raise GateError(
                f"{directory / 'metrics.json'}: accept.{key} is set, but no frame of the {split} "
                "split has this quantity. Take the limit out, or test on data that have it."
            )
        if found > limit:
            raise GateError(
                f"{directory / 'metrics.json'}: {key} is {found:.4g} on the {split} split, the "
                f"recipe accepts {limit:g}. Train longer or on more data, or raise accept.{key}."
            )


def _card_path(model: Path, directory: Path) -> Path:
    inside = directory.resolve() == (model / "validation").resolve()
    return (model if inside else directory) / CARD
