"""The limits of the certificate, from the file in the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlip.recipes.base import read_yaml

FILE = Path(__file__).with_name("thresholds.yml")


@dataclass(frozen=True)
class Threshold:
    """A limit with its unit and the reason for it; `pairs` for limits by pair of elements."""

    value: float
    unit: str
    reason: str
    pairs: Mapping[str, float]


@cache
def thresholds() -> dict[str, Threshold]:
    """Return all limits by name."""
    read = {}
    for name, entry in read_yaml(FILE).items():
        value = entry["value"]
        pairs = {str(k): float(v) for k, v in value.items()} if isinstance(value, dict) else {}
        number = min(pairs.values()) if pairs else float(value)
        read[name] = Threshold(number, entry["unit"], entry["reason"].strip(), pairs)
    return read


def limit(name: str) -> float:
    """Return the value of one limit."""
    return thresholds()[name].value
