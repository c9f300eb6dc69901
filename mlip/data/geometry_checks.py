"""Checks that look at distances: smallest ones, bonds, and neighbours of held-out frames."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from mlip.data.check import SHOWN, Check
from mlip.data.neighbours import CUTOFFS_ANGSTROM, Survey
from mlip.data.split import Part, System, frame_label
from mlip.data.thresholds import limit, thresholds


def smallest_distances(systems: list[System], surveys: Mapping[str, Survey]) -> Check:
    """Compare the closest approach of each pair of elements with its hard limit.

    Parameters
    ----------
    systems : list of System
    surveys : mapping
        `survey` of each system, by name.
    """
    found: dict[str, tuple[float, str]] = {}
    bad: list[str] = []
    for system in systems:
        closest, elements = surveys[system.name].closest, surveys[system.name].elements
        limits = np.array([[pair_limit(one, other) for other in elements] for one in elements])
        below = (closest < limits).any(axis=(1, 2))
        bad += [frame_label(system, int(k)) for k in np.flatnonzero(below)]
        for i, one in enumerate(elements):
            for j in range(i, len(elements)):
                pair, k = f"{one}-{elements[j]}", int(closest[:, i, j].argmin())
                distance = float(closest[k, i, j])
                if distance < found.get(pair, (np.inf, ""))[0]:
                    found[pair] = (distance, frame_label(system, k))
    text = ", ".join(
        f"{pair} {distance:.2f} (limit {pair_limit(*pair.split('-')):.2f})"
        for pair, (distance, _) in sorted(found.items())
    )
    if not found:
        return Check(
            "smallest distance", None, "Å", None, "undecided", (), "no pair nearer than 8 Å"
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


def bonds(systems: list[System], surveys: Mapping[str, Survey]) -> Check:
    """Compare bond lengths with their windows: frame means, and single bonds at rest.

    A bond runs from an atom of the first element of a pair to its nearest atom of the
    second, up to 3 Å. Thermal motion moves single bonds far; only the mean of a frame is
    judged, and single bonds where the largest force says that the crystal is relaxed.

    Parameters
    ----------
    systems : list of System
    surveys : mapping
        `survey` of each system, by name.
    """
    name, unit = "bond lengths", "Å"
    bad: dict[str, None] = {}
    ranges: dict[str, tuple[float, float]] = {}
    # How far outside (positive) or inside the window, with the value, its limit and its frame.
    worst: tuple[float, float, float, str] | None = None
    for system in systems:
        own = surveys[system.name]
        force = np.linalg.norm(system.frames.forces, axis=2).max(axis=1)
        relaxed = force < limit("relaxed_below")
        for pair in thresholds()["bond_mean_low"].pairs:
            one, other = pair.split("-")
            if one not in own.elements or other not in own.elements:
                continue
            place = (slice(None), own.elements.index(one), own.elements.index(other))
            mean = own.bond_mean[place]
            if np.isnan(mean).all():
                continue
            low, high = ranges.get(pair, (np.inf, -np.inf))
            ranges[pair] = (min(low, float(np.nanmin(mean))), max(high, float(np.nanmax(mean))))
            for values, kind, sign in (
                (mean, "bond_mean_low", -1.0),
                (mean, "bond_mean_high", 1.0),
                (np.where(relaxed, own.bond_low[place], np.nan), "relaxed_bond_low", -1.0),
                (np.where(relaxed, own.bond_high[place], np.nan), "relaxed_bond_high", 1.0),
            ):
                if np.isnan(values).all():
                    continue
                bound = thresholds()[kind].pairs[pair]
                beyond = sign * (values - bound)
                for row in np.flatnonzero(beyond > 0):
                    bad[f"{frame_label(system, int(row))} ({pair})"] = None
                k = int(np.nanargmax(beyond))
                if worst is None or beyond[k] > worst[0]:
                    label = f"{frame_label(system, k)} ({pair})"
                    worst = (float(beyond[k]), float(values[k]), bound, label)
    if worst is None:
        text = "no pair of the table is bonded: " + ", ".join(thresholds()["bond_mean_low"].pairs)
        return Check(name, None, unit, None, "undecided", (), text)
    text = "means of a frame: " + ", ".join(
        f"{pair} {low:.2f} to {high:.2f}" for pair, (low, high) in sorted(ranges.items())
    )
    if bad:
        text = (
            f"{len(bad)} times a bond is outside its window; exchanged elements, another unit of "
            f"length or a broken frame. {text}"
        )
    return Check(
        name,
        worst[1],
        unit,
        worst[2],
        "warn" if bad else "pass",
        tuple(list(bad)[:SHOWN]) or (worst[3],),
        text,
    )


def neighbour_excess(parts: list[Part], surveys: Mapping[str, Survey]) -> Check:
    """Compare the neighbours in held-out frames with the room that training leaves.

    Parameters
    ----------
    parts : list of Part
    surveys : mapping
        `survey` of each system, by name.
    """
    name, unit = "neighbour counts", "times the most in training"
    threshold = limit("neighbour_excess_warn")
    room = most_neighbours([part for part in parts if part.split == "train"], surveys)
    held = [part for part in parts if part.split != "train"]
    if not room or not held:
        text = "no training frames" if not room else "no held-out frames"
        return Check(name, None, unit, threshold, "undecided", (), text)
    worst, label, what = 0.0, "", ""
    bad: list[tuple[float, str]] = []
    for part in held:
        own = surveys[part.system.name]
        trained = np.array(
            [[room[f"{c:.1f}"].get(e, 0) for e in own.elements] for c in CUTOFFS_ANGSTROM]
        )
        # The room is at least four places (rounding in training), so few are no loss.
        excess = own.most[part.index] / np.maximum(trained, 4 / threshold)
        over = excess.max(axis=(1, 2))
        bad += [
            (float(over[k]), frame_label(part.system, int(part.index[k])))
            for k in np.flatnonzero(over > threshold)
        ]
        if over.max() >= worst:
            worst, k = float(over.max()), int(over.argmax())
            label = frame_label(part.system, int(part.index[k]))
            g, e = np.unravel_index(int(excess[k].argmax()), excess[k].shape)
            what = (
                f"{own.most[part.index[k], g, e]} {own.elements[e]} within "
                f"{CUTOFFS_ANGSTROM[g]} Å, {trained[g, e]} in training"
            )
    text = what + (
        f"; {len(bad)} frames have more neighbours than a model of this set has room for: train on "
        "such densities, or give the numbers in the recipe of training"
        if bad
        else ""
    )
    return Check(
        name,
        worst,
        unit,
        threshold,
        "warn" if bad else "pass",
        tuple(name for _, name in sorted(bad, reverse=True)[:SHOWN]) or (label,),
        text,
    )


def most_neighbours(parts: list[Part], surveys: Mapping[str, Survey]) -> dict[str, dict[str, int]]:
    """Return the most neighbours of each element by cut-off ("6.0"), over the frames of parts."""
    most: dict[str, dict[str, int]] = {}
    elements = sorted({symbol for own in surveys.values() for symbol in own.elements})
    for g, cutoff in enumerate(CUTOFFS_ANGSTROM if parts else ()):
        row = dict.fromkeys(elements, 0)
        for part in parts:
            own = surveys[part.system.name]
            for element, count in zip(
                own.elements, own.most[part.index, g].max(axis=0), strict=True
            ):
                row[element] = max(row[element], int(count))
        most[f"{cutoff:.1f}"] = row
    return most


def closest_of(parts: list[Part], surveys: Mapping[str, Survey]) -> dict[str, float]:
    """Return the smallest distance by pair, and of "all", over the frames of parts, Å."""
    found: dict[str, float] = {}
    for part in parts:
        own = surveys[part.system.name]
        smallest = own.closest[part.index].min(axis=0)
        for i, one in enumerate(own.elements):
            for j in range(i, len(own.elements)):
                if np.isfinite(smallest[i, j]):
                    pair = f"{one}-{own.elements[j]}"
                    found[pair] = min(found.get(pair, np.inf), float(smallest[i, j]))
    return {"all": min(found.values()), **dict(sorted(found.items()))} if found else {}
