"""Mobile ions by the kind of anion that they are next to."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from analysis.anions.anion_groups import anion_groups
from analysis.anions.anion_rules import AnionRules, anion_rules
from analysis.anions.persistence import read_frame
from analysis.constants import IntArray
from analysis.errors import AnalysisError, RangeError
from analysis.groups import NO_GROUP, Groups
from analysis.pairs.neighbours import neighbour_pairs, neighbour_search
from analysis.trajectory import Frame, Trajectory

# "nearest": the anion of the nearest ligand. "majority": the kind of anion that most ligands within
# range are part of, of several the one that the nearest of these ligands belongs to.
By = Literal["nearest", "majority"]


def anion_neighbourhood_groups(
    trajectory: Trajectory,
    ids: IntArray,
    *,
    reach_angstrom: float,
    by: By = "nearest",
    rules: AnionRules | None = None,
    persistence_ps: float = 0.0,
    stride: int = 1,
) -> Groups:
    """Return ions by the kind of anion next to them, frame by frame.

    Parameters
    ----------
    trajectory : Trajectory
    ids : (n,) int array
        Rows of the ions; every other atom is in none.
    reach_angstrom : float
        Farthest ligand that counts, such as the first minimum of g(r) of ion and ligand.
    by : {"nearest", "majority"}
    rules : AnionRules, optional
    persistence_ps : float
        Time that a bond within an anion must last to count.
    stride : int
        Evaluate every `stride`-th frame; the others take the neighbourhood of the nearest of these.

    Returns
    -------
    Groups
        Named as `AnionRules.unit_names`; ions without a ligand within reach are in none.

    Raises
    ------
    AnalysisError
        If an element is not in the table or no atom is a ligand.
    RangeError
        If reach or stride is not positive, or `by` is unknown.
    """
    if not reach_angstrom > 0 or stride < 1 or by not in get_args(By):
        raise RangeError(
            f"reach {reach_angstrom:g} Angstrom, stride {stride}, by {by!r}; expected a positive "
            f"reach, a stride of at least 1 and one of {', '.join(get_args(By))}"
        )
    rules = rules or anion_rules()
    anions = anion_groups(trajectory, rules, persistence_ps=persistence_ps)
    kinds = set(rules.elements) - set(rules.formers)
    ligands = np.flatnonzero(np.isin(trajectory.species, sorted(kinds)))
    if not len(ligands):
        raise AnalysisError(
            f"{trajectory.path}: no atom is a ligand of an anion; the table knows "
            f"{', '.join(sorted(kinds))}"
        )
    search = neighbour_search(reach_angstrom, both_ways=True)
    atoms = np.concatenate([ids, ligands])
    last_evaluated = (trajectory.n_frames - 1) // stride * stride
    last: dict[int, IntArray] = {}

    def evaluate(frame: Frame) -> IntArray:
        anion = anions.codes(frame)[ligands]
        i, j, distance = neighbour_pairs(search, frame.positions[atoms], frame.cell, "ijd")
        pair = (i < len(ids)) & (j >= len(ids))
        ion, kind, distance = i[pair], anion[j[pair] - len(ids)], distance[pair]
        ion, kind, distance = (column[kind >= 0] for column in (ion, kind, distance))
        order = np.lexsort((distance, ion))
        ion, kind = ion[order], kind[order]
        found = np.full(trajectory.n_atoms, NO_GROUP, dtype=np.int64)
        owners, first = np.unique(ion, return_index=True)
        if by == "nearest":
            found[ids[owners]] = kind[first]
            return found
        votes = np.zeros((len(ids), len(anions.names)))
        np.add.at(votes, (ion, kind), 1.0)
        # Earlier, nearer ligands break ties: less than one vote each, all together too.
        rank = np.arange(len(ion)) - np.repeat(first, np.diff(np.append(first, len(ion))))
        np.maximum.at(votes, (ion, kind), votes[ion, kind] + 0.5 / (1.0 + rank))
        found[ids[owners]] = votes[owners].argmax(axis=1)
        return found

    def codes(frame: Frame) -> IntArray:
        index = min((frame.index + stride // 2) // stride * stride, last_evaluated)
        if index not in last:
            found = evaluate(frame if index == frame.index else read_frame(trajectory, index))
            last.clear()
            last[index] = found
        return last[index]

    return Groups(anions.names, codes)
