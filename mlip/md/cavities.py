"""Whether a sample has opened a hole: a melt under tension cavitates; no glass around one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from analysis.order.voids import largest_void, largest_void_of
from analysis.reading.runs import open_run
from mlip.errors import GateError
from mlip.md.guards import limits
from mlip.md.melt_gate import frames_at_end
from mlip.md.records import StageRecord, final_structure, main_segments

ACCEPT_CAVITY = "accept-cavity"
FRAMES_PER_STAGE = 5


def stage_voids(out: Path, records: Sequence[StageRecord]) -> dict[str, dict[str, float | bool]]:
    """Return the largest void in some stored frames of each stage, and whether it is a cavity.

    Parameters
    ----------
    out : Path
        Run directory with its trajectory.json.
    records : sequence of StageRecord

    Returns
    -------
    dict of str to dict
        By stage, ``largest_void_angstrom`` and, of the largest there was, ``cavitated``: the
        radius exceeds the limit of guards.yml times the mean spacing (V / N)^(1/3) of the
        atoms. Stages too short for a stored frame are left out.
    """
    limit = limits()["void_spacings"].value
    found: dict[str, dict[str, float | bool]] = {}
    for record in records:
        if not main_segments(record):
            continue
        trajectory = open_run(out, purpose=record.purpose, stage=record.name)
        void = largest_void_of(trajectory, FRAMES_PER_STAGE)
        spacing = float((trajectory.volumes.max() / trajectory.n_atoms) ** (1 / 3))
        found[record.name] = {
            "largest_void_angstrom": round(void.radius_angstrom, 2),
            "cavitated": void.radius_angstrom > limit * spacing,
        }
    return found


def require_no_cavity(
    out: Path, records: Sequence[StageRecord], atoms: Atoms, *, accepted: bool
) -> None:
    """Refuse a glass around a hole that its melt opened and did not close.

    Parameters
    ----------
    out : Path
        Run directory; its trajectory.json is written, of the stages so far.
    records : sequence of StageRecord
        Stages so far; the quench is the last.
    atoms : Atoms
        Start structure.
    accepted : bool
        Whether the user goes on all the same.

    Raises
    ------
    GateError
        If the largest sphere between the atoms, a mean over the stored frames at the end, has a
        radius above the limit of guards.yml.
    """
    last = records[-1]
    cell = final_structure(last.directory / "final.dump", atoms).cell.array
    frames = frames_at_end(out, records, atoms)
    radius = float(np.mean([largest_void(each @ cell, cell).radius_angstrom for each in frames]))
    spacing = float((abs(np.linalg.det(cell)) / len(atoms)) ** (1 / 3))
    limit = limits()["void_spacings"].value * spacing
    if radius <= limit or accepted:
        return
    raise GateError(
        f"{last.directory}: at the end of {last.name} the sample has a cavity; the largest sphere "
        f"without atoms has a radius of {radius:.2f} Å, expected at most {limit:.2f} Å. Its "
        "density, structure and transport are not those of the glass. Hold the melt longer or "
        "hotter under pressure, stretch it less, begin at a higher density, or go on all the same "
        "with --accept-cavity (the manifest records it)."
    )
