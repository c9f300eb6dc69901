"""LAMMPS: how fast a potential runs and how much memory it takes, from one short run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlip.engines.lammps import pair_lines, setup_lines
from mlip.errors import EngineError

# The first steps of a process load and compile; they are not counted.
WARM_STEPS = 5
LOOP = re.compile(r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms")
USE = re.compile(r"([\d.]+)% CPU use")
MEMORY = re.compile(r"Maximum resident set size: (\S+) Mbyte")


@dataclass(frozen=True)
class Timing:
    """One cell that was run.

    Attributes
    ----------
    atoms, steps : int
    seconds : float
        Wall time of the steps.
    processor_use : float
        Processor time of one rank over wall time, all its threads together.
    memory_mebibyte : float
        Largest resident memory of the first rank until then, as LAMMPS counts it.
    """

    atoms: int
    steps: int
    seconds: float
    processor_use: float
    memory_mebibyte: float


def speed_script(
    data: Path,
    model: Path,
    elements: Sequence[str],
    repeats: Sequence[tuple[int, int, int]],
    steps: int,
) -> str:
    """Return a script that runs a cell repeated in several ways, the smallest first.

    Parameters
    ----------
    data : Path
        LAMMPS data file of the cell.
    model : Path
    elements : sequence of str
        Of the atom types, in order.
    repeats : sequence of three int
        Along a, b and c.
    steps : int
        That count, at constant energy from 300 K, 0.5 fs each.
    """
    parts = [
        [
            "clear",
            *setup_lines(0.5),
            f"read_data {data}",
            f"replicate {a} {b} {c}",
            *pair_lines([model], elements),
            "velocity all create 300 1",
            "fix move all nve",
            f"run {WARM_STEPS}",
            f"run {steps}",
            "info memory",
        ]
        for a, b, c in repeats
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def read_timings(screen: Path) -> list[Timing]:
    """Read the screen output of a `speed_script`; one entry a cell.

    Raises
    ------
    EngineError
        If it does not hold two runs and one word on memory for each cell.
    """
    text = screen.read_text(errors="replace") if screen.is_file() else ""
    loops, uses, memories = LOOP.findall(text), USE.findall(text), MEMORY.findall(text)
    if not memories or not len(loops) == len(uses) == 2 * len(memories):
        raise EngineError(
            f"{screen}: found {len(loops)} timed runs and {len(memories)} words on memory, "
            "expected two runs for each. Another LAMMPS than the one of `make install` may write "
            "them otherwise; set speed_atoms: 0."
        )
    return [
        Timing(int(atoms), int(steps), float(seconds), float(use) / 100, float(memory))
        for (seconds, steps, atoms), use, memory in zip(
            loops[1::2], uses[1::2], memories, strict=True
        )
    ]
