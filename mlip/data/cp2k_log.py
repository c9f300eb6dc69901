"""Reader of a single CP2K log with energies and forces; positions of MD come from its XYZ file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mlip.data.agreement import Reading, require_agreement
from mlip.data.cp2k_files import (
    BANNER_CHARACTERS,
    ENERGY,
    STRESS,
    XyzFile,
    places_in_log,
    pressure_factor,
    read_xyz,
)
from mlip.data.cp2k_input import Section, fixed_cell, parse_input, position_unit, read_level
from mlip.data.cp2k_log_level import log_level
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
from mlip.data.sources import beside, open_text, read_text, unpacked
from mlip.errors import DataError

ORIGIN = "stress tensor of the CP2K log, which is the potential part"
# The log prints cells with three decimals and positions with six.
CELL_TOLERANCE_ANGSTROM = 6e-4
POSITION_TOLERANCE_ANGSTROM = 2e-6

_ATOM = re.compile(r"^\s+\d+\s+\d+\s+([A-Z][a-z]?)\s+\d+((?:\s+-?\d+\.\d+){5})\s*$")
_FORCE = re.compile(r"^\s+\d+\s+\d+\s+\S+((?:\s+-?\d+\.\d+(?:E[-+]\d+)?){3})\s*$")
_NEW_FORCE = re.compile(r"^\s*FORCES\|\s+\d+((?:\s+-?\d+\.\d+(?:E[-+]\d+)?){4})\s*$")
_VECTOR = re.compile(
    r"^ CELL\| Vector ([abc]) \[angstrom\]:((?:\s+-?\d+\.\d+){3})\s+\|.\| =\s+(\S+)"
)


@dataclass
class _Evaluation:
    """One force evaluation: hartree, hartree/bohr and GPa as printed."""

    energy: float
    converged: bool
    forces: list[list[float]] = field(default_factory=list)
    stress_gpa: FloatArray | None = None


@dataclass
class _Log:
    """What is taken from the log."""

    head: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    coords: list[list[float]] = field(default_factory=list)
    cell: dict[str, FloatArray] = field(default_factory=dict)
    evaluations: list[_Evaluation] = field(default_factory=list)

    def named(self, what: str) -> str:
        """Return the last word of a line of the head, for example the project name."""
        return next((line.split()[-1] for line in self.head if what in line), "")


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
    log = _parse(path)
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
        positions = read_xyz(xyz)
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
        level={**level, "version": log.named("CP2K| version string")},
        notes=notes,
    )
    if positions is None:
        frames = replace(frames, notes=(*notes, _compared_with_dpdata(frames, path)))
    converged = np.flatnonzero([evaluation.converged for evaluation in chosen])
    return [replace(select(frames, converged), unconverged=len(chosen) - len(converged))]


def log_files(path: Path) -> tuple[Path, ...]:
    """Return the log, the input it names and its position file, as far as they are there."""
    head = _Log(head=read_text(path, BANNER_CHARACTERS).splitlines())
    names = (
        head.named("CP2K| Input file name"),
        f"{head.named('GLOBAL| Project name')}-pos-1.xyz",
    )
    return (path, *(file for name in names if name and (file := beside(path, name))))


def _parse(path: Path) -> _Log:
    log, clean = _Log(), True
    with open_text(path) as handle:
        lines = iter(handle)
        for line in lines:
            if not log.evaluations:
                log.head.append(line)
            if match := _VECTOR.match(line):
                vector = np.array([float(word) for word in match.group(2).split()])
                # Newer versions print the length with more decimals than the vector.
                vector *= float(match.group(3)) / np.linalg.norm(vector)
                log.cell.setdefault(match.group(1), vector)
            elif "ATOMIC COORDINATES IN" in line.upper() and not log.coords:
                _atoms(lines, log)
            elif "SCF run NOT converged" in line:
                clean = False
            elif match := ENERGY.search(line):
                log.evaluations.append(_Evaluation(float(match.group(1)), clean))
                clean = True
            elif log.evaluations and (
                "ATOMIC FORCES in [a.u.]" in line or "Atomic forces [hartree/bohr]" in line
            ):
                log.evaluations[-1].forces = _forces(lines)
            elif log.evaluations and (match := STRESS.search(line)):
                factor = pressure_factor(match.group(1), path)
                log.evaluations[-1].stress_gpa = _stress(lines, path) * factor
    if not log.named("CP2K| version string"):
        raise DataError(f"{path}: no line `CP2K| version string`, so this is no CP2K log.")
    return log


def _atoms(lines: Iterator[str], log: _Log) -> None:
    for line in lines:
        log.head.append(line)
        if match := _ATOM.match(line):
            log.symbols.append(match.group(1))
            log.coords.append([float(word) for word in match.group(2).split()[:3]])
        elif log.coords:
            return


def _forces(lines: Iterator[str]) -> list[list[float]]:
    rows: list[list[float]] = []
    for line in lines:
        if match := _FORCE.match(line) or _NEW_FORCE.match(line):
            rows.append([float(word) for word in match.group(1).split()[:3]])
        elif rows:
            break
    return rows


def _stress(lines: Iterator[str], path: Path) -> FloatArray:
    rows: list[list[float]] = []
    for line in lines:
        words = line.split()
        if len(words) >= 4 and words[-4].lower() in "xyz":
            rows.append([float(word) for word in words[-3:]])
        if len(rows) == 3:
            return np.array(rows)
    raise DataError(f"{path}: the log ends inside the stress tensor.")


def _settings(log: _Log, path: Path) -> Section | None:
    """Return the input that the log names, if it lies beside it; another input is not believed."""
    name = log.named("CP2K| Input file name")
    given = beside(path, name) if name else None
    return parse_input(read_text(given), given) if given else None


def _cell(log: _Log, settings: Section | None, path: Path) -> tuple[FloatArray, tuple[str, ...]]:
    ensemble = log.named("Ensemble Type") or log.named("Ensemble type")
    if ensemble.upper().startswith(("NPT", "NPE")) or "CELL_OPT" in log.named("Run type"):
        raise DataError(
            f"{path}: the cell moves ({ensemble or 'CELL_OPT'}), which the log does not print step "
            "by step. Read the run directory with format cp2k."
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


def _positions_file(log: _Log, path: Path) -> Path:
    name = f"{log.named('GLOBAL| Project name')}-pos-1.xyz"
    found = beside(path, name)
    if found is None:
        raise DataError(
            f"{path}: {len(log.evaluations)} evaluations, but positions of the first only: CP2K "
            f"writes those of MD to {name}, which is not beside the log. Add it."
        )
    return found


def _matched(positions: XyzFile, log: _Log, path: Path, xyz: Path) -> list[_Evaluation]:
    """Find the evaluation of each frame by its energy, in order."""
    if list(positions.symbols) != log.symbols:
        raise DataError(f"{xyz}: other atoms than the log {path.name}.")
    logged = np.array([evaluation.energy for evaluation in log.evaluations])
    found = places_in_log(positions.energies_hartree, logged)
    if (found < 0).any():
        k = int(np.flatnonzero(found < 0)[-1])
        raise DataError(
            f"{xyz}: step {positions.steps[k]} has {positions.energies_hartree[k]:.9f} hartree, "
            f"which is not in its place in {path.name}. They are of different runs, or the log "
            "is cut off."
        )
    return [log.evaluations[k] for k in found]


def _length_unit(positions: XyzFile, log: _Log, settings: Section | None, xyz: Path) -> float:
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
    log: _Log,
    chosen: list[_Evaluation],
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
        energies=np.array([e.energy for e in chosen]) * HARTREE_EV,
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
