"""Molecular dynamics through the states of a round: series of visits in, runs out.

A series is one state with one set of velocities, all its temperatures one after the other. Cells
for labels are too small for a whole machine, so that series run side by side, each in a process of
its own with its share of the cores, or one on each graphics card.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms

from analysis.errors import AnalysisError
from analysis.reading.runs import open_run
from mlip.errors import BlowUpError, EngineError
from mlip.execution.job import Job, Outcome, Progress, Resources
from mlip.execution.local import CORES_VARIABLE, available_cores, run_jobs, visible_gpus
from mlip.execution.progress import reporter, tell
from mlip.files import read_json, write_json
from mlip.recipes.explore import ExploreRecipe, State
from mlip.recipes.protocol import Protocol

STAGE = "visit"
# Runs of the two kinds differ in their velocities alone; training never sees the second kind.
TRAIN, TEST = "train", "test"
SPLITS = (TRAIN, TEST)
ENDED, BROKE_DOWN = "ended", "broke down"


@dataclass(frozen=True)
class Visit:
    """One run of one state at one temperature.

    Attributes
    ----------
    state : State
    split : {'train', 'test'}
        What its frames may be used for.
    temperature_kelvin : float
    directory : Path
        Run directory.
    structure : Path
        Structure directory that it starts from.
    seed : int
        Of the velocities.
    start_ps : float
        Time in the series of temperatures at which it begins.
    """

    state: State
    split: str
    temperature_kelvin: float
    directory: Path
    structure: Path
    seed: int
    start_ps: float

    @property
    def series(self) -> str:
        """Return the name of the series of temperatures that it belongs to."""
        return f"{self.state.name}-{self.split}"

    @property
    def name(self) -> str:
        """Return the name of the run within the round."""
        return f"{self.series}-{self.temperature_kelvin:g}K"

    @property
    def record(self) -> Path:
        """Return the file that tells how the run ended; there when it has."""
        return self.directory.with_name(f"{self.directory.name}.json")

    @property
    def end(self) -> Path:
        """Return the structure directory of its end, where the next temperature starts."""
        return self.directory.with_name(f"{self.directory.name}-end")


def series_of(
    recipe: ExploreRecipe,
    number: int,
    structures: Mapping[str, Path],
    folder: Path,
    splits: Sequence[str] = SPLITS,
) -> dict[str, list[Visit]]:
    """Return the visits of a round by series, in the order in which they follow each other.

    Parameters
    ----------
    recipe : ExploreRecipe
    number : int
        Of the round, from 1.
    structures : mapping of str to Path
        Structure directories by state.
    folder : Path
        Of the runs.
    splits : sequence of str
        Kinds of series.
    """
    found: dict[str, list[Visit]] = {}
    for index, state in enumerate(recipe.states):
        if state.from_round > number:
            continue
        for split in splits:
            side = SPLITS.index(split)
            seed = recipe.seed + 10_000 * number + 20 * index + side
            structure = structures[state.name]
            visits = []
            for step, kelvin in enumerate(state.temperatures_kelvin):
                directory = folder / f"{state.name}-{split}-{step:02d}-{kelvin:g}K"
                start_ps = step * state.duration_ps
                visit = Visit(state, split, kelvin, directory, structure, seed, start_ps)
                visits.append(visit)
                structure = visit.end
            found[visits[0].series] = visits
    return found


def ended(visits: Sequence[Visit]) -> list[Visit]:
    """Return the visits of a series that were made; the last of them may have broken down."""
    made: list[Visit] = []
    for visit in visits:
        if not visit.record.is_file():
            break
        made.append(visit)
        if read_json(visit.record)["result"] != ENDED:
            break
    return made


def is_done(visits: Sequence[Visit]) -> bool:
    """Return whether a series has come to its end."""
    made = ended(visits)
    return len(made) == len(visits) or (
        bool(made) and read_json(made[-1].record)["result"] != ENDED
    )


def run_round(
    recipe: ExploreRecipe,
    number: int,
    model: Path,
    structures: Mapping[str, Path],
    folder: Path,
    token: str,
    splits: Sequence[str] = SPLITS,
) -> list[Visit]:
    """Run every state of a round; a run that breaks down ends its series, not the round.

    Parameters
    ----------
    recipe, number, structures, folder, splits
        As for `series_of`.
    model : Path
        Model directory with proven parity.
    token : str
        Lock token of the loop's directory.

    Returns
    -------
    list of Visit
        Those that have a trajectory to look at.

    Raises
    ------
    EngineError
        If a run failed for another reason than a potential that is not good enough.
    BlowUpError
        If not one run ended.
    InterruptedRunError
        On Ctrl-C or SIGTERM.
    """
    series = series_of(recipe, number, structures, folder, splits)
    total = sum(len(visits) for visits in series.values())
    waiting = [name for name, visits in series.items() if not is_done(visits)]
    # The longest first, so that none is left alone at the end.
    waiting.sort(key=lambda name: -len(series[name]) * series[name][0].state.duration_ps)
    resources = _share(len(waiting))

    def progress(name: str) -> Progress:
        done = sum(len(ended(visits)) for visits in series.values())
        return Progress(done, total, "run", name)

    def stop_at_a_failure(job: Job, outcome: Outcome) -> None:
        if not outcome.ok:
            raise EngineError(outcome.failure)

    jobs = []
    for name in waiting:
        task = folder / "series" / f"{name}.json"
        content = {
            "recipe": recipe.expanded(),
            "round": number,
            "series": name,
            "model": str(model),
            "structures": {state: str(path) for state, path in structures.items()},
            "runs": str(folder),
        }
        write_json(task, content)
        jobs.append(_job(name, task, resources, partial(progress, name)))
    with reporter() as show:
        run_jobs(jobs, token, show=lambda name, now: show("visit", now), ended=stop_at_a_failure)
    made = [visit for visits in series.values() for visit in ended(visits)]
    outcomes = [read_json(visit.record) for visit in made]
    for visit, outcome in zip(made, outcomes, strict=True):
        if outcome["result"] != ENDED:
            tell(f"{visit.name}: broke down; frames before that are looked at.")
    if outcomes and ENDED not in {outcome["result"] for outcome in outcomes}:
        raise BlowUpError(
            f"{folder}: every run broke down, the first with: {outcomes[0]['said']} Train longer, "
            "begin with more or hotter data, or shorten sampling.timestep_fs; then start anew "
            "with --force."
        )
    return [visit for visit in made if (visit.directory / "trajectory.json").is_file()]


def _job(name: str, task: Path, resources: Resources, progress: Callable[[], Progress]) -> Job:
    """Return the job that runs one series, `mlip.explore.series`."""
    return Job(
        name=f"visit {name}",
        argv=(sys.executable, "-m", "mlip.explore.series", str(task)),
        directory=task.parent,
        log=task.with_suffix(".log"),
        inputs=(task,),
        environment={CORES_VARIABLE: str(resources.cores)},
        resources=resources,
        progress=progress,
    )


def _share(series: int) -> Resources:
    """Return what one series gets of this machine, if so many are to run."""
    cores, gpus = available_cores(), len(visible_gpus())
    side_by_side = max(1, min(series, gpus or cores))
    return Resources(threads=max(1, cores // side_by_side), gpus=min(1, gpus))


def protocol_of(recipe: ExploreRecipe, visit: Visit) -> Protocol:
    """Return the protocol of a visit: a short minimisation, then dynamics."""
    settings, state = recipe.sampling, visit.state
    every = max(1, round(settings.frame_every_ps * 1000.0 / settings.timestep_fs))
    dynamics: dict[str, object] = {"name": STAGE, "duration_ps": state.duration_ps}
    if state.pressure_gpa is None:
        dynamics |= {"kind": "nvt", "cell": "keep"}
    else:
        dynamics |= {"kind": "npt", "pressure_gpa": state.pressure_gpa, "barostat": state.barostat}
    first = visit.start_ps == 0.0
    minimise = {"kind": "minimise", "maximum_steps": settings.minimise_steps}
    return Protocol.model_validate(
        {
            "temperatures_kelvin": [visit.temperature_kelvin],
            "timestep_fs": settings.timestep_fs,
            "seed": visit.seed,
            "stages": [minimise, dynamics] if first else [dynamics],
            "thermo_every_steps": every,
            "trajectory_every_steps": every,
            "deviation_every_steps": every,
            "restart_every_steps": max(1000, every),
        }
    )


def frames_of(visit: Visit) -> list[tuple[float, Atoms]]:
    """Return time in the series (ps) and structure of every frame of a visit after its start.

    A run that blew up ends before its first frame with coordinates that are not numbers.
    """
    purpose = "production" if visit.state.pressure_gpa is None else "equilibration"
    try:
        trajectory = open_run(visit.directory, purpose=purpose, stage=STAGE)
    except AnalysisError as error:
        tell(f"{visit.name}: {error}")
        return []
    frames: list[tuple[float, Atoms]] = []
    try:
        for frame in trajectory.frames():
            if not np.isfinite(frame.positions).all() or not np.isfinite(frame.cell).all():
                break
            atoms = Atoms(trajectory.species, frame.positions, cell=frame.cell, pbc=True)
            frames.append((frame.time_ps, atoms))
    except AnalysisError as error:
        tell(f"{visit.name}: {error}")
    return [(visit.start_ps + time, atoms) for time, atoms in frames if time > 0.0]
