"""Opening an output directory: done, to be resumed, fresh, or refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip.errors import InputError, MlipError
from mlip.files import fingerprint
from mlip.lock import locked
from mlip.manifest import (
    NAME,
    Manifest,
    differing_keys,
    missing_outputs,
    new_attempt,
    now,
    read_manifest,
    record_outputs,
    relative,
    versions,
    write_manifest,
)


@dataclass(frozen=True)
class Workspace:
    """An opened output directory.

    Attributes
    ----------
    directory : Path
        Where to write.
    manifest : Manifest
        Its provenance, already on disk.
    token : str
        Lock token, to be put into the environment of every engine (see `mlip.lock`).
    finished : bool
        True if the work is already done: nothing may be written.
    """

    directory: Path
    manifest: Manifest
    token: str
    finished: bool

    def finish(self, outputs: list[Path], summary: Mapping[str, Any]) -> None:
        """Record the outputs and the summary, and mark the directory complete."""
        self.manifest.outputs = record_outputs(self.directory, outputs)
        self.manifest.summary = dict(summary)
        self.manifest.status = "complete"
        write_manifest(self.directory, self.manifest)


@contextmanager
def open_workspace(
    directory: Path,
    *,
    kind: str,
    recipe: Mapping[str, Any],
    inputs: list[Path],
    seeds: Mapping[str, int] | None = None,
    overrides: list[str] | None = None,
    force: bool = False,
    notice: Callable[[str], None] = lambda text: None,
) -> Iterator[Workspace]:
    """Open an output directory for one piece of work.

    Parameters
    ----------
    directory : Path
        Output directory.
    kind : str
        What it will hold: set, model, validation, structure, run, labels, analysis, report.
    recipe : mapping
        Expanded recipe, JSON types only.
    inputs : list of Path
        Files and directories that the result depends on; they are fingerprinted.
    seeds : mapping, optional
        Random seeds by what they are for.
    overrides : list of str, optional
        Gates overridden on the command line.
    force : bool
        Move another finished or unfinished result in `directory` aside.
    notice : callable
        Told in one line what was moved, ended or resumed.

    Yields
    ------
    Workspace

    Raises
    ------
    InputError
        If the directory holds something else, another recipe, or has a live owner.
    """
    fingerprints = {relative(path, directory): fingerprint(path) for path in inputs}
    fresh = Manifest(
        kind=kind,
        recipe=dict(recipe),
        inputs=fingerprints,
        seeds=dict(seeds or {}),
        overrides=list(overrides or []),
        versions=versions(),
    )
    existing = _existing(directory)
    if existing is not None and not force:
        _require_same_work(directory, existing, fresh)
        if existing.status == "complete":
            missing = missing_outputs(directory, existing)
            if not missing:
                yield Workspace(directory, existing, token="", finished=True)
                return
            notice(f"{directory}: {', '.join(missing[:3])} missing or changed; made again.")
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory) as lock:
        if lock.ended:
            notice(f"{directory}: ended {len(lock.ended)} orphaned engine process(es).")
    if existing is not None and force:
        aside = directory.with_name(f"{directory.name}.old-{time.strftime('%Y%m%d-%H%M%S')}")
        directory.rename(aside)
        notice(f"{directory}: moved aside to {aside}.")
        directory.mkdir(parents=True)
        existing = None
    with locked(directory) as lock:
        manifest = existing or fresh
        manifest.status = "running"
        manifest.versions = fresh.versions
        manifest.overrides = sorted({*manifest.overrides, *fresh.overrides})
        manifest.attempts.append(new_attempt())
        if len(manifest.attempts) > 1:
            notice(f"{directory}: resuming (attempt {len(manifest.attempts)}).")
        write_manifest(directory, manifest)
        exit_code = 1
        try:
            yield Workspace(directory, manifest, token=lock.token, finished=False)
            exit_code = 0
        except MlipError as error:
            exit_code = error.exit_code
            raise
        except KeyboardInterrupt:
            exit_code = 5
            raise
        finally:
            manifest.attempts[-1].end = now()
            manifest.attempts[-1].exit_code = exit_code
            write_manifest(directory, manifest)


def set_damaged_aside(directory: Path, notice: Callable[[str], None]) -> list[str]:
    """Rename the outputs of a directory whose hash is not the recorded one.

    They then count as missing, and the same command makes them again.

    Returns
    -------
    list of str
        Their names, relative to `directory`; empty also where there is no manifest yet.
    """
    if not (directory / NAME).is_file():
        return []
    damaged = [
        name
        for name in missing_outputs(directory, read_manifest(directory), verify=True)
        if (directory / name).is_file()
    ]
    for name in damaged:
        path = directory / name
        path.rename(path.with_name(f"{path.name}.damaged"))
        notice(f"{path}: not what was written; moved to {path.name}.damaged and made again.")
    return damaged


def _existing(directory: Path) -> Manifest | None:
    if not directory.exists():
        return None
    if not directory.is_dir():
        raise InputError(f"{directory}: is a file; --out needs a directory.")
    if (directory / NAME).is_file():
        return read_manifest(directory)
    strangers = sorted(path.name for path in directory.iterdir() if path.name != "lock")
    if strangers:
        raise InputError(
            f"{directory}: holds {', '.join(strangers[:4])} but no {NAME}, so it was not made by "
            "mlip and is left alone. Choose another --out."
        )
    return None


def _require_same_work(directory: Path, existing: Manifest, fresh: Manifest) -> None:
    if existing.kind != fresh.kind:
        raise InputError(
            f"{directory}: holds a {existing.kind}, not a {fresh.kind}. Choose another --out."
        )
    keys = differing_keys(existing.recipe, fresh.recipe)
    keys += [f"input {key}" for key in differing_keys(existing.inputs, fresh.inputs)]
    if keys:
        raise InputError(
            f"{directory}: already holds work with another recipe or other inputs; these differ: "
            f"{', '.join(keys)}. Choose another --out, or --force to move the old one aside."
        )
