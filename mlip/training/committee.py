"""Training a committee: every member trained, frozen and compressed, resumable at each step."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlip.engines.deepmd_train import LEARNING_CURVE, read_learning_curve, write_closest_pair
from mlip.errors import EngineError
from mlip.execution.local import available_cores, visible_gpus
from mlip.execution.progress import tell
from mlip.execution.speed import forecast, remember_speed
from mlip.files import read_json, write_json
from mlip.manifest import Manifest, missing_outputs
from mlip.recipes.base import resolve
from mlip.recipes.presets import presets
from mlip.recipes.train import TrainRecipe
from mlip.training.budget import Layout, layout, steps_for_budget
from mlip.training.inputs import deepmd_input
from mlip.training.members import finished_members, train_members
from mlip.training.neighbours import closest_pair, most_in_data, neighbour_room
from mlip.training.network import NeighbourRoom
from mlip.training.repulsion import write_repulsion_table
from mlip.training.sets import check_set, probabilities, split_systems
from mlip.training.starting import (
    StartingPoint,
    read_starting_point,
    require_room_of,
    require_same_network,
    with_room_of,
)
from mlip.training.training_curve import write_training_curve
from mlip.workspace import open_workspace

REPULSION_TABLE = "repulsion.table"


def train(
    recipe: TrainRecipe,
    source: Path,
    out: Path,
    *,
    accept_certificate: bool = False,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Train, freeze and compress a committee.

    Parameters
    ----------
    recipe : TrainRecipe
    source : Path
        The recipe file; paths in it are relative to it.
    out : Path
        Model directory.
    accept_certificate : bool
        Train even on a set whose certificate failed; recorded in the manifest.
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Recorded.

    Raises
    ------
    DataError
        If there is no set, or it has no training frames.
    RecipeError
        If the recipe does not fit the set, or the committee to start from.
    GateError
        If the certificate of the set failed.
    EngineError
        If a member failed; the others are kept.
    """
    out = out.resolve()  # jobs run in directories of their own
    data, elements, start = _material(recipe, source, accept_certificate)
    seeds = {f"member_{n}": recipe.seed + n for n in range(recipe.committee_size)}
    accepted = ["accept-certificate"] if accept_certificate else []
    with open_workspace(
        out,
        kind="model",
        recipe=_settings(recipe),
        inputs=[data] if start is None else [data, start.directory],
        seeds=seeds,
        overrides=[*(overrides or []), *accepted],
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        for name in missing_outputs(out, work.manifest):
            # Torn since: what is there would pass for finished.
            (out / name).unlink(missing_ok=True)
        write_json(out / "type_map.json", elements)
        systems = split_systems(data, "train")
        most = most_in_data(recipe, data, systems, elements)
        room = neighbour_room(recipe, most)
        if start is not None:
            require_room_of(start, most, elements)
        plan = layout(recipe.committee_size, available_cores(), len(visible_gpus()))
        content = _inputs(recipe, data, out, elements, room, start)
        recipe = _with_steps(recipe, out, plan, content, work.token)
        members = [out / f"member_{n}" for n in range(recipe.committee_size)]
        for member, seed in zip(members, seeds.values(), strict=True):
            write_json(member / "input.json", content(recipe, seed))
        script = None
        if recipe.compress:
            distance = closest_pair(data, systems)
            script = write_closest_pair(out, content(recipe, recipe.seed), elements, distance)
        assert recipe.steps is not None  # a budget has become steps by now
        trained = train_members(members, recipe.steps, plan.resources, start, work.token)
        for steps, seconds in trained.speeds:
            remember_speed(speed_kind(recipe), steps, seconds)
        outputs, failures = finished_members(
            members, recipe.steps, script, trained.failures, work.token
        )
        if any(failures):
            done = failures.count("")
            raise EngineError(
                f"{done} of {len(members)} members are trained and kept; the same command tries "
                "the others again.\n" + "\n".join(text for text in failures if text)
            )
        outputs += [out / "type_map.json", *write_training_curve(out, members)]
        work.finish(outputs, _summary(recipe, data, members))
        return work.manifest


def plan_train(recipe: TrainRecipe, source: Path, out: Path) -> list[str]:
    """Return what `train` would do, without doing it."""
    data, elements, start = _material(recipe, source, accept_certificate=True)
    systems = split_systems(data, "train")
    plan = layout(recipe.committee_size, available_cores(), len(visible_gpus()))
    where = f"{len(visible_gpus())} GPU(s)" if visible_gpus() else f"{available_cores()} cores"
    cost = (
        forecast(speed_kind(recipe), recipe.steps * plan.waves)
        if recipe.steps
        else f"{recipe.budget_hours:g} h of training; a short probe tells the steps"
    )
    lines = [
        f"read   {data}: {len(systems)} training systems, elements {' '.join(elements)}",
        f"train  {recipe.committee_size} members, {recipe.length()}, {plan.side_by_side} side by "
        f"side on {where}",
        f"cost   {cost}",
        f"write  {out}/model_<n>.pth"
        + (", compressed_<n>.pth" if recipe.compress else "")
        + ", type_map.json, manifest.json",
    ]
    if recipe.preset is not None:
        preset = presets()[recipe.preset]
        lines.insert(1, f"preset {recipe.preset}: {preset.measured.in_words()}")
    if start is not None:
        lines.insert(1, f"start  from the weights of {start.directory}")
    return lines


def speed_kind(recipe: TrainRecipe) -> str:
    """Return the name under which training speed is remembered: network and device."""
    nets = f"{recipe.descriptor.size()}-{'-'.join(map(str, recipe.fitting_neurons))}"
    device = "gpu" if visible_gpus() else "cpu"
    return f"train steps, {nets}, cutoff {recipe.descriptor.cutoff_angstrom:g}, {device}"


def _material(
    recipe: TrainRecipe, source: Path, accept_certificate: bool
) -> tuple[Path, list[str], StartingPoint | None]:
    """Return the set, its elements and the weights to start from, all checked."""
    data = resolve(recipe.data, source)
    elements = check_set(data, accept_certificate=accept_certificate)
    if recipe.start_from is None:
        return data, elements, None
    start = read_starting_point(resolve(recipe.start_from, source), elements)
    require_same_network(start, recipe, elements)
    return data, elements, start


def _settings(recipe: TrainRecipe) -> dict[str, Any]:
    """Return what the committee depends on: the learning curve is another piece of work."""
    content = recipe.expanded()
    del content["learning_curve"]
    return content


Content = Callable[[TrainRecipe, int], dict[str, Any]]


def _inputs(
    recipe: TrainRecipe,
    data: Path,
    out: Path,
    elements: list[str],
    room: NeighbourRoom,
    start: StartingPoint | None,
) -> Content:
    """Return the function that makes ``input.json`` for a folder in `out` from a seed."""
    training, validation = split_systems(data, "train"), split_systems(data, "valid")
    shares = probabilities(data, training, recipe.batch_atoms)
    if recipe.short_range_repulsion is not None:
        outer = recipe.short_range_repulsion.outer_angstrom
        write_repulsion_table(
            out / REPULSION_TABLE, elements, outer, recipe.descriptor.cutoff_angstrom
        )
        if (closest := closest_pair(data, training)) < outer:
            tell(
                f"short_range_repulsion begins at {outer:g} Å, but the data has pairs at "
                f"{closest:.2f} Å: there the network is partly replaced."
            )
    folder = out / "member"

    def content(settings: TrainRecipe, seed: int) -> dict[str, Any]:
        made = deepmd_input(
            settings,
            seed,
            elements,
            room,
            [os.path.relpath(path, folder) for path in training],
            [os.path.relpath(path, folder) for path in validation],
            probabilities=shares,
            repulsion_table=f"../{REPULSION_TABLE}",
        )
        if start is not None:
            made["model"] = with_room_of(start, made["model"])
        return made

    return content


def _with_steps(
    recipe: TrainRecipe, out: Path, plan: Layout, content: Content, token: str
) -> TrainRecipe:
    """Return the recipe with the number of steps that a budget gives."""
    if recipe.budget_hours is None:
        return recipe

    def probe(steps: int) -> dict[str, Any]:
        return content(_of_length(recipe, steps), recipe.seed)

    return _of_length(recipe, steps_for_budget(recipe.budget_hours, out, plan, probe, token))


def _of_length(recipe: TrainRecipe, steps: int) -> TrainRecipe:
    return recipe.model_copy(update={"steps": steps})


def _summary(recipe: TrainRecipe, data: Path, members: list[Path]) -> dict[str, object]:
    model = read_json(members[0] / "input.json")["model"]
    sel = model["descriptor"].get("sel") or model["descriptor"]["repflow"]["e_sel"]
    last = [read_learning_curve(member / LEARNING_CURVE)[-1] for member in members]
    summary: dict[str, object] = {
        "data": data.name,
        "members": len(members),
        "steps": recipe.steps,
        "precision": recipe.precision,
        "descriptor": recipe.descriptor.type,
        "cutoff_angstrom": recipe.descriptor.cutoff_angstrom,
        "maximum_neighbours": (
            dict(zip(model["type_map"], sel, strict=True)) if isinstance(sel, list) else sel
        ),
        "last_batch_force_rmse_mev_per_angstrom": [
            round(1000 * row["rmse_f_trn"], 1) for row in last
        ],
        "note": "last-batch errors are no model errors: mlip validate gives those",
    }
    if recipe.budget_hours is not None:
        summary["budget_hours"] = recipe.budget_hours
    if recipe.start_from is not None:
        summary["start_from"] = Path(recipe.start_from).name
    return summary
