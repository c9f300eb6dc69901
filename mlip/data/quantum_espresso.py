"""Reader of Quantum ESPRESSO pw.x output: ASE, checked with the text and, for SCF, dpdata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from mlip.data.agreement import Reading, require_agreement
from mlip.data.frames import BOHR_ANGSTROM, EV_PER_ANGSTROM3_GPA, HARTREE_EV, Frames
from mlip.data.libraries import ase_reading, joined, read_with_ase, read_with_dpdata
from mlip.data.quantum_espresso_level import pw_level
from mlip.data.sources import beside, open_text, plain_name, unpacked, written
from mlip.errors import DataError, UnitError

RYDBERG_EV = HARTREE_EV / 2.0
KBAR_GPA = 0.1
ORIGIN = "`total stress` of pw.x, the static part: the kinetic stress of ions is printed apart"
CONFIGURATIONS_IN_A_PIECE = 25
# Printed to 1e-6 Ry/bohr and 0.01 kbar; the norm is over all atoms.
FORCE_TOLERANCE_RYDBERG_PER_BOHR = 2e-5
PRESSURE_TOLERANCE_KBAR = 0.02
ENERGY = re.compile(r"^!\s+total energy\s+=\s+(\S+) Ry", re.MULTILINE)


@dataclass
class _Record:
    """What the text says of the configurations that are kept, and what was left out."""

    energies_ev: list[float] = field(default_factory=list)
    force_norms: list[float] = field(default_factory=list)
    pressures_kbar: list[float] = field(default_factory=list)
    times_ps: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    unconverged: int = 0
    ended: bool = False


def read_pw(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read an output of pw.x: scf, relax, vc-relax, md or vc-md.

    ASE reads the frames. Energy, norm of the forces (``Total force``) and pressure (``P=``) of
    each are compared with the printed ones; a single SCF with its input beside it (same name,
    ``.in`` or ``.pwi``) is compared with dpdata too, which reads nothing else. Steps whose SCF
    did not converge, and a last step that was cut off, are left out and counted.

    Parameters
    ----------
    path : Path
        Plain or compressed.
    timestep_fs : float, optional
        Time between steps; by default the times that the run printed.

    Raises
    ------
    DataError
        If it is no output of pw.x, has no forces, several energies in a step, or readings
        disagree.
    UnitError
        If forces or stress do not belong to their printed sums.
    """
    record, readings = _Record(), []
    head: list[str] = []
    with open_text(path) as handle:
        segments = enumerate(_configurations(handle))
        while piece := list(islice(segments, CONFIGURATIONS_IN_A_PIECE)):
            if not head:
                head = _head(piece[0][1], path)
            kept = [lines for k, lines in piece if _noted("".join(lines), k, record, path)]
            if not kept:
                continue
            first = [] if kept[0] is piece[0][1] and piece[0][0] == 0 else head
            lines = [line for part in (first, *kept) for line in part]
            with written(lines, "pw.out") as place:
                readings.append(ase_reading(read_with_ase(place, "espresso-out", path), path))
    if not readings:
        raise DataError(
            f"{path}: no step with energy and forces ({record.unconverged} did not converge). "
            "Forces are printed with tprnfor = .true."
        )
    read = joined(readings, path)
    _check(read, record, path)
    energies = np.array(record.energies_ev)
    notes = [_compared_with_dpdata(read, path)]
    if not record.ended:
        notes.append("the run was cut off; an incomplete last step is left out")
    numbers = np.array(record.numbers, dtype=np.int64)
    timed = len(record.times_ps) == len(energies) and bool(np.all(np.diff(record.times_ps) > 0))
    if timestep_fs is not None:
        times = (numbers - numbers[0]) * timestep_fs * 1e-3
    else:
        times = np.array(record.times_ps) if timed else None
    frames = Frames(
        symbols=read.symbols,
        coords=read.coords,
        cells=read.cells,
        energies=energies,
        forces=read.forces,
        virials=read.virials,
        steps=numbers,
        times_ps=times,
        files=pw_files(path),
        level=pw_level("".join(head)),
        virial_origin="" if read.virials is None else ORIGIN,
        unconverged=record.unconverged,
        notes=tuple(notes),
    )
    return [frames]


def pw_files(path: Path) -> tuple[Path, ...]:
    """Return the output and, if it lies beside it, the input that is compared."""
    given = _input(path)
    return (path, given) if given else (path,)


def _input(path: Path) -> Path | None:
    stem = Path(plain_name(path)).stem
    return next((f for name in (".in", ".pwi") if (f := beside(path, stem + name))), None)


def _configurations(lines: Iterable[str]) -> Iterator[list[str]]:
    """Cut the output before each printed configuration: the new cell, else the new positions."""
    current: list[str] = []
    since_cell = 99
    for line in lines:
        since_cell += 1
        new_cell = line.startswith("CELL_PARAMETERS")
        if new_cell or (line.startswith("ATOMIC_POSITIONS") and since_cell > 5):
            yield current
            current = []
        since_cell = 0 if new_cell else since_cell
        current.append(line)
    yield current


def _head(first: list[str], path: Path) -> list[str]:
    """Return the lines before the first SCF, which hold cell, elements and settings."""
    if not any("Program PWSCF" in line for line in first):
        raise DataError(f"{path}: no line `Program PWSCF`, so this is no output of pw.x.")
    for k, line in enumerate(first):
        if "Self-consistent Calculation" in line:
            return first[:k]
    return first


def _noted(text: str, number: int, record: _Record, path: Path) -> bool:
    """Take what is printed beside the arrays; return whether the configuration is complete."""
    record.ended = record.ended or "JOB DONE" in text
    energies = ENERGY.findall(text)
    norm = re.search(r"Total force =\s+(\S+)", text)
    if "convergence NOT achieved" in text:
        record.unconverged += 1
        return False
    if len(energies) > 1:
        raise DataError(
            f"{path}: step {number} has {len(energies)} final energies (`!  total energy`), as "
            "of hybrid functionals or several runs in one file; only one a step can be read."
        )
    if not energies or norm is None:
        return False
    record.numbers.append(number)
    record.energies_ev.append(float(energies[0]) * RYDBERG_EV)
    record.force_norms.append(float(norm.group(1)))
    if pressure := re.search(r"total\s+stress.*P=\s*(\S+)", text):
        record.pressures_kbar.append(float(pressure.group(1)))
    if time := re.search(r"time\s+=\s+(\S+) pico-seconds", text):
        record.times_ps.append(float(time.group(1)))
    return True


def _check(read: Reading, record: _Record, path: Path) -> None:
    """Require that energies, forces and stresses of ASE are those that the text sums up."""
    if len(read) != len(record.energies_ev):
        raise DataError(
            f"{path}: two readers disagree on the number of frames:\n  ASE   {len(read)}\n"
            f"  text  {len(record.energies_ev)} steps with energy and forces"
        )
    off = np.abs(read.energies - record.energies_ev)
    if not (off <= 1e-5 + 2e-7 * np.abs(read.energies)).all():
        k = int(off.argmax())
        raise DataError(
            f"{path}: two readers disagree on the energy of frame {k} (eV):\n"
            f"  ASE   {read.energies[k]:.8f}\n  text  {record.energies_ev[k]:.8f}"
        )
    norms = np.sqrt((read.forces**2).sum(axis=(1, 2))) / (RYDBERG_EV / BOHR_ANGSTROM)
    _same(norms, record.force_norms, FORCE_TOLERANCE_RYDBERG_PER_BOHR, "Total force", path)
    if read.virials is not None:
        volumes = np.abs(np.linalg.det(read.cells))
        pressures = np.trace(read.virials, axis1=1, axis2=2) / (3 * volumes)
        pressures *= EV_PER_ANGSTROM3_GPA / KBAR_GPA
        _same(pressures, record.pressures_kbar, PRESSURE_TOLERANCE_KBAR, "P (kbar)", path)


def _same(found: np.ndarray, printed: list[float], allowed: float, what: str, path: Path) -> None:
    if len(found) != len(printed):
        raise DataError(f"{path}: {len(printed)} printed {what} for {len(found)} frames. Torn?")
    off = np.abs(found - np.array(printed)) - 1e-4 * np.abs(found)
    if not off.max() <= allowed:
        k = int(off.argmax())
        raise UnitError(
            f"{path}: frame {k}: what ASE reads sums up to {found[k]:.6f}, but the text prints "
            f"{printed[k]:.6f} as {what}. The frame was misread."
        )


def _compared_with_dpdata(read: Reading, path: Path) -> str:
    checked = "energies, forces and pressures agree with the sums printed by pw.x"
    given = _input(path)
    if given is None or len(read) != 1:
        return checked
    with unpacked([given, path], path.parent) as folder:
        places = [str(folder / plain_name(file)) for file in (given, path)]
        try:
            other = read_with_dpdata(places, "qe/pw/scf", path)
        except DataError as error:
            return f"{checked}; dpdata reads no such input ({error.__cause__})"
    order = np.argsort(other.symbols, kind="stable"), np.argsort(read.symbols, kind="stable")
    sorted_other = _reordered(other, order[0])
    require_agreement(sorted_other, _reordered(read, order[1]), path)
    return f"{checked}; dpdata reads the same"


def _reordered(read: Reading, order: np.ndarray) -> Reading:
    return replace(
        read,
        symbols=tuple(read.symbols[k] for k in order),
        coords=read.coords[:, order],
        forces=read.forces[:, order],
    )
