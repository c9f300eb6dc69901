"""Frames whose energy or forces lie far outside the rest of their condition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator

import numpy as np

from mlip.data.check import SHOWN, Check
from mlip.data.frames import FloatArray
from mlip.data.split import System, frame_label
from mlip.data.thresholds import limit

# The median absolute deviation of fewer values is itself uncertain by a third.
FEWEST_FRAMES = 10
# MAD of a normal distribution in its standard deviations (Hampel, doi 10.2307/2285666).
MAD_PER_SIGMA = 1.4826
# Labels are no better than this; identical frames would have no spread at all.
SMALLEST_ENERGY_SPREAD_EV_PER_ATOM = 1e-3
SMALLEST_FORCE_SPREAD_EV_PER_ANGSTROM = 0.02


def robust_score(values: FloatArray, smallest_spread: float) -> FloatArray:
    """Return distances from the median in robust standard deviations.

    (x - median) / (1.4826 MAD), MAD = median |x - median| (Hampel,
    doi 10.2307/2285666): outliers do not widen the scale that judges them.

    Parameters
    ----------
    values : (F,) array
    smallest_spread : float
        Lower bound of the scale, in the unit of `values`.
    """
    centre = np.median(values)
    spread = max(MAD_PER_SIGMA * float(np.median(np.abs(values - centre))), smallest_spread)
    return np.asarray((values - centre) / spread, dtype=np.float64)


def energy_tails(systems: list[System]) -> Check:
    """Look for energies per atom far from the median of their condition.

    A condition is a composition with its phase and temperature.
    """
    found: list[tuple[float, str]] = []
    for group in _conditions(systems):
        values = np.concatenate([s.frames.energies / len(s.frames.symbols) for s in group])
        if len(values) < FEWEST_FRAMES:
            continue
        scores = np.abs(robust_score(values, SMALLEST_ENERGY_SPREAD_EV_PER_ATOM))
        labels = [frame_label(s, k) for s in group for k in range(len(s.frames))]
        found += zip(scores.tolist(), labels, strict=True)
    return _check("energy tails", found, limit("energy_tail_warn"), "energy per atom")


def force_tails(systems: list[System]) -> Check:
    """Look for atoms with forces far above the median of their element and condition."""
    found: list[tuple[float, str]] = []
    for group in _conditions(systems):
        if sum(len(s.frames) for s in group) < FEWEST_FRAMES:
            continue
        for element in sorted(set(group[0].frames.symbols)):
            largest, sizes, labels = [], [], []
            for system in group:
                own = np.array([symbol == element for symbol in system.frames.symbols])
                size = np.linalg.norm(system.frames.forces[:, own], axis=2)
                sizes.append(size.ravel())
                largest.append(size.max(axis=1))
                labels += [
                    f"{frame_label(system, k)} ({element})" for k in range(len(system.frames))
                ]
            everything = np.concatenate(sizes)
            centre = np.median(everything)
            spread = MAD_PER_SIGMA * float(np.median(np.abs(everything - centre)))
            spread = max(spread, SMALLEST_FORCE_SPREAD_EV_PER_ANGSTROM)
            scores = (np.concatenate(largest) - centre) / spread
            found += zip(scores.tolist(), labels, strict=True)
    return _check("force tails", found, limit("force_tail_warn"), "force on an atom")


def _conditions(systems: list[System]) -> Iterator[list[System]]:
    groups: dict[Hashable, list[System]] = defaultdict(list)
    for system in systems:
        formula = tuple(sorted(system.frames.symbols))
        source = system.source
        groups[formula, source.phase, source.temperature_kelvin].append(system)
    yield from groups.values()


def _check(name: str, found: list[tuple[float, str]], threshold: float, what: str) -> Check:
    unit = "robust standard deviations"
    if not found:
        text = f"fewer than {FEWEST_FRAMES} frames of any composition, phase and temperature"
        return Check(name, None, unit, threshold, "undecided", (), text)
    found = sorted(found, reverse=True)
    bad = [label for score, label in found if score > threshold]
    text = f"{what}: largest distance from the median of its composition, phase and temperature"
    if bad:
        text += f"; {len(bad)} frames are beyond the limit: look at them, they dominate a fit"
    return Check(
        name,
        found[0][0],
        unit,
        threshold,
        "warn" if bad else "pass",
        tuple(bad[:SHOWN]) or (found[0][1],),
        text,
    )
