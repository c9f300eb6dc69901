"""Speed and memory of the potential that drives MD, measured by a short run."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlip.engines.lammps import lammps_job, layout
from mlip.engines.lammps_speed import Timing, read_timings, speed_script
from mlip.execution.job import Resources
from mlip.execution.local import run_job
from mlip.files import write_text
from mlip.model_directory import ModelDirectory
from mlip.validation.parity_frames import ParityFrames, write_lammps_data

SCHEMA = 1
SPEED = "speed.json"
STEPS = 20
# The smaller cell, as a part of the larger: memory per atom is the slope between them.
SMALL_PART = 0.25


@dataclass(frozen=True)
class Speed:
    """What one step of one atom costs.

    Attributes
    ----------
    model : str
    device : str
        Processor or graphics cards, ranks and threads.
    gpu : bool
    atoms : int
        Of the larger cell.
    atom_steps_per_second : float
    core_use : float or None
        Share of its cores that the engine got; below 1 others used them. None on a GPU.
    atom_steps_per_core_second : float or None
    memory_mebibyte : float
        Of all ranks with the larger cell.
    memory_kibibyte_per_atom : float or None
        Growth from the smaller to the larger cell; None if the start of the engine took more
        than both.
    """

    model: str
    device: str
    gpu: bool
    atoms: int
    atom_steps_per_second: float
    core_use: float | None
    atom_steps_per_core_second: float | None
    memory_mebibyte: float
    memory_kibibyte_per_atom: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the speed as JSON types."""
        return {"schema": SCHEMA, **self.__dict__}


def measure_speed(
    model: ModelDirectory, frames: ParityFrames, atoms: int, folder: Path, token: str
) -> Speed:
    """Run the potential that MD is driven with on two sizes of one cell.

    Parameters
    ----------
    model : ModelDirectory
    frames : ParityFrames
        The first frame is repeated.
    atoms : int
        Least number of atoms of the larger cell.
    folder : Path
        Scratch folder.
    token : str
        Lock token of the workspace.

    Raises
    ------
    EngineError
        If LAMMPS failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, script = folder / "cell.data", folder / "in.speed"
    write_lammps_data(data, frames, 0, model.type_map)
    count = len(frames.symbols)
    edges = np.linalg.norm(frames.cells[0], axis=1)
    large = repeats_for(edges, count, atoms)
    small = repeats_for(edges, count, round(SMALL_PART * count * int(np.prod(large))))
    file = model.fastest[0].resolve()
    write_text(
        script, speed_script(data, file, model.type_map, list(dict.fromkeys((small, large))), STEPS)
    )
    resources = layout(compressed=bool(model.compressed))
    job = lammps_job("speed", folder, script, folder / "log.speed", resources=resources)
    run_job(job, token)
    return speed_of(file.name, read_timings(job.log), resources)


def repeats_for(edges: np.ndarray, count: int, atoms: int) -> tuple[int, int, int]:
    """Return the repeats of a cell of `count` atoms that hold at least `atoms`.

    The shortest edge is repeated first, so that the cell becomes as cubic as it can.
    """
    repeats = [1, 1, 1]
    while count * int(np.prod(repeats)) < atoms:
        repeats[int(np.argmin(np.asarray(edges) * repeats))] += 1
    return repeats[0], repeats[1], repeats[2]


def speed_of(model: str, timings: list[Timing], resources: Resources) -> Speed:
    """Return the speed on the last of the cells that were run, and the growth of memory to it."""
    first, last = timings[0], timings[-1]
    speed = last.atoms * last.steps / last.seconds
    use = last.processor_use / resources.threads
    growth = (last.memory_mebibyte - first.memory_mebibyte) * resources.ranks * 1024
    return Speed(
        model=model,
        device=_device(resources),
        gpu=bool(resources.gpus),
        atoms=last.atoms,
        atom_steps_per_second=speed,
        core_use=None if resources.gpus else use,
        atom_steps_per_core_second=None if resources.gpus else speed / (use * resources.cores),
        memory_mebibyte=last.memory_mebibyte * resources.ranks,
        memory_kibibyte_per_atom=growth / (last.atoms - first.atoms) if growth > 0 else None,
    )


def _device(resources: Resources) -> str:
    layout_words = f"{resources.ranks} rank(s) of {resources.threads} thread(s)"
    if resources.gpus:
        return f"{resources.gpus} GPU(s), {layout_words}"
    return f"CPU ({platform.machine()}), {layout_words}"
