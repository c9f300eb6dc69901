"""On how many ranks, threads and GPUs a run goes: measured where it is worth it, and then kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mlip.engines.lammps import layout
from mlip.engines.lammps_layout import LEAST_ATOMS_A_RANK, best_layout, candidates
from mlip.errors import DataError
from mlip.execution.job import Resources
from mlip.execution.local import available_cores, visible_gpus
from mlip.execution.progress import tell
from mlip.files import read_json, write_json

FILE = "layout.json"
# A few minutes on one core: below this the probes cost more than they gain.
WORTH_PROBING_ATOM_STEPS = 2e6


def run_layout(
    out: Path,
    models: Sequence[Path],
    elements: Sequence[str],
    *,
    atoms: int,
    atom_steps: float,
    compressed: bool,
    token: str,
) -> Resources:
    """Return the layout of a run; a resumed run keeps its own.

    The random numbers of a thermostat are in the restart file of each rank, so that a ramp
    under pressure resumes exactly only on as many ranks.

    Parameters
    ----------
    out : Path
        Run directory with its ``structure.data``.
    models : sequence of Path
        Committee; the first drives.
    elements : sequence of str
        Of the atom types.
    atoms : int
    atom_steps : float
        Of the whole run; short runs are not probed.
    compressed : bool
        Whether the models are compressed.
    token : str
        Lock token of the workspace.
    """
    path = out / FILE
    if path.is_file():
        kept = _read(path)
        if kept.ranks * kept.threads <= available_cores() and kept.gpus <= len(visible_gpus()):
            return kept
        tell(
            f"{out}: there are no {kept.ranks} rank(s) x {kept.threads} thread(s) with {kept.gpus} "
            "GPU(s) here; the run goes on with another layout, which restarts random numbers."
        )
    if atom_steps >= WORTH_PROBING_ATOM_STEPS:
        found = best_layout(models, elements, out / "structure.data", atoms, token).resources
    else:
        possible = candidates(atoms)
        found = possible[0] if len(possible) == 1 else _fitting(layout(compressed), atoms)
    write_json(path, asdict(found))
    return found


def kept_cores(out: Path) -> int:
    """Return the number of cores that a run has begun on; 1 before it has."""
    path = out / FILE
    return _read(path).cores if path.is_file() else 1


def _read(path: Path) -> Resources:
    try:
        return Resources(**read_json(path))
    except TypeError as error:
        raise DataError(f"{path}: no layout of a run ({error}). Remove it.") from error


def _fitting(resources: Resources, atoms: int) -> Resources:
    """Use no more ranks than can be given a share of a small box."""
    if resources.gpus:
        return resources
    ranks = max(1, min(resources.ranks, atoms // LEAST_ATOMS_A_RANK))
    return Resources(ranks=ranks, threads=resources.threads)
