"""DeePMD-kit: its command, its failures, testing and evaluating models, as jobs."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.deepmd_calls import BETWEEN, SCRIPT
from mlip.engines.executables import command
from mlip.errors import EngineError
from mlip.execution.job import Job, Progress
from mlip.files import write_json

# Words after the interpreter.
OF_CALLS = ("-m", "mlip.engines.deepmd_calls")
OF_SCRIPT = (*OF_CALLS, SCRIPT)

# Data loading in worker processes only costs memory for sets of this size.
ENVIRONMENT = {"NUM_WORKERS": "0"}

FAILURES: tuple[tuple[str, str], ...] = (
    (r"CUDA out of memory", "The GPU memory is too small: a smaller batch or network is needed."),
    (r"No space left on device", "The disk is full: free some space, then type it again."),
    (
        r"undefined symbol",
        "Torch is not the one deepmd-kit was built against: make install.",
    ),
    (r"MemoryError|Killed", "The machine ran out of memory."),
)


def dp_command() -> tuple[str, ...]:
    """Return the words that start ``dp`` with the PyTorch backend."""
    return (*command("dp", "LIPS_MLIP_DP"), "--pt")


def script_command() -> tuple[str, ...]:
    """Return the words that start ``dp`` where it writes TorchScript, see `deepmd_script`.

    A build of one's own writes its own code.
    """
    words = dp_command()
    if not _is_of_this_environment(words):
        return words
    return (sys.executable, *OF_SCRIPT, *words[1:])


def _is_of_this_environment(words: Sequence[str]) -> bool:
    return Path(words[0]).parent == Path(sys.prefix) / "bin"


def in_one_process(name: str, log: Path, jobs: Sequence[Job]) -> Job | None:
    """Return a job that makes the calls of ``dp`` of several jobs, one after the other.

    Importing DeePMD-kit takes ten seconds, which each of them would take again.

    Parameters
    ----------
    name : str
        Of the one job.
    log : Path
        Its log; it runs in the directory of the log.
    jobs : sequence of Job
        All of them write TorchScript (`script_command`), or none does. Paths in their words are
        absolute; what one writes, a later one may read.

    Returns
    -------
    Job or None
        None where nothing is gained: for fewer than two, and for another build of ``dp``, which
        may not be imported here.
    """
    if len(jobs) < 2 or not _is_of_this_environment(dp_command()):
        return None
    writes = jobs[0].argv[1 : 1 + len(OF_SCRIPT)] == OF_SCRIPT
    skipped = 1 + len(OF_SCRIPT) if writes else 1
    words = [word for job in jobs for word in (BETWEEN, *job.argv[skipped:])]
    made = tuple(path for job in jobs for path in job.outputs)
    return Job(
        name=name,
        argv=(sys.executable, *(OF_SCRIPT if writes else OF_CALLS), *words[1:]),
        directory=log.parent,
        log=log,
        inputs=tuple(path for job in jobs for path in job.inputs if path not in made),
        outputs=made,
        environment=ENVIRONMENT,
        progress=lambda: Progress(sum(path.is_file() for path in made), len(made), "file"),
        explain=explain,
    )


def explain(tail: str) -> str:
    """Return cause and remedy of a failed DeePMD-kit call, or its last error line."""
    for pattern, meaning in FAILURES:
        if re.search(pattern, tail):
            return meaning
    errors = [line for line in tail.splitlines() if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return errors[-1] if errors else ""


def dp_test_job(name: str, directory: Path, model: Path, systems: Path, prefix: str) -> Job:
    """Return the job that runs ``dp test`` on all frames of all systems below a folder."""
    return Job(
        name=name,
        argv=(
            *dp_command(),
            *("test", "-m", str(model), "-s", str(systems), "-n", "0"),
            *("-d", str(directory / prefix), "--log-path", str(_test_log(directory, prefix))),
        ),
        directory=directory,
        log=directory / f"{prefix}.screen",
        inputs=(model,),
        outputs=tuple(directory / f"{prefix}.{kind}.out" for kind in "efv"),
        environment=ENVIRONMENT,
        explain=explain,
    )


def _test_log(directory: Path, prefix: str) -> Path:
    return directory / f"{prefix}.log"


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
        In eV, potential part, DeePMD sign (pressure = trace / 3V).
    """

    energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    virials: NDArray[np.float64]


def read_test_details(
    directory: Path, prefix: str, shapes: Mapping[Path, tuple[int, int]]
) -> dict[Path, Predicted]:
    """Read what ``dp test -d`` wrote for its systems.

    Parameters
    ----------
    directory, prefix
        As in `dp_test_job`.
    shapes : mapping of Path to (int, int)
        Frames and atoms of every system. The files hold all systems one after the other, in an
        order that only the log tells.

    Raises
    ------
    EngineError
        If the log names other systems, or the detail files do not fit them.
    """
    log = _test_log(directory, prefix)
    order = [Path(name) for name in re.findall(r"# testing system : (.+)", log.read_text())]
    if sorted(order) != sorted(shapes):
        raise EngineError(
            f"{log}: dp test evaluated {', '.join(map(str, order)) or 'nothing'}; expected "
            f"{', '.join(map(str, shapes))}."
        )
    rows = {"e": [shapes[name][0] for name in order]}
    rows["v"] = rows["e"]
    rows["f"] = [shapes[name][0] * shapes[name][1] for name in order]
    parts = {
        kind: _parts(directory / f"{prefix}.{kind}.out", counts) for kind, counts in rows.items()
    }
    found = {}
    for k, name in enumerate(order):
        frames, atoms = shapes[name]
        found[name] = Predicted(
            parts["e"][k][:, -1],
            parts["f"][k][:, -3:].reshape(frames, atoms, 3),
            parts["v"][k][:, -9:].reshape(frames, 3, 3),
        )
    return found


def _parts(path: Path, counts: Sequence[int]) -> list[NDArray[np.float64]]:
    table = np.loadtxt(path, ndmin=2)
    if len(table) != sum(counts):
        raise EngineError(f"{path}: {len(table)} rows, expected {sum(counts)}.")
    return np.split(table, np.cumsum(counts)[:-1])


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
