"""What a run leaves for its readers: thermo.csv, deviation.csv, trajectory.json, final.extxyz."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read, write
from numpy.typing import NDArray

from mlip.engines.lammps_output import Table, read_thermo
from mlip.errors import EngineError
from mlip.files import replacing, write_json, write_text
from mlip.md.dynamics import BAR_PER_GPA
from mlip.md.script import Attempt, Cell, Stream
from mlip.md.watch import DeviationTable, joined, read_compact

SCHEMA = 1
# LAMMPS column -> (our column, factor)
THERMO_NAMES: dict[str, tuple[str, float]] = {
    "Temp": ("temperature_kelvin", 1.0),
    "PotEng": ("potential_energy_ev", 1.0),
    "KinEng": ("kinetic_energy_ev", 1.0),
    "TotEng": ("total_energy_ev", 1.0),
    "Press": ("pressure_gpa", 1.0 / BAR_PER_GPA),
    "Volume": ("volume_angstrom3", 1.0),
    "Density": ("density_g_cm3", 1.0),
    "Lx": ("lx_angstrom", 1.0),
    "Ly": ("ly_angstrom", 1.0),
    "Lz": ("lz_angstrom", 1.0),
    "Xy": ("xy_angstrom", 1.0),
    "Xz": ("xz_angstrom", 1.0),
    "Yz": ("yz_angstrom", 1.0),
    "Pxx": ("pxx_gpa", 1.0 / BAR_PER_GPA),
    "Pyy": ("pyy_gpa", 1.0 / BAR_PER_GPA),
    "Pzz": ("pzz_gpa", 1.0 / BAR_PER_GPA),
    "Pxy": ("pxy_gpa", 1.0 / BAR_PER_GPA),
    "Pxz": ("pxz_gpa", 1.0 / BAR_PER_GPA),
    "Pyz": ("pyz_gpa", 1.0 / BAR_PER_GPA),
}
DEVIATION_COLUMNS: dict[str, str] = {
    "max_force": "max_force_deviation_ev_per_angstrom",
    "mean_force": "mean_force_deviation_ev_per_angstrom",
    "min_force": "min_force_deviation_ev_per_angstrom",
    "max_virial": "max_virial_deviation_ev",
    "mean_virial": "mean_virial_deviation_ev",
    "min_virial": "min_virial_deviation_ev",
}


@dataclass(frozen=True)
class StageRecord:
    """A finished stage of dynamics, for the records of the run.

    Attributes
    ----------
    name, ensemble, purpose : str
    directory : Path
    first_step, last_step : int
    timestep_fs : float
    start_ps : float
        Time of the run at `first_step`.
    temperature_kelvin : float or None
        Of the thermostat; None along a ramp.
    streams : tuple of Stream
        Its trajectories.
    attempts : tuple of Attempt
    """

    name: str
    ensemble: str
    purpose: str
    directory: Path
    first_step: int
    last_step: int
    timestep_fs: float
    start_ps: float
    temperature_kelvin: float | None
    streams: tuple[Stream, ...]
    attempts: tuple[Attempt, ...]

    def time_ps(self, step: int) -> float:
        """Return the time of the run at a step of this stage."""
        return self.start_ps + (step - self.first_step) * self.timestep_fs / 1000.0


def stage_thermo(stage: StageRecord) -> Table:
    """Return the thermodynamics of all attempts joined; a later attempt replaces an earlier."""
    return _joined([read_thermo(stage.directory / attempt.log) for attempt in stage.attempts])


def stage_deviation(stage: StageRecord) -> DeviationTable:
    """Return the committee deviation of all attempts joined; empty where one member is alone."""
    tables = [stage.directory / attempt.deviation_table for attempt in stage.attempts]
    return joined([read_compact(path) for path in tables if path.is_file()])


def mean_cell(stage: StageRecord) -> Cell:
    """Return the mean cell matrix over the second half of a stage, the approach left out."""
    table = stage_thermo(stage)
    late = table.column("Step") >= (stage.first_step + stage.last_step) / 2
    means = {
        name: float(table.column(name)[late].mean())
        for name in ("Lx", "Ly", "Lz", "Xy", "Xz", "Yz")
    }
    return Cell(**{name.lower(): value for name, value in means.items()})


def write_thermo(path: Path, stages: list[StageRecord]) -> None:
    """Write thermo.csv; a step on the border of two stages appears once in each."""
    rows: list[tuple[StageRecord, int, list[float]]] = []
    for stage in stages:
        table = stage_thermo(stage)
        columns = [table.column(name) * factor for name, (_, factor) in THERMO_NAMES.items()]
        rows += _rows(stage, table.column("Step"), columns)
    _write_csv(path, [name for name, _ in THERMO_NAMES.values()], rows)


def write_deviation(path: Path, stages: list[StageRecord]) -> None:
    """Write deviation.csv: the committee's spread, eV/Å for forces and eV for virials.

    The largest force deviation of each element has a column, empty where atoms were not written.
    """
    tables = [stage_deviation(stage) for stage in stages]
    species = sorted({name for table in tables for name in table.species})
    rows: list[tuple[StageRecord, int, list[float]]] = []
    for stage, table in zip(stages, tables, strict=True):
        columns = [table.column(name) for name in DEVIATION_COLUMNS]
        columns += [table.of_species(name) for name in species]
        rows += _rows(stage, table.steps, columns)
    names = [*DEVIATION_COLUMNS.values()]
    names += [f"max_force_deviation_{name}_ev_per_angstrom" for name in species]
    _write_csv(path, names, rows)


def segments(stage: StageRecord, stream: Stream) -> list[dict[str, Any]]:
    """Return the segments of one trajectory of a stage, frames superseded by a resume left out.

    Returns
    -------
    list of dict
        file (relative to the stage), first_step, last_step, every_steps.
    """
    every = stream.every_steps
    starts = [_next_multiple(attempt.start_step, every) for attempt in stage.attempts]
    final = stream.last_step // every * every
    ends = [start - every for start in starts[1:]] + [final]
    found = []
    for n, attempt in enumerate(stage.attempts):
        # A later attempt may start before an earlier one (its restart was torn).
        end = min([*ends[n:], final])
        if end >= starts[n]:
            found.append(
                {
                    "file": attempt.trajectory(stream.name),
                    "first_step": starts[n],
                    "last_step": end,
                    "every_steps": every,
                }
            )
    return found


def main_segments(stage: StageRecord) -> list[dict[str, Any]]:
    """Return the segments of the sparse trajectory; a stage too short for a frame has none."""
    return [
        segment
        for stream in stage.streams
        if stream.name == "main"
        for segment in segments(stage, stream)
    ]


def write_trajectory_index(path: Path, stages: Sequence[StageRecord]) -> list[Path]:
    """Write trajectory.json and return the segment files that it names."""
    found: dict[str, list[dict[str, Any]]] = {"main": []}
    files = []
    for stage in stages:
        for stream in stage.streams:
            for segment in segments(stage, stream):
                file = stage.directory / segment["file"]
                files.append(file)
                found.setdefault(stream.name, []).append(
                    {
                        **segment,
                        "file": str(file.relative_to(path.parent)),
                        "timestep_fs": stage.timestep_fs,
                        "stage": stage.name,
                        "ensemble": stage.ensemble,
                        "temperature_kelvin": stage.temperature_kelvin,
                        "purpose": stage.purpose,
                    }
                )
    listed = [{"name": name, "segments": entries} for name, entries in found.items()]
    write_json(path, {"schema": SCHEMA, "streams": listed})
    return files


def write_final_structure(path: Path, dump: Path, start: Atoms) -> None:
    """Write final.extxyz from the last frame: unwrapped positions, velocities in Å/ps.

    Raises
    ------
    EngineError
        If the dump does not hold the atoms of the start structure.
    """
    final = final_structure(dump, start)
    with replacing(path) as temporary:
        write(temporary, final, format="extxyz")


def final_structure(dump: Path, start: Atoms) -> Atoms:
    """Return the last frame of a stage, as `write_final_structure` writes it."""
    frame = read(dump, format="lammps-dump-text")
    rows = _dump_rows(dump)
    if len(rows) != len(start) or not np.array_equal(rows[:, 0], np.arange(len(start)) + 1):
        raise EngineError(f"{dump}: {len(rows)} atoms, expected ids 1 to {len(start)}.")
    final = Atoms(
        symbols=start.get_chemical_symbols(), positions=rows[:, 2:5], cell=frame.cell, pbc=True
    )
    final.set_array("velocities_angstrom_per_ps", rows[:, 5:8])
    if "origin" in start.arrays:
        final.set_array("origin", start.arrays["origin"])
    return final


def _dump_rows(dump: Path) -> NDArray[np.float64]:
    lines = dump.read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("ITEM: ATOMS")) + 1
    return np.array([[float(field) for field in line.split()] for line in lines[begin:]])


def _joined(tables: list[Table]) -> Table:
    rows: dict[int, NDArray[np.float64]] = {}
    names: tuple[str, ...] = ()
    for table in tables:
        names = table.names or names
        rows.update({int(row[0]): row for row in table.rows})
    if not rows:
        return Table(names, np.empty((0, len(names))))
    return Table(names, np.array([rows[step] for step in sorted(rows)]))


def _rows(
    stage: StageRecord, steps: NDArray[Any], columns: list[NDArray[np.float64]]
) -> list[tuple[StageRecord, int, list[float]]]:
    numbers = np.array(columns).T.tolist()
    return [(stage, int(step), row) for step, row in zip(steps, numbers, strict=True)]


def _write_csv(
    path: Path, names: list[str], rows: list[tuple[StageRecord, int, list[float]]]
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["step", "time_ps", "stage", *names])
    for stage, step, values in rows:
        # Ten digits, as the engine prints: a drift of 1e-5 eV/atom is looked for in totals of
        # 240 eV/atom.
        written = ["" if math.isnan(value) else f"{value:.10g}" for value in values]
        writer.writerow([step, f"{stage.time_ps(step):.6g}", stage.name, *written])
    write_text(path, buffer.getvalue())


def _next_multiple(step: int, every: int) -> int:
    return -(-step // every) * every
