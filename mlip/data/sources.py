"""Files of a source: what a path stands for, compressed text, and large files in pieces."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from mlip.errors import DataError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SUFFIXES = ("", *OPENERS)
TORN = (OSError, EOFError, zlib.error, lzma.LZMAError)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a plain or compressed (.gz, .bz2, .xz) text file.

    Raises
    ------
    DataError
        If it cannot be read or unpacked.
    """
    opener = OPENERS.get(path.suffix)
    try:
        if opener is None:
            with path.open(encoding="utf-8", errors="replace") as plain:
                yield plain
        else:
            with opener(path, "rt", encoding="utf-8", errors="replace") as packed:
                yield packed
    except TORN as error:
        raise DataError(f"{path}: cannot be read ({error}). Copy or unpack it again.") from error


def read_text(path: Path, characters: int = -1) -> str:
    """Return the text, or the first `characters` of it, of a plain or compressed file.

    Raises
    ------
    DataError
        If it cannot be read or unpacked.
    """
    with open_text(path) as handle:
        return handle.read(characters)


def plain_name(path: Path) -> str:
    """Return the name of a file without the suffix of a compression."""
    return path.stem if path.suffix in OPENERS else path.name


@contextmanager
def unpacked(files: Iterable[Path], root: Path) -> Iterator[Path]:
    """Give a temporary directory with the files under their plain names.

    The libraries open files by name. Plain files are linked, compressed ones unpacked.

    Parameters
    ----------
    files : iterable of Path
        Below `root`; their places below it are kept.
    root : Path
    """
    with tempfile.TemporaryDirectory(prefix="mlip-ingest-") as name:
        for path in files:
            place = Path(name) / path.relative_to(root).parent / plain_name(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in OPENERS:
                with open_text(path) as source, place.open("w", encoding="utf-8") as target:
                    shutil.copyfileobj(source, target)
            else:
                place.symlink_to(path.resolve())
        yield Path(name)


def pieces(
    lines: Iterable[str], ends_step: Callable[[str], bool], steps: int
) -> Iterator[tuple[list[str], bool]]:
    """Cut the lines of a trajectory into pieces of at most `steps` whole steps.

    Yields
    ------
    lines : list of str
    whole : bool
        False for what follows the last step: a tail, or a step that was cut off.
    """
    complete: list[str] = []
    begun: list[str] = []
    found = 0
    for line in lines:
        begun.append(line)
        if ends_step(line):
            complete += begun
            begun, found = [], found + 1
            if found == steps:
                yield complete, True
                complete, found = [], 0
    if complete:
        yield complete, True
    if begun:
        yield begun, False


@contextmanager
def written(lines: Iterable[str], name: str) -> Iterator[Path]:
    """Give a temporary file with these lines, for a library that reads files only."""
    with tempfile.TemporaryDirectory(prefix="mlip-ingest-") as folder:
        path = Path(folder) / name
        with path.open("w", encoding="utf-8") as handle:
            handle.writelines(lines)
        yield path


def beside(path: Path, name: str) -> Path | None:
    """Return the file `name`, plain or compressed, in the folder of `path`; None if absent."""
    found = (path.parent / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((file for file in found if file.is_file()), None)


def expand(path: Path) -> list[Path]:
    """Return what a path or glob stands for, in order of name; empty if there is nothing."""
    if path.exists():
        return [path]
    return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def search(directory: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Return the files below `directory` whose names fit a pattern, plain or compressed.

    A file and a compressed copy of it beside it are one: the plain one counts.
    """
    found = {
        path
        for pattern in patterns
        for suffix in SUFFIXES
        for path in directory.rglob(pattern + suffix)
    }
    return sorted(
        path
        for path in found
        if path.suffix not in OPENERS or path.with_name(plain_name(path)) not in found
    )
