"""What a failed LAMMPS log means: rows of pattern, error class and one correction."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlip.errors import BlowUpError, DataError, EngineError, InputError, MlipError


@dataclass(frozen=True)
class Failure:
    """One way in which a run ends early.

    Attributes
    ----------
    name : str
    pattern : str
        Regular expression, searched in the end of log and screen output.
    error : type
        Class of `mlip.errors`; its exit code is that of the command.
    found : str
        What it means; ``{0}`` is what the pattern's first group caught.
    correction : str
        The one thing to do next.
    """

    name: str
    pattern: str
    error: type[MlipError]
    found: str
    correction: str


# The first that matches counts: causes before their consequences, special before general.
FAILURES: tuple[Failure, ...] = (
    Failure(
        "plugin",
        # The true reason stands one line before the unknown pair style.
        r"Open of file .* failed: (.*)",
        EngineError,
        "The DeePMD plugin did not load: {0}.",
        "Try: mlip doctor",
    ),
    Failure(
        "plugin",
        r"Unrecognized pair style 'deepmd'",
        EngineError,
        "The DeePMD plugin is not loaded.",
        "Try: mlip doctor",
    ),
    Failure(
        "gpu memory",
        r"CUDA out of memory|CUDA error: out of memory|cudaErrorMemoryAllocation",
        EngineError,
        "The GPU memory is too small for this number of atoms.",
        "Use more GPUs a run (`runs_at_once` of the site file), a smaller cell or a compressed "
        "model.",
    ),
    Failure(
        "memory",
        r"(Failed to allocate (?![^\n]*neigh)[^\n]*|std::bad_alloc|"
        r"DefaultCPUAllocator: can't allocate memory)",
        EngineError,
        "The memory is too small: {0}.",
        "Use a smaller cell or a machine with more memory; `--dry-run` forecasts what is needed.",
    ),
    Failure(
        "disk",
        r"No space left on device|Disk quota exceeded|File too large|File size limit exceeded|"
        r"SIGXFSZ|exit code (?:231|153)\b",
        InputError,
        "The disk, the quota or the allowed file size is full.",
        "Free some space, then type it again: the run resumes from its last whole restart file.",
    ),
    Failure(
        "restart",
        r"(Incomplete or corrupted LAMMPS restart file|Invalid LAMMPS restart file|"
        r"Unexpected end of file while reading restart[^\n]*)",
        DataError,
        "{0}: it was torn while it was written.",
        "Remove that file from the stage's directory; the one before it is used.",
    ),
    Failure(
        "model",
        r"(PytorchStreamReader failed[^\n]*|Failed to open file: [^\s(]+|invalid header or archive"
        r"[^\n]*|[^\n]*is not a (?:TorchScript|valid) [^\n]*|file in archive is not in a "
        r"subdirectory[^\n]*)",
        DataError,
        "A model file is missing or damaged: {0}.",
        "Copy the model directory again, then check it with `mlip validate`.",
    ),
    Failure(
        "lost atoms",
        r"(Lost atoms: original \d+ current \d+)",
        BlowUpError,
        "{0}: atoms flew apart. The model met a structure it does not know, or the time step "
        "is too long.",
        "Look at deviation.csv, then label such structures or shorten timestep_fs.",
    ),
    Failure(
        "not finite",
        r"(Non-numeric (?:pressure|atom coords|positions|box dimensions)[^\n]*|"
        r"Out of range atoms[^\n]*)",
        BlowUpError,
        "{0}: the simulation blew up.",
        "Look at deviation.csv; shorten timestep_fs or train on structures of this kind.",
    ),
    Failure(
        "cell",
        r"(Box bounds are invalid[^\n]*|Domain too large[^\n]*|Too many neighbor bins[^\n]*|"
        r"Illegal box[^\n]*|Cannot use neighbor bins[^\n]*|[^\n]*skew is too large[^\n]*|"
        r"Neighbor list overflow[^\n]*|"
        r"Dump dcd of non-matching[^\n]*|[^\n]*out of range - cannot compute[^\n]*|"
        r"Failed to allocate [^\n]* neighbor[^\n]*)",
        BlowUpError,
        "{0}: the cell or the atoms in it broke down.",
        "Look at thermo.csv and deviation.csv; lengthen barostat_damping_ps, shorten "
        "timestep_fs or train on structures of this kind.",
    ),
    Failure(
        "engine",
        r"ERROR[^:\n]*: ([^\n]*)",
        EngineError,
        "LAMMPS says: {0}",
        "",
    ),
)


def failure_in(text: str, rows: tuple[Failure, ...] = FAILURES) -> tuple[Failure, str] | None:
    """Return the first row that matches and what it found, or None where no row does."""
    for row in rows:
        if match := re.search(row.pattern, text):
            return row, row.found.format(*(group or "" for group in match.groups()))
    return None


def explain(tail: str) -> str:
    """Return cause and remedy of a failed LAMMPS run; empty if the log tells nothing."""
    found = failure_in(tail)
    return "" if found is None else f"{found[1]} {found[0].correction}".strip()
