"""Reader of DeePMD npy systems: numpy and dpdata, compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlip.data.agreement import Reading, require_agreement
from mlip.data.frames import FloatArray, Frames, even_times
from mlip.data.libraries import read_with_dpdata
from mlip.errors import DataError, TypeMapError


def read_deepmd(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read a DeePMD npy system with numpy and with dpdata, which takes much on trust.

    Parameters
    ----------
    path : Path
        Directory with ``type.raw``.
    timestep_fs : float, optional
        Time between frames.

    Raises
    ------
    DataError
        If an array is missing, has another number of frames, the system is not periodic, of
        mixed type, or dpdata reads other numbers.
    TypeMapError
        If ``type.raw`` is no list of indices, or ``type_map.raw`` is missing or too short:
        bare indices mean nothing.
    """
    if not (path / "type.raw").is_file():
        raise DataError(f"{path}: no type.raw, so this is no DeePMD npy system.")
    words = (path / "type.raw").read_text().split()
    if not words or not all(word.isdecimal() for word in words):
        raise TypeMapError(f"{path}/type.raw: expected one index of type_map.raw for each atom.")
    types = np.array([int(word) for word in words])
    if not (path / "type_map.raw").is_file():
        raise TypeMapError(
            f"{path}: no type_map.raw, so indices 0..{types.max()} of type.raw stand for unknown "
            "elements. Write one symbol per line, in order."
        )
    names = (path / "type_map.raw").read_text().split()
    if types.max() >= len(names):
        raise TypeMapError(
            f"{path}/type.raw: index {types.max()}, but type_map.raw has {len(names)} elements."
        )
    if (path / "nopbc").exists():
        raise DataError(f"{path}: marked nopbc; only periodic systems can be ingested.")
    parts = sorted(path.glob("set.*"))
    if any((part / "real_atom_types.npy").is_file() for part in parts):
        raise DataError(
            f"{path}: of mixed type (real_atom_types.npy), where type.raw does not name the "
            "elements. Write it as deepmd/npy with dpdata, a folder for each composition."
        )
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
    read = _plain_reading(path, parts, tuple(names[k] for k in types), with_virial > 0)
    require_agreement(read, read_with_dpdata(path, "deepmd/npy", path), path)
    notes = ["read alike by numpy and dpdata"]
    if np.load(parts[0] / "energy.npy", mmap_mode="r").dtype == np.float32:
        notes.append("energies are stored in single precision")
    return [
        Frames(
            symbols=read.symbols,
            coords=read.coords,
            cells=read.cells,
            energies=read.energies,
            forces=read.forces,
            virials=read.virials,
            steps=np.arange(total),
            times_ps=even_times(total, timestep_fs),
            files=npy_files(path),
            notes=tuple(notes),
        )
    ]


def npy_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a system."""
    raw = [path / name for name in ("type.raw", "type_map.raw") if (path / name).is_file()]
    return (*raw, *sorted(path.glob("set.*/*.npy")))


def _plain_reading(
    path: Path, parts: list[Path], symbols: tuple[str, ...], with_virial: bool
) -> Reading:
    def array(name: str, *shape: int) -> FloatArray:
        loaded = [np.load(part / f"{name}.npy", allow_pickle=False) for part in parts]
        return np.concatenate([a.reshape(len(a), *shape) for a in loaded]).astype(np.float64)

    return Reading(
        reader="numpy",
        symbols=symbols,
        cells=array("box", 3, 3),
        coords=array("coord", len(symbols), 3),
        energies=array("energy"),
        forces=array("force", len(symbols), 3),
        virials=array("virial", 3, 3) if with_virial else None,
    )
