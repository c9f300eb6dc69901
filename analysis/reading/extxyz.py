"""Reading extended XYZ files frame by frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import TrajectoryError
from analysis.reading.spool import RawFrame
from analysis.reading.text_lines import DamagedFrameError, open_lines

if TYPE_CHECKING:
    from ase import Atoms

# Where extxyz files name the time or step of a frame.
TIME_KEYS = ("time", "Time", "time_ps", "step", "Step")
# Where they name velocities, in an order that matters only if a file has several.
VELOCITY_COLUMNS = ("vel", "velo")


def read_extxyz(path: Path) -> Iterator[RawFrame]:
    """Yield the frames of an extended XYZ file, one in memory at a time.

    Parameters
    ----------
    path : Path
        May end in `.gz`, `.bz2` or `.xz`.

    Yields
    ------
    RawFrame

    Raises
    ------
    DamagedFrameError
        If a frame is torn or a line of it cannot be read.
    TrajectoryError
        If a frame is not periodic in three dimensions.
    """
    from ase.io import read

    with open_lines(path) as lines:
        index = 0
        while first := lines.next_filled():
            start = lines.line
            where = f"(it starts at line {start}, byte {lines.byte - len(first)})"
            try:
                if not first.strip().isdecimal() or int(first) < 1:
                    raise DamagedFrameError(
                        f"expected a number of atoms, found {first.strip()[:60]!r}"
                    )
                n_atoms = int(first)
                block = "\n".join([first.rstrip(), *lines.block(n_atoms + 1)]) + "\n"
                # The reader raises what its conversions raise: there is no common class.
                try:
                    atoms = read(io.StringIO(block), format="extxyz")
                except Exception as error:
                    raise DamagedFrameError(f"{type(error).__name__}: {error}") from error
            except DamagedFrameError as error:
                raise DamagedFrameError(f"{error.what} {where}") from error
            cell = np.array(atoms.cell[:], dtype=float)
            if not atoms.pbc.all() or abs(np.linalg.det(cell)) < 1e-9:
                raise TrajectoryError(
                    f"{path}: frame {index} is not periodic in three dimensions; "
                    "write the cell and pbc with every frame"
                )
            positions = np.array(atoms.positions, dtype=float)
            # A date or a list under such a name is no time.
            found = [atoms.info[key] for key in TIME_KEYS if key in atoms.info]
            times = [float(value) for value in found if isinstance(value, int | float | np.number)]
            velocities, source = _velocities(atoms)
            yield RawFrame(
                fractional=positions @ np.linalg.inv(cell),
                cell=cell,
                symbols=np.array(atoms.get_chemical_symbols()),
                step=times[0] if times else None,
                velocities=velocities,
                velocity_source=source,
                # Momenta are written by ASE alone, and always in its unit.
                velocity_unit="ase" if source == "momenta" else "",
            )
            index += 1


def _velocities(atoms: Atoms) -> tuple[FloatArray | None, str]:
    for name in VELOCITY_COLUMNS:
        found = atoms.arrays.get(name)
        if found is not None and found.shape == (len(atoms), 3):
            return np.array(found, dtype=float), name
    if "momenta" in atoms.arrays:
        return np.array(atoms.get_velocities(), dtype=float), "momenta"
    return None, ""
