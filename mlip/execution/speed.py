"""Speeds measured on this machine, kept in the user's cache, for forecasts of the next run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mlip.files import write_json

# Below this the start of an engine, not its work, makes the time.
SHORTEST_SECONDS = 60.0


def remember_speed(kind: str, amount: float, seconds: float) -> None:
    """Keep the speed of a finished piece of work, `amount` of its own unit in `seconds`."""
    if seconds < SHORTEST_SECONDS:
        return
    path = _cache()
    try:
        write_json(path, {**_read(path), kind: amount / seconds})
    except OSError:
        return  # a read-only home must not fail a finished run; the forecast just stays unknown


def forecast(kind: str, amount: float) -> str:
    """Return how long `amount` of a kind of work will take, in words, from the last measurement."""
    speed = _read(_cache()).get(kind)
    if not speed:
        return "time unknown until the first such run on this machine"
    return f"about {duration(amount / speed)} (last measured here: {speed:.3g} per second)"


def last_speed(kind: str) -> float | None:
    """Return the last measured amount per second of a kind of work, or None."""
    return _read(_cache()).get(kind) or None


def remember_record(store: str, key: str, record: dict[str, Any]) -> None:
    """Keep a measurement of many numbers under a key of a store of its own."""
    path = _cache(store)
    try:
        write_json(path, {**_read(path), key: record})
    except OSError:
        return  # as above: the next run just measures again


def recall_record(store: str, key: str) -> dict[str, Any]:
    """Return what `remember_record` kept; empty if there is nothing."""
    record = _read(_cache(store)).get(key)
    return record if isinstance(record, dict) else {}


def duration(seconds: float) -> str:
    """Return a time span in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _cache(store: str = "speed") -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lips-mlip" / f"{store}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
