"""Groups of atoms: by species, by where an atom is, by what it is part of; per frame if need be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.constants import IntArray
from analysis.errors import AnalysisError
from analysis.trajectory import Frame, Trajectory

NO_GROUP = -1


@dataclass(frozen=True)
class Groups:
    """A division of atoms that may change from frame to frame.

    Attributes
    ----------
    names : tuple of str
    codes : callable
        From a frame to the (N,) int array of the group of every atom, an index of `names`, or
        -1 for atoms in none.
    """

    names: tuple[str, ...]
    codes: Callable[[Frame], IntArray]


def static_groups(labels: np.ndarray) -> Groups:
    """Return groups that do not change, from one label an atom; "" is in none."""
    names = sorted(set(labels.tolist()) - {""})
    index = {name: code for code, name in enumerate(names)}
    codes = np.array([index.get(label, NO_GROUP) for label in labels.tolist()], dtype=np.int64)
    return Groups(tuple(names), lambda frame: codes)


def species_groups(trajectory: Trajectory) -> Groups:
    """Return one group a species."""
    return static_groups(trajectory.species)


def intersection(first: Groups, second: Groups) -> Groups:
    """Return the groups of atoms that are in one group of each, named such as ``Li glass``.

    Raises
    ------
    AnalysisError
        If either has no group.
    """
    if not first.names or not second.names:
        raise AnalysisError("an intersection needs groups on both sides; one side has none.")
    names = tuple(f"{a} {b}" for a in first.names for b in second.names)

    def codes(frame: Frame) -> IntArray:
        one, other = first.codes(frame), second.codes(frame)
        both = one * len(second.names) + other
        return np.where((one < 0) | (other < 0), NO_GROUP, both)

    return Groups(names, codes)
