"""Open the trajectory of a run directory: `structure.extxyz` and the segments it recorded."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import TimeGridError, TrajectoryError
from analysis.reading.dcd import DcdFile, open_dcd, read_cells, read_positions
from analysis.trajectory import IMAGE_FLAGS, Trajectory

SCHEMA = 1
DENSE = "dense"
ORIGINS = ("crystal", "glass", "interface", "none")


@dataclass(frozen=True)
class Segment:
    """One entry of `trajectory.json`: the frames of one DCD file that count."""

    file: str
    first_step: int
    last_step: int
    every_steps: int
    timestep_fs: float
    stage: str
    ensemble: str
    temperature_kelvin: float | None
    purpose: str

    @property
    def n_frames(self) -> int:
        """Frames from `first_step` to `last_step`."""
        return (self.last_step - self.first_step) // self.every_steps + 1


@dataclass(frozen=True)
class _DcdSource:
    files: tuple[DcdFile, ...]
    offsets: tuple[int, ...]  # frame of the file at which each segment starts
    starts: tuple[int, ...]  # frame of the trajectory at which each segment starts, and the end

    def read(self, start: int, stop: int, ids: IntArray | slice) -> FloatArray:
        parts = []
        for dcd, offset, first, last in zip(
            self.files, self.offsets, self.starts[:-1], self.starts[1:], strict=True
        ):
            low, high = max(start, first), min(stop, last)
            if low < high:
                parts.append(read_positions(dcd, low - first + offset, high - first + offset, ids))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def open_run(
    directory: Path | str,
    *,
    purpose: str = "production",
    stage: str | None = None,
    stream: str = "main",
    until_damage: bool = False,
) -> Trajectory:
    """Open one stage of a run directory.

    Parameters
    ----------
    directory : path
        Holds `structure.extxyz`, `trajectory.json` and the DCD files the latter names.
    purpose : {"production", "equilibration"}
        Which segments to take.
    stage : str, optional
        Stage to take; needed only where several stages share the purpose.
    stream : str
        Name of the stream in `trajectory.json`.
    until_damage : bool
        Open the frames before a missing, torn or damaged one, and say so in `Trajectory.notes`,
        instead of raising; every frame is read once for that.

    Returns
    -------
    Trajectory
        Its `origin` is the column of that name in `structure.extxyz`. Frames superseded by a
        restart, which lie beyond a segment's last step, are not in it.

    Raises
    ------
    TrajectoryError
        If a file is missing, a frame is missing or torn, segments of the stage leave a gap or
        overlap, or files disagree.
    TimeGridError
        If time step or output interval change within the stage.
    """
    from ase.io import read

    directory = Path(directory)
    structure = directory / "structure.extxyz"
    if not structure.is_file():
        raise TrajectoryError(f"{structure}: no such file; {directory} is not a run directory")
    atoms = read(structure, format="extxyz")
    segments = _select(read_segments(directory, stream), directory, purpose, stage)
    _check_continuity(segments, directory / "trajectory.json")

    parts: list[_Part] = []
    damage = ""
    for segment in segments:
        try:
            parts.append(_open_part(directory, segment, len(atoms), until_damage=until_damage))
        except TrajectoryError as error:
            before = sum(len(part.cells) for part in parts)
            if not until_damage or not before:
                way = f"; or open the {before} frames of earlier files with until_damage=True"
                raise TrajectoryError(f"{error}{way if before else ''}") from error
            damage = str(error)
        damage = damage or parts[-1].damage
        if damage:
            break
    species = np.array(atoms.get_chemical_symbols())
    first = segments[0]
    cells = np.concatenate([part.cells for part in parts])
    return Trajectory(
        path=directory,
        species=species,
        masses=np.asarray(atoms.get_masses(), dtype=float),
        frame_interval_ps=first.every_steps * first.timestep_fs * 1e-3,
        cells=cells,
        temperature_kelvin=first.temperature_kelvin,
        ensemble=first.ensemble,
        motion_convention=IMAGE_FLAGS,
        source=_DcdSource(
            files=tuple(part.dcd for part in parts),
            offsets=tuple(part.offset for part in parts),
            starts=tuple(np.cumsum([0] + [len(part.cells) for part in parts]).tolist()),
        ),
        origin=_origin(atoms.arrays.get("origin"), structure),
        notes=(f"{damage}; only the {len(cells)} frames before it are used",) if damage else (),
    )


def open_dense(directory: Path | str, *, stage: str | None = None) -> Trajectory | None:
    """Open the closely spaced frames of the production stage, or return None if it has none.

    Parameters
    ----------
    directory : path
    stage : str, optional
        As in `open_run`.

    Raises
    ------
    TrajectoryError
        As `open_run`.
    """
    path = Path(directory) / "trajectory.json"
    dense = [
        segment
        for segment in read_streams(path.parent).get(DENSE, ())
        if segment.purpose == "production" and stage in (None, segment.stage)
    ]
    return open_run(directory, stage=stage, stream=DENSE) if dense else None


@dataclass(frozen=True)
class _Part:
    """What a segment contributes; `damage` says why it is shorter than recorded."""

    dcd: DcdFile
    offset: int
    cells: FloatArray
    damage: str


def _open_part(directory: Path, segment: Segment, n_atoms: int, *, until_damage: bool) -> _Part:
    dcd = open_dcd(directory / segment.file)
    if dcd.n_atoms != n_atoms:
        raise TrajectoryError(
            f"{dcd.path}: holds {dcd.n_atoms} atoms but {directory / 'structure.extxyz'} has "
            f"{n_atoms}; the files belong to different runs"
        )
    offset = _first_frame(dcd, segment)
    stop = offset + segment.n_frames
    damage = ""
    if until_damage:
        stop, damage = _first_damage(dcd, offset, stop)
        if stop == offset:
            raise TrajectoryError(damage)
    try:
        cells = read_cells(dcd, offset, stop)
    except TrajectoryError as error:
        raise TrajectoryError(
            f"{error}; or open the frames before it with open_run(..., until_damage=True)"
        ) from error
    return _Part(dcd, offset, cells, damage)


def _first_damage(dcd: DcdFile, start: int, stop: int) -> tuple[int, str]:
    """Return the first frame that cannot be read and why, or `stop` and ""."""
    for frame in range(start, stop):
        try:
            read_cells(dcd, frame, frame + 1)
            read_positions(dcd, frame, frame + 1)
        except TrajectoryError as error:
            return frame, str(error)
    return stop, ""


def _origin(column: np.ndarray | None, structure: Path) -> np.ndarray | None:
    if column is None:
        return None
    origin = column.astype(str)
    unknown = sorted(set(origin.tolist()) - set(ORIGINS))
    if unknown:
        raise TrajectoryError(
            f"{structure}: column `origin` holds {', '.join(unknown)}; expected "
            f"{', '.join(ORIGINS)}; build the structure again"
        )
    return origin


def read_segments(directory: Path, stream: str = "main") -> tuple[Segment, ...]:
    """Read and check the segments of one stream of `trajectory.json`.

    Raises
    ------
    TrajectoryError
        If the file is missing or malformed, or has no such stream.
    """
    streams = read_streams(directory)
    if stream not in streams:
        path = directory / "trajectory.json"
        raise TrajectoryError(f"{path}: has no stream {stream!r}, only {sorted(streams)}")
    return streams[stream]


def read_streams(directory: Path) -> dict[str, tuple[Segment, ...]]:
    """Read and check the segments of all streams of `trajectory.json`, by name.

    Raises
    ------
    TrajectoryError
        If the file is missing or malformed.
    """
    path = directory / "trajectory.json"
    if not path.is_file():
        raise TrajectoryError(
            f"{path}: no such file; {directory} is not a run directory or nothing has run yet"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise TrajectoryError(f"{path}: not valid JSON ({error}); repeat the run") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise TrajectoryError(f"{path}: schema {found!r}; this version reads schema {SCHEMA}")
    try:
        return {
            entry["name"]: tuple(
                _segment(item, n, path) for n, item in enumerate(entry["segments"])
            )
            for entry in record.get("streams", [])
        }
    except (KeyError, TypeError) as error:
        raise TrajectoryError(
            f"{path}: malformed ({type(error).__name__}: {error}); expected `streams`, each with "
            "`name` and `segments`; repeat the run"
        ) from error


def _segment(entry: dict[str, Any], number: int, path: Path) -> Segment:
    names = Segment.__dataclass_fields__
    missing = [name for name in names if name not in entry]
    if missing:
        raise TrajectoryError(f"{path}: segment {number} lacks {', '.join(missing)}")
    segment = Segment(**{name: entry[name] for name in names})
    if not all(
        isinstance(step, int)
        for step in (segment.first_step, segment.last_step, segment.every_steps)
    ):
        raise TrajectoryError(
            f"{path}: segment {number} ({segment.file}) has steps that are not whole numbers"
        )
    if not segment.timestep_fs > 0:
        raise TrajectoryError(
            f"{path}: segment {number} ({segment.file}) has timestep_fs {segment.timestep_fs}; it "
            "must be positive"
        )
    span = segment.last_step - segment.first_step
    if segment.every_steps < 1 or span < 0 or span % segment.every_steps:
        raise TrajectoryError(
            f"{path}: segment {number} ({segment.file}) runs from step {segment.first_step} to "
            f"{segment.last_step} every {segment.every_steps}; the span must be a non-negative "
            "multiple of a positive interval"
        )
    return segment


def _select(
    segments: tuple[Segment, ...], directory: Path, purpose: str, stage: str | None
) -> list[Segment]:
    of_purpose = [segment for segment in segments if segment.purpose == purpose]
    stages = list(dict.fromkeys(segment.stage for segment in of_purpose))
    if stage is None and len(stages) > 1:
        raise TrajectoryError(
            f"{directory}: {len(stages)} {purpose} stages ({', '.join(stages)}); choose one "
            f"with stage={stages[-1]}"
        )
    chosen = [segment for segment in of_purpose if stage in (None, segment.stage)]
    if not chosen:
        named = f"{purpose} frames" + (f" of stage {stage!r}" if stage else "")
        have = ", ".join(f"{segment.stage} ({segment.purpose})" for segment in segments)
        raise TrajectoryError(f"{directory}: no {named}; it holds {have or 'no segment'}")
    return chosen


def _check_continuity(segments: list[Segment], path: Path) -> None:
    for previous, current in itertools.pairwise(segments):
        for name in ("timestep_fs", "every_steps"):
            if getattr(previous, name) != getattr(current, name):
                raise TimeGridError(
                    f"{path}: {name} changes from {getattr(previous, name)} in {previous.file} "
                    f"to {getattr(current, name)} in {current.file}; frames of one stage must be "
                    "equally spaced"
                )
        for name in ("temperature_kelvin", "ensemble"):
            if getattr(previous, name) != getattr(current, name):
                raise TrajectoryError(
                    f"{path}: {name} changes from {getattr(previous, name)} in {previous.file} "
                    f"to {getattr(current, name)} in {current.file} within stage {current.stage}"
                )
        expected = previous.last_step + previous.every_steps
        if current.first_step != expected:
            kind = "a gap" if current.first_step > expected else "duplicate frames"
            raise TrajectoryError(
                f"{path}: {kind} between {previous.file} (ends at step {previous.last_step}) and "
                f"{current.file} (starts at {current.first_step}, expected {expected})"
            )


def _first_frame(dcd: DcdFile, segment: Segment) -> int:
    if dcd.every_steps != segment.every_steps:
        raise TrajectoryError(
            f"{dcd.path}: written every {dcd.every_steps} steps, trajectory.json says "
            f"{segment.every_steps}; the record belongs to another file"
        )
    offset, remainder = divmod(segment.first_step - dcd.first_step, dcd.every_steps)
    if offset < 0 or remainder:
        raise TrajectoryError(
            f"{dcd.path}: starts at step {dcd.first_step} every {dcd.every_steps}; frame at step "
            f"{segment.first_step}, where trajectory.json begins the segment, is not in it"
        )
    return offset
