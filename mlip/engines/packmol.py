"""Packmol: rigid molecules at random in a periodic cell, atoms kept apart.

Source: Martínez et al., J. Comput. Chem. 30, 2157 (2009), doi 10.1002/jcc.21224.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.executables import command
from mlip.errors import EngineError
from mlip.execution.job import Job, Progress
from mlip.execution.local import log_tail
from mlip.files import write_text

INPUT, OUTPUT, LOG = "packmol.inp", "packed.xyz", "packmol.log"
LOOPS = 200
# Packmol stops where no squared distance falls short by more than this, Å^2 ...
PRECISION = 0.01
# ... and writes six decimals.
ROUNDING = 1e-5

FAILURES: tuple[tuple[str, str], ...] = (
    (
        r"ENDED WITHOUT PERFECT PACKING|unable to put the molecules",
        "The units do not fit at this density: a lower density_g_cm3, a smaller "
        "tolerance_angstrom, or another seed.",
    ),
    (r"No space left on device", "The disk is full: free some space, then type it again."),
    (r"ERROR: ([^\n]*)", "Packmol says: {0}"),
)


@dataclass(frozen=True)
class Molecule:
    """One kind of molecule.

    Attributes
    ----------
    name : str
        Unique within a packing.
    symbols : tuple of str
    positions : ndarray, shape (N, 3)
        In Å.
    radii : tuple of float
        In Å; atoms of different molecules are at least the sum of theirs apart.
    count : int
        How many to place.
    """

    name: str
    symbols: tuple[str, ...]
    positions: NDArray[np.float64]
    radii: tuple[float, ...]
    count: int


def packmol_command() -> tuple[str, ...]:
    """Return the words that start Packmol."""
    return command("packmol", "LIPS_MLIP_PACKMOL")


def packing_job(
    directory: Path,
    molecules: Sequence[Molecule],
    lengths: Sequence[float],
    seed: int,
) -> Job:
    """Write the input files of a packing and return its job.

    Parameters
    ----------
    directory : Path
        Gets the files; made if need be.
    molecules : sequence of Molecule
        The atoms come out in this order, molecule by molecule.
    lengths : sequence of float
        Edges of the orthorhombic periodic cell, Å.
    seed : int
        Same seed, same packing.
    """
    for molecule in molecules:
        rows = zip(molecule.symbols, molecule.positions, strict=True)
        lines = [f"{symbol} {x:.10f} {y:.10f} {z:.10f}" for symbol, (x, y, z) in rows]
        write_text(
            directory / f"{molecule.name}.xyz",
            "\n".join([str(len(lines)), molecule.name, *lines]) + "\n",
        )
    write_text(directory / INPUT, _input(molecules, lengths, seed))
    return Job(
        name="packmol",
        argv=(*packmol_command(), "-i", INPUT, "-o", OUTPUT),
        directory=directory,
        log=directory / LOG,
        inputs=(directory / INPUT,),
        outputs=(directory / OUTPUT,),
        progress=lambda: _progress(directory / LOG),
        explain=explain,
    )


def read_packing(directory: Path, atoms: int) -> NDArray[np.float64]:
    """Return the positions of the packed atoms, Å, shape (N, 3); molecules are whole.

    Raises
    ------
    EngineError
        If the file does not hold `atoms` rows of numbers.
    """
    path = directory / OUTPUT
    try:
        positions = np.loadtxt(path, skiprows=2, usecols=(1, 2, 3), ndmin=2)
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: not readable as xyz ({error}).") from error
    if len(positions) != atoms or not np.isfinite(positions).all():
        raise EngineError(f"{path}: {len(positions)} rows of numbers, expected {atoms}.")
    return np.asarray(positions, dtype=np.float64)


def packmol_version(directory: Path) -> str:
    """Return the version that Packmol wrote into its log; empty if it did not."""
    match = re.search(r"Version (\S+)", (directory / LOG).read_text(errors="replace"))
    return match.group(1) if match else ""


def explain(tail: str) -> str:
    """Return cause and remedy of a failed packing."""
    for pattern, meaning in FAILURES:
        if match := re.search(pattern, tail):
            return meaning.format(*(group.strip() for group in match.groups()))
    return ""


def _input(molecules: Sequence[Molecule], lengths: Sequence[float], seed: int) -> str:
    nearest = 2.0 * min(min(molecule.radii) for molecule in molecules)
    # d^2 > t^2 - PRECISION is what it keeps; scaled so that d > t holds for every pair.
    scale = math.sqrt(1.0 + PRECISION / nearest**2) + ROUNDING
    lines = [
        f"tolerance {nearest:.6f}",
        f"precision {PRECISION}",
        "filetype xyz",
        f"output {OUTPUT}",
        f"seed {seed}",
        f"nloop {LOOPS}",
        "pbc " + " ".join(f"{length:.10f}" for length in lengths),
    ]
    for molecule in molecules:
        lines += [f"structure {molecule.name}.xyz", f"  number {molecule.count}"]
        for radius in sorted(set(molecule.radii)):
            rows = [str(k + 1) for k, value in enumerate(molecule.radii) if value == radius]
            lines += [
                f"  atoms {' '.join(rows)}",
                f"    radius {scale * radius:.8f}",
                "  end atoms",
            ]
        lines.append("end structure")
    return "\n".join(lines) + "\n"


def _progress(log: Path) -> Progress | None:
    loops = re.findall(r"Starting GENCAN loop: +(\d+)", log_tail(log))
    return Progress(float(loops[-1]), LOOPS, "loop") if loops else None
