"""Crystals and glasses from structure and run directories, and from files."""

from __future__ import annotations

from pathlib import Path

import ase
import ase.io
import numpy as np

from mlip.errors import DataError, InputError
from mlip.manifest import NAME as MANIFEST
from mlip.manifest import read_manifest

# A run also keeps the structure that it started from: what it ended with comes first.
NAMES = ("final.extxyz", "structure.extxyz")


def phase_file(path: Path) -> Path:
    """Return the structure file of a structure or run directory; a file is its own.

    Raises
    ------
    InputError
        If there is none.
    DataError
        If it is not finished, or a run without an end: its start is no result of it.
    """
    if path.is_file():
        return path
    if (path / MANIFEST).is_file():
        manifest = read_manifest(path)
        if manifest.status != "complete":
            raise DataError(f"{path}: is not finished. Type the command that makes it again.")
        if manifest.kind == "run" and not (path / NAMES[0]).is_file():
            raise DataError(f"{path}: this run has no dynamics, so no structure at its end.")
    for name in NAMES:
        if (path / name).is_file():
            return path / name
    raise InputError(
        f"{path}: holds neither {' nor '.join(NAMES)}. Expected an extxyz file, or the directory "
        "of a finished run (`mlip md`) or of a structure (`mlip build`)."
    )


def read_phase(path: Path) -> ase.Atoms:
    """Read elements, positions and cell of a structure; atoms are wrapped into the cell.

    Raises
    ------
    DataError
        If it cannot be read, or is not periodic in three directions.
    """
    try:
        read = ase.io.read(path, format="extxyz")
    except Exception as error:  # the reader raises what its conversions raise
        raise DataError(
            f"{path}: cannot be read as extxyz ({type(error).__name__}: {error})."
        ) from error
    if not read.pbc.all() or abs(np.linalg.det(read.cell.array)) < 1e-6:
        raise DataError(f"{path}: expected a cell that is periodic in three directions.")
    plain: ase.Atoms = ase.Atoms(read.symbols, read.positions, cell=read.cell, pbc=True)
    plain.wrap()
    return plain
