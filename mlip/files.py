"""Writing without half-written files, and fingerprints of files and directories."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlip.errors import DataError, InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block succeeds.

    Parameters
    ----------
    path : Path
        Final name. Its folder is created.

    Yields
    ------
    Path
        Name to write to; removed if the block raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` by rename."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON to `path` by rename; NaN is refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    DataError
        If the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable JSON file ({error}).") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of a directory's results.

    A directory made by this program is known by the outputs its manifest lists, so that
    attempts and times do not change it; another directory by all files below it.

    Raises
    ------
    InputError
        If `path` does not exist.
    """
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such file or directory.")
    manifest = path / "manifest.json"
    if manifest.is_file():
        outputs = read_json(manifest)["outputs"]
        entries = [(name, entry["sha256"]) for name, entry in outputs.items()]
    else:
        entries = [(str(f.relative_to(path)), sha256(f)) for f in path.rglob("*") if f.is_file()]
    digest = hashlib.sha256()
    for name, value in sorted(entries):
        digest.update(f"{name}\0{value}\n".encode())
    return digest.hexdigest()
