"""Reading what LAMMPS wrote: thermodynamic logs, deviations, single points, restarts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.lammps import EV_PER_ANGSTROM3_IN_BAR
from mlip.errors import EngineError

# LAMMPS closes every complete restart file with this string.
RESTART_END = b"LammpS RestartT\0"


@dataclass(frozen=True)
class Table:
    """Columns by name, one row a step; a step seen twice counts once, the later row."""

    names: tuple[str, ...]
    rows: NDArray[np.float64]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one column."""
        return self.rows[:, self.names.index(name)]


def read_thermo(path: Path) -> Table:
    """Read the thermodynamic output of a LAMMPS log, torn last lines left out.

    Returns
    -------
    Table
        First column ``Step``. Empty if the run ended before the first line.
    """
    names: tuple[str, ...] = ()
    rows: dict[int, list[float]] = {}
    inside = False
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        fields = line.split()
        if fields[:1] == ["Step"]:
            names, inside = tuple(fields), True
            continue
        if not inside:
            continue
        if line.startswith("Loop time"):
            inside = False
            continue
        if len(fields) != len(names):
            continue
        try:
            values = [float(field) for field in fields]
        except ValueError:
            continue
        rows[int(values[0])] = values
    return _table(names, rows)


def last_step(path: Path) -> int | None:
    """Return the last step in a log, or None before the first."""
    table = read_thermo(path)
    return int(table.rows[-1, 0]) if len(table.rows) else None


def running_step(path: Path) -> int | None:
    """Return the step that a running LAMMPS has reached, from the last bytes of its log."""
    if not path.is_file():
        return None
    with path.open("rb") as handle:
        handle.seek(max(0, handle.seek(0, 2) - 4096))
        lines = handle.read().decode(errors="replace").splitlines()[:-1]
    for line in reversed(lines):
        fields = line.split()
        if len(fields) > 4 and fields[0].isdigit():
            try:
                [float(field) for field in fields]
            except ValueError:
                continue
            return int(fields[0])
    return None


def ended_normally(path: Path) -> bool:
    """Return whether a log closes with LAMMPS's own end line."""
    return path.is_file() and "Total wall time:" in path.read_text(errors="replace")[-2000:]


DEVIATION_NAMES = (
    *("Step", "max_virial", "min_virial", "mean_virial"),
    *("max_force", "min_force", "mean_force"),
)


def read_deviation(path: Path) -> Table:
    """Read a model-deviation file: spread of virials (eV) and of forces (eV/Å) by step."""
    rows: dict[int, list[float]] = {}
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        fields = line.split()
        if line.startswith("#") or len(fields) < len(DEVIATION_NAMES):
            continue
        try:
            values = [float(field) for field in fields[: len(DEVIATION_NAMES)]]
        except ValueError:
            continue
        rows[int(values[0])] = values
    return _table(DEVIATION_NAMES, rows)


def read_single_point(
    dump: Path, output: Path, volume_angstrom3: float
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Read the result of `mlip.engines.lammps.single_point_script`.

    Returns
    -------
    energy : float
        In eV.
    forces : ndarray, shape (N, 3)
        In eV/Å.
    virial : ndarray, shape (3, 3)
        In eV, potential part, DeePMD sign: W = V P.

    Raises
    ------
    EngineError
        If the files are missing or torn.
    """
    try:
        values = [float(field) for field in output.read_text().split()]
        lines = dump.read_text().splitlines()
        atoms = int(lines[3])
        rows = np.array([[float(field) for field in line.split()] for line in lines[9 : 9 + atoms]])
        energy, xx, yy, zz, xy, xz, yz = values
        forces = rows[:, 1:4]
    except (OSError, ValueError, IndexError) as error:
        raise EngineError(f"{output}: LAMMPS wrote no complete single point ({error}).") from error
    pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return energy, forces, pressure * volume_angstrom3 / EV_PER_ANGSTROM3_IN_BAR


def restart_is_whole(path: Path) -> bool:
    """Return whether a restart file carries LAMMPS's end mark; a torn one does not."""
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - len(RESTART_END)))
        return handle.read() == RESTART_END


def _table(names: tuple[str, ...], rows: dict[int, list[float]]) -> Table:
    if not rows:
        return Table(names, np.empty((0, len(names))))
    values = np.array([rows[step] for step in sorted(rows)])
    if not math.isfinite(values[-1].sum()):
        values = values[np.isfinite(values).all(axis=1)]
    return Table(names, values)
