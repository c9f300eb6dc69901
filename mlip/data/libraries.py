"""Readings by dpdata and by ASE in one form, each with its own conventions undone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlip.data.agreement import Reading
from mlip.errors import DataError

if TYPE_CHECKING:
    import ase


def read_with_dpdata(place: Path | list[str], fmt: str, path: Path, **options: Any) -> Reading:
    """Read labelled frames with dpdata.

    dpdata turns cells to lower triangles and makes virials V times the printed stress.

    Parameters
    ----------
    place : Path or list of str
        What dpdata opens; a list for formats of several files.
    fmt : str
        Its name of the format.
    path : Path
        The user's file, for messages.

    Raises
    ------
    DataError
        If dpdata fails, or finds no frames or no forces.
    """
    import dpdata

    try:
        with warnings.catch_warnings():
            # Unconverged and incomplete steps are counted from the text.
            warnings.simplefilter("ignore")
            opened = place if isinstance(place, list) else str(place)
            data: dict[str, Any] = dpdata.LabeledSystem(opened, fmt=fmt, **options).data
    except Exception as error:  # dpdata raises bare asserts, IndexError, RuntimeError, ...
        raise DataError(
            f"{path}: dpdata cannot read it as {fmt} ({type(error).__name__}: {error}). The file "
            "is truncated, holds no labelled step, or is of another format."
        ) from error
    count = len(data.get("energies", ()))
    if count == 0:
        raise DataError(f"{path}: no labelled frames in it.")
    for name in ("coords", "cells", "forces", "virials"):
        if name == "virials" and data.get(name) is None:
            continue
        if len(data.get(name, ())) != count:
            raise DataError(
                f"{path}: dpdata reads {count} energies but {len(data.get(name, ()))} {name}. The "
                "file is truncated or of a version that dpdata misreads."
            )
    virials = data.get("virials")
    return Reading(
        reader="dpdata",
        symbols=tuple(str(data["atom_names"][k]) for k in data["atom_types"]),
        cells=np.asarray(data["cells"], dtype=float),
        coords=np.asarray(data["coords"], dtype=float),
        energies=np.asarray(data["energies"], dtype=float).ravel(),
        forces=np.asarray(data["forces"], dtype=float),
        virials=None if virials is None else np.asarray(virials, dtype=float),
    )


def read_with_ase(place: Path, fmt: str, path: Path) -> list[ase.Atoms]:
    """Return all frames that ASE finds in a file.

    Raises
    ------
    DataError
        If ASE fails.
    """
    import ase.io

    try:
        return list(ase.io.iread(place, index=":", format=fmt))
    except Exception as error:  # ASE raises ValueError, KeyError, IndexError, ParseError, ...
        raise DataError(
            f"{path}: ASE cannot read it as {fmt} ({type(error).__name__}: {error}). The file is "
            "truncated or of another format."
        ) from error


def ase_reading(images: Sequence[ase.Atoms], path: Path, energy: str = "free_energy") -> Reading:
    """Turn images with results into a reading; W = -V * stress (ASE: tension positive).

    Parameters
    ----------
    images : sequence of ase.Atoms
        Of one composition and order.
    path : Path
    energy : str
        The result that forces are the derivative of.

    Raises
    ------
    DataError
        If an image has no energy or forces, other atoms, or only some have a stress.
    """
    if not images:
        raise DataError(f"{path}: ASE finds no frame in it.")
    symbols = tuple(images[0].get_chemical_symbols())
    for number, atoms in enumerate(images):
        results = atoms.calc.results if atoms.calc is not None else {}
        lacking = [name for name in (energy, "forces") if results.get(name) is None]
        if lacking or tuple(atoms.get_chemical_symbols()) != symbols:
            found = f"no {' and no '.join(lacking)}" if lacking else "other atoms than frame 0"
            raise DataError(f"{path}: ASE finds {found} in frame {number}.")
    stressed = [atoms for atoms in images if atoms.calc.results.get("stress") is not None]
    if stressed and len(stressed) != len(images):
        raise DataError(f"{path}: {len(stressed)} of {len(images)} frames have a stress.")
    return Reading(
        reader="ASE",
        symbols=symbols,
        cells=np.array([atoms.cell.array for atoms in images]),
        coords=np.array([atoms.positions for atoms in images]),
        energies=np.array([atoms.calc.results[energy] for atoms in images], dtype=float),
        forces=np.array([atoms.calc.results["forces"] for atoms in images]),
        virials=np.array(
            [-abs(atoms.cell.volume) * atoms.get_stress(voigt=False) for atoms in images]
        )
        if stressed
        else None,
    )


def joined(readings: Iterable[Reading], path: Path) -> Reading:
    """Join the readings of consecutive pieces of one file.

    Raises
    ------
    DataError
        If they hold other atoms, or only some have virials.
    """
    parts = list(readings)
    first = parts[0]
    for part in parts:
        if part.symbols != first.symbols or (part.virials is None) != (first.virials is None):
            raise DataError(
                f"{path}: atoms or stress change along the file; it is joined from several runs. "
                "Give each run as a file of its own."
            )
    virials = [part.virials for part in parts if part.virials is not None]
    return Reading(
        reader=first.reader,
        symbols=first.symbols,
        cells=np.concatenate([part.cells for part in parts]),
        coords=np.concatenate([part.coords for part in parts]),
        energies=np.concatenate([part.energies for part in parts]),
        forces=np.concatenate([part.forces for part in parts]),
        virials=np.concatenate(virials) if virials else None,
    )
