"""Training a committee: every member trained, frozen and compressed, resumable at each step."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

from mlip.engines.deepmd import (
    compress_job,
    freeze_job,
    last_checkpoint,
    read_learning_curve,
    train_job,
)
from mlip.errors import DataError, EngineError, GateError, RecipeError
from mlip.execution.job import Job, Resources
from mlip.execution.local import available_cores, run_job, run_jobs, visible_gpus
from mlip.execution.progress import tell
from mlip.execution.speed import forecast, remember_speed
from mlip.files import read_json, replacing, write_json
from mlip.manifest import Manifest, read_manifest
from mlip.recipes.base import resolve
from mlip.recipes.train import TrainRecipe
from mlip.training.inputs import deepmd_input, maximum_neighbours, neighbour_limits
from mlip.workspace import Workspace, open_workspace


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
    GateError
        If the certificate of the set failed.
    EngineError
        If a member failed; the others are kept.
    """
    out = out.resolve()  # jobs run in directories of their own
    data = resolve(recipe.data, source)
    elements = check_set(data, accept_certificate=accept_certificate)
    seeds = {f"member_{n}": recipe.seed + n for n in range(recipe.committee_size)}
    accepted = ["accept-certificate"] if accept_certificate else []
    with open_workspace(
        out,
        kind="model",
        recipe=recipe.expanded(),
        inputs=[data],
        seeds=seeds,
        overrides=[*(overrides or []), *accepted],
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        write_json(out / "type_map.json", elements)
        training = split_systems(data, "train")
        limits = _limits(recipe, training, elements, out)
        members = [out / f"member_{n}" for n in range(recipe.committee_size)]
        for member, seed in zip(members, seeds.values(), strict=True):
            content = deepmd_input(
                recipe,
                seed,
                elements,
                limits,
                [os.path.relpath(path, member) for path in training],
                [os.path.relpath(path, member) for path in split_systems(data, "valid")],
            )
            member.mkdir(exist_ok=True)
            write_json(member / "input.json", content)
        failures = _train_members(recipe, members, work)
        outputs = [out / "type_map.json"]
        for n, member in enumerate(members):
            if not failures[n]:
                outputs += _freeze(recipe, n, member, work)
        if any(failures):
            done = failures.count("")
            raise EngineError(
                f"{done} of {len(members)} members are trained and kept; the same command tries "
                "the others again.\n" + "\n".join(text for text in failures if text)
            )
        summary = _summary(recipe, data, members, limits)
        work.finish(outputs, summary)
        return work.manifest


def plan_train(recipe: TrainRecipe, source: Path, out: Path) -> list[str]:
    """Return what `train` would do, without doing it."""
    data = resolve(recipe.data, source)
    elements = check_set(data, accept_certificate=True)
    systems = split_systems(data, "train")
    side_by_side = min(recipe.committee_size, len(visible_gpus()) or available_cores())
    steps = recipe.steps * math.ceil(recipe.committee_size / side_by_side)
    where = f"{len(visible_gpus())} GPU(s)" if visible_gpus() else f"{available_cores()} cores"
    return [
        f"read   {data}: {len(systems)} training systems, elements {' '.join(elements)}",
        f"train  {recipe.committee_size} members, {recipe.steps} steps each, on {where}",
        f"cost   {forecast(speed_kind(recipe), steps)}",
        f"write  {out}/model_<n>.pth"
        + (", compressed_<n>.pth" if recipe.compress else "")
        + ", type_map.json, manifest.json",
    ]


def check_set(data: Path, *, accept_certificate: bool) -> list[str]:
    """Check that a set can be trained on and return its elements.

    Raises
    ------
    DataError
        If there is no finished set with training frames.
    GateError
        If its certificate failed and that was not accepted.
    """
    if not data.is_dir():
        raise DataError(f"{data}: no such set. Make one: mlip ingest RECIPE --out {data}")
    manifest = read_manifest(data)
    if manifest.kind != "set":
        raise DataError(f"{data}: holds a {manifest.kind}, expected a set made by mlip ingest.")
    if manifest.status != "complete":
        raise DataError(f"{data}: this set is not finished. Run its mlip ingest again.")
    systems = split_systems(data, "train")
    if not systems:
        raise DataError(f"{data}/train: no training systems. Give a source `split: train`.")
    verdict = read_json(data / "certificate.json")["verdict"]
    if verdict == "fail" and not accept_certificate:
        raise GateError(
            f"{data}: the certificate failed; see {data / 'certificate.md'}. Mend the data, or "
            "train all the same with --accept-certificate (the manifest records it)."
        )
    return (systems[0] / "type_map.raw").read_text().split()


def split_systems(data: Path, split: str) -> list[Path]:
    """Return the DeePMD systems of one split of a set."""
    return sorted(path.parent.resolve() for path in (data / split).glob("*/type.raw"))


def speed_kind(recipe: TrainRecipe) -> str:
    """Return the name under which training speed is remembered: network and device."""
    nets = "-".join(map(str, recipe.descriptor.embedding_neurons + recipe.fitting_neurons))
    device = "gpu" if visible_gpus() else "cpu"
    return f"train steps, {nets}, cutoff {recipe.descriptor.cutoff_angstrom:g}, {device}"


def _limits(
    recipe: TrainRecipe, training: list[Path], elements: list[str], out: Path
) -> dict[str, int]:
    most = maximum_neighbours(training, elements, recipe.descriptor.cutoff_angstrom)
    given = recipe.descriptor.maximum_neighbours
    if given is None:
        return neighbour_limits(most)
    if set(given) != set(elements):
        raise RecipeError(
            f"descriptor.maximum_neighbours: has {' '.join(sorted(given))}, expected exactly "
            f"{' '.join(elements)} (the elements of the set)."
        )
    short = [e for e in elements if given[e] < most[e]]
    if short:
        raise RecipeError(
            "descriptor.maximum_neighbours: "
            + ", ".join(f"{e} {given[e]}, but the data has up to {most[e]}" for e in short)
            + ". Neighbours beyond it would be lost silently; raise it or leave the key out."
        )
    return given


def _train_members(recipe: TrainRecipe, members: list[Path], work: Workspace) -> list[str]:
    """Train what is not trained yet; return one failure text a member, empty if it is done.

    Members run side by side: a second thread hardly speeds up one small network, while a
    second member on that core runs at full speed.
    """
    gpus = len(visible_gpus())
    side_by_side = gpus or len(members)
    threads = max(1, available_cores() // side_by_side)
    resources = Resources(threads=threads, gpus=1 if gpus else 0)
    jobs: dict[int, Job] = {}
    for n, member in enumerate(members):
        checkpoint = last_checkpoint(member)
        if checkpoint is not None and checkpoint.name == f"model.ckpt-{recipe.steps}.pt":
            continue
        if checkpoint is not None:
            tell(f"member {n}: continues from {checkpoint.name}.")
        jobs[n] = train_job(f"train member {n}", member, recipe.steps, resources)
    before = {n: _steps_done(members[n]) for n in jobs}
    outcomes = dict(zip(jobs, run_jobs(list(jobs.values()), work.token), strict=True))
    for n, outcome in outcomes.items():
        if outcome.ok:
            remember_speed(speed_kind(recipe), recipe.steps - before[n], outcome.seconds)
    return [outcomes[n].failure if n in outcomes else "" for n in range(len(members))]


def _steps_done(member: Path) -> int:
    checkpoint = last_checkpoint(member)
    return int(checkpoint.stem.rpartition("-")[2]) if checkpoint else 0


def _freeze(recipe: TrainRecipe, n: int, member: Path, work: Workspace) -> list[Path]:
    """Freeze and compress one member; return the files at the top of the model directory."""
    made = []
    steps = [
        (
            work.directory / f"model_{n}.pth",
            freeze_job(
                f"freeze member {n}",
                member,
                member / f"model.ckpt-{recipe.steps}.pt",
                member / "model.pth",
            ),
        )
    ]
    if recipe.compress:
        steps.append(
            (
                work.directory / f"compressed_{n}.pth",
                compress_job(
                    f"compress member {n}",
                    member,
                    member / "model.pth",
                    member / "compressed.pth",
                ),
            )
        )
    for final, job in steps:
        if not final.is_file():
            run_job(job, work.token)
            with replacing(final) as temporary:
                shutil.copyfile(job.outputs[0], temporary)
        made.append(final)
    return made


def _summary(
    recipe: TrainRecipe, data: Path, members: list[Path], limits: dict[str, int]
) -> dict[str, object]:
    last = [read_learning_curve(member / "lcurve.out")[-1] for member in members]
    return {
        "data": data.name,
        "members": len(members),
        "steps": recipe.steps,
        "precision": recipe.precision,
        "cutoff_angstrom": recipe.descriptor.cutoff_angstrom,
        "maximum_neighbours": limits,
        "last_batch_force_rmse_mev_per_angstrom": [
            round(1000 * row["rmse_f_trn"], 1) for row in last
        ],
        "note": "last-batch errors are no model errors: mlip validate gives those",
    }
