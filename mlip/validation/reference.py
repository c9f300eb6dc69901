"""Reading one split of a set: first-principles energies, forces and virials by system."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.errors import DataError, InputError, TypeMapError
from mlip.manifest import NAME, read_manifest

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceSystem:
    """Labelled frames of one composition in one order of atoms.

    Attributes
    ----------
    name : str
    symbols : tuple of str, length N
    coords : ndarray, shape (F, N, 3)
        In Å.
    cells : ndarray, shape (F, 3, 3)
        Rows are lattice vectors, in Å.
    energies : ndarray, shape (F,)
        In eV.
    forces : ndarray, shape (F, N, 3)
        In eV/Å.
    virials : ndarray, shape (F, 3, 3)
        In eV, potential part, W = sum r (x) f, pressure = tr W / 3V; NaN where not computed.
    rows : ndarray of int, shape (F,)
        Row of each frame in the system's files.
    phases : tuple of str, length F
    temperatures : ndarray, shape (F,)
        Of the source trajectory, in K; NaN where unknown.
    sources : tuple of str, length F
        Name of the source of each frame.
    source_frames : ndarray of int, shape (F,)
        Frame (step) within its source; -1 where the set does not say.
    """

    name: str
    symbols: tuple[str, ...]
    coords: FloatArray
    cells: FloatArray
    energies: FloatArray
    forces: FloatArray
    virials: FloatArray
    rows: NDArray[np.int64]
    phases: tuple[str, ...]
    temperatures: FloatArray
    sources: tuple[str, ...]
    source_frames: NDArray[np.int64]

    @property
    def n_frames(self) -> int:
        """Number of frames F."""
        return len(self.energies)

    @property
    def n_atoms(self) -> int:
        """Number of atoms N."""
        return len(self.symbols)

    def select(self, frames: NDArray[np.int64]) -> ReferenceSystem:
        """Return the frames with these indices."""
        return replace(
            self,
            coords=self.coords[frames],
            cells=self.cells[frames],
            energies=self.energies[frames],
            forces=self.forces[frames],
            virials=self.virials[frames],
            rows=self.rows[frames],
            phases=tuple(self.phases[i] for i in frames),
            temperatures=self.temperatures[frames],
            sources=tuple(self.sources[i] for i in frames),
            source_frames=self.source_frames[frames],
        )


def system_directories(data: Path, split: str) -> list[Path]:
    """Return the system folders of one split, sorted by name.

    Raises
    ------
    InputError
        If `data` is no set.
    """
    if not data.is_dir():
        raise InputError(
            f"{data}: no such directory. Expected a set; `mlip ingest RECIPE` makes one."
        )
    if not (data / "frames.csv").is_file():
        raise InputError(
            f"{data}: no frames.csv, so not a set. Make one with `mlip ingest RECIPE --out DIR`."
        )
    folder = data / split
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if (path / "type.raw").is_file())


def frames_by_split(data: Path) -> dict[str, int]:
    """Return the number of frames of each split that ``frames.csv`` lists."""
    with (data / "frames.csv").open(newline="", encoding="utf-8") as handle:
        return dict(Counter(entry["split"] for entry in csv.DictReader(handle)))


def require_frames(data: Path, split: str) -> list[Path]:
    """Return the system folders of a split that must not be empty.

    Raises
    ------
    InputError
        If it is empty, with how to make one, or the set is not finished.
    """
    systems = system_directories(data, split)
    if (data / NAME).is_file() and read_manifest(data).status != "complete":
        raise InputError(f"{data}: this set is not finished. Run its `mlip ingest` again.")
    if not systems:
        counts = {s: len(system_directories(data, s)) for s in ("train", "valid", "test")}
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(
            f"{data}: the {split} split is empty (systems: {found}), so there is nothing unseen "
            f"to measure errors on. Set split.{split}_fraction in the ingest recipe, or give a "
            f"source `split: {split}`; then run `mlip ingest` and `mlip train` again, since frames "
            "that the model was trained on cannot stand in."
        )
    return systems


def read_system(data: Path, split: str, folder: Path) -> ReferenceSystem:
    """Read one system of one split.

    Raises
    ------
    DataError
        If files are missing or do not fit together, a number is not finite, or a frame has no
        source.
    TypeMapError
        If the type map does not name every type.
    """
    symbols = _symbols(folder)
    sets = sorted(folder.glob("set.*"))
    if not sets:
        raise DataError(f"{folder}: no set.* folder, expected set.000/coord.npy and others.")
    parts = [_read_set(path, len(symbols)) for path in sets]
    coords, cells, energies, forces, virials = (
        np.concatenate([part[k] for part in parts]) for k in range(5)
    )
    origins = _origins(data, split, folder.name, len(energies))
    return ReferenceSystem(
        name=folder.name,
        symbols=symbols,
        coords=coords,
        cells=cells,
        energies=energies,
        forces=forces,
        virials=virials,
        rows=np.arange(len(energies)),
        phases=tuple(origins.phases),
        temperatures=origins.temperatures,
        sources=tuple(origins.sources),
        source_frames=origins.frames,
    )


def evenly_spaced(system: ReferenceSystem, limit: int) -> ReferenceSystem:
    """Return at most `limit` frames of a system, evenly spaced over its rows."""
    if system.n_frames <= limit:
        return system
    return system.select(np.linspace(0, system.n_frames - 1, limit).round().astype(np.int64))


def _symbols(folder: Path) -> tuple[str, ...]:
    try:
        names = (folder / "type_map.raw").read_text().split()
        types = [int(field) for field in (folder / "type.raw").read_text().split()]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: type.raw and type_map.raw are both needed ({error})."
        ) from error
    if min(types) < 0 or max(types) >= len(names):
        raise TypeMapError(
            f"{folder / 'type.raw'}: types {min(types)} to {max(types)}, but type_map.raw names "
            f"{len(names)} element(s): {' '.join(names)}."
        )
    return tuple(names[k] for k in types)


def _read_set(
    folder: Path, atoms: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    def load(name: str) -> FloatArray:
        path = folder / f"{name}.npy"
        try:
            return np.asarray(np.load(path), dtype=np.float64)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: missing or unreadable ({error}).") from error

    energies = load("energy").reshape(-1)
    frames = len(energies)
    shapes = {"coord": (frames, atoms, 3), "box": (frames, 3, 3), "force": (frames, atoms, 3)}
    if (folder / "virial.npy").is_file():
        shapes["virial"] = (frames, 3, 3)
    arrays: dict[str, FloatArray] = {"virial": np.full((frames, 3, 3), math.nan)}
    for name, shape in shapes.items():
        raw = load(name)
        if raw.size != math.prod(shape):
            raise DataError(
                f"{folder / name}.npy: {raw.size} numbers, expected {math.prod(shape)} for "
                f"{frames} frames of {atoms} atoms."
            )
        arrays[name] = raw.reshape(shape)
    for name in ("energy", "coord", "box", "force"):
        values = arrays.get(name, energies)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
        if bad.size:
            raise DataError(
                f"{folder / name}.npy: not a finite number in {bad.size} of {frames} frames, "
                f"first in row {bad[0]}. Make the set again without them."
            )
    return arrays["coord"], arrays["box"], energies, arrays["force"], arrays["virial"]


@dataclass(frozen=True)
class _Origins:
    """Where the frames of a system come from; filled row by row."""

    phases: list[str]
    temperatures: FloatArray
    sources: list[str]
    frames: NDArray[np.int64]


def _origins(data: Path, split: str, system: str, count: int) -> _Origins:
    origins = _Origins(
        ["unknown"] * count, np.full(count, math.nan), [""] * count, np.full(count, -1)
    )
    path = data / "frames.csv"
    with path.open(newline="", encoding="utf-8") as handle:
        for line, entry in enumerate(csv.DictReader(handle), start=2):
            try:
                if (entry["split"], entry["system"]) != (split, system):
                    continue
                row = int(entry["row"])
                origins.phases[row] = entry["phase"] or "unknown"
                origins.temperatures[row] = float(entry["temperature_kelvin"] or "nan")
                origins.sources[row] = entry["source"]
                origins.frames[row] = int(entry["frame"] or -1)
            except (KeyError, ValueError, IndexError) as error:
                raise DataError(
                    f"{path}, line {line}: does not fit {split}/{system} with {count} frames "
                    f"({error!r}). Make the set again with `mlip ingest`."
                ) from error
    if unnamed := origins.sources.count(""):
        raise DataError(
            f"{path}: names no source for {unnamed} of {count} frames of {split}/{system}, so "
            "nothing tells whether training saw their run. Make the set again with `mlip ingest`."
        )
    return origins
