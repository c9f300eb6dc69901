"""No glass that has the lattice of the crystal it was made from: never lost, or found again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.order.lattice_memory import bragg_intensity_kept
from analysis.reading.runs import open_run
from mlip.errors import GateError
from mlip.md.records import (
    StageRecord,
    final_structure,
    main_segments,
    write_trajectory_index,
)
from mlip.recipes.protocol_checks import limits

ACCEPT_UNMELTED = "accept-unmelted"
# Of a stage. Single frames of a few hundred atoms scatter by a fifth.
END = 0.1


@dataclass(frozen=True)
class LatticeMemory:
    """What the atoms of one element have of the lattice that a run began with.

    Attributes
    ----------
    kept : float
        Share of their Bragg intensity, a mean over frames.
    by_chance : float
        That share of as many atoms at random.
    """

    kept: float
    by_chance: float

    @property
    def allowed(self) -> float:
        """Return the share that a melt may keep: liquids have a structure factor too."""
        times, least = limits().bragg_intensity_of_a_melt, limits().least_bragg_intensity
        return max(least.value, times.value * self.by_chance)


def frames_at_end(out: Path, records: Sequence[StageRecord], atoms: Atoms) -> list[FloatArray]:
    """Return the fractional coordinates in the stored frames at the end of the last stage.

    Parameters
    ----------
    out : Path
        Run directory; its trajectory.json is written, of the stages so far.
    records : sequence of StageRecord
        Stages so far.
    atoms : Atoms
        Start structure.

    Returns
    -------
    list of ndarray, shape (N, 3)
        Of the final structure alone where no frame was stored.
    """
    last = records[-1]
    if not main_segments(last):
        return [final_structure(last.directory / "final.dump", atoms).get_scaled_positions()]
    write_trajectory_index(out / "trajectory.json", records)
    trajectory = open_run(out, purpose=last.purpose, stage=last.name)
    late = slice(trajectory.n_frames - math.ceil(END * trajectory.n_frames), trajectory.n_frames)
    positions = trajectory.source.read(late.start, late.stop, slice(None))
    return [
        np.linalg.solve(cell.T, frame.T).T
        for cell, frame in zip(trajectory.cells[late], positions, strict=True)
    ]


def lattice_memory(
    start: Atoms, frames: Sequence[FloatArray], held: Collection[int] = ()
) -> dict[str, LatticeMemory]:
    """Return what a sample has of the lattice of its start, by element.

    Elements are left out where nobody can tell: too few atoms, or no lattice at the start.

    Parameters
    ----------
    start : Atoms
    frames : sequence of ndarray, shape (N, 3)
        Fractional coordinates of the same atoms later.
    held : collection of int
        Ids, from 1, of atoms that were not let go.
    """
    free = ~np.isin(np.arange(1, len(start) + 1), list(held))
    found = {}
    for element in sorted(set(start.symbols)):
        where = free & (start.symbols == element)
        try:
            intensities = [
                bragg_intensity_kept(
                    start.get_scaled_positions()[where], start.cell.array, scaled[where]
                )
                for scaled in frames
            ]
        except RangeError:  # none of them is free, or the cell is smaller than the waves
            continue
        by_chance = intensities[0][1]
        memory = LatticeMemory(float(np.mean([kept for kept, _ in intensities])), by_chance)
        order = 1.0 / (where.sum() * by_chance)
        if order >= limits().least_order_of_a_lattice.value and memory.allowed < 0.5:
            found[element] = memory
    return found


def require_no_lattice(
    memories: Mapping[str, LatticeMemory], record: StageRecord, *, accepted: bool
) -> None:
    """Refuse a melt, or a glass, that has the lattice of its start.

    Parameters
    ----------
    memories : mapping of str to LatticeMemory
    record : StageRecord
        At whose end; for the message.
    accepted : bool
        Whether the user goes on all the same.

    Raises
    ------
    GateError
        If the atoms of an element have more of their lattice than `LatticeMemory.allowed`.
    """
    solid = {name: found for name, found in memories.items() if found.kept > found.allowed}
    if not solid or accepted:
        return
    words = ", ".join(
        f"{name} {100 * found.kept:.1f} % (at most {100 * found.allowed:.1f} %, atoms at random "
        f"{100 * found.by_chance:.1f} %)"
        for name, found in solid.items()
    )
    raise GateError(
        f"{record.directory}: at the end of {record.name} the sample has the lattice it began "
        f"with; of the Bragg intensity are left: {words}. What looks like a glass would be a "
        "crystal. Melt longer, hotter or stretched, begin with another crystal, or go on all "
        "the same with --accept-unmelted (the manifest records it)."
    )
