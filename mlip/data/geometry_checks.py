"""Checks that look at positions: duplicates and smallest distances."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from mlip.data.check import Check
from mlip.data.frames import FloatArray
from mlip.data.split import Part, System
from mlip.data.thresholds import limit, thresholds

if TYPE_CHECKING:
    import vesin

SHOWN = 10


def duplicates(parts: list[Part]) -> Check:
    """Look for exact copies (positions and cell to 1e-6 Å) within and across the splits.

    A copy on two sides of the split fails: the test would measure memory.
    """
    seen: dict[bytes, tuple[str, str]] = {}
    within, across = 0, []
    for part in parts:
        frames = part.system.frames
        for k in part.index:
            label = f"{part.system.name}:{frames.steps[k]}"
            content = np.concatenate([frames.cells[k].ravel(), frames.coords[k].ravel()])
            # Adding zero turns -0.0 into 0.0.
            key = hashlib.sha256(
                " ".join(frames.symbols).encode() + (content.round(6) + 0.0).tobytes()
            ).digest()
            if key not in seen:
                seen[key] = (part.split, label)
            elif seen[key][0] == part.split:
                within += 1
            else:
                across.append(f"{label}={seen[key][1]}")
    if across:
        text = (
            f"{len(across)} frames of one side are exact copies of frames of another side "
            f"({within} more copies within a side). Remove the copies, or put these sources on "
            "one side with `split:`."
        )
        return Check(
            "duplicates", float(len(across)), "frames", 0.0, "fail", tuple(across[:SHOWN]), text
        )
    if within:
        text = f"{within} exact copies within a side: they weigh twice in training."
        return Check("duplicates", float(within), "frames", 0.0, "warn", (), text)
    return Check("duplicates", 0.0, "frames", 0.0, "pass", (), "no frame occurs twice")


def smallest_distances(systems: list[System]) -> Check:
    """Compare the closest approach of each pair of elements with its hard limit."""
    found: dict[str, tuple[float, str]] = {}
    bad: list[str] = []
    for system in systems:
        symbols = sorted(set(system.frames.symbols))
        codes = np.array([symbols.index(symbol) for symbol in system.frames.symbols])
        count = len(symbols)
        limits = np.zeros((count, count))
        for i, one in enumerate(symbols):
            for j, other in enumerate(symbols):
                limits[i, j] = pair_limit(one, other)
        reach = max(3.0, float(limits.max()))
        import vesin  # imports torch where torch is installed

        neighbours = vesin.NeighborList(cutoff=reach, full_list=False)
        for k in range(len(system.frames)):
            label = f"{system.name}:{system.frames.steps[k]}"
            closest = _closest(
                neighbours, system.frames.coords[k], system.frames.cells[k], codes, count
            )
            if (closest < limits).any():
                bad.append(label)
            for i in range(count):
                for j in range(i, count):
                    pair = f"{symbols[i]}-{symbols[j]}"
                    if closest[i, j] < found.get(pair, (np.inf, ""))[0]:
                        found[pair] = (float(closest[i, j]), label)
    text = ", ".join(
        f"{pair} {distance:.2f} (limit {pair_limit(*pair.split('-')):.2f})"
        for pair, (distance, _) in sorted(found.items())
    )
    if not found:
        return Check(
            "smallest distance", None, "Å", None, "undecided", (), "no pair nearer than 3 Å"
        )
    worst = min(found, key=lambda pair: found[pair][0] / pair_limit(*pair.split("-")))
    distance, label = found[worst]
    return Check(
        "smallest distance",
        distance,
        "Å",
        pair_limit(*worst.split("-")),
        "fail" if bad else "pass",
        tuple(bad[:SHOWN]) or (label,),
        (f"{len(bad)} frames have atoms too near each other: remove them. " if bad else "") + text,
    )


def pair_limit(one: str, other: str) -> float:
    """Return the shortest believable distance of two elements, Å."""
    table = thresholds()["minimum_distance"].pairs
    for key in (f"{one}-{other}", f"{other}-{one}"):
        if key in table:
            return table[key]
    radii = covalent_radii[atomic_numbers[one]] + covalent_radii[atomic_numbers[other]]
    return float(limit("minimum_distance_other_pairs") * radii)


def _closest(
    neighbours: vesin.NeighborList,
    positions: FloatArray,
    cell: FloatArray,
    codes: np.ndarray,
    count: int,
) -> FloatArray:
    """Return the smallest distance of each pair of elements, inf where none is in reach."""
    first, second, distance = neighbours.compute(
        points=positions, box=cell, periodic=True, quantities="ijd"
    )
    closest = np.full((count, count), np.inf)
    np.minimum.at(closest, (codes[first], codes[second]), distance)
    return np.minimum(closest, closest.T)
