"""Sharing frames out to train, valid and test without neighbours on both sides."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mlip.data.frames import Frames, IntArray
from mlip.recipes.ingest import Source, SplitSettings

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class System:
    """Frames of one trajectory under the name they get in the set.

    Attributes
    ----------
    name : str
    source : Source
    frames : Frames
    read : int or None
        Converged frames of the trajectory before slice and stride; None if these are all.
    """

    name: str
    source: Source
    frames: Frames
    read: int | None = None


@dataclass(frozen=True)
class Part:
    """The frames of one system that go to one side.

    Attributes
    ----------
    system : System
    split : {'train', 'valid', 'test'}
    index : (n,) int array
        Frames of the system, ascending.
    """

    system: System
    split: str
    index: IntArray


def frame_label(system: System, frame: int) -> str:
    """Return how messages name a frame: system and step, or index, in its source."""
    return f"{system.name}:{system.frames.steps[frame]}"


def duration_ps(frames: Frames) -> float | None:
    """Return the time from first to last frame, ps; None without a time axis."""
    if frames.times_ps is None:
        return None
    return float(frames.times_ps[-1] - frames.times_ps[0])


def split_systems(systems: list[System], settings: SplitSettings) -> list[Part]:
    """Share out whole short runs and contiguous blocks of long ones.

    A source with an explicit side goes there whole. A long run is cut along its time into
    train, valid and test, `purge_ps` apart; the last frame is always test. A run that is
    short, has no time axis, or would have no training frame beside the gaps, goes to train;
    if nothing would be tested then, and something else is left to train on, the one whose
    share comes nearest to `test_fraction` goes to test, and one to valid in the same way.

    Parameters
    ----------
    systems : list of System
    settings : SplitSettings

    Returns
    -------
    list of Part
        Empty parts are left out.
    """
    parts: list[Part] = []
    whole: list[System] = []
    for system in systems:
        everything = np.arange(len(system.frames))
        time = duration_ps(system.frames)
        if system.source.split != "auto":
            parts.append(Part(system, system.source.split, everything))
        elif time is None or time < settings.whole_run_below_ps:
            whole.append(system)
        elif len((blocks := _blocks(system, settings))[-1].index):
            parts += blocks
        else:
            whole.append(system)
    total = sum(len(system.frames) for system in systems)
    for split, share in (("test", settings.test_fraction), ("valid", settings.valid_fraction)):
        lacking = share > 0 and not any(part.split == split for part in parts)
        trained = any(part.split == "train" for part in parts)
        if lacking and whole and len(whole) + trained >= 2:
            aim = share * total
            chosen = min(whole, key=lambda s: abs(len(s.frames) - aim))
            whole.remove(chosen)
            parts.append(Part(chosen, split, np.arange(len(chosen.frames))))
    parts += [Part(system, "train", np.arange(len(system.frames))) for system in whole]
    order = {system.name: k for k, system in enumerate(systems)}
    return sorted(
        (part for part in parts if len(part.index)),
        key=lambda part: (SPLITS.index(part.split), order[part.system.name]),
    )


def _blocks(system: System, settings: SplitSettings) -> list[Part]:
    """Return the blocks of a run from its end to its beginning, training last."""
    times = system.frames.times_ps
    assert times is not None  # the caller measured the duration
    shares = [
        (split, share)
        for split, share in (("valid", settings.valid_fraction), ("test", settings.test_fraction))
        if share > 0
    ]
    usable = max(0.0, float(times[-1] - times[0]) - settings.purge_ps * len(shares))
    # From the end backwards, so that the test block exists however coarse the frames are.
    parts, end = [], float(times[-1])
    below = np.ones(len(times), dtype=bool)
    for split, share in reversed(shares):
        start = min(end - share * usable, float(times[below][-1]) if below.any() else end)
        chosen = below & (times >= start)
        parts.append(Part(system, split, np.flatnonzero(chosen)))
        first = float(times[chosen][0]) if chosen.any() else start
        # A hair more than the gap: times in files are rounded.
        below = times < first - settings.purge_ps + 1e-9
        end = first - settings.purge_ps
    parts.append(Part(system, "train", np.flatnonzero(below)))
    return parts


def trajectory(system: System) -> tuple[object, ...]:
    """Return what tells trajectories apart: two sources may be slices of one."""
    return (system.frames.files or system.name, system.frames.symbols)


def gaps_ps(parts: list[Part]) -> list[float | None]:
    """Return the smallest time between sides of each trajectory that is on two of them, ps.

    None where it has no time axis.
    """
    groups: dict[tuple[object, ...], list[Part]] = defaultdict(list)
    for part in parts:
        groups[trajectory(part.system)].append(part)
    gaps: list[float | None] = []
    for group in groups.values():
        for one, other in combinations(group, 2):
            if one.split == other.split:
                continue
            first, second = one.system.frames.times_ps, other.system.frames.times_ps
            if first is None or second is None:
                gaps.append(None)
            else:
                apart = np.abs(first[one.index][:, None] - second[other.index])
                gaps.append(float(apart.min()))
    return gaps
