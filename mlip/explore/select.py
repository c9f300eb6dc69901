"""Which frames of a round are worth a label: sane, uncertain, apart in time, unlike each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from analysis.pairs.closest import FrameGeometry
from mlip.errors import DataError, InputError
from mlip.recipes.selection import SelectionSettings
from mlip.validation.trust import CANDIDATE

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
Survivors = tuple[IntArray, dict[str, int]]

TOO_NEAR = "atoms too near"
DENSITY = "density outside the window"
BROKEN = "come apart"
TOO_SOON = "too near in time"
NOT_NEEDED = "beyond the number of labels"

# Relative size of rounding errors: a column that spreads less is constant, distances that differ
# less are equal.
ROUNDING = 1e-10
# Labelled frames compared at once, so that the distances of 10,000 candidates take 80 MB.
BLOCK = 1000
# Slack of times that were written with few digits, ps.
TIME_DIGITS = 1e-9


@dataclass(frozen=True)
class Explored:
    """What exploring saw, one entry a frame.

    Attributes
    ----------
    state : sequence of str, length F
        Name of the explored state (structure, temperature, pressure); only counted.
    verdict : sequence of str, length F
        As `mlip.validation.trust.classify` returns them.
    ratio : (F,) float array
        Largest deviation over lower level of an atom.
    species, anion : sequence of str, length F
        Element and anion type of that atom.
    descriptor : (F, D) float array
    run : sequence of str, length F
    time_ps : (F,) float array
        Run and time together name a frame.
    geometry : sequence of FrameGeometry, length F
    broken : sequence of bool, length F
        As `mlip.explore.soundness.is_broken` tells.
    """

    state: Sequence[str]
    verdict: Sequence[str]
    ratio: FloatArray
    species: Sequence[str]
    anion: Sequence[str]
    descriptor: FloatArray
    run: Sequence[str]
    time_ps: FloatArray
    geometry: Sequence[FrameGeometry]
    broken: Sequence[bool]

    def __post_init__(self) -> None:
        for name in ("ratio", "descriptor", "time_ps"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) != 1 or self.descriptor.ndim != 2:
            raise DataError(
                f"found {lengths} entries and descriptors of shape {self.descriptor.shape}; "
                "expected one entry a frame and (frames, components)."
            )
        twice = [k for k, n in Counter(zip(self.run, self.time_ps, strict=True)).items() if n > 1]
        if twice:
            raise DataError(
                f"{twice[0][0]}: two frames at {twice[0][1]:g} ps. Give each run its own name."
            )

    def __len__(self) -> int:
        return len(self.ratio)

    def group(self, frame: int) -> str:
        """Return the group of a frame: what its most uncertain atom is."""
        return f"{self.species[frame]} {self.anion[frame]}"


@dataclass(frozen=True)
class Selection:
    """The frames to be labelled.

    Attributes
    ----------
    chosen : (n,) int array
        Indices in the order of labelling: by run and time, so that the wave functions of one
        frame start the next.
    dropped : dict of str to int
        Frames left out by reason; with the chosen ones they are all frames.
    groups : dict of str to int
        Chosen frames by element and anion type of the most uncertain atom ("P PS4"), for
        every group that had a frame to offer.
    states : dict of str to int
        Chosen frames by explored state, for every state explored.
    """

    chosen: IntArray
    dropped: dict[str, int]
    groups: dict[str, int]
    states: dict[str, int]


def select_frames(
    explored: Explored,
    labelled: FloatArray,
    limits_angstrom: Mapping[str, float],
    settings: SelectionSettings,
) -> Selection:
    """Choose the frames of a round.

    Parameters
    ----------
    explored : Explored
        In any order: the result is the same frames.
    labelled : (L, D) float array
        Descriptors of the frames that have labels already; L may be 0.
    limits_angstrom : mapping of str to float
        Smallest believable distance by pair of elements ("P-S", in either order).
    settings : SelectionSettings

    Returns
    -------
    Selection

    Raises
    ------
    InputError
        If a pair of elements that comes near has no limit.
    DataError
        If descriptors are not finite or of another length than the labelled ones.
    """
    # In order of run and time, so that ties and rounding do not depend on the order of input.
    alive: IntArray = np.lexsort((explored.time_ps, np.array(explored.run, dtype=str)))
    dropped: dict[str, int] = {}
    alive, reasons = sane(explored, alive, limits_angstrom, settings)
    dropped.update(reasons)
    alive, reasons = uncertain(explored, alive)
    dropped.update(reasons)
    alive, reasons = spaced(explored, alive, settings.spacing_ps)
    dropped.update(reasons)
    chosen, reasons = shared(explored, alive, labelled, settings.maximum_frames)
    dropped.update(reasons)
    groups = dict.fromkeys((explored.group(frame) for frame in alive), 0)
    groups.update(Counter(explored.group(frame) for frame in chosen))
    states = dict.fromkeys(explored.state, 0)
    states.update(Counter(explored.state[frame] for frame in chosen))
    return Selection(chosen, dropped, dict(sorted(groups.items())), dict(sorted(states.items())))


def sane(
    explored: Explored,
    alive: IntArray,
    limits_angstrom: Mapping[str, float],
    settings: SelectionSettings,
) -> Survivors:
    """Keep frames of believable distances, density and bonds.

    Parameters
    ----------
    explored : Explored
    alive : (n,) int array
        Frames that are still in, in order of run and time.
    limits_angstrom : mapping of str to float
        Smallest believable distance by pair of elements.
    settings : SelectionSettings

    Returns
    -------
    kept : (m,) int array
        In the order of `alive`.
    dropped : dict of str to int
        Frames left out by reason, zeros left out.

    Raises
    ------
    InputError
        If a pair of elements that comes near has no limit.
    """
    limits = {_ordered(pair): limit for pair, limit in limits_angstrom.items()}

    def fault(frame: int) -> str:
        geometry = explored.geometry[frame]
        if missing := set(geometry.closest_angstrom) - set(limits):
            raise InputError(
                f"no smallest distance is given for {', '.join(sorted(missing))}; there are "
                f"limits for {', '.join(sorted(limits))}. Add the pair to the limits."
            )
        if any(distance < limits[pair] for pair, distance in geometry.closest_angstrom.items()):
            return TOO_NEAR
        low, high = settings.minimum_density_g_cm3, settings.maximum_density_g_cm3
        if not low <= geometry.density_g_cm3 <= high:
            return DENSITY
        return BROKEN if explored.broken[frame] else ""

    return _without(alive, [fault(frame) for frame in alive])


def uncertain(explored: Explored, alive: IntArray) -> Survivors:
    """Keep candidates; the verdicts of the others are the reasons."""
    verdicts = [explored.verdict[frame] for frame in alive]
    return _without(alive, ["" if verdict == CANDIDATE else verdict for verdict in verdicts])


def spaced(explored: Explored, alive: IntArray, spacing_ps: float) -> Survivors:
    """Keep frames of one run at least `spacing_ps` apart, the most deviating first."""
    kept: dict[str, list[float]] = {}
    reasons = [""] * len(alive)
    for k in np.argsort(-explored.ratio[alive], kind="stable"):
        run, time = explored.run[alive[k]], float(explored.time_ps[alive[k]])
        others = kept.setdefault(run, [])
        if any(abs(time - other) < spacing_ps - TIME_DIGITS for other in others):
            reasons[k] = TOO_SOON
        else:
            others.append(time)
    return _without(alive, reasons)


def shared(explored: Explored, alive: IntArray, labelled: FloatArray, number: int) -> Survivors:
    """Keep at most `number` frames: each group in turn gives its most unknown frame.

    Groups (element and anion type of the most uncertain atom) take turns, the one with the
    largest ratio first. Each gives the frame that is farthest from the nearest labelled or
    chosen one in the standardised descriptor space (farthest-point sampling: Gonzalez,
    Theor. Comput. Sci. 38, 293 (1985)); among equally far ones the most deviating, then the
    first by run and time.

    Parameters
    ----------
    explored : Explored
    alive : (n,) int array
        Frames that are still in, in order of run and time.
    labelled : (L, D) float array
    number : int

    Returns
    -------
    kept : (m,) int array
        In the order of `alive`.
    dropped : dict of str to int

    Raises
    ------
    DataError
        If descriptors are not finite or of another length than the labelled ones.
    """
    if not len(alive):
        return alive, {}
    points, known = _standardised(explored.descriptor[alive], labelled)
    ratio = explored.ratio[alive]
    nearest = np.full(len(alive), np.inf)
    for start in range(0, len(known), BLOCK):
        block = cdist(points, known[start : start + BLOCK])
        nearest = np.minimum(nearest, block.min(axis=1))
    members: dict[str, list[int]] = {}
    for k in np.argsort(-ratio, kind="stable"):
        members.setdefault(explored.group(alive[k]), []).append(int(k))
    turns = sorted(members, key=lambda group: (-ratio[members[group][0]], group))
    reasons = [NOT_NEEDED] * len(alive)
    for _ in range(min(number, len(alive))):
        group = turns.pop(0)
        # Members lie in order of ratio, then run and time: the first of equals leads.
        reach = nearest[members[group]].max() * (1.0 - ROUNDING)
        farthest = next(k for k in members[group] if nearest[k] >= reach)
        reasons[farthest] = ""
        members[group].remove(farthest)
        nearest = np.minimum(nearest, cdist(points, points[farthest : farthest + 1])[:, 0])
        if members[group]:
            turns.append(group)
    return _without(alive, reasons)


def descriptor_scale(pool: FloatArray) -> FloatArray:
    """Return what each column is multiplied by to have unit variance.

    Parameters
    ----------
    pool : (P, D) float array

    Returns
    -------
    (D,) float array
        Inverse standard deviation over the pool; 0 for a column that is constant to rounding,
        so that it counts for nothing.
    """
    spread = pool.std(axis=0)
    constant = spread <= ROUNDING * np.abs(pool).max(axis=0)
    return np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, spread))


def _standardised(points: FloatArray, labelled: FloatArray) -> tuple[FloatArray, FloatArray]:
    known = np.asarray(labelled, dtype=float)
    if not len(known):
        known = np.empty((0, points.shape[1]))
    if known.ndim != 2 or known.shape[1] != points.shape[1]:
        raise DataError(
            f"found labelled descriptors of shape {known.shape}; expected (frames, "
            f"{points.shape[1]}) as those of the explored frames. Use one potential for both."
        )
    if not (np.isfinite(points).all() and np.isfinite(known).all()):
        raise DataError("a descriptor is not a finite number; look for failed frames.")
    scale = descriptor_scale(np.concatenate([known, points]))
    return points * scale, known * scale


def _without(alive: IntArray, reasons: Sequence[str]) -> Survivors:
    kept = np.array([not reason for reason in reasons], dtype=bool)
    return alive[kept], dict(Counter(reason for reason in reasons if reason))


def _ordered(pair: str) -> str:
    return "-".join(sorted(pair.split("-")))
