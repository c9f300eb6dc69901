"""Evaluating every potential of a committee on all frames of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from mlip.engines.deepmd import (
    Predicted,
    Prediction,
    predict_job,
    read_descriptors,
    read_prediction,
)
from mlip.errors import EngineError
from mlip.execution.job import Job, Progress, Resources
from mlip.execution.local import available_cores, run_jobs, visible_gpus
from mlip.validation.reference import FloatArray


class Structures(Protocol):
    """Frames of one composition in one order of atoms: what a potential needs to know."""

    @property
    def symbols(self) -> Sequence[str]:
        """Elements, length N."""

    @property
    def coords(self) -> FloatArray:
        """Positions, shape (F, N, 3), Å."""

    @property
    def cells(self) -> FloatArray:
        """Cell vectors in rows, shape (F, 3, 3), Å."""


def predict(
    models: Sequence[Path],
    systems: Sequence[Structures],
    folder: Path,
    token: str,
    label: str,
    *,
    described_by: Path | None = None,
) -> None:
    """Evaluate models on systems; `read_predicted` gives the result.

    One engine works through several models and all systems, since each start takes seconds.

    Parameters
    ----------
    models : sequence of Path
    systems : sequence of Structures
    folder : Path
        Scratch folder of this split.
    token : str
        Lock token of the workspace.
    label : str
        Name of the split in progress and errors.
    described_by : Path, optional
        The (plain) model that also gives its descriptors; see `read_described`.

    Raises
    ------
    EngineError
        If one of the engines failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for k, system in enumerate(systems):
        np.savez(
            folder / f"frames_{k}.npz",
            coords=system.coords,
            cells=system.cells,
            symbols=np.array(system.symbols),
        )
    workers = min(len(models), max(available_cores(), len(visible_gpus())))
    share = Resources(
        threads=max(1, available_cores() // workers), gpus=min(1, len(visible_gpus()))
    )
    jobs = [
        replace(
            _job(models[k::workers], len(systems), folder, f"{label} set {k}", described_by),
            resources=share,
        )
        for k in range(workers)
    ]
    failed = [outcome.failure for outcome in run_jobs(jobs, token) if not outcome.ok]
    if failed:
        raise EngineError(failed[0])


def read_predicted(folder: Path, model: Path, system: int) -> Predicted:
    """Read what `predict` found for one model and one system by its number."""
    return read_prediction(folder / model.stem / f"{system}.npz")


def read_described(folder: Path, model: Path, system: int) -> FloatArray:
    """Read the descriptors, shape (F, D), of the model that `predict` was told to describe by."""
    return read_descriptors(folder / model.stem / f"{system}.npz")


def committee_mean(members: Sequence[Predicted]) -> Predicted:
    """Return the mean of several predictions."""
    return Predicted(
        np.mean([member.energies for member in members], axis=0),
        np.mean([member.forces for member in members], axis=0),
        np.mean([member.virials for member in members], axis=0),
    )


def atom_deviations(members: Sequence[Predicted]) -> FloatArray:
    """Return sqrt(mean over members |f - <f>|^2) of every atom, shape (F, N), eV/Å.

    The model deviation of DP-GEN (doi:10.1016/j.cpc.2020.107206) and of LAMMPS'
    ``pair_style deepmd``.
    """
    forces = np.array([member.forces for member in members])
    departure = np.square(forces - forces.mean(axis=0)).sum(axis=-1)
    return np.sqrt(departure.mean(axis=0))


def _job(
    models: Sequence[Path], systems: int, folder: Path, name: str, described_by: Path | None
) -> Job:
    predictions = [
        Prediction(
            model.resolve(),
            folder / f"frames_{k}.npz",
            folder / model.stem / f"{k}.npz",
            with_descriptors=model == described_by,
        )
        for model in models
        for k in range(systems)
    ]
    for prediction in predictions:
        prediction.output.parent.mkdir(parents=True, exist_ok=True)
    own = folder / name.replace(" ", "_")
    own.mkdir(parents=True, exist_ok=True)
    job = predict_job(name, own, predictions)
    return replace(
        job,
        progress=lambda: Progress(
            sum(p.output.is_file() for p in predictions), len(predictions), "system"
        ),
    )
