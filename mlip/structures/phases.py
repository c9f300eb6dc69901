"""Crystals and glasses from structure and run directories."""

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


def phase_file(directory: Path) -> Path:
    """Return the structure file of a structure or run directory.

    Raises
    ------
    InputError
        If there is none.
    DataError
        If it is not finished, or a run without an end: its start is no result of it.
    """
    if (directory / MANIFEST).is_file():
        manifest = read_manifest(directory)
        if manifest.status != "complete":
            raise DataError(f"{directory}: is not finished. Type the command that makes it again.")
        if manifest.kind == "run" and not (directory / NAMES[0]).is_file():
            raise DataError(f"{directory}: this run has no dynamics, so no structure at its end.")
    for name in NAMES:
        if (directory / name).is_file():
            return directory / name
    raise InputError(
        f"{directory}: holds neither {' nor '.join(NAMES)}. Expected the directory of a finished "
        "run (`mlip md`) or of a structure (`mlip build`)."
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
