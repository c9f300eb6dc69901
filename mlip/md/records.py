"""What a run leaves for its readers: thermo.csv, deviation.csv, trajectory.json, final.extxyz."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read, write
from numpy.typing import NDArray

from mlip.engines.lammps_output import Table, read_deviation, read_thermo
from mlip.errors import EngineError
from mlip.files import replacing, write_json, write_text
from mlip.md.script import BAR_PER_GPA, Attempt, Cell

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
    attempts : tuple of Attempt
    """

    name: str
    ensemble: str
    purpose: str
    directory: Path
    first_step: int
    last_step: int
    attempts: tuple[Attempt, ...]


def stage_thermo(stage: StageRecord) -> Table:
    """Return the thermodynamics of all attempts joined; a later attempt replaces an earlier."""
    return _joined([read_thermo(stage.directory / attempt.log) for attempt in stage.attempts])


def stage_deviation(stage: StageRecord) -> Table:
    """Return the committee deviation of all attempts joined."""
    return _joined(
        [read_deviation(stage.directory / attempt.deviation) for attempt in stage.attempts]
    )


def mean_cell(stage: StageRecord) -> Cell:
    """Return the mean cell matrix over the second half of a stage, the approach left out."""
    table = stage_thermo(stage)
    late = table.column("Step") >= (stage.first_step + stage.last_step) / 2
    means = {
        name: float(table.column(name)[late].mean())
        for name in ("Lx", "Ly", "Lz", "Xy", "Xz", "Yz")
    }
    return Cell(**{name.lower(): value for name, value in means.items()})


def write_thermo(path: Path, stages: list[StageRecord], timestep_fs: float) -> None:
    """Write thermo.csv; a step on the border of two stages appears once in each."""
    _write_csv(
        path,
        [(stage, stage_thermo(stage)) for stage in stages],
        {name: new for name, (new, _) in THERMO_NAMES.items()},
        {name: factor for name, (_, factor) in THERMO_NAMES.items()},
        timestep_fs,
    )


def write_deviation(path: Path, stages: list[StageRecord], timestep_fs: float) -> None:
    """Write deviation.csv: the committee's spread, eV/Å for forces and eV for virials."""
    _write_csv(
        path,
        [(stage, stage_deviation(stage)) for stage in stages],
        DEVIATION_COLUMNS,
        dict.fromkeys(DEVIATION_COLUMNS, 1.0),
        timestep_fs,
    )


def segments(stage: StageRecord, every_steps: int) -> list[dict[str, Any]]:
    """Return the trajectory segments of a stage, frames superseded by a resume left out.

    Returns
    -------
    list of dict
        file (relative to the stage), first_step, last_step, every_steps.
    """
    starts = [_next_multiple(attempt.start_step, every_steps) for attempt in stage.attempts]
    final = stage.last_step // every_steps * every_steps
    ends = [start - every_steps for start in starts[1:]] + [final]
    found = []
    for n, attempt in enumerate(stage.attempts):
        # A later attempt may start before an earlier one (its restart was torn).
        end = min(ends[n:])
        if end >= starts[n]:
            found.append(
                {
                    "file": attempt.trajectory,
                    "first_step": starts[n],
                    "last_step": end,
                    "every_steps": every_steps,
                }
            )
    return found


def write_trajectory_index(
    path: Path,
    stages: list[StageRecord],
    *,
    every_steps: int,
    timestep_fs: float,
    temperature_kelvin: float,
) -> list[Path]:
    """Write trajectory.json and return the segment files that it names."""
    entries = []
    files = []
    for stage in stages:
        for segment in segments(stage, every_steps):
            file = stage.directory / segment["file"]
            files.append(file)
            entries.append(
                {
                    **segment,
                    "file": str(file.relative_to(path.parent)),
                    "timestep_fs": timestep_fs,
                    "stage": stage.name,
                    "ensemble": stage.ensemble,
                    "temperature_kelvin": temperature_kelvin,
                    "purpose": stage.purpose,
                }
            )
    write_json(path, {"schema": SCHEMA, "streams": [{"name": "main", "segments": entries}]})
    return files


def write_final_structure(path: Path, dump: Path, start: Atoms) -> None:
    """Write final.extxyz from the last frame: unwrapped positions, velocities in Å/ps.

    Raises
    ------
    EngineError
        If the dump does not hold the atoms of the start structure.
    """
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
    with replacing(path) as temporary:
        write(temporary, final, format="extxyz")


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


def _write_csv(
    path: Path,
    tables: list[tuple[StageRecord, Table]],
    names: dict[str, str],
    factors: dict[str, float],
    timestep_fs: float,
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["step", "time_ps", "stage", *names.values()])
    for stage, table in tables:
        for row in range(len(table.rows)):
            step = int(table.rows[row, 0])
            values = [table.column(name)[row] * factors[name] for name in names]
            writer.writerow(
                [
                    step,
                    f"{step * timestep_fs / 1000.0:.6g}",
                    stage.name,
                    # Ten digits, as the engine prints: a drift of 1e-5 eV/atom is looked for in
                    # totals of 240 eV/atom.
                    *(f"{value:.10g}" for value in values),
                ]
            )
    write_text(path, buffer.getvalue())


def _next_multiple(step: int, every: int) -> int:
    return -(-step // every) * every
