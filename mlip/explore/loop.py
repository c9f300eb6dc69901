"""`mlip explore`: train, run, see where the committee disagrees, label, learn, again.

Every stage of a round is a piece of work of another room, in a directory of its own, which
knows by itself whether it is done. So the loop finds its place again after any end: it walks
through the rounds from the first, and what is done answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import ase.io

from mlip.data.ingest import ingest
from mlip.data.readers import input_files, matches
from mlip.execution.progress import tell
from mlip.explore.choose import Choice, choose
from mlip.explore.examine import examine
from mlip.explore.page import write_page
from mlip.explore.pool import (
    labelled_frames,
    read_labelled,
    set_recipe,
    write_ingest_recipe,
    write_labelled,
    write_pool,
)
from mlip.explore.progress import (
    Progress,
    Round,
    read_progress,
    with_round,
    write_progress,
)
from mlip.explore.sample import run_round
from mlip.explore.states import build_states, shaken_frames, write_frames
from mlip.files import read_json, write_json
from mlip.labelling.calculators import calculator_of
from mlip.labelling.label import label
from mlip.manifest import Manifest, differing_keys, read_manifest, write_manifest
from mlip.model_directory import read_model_directory
from mlip.recipes.base import resolve
from mlip.recipes.explore import ExploreRecipe
from mlip.recipes.train import TrainRecipe
from mlip.recipes.validate import ValidateRecipe
from mlip.training.committee import train
from mlip.validation.trust import TrustLevels
from mlip.validation.validate import validate
from mlip.workspace import Workspace, open_workspace

KIND = "exploration"
LABELS, STRUCTURES = "labels", "structures"
CHOSEN, LABELLED, CHOICE = "chosen.extxyz", "labelled.extxyz", "choice.json"
PAGE = "report.html"


def explore(
    recipe: ExploreRecipe,
    source: Path,
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Run the loop until the potential knows its states, or the rounds are used up.

    With `recipe.model` it examines that potential: `mlip.explore.examine.examine`.

    Parameters
    ----------
    recipe : ExploreRecipe
    source : Path
        The recipe file; its relative paths start there.
    out : Path
        Gets ``labels/`` (one store for all rounds), ``structures/``, ``round_<n>/`` with set,
        model, runs and choice, ``pool/`` and ``ingest.yml`` with all labels so far,
        ``progress.json`` and ``report.html``.
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Recorded.

    Returns
    -------
    Manifest
        `summary` names the directory of the last potential and its set.

    Raises
    ------
    InputError, DataError
        If the recipe or its data cannot be used.
    GateError
        If a certificate failed, or parity is not proved.
    EngineError
        If an engine failed for another reason than a bad potential.
    InterruptedRunError
        On Ctrl-C or SIGTERM; the same command goes on.
    """
    if recipe.model is not None:
        return examine(recipe, source, out, force=force, overrides=overrides)
    out = out.resolve()
    if not force:
        _reopen(out, recipe)
    with open_workspace(
        out,
        kind=KIND,
        recipe=recipe.settings(),
        inputs=_inputs(recipe, source),
        seeds={"loop": recipe.seed},
        overrides=overrides,
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        loop = _Loop(recipe, source.resolve(), work, read_progress(out))
        _run(loop)
        return work.manifest


@dataclass
class _Loop:
    """What all stages of the loop need."""

    recipe: ExploreRecipe
    source: Path
    work: Workspace
    progress: Progress

    @property
    def out(self) -> Path:
        return self.work.directory

    def folder(self, number: int) -> Path:
        return self.out / f"round_{number:03d}"

    @contextmanager
    def stage(self, number: int, name: str) -> Iterator[None]:
        """Keep on disk what is being done, and how long it took."""
        began = time.time()
        self.progress = replace(self.progress, round=number, stage=name, since=began)
        write_progress(self.out, self.progress)
        yield
        entry = self.progress.of(number)
        spent = entry.seconds.get(name, 0.0) + time.time() - began
        self.enter(replace(entry, seconds={**entry.seconds, name: round(spent, 1)}))

    def enter(self, entry: Round) -> None:
        self.progress = with_round(self.progress, entry)
        write_progress(self.out, self.progress)


def _run(loop: _Loop) -> None:
    recipe = loop.recipe
    calculator_of(recipe.label).command()  # missing now is better than after the training
    structures = build_states(recipe, loop.source, loop.out / STRUCTURES)
    pools = [] if recipe.initial else [_first_labels(loop, structures)]
    number, converged = 0, False
    for number in range(1, recipe.maximum_rounds + 1):
        if (landed := loop.folder(number) / LABELLED).is_file():
            pools.append(landed)
            continue
        # Once its frames are chosen a round needs its potential no more, unless it is the last.
        if not (loop.folder(number) / CHOICE).is_file():
            _learn(loop, number, pools)
            _visit(loop, number, structures)
        shares = _enter_choice(loop, number)
        converged = _is_converged(loop, number, shares)
        if converged or number == recipe.maximum_rounds:
            _learn(loop, number, pools)
            break
        pools.append(_label(loop, number, "chosen and drawn"))
        write_ingest_recipe(recipe, loop.source, pools, loop.out)
        _show(loop)
    loop.progress = replace(loop.progress, stage="done", since=time.time(), converged=converged)
    write_progress(loop.out, loop.progress)
    _show(loop)
    _finish(loop, number, converged)


def _first_labels(loop: _Loop, structures: dict[str, Path]) -> Path:
    """Label the shaken start structures; return the file of labelled frames."""
    path = loop.folder(0) / CHOSEN
    if not path.is_file():
        write_frames(path, shaken_frames(loop.recipe, structures))
    labelled = _label(loop, 0, "shaken")
    _show(loop)
    return labelled


def _label(loop: _Loop, number: int, what: str) -> Path:
    """Label what a round asked for; return the file of the labelled frames."""
    folder = loop.folder(number)
    asked = ase.io.read(folder / CHOSEN, index=":")
    with loop.stage(number, "label"):
        if not (folder / LABELLED).is_file():
            tell(f"round {number}: {len(asked)} frames {what} for labels.")
            label(loop.recipe.label, [folder / CHOSEN], loop.out / LABELS)
            found = labelled_frames(loop.recipe.label, asked, loop.out / LABELS)
            write_labelled(folder / LABELLED, found)
    count = len(read_labelled(folder / LABELLED))
    loop.enter(replace(loop.progress.of(number), labels=count))
    return folder / LABELLED


def _learn(loop: _Loop, number: int, pools: Sequence[Path]) -> None:
    """Make the set of all labels so far, train the committee on it, and validate it."""
    folder, recipe = loop.folder(number), loop.recipe
    with loop.stage(number, "ingest"):
        labels = write_pool(recipe, pools, folder / "pool")
        ingest(set_recipe(recipe, loop.source, labels), folder / "ingest", folder / "set")
    with loop.stage(number, "train"):
        train(_train_recipe(recipe, folder / "model"), folder / "train", folder / "model")
    with loop.stage(number, "validate"):
        validation = validate(
            ValidateRecipe(trust=recipe.trust, train_frames_per_system=0),
            folder / "model",
            folder / "set",
        )
    summary = read_manifest(folder / "set").summary
    loop.enter(
        replace(
            loop.progress.of(number),
            training_frames=summary["train_frames"],
            test_frames=summary["test_frames"],
            force_rmse_mev_per_angstrom=validation.summary["force_rmse_mev_per_angstrom"],
            energy_rmse_mev_per_atom=validation.summary["energy_rmse_mev_per_atom"],
        )
    )


def _train_recipe(recipe: ExploreRecipe, model: Path) -> TrainRecipe:
    """Return the settings of a round: those that it began with, should they have changed since."""
    if (model / "manifest.json").is_file():
        return TrainRecipe.model_validate(read_manifest(model).recipe)
    return TrainRecipe(data="set", **recipe.train.model_dump())


def _visit(loop: _Loop, number: int, structures: dict[str, Path]) -> None:
    """Run all states and choose what to label."""
    folder, recipe = loop.folder(number), loop.recipe
    model = folder / "model"
    with loop.stage(number, "run"):
        visits = run_round(recipe, number, model, structures, folder / "runs", loop.work.token)
    with loop.stage(number, "select"):
        members = read_model_directory(model).members
        choice = choose(
            recipe,
            number,
            visits,
            structures,
            members,
            folder / "set",
            folder / "judged",
            loop.work.token,
        )
        _write_choice(folder, choice)


def _write_choice(folder: Path, choice: Choice) -> None:
    """Write the chosen frames, then the record that says that they are complete."""
    write_frames(folder / CHOSEN, choice.frames)
    selection = choice.selection
    broke_down = sorted(
        path.stem
        for path in (folder / "runs").glob("*.json")
        if read_json(path)["result"] != "ended"
    )
    write_json(
        folder / CHOICE,
        {
            "trust": choice.levels.as_json(),
            "calibration": choice.calibration,
            "round": {
                "visited": choice.visited,
                "shares": choice.shares,
                "broke_down": broke_down,
                "chosen": len(choice.frames) - choice.drawn - choice.shaken,
                "drawn": choice.drawn,
                "dropped": selection.dropped,
                "groups": selection.groups,
                "rescued": choice.rescued,
                "shaken": choice.shaken,
            },
        },
    )


def _enter_choice(loop: _Loop, number: int) -> dict[str, dict[str, float]]:
    """Take the record of a round's choice into the progress; return the shares by state."""
    entry = read_json(loop.folder(number) / CHOICE)["round"]
    broke_down = tuple(entry.pop("broke_down", ()))
    loop.enter(replace(loop.progress.of(number), **entry, broke_down=broke_down))
    return dict(entry["shares"])


def _is_converged(loop: _Loop, number: int, shares: dict[str, dict[str, float]]) -> bool:
    """Return whether every state was visited and is known, by levels that tests calibrated."""
    recipe = loop.recipe
    trust = TrustLevels.from_json(read_json(loop.folder(number) / CHOICE)["trust"])
    if any(state.from_round > number for state in recipe.states) or not trust.calibrated:
        return False
    if {state.name for state in recipe.states} - set(shares):
        return False
    return all(share["accurate"] >= recipe.accurate_share for share in shares.values())


def _show(loop: _Loop) -> None:
    write_page(loop.out / PAGE, loop.recipe, loop.progress, loop.out)


def _finish(loop: _Loop, number: int, converged: bool) -> None:
    last = loop.folder(number)
    entry = loop.progress.of(number)
    if not converged:
        tell(
            f"{loop.out}: not converged after {number} rounds; raise maximum_rounds and call "
            "again to go on."
        )
    rounds = [r for r in loop.progress.rounds if r.labels]
    summary = {
        "converged": converged,
        "rounds": number,
        "labels": sum(r.labels for r in rounds),
        "model": str((last / "model").relative_to(loop.out)),
        "set": str((last / "set").relative_to(loop.out)),
        "training_frames": entry.training_frames,
        "test_frames": entry.test_frames,
        "force_rmse_mev_per_angstrom": entry.force_rmse_mev_per_angstrom,
        "energy_rmse_mev_per_atom": entry.energy_rmse_mev_per_atom,
        "accurate_share": {name: share["accurate"] for name, share in entry.shares.items()},
    }
    outputs = [loop.out / PAGE, *(loop.folder(r.number) / LABELLED for r in rounds)]
    outputs += [last / "model" / "manifest.json", last / "set" / "manifest.json"]
    loop.work.finish(outputs, summary)


def _reopen(out: Path, recipe: ExploreRecipe) -> None:
    """Let a loop that used up its rounds go on when it is given more."""
    if not (out / "manifest.json").is_file():
        return
    manifest = read_manifest(out)
    same = manifest.kind == KIND and not differing_keys(manifest.recipe, recipe.settings())
    if same and manifest.status == "complete":
        summary = manifest.summary
        if not summary["converged"] and summary["rounds"] < recipe.maximum_rounds:
            manifest.status = "running"
            write_manifest(out, manifest)


def _inputs(recipe: ExploreRecipe, source: Path) -> list[Path]:
    files = [
        file
        for entry in recipe.initial
        for path in matches(entry, source)
        for file in input_files(entry, path)
    ]
    cifs = [s.structure.cif for s in recipe.states if s.structure.cif is not None]
    return [*files, *(resolve(cif, source) for cif in dict.fromkeys(cifs))]
