"""From a budget of wall time to a number of steps, by a short probe on the real data."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip.engines.deepmd_train import seconds_per_step, train_job
from mlip.errors import EngineError, RecipeError
from mlip.execution.job import Resources
from mlip.execution.local import run_jobs
from mlip.execution.progress import tell
from mlip.files import read_json, write_json

PROBE_STEPS = 80
# What comes before the first report is warm-up, and not counted.
REPORT_EVERY_STEPS = 20
STEPS_FILE = "steps.json"


@dataclass(frozen=True)
class Layout:
    """How the members of a committee share the machine.

    Attributes
    ----------
    side_by_side : int
        Members that run at the same time.
    waves : int
        How often that many start one after the other.
    resources : Resources
        Of each member.
    """

    side_by_side: int
    waves: int
    resources: Resources


def layout(committee_size: int, cores: int, gpus: int) -> Layout:
    """Return how members run on a machine.

    One member a graphics card; where there are more cards than members, several cards a
    member. Without cards one member a core: a second thread hardly speeds up one small
    network, while a second member on that core runs at full speed.
    """
    if gpus:
        each = max(1, gpus // committee_size)
        side_by_side = min(committee_size, gpus // each)
        threads = max(1, cores // (side_by_side * each))
        resources = Resources(ranks=each, threads=threads, gpus=each)
    else:
        side_by_side = min(committee_size, cores)
        resources = Resources(threads=max(1, cores // side_by_side))
    return Layout(side_by_side, math.ceil(committee_size / side_by_side), resources)


def steps_for_budget(
    budget_hours: float,
    out: Path,
    plan: Layout,
    probe_input: Callable[[int], dict[str, Any]],
    token: str,
) -> int:
    """Return how many steps of each member fit into a budget, measured once and kept.

    As many probes run as members will, so that they share the machine alike; the slowest
    counts.

    Parameters
    ----------
    budget_hours : float
        For training the whole committee.
    out : Path
        Model directory; gets ``steps.json``, and ``probe_<n>/`` for as long as they run.
    plan : Layout
    probe_input : callable
        Given the number of steps, returns the content of ``input.json`` for a directory that
        lies in `out` as those of the members do.
    token : str
        Lock token of `out`.

    Raises
    ------
    EngineError
        If a probe fails.
    RecipeError
        If not even the probe's own steps fit.
    """
    path = out / STEPS_FILE
    if path.is_file():
        return int(read_json(path)["steps"])
    tell(f"budget of {budget_hours:g} h: {PROBE_STEPS} steps tell how many fit.")
    jobs = []
    for n in range(plan.side_by_side):
        folder = out / f"probe_{n}"
        shutil.rmtree(folder, ignore_errors=True)  # of a probe that was killed
        content = probe_input(PROBE_STEPS)
        content["training"] |= {"disp_freq": REPORT_EVERY_STEPS, "save_freq": PROBE_STEPS}
        write_json(folder / "input.json", content)
        jobs.append(train_job(f"probe {n}", folder, PROBE_STEPS, plan.resources))
    outcomes = run_jobs(jobs, token)
    if failed := [outcome.failure for outcome in outcomes if not outcome.ok]:
        raise EngineError(failed[0])
    seconds = max(seconds_per_step(job.log) for job in jobs)
    for job in jobs:
        shutil.rmtree(job.directory)
    steps = int(budget_hours * 3600.0 / plan.waves / seconds)
    if steps < PROBE_STEPS:
        raise RecipeError(
            f"budget_hours: {budget_hours:g} h are {steps} steps of {seconds:.3g} s for each of "
            f"the members here, expected at least {PROBE_STEPS}. Give more time, or a smaller "
            "network or committee."
        )
    write_json(
        path,
        {
            "steps": steps,
            "budget_hours": budget_hours,
            "seconds_per_step": seconds,
            "members_side_by_side": plan.side_by_side,
            "waves": plan.waves,
        },
    )
    tell(f"{steps} steps a member ({1000 * seconds:.0f} ms each).")
    return steps
