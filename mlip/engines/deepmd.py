"""DeePMD-kit: training, freezing, compressing, testing and evaluating, as jobs."""

from __future__ import annotations

import math
import re
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.executables import command
from mlip.errors import EngineError
from mlip.execution.job import Job, Progress, Resources
from mlip.files import write_json

# Data loading in worker processes only costs memory for sets of this size.
ENVIRONMENT = {"NUM_WORKERS": "0"}
LEARNING_CURVE = "lcurve.out"
CHECKPOINT_PATTERN = "model.ckpt-*.pt"

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


def train_job(name: str, directory: Path, steps: int, resources: Resources) -> Job:
    """Return the job that trains from ``input.json``, continuing from the last checkpoint."""
    checkpoint = last_checkpoint(directory)
    dp = dp_command()
    return Job(
        name=name,
        argv=(*dp, "train", "input.json"),
        directory=directory,
        log=directory / "train.log",
        inputs=(directory / "input.json",),
        outputs=(directory / f"model.ckpt-{steps}.pt",),
        environment=ENVIRONMENT,
        resources=resources,
        checkpoint=checkpoint,
        resume_argv=(
            *dp,
            "train",
            "input.json",
            "--restart",
            checkpoint.name if checkpoint else "",
        ),
        progress=lambda: training_progress(directory, steps),
        explain=explain,
    )


def last_checkpoint(directory: Path) -> Path | None:
    """Return the newest checkpoint that is whole; a kill while writing leaves a torn one."""
    found = sorted(directory.glob(CHECKPOINT_PATTERN), key=checkpoint_step, reverse=True)
    return next((path for path in found if zipfile.is_zipfile(path)), None)


def checkpoint_step(path: Path) -> int:
    """Return the step in a checkpoint's name."""
    return int(path.stem.rpartition("-")[2])


def training_progress(directory: Path, steps: int) -> Progress | None:
    """Return the step and errors of the last batch from the learning curve."""
    rows = read_learning_curve(directory / LEARNING_CURVE)
    if not rows:
        return None
    last = rows[-1]
    text = f"force {1000 * last['rmse_f_trn']:.0f} meV/Å (last batch)"
    return Progress(last["step"], steps, "step", text)


def read_learning_curve(path: Path) -> list[dict[str, float]]:
    """Read ``lcurve.out``: errors of single batches, eV per atom and eV/Å, by step.

    A torn last line (a kill while writing) is left out; after a resume the later row of
    a step counts.
    """
    if not path.is_file():
        return []
    names: list[str] = []
    rows: dict[float, dict[str, float]] = {}
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("#"):
            if "step" in line:
                names = line.lstrip("# ").split()
            continue
        fields = line.split()
        if len(fields) != len(names):
            continue
        try:
            row = dict(zip(names, map(float, fields), strict=True))
        except ValueError:
            continue
        rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]


def freeze_job(name: str, directory: Path, checkpoint: Path, model: Path) -> Job:
    """Return the job that freezes a checkpoint to TorchScript."""
    return Job(
        name=name,
        argv=(*dp_command(), "freeze", "-c", str(checkpoint), "-o", str(model)),
        directory=directory,
        log=directory / "freeze.log",
        inputs=(checkpoint,),
        outputs=(model,),
        environment=ENVIRONMENT,
        explain=explain,
    )


def compress_job(name: str, directory: Path, model: Path, compressed: Path) -> Job:
    """Return the job that tabulates the embedding nets of a frozen model."""
    return Job(
        name=name,
        argv=(*dp_command(), "compress", "-i", str(model), "-o", str(compressed)),
        directory=directory,
        log=directory / "compress.log",
        inputs=(model,),
        outputs=(compressed,),
        environment=ENVIRONMENT,
        explain=explain,
    )


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
