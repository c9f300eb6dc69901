"""Molecular dynamics through the states of a round: runs in, frames out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from analysis.errors import AnalysisError
from analysis.reading.runs import open_run
from mlip.errors import BlowUpError
from mlip.execution.progress import tell
from mlip.files import read_json, replacing, write_json
from mlip.md.run import md
from mlip.recipes.explore import ExploreRecipe, State
from mlip.recipes.protocol import Protocol
from mlip.structures.geometry import supercell

STAGE = "visit"
# Runs of the two kinds differ in their velocities alone; training never sees the second kind.
SPLITS = ("train", "test")
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


def run_round(
    recipe: ExploreRecipe, number: int, model: Path, structures: Mapping[str, Path], folder: Path
) -> list[Visit]:
    """Run every state of a round; a run that breaks down ends its state, not the round.

    Parameters
    ----------
    recipe : ExploreRecipe
    number : int
        Of the round, from 1.
    model : Path
        Model directory with proven parity.
    structures : mapping of str to Path
        Structure directories by state.
    folder : Path
        Of the runs.

    Returns
    -------
    list of Visit
        Those that have a trajectory to look at.

    Raises
    ------
    BlowUpError
        If not one run ended.
    """
    visits: list[Visit] = []
    outcomes = []
    for index, state in enumerate(recipe.states):
        if state.from_round > number:
            continue
        for side, split in enumerate(SPLITS):
            seed = recipe.seed + 10_000 * number + 20 * index + side
            for visit, outcome in _visits(recipe, state, split, seed, model, structures, folder):
                visits.append(visit)
                outcomes.append(outcome)
    if outcomes and ENDED not in {outcome["result"] for outcome in outcomes}:
        raise BlowUpError(
            f"{folder}: every run broke down, the first with: {outcomes[0]['said']} Train longer, "
            "begin with more or hotter data, or shorten sampling.timestep_fs; then start anew "
            "with --force."
        )
    return [visit for visit in visits if (visit.directory / "trajectory.json").is_file()]


def _visits(
    recipe: ExploreRecipe,
    state: State,
    split: str,
    seed: int,
    model: Path,
    structures: Mapping[str, Path],
    folder: Path,
) -> Iterator[tuple[Visit, dict[str, str]]]:
    """Run the temperatures of a state one after the other, until one breaks down."""
    structure = structures[state.name]
    for step, temperature in enumerate(state.temperatures_kelvin):
        name = f"{state.name}-{split}-{step:02d}-{temperature:g}K"
        start_ps = step * state.duration_ps
        visit = Visit(state, split, temperature, folder / name, structure, seed, start_ps)
        outcome = _run(recipe, visit, model, folder / f"{name}.json")
        yield visit, outcome
        if outcome["result"] != ENDED:
            return
        structure = _next_start(visit, folder / f"{name}-end")


def _run(recipe: ExploreRecipe, visit: Visit, model: Path, record: Path) -> dict[str, str]:
    """Run once; what broke down stays so, since the same run would break down again."""
    if record.is_file():
        return dict(read_json(record))
    outcome = {"result": ENDED, "said": ""}
    try:
        md(
            protocol_of(recipe, visit),
            visit.directory,
            model=model,
            structure=visit.structure,
        )
    except BlowUpError as error:
        outcome = {"result": BROKE_DOWN, "said": str(error).splitlines()[0]}
        tell(f"{visit.name}: broke down; frames before that are looked at.")
    write_json(record, outcome)
    return outcome


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


def _next_start(visit: Visit, folder: Path) -> Path:
    """Write the end of a run as a structure directory for the next temperature."""
    final = ase.io.read(visit.directory / "final.extxyz")
    start = supercell(Atoms(final.symbols, final.positions, cell=final.cell, pbc=True), (1, 1, 1))
    start.set_array("origin", final.arrays["origin"])
    path = folder / "structure.extxyz"
    if not path.is_file():
        with replacing(path) as temporary:
            ase.io.write(
                temporary, start, format="extxyz", columns=["symbols", "positions", "origin"]
            )
    return folder


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
