"""Where runs start: structures found and read, and written for LAMMPS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from mlip.errors import DataError, TypeMapError
from mlip.files import replacing
from mlip.manifest import NAME, read_manifest
from mlip.model_directory import ModelDirectory
from mlip.recipes.protocol import Protocol
from mlip.recipes.stages import Deform, Npt, held_origin

STRUCTURE = "structure.extxyz"
# Tilts that would turn the face whose normal stress is controlled away from that axis.
FACE_TILTS = {"normal_a": ((1, 0), (2, 0)), "normal_b": ((2, 1),), "normal_c": ()}


def find_starts(path: Path) -> dict[str, Path]:
    """Return the structures behind a path, by name: directories, runs or extxyz files.

    A directory of these (replicas of a melt-quench, a folder of files) gives each of them; a
    single one has an empty name.

    Raises
    ------
    DataError
        If there is no structure.
    """
    if path.is_file() or (path / STRUCTURE).is_file():
        return {"": path}
    found = {file.parent.name: file.parent for file in sorted(path.glob(f"*/{STRUCTURE}"))}
    if not found:
        files = sorted([*path.glob("*.extxyz"), *path.glob("*.extxyz.gz")])
        found = {file.name.split(".extxyz")[0]: file for file in files}
    if not found:
        raise DataError(
            f"{path}: neither {STRUCTURE} nor other extxyz files here. Make one: mlip build NAME "
            f"--out {path}"
        )
    return found if len(found) > 1 else {"": next(iter(found.values()))}


def read_structure(path: Path) -> Atoms:
    """Read the structure of a structure directory or a file, or the end of a finished run.

    Of other columns only `origin` is kept: a new run draws velocities of its own.

    Parameters
    ----------
    path : Path
        A directory, or an extxyz file with one frame, compressed (.gz) or not.

    Raises
    ------
    DataError
        If there is none, the run is not finished, or the cell is not in the standard form.
    """
    file = path if path.is_file() else path / STRUCTURE
    if not file.is_file():
        raise DataError(f"{path}: no {STRUCTURE} here. Make one: mlip build NAME --out DIR")
    ended_run = path.is_dir() and _is_run(path)
    if ended_run:
        file = path / "final.extxyz"
    try:
        frames = read(file, index=":", format="extxyz")
    except Exception as error:  # ASE raises many kinds on a damaged file
        raise DataError(f"{file}: not readable as extxyz ({error}).") from error
    if len(frames) != 1:
        raise DataError(f"{file}: holds {len(frames)} frames, expected the one to start from.")
    (found,) = frames
    upper = found.cell.array[np.triu_indices(3, k=1)]
    if np.abs(upper).max() > 1e-8 or not found.cell.rank == 3 or not found.pbc.all():
        raise DataError(
            f"{file}: the cell must be periodic with a along x and b in the xy plane. mlip build "
            "makes it so; of your own, atoms.set_cell(atoms.cell.standard_form()[0], "
            "scale_atoms=True) of ASE does."
        )
    atoms = Atoms(found.symbols, found.positions, cell=found.cell, pbc=True)
    if "origin" in found.arrays:
        atoms.new_array("origin", found.arrays["origin"])
    if ended_run or path.is_file():
        # Unwrapped positions are of another run.
        atoms.wrap()
    return atoms


def write_start(out: Path, atoms: Atoms, elements: tuple[str, ...]) -> None:
    """Keep the start structure, and give LAMMPS its types in the model's order."""
    with replacing(out / STRUCTURE) as temporary:
        write(temporary, atoms, format="extxyz")
    with replacing(out / "structure.data") as temporary:
        write(
            temporary,
            atoms,
            format="lammps-data",
            specorder=list(elements),
            masses=True,
            units="metal",
            atom_style="atomic",
            force_skew=is_triclinic(atoms),
        )


def ids_by_origin(atoms: Atoms) -> dict[str, tuple[int, ...]]:
    """Return atom ids, from 1, by column `origin`; empty without that column."""
    if "origin" not in atoms.arrays:
        return {}
    origin = atoms.arrays["origin"].astype(str)
    return {str(name): tuple((np.flatnonzero(origin == name) + 1).tolist()) for name in set(origin)}


def is_triclinic(atoms: Atoms) -> bool:
    """Return whether the cell has tilts."""
    return bool(np.abs(atoms.cell.array[np.tril_indices(3, k=-1)]).max() > 1e-10)


def gets_tilts(protocol: Protocol) -> bool:
    """Return whether a stage may tilt the cell."""
    return any(
        (isinstance(stage, Npt) and stage.barostat == "tri")
        or (isinstance(stage, Deform) and len(stage.component) == 2)
        for stage in protocol.stages
    )


def require_fitting(
    protocol: Protocol, atoms: Atoms, potential: ModelDirectory, structure: Path
) -> None:
    """Refuse a structure that the model or the protocol cannot be used on.

    Raises
    ------
    TypeMapError
        If it has an element that the model does not know.
    DataError
        If it lacks the atoms that a stage holds, all of its atoms are held, or its cell has no
        face along the normal that a barostat works on.
    """
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(potential.type_map))
    if unknown:
        raise TypeMapError(
            f"{structure}: has {', '.join(unknown)}, but {potential.directory} knows only "
            f"{', '.join(potential.type_map)}. Use a model trained on these elements."
        )
    ids = ids_by_origin(atoms)
    for stage in protocol.stages:
        held = held_origin(stage)
        if held and not 0 < len(ids.get(held, ())) < len(atoms):
            counts = ", ".join(f"{len(ids[name])} {name}" for name in sorted(ids)) or "no column"
            raise DataError(
                f"{structure}: stage {stage.name} holds the atoms of origin {held}, but origin "
                f"has {counts} in {len(atoms)} atoms. Build a structure with both, or leave out "
                "hold_origin."
            )
        if isinstance(stage, Npt) and stage.barostat in FACE_TILTS:
            tilts = [atoms.cell.array[at] for at in FACE_TILTS[stage.barostat]]
            if any(abs(tilt) > 1e-6 for tilt in tilts):
                raise DataError(
                    f"{structure}: stage {stage.name} has barostat {stage.barostat}, but that "
                    "face of the cell is tilted. Build the slab with its normal along c."
                )


def _is_run(directory: Path) -> bool:
    """Return whether a directory is a run; it must have come to its end."""
    if not (directory / NAME).is_file():
        return False
    manifest = read_manifest(directory)
    if manifest.kind != "run":
        return False
    if manifest.status != "complete":
        raise DataError(f"{directory}: this run is not finished. Type its mlip md again.")
    if not (directory / "final.extxyz").is_file():
        raise DataError(f"{directory}: this run has no dynamics, so no structure at its end.")
    return True
