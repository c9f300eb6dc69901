"""No glass from a melt that still has the lattice of the crystal it was made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from analysis.errors import RangeError
from analysis.order.lattice_memory import bragg_intensity_kept
from mlip.errors import GateError
from mlip.recipes.protocol_checks import limits

ACCEPT_UNMELTED = "accept-unmelted"


@dataclass(frozen=True)
class LatticeMemory:
    """What the atoms of one element have kept of the lattice that a run began with.

    Attributes
    ----------
    kept : float
        Share of their Bragg intensity.
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


def lattice_memory(
    start: Atoms, end: Atoms, held: Collection[int] = ()
) -> dict[str, LatticeMemory]:
    """Return what a sample has kept of the lattice of its start, by element.

    Elements are left out where nobody can tell: too few atoms, or no lattice at the start.

    Parameters
    ----------
    start, end : Atoms
        The same atoms; each in its own cell.
    held : collection of int
        Ids, from 1, of atoms that were not let go.
    """
    free = ~np.isin(np.arange(1, len(start) + 1), list(held))
    found = {}
    for element in sorted(set(start.symbols)):
        where = free & (start.symbols == element)
        try:
            kept, by_chance = bragg_intensity_kept(
                start.get_scaled_positions()[where],
                start.cell.array,
                end.get_scaled_positions()[where],
            )
        except RangeError:  # none of them is free, or the cell is smaller than the waves
            continue
        memory = LatticeMemory(kept, by_chance)
        order = 1.0 / (where.sum() * by_chance)
        if order >= limits().least_order_of_a_lattice.value and memory.allowed < 0.5:
            found[element] = memory
    return found


def require_melt(memories: Mapping[str, LatticeMemory], directory: Path, *, accepted: bool) -> None:
    """Refuse to quench what has not melted.

    Raises
    ------
    GateError
        If the atoms of an element have kept more of their lattice than `LatticeMemory.allowed`.
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
        f"{directory}: at its end the sample still had the lattice it began with; of the Bragg "
        f"intensity were kept: {words}. Quenched, it is a crystal that looks like a glass. Melt "
        "longer or hotter, begin with another crystal or a packing, or go on all the same with "
        "--accept-unmelted (the manifest records it)."
    )
