"""Reading the CP2K log of a single point."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlip.engines.single_point import SinglePoint
from mlip.errors import EngineError

# CODATA 2018
EV_PER_HARTREE = 27.211386245988
ANGSTROM_PER_BOHR = 0.529177210903
EV_PER_ANGSTROM3 = {
    "GPa": 1.0 / 160.21766339999998,
    "kbar": 1.0 / 1602.1766339999998,
    "bar": 1.0 / 1.6021766339999998e6,
}
# Step, method ('OT DIIS', 'Broy./Diag.'), step size, time, convergence, energy, change.
SCF_STEP = re.compile(r"^ +\d+ [A-Z]\S*(?: \S+)? +\d\.\d+E[+-]\d+ +\d+\.\d+ ", re.MULTILINE)
NUMBER = r"[-+]?\d+\.\d*(?:[EeDd][-+]?\d+)?"


@dataclass(frozen=True)
class Scf:
    """How the self-consistency ended.

    Attributes
    ----------
    converged : bool
    iterations : int
        Steps of all inner loops together.
    """

    converged: bool
    iterations: int


def ended(text: str) -> bool:
    """Return whether the program reached its end."""
    return "PROGRAM ENDED AT" in text


def read_scf(text: str) -> Scf:
    """Return convergence and number of steps of the self-consistency.

    Newer versions stop at an SCF that did not converge, older ones go on with a warning:
    both count as not converged.
    """
    steps = len(SCF_STEP.findall(text))
    failed = re.search(r"SCF run NOT converged|outer SCF loop FAILED", text) is not None
    succeeded = re.search(r"outer SCF loop converged|\*\*\* SCF run converged", text) is not None
    return Scf(converged=succeeded and not failed, iterations=steps)


def read_single_point(text: str, atoms: int, volume_angstrom3: float) -> SinglePoint:
    """Read a log of a converged single point.

    The stress in the log is pressure-like and holds the potential part only, in the unit
    that its header names (GPa up to version 2024, bar later), so the virial is
    ``W = +V P``.

    Parameters
    ----------
    text : str
        The log.
    atoms : int
        Number of atoms N that must be found.
    volume_angstrom3 : float
        Of the cell.

    Raises
    ------
    EngineError
        If the log is incomplete, not converged, or does not hold exactly one frame.
    """
    scf = read_scf(text)
    if not ended(text) or not scf.converged:
        raise EngineError("CP2K log: it is cut off or its SCF did not converge.")
    energies = re.findall(rf"ENERGY\| Total FORCE_EVAL .*?({NUMBER})\s*$", text, re.MULTILINE)
    if len(energies) != 1:
        raise EngineError(
            f"CP2K log: {len(energies)} total energies found, expected 1. Several are copies "
            "that do not see each other: the MPI launcher of another library."
        )
    version = re.search(r"CP2K\| version string:\s*(?:CP2K version )?(.+)", text)
    ranks = re.search(r"Total number of message passing processes\s+(\d+)", text)
    return SinglePoint(
        energy_ev=float(energies[0]) * EV_PER_HARTREE,
        forces=_forces(text, atoms) * (EV_PER_HARTREE / ANGSTROM_PER_BOHR),
        virial=_pressure(text) * volume_angstrom3,
        gap_ev=_gap_ev(text),
        iterations=scf.iterations,
        version=version.group(1).strip() if version else "unknown",
        ranks=int(ranks.group(1)) if ranks else 1,
    )


def _gap_ev(text: str) -> float:
    """Return the gap between occupied and empty orbitals of all k points; NaN if not printed."""
    found = re.search(rf"HOMO - LUMO gap \[eV\] :\s*({NUMBER})", text)
    if found:
        return float(found.group(1))
    # Index, eigenvalue in hartree and in eV, occupation.
    row = rf"^ MO\| +\d+ +{NUMBER} +({NUMBER}) +({NUMBER}) *$"
    levels = [(float(e), float(n)) for e, n in re.findall(row, text, re.MULTILINE)]
    occupied = [energy for energy, electrons in levels if electrons > 1.0]
    empty = [energy for energy, electrons in levels if electrons <= 1.0]
    return min(empty) - max(occupied) if occupied and empty else math.nan


def _forces(text: str, atoms: int) -> NDArray[np.float64]:
    """Return the forces in hartree/bohr from either layout (up to 2024, and later)."""
    if "ATOMIC FORCES in [a.u.]" in text:
        block = text.partition("ATOMIC FORCES in [a.u.]")[2].partition("SUM OF ATOMIC FORCES")[0]
        row = rf"^ +\d+ +\d+ +\w+((?: +{NUMBER}){{3}}) *$"
    elif "FORCES| Atomic forces [hartree/bohr]" in text:
        block = text.partition("FORCES| Atomic forces [hartree/bohr]")[2].partition("| Sum")[0]
        row = rf"^ *FORCES\| +\d+((?: +{NUMBER}){{3}}) +{NUMBER} *$"
    else:
        raise EngineError("CP2K log: no atomic forces in hartree/bohr.")
    rows = re.findall(row, block, re.MULTILINE)
    if len(rows) != atoms:
        raise EngineError(f"CP2K log: forces of {len(rows)} atoms, expected {atoms}.")
    return np.array([[float(value) for value in line.split()] for line in rows])


def _pressure(text: str) -> NDArray[np.float64]:
    """Return the potential part of the pressure tensor in eV/Å^3."""
    blocks = re.findall(
        rf"STRESS\| Analytical stress tensor \[(\w+)\]\n[^\n]*\n"
        rf"((?: *STRESS\| +[xyz](?: +{NUMBER}){{3}} *\n){{3}})",
        text,
    )
    if len(blocks) != 1:
        raise EngineError(f"CP2K log: {len(blocks)} analytical stress tensors, expected 1.")
    unit, rows = blocks[0]
    if unit not in EV_PER_ANGSTROM3:
        raise EngineError(f"CP2K log: stress in {unit}, expected {' or '.join(EV_PER_ANGSTROM3)}.")
    values = np.array([float(value) for value in re.findall(NUMBER, rows)]).reshape(3, 3)
    return values * EV_PER_ANGSTROM3[unit]
