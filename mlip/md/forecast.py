"""What a run will take: time, memory and disk by stage, and a refusal of what will not fit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlip.errors import InputError
from mlip.execution.speed import duration, last_speed
from mlip.md.watch import BYTES_PER_VALUE, QUANTITIES, writes_atoms

# CHARMM DCD: three records of float32 with 8 bytes of markers each, and one of the cell.
DCD_BYTES_PER_ATOM = 12
DCD_BYTES_PER_FRAME = 3 * 8 + 6 * 8 + 8
THERMO_BYTES_PER_ROW = 19 * 16
# atom_style atomic with id, type, mask, image, position and velocity, as doubles.
RESTART_BYTES_PER_ATOM = 88
RESTART_BYTES = 4096
RESTARTS_KEPT = 3
FINAL_BYTES_PER_ATOM = 130
GIB = 1024.0**3
# Measured for a plain se_e2_a model on one core; used until a probe has measured this model.
PROCESS_GIB = 0.6
MEMORY_KIB_PER_ATOM = 100.0
SHARE_OF_FREE = 0.95


@dataclass(frozen=True)
class StageCost:
    """What a stage writes and how long it is.

    Attributes
    ----------
    name : str
    steps : int
        Of dynamics; iterations at most for a minimisation.
    stream_every_steps : tuple of int
        Interval of each trajectory stream; one entry a stream.
    thermo_every_steps, deviation_every_steps, restart_every_steps : int
        0 where it writes none.
    """

    name: str
    steps: int
    stream_every_steps: tuple[int, ...]
    thermo_every_steps: int
    deviation_every_steps: int
    restart_every_steps: int


@dataclass(frozen=True)
class StageForecast:
    """Forecast of one stage.

    Attributes
    ----------
    name : str
    steps : int
    seconds : float
        nan where no speed was measured yet.
    disk_bytes : float
        Written and kept; the passing raw deviation and restart files are counted in `Forecast`.
    """

    name: str
    steps: int
    seconds: float
    disk_bytes: float


@dataclass(frozen=True)
class Forecast:
    """Forecast of a run, or of several equal runs.

    Attributes
    ----------
    stages : tuple of StageForecast
        Of one run.
    runs, at_once : int
        How many, and how many of them side by side.
    steps_per_second : float
        Of one; nan where no speed was measured yet.
    speed_source : str
        What the speed rests on.
    disk_bytes : float
        Of all runs, with what lies there only while they run.
    memory_gib : float
        Of those side by side together.
    memory_source : str
    free_disk_bytes, free_memory_gib : float
    """

    stages: tuple[StageForecast, ...]
    runs: int
    at_once: int
    steps_per_second: float
    speed_source: str
    disk_bytes: float
    memory_gib: float
    memory_source: str
    free_disk_bytes: float
    free_memory_gib: float

    @property
    def seconds(self) -> float:
        """Return the time of all runs: the last keep their share when others have ended."""
        turns = math.ceil(self.runs / self.at_once)
        return turns * sum(stage.seconds for stage in self.stages)


def forecast_run(
    stages: Sequence[StageCost],
    *,
    atoms: int,
    elements: int,
    members: int,
    out: Path,
    runs: int = 1,
    at_once: int = 1,
    measured: tuple[float, float] | None = None,
    speed_kind: str,
) -> Forecast:
    """Forecast a run from its numbers.

    Parameters
    ----------
    stages : sequence of StageCost
    atoms, elements : int
    members : int
        Of the committee; the others are evaluated only with the deviation.
    out : Path
        Where the run will lie; its disk counts.
    runs, at_once : int
        How many such runs, and how many of them side by side.
    measured : (float, float), optional
        Steps per second and memory in GiB of a probe of this size
        (`mlip.engines.lammps_layout.Layout.steps_per_second_at`, ``memory_gib``).
    speed_kind : str
        Kind in the cache of speeds, used where nothing was probed.
    """
    if measured is not None:
        speed, memory = measured
        speed_source = memory_source = "probed"
    else:
        kept = last_speed(speed_kind)
        speed = kept / atoms if kept else math.nan
        speed_source = "last run on this machine" if kept else "unknown until the first run"
        memory = PROCESS_GIB + members * atoms * MEMORY_KIB_PER_ATOM / 1024**2
        memory_source = "estimated"
    found = []
    passing = 0.0
    for stage in stages:
        watched = members - 1 if stage.deviation_every_steps else 0
        # A deviation costs one evaluation of each further member.
        effective = stage.steps + _rows(stage.steps, stage.deviation_every_steps) * watched
        kept_bytes, raw_bytes = _disk(stage, atoms, elements, members)
        found.append(StageForecast(stage.name, stage.steps, effective / speed, kept_bytes))
        passing = max(passing, raw_bytes)
    disk = runs * sum(stage.disk_bytes for stage in found) + at_once * passing
    return Forecast(
        stages=tuple(found),
        runs=runs,
        at_once=at_once,
        steps_per_second=speed,
        speed_source=speed_source,
        disk_bytes=disk,
        memory_gib=at_once * memory,
        memory_source=memory_source,
        free_disk_bytes=float(shutil.disk_usage(_existing(out)).free),
        free_memory_gib=_free_memory_gib(),
    )


def require_fit(forecast: Forecast, out: Path) -> None:
    """Refuse a run that does not fit the free disk or memory.

    Memory is refused only where it was probed: an estimate is shown, not believed.

    Raises
    ------
    InputError
        With what is needed, what is free, and what helps.
    """
    if forecast.disk_bytes > SHARE_OF_FREE * forecast.free_disk_bytes:
        largest = max(forecast.stages, key=lambda stage: stage.disk_bytes)
        raise InputError(
            f"{out}: the run writes {_size(forecast.disk_bytes)}, free are "
            f"{_size(forecast.free_disk_bytes)}. Stage {largest.name} alone writes "
            f"{_size(largest.disk_bytes)}: raise its trajectory interval, or choose another --out."
        )
    needs, free = forecast.memory_gib, forecast.free_memory_gib
    if forecast.memory_source == "probed" and needs > SHARE_OF_FREE * free:
        raise InputError(
            f"{out}: the run needs {needs:.1f} GiB of memory, free are {free:.1f} GiB. Use a "
            "smaller cell, fewer ranks (site file), or a machine with more memory."
        )


def forecast_lines(forecast: Forecast) -> list[str]:
    """Return the forecast of all runs together as lines of ``--dry-run``."""
    speed = forecast.steps_per_second
    known = math.isfinite(speed)
    lines = [
        f"speed      {speed:.3g} steps/s ({forecast.speed_source})"
        if known
        else f"speed      {forecast.speed_source}"
    ]
    total = f", about {duration(forecast.seconds)}" if known else ""
    lines += [
        f"total      {forecast.runs} run(s){total}",
        f"disk       {_size(forecast.disk_bytes)} of {_size(forecast.free_disk_bytes)} free",
        f"memory     {forecast.memory_gib:.1f} GiB ({forecast.memory_source}) of "
        f"{forecast.free_memory_gib:.1f} GiB free",
    ]
    return lines


def stage_words(stage: StageForecast) -> str:
    """Return time and disk of one stage in words."""
    time = f"about {duration(stage.seconds)}, " if math.isfinite(stage.seconds) else ""
    return f"{time}{_size(stage.disk_bytes)}"


def _disk(stage: StageCost, atoms: int, elements: int, members: int) -> tuple[float, float]:
    """Return what a stage leaves, and what lies there only while it runs, in bytes."""
    frame = DCD_BYTES_PER_FRAME + DCD_BYTES_PER_ATOM * atoms
    kept = sum(_rows(stage.steps, every) * frame for every in stage.stream_every_steps)
    # Log and thermo.csv hold the same rows.
    kept += 2 * _rows(stage.steps, stage.thermo_every_steps) * THERMO_BYTES_PER_ROW
    restart = RESTART_BYTES + RESTART_BYTES_PER_ATOM * atoms
    kept += restart + FINAL_BYTES_PER_ATOM * atoms
    passing = (RESTARTS_KEPT if stage.restart_every_steps else 0) * restart
    if members > 1:
        rows = _rows(stage.steps, stage.deviation_every_steps)
        columns = 1 + len(QUANTITIES) + elements
        # The table of the attempt and deviation.csv of the run.
        kept += 2 * rows * 12 * columns
        passing += rows * BYTES_PER_VALUE * (7 + (atoms if writes_atoms(atoms) else 0))
    return float(kept), float(passing)


def _rows(steps: int, every_steps: int) -> int:
    return steps // every_steps + 1 if every_steps else 0


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _free_memory_gib() -> float:
    import psutil

    return float(psutil.virtual_memory().available) / GIB


def _size(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"
