"""Reader of a single CP2K log with energies and forces; positions of MD come from its XYZ file."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlip.data.agreement import Reading, require_agreement
from mlip.data.cp2k_files import XyzFile, latest_rows, read_xyz
from mlip.data.cp2k_input import (
    Section,
    fixed_cell,
    moves_cell,
    parse_input,
    position_unit,
    read_level,
)
from mlip.data.cp2k_log_level import log_level
from mlip.data.cp2k_output import BANNER_CHARACTERS, Evaluation, Log, places_in_log, read_log
from mlip.data.frames import (
    BOHR_ANGSTROM,
    EV_PER_ANGSTROM3_GPA,
    HARTREE_EV,
    FloatArray,
    Frames,
    IntArray,
    select,
)
from mlip.data.libraries import read_with_dpdata
from mlip.data.sources import beside, read_text, unpacked
from mlip.errors import DataError

ORIGIN = "stress tensor of the CP2K log, which is the potential part"
# The log prints cells with three decimals and positions with six.
CELL_TOLERANCE_ANGSTROM = 6e-4
POSITION_TOLERANCE_ANGSTROM = 2e-6


def read_cp2k_log(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read a log of a single point, or of MD in a fixed cell with its positions beside it.

    ASE has no reader of CP2K logs. dpdata's ``cp2k/output`` takes names of kinds (Fe1) for
    elements and misreads the log of a run with several evaluations, so the log is read here; a
    single point is compared with dpdata. Positions of MD are those of
    ``<project>-pos-1.xyz``, joined by energy. The virial is V times the printed stress.

    Parameters
    ----------
    path : Path
        Plain or compressed.
    timestep_fs : float, optional
        Time between evaluations; by default the times of the position file.

    Raises
    ------
    DataError
        If cell, atoms, energies or forces are not printed, positions are missing, the cell
        moves, or two readings differ.
    UnitError
        If the stress is in an unknown unit.
    """
    log = read_log(path)
    if not log.evaluations or not log.coords or len(log.cell) != 3:
        raise DataError(
            f"{path}: {len(log.evaluations)} energies, {len(log.coords)} initial positions and "
            f"{len(log.cell)} of 3 cell vectors are printed; all are needed. Raise PRINT_LEVEL to "
            "MEDIUM, or read the run directory with format cp2k."
        )
    lacking = [k for k, e in enumerate(log.evaluations) if len(e.forces) != len(log.coords)]
    if lacking:
        found = len(log.evaluations[lacking[0]].forces)
        raise DataError(
            f"{path}: evaluation {lacking[0]} has forces of {found} atoms, expected "
            f"{len(log.coords)} ({len(lacking)} of {len(log.evaluations)} lack some). "
            "Print them (&FORCE_EVAL &PRINT &FORCES ON), or the log is cut off."
        )
    settings = _settings(log, path)
    cell, notes = _cell(log, settings, path)
    if len(log.evaluations) == 1:
        positions: XyzFile | None = None
        chosen = log.evaluations
        coords = np.array([log.coords])
        steps, times = np.zeros(1, dtype=np.int64), None
        files = [path]
    else:
        xyz = _positions_file(log, path)
        positions = _later_copies(read_xyz(xyz))
        chosen = _matched(positions, log, path, xyz)
        coords = positions.values * _length_unit(positions, log, settings, xyz)
        steps = positions.steps
        times = positions.times_fs * 1e-3 if np.isfinite(positions.times_fs).all() else None
        files = [path, xyz]
    frames = _frames(log, chosen, coords, cell, steps, path)
    level = read_level(settings) if settings else log_level("".join(log.head))
    frames = replace(
        frames,
        times_ps=times if timestep_fs is None else (steps - steps[0]) * timestep_fs * 1e-3,
        files=tuple(files),
        level={**level, "version": log.version},
        notes=notes,
    )
    if positions is None:
        frames = replace(frames, notes=(*notes, _compared_with_dpdata(frames, path)))
    converged = np.flatnonzero([evaluation.converged for evaluation in chosen])
    return [replace(select(frames, converged), unconverged=len(chosen) - len(converged))]


def log_files(path: Path) -> tuple[Path, ...]:
    """Return the log, the input it names and its position file, as far as they are there."""
    head = Log(head=read_text(path, BANNER_CHARACTERS).splitlines())
    names = (
        head.named("CP2K| Input file name"),
        f"{head.named('GLOBAL| Project name')}-pos-1.xyz",
    )
    return (path, *(file for name in names if name and (file := beside(path, name))))


def _settings(log: Log, path: Path) -> Section | None:
    """Return the input that the log names, if it lies beside it; another input is not believed."""
    name = log.named("CP2K| Input file name")
    given = beside(path, name) if name else None
    return parse_input(read_text(given), given) if given else None


def _cell(log: Log, settings: Section | None, path: Path) -> tuple[FloatArray, tuple[str, ...]]:
    if moves_cell(log.ensemble) or "CELL_OPT" in log.named("Run type"):
        raise DataError(
            f"{path}: the cell moves ({log.ensemble or 'CELL_OPT'}), which the log does not print "
            "step by step. Read the run directory with format cp2k."
        )
    printed = np.array([log.cell[axis] for axis in "abc"])
    if settings is None:
        return printed, (
            "no input beside the log: cell and level are those that the log prints (cell to "
            "0.001 Å)",
        )
    exact = fixed_cell(settings, path)
    if np.abs(exact - printed).max() > CELL_TOLERANCE_ANGSTROM:
        raise DataError(
            f"{path}: the cell of the input is not the one that the log prints:\n"
            f"  input  {exact.tolist()}\n  log    {printed.tolist()}\n"
            "They are of different runs."
        )
    return exact, ()


def _positions_file(log: Log, path: Path) -> Path:
    name = f"{log.named('GLOBAL| Project name')}-pos-1.xyz"
    found = beside(path, name)
    if found is None:
        raise DataError(
            f"{path}: {len(log.evaluations)} evaluations, but positions of the first only: CP2K "
            f"writes those of MD to {name}, which is not beside the log. Add it."
        )
    return found


def _later_copies(xyz: XyzFile) -> XyzFile:
    """Return the steps in order, of a repeated one the later copy."""
    kept = [row for _, row in sorted(latest_rows(xyz.steps).items())]
    return XyzFile(
        symbols=xyz.symbols,
        values=xyz.values[kept],
        steps=xyz.steps[kept],
        times_fs=xyz.times_fs[kept],
        energies_hartree=xyz.energies_hartree[kept],
    )


def _matched(positions: XyzFile, log: Log, path: Path, xyz: Path) -> list[Evaluation]:
    """Find the evaluation of each frame by its energy, in order."""
    if list(positions.symbols) != log.symbols:
        raise DataError(f"{xyz}: other atoms than the log {path.name}.")
    found = places_in_log(positions.energies_hartree, log.evaluations)
    if (found < 0).any():
        k = int(np.flatnonzero(found < 0)[-1])
        raise DataError(
            f"{xyz}: step {positions.steps[k]} has {positions.energies_hartree[k]:.9f} hartree, "
            f"which is not in its place in {path.name}. They are of different runs, or the log "
            "is cut off."
        )
    return [log.evaluations[k] for k in found]


def _length_unit(positions: XyzFile, log: Log, settings: Section | None, xyz: Path) -> float:
    """Return Å per unit of the XYZ file: of the input, else told by the positions in the log."""
    if settings is not None:
        return position_unit(settings, xyz)
    first = positions.steps == 0
    # The printed positions are those of step 0.
    if first.any():
        for unit in (1.0, BOHR_ANGSTROM):
            off = np.abs(positions.values[first][0] * unit - np.array(log.coords)).max()
            if off <= POSITION_TOLERANCE_ANGSTROM:
                return unit
    raise DataError(
        f"{xyz}: its unit cannot be told: no step 0 that agrees with the log, and the input that "
        "the log names is not beside it. Put the input there."
    )


def _frames(
    log: Log,
    chosen: list[Evaluation],
    coords: FloatArray,
    cell: FloatArray,
    steps: IntArray,
    path: Path,
) -> Frames:
    stresses = [e.stress_gpa for e in chosen if e.stress_gpa is not None]
    if stresses and len(stresses) != len(chosen):
        raise DataError(f"{path}: {len(stresses)} of {len(chosen)} evaluations print a stress.")
    volume = abs(float(np.linalg.det(cell)))
    return Frames(
        symbols=tuple(log.symbols),
        coords=coords,
        cells=np.tile(cell, (len(chosen), 1, 1)),
        energies=np.array([e.energy_hartree for e in chosen]) * HARTREE_EV,
        forces=np.array([e.forces for e in chosen]) * HARTREE_EV / BOHR_ANGSTROM,
        virials=np.array(stresses) * volume / EV_PER_ANGSTROM3_GPA if stresses else None,
        steps=steps,
        times_ps=None,
        files=(path,),
        virial_origin=ORIGIN if stresses else "",
    )


def _compared_with_dpdata(frames: Frames, path: Path) -> str:
    """Compare a single point with dpdata, whose names of kinds are cut to elements."""
    try:
        with unpacked([path], path.parent) as folder:
            other = read_with_dpdata(next(folder.iterdir()), "cp2k/output", path)
    except DataError as error:
        return f"not compared: dpdata cannot read this log ({error.__cause__})"
    kinds = [re.match(r"[A-Z][a-z]?", name) for name in other.symbols]
    elements = tuple(kind.group(0) if kind else "?" for kind in kinds)
    printed = Reading(
        reader="text",
        symbols=frames.symbols,
        cells=frames.cells,
        coords=frames.coords,
        energies=frames.energies,
        forces=frames.forces,
        virials=frames.virials,
    )
    require_agreement(replace(other, symbols=elements), printed, path)
    return "read alike from the text and by dpdata"
