"""Frames that repeat others: exact copies, near ones, and held-out frames beside training ones."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlip.data.check import SHOWN, Check, Verdict
from mlip.data.frames import FloatArray, IntArray
from mlip.data.neighbours import Survey
from mlip.data.split import Part, frame_label
from mlip.data.structure_distance import frame_distance, nearest_frames, permuted_distance
from mlip.data.thresholds import limit

# Frames of one composition that are searched for their nearest: spread evenly over the rest.
MOST_QUERIES = 1000
MOST_RANDOM_PAIRS = 1000
# Frames of another source are compared in every order of atoms only if their sorted
# nearest-neighbour distances differ less than this; each comparison takes milliseconds.
PROFILE_ANGSTROM = 0.05
MOST_PERMUTED = 100


@dataclass(frozen=True)
class Nearness:
    """Distances between the frames of one composition, Å.

    Attributes
    ----------
    composition : tuple of str
    spacing : (T,) array
        Of training frames to the nearest other training frame.
    spacing_labels : tuple of str
        (T,)
    leak : (H,) array
        Of held-out frames to the nearest training frame.
    near_spacing, near_typical : (H,) arrays
        Median distance to the next training frame, and median distance of two frames, in the
        trajectory of that training frame; nan for single frames.
    leak_labels : tuple of str
        (H,) Held-out frame and its nearest training frame.
    """

    composition: tuple[str, ...]
    spacing: FloatArray
    spacing_labels: tuple[str, ...]
    leak: FloatArray
    near_spacing: FloatArray
    near_typical: FloatArray
    leak_labels: tuple[str, ...]


def exact_copies(parts: list[Part]) -> Check:
    """Look for exact copies (positions and cell to 1e-6 Å) within and across the splits.

    A copy on two sides of the split fails: the test would measure memory.
    """
    seen: dict[bytes, tuple[str, str]] = {}
    within, across = [], []
    for part in parts:
        frames = part.system.frames
        for k in part.index:
            label = frame_label(part.system, int(k))
            content = np.concatenate([frames.cells[k].ravel(), frames.coords[k].ravel()])
            # Adding zero turns -0.0 into 0.0.
            key = hashlib.sha256(
                " ".join(frames.symbols).encode() + (content.round(6) + 0.0).tobytes()
            ).digest()
            if key not in seen:
                seen[key] = (part.split, label)
            elif seen[key][0] == part.split:
                within.append(f"{label}={seen[key][1]}")
            else:
                across.append(f"{label}={seen[key][1]}")
    if across:
        text = (
            f"{len(across)} frames of one side are exact copies of frames of another side "
            f"({len(within)} more copies within a side). Remove the copies, or put these sources "
            "on one side with `split:`."
        )
        return Check(
            "duplicates", float(len(across)), "frames", 0.0, "fail", tuple(across[:SHOWN]), text
        )
    if within:
        text = f"{len(within)} exact copies within a side: they weigh twice in training."
        return Check(
            "duplicates", float(len(within)), "frames", 0.0, "warn", tuple(within[:SHOWN]), text
        )
    return Check("duplicates", 0.0, "frames", 0.0, "pass", (), "no frame occurs twice")


def nearness(parts: list[Part], surveys: Mapping[str, Survey]) -> list[Nearness]:
    """Measure, composition by composition, how near frames are to each other.

    Parameters
    ----------
    parts : list of Part
    surveys : mapping
        `survey` of each system, by name.
    """
    groups: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.system.frames.symbols].append(part)
    return [_of_composition(symbols, group, surveys) for symbols, group in groups.items()]


def near_copies(near: list[Nearness]) -> Check:
    """Report how near training frames are to each other."""
    name, unit, threshold = "near duplicates", "of training frames", limit("near_duplicates_warn")
    spacing = np.concatenate([group.spacing for group in near])
    if not len(spacing):
        return Check(name, None, unit, threshold, "undecided", (), "no two frames of a composition")
    labels = [label for group in near for label in group.spacing_labels]
    close = spacing < limit("near_duplicate")
    share = float(close.mean())
    low, middle, high = np.quantile(spacing, [0.05, 0.5, 0.95])
    text = (
        f"the nearest other training frame is {low:.3g} / {middle:.3g} / {high:.3g} Å away (5, 50, "
        f"95 %), nearer than {limit('near_duplicate')} Å for {share:.0%}"
    )
    over = share > threshold
    if over:
        text += ": most frames repeat another one. A larger stride trains as well"
    order = np.argsort(spacing, kind="stable")
    shown = [labels[k] for k in order[:SHOWN] if close[k]]
    verdict: Verdict = "warn" if over else "pass"
    return Check(name, share, unit, threshold, verdict, tuple(shown), text)


def near_copies_across(near: list[Nearness]) -> Check:
    """Look for held-out frames that are training frames but for a small displacement."""
    name, unit = "near duplicates across", "of held-out frames"
    threshold = limit("near_copies_fail")
    leak, labels = _all_leaks(near)
    if not len(leak):
        text = "no composition has frames on two sides"
        return Check(name, None, unit, threshold, "undecided", (), text)
    close = leak < limit("near_duplicate")
    share = float(close.mean())
    text = f"the held-out frame nearest to training is {leak.min():.3g} Å away"
    order = np.argsort(leak, kind="stable")
    shown = tuple(labels[k] for k in order[:SHOWN] if close[k])
    if not close.any():
        return Check(name, 0.0, unit, threshold, "pass", (labels[order[0]],), text)
    text = (
        f"{int(close.sum())} held-out frames are within {limit('near_duplicate')} Å of a training "
        f"frame: they test memory. {text}"
    )
    verdict: Verdict = "fail" if share > threshold else "warn"
    return Check(name, share, unit, threshold, verdict, shown, text)


def leakage(near: list[Nearness]) -> Check:
    """Report the held-out frames that are nearer to training than training frames to each other.

    A frame counts if its nearest training frame is nearer than half of the frames of that one's
    trajectory are to their next training frame, and nearer than `leakage_typical` times the
    median distance of two frames of that trajectory (without a common history all distances are
    alike, however many trajectories of other conditions there are).
    """
    name, unit, threshold = "leakage", "of held-out frames", limit("leakage_warn")
    bad: list[str] = []
    total = 0
    nearest = []
    for group in near:
        compared = ~np.isnan(group.near_typical)
        if not compared.any():
            continue
        total += int(compared.sum())
        with np.errstate(invalid="ignore"):
            level = np.minimum(group.near_spacing, limit("leakage_typical") * group.near_typical)
            bad += [group.leak_labels[k] for k in np.flatnonzero(group.leak < level)]
        ratio = group.leak[compared] / np.maximum(group.near_spacing[compared], 1e-12)
        nearest.append(float(np.median(ratio)))
    if not total:
        text = "no composition has frames on two sides, and several in a training trajectory"
        return Check(name, None, unit, threshold, "undecided", (), text)
    share = len(bad) / total
    text = (
        "held-out frames are "
        + (f"{min(nearest):.1f} to {max(nearest):.1f}" if len(nearest) > 1 else f"{nearest[0]:.1f}")
        + " times as far from training as training frames from each other (medians)"
    )
    if share > threshold:
        text = (
            f"{len(bad)} of {total} held-out frames lie between frames of training, as in a random "
            f"split: errors there are those of training. Split by run or by block. {text}"
        )
    failed = share > limit("leakage_fail")
    verdict: Verdict = "fail" if failed else "warn" if share > threshold else "pass"
    if failed:
        threshold = limit("leakage_fail")
    return Check(name, share, unit, threshold, verdict, tuple(bad[:SHOWN]), text)


def _all_leaks(near: list[Nearness]) -> tuple[FloatArray, list[str]]:
    leak = np.concatenate([group.leak for group in near])
    return leak, [label for group in near for label in group.leak_labels]


def _of_composition(
    symbols: tuple[str, ...], parts: list[Part], surveys: Mapping[str, Survey]
) -> Nearness:
    cells = np.concatenate([p.system.frames.cells[p.index] for p in parts])
    coords = np.concatenate([p.system.frames.coords[p.index] for p in parts])
    coords = coords @ np.linalg.inv(cells)
    profile = np.concatenate([surveys[p.system.name].profile[p.index] for p in parts])
    names = [p.system.name for p in parts]
    source = np.concatenate([np.full(len(p.index), names.index(p.system.name)) for p in parts])
    labels = [frame_label(p.system, int(k)) for p in parts for k in p.index]
    train = np.concatenate([np.full(len(p.index), p.split == "train") for p in parts])
    pool, held = np.flatnonzero(train), _spread(np.flatnonzero(~train))
    queries = _spread(pool)

    def nearest(rows: IntArray) -> tuple[IntArray, FloatArray]:
        index, distance = nearest_frames(coords, cells, rows, pool)
        tried = 0
        for place, row in enumerate(rows):
            foreign = pool[source[pool] != source[row]]
            if not len(foreign) or tried == MOST_PERMUTED:
                continue
            off = np.sqrt(((profile[foreign] - profile[row]) ** 2).mean(axis=1))
            k = int(off.argmin())
            # Sorted distances differ by no more than twice the displacements.
            if off[k] > min(PROFILE_ANGSTROM, 2.0 * distance[place]):
                continue
            tried += 1
            other = int(foreign[k])
            found = permuted_distance(symbols, coords[row], coords[other], cells[row], cells[other])
            if found < distance[place]:
                index[place], distance[place] = other, found
        return index, distance

    _, spacing = nearest(queries)
    with_other = np.isfinite(spacing)
    index, leak = nearest(held)
    compared = np.isfinite(leak)
    near_source = source[index[compared]]
    next_frame = _by_source(source[queries][with_other], spacing[with_other])
    typical = _typical(coords, cells, source, pool)
    unknown = float("nan")
    return Nearness(
        composition=symbols,
        spacing=spacing[with_other],
        spacing_labels=tuple(labels[k] for k in queries[with_other]),
        leak=leak[compared],
        near_spacing=np.array([next_frame.get(int(k), unknown) for k in near_source]),
        near_typical=np.array([typical.get(int(k), unknown) for k in near_source]),
        leak_labels=tuple(
            f"{labels[held[k]]}~{labels[index[k]]}" for k in np.flatnonzero(compared)
        ),
    )


def _by_source(source: IntArray, values: FloatArray) -> dict[int, float]:
    """Return the median of the values of each trajectory."""
    return {int(k): float(np.median(values[source == k])) for k in np.unique(source)}


def _typical(
    coords: FloatArray, cells: FloatArray, source: IntArray, pool: IntArray
) -> dict[int, float]:
    """Return the median distance of random pairs of each trajectory that has several frames."""
    random = np.random.default_rng(0)
    found = {}
    for k in np.unique(source[pool]).tolist():
        own = pool[source[pool] == k]
        one, other = random.choice(own, (2, MOST_RANDOM_PAIRS))
        one, other = one[one != other], other[one != other]
        if len(one):
            apart = frame_distance(coords[one], coords[other], cells[one], cells[other])
            found[int(k)] = float(np.median(apart))
    return found


def _spread(frames: IntArray) -> IntArray:
    if len(frames) <= MOST_QUERIES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, MOST_QUERIES).astype(int)]
