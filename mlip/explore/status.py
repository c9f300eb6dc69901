"""`mlip explore --status`: where the loop is, how fast it labels, and what is left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ase.io

from mlip.errors import InputError
from mlip.execution.local import available_cores
from mlip.execution.speed import duration
from mlip.explore.progress import FILE, STAGES, Progress, read_progress
from mlip.labelling.frames import frame_id
from mlip.labelling.store import stored
from mlip.recipes.explore import ExploreRecipe


def status(recipe: ExploreRecipe, out: Path) -> dict[str, Any]:
    """Return the state of a loop, for people and for ``--json``.

    Raises
    ------
    InputError
        If no loop was started in `out`.
    """
    if not (out / FILE).is_file():
        raise InputError(
            f"{out}: no {FILE} here, so no loop was started. Start it: the same command without "
            "--status."
        )
    progress = read_progress(out)
    present = progress.of(progress.round)
    rate = labels_per_hour(out / "labels")
    waiting = _waiting(recipe, progress, out)
    content: dict[str, Any] = {
        "round": f"{progress.round} of at most {recipe.maximum_rounds}",
        "stage": progress.stage,
        "converged": progress.converged,
        "labels": sum(1 for r in stored(out / "labels").values() if r.status == "converged"),
        "labels_waiting": waiting,
        "labels_per_hour": round(rate, 1) if rate else None,
    }
    if progress.stage != "done":
        content["in_this_stage"] = duration(time.time() - progress.since)
        content["time_left_in_round"] = _left(progress, rate, waiting)
    shown = next((r for r in reversed(progress.rounds) if r.shares), present)
    if shown.shares:
        content["candidates"] = {
            "round": shown.number,
            "frames_visited": shown.visited,
            "chosen": shown.chosen,
            "drawn": shown.drawn,
        }
        content["accurate_share"] = {
            state: share["accurate"] for state, share in shown.shares.items()
        }
    trained = [r for r in progress.rounds if r.force_rmse_mev_per_angstrom is not None]
    if trained:
        content["force_rmse_mev_per_angstrom"] = {
            f"round {r.number}": r.force_rmse_mev_per_angstrom for r in trained
        }
    return content


def labels_per_hour(labels: Path) -> float:
    """Return how many labels the cores of this machine give in an hour; 0 if none was timed."""
    timed = [
        record.seconds * record.cores
        for record in stored(labels).values()
        if record.status == "converged" and record.seconds
    ]
    if not timed:
        return 0.0
    return 3600.0 * available_cores() / (sum(timed) / len(timed))


def _waiting(recipe: ExploreRecipe, progress: Progress, out: Path) -> int:
    """Return the structures asked for in this round that have no label yet."""
    path = out / f"round_{progress.round:03d}" / "chosen.extxyz"
    if progress.stage != "label" or not path.is_file():
        return 0
    done = stored(out / "labels")
    asked = ase.io.read(path, index=":")
    return sum(1 for atoms in asked if frame_id(recipe.label, atoms) not in done)


def _left(progress: Progress, rate: float, waiting: int) -> str:
    """Return the rest of this round: labels at their rate, other stages as long as last time."""
    if progress.stage not in STAGES:
        return "unknown"
    seconds = 3600.0 * waiting / rate if rate else 0.0
    if progress.round == 0:
        return duration(seconds) if rate else "unknown until the first label"
    last = progress.of(progress.round - 1).seconds
    order = ("ingest", "train", "validate", "run", "select", "label")
    rest = order[order.index(progress.stage) :]
    known = [last[name] for name in rest if name in last and name != "label"]
    if len(known) < len([name for name in rest if name != "label"]):
        return "unknown until the first round is done"
    spent = time.time() - progress.since if progress.stage != "label" else 0.0
    if progress.stage != "label":
        seconds += last.get("label", 0.0)
    return duration(max(0.0, sum(known) - spent) + seconds)
