"""The log of a CP2K run: its settings, first positions, and every force evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlip.data.cp2k_files import ENERGY_TOLERANCE_HARTREE, pressure_factor
from mlip.data.frames import FloatArray, IntArray
from mlip.data.sources import open_text, read_text
from mlip.errors import DataError

# The banner comes after a page of library settings.
BANNER_CHARACTERS = 65536

_ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL \( *\w+ *\) energy[^:]*:\s+(\S+)")
_STRESS = re.compile(r"(?:STRESS\| Analytical stress tensor|^ ?STRESS TENSOR) \[(\w+)\]")
_ATOM = re.compile(r"^\s+\d+\s+\d+\s+([A-Z][a-z]?)\s+\d+((?:\s+-?\d+\.\d+){5})\s*$")
_FORCE = re.compile(r"^\s+\d+\s+\d+\s+\S+((?:\s+-?\d+\.\d+(?:E[-+]\d+)?){3})\s*$")
_NEW_FORCE = re.compile(r"^\s*FORCES\|\s+\d+((?:\s+-?\d+\.\d+(?:E[-+]\d+)?){4})\s*$")
_VECTOR = re.compile(
    r"^ CELL\| Vector ([abc]) \[angstrom\]:((?:\s+-?\d+\.\d+){3})\s+\|.\| =\s+(\S+)"
)


@dataclass
class Evaluation:
    """One force evaluation.

    Attributes
    ----------
    energy_hartree : float
    converged : bool
        False if any SCF since the last evaluation did not converge.
    forces : (N, 3) array
        As printed, hartree/bohr; (0, 3) where the log prints none.
    stress_gpa : (3, 3) array or None
        As CP2K prints it: positive under compression, potential part only.
    """

    energy_hartree: float
    converged: bool
    forces: FloatArray = field(default_factory=lambda: np.empty((0, 3)))
    stress_gpa: FloatArray | None = None


@dataclass
class Log:
    """What is taken from a log.

    Attributes
    ----------
    head : list of str
        Its lines before the first energy.
    symbols : list of str
    coords : list of list of float
        Of the first evaluation, Å; empty where the log prints none.
    cell : dict of str to array
        First printed vectors a, b and c, Å.
    evaluations : list of Evaluation
    """

    head: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    coords: list[list[float]] = field(default_factory=list)
    cell: dict[str, FloatArray] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)

    def named(self, what: str) -> str:
        """Return the last word of a line of the head, for example the project name."""
        return next((line.split()[-1] for line in self.head if what in line), "")

    @property
    def version(self) -> str:
        """The version of CP2K."""
        return self.named("CP2K| version string")

    @property
    def started(self) -> str:
        """Date and time of the start; sorts as text."""
        line = next((line for line in self.head if "PROGRAM STARTED AT" in line), "")
        return line.partition("PROGRAM STARTED AT")[2].strip()

    @property
    def ensemble(self) -> str:
        """The ensemble of MD; empty for other runs."""
        lines = (line for line in self.head if line.startswith((" MD_PAR| Ens", " MD| Ens")))
        return next((line.split()[-1].upper() for line in lines), "")


def is_log(path: Path) -> bool:
    """Return whether a plain or compressed file starts like a CP2K log."""
    return "CP2K| version string" in read_text(path, BANNER_CHARACTERS)


def read_log(path: Path) -> Log:
    """Read a log, plain or compressed.

    Raises
    ------
    DataError
        If the log holds no CP2K banner, or a stress tensor is torn.
    UnitError
        If the stress is in an unknown unit.
    """
    log, clean = Log(), True
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
            elif "ATOMIC COORDINATES IN ANGSTROM" in line.upper() and not log.coords:
                _read_atoms(lines, log)
            elif "SCF run NOT converged" in line:
                clean = False
            elif match := _ENERGY.search(line):
                log.evaluations.append(Evaluation(float(match.group(1)), clean))
                clean = True
            elif log.evaluations and (
                "ATOMIC FORCES in [a.u.]" in line or "Atomic forces [hartree/bohr]" in line
            ):
                log.evaluations[-1].forces = _forces(lines)
            elif log.evaluations and (match := _STRESS.search(line)):
                factor = pressure_factor(match.group(1), path)
                log.evaluations[-1].stress_gpa = _stress(lines, path) * factor
    if not log.version:
        raise DataError(f"{path}: no line `CP2K| version string`, so this is no CP2K log.")
    return log


def places_in_log(energies: FloatArray, log: list[Evaluation]) -> IntArray:
    """Return the evaluation of each step, found by its energy in the order of the steps.

    From the last step backwards, the latest evaluation before the one of the following step:
    of repeated steps the last is the one whose files were kept, and two steps of a long run
    may share an energy.

    Parameters
    ----------
    energies : array
        Of the steps, hartree.
    log : list of Evaluation

    Returns
    -------
    (steps,) int array
        -1 for the last step that is not found, and for those before it.
    """
    logged = np.array([evaluation.energy_hartree for evaluation in log])
    places = np.full(len(energies), -1, dtype=np.int64)
    bound = len(logged)
    for k in range(len(energies) - 1, -1, -1):
        near = np.flatnonzero(np.abs(logged[:bound] - energies[k]) <= ENERGY_TOLERANCE_HARTREE)
        if len(near) == 0:
            break
        bound = places[k] = int(near[-1])
    return places


def _read_atoms(lines: Iterator[str], log: Log) -> None:
    for line in lines:
        log.head.append(line)
        if match := _ATOM.match(line):
            log.symbols.append(match.group(1))
            log.coords.append([float(word) for word in match.group(2).split()[:3]])
        elif log.coords:
            return


def _forces(lines: Iterator[str]) -> FloatArray:
    rows: list[list[float]] = []
    for line in lines:
        if match := _FORCE.match(line) or _NEW_FORCE.match(line):
            rows.append([float(word) for word in match.group(1).split()[:3]])
        elif rows:
            break
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _stress(lines: Iterator[str], path: Path) -> FloatArray:
    rows: list[list[float]] = []
    for line in lines:
        words = line.split()
        if len(words) >= 4 and words[-4].lower() in "xyz":
            rows.append([float(word) for word in words[-3:]])
        if len(rows) == 3:
            return np.array(rows)
    raise DataError(f"{path}: the log ends inside the stress tensor.")
