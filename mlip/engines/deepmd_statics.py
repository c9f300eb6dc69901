"""Static physics with DeePMD-kit, as jobs: single points, relaxations and elastic bands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlip.engines.deepmd import ENVIRONMENT, Predicted, explain
from mlip.execution.job import Job, Progress, Resources
from mlip.files import replacing, write_json

Kind = Literal["static", "ions", "cell", "band"]


@dataclass(frozen=True)
class StaticTask:
    """What one potential does with some frames of one composition.

    Attributes
    ----------
    kind : {'static', 'ions', 'cell', 'band'}
        Single points; relaxed positions; relaxed positions and cell, both of every frame on
        its own; or the frames as images of one path, relaxed as a climbing nudged elastic band
        between its ends.
    frames : Path
        ``.npz`` of `write_task_frames`.
    output : Path
        ``.npz`` that `read_statics` reads. A task whose output is there is not done again.
    """

    kind: Kind
    frames: Path
    output: Path


@dataclass(frozen=True)
class Statics:
    """Frames after a task, and what the potential gives for them.

    Attributes
    ----------
    coords : ndarray, shape (F, N, 3)
        In Å.
    cells : ndarray, shape (F, 3, 3)
        Rows are lattice vectors, in Å.
    predicted : Predicted
    converged : ndarray of bool, shape (F,)
        Whether the largest force (and stress times volume per atom, for cells) fell below the
        limit; true for single points that are finite. A frame that broke down is NaN.
    """

    coords: NDArray[np.float64]
    cells: NDArray[np.float64]
    predicted: Predicted
    converged: NDArray[np.bool_]


def write_task_frames(
    path: Path, symbols: Sequence[str], coords: NDArray[np.float64], cells: NDArray[np.float64]
) -> None:
    """Write frames (F, N, 3) and (F, 3, 3) in Å for a task."""
    with replacing(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, coords=coords, cells=cells, symbols=np.array(symbols))


def read_statics(path: Path) -> Statics:
    """Read the output of one task."""
    with np.load(path) as archive:
        return Statics(
            archive["coords"],
            archive["cells"],
            Predicted(archive["energies"], archive["forces"], archive["virials"]),
            archive["converged"],
        )


def statics_job(
    name: str,
    directory: Path,
    model: Path,
    tasks: Sequence[StaticTask],
    *,
    force_ev_per_angstrom: float,
    maximum_steps: int,
    resources: Resources,
) -> Job:
    """Return the job in which one potential works through tasks, one after the other.

    Parameters
    ----------
    name : str
    directory : Path
        Of the request and the log.
    model : Path
        Frozen, plain or compressed.
    tasks : sequence of StaticTask
    force_ev_per_angstrom : float
        Largest force that counts as relaxed.
    maximum_steps : int
        Of a relaxation; one that needs more counts as not converged.
    resources : Resources
    """
    request = directory / "statics.json"
    write_json(
        request,
        {
            "model": str(model.resolve()),
            "force_ev_per_angstrom": force_ev_per_angstrom,
            "maximum_steps": maximum_steps,
            "tasks": [
                {
                    "kind": t.kind,
                    "frames": str(t.frames.resolve()),
                    "output": str(t.output.resolve()),
                }
                for t in tasks
            ],
        },
    )
    return Job(
        name=name,
        argv=(sys.executable, "-m", "mlip.engines.deepmd_relax", str(request.resolve())),
        directory=directory,
        log=directory / "statics.log",
        inputs=tuple(task.frames for task in tasks),
        outputs=tuple(task.output for task in tasks),
        environment=ENVIRONMENT,
        resources=resources,
        progress=lambda: Progress(sum(task.output.is_file() for task in tasks), len(tasks), "task"),
        explain=explain,
    )
