"""`mlip validate`: a model and a set to errors, proof of parity, physics and a model card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mlip.errors import GateError, InputError, TypeMapError
from mlip.execution.progress import tell
from mlip.files import read_json, write_json
from mlip.manifest import NAME, Manifest, read_manifest
from mlip.model_directory import (
    PARITY_FILE,
    ModelDirectory,
    network_precision,
    parity_status,
    read_model_directory,
    worst_comparison,
)
from mlip.recipes.validate import AcceptanceLimits, ValidateRecipe
from mlip.validation.card import write_card
from mlip.validation.independence import trained_on
from mlip.validation.measure import METRICS, Task, measure
from mlip.validation.parity import run_parity
from mlip.validation.parity_frames import choose_frames
from mlip.validation.physics_table import (
    PHYSICS,
    assess,
    figures,
    reference_files,
    require_physics,
    write_findings,
)
from mlip.validation.reference import (
    ReferenceSystem,
    read_system,
    require_frames,
    system_directories,
)
from mlip.validation.speed import SPEED, measure_speed
from mlip.validation.thresholds import load_thresholds
from mlip.workspace import Workspace, open_workspace

CARD = "MODEL_CARD.md"


def validate(
    recipe: ValidateRecipe,
    model: Path,
    data: Path,
    *,
    source: Path | None = None,
    out: Path | None = None,
    force: bool = False,
) -> Manifest:
    """Prove parity of all engines, measure errors on unseen frames, and test the physics.

    Parameters
    ----------
    recipe : ValidateRecipe
    model : Path
        Model directory; one without manifest is foreign and is marked unproved.
    data : Path
        Set directory.
    source : Path, optional
        The recipe file: its paths start there; in the working directory by default.
    out : Path, optional
        ``MODEL/validation`` by default: where `mlip md` looks for the proof of parity.
    force : bool
        Move another result in `out` aside.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If model, set or a file of the recipe are missing, the split is empty, or dynamics is
        asked for in another directory than the one that proves parity.
    TypeMapError
        If the set has an element that the model does not know.
    GateError
        If the engines disagree, a potential gives no number, an error is above a limit of the
        recipe, or the recipe requires the physics and a test failed.
    EngineError
        If an engine failed.
    """
    potential = read_model_directory(model)
    network_precision(potential.members[0])
    systems = _read_split(potential, data, recipe.split)
    source = source or Path.cwd() / "recipe.yml"
    directory = out or model / "validation"
    if recipe.dynamics is not None:
        _require_parity_where_md_looks(model, directory)
    with open_workspace(
        directory,
        kind="validation",
        recipe=recipe.expanded(),
        inputs=[
            *potential.files,
            model / "type_map.json",
            data,
            *reference_files(recipe, source),
        ],
        force=force,
        notice=tell,
    ) as work:
        card = _card_path(model, directory)
        if not work.finished:
            # One of an earlier validation would speak for a model that may now be refused.
            card.unlink(missing_ok=True)
            _validate(recipe, source, potential, data, systems, work)
        if not work.finished or not card.is_file():
            write_card(card, potential, _manifest(model), data, directory, recipe.licence)
        require_accepted(recipe.accept, directory, recipe.split)
        return work.manifest


def plan_validate(
    recipe: ValidateRecipe, model: Path, data: Path, *, out: Path | None = None
) -> list[str]:
    """Return what `validate` would do, without doing it."""
    potential = read_model_directory(model)
    folders = require_frames(data, recipe.split)
    manifest = _manifest(model)
    train = []
    if recipe.train_frames_per_system and trained_on(data, manifest):
        train = system_directories(data, "train")
    directory = out or model / "validation"
    tests = [name for name in ("physics", "dynamics") if getattr(recipe, name) is not None]
    return [
        f"model   {model}: {len(potential.members)} members, {len(potential.compressed)} "
        f"compressed, {network_precision(potential.members[0])}, "
        f"elements {' '.join(potential.type_map)}"
        + ("" if manifest else "; no manifest: foreign, will be marked unproved"),
        f"set     {data}: {len(folders)} system(s) in the {recipe.split} split, all frames",
        f"        {len(train)} training system(s), up to {recipe.train_frames_per_system} frames "
        "each, for comparison",
        f"parity  {len(potential.files)} potentials: dp test, Python, LAMMPS on "
        f"{recipe.parity_frames} frames of a system, tilted and small cells, types in another "
        "order, and a wrong element order",
        f"tests   {' and '.join(tests) or 'none of physics or dynamics in the recipe'}",
        f"write   {directory}: parity.json, metrics.json, trust.json, frame_errors.csv, figures"
        f"{', physics.json' if tests else ''}; {_card_path(model, directory)}",
    ]


def _require_parity_where_md_looks(model: Path, directory: Path) -> None:
    """Refuse dynamics tests in another directory before parity is proved in the model's own."""
    if _is_inside(model, directory) or (status := parity_status(model)).ok:
        return
    raise InputError(
        f"--out {directory}: the dynamics tests run MD, which takes parity from "
        f"{model / PARITY_FILE}: {status.reason} Leave --out away, or do that first."
    )


def _manifest(model: Path) -> Manifest | None:
    """Return the manifest of a model; None for a foreign one."""
    return read_manifest(model) if (model / NAME).is_file() else None


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
    source: Path,
    potential: ModelDirectory,
    data: Path,
    systems: list[ReferenceSystem],
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
    task = Task(
        recipe=recipe,
        potential=potential,
        manifest=_manifest(potential.directory),
        data=data,
        systems=tuple(systems),
        out=out,
        scratch=scratch,
        token=work.token,
    )
    metrics, files = measure(task)
    if recipe.speed_atoms:
        cell = choose_frames(systems, 1)[0]
        speed = measure_speed(potential, cell, recipe.speed_atoms, scratch / "speed", work.token)
        write_json(out / SPEED, speed.as_json())
        files.append(out / SPEED)
    shutil.rmtree(scratch)
    summary = _summary(metrics, recipe.split, parity)
    if recipe.physics is not None or recipe.dynamics is not None:
        findings = assess(recipe, source, potential, data, out, work.token)
        counts = write_findings(out / PHYSICS, findings)
        summary |= {f"physics_{name.replace(' ', '_')}": count for name, count in counts.items()}
        files += [out / PHYSICS, *figures(out)]
    work.finish([out / "parity.json", *files], summary)


def _summary(metrics: dict[str, Any], split: str, parity: dict[str, Any]) -> dict[str, Any]:
    keys = (
        "frames",
        "energy_rmse_mev_per_atom",
        "energy_after_system_shift_rmse_mev_per_atom",
        "force_rmse_mev_per_angstrom",
        "force_reference_rms_mev_per_angstrom",
        "virial_rmse_mev_per_atom",
    )
    errors = metrics["splits"][split]
    summary: dict[str, Any] = {
        "split": split,
        "errors_are_of": errors["independence"]["statement"],
        "parity": "passed",
        "precision": parity["precision"],
    }
    summary |= {key: errors["overall"][key] for key in keys}
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
    """Refuse a validated model whose errors or physics are not what the recipe accepts.

    Raises
    ------
    GateError
        Naming the quantity, what was found and what is accepted.
    """
    overall = read_json(directory / METRICS)["splits"][split]["overall"]
    for key, limit in limits.error_limits().items():
        found = overall[key]
        if found is None:
            raise GateError(
                f"{directory / METRICS}: accept.{key} is set, but no frame of the {split} "
                "split has this quantity. Take the limit out, or test on data that have it."
            )
        if found > limit:
            raise GateError(
                f"{directory / METRICS}: {key} is {found:.4g} on the {split} split, the "
                f"recipe accepts {limit:g}. Train longer or on more data, or raise accept.{key}."
            )
    if limits.require_physics:
        require_physics(directory / PHYSICS)


def _card_path(model: Path, directory: Path) -> Path:
    return (model if _is_inside(model, directory) else directory) / CARD


def _is_inside(model: Path, directory: Path) -> bool:
    return directory.resolve() == (model / "validation").resolve()
