"""Open trajectories other programs wrote: extxyz and VASP XDATCAR, plain or compressed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.dcd import CHUNK_BYTES
from analysis.errors import AmbiguousMotionError, TimeGridError, TrajectoryError
from analysis.trajectory import FRACTIONAL_DIFFERENCES, Trajectory, masses_of

MAX_FRACTIONAL_STEP = 0.4
# Where extxyz files name the time or step of a frame.
TIME_KEYS = ("time", "Time", "time_ps", "step", "Step")


@dataclass(frozen=True)
class _SpooledSource:
    """Unwrapped positions in an unnamed temporary file, which the system removes with us."""

    file: tempfile._TemporaryFileWrapper
    n_atoms: int

    def read(self, start: int, stop: int, ids: IntArray | slice) -> FloatArray:
        frame_bytes = self.n_atoms * 24
        step = max(1, CHUNK_BYTES // frame_bytes)
        parts = []
        for low in range(start, stop, step):
            shape = (min(stop, low + step) - low, self.n_atoms, 3)
            chunk = np.memmap(self.file, np.float64, "r", low * frame_bytes, shape)
            parts.append(np.array(chunk[:, ids]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def open_foreign(
    path: Path | str,
    *,
    frame_interval_fs: float,
    temperature_kelvin: float | None = None,
    species: Sequence[str] | None = None,
    ensemble: str = "unknown",
) -> Trajectory:
    """Open an extxyz or XDATCAR trajectory, wrapped or unwrapped.

    Atoms are followed through the boundary by the minimum image of the step in fractional
    coordinates; displacements are fractional differences times the current cell.

    Parameters
    ----------
    path : path
        File readable by `ase.io` as extxyz or XDATCAR; `.gz`, `.bz2` and `.xz` are unpacked.
    frame_interval_fs : float
        Time between two stored frames (not the time step of the simulation).
    temperature_kelvin : float, optional
        Temperature of the simulation.
    species : sequence of N str, optional
        Chemical symbols, in place of those in the file.
    ensemble : str
        Ensemble of the simulation.

    Returns
    -------
    Trajectory

    Raises
    ------
    AmbiguousMotionError
        If an atom moves by more than 0.4 of the cell between two frames.
    TimeGridError
        If `frame_interval_fs` is not positive.
    TrajectoryError
        If the file is missing, of another format, not periodic, changes its atoms, or holds
        fewer than two frames.
    """
    path = Path(path)
    if frame_interval_fs <= 0:
        raise TimeGridError(f"frame_interval_fs is {frame_interval_fs}; it must be positive")
    # Kept open beyond this function: the trajectory reads from it for as long as it lives.
    spool = tempfile.NamedTemporaryFile(prefix="analysis-", suffix=".positions")  # noqa: SIM115
    cells: list[FloatArray] = []
    symbols: list[str] = []
    unwrapped: FloatArray = np.empty((0, 3))
    previous = unwrapped
    for index, (frame_symbols, fractional, cell) in enumerate(_read_frames(path)):
        if index == 0:
            symbols, unwrapped = frame_symbols, fractional
        else:
            if frame_symbols != symbols:
                raise TrajectoryError(
                    f"{path}: frame {index} has other atoms, or another order, than frame 0 "
                    f"({len(frame_symbols)} against {len(symbols)} atoms)"
                )
            unwrapped = unwrapped + _minimum_image_step(previous, fractional, path, index)
        previous = fractional
        cells.append(cell)
        spool.write((unwrapped @ cell).tobytes())
    spool.flush()
    if len(cells) < 2:
        raise TrajectoryError(f"{path}: holds {len(cells)} frames; motion needs at least 2")
    if species is not None:
        if len(species) != len(symbols):
            raise TrajectoryError(
                f"{path}: holds {len(symbols)} atoms but `species` names {len(species)}"
            )
        symbols = list(species)
    return Trajectory(
        path=path,
        species=np.array(symbols),
        masses=masses_of(symbols, path),
        frame_interval_ps=frame_interval_fs * 1e-3,
        cells=np.array(cells),
        temperature_kelvin=temperature_kelvin,
        ensemble=ensemble,
        motion_convention=FRACTIONAL_DIFFERENCES,
        source=_SpooledSource(spool, len(symbols)),
    )


def _read_frames(path: Path) -> Iterator[tuple[list[str], FloatArray, FloatArray]]:
    from ase.io import iread

    if not path.is_file():
        raise TrajectoryError(f"{path}: no such file")
    times: list[float] = []
    for index, atoms in enumerate(iread(path, index=":", format=_format_of(path))):
        cell = np.array(atoms.cell[:], dtype=float)
        if not atoms.pbc.all() or abs(np.linalg.det(cell)) < 1e-9:
            raise TrajectoryError(
                f"{path}: frame {index} is not periodic in three dimensions; "
                "write the cell and pbc with every frame"
            )
        positions = np.array(atoms.positions, dtype=float)
        if not np.isfinite(positions).all():
            raise TrajectoryError(f"{path}: frame {index} holds positions that are not finite")
        times += [float(atoms.info[key]) for key in TIME_KEYS if key in atoms.info][:1]
        _check_spacing(times, path, index)
        yield list(atoms.get_chemical_symbols()), positions @ np.linalg.inv(cell), cell


def _check_spacing(times: list[float], path: Path, index: int) -> None:
    if len(times) < 3:
        return
    first, last = times[1] - times[0], times[-1] - times[-2]
    if not np.isclose(first, last, rtol=1e-3):
        raise TimeGridError(
            f"{path}: frame {index} follows after {last:g} but frame 1 after {first:g} (in the "
            "file's unit of time); frames must be equally spaced, keep a regular subset"
        )


def _format_of(path: Path) -> str:
    name = path.name
    for suffix in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(suffix)
    if "XDATCAR" in name:
        return "vasp-xdatcar"
    if name.endswith((".extxyz", ".xyz")):
        return "extxyz"
    raise TrajectoryError(
        f"{path}: unknown trajectory format; expected an .extxyz or .xyz file or a name with "
        "XDATCAR in it (compressed or not); convert other formats to extxyz with `ase convert`"
    )


def _minimum_image_step(
    previous: FloatArray, current: FloatArray, path: Path, index: int
) -> FloatArray:
    step = current - previous
    step -= np.round(step)
    largest = np.abs(step).max()
    if largest > MAX_FRACTIONAL_STEP:
        atom = int(np.abs(step).max(axis=1).argmax())
        raise AmbiguousMotionError(
            f"{path}: between frames {index - 1} and {index} atom {atom} moves by {largest:.3f} of "
            f"the cell; above {MAX_FRACTIONAL_STEP} its way through the boundary is ambiguous; "
            "store frames more often"
        )
    return step
