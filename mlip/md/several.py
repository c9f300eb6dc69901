"""Several runs of one protocol, side by side as far as cores, cards and memory allow."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from mlip.engines.lammps_layout import known_layout
from mlip.engines.lammps_output import running_step
from mlip.errors import EngineError, GateError, InputError, InterruptedRunError, MlipError
from mlip.execution.job import Job, Outcome, Progress, Resources
from mlip.execution.local import (
    CORES_VARIABLE,
    available_cores,
    log_tail,
    run_jobs,
    visible_gpus,
)
from mlip.execution.shares import Share, share_out
from mlip.files import write_json
from mlip.manifest import NAME, read_manifest
from mlip.md.layout import kept_cores
from mlip.recipes.protocol import Protocol
from mlip.recipes.site import read_site

SHARE_OF_FREE = 0.95
GIB = 1024.0**3
# How the command line starts an error.
SAID = "mlip: "
ERRORS: tuple[type[MlipError], ...] = (InputError, GateError, EngineError, InterruptedRunError)


def unfinished(names: Sequence[str], out: Path) -> list[str]:
    """Return the runs of a directory of runs that have not come to their end."""
    return [
        name
        for name in names
        if not (out / name / NAME).is_file() or read_manifest(out / name).status != "complete"
    ]


def runs_of(protocol: Protocol, starts: Mapping[str, Path]) -> dict[str, tuple[Protocol, Path]]:
    """Return protocol and structure of each run by name, each with random numbers of its own."""
    found: dict[str, tuple[Protocol, Path]] = {}
    for structure, directory in starts.items():
        for single, name in zip(protocol.singles(), protocol.run_names(), strict=True):
            label = "_".join(word for word in (structure, name) if word)
            seeded = single.model_copy(update={"seed": protocol.seed + len(found)})
            found[label] = (seeded, directory)
    return found


def share_machine(waiting: Sequence[str], out: Path, models: Sequence[Path], atoms: int) -> Share:
    """Return how many runs go side by side, and what each of them gets.

    They go one after the other where the launcher of a site file starts them elsewhere.

    Parameters
    ----------
    waiting : sequence of str
        Names of the runs to be done.
    out : Path
        Directory of runs.
    models : sequence of Path
        Committee; the first drives.
    atoms : int
        Of the largest structure.
    """
    site, cores, gpus = read_site(), available_cores(), len(visible_gpus())
    if site.launcher:
        return Share(1, cores, gpus)
    pieces, least_gpus = len(waiting), 1
    # A run keeps what it has begun on.
    least_cores = max((kept_cores(out / name) for name in waiting), default=1)
    if site.ranks is not None:
        least_cores, least_gpus = site.ranks * (site.threads or 1), site.ranks

    def share(most_at_once: int) -> Share:
        return share_out(
            pieces,
            cores=cores,
            gpus=gpus,
            least_cores=least_cores,
            least_gpus=least_gpus,
            most_at_once=most_at_once,
        )

    most = site.runs_at_once or pieces
    found = share(most)
    measured = known_layout(models, atoms, found)
    if measured is not None and measured.memory_gib > 0 and found.at_once > 1:
        free_gib = SHARE_OF_FREE * psutil.virtual_memory().available / GIB
        found = share(min(most, max(1, int(free_gib / measured.memory_gib))))
    return found


def run_side_by_side(
    runs: Mapping[str, tuple[Protocol, Path]],
    out: Path,
    *,
    model: Path,
    models: Sequence[Path],
    atoms: int,
    options: Sequence[str],
    token: str,
) -> None:
    """Run what is not finished, each by an `mlip md` of its own; one that fails stops no other.

    Does nothing where there is room for one run at a time only.

    Parameters
    ----------
    runs : mapping of str to (Protocol, Path)
        Protocol and structure by name.
    out : Path
        Gets the directory ``NAME``, the protocol ``NAME.yml`` and the log ``NAME.log`` of each.
    model : Path
        Model directory.
    models : sequence of Path
        Its committee; the first drives.
    atoms : int
        Of the largest structure.
    options : sequence of str
        Of `mlip md`, for each run.
    token : str
        Lock token of `out`.

    Raises
    ------
    MlipError
        After all have ended, of the kind that the first failed run ended with.
    """
    waiting = unfinished(list(runs), out)
    share = share_machine(waiting, out, models, atoms)
    if share.at_once < 2:
        return
    jobs = []
    for name in waiting:
        protocol, structure = runs[name]
        # JSON is YAML.
        write_json(out / f"{name}.yml", protocol.expanded())
        jobs.append(_job(name, protocol, structure, out, model, options, share))
    failed = [outcome for outcome in run_jobs(jobs, token) if not outcome.ok]
    if failed:
        raise the_error(failed)


def _job(
    name: str,
    protocol: Protocol,
    structure: Path,
    out: Path,
    model: Path,
    options: Sequence[str],
    share: Share,
) -> Job:
    files = ("--model", str(model), "--structure", str(structure), "--out", str(out / name))
    return Job(
        name=name,
        argv=(sys.executable, "-m", "mlip.cli", "md", str(out / f"{name}.yml"), *files, *options),
        directory=out,
        log=out / f"{name}.log",
        outputs=(out / name / NAME,),
        environment={CORES_VARIABLE: str(share.cores)},
        resources=Resources(threads=share.cores, gpus=share.gpus),
        progress=_progress(out / name, protocol.programme()[-1].last_step),
    )


def _progress(directory: Path, last_step: int) -> Callable[[], Progress | None]:
    def progress() -> Progress | None:
        stages = sorted((directory / "stages").glob("[0-9]*"))
        if not stages:
            return None
        log = max(stages[-1].glob("log.*.lammps"), key=os.path.getmtime, default=None)
        step = running_step(log) if log else None
        if step is None:
            return None
        # A minimisation counts iterations of its own.
        return Progress(min(step, last_step), last_step, text=stages[-1].name[3:])

    return progress


def the_error(failed: Sequence[Outcome]) -> MlipError:
    """Return the error of the first run that failed; the others are named."""
    first, *others = failed
    _, found, said = f"\n{log_tail(first.job.log)}".rpartition(f"\n{SAID}")
    text = f"{first.job.name}: {said.strip()}" if found else first.failure
    if others:
        text += "\nAlso failed: " + ", ".join(str(entry.job.log) for entry in others)
    # A signal has a negative code.
    kinds = {kind.exit_code: kind for kind in ERRORS} | {MlipError.exit_code: MlipError}
    return kinds.get(first.exit_code, EngineError)(text)
