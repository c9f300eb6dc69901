"""DeePMD-kit: training, freezing and compressing, as jobs, and what their files say."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlip.engines.deepmd import ENVIRONMENT, dp_command, explain, script_command
from mlip.engines.executables import command
from mlip.errors import EngineError
from mlip.execution.job import Job, Progress, Resources
from mlip.files import replacing, write_json, write_text

LEARNING_CURVE = "lcurve.out"
CHECKPOINT_PATTERN = "model.ckpt-*.pt"
PIECE_BYTES = 4096


def train_command(processes: int = 1) -> tuple[str, ...]:
    """Return the words that train from ``input.json``, one process a graphics card.

    Several processes share each step: every one takes a batch of its own, and the gradients
    are averaged. They need graphics cards: DeePMD-kit 3.2 asks for NCCL.
    """
    # The statistics of neighbours come from the set: to count them again takes minutes.
    words = (*dp_command(), "train", "input.json", "--skip-neighbor-stat")
    if processes == 1:
        return words
    torchrun = command("torchrun", "LIPS_MLIP_TORCHRUN")
    # Standalone: a free port of its own, so that members can run side by side.
    return (*torchrun, "--standalone", f"--nproc_per_node={processes}", "--no-python", *words)


def train_job(
    name: str, directory: Path, steps: int, resources: Resources, *, start: Path | None = None
) -> Job:
    """Return the job that trains from ``input.json``, continuing from the last checkpoint.

    Parameters
    ----------
    name : str
    directory : Path
        Holds ``input.json``.
    steps : int
        As in ``input.json``.
    resources : Resources
        With `gpus` above one, a process runs on each.
    start : Path, optional
        Weights to begin with, of the same network: a checkpoint (.pt) or a frozen model (.pth).
    """
    checkpoint = last_checkpoint(directory)
    words = train_command(max(1, resources.gpus))
    beginning: tuple[str, ...] = ()
    if start is not None:
        option = "--init-frz-model" if start.suffix == ".pth" else "--init-model"
        beginning = (option, str(start))
    return Job(
        name=name,
        argv=(*words, *beginning),
        directory=directory,
        log=directory / "train.log",
        inputs=(directory / "input.json", *([start] if start is not None else [])),
        outputs=(directory / f"model.ckpt-{steps}.pt",),
        environment=ENVIRONMENT,
        resources=resources,
        checkpoint=checkpoint,
        resume_argv=(*words, "--restart", checkpoint.name if checkpoint else ""),
        progress=lambda: training_progress(directory, steps),
        explain=explain,
    )


def seconds_per_step(log: Path) -> float:
    """Return the mean wall time of a step of a finished training, from its log.

    DeePMD-kit leaves out the steps before its first report, in which it warms up.

    Raises
    ------
    EngineError
        If the log does not say.
    """
    text = log.read_text(errors="replace")
    found = re.findall(r"average training time: ([\d.]+) s/batch", text)
    if not found or float(found[-1]) <= 0.0:
        raise EngineError(f"{log}: no average training time, expected one at its end.")
    return float(found[-1])


def last_checkpoint(directory: Path) -> Path | None:
    """Return the newest checkpoint that is whole; a kill while writing leaves a torn one."""
    found = sorted(directory.glob(CHECKPOINT_PATTERN), key=checkpoint_step, reverse=True)
    return next((path for path in found if zipfile.is_zipfile(path)), None)


def checkpoint_step(path: Path) -> int:
    """Return the step in a checkpoint's name."""
    return int(path.stem.rpartition("-")[2])


def training_progress(directory: Path, steps: int) -> Progress | None:
    """Return the step and errors of the last batch from the end of the learning curve."""
    path = directory / LEARNING_CURVE
    if not path.is_file():
        return None
    with path.open("rb") as handle:
        head = handle.read(PIECE_BYTES)
        # Not the whole file: it is asked for several times a second, and grows for days.
        handle.seek(max(0, path.stat().st_size - PIECE_BYTES))
        tail = handle.read()
    names = next((_names(line) for line in _lines(head) if _names(line)), [])
    rows = _rows(names, _lines(tail))
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
    lines = _lines(path.read_bytes())
    names = next((_names(line) for line in lines if _names(line)), [])
    rows = {row["step"]: row for row in _rows(names, lines)}
    return [rows[step] for step in sorted(rows)]


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").splitlines()


def _names(line: str) -> list[str]:
    """Return the names of the columns if the line has them."""
    return line.lstrip("# ").split() if line.startswith("#") and "step" in line else []


def _rows(names: list[str], lines: list[str]) -> list[dict[str, float]]:
    """Return the whole lines of numbers, in the order of the file."""
    rows = []
    for line in lines:
        fields = line.split()
        if line.startswith("#") or not names or len(fields) != len(names):
            continue
        try:
            rows.append(dict(zip(names, map(float, fields), strict=True)))
        except ValueError:
            continue
    return rows


def freeze_job(name: str, directory: Path, checkpoint: Path, model: Path) -> Job:
    """Return the job that freezes a checkpoint to TorchScript."""
    return Job(
        name=name,
        argv=(*script_command(), "freeze", "-c", str(checkpoint), "-o", str(model)),
        directory=directory,
        log=directory / "freeze.log",
        inputs=(checkpoint,),
        outputs=(model,),
        environment=ENVIRONMENT,
        explain=explain,
    )


def compress_job(name: str, directory: Path, model: Path, compressed: Path, script: Path) -> Job:
    """Return the job that tabulates the embedding nets of a frozen model.

    Parameters
    ----------
    name : str
    directory : Path
    model, compressed : Path
    script : Path
        Input whose training data have the smallest distance that the table is made for, see
        `write_closest_pair`.
    """
    return Job(
        name=name,
        argv=(
            *script_command(),
            *("compress", "-i", str(model), "-o", str(compressed), "-t", str(script)),
        ),
        directory=directory,
        log=directory / "compress.log",
        inputs=(model, script),
        outputs=(compressed,),
        environment=ENVIRONMENT,
        explain=explain,
    )


def write_closest_pair(
    directory: Path, content: dict[str, Any], elements: Sequence[str], distance_angstrom: float
) -> Path:
    """Write an input for `compress_job` that knows the smallest distance; return its file.

    DeePMD-kit would search all frames for it. It is given two atoms at that distance instead.

    Parameters
    ----------
    directory : Path
        Gets ``closest.json`` and the two atoms in ``closest/``.
    content : dict
        Content of ``input.json``.
    elements : sequence of str
        Type map.
    distance_angstrom : float
    """
    pair = directory / "closest"
    (pair / "set.000").mkdir(parents=True, exist_ok=True)
    write_text(pair / "type.raw", "0\n0\n")
    write_text(pair / "type_map.raw", "\n".join(elements) + "\n")
    arrays = {
        "coord": np.array([[0.0, 0.0, 0.0, distance_angstrom, 0.0, 0.0]]),
        "box": 10.0 * distance_angstrom * np.eye(3).reshape(1, 9),
    }
    for name, array in arrays.items():
        with replacing(pair / "set.000" / f"{name}.npy") as path, path.open("wb") as handle:
            np.save(handle, array)
    training = {**content["training"], "training_data": {"systems": [str(pair)], "batch_size": 1}}
    write_json(directory / "closest.json", {**content, "training": training})
    return directory / "closest.json"
