"""Atoms by the anion that they belong to, so that other observables can be split by it."""

from __future__ import annotations

import numpy as np

from analysis.anions.anion_rules import AnionRules, anion_rules
from analysis.anions.bonds import lasting_bonds
from analysis.anions.persistence import bonds_around, persistence_window
from analysis.anions.units import assemble_anions, bonding_atoms
from analysis.constants import IntArray
from analysis.groups import NO_GROUP, Groups
from analysis.trajectory import Frame, Trajectory


def anion_groups(
    trajectory: Trajectory, rules: AnionRules | None = None, *, persistence_ps: float = 0.0
) -> Groups:
    """Return the atoms by the name of their anion, frame by frame; lone ions are in none.

    Parameters
    ----------
    trajectory : Trajectory
    rules : AnionRules, optional
    persistence_ps : float
        Time that a bond must last to count; by default each frame is taken by itself. Frames
        closer to an end of the trajectory than the window reaches are taken by themselves.

    Returns
    -------
    Groups
        Named as `AnionRules.unit_names`. What fits no rule is ``other`` whatever its formula.

    Raises
    ------
    AnalysisError
        If an element is not in the table.
    """
    rules = rules or anion_rules()
    table = rules
    ids, kinds = bonding_atoms(trajectory.species.tolist(), rules)
    cutoffs = rules.pair_matrix(rules.cutoffs_angstrom, 0.0)
    lasting = persistence_window(trajectory, persistence_ps)
    single = persistence_window(trajectory, 0.0)
    # Several groups and observables ask for the same frame in turn.
    last: dict[int, IntArray] = {}

    def codes(frame: Frame) -> IntArray:
        if frame.index not in last:
            inner = lasting.reach <= frame.index < trajectory.n_frames - lasting.reach
            window = lasting if inner else single
            (samples,) = bonds_around(trajectory, ids, kinds, cutoffs, window, [frame.index])
            bonds = lasting_bonds(samples, len(ids), window.at_least)
            anions = assemble_anions(kinds, bonds, table)
            found = np.full(trajectory.n_atoms, NO_GROUP, dtype=np.int64)
            found[ids] = anions.name[anions.unit]
            last.clear()
            last[frame.index] = found
        return last[frame.index]

    return Groups(rules.unit_names, codes)
