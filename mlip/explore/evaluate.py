"""What the committee says of frames: deviation of every atom, and where a frame lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip.engines.deepmd import (
    Prediction,
    predict_job,
    read_descriptors,
    read_prediction,
)
from mlip.errors import EngineError
from mlip.execution.job import Resources
from mlip.execution.local import available_cores, run_jobs, visible_gpus
from mlip.explore.select import FloatArray
from mlip.validation.predictions import atom_deviations, committee_mean


@dataclass(frozen=True)
class Judged:
    """The committee's word on one frame of N atoms.

    Attributes
    ----------
    deviation : ndarray, shape (N,)
        sqrt(mean over members |f - <f>|^2) of each atom, eV/Å.
    forces : ndarray, shape (N, 3)
        Mean of the committee, eV/Å.
    descriptor : ndarray, shape (D,)
        The first member's description, averaged over the atoms of each element.
    """

    deviation: FloatArray
    forces: FloatArray
    descriptor: FloatArray


def judge(
    members: Sequence[Path], frames: Sequence[Atoms], folder: Path, token: str
) -> list[Judged]:
    """Evaluate every member on every frame.

    Parameters
    ----------
    members : sequence of Path
        Plain (not compressed) potentials.
    frames : sequence of Atoms
        Of any compositions.
    folder : Path
        Scratch folder.
    token : str
        Lock token of the workspace.

    Returns
    -------
    list of Judged
        In the order of `frames`.

    Raises
    ------
    EngineError
        If an evaluation failed.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for k, atoms in enumerate(frames):
        groups.setdefault(tuple(atoms.get_chemical_symbols()), []).append(k)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (symbols, index) in enumerate(groups.items()):
        np.savez(
            folder / f"frames_{number}.npz",
            coords=np.array([frames[k].positions for k in index]),
            cells=np.array([frames[k].cell.array for k in index]),
            symbols=np.array(symbols),
        )
    _predict(members, len(groups), folder, token)
    judged: dict[int, Judged] = {}
    for number, index in enumerate(groups.values()):
        read = [read_prediction(folder / f"{model.stem}_{number}.npz") for model in members]
        deviation, mean = atom_deviations(read), committee_mean(read)
        descriptors = read_descriptors(folder / f"{members[0].stem}_{number}.npz")
        for row, k in enumerate(index):
            judged[k] = Judged(deviation[row], mean.forces[row], descriptors[row])
    return [judged[k] for k in range(len(frames))]


def _predict(members: Sequence[Path], groups: int, folder: Path, token: str) -> None:
    """Run the members side by side, each over all groups."""
    side_by_side = min(len(members), max(available_cores(), len(visible_gpus())))
    share = Resources(
        threads=max(1, available_cores() // side_by_side), gpus=min(1, len(visible_gpus()))
    )
    jobs = []
    for n, model in enumerate(members):
        own = folder / model.stem
        own.mkdir(exist_ok=True)
        predictions = [
            Prediction(
                model.resolve(),
                folder / f"frames_{number}.npz",
                folder / f"{model.stem}_{number}.npz",
                with_descriptors=n == 0,
            )
            for number in range(groups)
        ]
        jobs.append(replace(predict_job(f"judge {model.stem}", own, predictions), resources=share))
    failed = [outcome.failure for outcome in run_jobs(jobs, token) if not outcome.ok]
    if failed:
        raise EngineError(failed[0])
