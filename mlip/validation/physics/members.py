"""What every potential of a committee gives for sets of frames, kept for a resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlip.engines.deepmd_statics import (
    Kind,
    Statics,
    StaticTask,
    read_statics,
    statics_job,
    write_task_frames,
)
from mlip.errors import EngineError
from mlip.execution.job import Resources
from mlip.execution.local import available_cores, run_jobs, visible_gpus
from mlip.recipes.physics import Relaxation
from mlip.validation.physics.frames import FrameSet


@dataclass(frozen=True)
class Work:
    """Frames and what is done with each of them, see `mlip.engines.deepmd_statics.StaticTask`."""

    kind: Kind
    frames: FrameSet


def evaluate_members(
    models: Sequence[Path],
    work: Sequence[Mapping[str, Work]],
    directory: Path,
    token: str,
    relaxation: Relaxation,
) -> list[dict[str, Statics]]:
    """Let each potential work through its frames, one process each, side by side.

    Parameters
    ----------
    models : sequence of Path
    work : sequence of mapping of str to Work
        For each potential, by a name that serves as file name.
    directory : Path
        Where ``<model>/<name>.npz`` are kept; what is there is not computed again.
    token : str
        Lock token of the workspace.
    relaxation : Relaxation

    Returns
    -------
    list of dict of str to Statics
        For each potential, by the names of `work`.

    Raises
    ------
    EngineError
        If one of the engines failed.
    """
    workers = min(len(models), max(available_cores(), len(visible_gpus())))
    share = Resources(
        threads=max(1, available_cores() // workers), gpus=min(1, len(visible_gpus()))
    )
    jobs = []
    for model, wanted in zip(models, work, strict=True):
        folder = directory / model.stem
        tasks = []
        for name, entry in wanted.items():
            if (folder / f"{name}.npz").is_file():
                continue
            frames = folder / f"{name}.frames.npz"
            write_task_frames(frames, entry.frames.symbols, entry.frames.coords, entry.frames.cells)
            tasks.append(StaticTask(entry.kind, frames, folder / f"{name}.npz"))
        if tasks:
            jobs.append(
                statics_job(
                    f"physics {model.stem}",
                    folder.resolve(),
                    model,
                    tasks,
                    force_ev_per_angstrom=relaxation.force_ev_per_angstrom,
                    maximum_steps=relaxation.maximum_steps,
                    resources=share,
                )
            )
    failed = [outcome.failure for outcome in run_jobs(jobs, token) if not outcome.ok]
    if failed:
        raise EngineError(failed[0])
    return [
        {name: read_statics(directory / model.stem / f"{name}.npz") for name in wanted}
        for model, wanted in zip(models, work, strict=True)
    ]
