"""The tables of a CP2K run: XYZ trajectories and columns under a header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip.data.frames import FloatArray, IntArray
from mlip.data.sources import read_text
from mlip.errors import DataError, UnitError

_TITLE = re.compile(r"\bi\s*=\s*(\d+)")
_TITLE_TIME = re.compile(r"\btime\s*=\s*([-+.\dEe]+)")
_TITLE_ENERGY = re.compile(r"\bE\s*=\s*([-+.\dEe]+)")
_PRESSURE_GPA = {"GPa": 1.0, "bar": 1e-4, "kbar": 0.1, "Pa": 1e-9, "MPa": 1e-3}
# Energies in tables carry nine decimals, in titles ten.
ENERGY_TOLERANCE_HARTREE = 2e-8


@dataclass(frozen=True)
class XyzFile:
    """An XYZ trajectory as it is in the file, repeated steps included.

    Attributes
    ----------
    symbols : tuple of str
    values : (F, N, 3) array
        In the unit of the file.
    steps : (F,) int array
    times_fs, energies_hartree : (F,) arrays
        From the title lines; NaN where a title has none.
    """

    symbols: tuple[str, ...]
    values: FloatArray
    steps: IntArray
    times_fs: FloatArray
    energies_hartree: FloatArray


@dataclass(frozen=True)
class Table:
    """A headed table of numbers.

    Attributes
    ----------
    columns : dict of str to int
        Column by name, for example 'Ax' or 'Pot.'.
    units : dict of str to str
        Unit by name.
    rows : (R, C) array
    """

    columns: dict[str, int]
    units: dict[str, str]
    rows: FloatArray


def read_xyz(path: Path) -> XyzFile:
    """Read a CP2K XYZ trajectory.

    Raises
    ------
    DataError
        If a frame is incomplete, has no step number, other atoms, or no numbers.
    """
    lines = read_text(path).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path}: the file is empty.")
    try:
        atoms = int(lines[0])
    except ValueError as error:
        raise DataError(f"{path}: line 1 is {lines[0]!r}, expected a number of atoms.") from error
    block = atoms + 2
    count, rest = divmod(len(lines), block)
    if rest:
        raise DataError(
            f"{path}: frame {count} is incomplete: {rest} of {block} lines. The run was cut off "
            "or is still going on; remove the incomplete frame from every file of the run."
        )
    symbols: tuple[str, ...] = ()
    values = np.empty((count, atoms, 3))
    steps, times, energies = np.empty(count, dtype=np.int64), np.empty(count), np.empty(count)
    for k in range(count):
        head, title, *body = lines[k * block : (k + 1) * block]
        step = _TITLE.search(title)
        if head.strip() != str(atoms) or step is None:
            raise DataError(
                f"{path}: frame {k} (line {k * block + 1}) starts with {head.strip()!r}, "
                f"{title.strip()!r}; expected {atoms} and a title with `i = STEP`."
            )
        words = [line.split() for line in body]
        try:
            found = tuple(word[0].capitalize() for word in words)
            values[k] = [word[1:4] for word in words]
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}: frame {k} (step {step.group(1)}) has a line that is not "
                f"`symbol x y z` ({error})."
            ) from error
        symbols = symbols or found
        if found != symbols:
            raise DataError(f"{path}: frame {k} has other atoms than frame 0.")
        steps[k] = int(step.group(1))
        times[k] = _title_number(_TITLE_TIME, title)
        energies[k] = _title_number(_TITLE_ENERGY, title)
    return XyzFile(symbols, values, steps, times, energies)


def read_table(path: Path) -> Table:
    """Read a CP2K table whose first line is ``# name [unit] ...``.

    Raises
    ------
    DataError
        If the header is missing or a row has another number of columns.
    """
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if not lines or not lines[0].lstrip().startswith("#"):
        raise DataError(f"{path}: no header line; units cannot be read, so it is refused.")
    # Two or more blanks separate columns; `Time [fs]` and `Time[fs]` both occur.
    names = re.sub(r"\s+\[", "[", lines[0].lstrip("# ")).strip()
    columns: dict[str, int] = {}
    units: dict[str, str] = {}
    for number, field in enumerate(re.split(r"\s{2,}", names)):
        match = re.match(r"([^\[]+)(?:\[(.*)\])?$", field.strip())
        if match is None:
            raise DataError(f"{path}: header field {field!r} is not `name [unit]`.")
        columns[match.group(1).strip()] = number
        units[match.group(1).strip()] = match.group(2) or ""
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if line.lstrip().startswith("#"):
            continue
        words = line.split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != len(columns):
            raise DataError(
                f"{path}: line {number} has {len(numbers)} numbers, expected {len(columns)} "
                "(truncated, or ***** for a number too wide)."
            )
        rows.append(numbers)
    return Table(columns, units, np.array(rows).reshape(len(rows), len(columns)))


def column(table: Table, name: str, units: dict[str, float], path: Path) -> FloatArray:
    """Return a column times the factor of its unit.

    Raises
    ------
    DataError
        If the column is missing.
    UnitError
        If its unit is not in `units`.
    """
    if name not in table.columns:
        raise DataError(f"{path}: no column {name!r}; found {', '.join(table.columns)}.")
    unit = table.units[name]
    if unit not in units:
        raise UnitError(
            f"{path}: column {name!r} is in [{unit}], known units are {', '.join(units)}."
        )
    return table.rows[:, table.columns[name]] * units[unit]


def pressure_factor(unit: str, path: Path) -> float:
    """Return GPa per `unit`.

    Raises
    ------
    UnitError
        If the unit is unknown.
    """
    if unit not in _PRESSURE_GPA:
        raise UnitError(f"{path}: stress in [{unit}]; known are {', '.join(_PRESSURE_GPA)}.")
    return _PRESSURE_GPA[unit]


def latest_rows(steps: IntArray) -> dict[int, int]:
    """Return the row of the last copy of each step: a restarted run repeats some."""
    return {int(step): row for row, step in enumerate(steps)}


def _title_number(pattern: re.Pattern[str], title: str) -> float:
    match = pattern.search(title)
    return float(match.group(1)) if match else float("nan")
