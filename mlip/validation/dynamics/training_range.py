"""What the training frames of a set cover: hottest temperature, nearest pairs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.pairs.closest import closest_distances
from mlip.errors import InputError
from mlip.files import read_json, write_json
from mlip.validation.reference import read_system, require_frames

# Pairs that come no nearer than this are all alike: not near.
WITHIN_ANGSTROM = 4.0
CERTIFICATE = "certificate.json"
KEY = "smallest_distance_angstrom"


def hottest_training_temperature(data: Path) -> float:
    """Return the highest temperature of the training frames, K.

    Raises
    ------
    InputError
        If no training frame of frames.csv has a temperature.
    """
    path = data / "frames.csv"
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["split"] == "train"]
    named = [float(row["temperature_kelvin"]) for row in rows if row["temperature_kelvin"]]
    if not named:
        raise InputError(
            f"{path}: none of {len(rows)} training frames has a temperature, so "
            "hottest_training_factor means nothing. Give temperature_kelvin in the stability run, "
            "or in the sources of the ingest recipe."
        )
    return max(named)


def nearest_in_training(data: Path, cache: Path | None = None) -> dict[str, float]:
    """Return the smallest distance of each pair of elements in the training frames.

    Read from the certificate, else measured, and kept in `cache` if one is given.

    Returns
    -------
    dict of str to float
        Angstrom by pair, elements in alphabetical order; pairs no nearer than 4 Å left out.
    """
    stored = _pairs(read_json(data / CERTIFICATE).get(KEY)) if _certified(data) else {}
    if stored:
        return stored
    if cache is not None and cache.is_file():
        return _pairs(read_json(cache))
    nearest: dict[str, float] = {}
    for folder in require_frames(data, "train"):
        system = read_system(data, "train", folder)
        for positions, cell in zip(system.coords, system.cells, strict=True):
            found = closest_distances(
                system.symbols, positions, cell, within_angstrom=WITHIN_ANGSTROM
            )
            for pair, distance in found.items():
                nearest[pair] = min(distance, nearest.get(pair, math.inf))
    if cache is not None:
        write_json(cache, nearest)
    return nearest


def _certified(data: Path) -> bool:
    return (data / CERTIFICATE).is_file()


def _pairs(content: Any) -> dict[str, float]:
    """Return the entries of a mapping that are distances of a pair such as Li-S."""
    if not isinstance(content, Mapping):
        return {}
    return {
        "-".join(sorted(pair.split("-"))): float(distance)
        for pair, distance in content.items()
        if pair.count("-") == 1 and isinstance(distance, int | float) and distance < WITHIN_ANGSTROM
    }
