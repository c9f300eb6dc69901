"""Memory-mapped reading of the DCD files that LAMMPS writes.

A frame is a fixed-size record: the cell (six doubles in the order a, cos gamma, b, cos beta,
cos alpha, c) and the x, y and z coordinates of all atoms in float32, each between Fortran record
markers. Only the frames and atoms asked for are read; a mapping lives no longer than one read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.constants import FloatArray, IntArray
from analysis.errors import TrajectoryError

# A mapping of this size is released before the next, so resident memory stays bounded.
CHUNK_BYTES = 64 * 1024**2

_CONTROL_BYTES = 84
_CELL_BYTES = 48


@dataclass(frozen=True)
class DcdFile:
    """Layout of one DCD file; positions stay on disk.

    Attributes
    ----------
    path : Path
    n_atoms : int
    first_step : int
        Time step of the first frame in the file.
    every_steps : int
        Steps between frames.
    header_bytes : int
    frame_dtype : numpy.dtype
        Structure of one frame record.
    n_frames : int
        Complete frames by file size; a torn last frame is not among them.
    torn_bytes : int
        Bytes after the last complete frame.
    """

    path: Path
    n_atoms: int
    first_step: int
    every_steps: int
    header_bytes: int
    frame_dtype: np.dtype[np.void]
    n_frames: int
    torn_bytes: int


def open_dcd(path: Path) -> DcdFile:
    """Read the header of a DCD file.

    Raises
    ------
    TrajectoryError
        If the file is missing, is no little-endian DCD, or holds no cell records.
    """
    if not path.is_file():
        raise TrajectoryError(f"{path}: no such file; expected a DCD trajectory segment")
    with path.open("rb") as stream:
        control = stream.read(_CONTROL_BYTES + 8)
        _read_marker(control[:4], path)
        if len(control) < _CONTROL_BYTES + 8 or struct.unpack("<i4s", control[:8]) != (
            _CONTROL_BYTES,
            b"CORD",
        ):
            raise TrajectoryError(
                f"{path}: not a little-endian DCD file (it must start with an 84-byte record "
                "'CORD'); write it with LAMMPS `dump dcd`"
            )
        fields = struct.unpack("<20i", control[8 : 8 + 80])
        title_bytes = _read_marker(stream.read(4), path)
        stream.seek(title_bytes + 4, 1)
        n_atoms = _read_marker(stream.read(12)[4:8], path)
        header_bytes = stream.tell()
    if fields[10] != 1:
        raise TrajectoryError(f"{path}: holds no cell records; write it with LAMMPS `dump dcd`")
    if n_atoms < 1:
        raise TrajectoryError(f"{path}: header names {n_atoms} atoms; expected at least 1")
    frame_dtype = _frame_dtype(n_atoms)
    n_frames, torn_bytes = divmod(path.stat().st_size - header_bytes, frame_dtype.itemsize)
    return DcdFile(
        path=path,
        n_atoms=n_atoms,
        first_step=fields[1],
        every_steps=fields[2],
        header_bytes=header_bytes,
        frame_dtype=frame_dtype,
        n_frames=n_frames,
        torn_bytes=torn_bytes,
    )


def read_cells(dcd: DcdFile, start: int, stop: int) -> FloatArray:
    """Read the cells of frames `start` to `stop` and check the frames' record markers.

    Returns
    -------
    (stop - start, 3, 3) float array
        Cell vectors in rows, Angstrom; a along x and b in the xy plane.

    Raises
    ------
    TrajectoryError
        If a frame is missing or torn, or its cell has no volume; the message names file and frame.
    """
    if stop > dcd.n_frames:
        torn = f", then {dcd.torn_bytes} bytes of a torn frame" if dcd.torn_bytes else ""
        raise TrajectoryError(
            f"{dcd.path}: frame {dcd.n_frames} (step "
            f"{dcd.first_step + dcd.n_frames * dcd.every_steps}) is missing or torn; the file "
            f"holds {dcd.n_frames} complete frames{torn}, {stop} are expected; "
            "continue the run or shorten the segment in trajectory.json"
        )
    cells = np.empty((stop - start, 3, 3))
    for low, high, records in _chunks(dcd, start, stop):
        intact = np.ones(high - low, dtype=bool)
        for marker, length in _markers(dcd.n_atoms).items():
            intact &= records[marker] == length
        if not intact.all():
            frame = low + int(np.flatnonzero(~intact)[0])
            raise TrajectoryError(
                f"{dcd.path}: frame {frame} (step {dcd.first_step + frame * dcd.every_steps}) "
                "has damaged record markers; the file was overwritten or is corrupt, "
                "repeat the stage that wrote it"
            )
        found = _cells_from_records(records["cell"])
        edges = np.diagonal(found, axis1=1, axis2=2)
        whole = np.isfinite(found).all(axis=(1, 2)) & (edges > 0.0).all(axis=1)
        if not whole.all():
            frame = low + int(np.flatnonzero(~whole)[0])
            raise TrajectoryError(
                f"{dcd.path}: frame {frame} (step {dcd.first_step + frame * dcd.every_steps}) "
                "has a cell without volume or that is not finite; the run blew up or the file "
                "is corrupt, repeat the stage that wrote it"
            )
        cells[low - start : high - start] = found
    return cells


def read_positions(
    dcd: DcdFile, start: int, stop: int, ids: IntArray | slice = slice(None)
) -> FloatArray:
    """Read positions of frames `start` to `stop`, all atoms or the rows `ids`.

    Returns
    -------
    (stop - start, n, 3) float array
        Positions as stored, Angstrom.

    Raises
    ------
    TrajectoryError
        If a coordinate is not finite.
    """
    n_ids = len(range(*ids.indices(dcd.n_atoms))) if isinstance(ids, slice) else len(ids)
    positions = np.empty((stop - start, n_ids, 3))
    for low, high, records in _chunks(dcd, start, stop):
        for axis, name in enumerate("xyz"):
            positions[low - start : high - start, :, axis] = records[name][:, ids]
    if not np.isfinite(positions).all():
        frame = start + int(np.flatnonzero(~np.isfinite(positions).all(axis=(1, 2)))[0])
        raise TrajectoryError(
            f"{dcd.path}: frame {frame} (step {dcd.first_step + frame * dcd.every_steps}) holds "
            "coordinates that are not finite; the run blew up, repeat it with a shorter time step"
        )
    return positions


def _chunks(dcd: DcdFile, start: int, stop: int) -> Iterator[tuple[int, int, NDArray[np.void]]]:
    step = max(1, CHUNK_BYTES // dcd.frame_dtype.itemsize)
    for low in range(start, stop, step):
        high = min(stop, low + step)
        offset = dcd.header_bytes + low * dcd.frame_dtype.itemsize
        yield low, high, np.memmap(dcd.path, dcd.frame_dtype, "r", offset, (high - low,))


def _frame_dtype(n_atoms: int) -> np.dtype[np.void]:
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [
        ("cell_begin", "<i4"),
        ("cell", "<f8", (6,)),
        ("cell_end", "<i4"),
    ]
    for axis in "xyz":
        fields += [
            (f"{axis}_begin", "<i4"),
            (axis, "<f4", (n_atoms,)),
            (f"{axis}_end", "<i4"),
        ]
    return np.dtype(fields)


def _markers(n_atoms: int) -> dict[str, int]:
    lengths = {"cell": _CELL_BYTES, "x": 4 * n_atoms, "y": 4 * n_atoms, "z": 4 * n_atoms}
    return {
        f"{name}_{edge}": length for name, length in lengths.items() for edge in ("begin", "end")
    }


def _cells_from_records(records: FloatArray) -> FloatArray:
    a, cos_gamma, b, cos_beta, cos_alpha, c = np.asarray(records, dtype=np.float64).T
    # Cosines above 1 are damage, which the nan tells the caller.
    with np.errstate(invalid="ignore", divide="ignore"):
        sin_gamma = np.sqrt(1.0 - cos_gamma**2)
        cy = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
        cz = np.sqrt(1.0 - cos_beta**2 - cy**2)
    cells = np.zeros((len(a), 3, 3))
    cells[:, 0, 0] = a
    cells[:, 1, 0] = b * cos_gamma
    cells[:, 1, 1] = b * sin_gamma
    cells[:, 2, 0] = c * cos_beta
    cells[:, 2, 1] = c * cy
    cells[:, 2, 2] = c * cz
    return cells


def _read_marker(raw: bytes, path: Path) -> int:
    if len(raw) != 4:
        raise TrajectoryError(f"{path}: the file ends inside its header; no frame was written")
    return int(struct.unpack("<i", raw)[0])
