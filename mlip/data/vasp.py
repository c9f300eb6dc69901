"""What the readers of OUTCAR and vasprun.xml share: two readings, and checks with the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlip.data.agreement import Reading, require_agreement
from mlip.data.frames import FloatArray, Frames, select
from mlip.data.libraries import ase_reading, joined, read_with_ase, read_with_dpdata
from mlip.data.sources import written
from mlip.errors import DataError, UnitError

# dpdata's constant: 1 eV/Å^3 in kbar.
EV_PER_ANGSTROM3_KBAR = 1602.176621
# dpdata turns the cell to lower triangular, which leaves the trace alone; OUTCAR prints 0.01 kbar.
TRACE_TOLERANCE_KBAR = 0.05
ORIGIN = "VASP stress `in kB`, which VASP prints without the kinetic part"
# Few enough for a piece to stay small beside the arrays, many enough to spread its head.
STEPS_IN_A_PIECE = 25


@dataclass
class StepRecord:
    """What the text says of the steps, filled while they pass by.

    Attributes
    ----------
    numbers : list of int
        Ionic step of each first-principles frame.
    pressures_kbar : list of float
        tr/3 of the printed stress.
    converged : list of bool or None
        None where the text does not say.
    predicted : int
        Steps of the on-the-fly force field, left out.
    numbered : bool
        False if predicted steps may lie between the frames without being counted.
    cut_off : bool
        Whether the file ends inside a step.
    """

    numbers: list[int] = field(default_factory=list)
    pressures_kbar: list[float] = field(default_factory=list)
    converged: list[bool | None] = field(default_factory=list)
    predicted: int = 0
    numbered: bool = True
    cut_off: bool = False


@dataclass(frozen=True)
class Readers:
    """Names of a format in the libraries, and of the file that they expect."""

    dpdata: str
    ase: str
    file: str


def read_pieces(pieces: Iterable[list[str]], readers: Readers, path: Path) -> list[Reading]:
    """Read the pieces of a file with dpdata, and the sampled ones with ASE too.

    Pieces 0, 1, 2, 4, 8, ... and the last are compared: of a long file a growing stretch each
    time, at a small share of its cost.

    Raises
    ------
    DataError
        If a library fails, or the two disagree.
    """
    readings: list[Reading] = []
    last: list[str] = []
    for number, last in enumerate(pieces):
        # Powers of two.
        readings.append(_read_piece(last, readers, path, readings, number & (number - 1) == 0))
    count = len(readings) - 1
    if readings and count & (count - 1) != 0:
        _read_piece(last, readers, path, readings[:-1], True)
    return readings


def _read_piece(
    lines: list[str], readers: Readers, path: Path, before: list[Reading], compared: bool
) -> Reading:
    """Read one piece with dpdata and, if asked, require that ASE reads the same.

    Raises
    ------
    DataError
        If one of them fails, or they disagree.
    """
    with written(lines, readers.file) as place:
        reading = read_with_dpdata(place, readers.dpdata, path, convergence_check=False)
        if compared:
            other = ase_reading(read_with_ase(place, readers.ase, path), path)
            require_agreement(reading, other, path, first=sum(len(part) for part in before))
    return reading


def assembled(
    path: Path,
    readings: list[Reading],
    steps: StepRecord,
    timestep_fs: float | None,
    level: dict[str, str],
) -> Frames:
    """Join the pieces to frames; unconverged ones are dropped.

    Raises
    ------
    DataError
        If there is no frame, the text has another number of steps, or steps start again.
    UnitError
        If the virial does not belong to the printed pressure.
    """
    if not readings:
        reason = (
            f"all {steps.predicted} steps were predicted by the force field of VASP (ML_LMLFF)"
            if steps.predicted
            else "no complete ionic step"
        )
        raise DataError(f"{path}: {reason}, so there are no first-principles frames in it.")
    read = joined(readings, path)
    if len(read) != len(steps.numbers):
        raise DataError(
            f"{path}: dpdata and ASE read {len(read)} frames, but the text has "
            f"{len(steps.numbers)} steps. The file is torn or of a version that they misread."
        )
    numbers = np.array(steps.numbers, dtype=np.int64)
    if (np.diff(numbers) <= 0).any():
        k = int(np.argmax(np.diff(numbers) <= 0))
        raise DataError(
            f"{path}: step {numbers[k + 1]} follows step {numbers[k]}: joined from several runs. "
            "Give each run as a file of its own; a directory or a glob reads many."
        )
    if read.virials is not None:
        _check_pressure(path, read.virials, read.cells, steps.pressures_kbar)
    timed = timestep_fs is not None and steps.numbered
    known = all(flag is not None for flag in steps.converged)
    converged = np.array([flag is not False for flag in steps.converged])
    frames = Frames(
        symbols=read.symbols,
        coords=read.coords,
        cells=read.cells,
        energies=read.energies,
        forces=read.forces,
        virials=read.virials,
        steps=numbers,
        times_ps=(numbers - numbers[0]) * (timestep_fs or 0.0) * 1e-3 if timed else None,
        files=(path,),
        level=level,
        virial_origin="" if read.virials is None else ORIGIN,
        unconverged=int((~converged).sum()) if known else None,
        notes=_notes(steps),
    )
    return select(frames, np.flatnonzero(converged))


def _notes(steps: StepRecord) -> tuple[str, ...]:
    notes = ["energies, forces, positions, cells and virials read alike by dpdata and ASE"]
    if steps.predicted:
        notes.append(f"{steps.predicted} steps predicted by the force field of VASP left out")
    if not steps.numbered:
        notes.append("no time axis: predicted steps lie between the frames, uncounted")
    if steps.cut_off:
        notes.append("the run was cut off; its last, incomplete step is left out")
    return tuple(notes)


def _check_pressure(
    path: Path, virials: FloatArray, cells: FloatArray, printed_kbar: list[float]
) -> None:
    """Compare tr W / 3V with the printed pressure: a left-handed cell flips dpdata's sign."""
    if len(printed_kbar) != len(virials):
        raise DataError(
            f"{path}: {len(printed_kbar)} printed stresses for {len(virials)} frames. Truncated?"
        )
    volumes = np.abs(np.linalg.det(cells))
    found = np.trace(virials, axis1=1, axis2=2) / (3 * volumes) * EV_PER_ANGSTROM3_KBAR
    off = np.abs(found - np.array(printed_kbar))
    if off.max() > TRACE_TOLERANCE_KBAR:
        k = int(off.argmax())
        raise UnitError(
            f"{path}: frame {k}: dpdata's virial means {found[k]:.2f} kbar, the file prints "
            f"{printed_kbar[k]:.2f} kbar. A left-handed cell does this; swap two cell vectors."
        )
