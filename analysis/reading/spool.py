"""Frames read once from a text file, unwrapped on the way and kept in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import AmbiguousMotionError, TimeGridError, TrajectoryError
from analysis.reading.dcd import CHUNK_BYTES
from analysis.reading.text_lines import DamagedFrameError

MAX_FRACTIONAL_STEP = 0.4
# A wrapped atom lies inside the cell, or by a skin distance outside between two reneighbourings.
_INSIDE = 0.05
_NAME_WRAPPED = (
    "name the columns x y z, without image flags, to have atoms followed by the minimum image"
)


@dataclass(frozen=True)
class RawFrame:
    """One frame as its reader found it, atoms in an order that never changes.

    Attributes
    ----------
    fractional : (N, 3) float array
        Coordinates along the cell vectors.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.
    unwrapped : bool
        Whether the program that wrote the frame followed atoms through the boundary.
    coordinates : str
        Which columns the positions are from, where the format knows several.
    symbols : (N,) str array or None
        Names of the elements, where the file has them.
    types : (N,) int array or None
        Type numbers from 1, where the file has them.
    step : float or None
        MD step, or time in an unknown unit: only its equal spacing is judged.
    time : float or None
        Time in one of `time_units_fs`.
    time_units_fs : tuple of float
        What the unit of `time` may be, fs.
    velocities : (N, 3) float array or None
        In the unit that `velocity_source` tells or the caller knows.
    velocity_source : str
        Columns the velocities are from.
    velocity_unit : str
        Their unit where the format or the file tells it, see `analysis.reading.velocities`.
    """

    fractional: FloatArray
    cell: FloatArray
    unwrapped: bool = False
    coordinates: str = ""
    symbols: np.ndarray | None = None
    types: IntArray | None = None
    step: float | None = None
    time: float | None = None
    time_units_fs: tuple[float, ...] = ()
    velocities: FloatArray | None = None
    velocity_source: str = ""
    velocity_unit: str = ""


@dataclass(frozen=True)
class SpooledSource:
    """Positions or velocities in an unnamed temporary file, which the system removes with us."""

    file: tempfile._TemporaryFileWrapper
    n_atoms: int
    scale: float = 1.0

    def read(self, start: int, stop: int, ids: IntArray | slice) -> FloatArray:
        """Return `scale` times what the file holds, see `analysis.trajectory.PositionSource`."""
        frame_bytes = self.n_atoms * 24
        step = max(1, CHUNK_BYTES // frame_bytes)
        parts = []
        for low in range(start, stop, step):
            shape = (min(stop, low + step) - low, self.n_atoms, 3)
            chunk = np.memmap(self.file, np.float64, "r", low * frame_bytes, shape)
            parts.append(np.array(chunk[:, ids]))
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found if self.scale == 1.0 else found * self.scale


@dataclass(frozen=True)
class Spooled:
    """All frames of a file, unwrapped.

    Attributes
    ----------
    source : SpooledSource
    cells : (F, 3, 3) float array
        Cell vectors in rows, Angstrom.
    first : RawFrame
        The first frame, for what does not change.
    steps_apart, time_apart : float or None
        Spacing of frames by `RawFrame.step` and `RawFrame.time`.
    damage : str
        Why reading ended before the end of the file; empty if it did not.
    velocities : SpooledSource or None
        In the unit of the file, where every frame has them.
    """

    source: SpooledSource
    cells: FloatArray
    first: RawFrame
    steps_apart: float | None
    time_apart: float | None
    damage: str
    velocities: SpooledSource | None


def spool_frames(
    frames: Iterator[RawFrame], path: Path, *, until_damage: bool, remedy: str
) -> Spooled:
    """Unwrap frames one by one into a temporary file, 24 bytes an atom and frame.

    Velocities go to another of the same size, where the frames have them.

    Wrapped atoms are followed by the minimum image of the step in fractional coordinates.

    Parameters
    ----------
    frames : iterator of RawFrame
    path : Path
        For messages.
    until_damage : bool
        Keep the frames before a damaged one instead of raising.
    remedy : str
        How the caller asks for that, for the message.

    Raises
    ------
    AmbiguousMotionError
        If a wrapped atom moves by more than 0.4 of the cell between two frames, or coordinates
        said to be unwrapped jump back into the cell.
    TimeGridError
        If frames are not equally spaced.
    TrajectoryError
        If there is no frame, atoms change, the temporary disk is full, or a frame is damaged.
    """
    # Kept open beyond this function: the trajectory reads from it for as long as it lives.
    file = tempfile.NamedTemporaryFile(prefix="analysis-", suffix=".positions")  # noqa: SIM115
    speeds: tempfile._TemporaryFileWrapper | None = None
    cells: list[FloatArray] = []
    grid = _TimeGrid(path)
    first: RawFrame | None = None
    previous: RawFrame | None = None
    images: FloatArray = np.zeros((1, 3))
    damage = ""
    try:
        for index, frame in enumerate(frames):
            if not np.isfinite(frame.fractional).all():
                raise DamagedFrameError("holds positions that are not finite")
            if frame.velocities is not None and not np.isfinite(frame.velocities).all():
                raise DamagedFrameError("holds velocities that are not finite")
            if first is None or previous is None:
                first, images = frame, np.zeros_like(frame.fractional)
                if frame.velocities is not None:
                    speeds = tempfile.NamedTemporaryFile(  # noqa: SIM115
                        prefix="analysis-", suffix=".velocities"
                    )
            else:
                _check_same_atoms(first, frame, path, index)
                images = images - _crossings(previous, frame, path, index)
            grid.add(frame, index)
            previous = frame
            cells.append(frame.cell)
            _write(file, (frame.fractional + images) @ frame.cell)
            if speeds is not None and frame.velocities is not None:
                _write(speeds, frame.velocities)
    except DamagedFrameError as error:
        kept = len(cells)
        damage = f"frame {kept} is damaged: {error.what}"
        if not until_damage or not kept:
            way = f"the {kept} frames before it are intact: {remedy}" if kept else "write it again"
            raise TrajectoryError(f"{path}: {damage}; {way}") from error
    if first is None:
        raise TrajectoryError(f"{path}: holds no frame")
    return Spooled(
        source=SpooledSource(file, len(first.fractional)),
        cells=np.array(cells),
        first=first,
        steps_apart=grid.steps_apart,
        time_apart=grid.time_apart,
        damage=damage,
        velocities=None if speeds is None else SpooledSource(speeds, len(first.fractional)),
    )


def _write(file: tempfile._TemporaryFileWrapper, positions: FloatArray) -> None:
    try:
        file.write(positions.tobytes())
        file.flush()
    except OSError as error:
        raise TrajectoryError(
            f"{file.name}: the frames find no room ({error}); "
            "set TMPDIR to a directory on a larger disk"
        ) from error


def _check_same_atoms(first: RawFrame, frame: RawFrame, path: Path, index: int) -> None:
    if frame.coordinates != first.coordinates:
        raise TrajectoryError(
            f"{path}: frame {index} has positions from {frame.coordinates}, frame 0 from "
            f"{first.coordinates}; open the two parts one by one"
        )
    if frame.velocity_source != first.velocity_source:
        raise TrajectoryError(
            f"{path}: frame {index} has velocities from {frame.velocity_source or 'no column'}, "
            f"frame 0 from {first.velocity_source or 'no column'}; open the two parts one by one"
        )
    if len(frame.fractional) == len(first.fractional):
        pairs = ((first.symbols, frame.symbols), (first.types, frame.types))
        if all(
            (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))
            for a, b in pairs
        ):
            return
    raise TrajectoryError(
        f"{path}: frame {index} has other atoms, or another order, than frame 0 "
        f"({len(frame.fractional)} against {len(first.fractional)} atoms)"
    )


def _crossings(previous: RawFrame, frame: RawFrame, path: Path, index: int) -> FloatArray:
    """Return by how many cells each wrapped atom jumped through the boundary, (N, 3)."""
    step = frame.fractional - previous.fractional
    if frame.unwrapped:
        check_unwrapped(previous, frame, path, index, remedy=_NAME_WRAPPED)
        return np.zeros_like(step)
    jumps = np.round(step)
    lengths = np.abs(step - jumps).max(axis=1)
    atom = int(lengths.argmax())
    if lengths[atom] > MAX_FRACTIONAL_STEP:
        raise AmbiguousMotionError(
            f"{path}: between frames {index - 1} and {index} atom {atom} moves by "
            f"{lengths[atom]:.3f} of the cell; above {MAX_FRACTIONAL_STEP} its way through the "
            "boundary is ambiguous; store frames more often"
        )
    return jumps


def check_unwrapped(
    previous: RawFrame, frame: RawFrame, path: Path, index: int, *, remedy: str
) -> None:
    """Refuse positions said to be unwrapped of which one just jumped and all are in the cell.

    Raises
    ------
    AmbiguousMotionError
        With `remedy` at the end of the message.
    """
    steps = np.abs(frame.fractional - previous.fractional).max(axis=1)
    inside = frame.fractional.min() > -_INSIDE and frame.fractional.max() < 1.0 + _INSIDE
    atom = int(steps.argmax())
    if steps[atom] > 0.5 and inside:
        raise AmbiguousMotionError(
            f"{path}: the positions are said to be unwrapped, but between frames {index - 1} and "
            f"{index} atom {atom} jumps by {steps[atom]:.3f} of the cell and every atom lies "
            f"inside it; they are wrapped, or the image flags were set back; {remedy}"
        )


class _TimeGrid:
    """The spacing of frames, which must not change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: RawFrame | None = None
        self.steps_apart: float | None = None
        self.time_apart: float | None = None

    def add(self, frame: RawFrame, index: int) -> None:
        last, self._last = self._last, frame
        if last is None:
            return
        self.steps_apart = self._spacing(last.step, frame.step, self.steps_apart, index)
        self.time_apart = self._spacing(last.time, frame.time, self.time_apart, index)

    def _spacing(
        self, last: float | None, now: float | None, spacing: float | None, index: int
    ) -> float | None:
        if last is None or now is None:
            return spacing
        apart = now - last
        # Whole numbers are steps, which are exact; times are rounded when they are printed.
        exact = isinstance(now, int)
        if spacing is None or (apart == spacing if exact else np.isclose(apart, spacing, 1e-3)):
            if exact and apart <= 0:
                raise TimeGridError(
                    f"{self._path}: frame {index} is of step {now}, after step {last} before it; "
                    "steps must rise; remove what a restart repeated, or open the parts one by one"
                )
            return apart if spacing is None else spacing
        raise TimeGridError(
            f"{self._path}: frame {index} follows after {apart:g} but frame 1 after {spacing:g} "
            "(in the file's unit of time); frames must be equally spaced, keep a regular subset"
        )
