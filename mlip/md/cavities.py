"""Whether a sample has opened a hole: a melt under tension cavitates, also at fixed volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.order.voids import largest_void_of
from analysis.reading.runs import open_run
from mlip.md.guards import limits
from mlip.md.records import StageRecord, main_segments

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
