"""DeePMD-kit: its command, its failures, testing and evaluating models, as jobs."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.executables import command
from mlip.errors import EngineError
from mlip.execution.job import Job
from mlip.files import write_json

# Data loading in worker processes only costs memory for sets of this size.
ENVIRONMENT = {"NUM_WORKERS": "0"}

FAILURES: tuple[tuple[str, str], ...] = (
    (r"CUDA out of memory", "The GPU memory is too small: a smaller batch or network is needed."),
    (r"No space left on device", "The disk is full: free some space, then type it again."),
    (
        r"undefined symbol|c10::",
        "Torch is not the one deepmd-kit was built against: make install.",
    ),
    (r"MemoryError|Killed", "The machine ran out of memory."),
)


def dp_command() -> tuple[str, ...]:
    """Return the words that start ``dp`` with the PyTorch backend."""
    return (*command("dp", "LIPS_MLIP_DP"), "--pt")


def explain(tail: str) -> str:
    """Return cause and remedy of a failed DeePMD-kit call, or its last error line."""
    for pattern, meaning in FAILURES:
        if re.search(pattern, tail):
            return meaning
    errors = [line for line in tail.splitlines() if re.match(r"\w*(Error|Exception)\b", line)]
    return errors[-1] if errors else ""


def test_job(name: str, directory: Path, model: Path, system: Path, prefix: str) -> Job:
    """Return the job that runs ``dp test`` on all frames of one system."""
    return Job(
        name=name,
        argv=(
            *dp_command(),
            *("test", "-m", str(model), "-s", str(system), "-n", "0", "-d", prefix),
        ),
        directory=directory,
        log=directory / f"{prefix}.log",
        inputs=(model,),
        outputs=(directory / f"{prefix}.e.out", directory / f"{prefix}.f.out"),
        environment=ENVIRONMENT,
        explain=explain,
    )


@dataclass(frozen=True)
class Predicted:
    """Energies, forces and virials of F frames with N atoms.

    Attributes
    ----------
    energies : ndarray, shape (F,)
        In eV.
    forces : ndarray, shape (F, N, 3)
        In eV/Å.
    virials : ndarray, shape (F, 3, 3)
        In eV, potential part, DeePMD sign (pressure = trace / 3V). NaN if not given.
    """

    energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    virials: NDArray[np.float64]


def read_test_details(directory: Path, prefix: str, atoms: int) -> Predicted:
    """Read what ``dp test -d`` wrote for one system of `atoms` atoms.

    Raises
    ------
    EngineError
        If the detail files do not fit together.
    """
    energies = np.loadtxt(directory / f"{prefix}.e.out", ndmin=2)[:, -1]
    forces = np.loadtxt(directory / f"{prefix}.f.out", ndmin=2)[:, -3:]
    frames = len(energies)
    if len(forces) != frames * atoms:
        raise EngineError(
            f"{directory / prefix}.f.out: {len(forces)} rows, expected {frames} x {atoms}."
        )
    virial_file = directory / f"{prefix}.v.out"
    virials = np.full((frames, 3, 3), math.nan)
    if virial_file.is_file():
        virials = np.loadtxt(virial_file, ndmin=2)[:, -9:].reshape(frames, 3, 3)
    return Predicted(energies, forces.reshape(frames, atoms, 3), virials)


@dataclass(frozen=True)
class Prediction:
    """One evaluation in Python: a model on the frames of one system.

    Attributes
    ----------
    model : Path
        Frozen model.
    frames : Path
        ``.npz`` with coords (F, N, 3) in Å, cells (F, 3, 3) in Å, symbols (N,).
    output : Path
        ``.npz`` with energies (F,), forces (F, N, 3), virials (F, 3, 3), see `Predicted`.
    with_descriptors : bool
        Also descriptors (F, D): the network's own description of the surroundings of an atom,
        averaged over the atoms of each type of the model, types one after the other (zeros
        where a frame has none). Plain models only: compressed ones do not give it.
    """

    model: Path
    frames: Path
    output: Path
    with_descriptors: bool = False


def predict_job(name: str, directory: Path, predictions: Sequence[Prediction]) -> Job:
    """Return one job that evaluates many (model, system) pairs through ``DeepPot``."""
    request = directory / "predict.json"
    write_json(
        request,
        [
            {
                "model": str(p.model),
                "frames": str(p.frames),
                "output": str(p.output),
                "with_descriptors": p.with_descriptors,
            }
            for p in predictions
        ],
    )
    return Job(
        name=name,
        argv=(sys.executable, "-m", "mlip.engines.deepmd_predict", str(request)),
        directory=directory,
        log=directory / "predict.log",
        inputs=tuple(p.frames for p in predictions),
        outputs=tuple(p.output for p in predictions),
        environment=ENVIRONMENT,
        explain=explain,
    )


def read_prediction(path: Path) -> Predicted:
    """Read the output of `predict_job` for one pair."""
    with np.load(path) as archive:
        return Predicted(archive["energies"], archive["forces"], archive["virials"])


def read_descriptors(path: Path) -> NDArray[np.float64]:
    """Read the descriptors, shape (F, D), of a `Prediction` that asked for them."""
    with np.load(path) as archive:
        return np.asarray(archive["descriptors"])
