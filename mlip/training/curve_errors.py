"""Errors of a committee on test frames, by phase and element, with error bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.deepmd import Prediction, predict_job, read_prediction
from mlip.engines.deepmd_statics import write_task_frames
from mlip.execution.local import run_job
from mlip.training.sets import frame_rows, split_systems

ALL = "all"
# Of the bootstrap: the middle 95 %.
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class FrameSums:
    """Squared force errors of F test frames, summed by element over atoms and members.

    Attributes
    ----------
    phases : tuple of str, length F
    elements : tuple of str, length E
    squares : ndarray, shape (F, E)
        Sums of squared components, (eV/Å)^2.
    components : ndarray, shape (F, E)
        How many components each sum has.
    """

    phases: tuple[str, ...]
    elements: tuple[str, ...]
    squares: NDArray[np.float64]
    components: NDArray[np.float64]


@dataclass(frozen=True)
class ForceError:
    """Root mean square error of force components of one group.

    Attributes
    ----------
    phase, species : str
        'all' for no distinction.
    test_frames : int
    rmse, low, high : float
        In meV/Å, with the 95 % interval of a bootstrap over frames; NaN for a single frame,
        which says nothing of its spread.
    """

    phase: str
    species: str
    test_frames: int
    rmse: float
    low: float
    high: float


def frame_sums(
    models: Sequence[Path], data: Path, elements: Sequence[str], folder: Path, token: str
) -> FrameSums:
    """Evaluate a committee on the test split of a set.

    Parameters
    ----------
    models : sequence of Path
        Frozen members.
    data : Path
        Set directory with test frames.
    elements : sequence of str
        Type map.
    folder : Path
        For the inputs and outputs of the engine.
    token : str
        Lock token.

    Raises
    ------
    DataError
        If ``frames.csv`` cannot be read.
    EngineError
        If the evaluation fails.
    """
    systems = split_systems(data, "test")
    tasks: list[Prediction] = []
    types, references = {}, {}
    for system in systems:
        types[system] = np.loadtxt(system / "type.raw", dtype=int, ndmin=1)
        coords, cells, references[system] = _frames(system, len(types[system]))
        frames = folder / f"{system.name}.npz"
        symbols = [elements[kind] for kind in types[system]]
        write_task_frames(frames, symbols, coords, cells)
        for n, model in enumerate(models):
            tasks.append(Prediction(model, frames, folder / f"{system.name}.{n}.npz"))
    run_job(predict_job("test errors", folder, tasks), token)
    phases = {(row.system, row.row): row.phase for row in frame_rows(data) if row.split == "test"}
    found: list[str] = []
    squares, components = [], []
    for system in systems:
        found += [phases.get((system.name, row), "") for row in range(len(references[system]))]
        error = np.zeros((len(references[system]), len(types[system])))
        for n in range(len(models)):
            predicted = read_prediction(folder / f"{system.name}.{n}.npz").forces
            error += np.sum((predicted - references[system]) ** 2, axis=2)
        member = types[system] == np.arange(len(elements))[:, None]
        squares.append(error @ member.T)
        counts = 3.0 * len(models) * member.sum(axis=1)
        components.append(np.tile(counts, (len(references[system]), 1)))
    return FrameSums(
        tuple(found), tuple(elements), np.concatenate(squares), np.concatenate(components)
    )


def force_errors(sums: FrameSums, resamples: int, seed: int) -> list[ForceError]:
    """Return the error of all frames and of each phase, for all atoms and for each element.

    Parameters
    ----------
    sums : FrameSums
    resamples : int
        Of the bootstrap over frames (Efron and Tibshirani, An Introduction to the Bootstrap,
        chapter 13: percentile interval). Frames of one trajectory are alike, so the interval is
        too narrow; it does not hold the chance of the training either.
    seed : int
    """
    random = np.random.default_rng(seed)
    names = np.array(sums.phases)
    groups = [(ALL, np.arange(len(names)))]
    groups += [(phase or "unnamed", np.flatnonzero(names == phase)) for phase in sorted({*names})]
    if len(groups) == 2:
        groups = groups[:1]  # one phase alone is all
    columns = [(ALL, list(range(len(sums.elements))))]
    columns += [(element, [k]) for k, element in enumerate(sums.elements)]
    errors = []
    for phase, rows in groups:
        drawn = rows[random.integers(len(rows), size=(resamples, len(rows)))]
        for species, chosen in columns:
            squares = sums.squares[:, chosen].sum(axis=1)
            components = sums.components[:, chosen].sum(axis=1)
            if not components[rows].any():
                continue
            total = components[drawn].sum(axis=1)
            kept = total > 0.0  # a resample may hold no atom of the element
            resampled = 1000 * np.sqrt(squares[drawn].sum(axis=1)[kept] / total[kept])
            low, high = np.percentile(resampled, PERCENTILES) if len(rows) > 1 else (np.nan,) * 2
            rmse = 1000 * np.sqrt(squares[rows].sum() / components[rows].sum())
            errors.append(
                ForceError(phase, species, len(rows), float(rmse), float(low), float(high))
            )
    return errors


def _frames(
    system: Path, atoms: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return positions (F, N, 3) in Å, cells (F, 3, 3) in Å and forces (F, N, 3) in eV/Å."""
    parts = sorted(system.glob("set.*"))
    coords, boxes, forces = (
        np.concatenate([np.load(part / f"{name}.npy") for part in parts]).astype(float)
        for name in ("coord", "box", "force")
    )
    return (
        coords.reshape(-1, atoms, 3),
        boxes.reshape(-1, 3, 3),
        forces.reshape(-1, atoms, 3),
    )
