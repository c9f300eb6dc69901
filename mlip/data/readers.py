"""One table of formats; readers of extxyz and DeePMD npy, and what a path stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase.io
import dpdata
import numpy as np

from mlip.data.cp2k import cp2k_files, read_cp2k
from mlip.data.frames import Frames, even_times
from mlip.data.vasp import read_outcar, read_xml
from mlip.errors import DataError, TypeMapError
from mlip.recipes.base import resolve
from mlip.recipes.ingest import Source

VIRIAL_OF_LABELS = "stress of a single point of mlip label, which has no kinetic part"
NPY_REQUIRED = ("coord", "force", "energy", "box")


def read_extxyz(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read an extended XYZ file with ASE, one entry per order of elements.

    Energies, forces and stress are taken from the ASE calculator keys; ASE stress is
    tension positive, so W = -V * stress.

    Raises
    ------
    DataError
        If a frame has no energy, forces or periodic cell, or only some have a stress.
    """
    try:
        images = ase.io.read(path, index=":", format="extxyz")
    except Exception as error:  # ASE raises ValueError, KeyError, IndexError, XYZError, ...
        raise DataError(
            f"{path}: ASE cannot read it as extended XYZ ({type(error).__name__}: {error})."
        ) from error
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, atoms in enumerate(images):
        results = atoms.calc.results if atoms.calc is not None else {}
        missing = [name for name in ("energy", "forces") if name not in results]
        if missing or not atoms.cell.rank == 3:
            raise DataError(
                f"{path}: frame {number} has no {' and no '.join(missing) or 'periodic cell'}. "
                "Expected `energy` and `Lattice` in the comment line and a column `forces`."
            )
        groups.setdefault(tuple(atoms.get_chemical_symbols()), []).append(number)
    read = []
    for symbols, members in groups.items():
        chosen = [images[k] for k in members]
        with_stress = [atoms for atoms in chosen if "stress" in atoms.calc.results]
        if with_stress and len(with_stress) != len(chosen):
            raise DataError(
                f"{path}: {len(with_stress)} of {len(chosen)} frames of one composition have a "
                "stress. Split the file in frames with and without."
            )
        index = np.array(members)
        read.append(
            Frames(
                symbols=symbols,
                coords=np.array([atoms.positions for atoms in chosen]),
                cells=np.array([atoms.cell.array for atoms in chosen]),
                energies=np.array([atoms.calc.results["energy"] for atoms in chosen]),
                forces=np.array([atoms.calc.results["forces"] for atoms in chosen]),
                virials=np.array(
                    [-atoms.get_volume() * atoms.get_stress(voigt=False) for atoms in chosen]
                )
                if with_stress
                else None,
                steps=index,
                times_ps=None if timestep_fs is None else index * timestep_fs * 1e-3,
                files=(path,),
                level=_level(chosen, members, path),
                virial_origin=VIRIAL_OF_LABELS if _from_labels(chosen) else "",
                unconverged=0 if _from_labels(chosen) else None,
            )
        )
    return read


def _from_labels(images: list[ase.Atoms]) -> bool:
    return all("dft_level" in atoms.info for atoms in images)


def _level(images: list[ase.Atoms], members: list[int], path: Path) -> dict[str, str]:
    """Return the level that `mlip label` writes with each frame; empty for other files.

    Raises
    ------
    DataError
        If frames are of different levels.
    """
    levels = [dict(atoms.info.get("dft_level", {})) for atoms in images]
    for number, level in zip(members, levels, strict=True):
        if level != levels[0]:
            keys = sorted(k for k in {*level, *levels[0]} if level.get(k) != levels[0].get(k))
            raise DataError(
                f"{path}: frame {number} is of another level than frame {members[0]} "
                f"({', '.join(keys)}). Split the file by level."
            )
    return {str(key): str(value) for key, value in levels[0].items()}


def read_deepmd(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read a DeePMD npy system with dpdata, after checking what dpdata takes on trust.

    Raises
    ------
    DataError
        If an array is missing, has another number of frames, or the system is not periodic.
    TypeMapError
        If ``type_map.raw`` is missing or too short: bare indices mean nothing.
    """
    if not (path / "type.raw").is_file():
        raise DataError(f"{path}: no type.raw, so this is no DeePMD npy system.")
    types = np.loadtxt(path / "type.raw", dtype=int, ndmin=1)
    if not (path / "type_map.raw").is_file():
        raise TypeMapError(
            f"{path}: no type_map.raw, so indices 0..{types.max()} of type.raw stand for unknown "
            "elements. Write one symbol per line, in order."
        )
    names = (path / "type_map.raw").read_text().split()
    if types.max() >= len(names) or types.min() < 0:
        raise TypeMapError(
            f"{path}/type.raw: index {types.max()}, but type_map.raw has {len(names)} elements."
        )
    if (path / "nopbc").exists():
        raise DataError(f"{path}: marked nopbc; only periodic systems can be ingested.")
    parts = sorted(path.glob("set.*"))
    total, with_virial = 0, 0
    for part in parts:
        sizes = {"coord": 3 * len(types), "force": 3 * len(types), "energy": 1, "box": 9}
        counts = {}
        if (part / "virial.npy").is_file():
            sizes["virial"] = 9
            with_virial += 1
        for name, size in sizes.items():
            file = part / f"{name}.npy"
            try:
                array = np.load(file, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{file}: missing or not a whole npy file ({error}).") from error
            if array.size % size or array.size // size != len(array):
                raise DataError(
                    f"{file}: shape {array.shape}, expected (frames, {size}) for "
                    f"{len(types)} atoms."
                )
            counts[name] = len(array)
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DataError(f"{part}: the arrays hold different numbers of frames: {listed}.")
        total += counts["coord"]
    if total == 0:
        raise DataError(f"{path}: no frames (no set.* folder with data).")
    if with_virial not in (0, len(parts)):
        raise DataError(f"{path}: {with_virial} of {len(parts)} set.* folders have a virial.npy.")
    data = dpdata.LabeledSystem(str(path), fmt="deepmd/npy").data
    if len(data["energies"]) != total or len(data["coords"]) != total:
        raise DataError(f"{path}: dpdata read {len(data['energies'])} of {total} frames.")
    notes = []
    if np.load(parts[0] / "energy.npy", mmap_mode="r").dtype == np.float32:
        notes.append("energies are stored in single precision")
    return [
        Frames(
            symbols=tuple(str(data["atom_names"][k]) for k in data["atom_types"]),
            coords=np.asarray(data["coords"], dtype=float),
            cells=np.asarray(data["cells"], dtype=float),
            energies=np.asarray(data["energies"], dtype=float),
            forces=np.asarray(data["forces"], dtype=float),
            virials=np.asarray(data["virials"], dtype=float) if with_virial else None,
            steps=np.arange(total),
            times_ps=even_times(total, timestep_fs),
            files=_npy_files(path),
            notes=tuple(notes),
        )
    ]


Reader = Callable[[Path, float | None], list[Frames]]

READERS: dict[str, Reader] = {
    "vasp-outcar": read_outcar,
    "vasp-xml": read_xml,
    "cp2k": read_cp2k,
    "extxyz": read_extxyz,
    "deepmd-npy": read_deepmd,
}


def matches(source: Source, recipe: Path) -> list[Path]:
    """Return the files or directories that a source stands for, in order of name.

    Raises
    ------
    DataError
        If there are none.
    """
    path = resolve(source.path, recipe)
    if path.exists():
        return [path]
    found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    if not found:
        raise DataError(
            f"source {source.name}: {path}: no such file or directory (paths are relative to "
            f"{recipe})."
        )
    return found


def input_files(source: Source, path: Path) -> tuple[Path, ...]:
    """Return the files that reading `path` will open, for fingerprints and the plan.

    Raises
    ------
    DataError
        If `path` is not what the format reads.
    """
    if source.format == "cp2k":
        return cp2k_files(path).all()
    if source.format == "deepmd-npy":
        return _npy_files(path)
    if not path.is_file():
        raise DataError(f"{path}: is a directory; format {source.format} reads a file.")
    return (path,)


def _npy_files(path: Path) -> tuple[Path, ...]:
    raw = [path / name for name in ("type.raw", "type_map.raw") if (path / name).is_file()]
    return (*raw, *sorted(path.glob("set.*/*.npy")))
