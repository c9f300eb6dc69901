"""The committee's deviation by frame and species: compact tables, trust, and when to stop.

LAMMPS writes the deviation of every atom as text (``atomic``, 19 bytes an atom and row, atoms
in the order of their ids). A row is read, reduced to the largest value of each species, and the
raw file can go.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip.errors import DataError
from mlip.files import write_text

FloatArray = NDArray[np.float64]
# Above this the text of a row (0.2 MB) and its gathering on one rank are no longer small.
MOST_ATOMS_WITH_SPECIES = 10_000
BYTES_PER_VALUE = 19
# LAMMPS's order of the columns after the step.
QUANTITIES = (
    *("max_virial", "min_virial", "mean_virial"),
    *("max_force", "min_force", "mean_force"),
)
STOP_AFTER_FRAMES = 10


@dataclass(frozen=True)
class DeviationTable:
    """Committee deviation of a number of frames, by rising step.

    Attributes
    ----------
    steps : ndarray of int, shape (F,)
    values : ndarray, shape (F, 6)
        Columns as `QUANTITIES`: spread of virials (eV) and forces (eV/Å) over the atoms.
    species : tuple of str
        Elements with columns of their own; empty where atoms were not written.
    by_species : ndarray, shape (F, S)
        Largest force deviation among the atoms of each element, eV/Å; nan where a row has none.
    """

    steps: NDArray[np.int64]
    values: FloatArray
    species: tuple[str, ...]
    by_species: FloatArray

    def column(self, name: str) -> FloatArray:
        """Return one of `QUANTITIES`."""
        return self.values[:, QUANTITIES.index(name)]

    def of_species(self, name: str) -> FloatArray:
        """Return the largest force deviation of an element, eV/Å; nan where it is not known."""
        if name not in self.species:
            return np.full(len(self.steps), np.nan)
        return self.by_species[:, self.species.index(name)]


@dataclass(frozen=True)
class Verdict:
    """Whether a running stage is to be stopped.

    Attributes
    ----------
    stop : bool
    reason : str
        Which frames are beyond which level; empty unless `stop`.
    """

    stop: bool
    reason: str


def writes_atoms(atoms: int) -> bool:
    """Return whether ``atomic`` is worth its cost: text and time grow with the atoms."""
    return atoms <= MOST_ATOMS_WITH_SPECIES


def read_raw(path: Path, symbols: Sequence[str]) -> DeviationTable:
    """Read a deviation file of LAMMPS, a row in memory at a time; torn rows are left out.

    Parameters
    ----------
    path : Path
        May be missing: then the table is empty.
    symbols : sequence of str, length N
        Element of each atom in the order of the ids, from 1.

    Raises
    ------
    DataError
        If rows hold another number of atoms.
    """
    if not path.is_file():
        return _table([], symbols)
    with path.open(encoding="ascii", errors="replace") as handle:
        return _table(handle, symbols, path)


def read_compact(path: Path) -> DeviationTable:
    """Read what `compact` wrote.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            head, *rows = csv.reader(handle)
        width = 1 + len(QUANTITIES)
        if tuple(head[:width]) != ("step", *QUANTITIES):
            raise ValueError(f"header {','.join(head)}")
        species = tuple(name.removeprefix("max_force_") for name in head[width:])
        numbers = np.array([[float(field) for field in row] for row in rows])
        numbers = numbers.reshape(len(rows), len(head))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no table of deviations ({error}). Remove it and run the stage again."
        ) from error
    return DeviationTable(
        numbers[:, 0].astype(np.int64), numbers[:, 1:width], species, numbers[:, width:]
    )


def compact(raw: Path, symbols: Sequence[str], path: Path) -> DeviationTable:
    """Write the deviations of one attempt as a small CSV, and remove the raw file.

    A table that is there already is merged by step, the raw file's row counts.

    Returns
    -------
    DeviationTable
        What `path` now holds.
    """
    table = read_raw(raw, symbols)
    if path.is_file():
        table = joined([read_compact(path), table])
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["step", *QUANTITIES, *(f"max_force_{name}" for name in table.species)])
    numbers = np.hstack([table.values, table.by_species])
    for step, row in zip(table.steps.tolist(), numbers.tolist(), strict=True):
        writer.writerow([step, *(f"{value:.7g}" for value in row)])
    write_text(path, buffer.getvalue())
    raw.unlink(missing_ok=True)
    return table


def joined(tables: Sequence[DeviationTable]) -> DeviationTable:
    """Return tables of attempts as one; a step of a later table replaces an earlier one's."""
    species = tuple(dict.fromkeys(name for table in tables for name in table.species))
    rows: dict[int, tuple[FloatArray, FloatArray]] = {}
    for table in tables:
        wide = np.full((len(table.steps), len(species)), np.nan)
        wide[:, [species.index(name) for name in table.species]] = table.by_species
        rows.update(zip(table.steps.tolist(), zip(table.values, wide, strict=True), strict=True))
    return _ordered(rows, species)


def severity(table: DeviationTable, levels: Mapping[str, float]) -> FloatArray:
    """Return how far each frame is beyond trust: above 1 a force is wrong.

    It is the largest deviation over its own element's level. Frames without deviations by
    element are judged by the highest level, since nobody knows whose atom it is.

    Parameters
    ----------
    table : DeviationTable
    levels : mapping of str to float
        As `mlip.model_directory.failed_levels` returns them; not empty.

    Returns
    -------
    ndarray, shape (F,)

    Raises
    ------
    DataError
        If an element has no level.
    """
    unknown = [name for name in table.species if name not in levels]
    if unknown or not levels:
        raise DataError(
            f"no trust level for {', '.join(unknown) or 'any element'}; calibrate the committee: "
            "mlip validate MODEL --data SET"
        )
    plain = table.column("max_force") / max(levels.values())
    if not table.species:
        return plain
    ratios = table.by_species / np.array([levels[name] for name in table.species])
    missing = np.isnan(ratios).all(axis=1)
    return np.where(missing, plain, np.nanmax(np.where(np.isnan(ratios), -1.0, ratios), axis=1))


def untrusted_share(table: DeviationTable, levels: Mapping[str, float]) -> float:
    """Return the share of frames beyond trust; nan without frames. See `severity`."""
    return float(np.mean(severity(table, levels) > 1.0)) if len(table.steps) else float("nan")


def stop_verdict(
    raw: Path,
    symbols: Sequence[str],
    levels: Mapping[str, float],
    frames: int = STOP_AFTER_FRAMES,
) -> Verdict:
    """Tell whether the last frames of a running stage are all beyond the failed level.

    Only the end of the file is read.

    Parameters
    ----------
    raw : Path
        Deviation file that LAMMPS is writing.
    symbols, levels
        See `read_raw` and `severity`; without levels it is never stopped.
    frames : int
        One bad frame is a fluctuation, so many in a row are another state of matter.
    """
    if not levels or not raw.is_file():
        return Verdict(False, "")
    table = _table(_last_lines(raw, frames, len(symbols)), symbols, raw)
    if len(table.steps) < frames:
        return Verdict(False, "")
    beyond = severity(table, levels)[-frames:]
    if (beyond > 1.0).all():
        steps = table.steps[-frames:]
        return Verdict(
            True,
            f"the committee's last {frames} frames (steps {steps[0]} to {steps[-1]}) are all "
            f"beyond the failed level, by factors of {beyond.min():.2f} to {beyond.max():.2f}",
        )
    return Verdict(False, "")


def _last_lines(path: Path, count: int, atoms: int) -> list[str]:
    """Return at least the last whole lines of a raw file, from a bounded piece of it."""
    # One row more than asked for, as the last may be torn, and the first columns are wider.
    wanted = (count + 2) * (BYTES_PER_VALUE * (atoms + len(QUANTITIES) + 1) + 8)
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        start = max(0, size - wanted)
        handle.seek(start)
        lines = handle.read().decode("ascii", errors="replace").splitlines(keepends=True)
    return lines[1:] if start else lines


def _table(
    lines: Iterator[str] | Sequence[str] | Any, symbols: Sequence[str], path: Path | None = None
) -> DeviationTable:
    species = tuple(dict.fromkeys(symbols))
    kinds = np.array([species.index(name) for name in symbols])
    short, long = 1 + len(QUANTITIES), 1 + len(QUANTITIES) + len(symbols)
    rows: dict[int, tuple[FloatArray, FloatArray]] = {}
    for line in lines:
        # A line without its end was cut while it was written, perhaps within a number.
        if line.startswith("#") or not line.endswith("\n"):
            continue
        fields = line.split()
        try:
            numbers = np.array(fields, dtype=float)
        except ValueError:
            continue
        if len(numbers) > short and len(numbers) != long:
            if len(numbers) < long:
                continue
            raise DataError(
                f"{path}: a row holds {len(numbers) - short} atoms, expected {len(symbols)}: the "
                "file belongs to another structure."
            )
        if len(numbers) < short:
            continue
        most = np.full(len(species), np.nan)
        if len(numbers) == long:
            most[:] = -np.inf
            np.maximum.at(most, kinds, numbers[short:])
        rows[int(numbers[0])] = (numbers[1:short], most)
    return _ordered(rows, species)


def _ordered(
    rows: Mapping[int, tuple[FloatArray, FloatArray]], species: tuple[str, ...]
) -> DeviationTable:
    steps = sorted(rows)
    values = np.array([rows[step][0] for step in steps]).reshape(len(steps), len(QUANTITIES))
    most = np.array([rows[step][1] for step in steps]).reshape(len(steps), len(species))
    if most.size == 0 or np.isnan(most).all():
        species, most = (), np.empty((len(steps), 0))
    return DeviationTable(np.array(steps, dtype=np.int64), values, species, most)
