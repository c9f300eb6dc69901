"""Checks of the numbers themselves: finite, double precision, fine enough."""

from __future__ import annotations

import numpy as np

from mlip.data.check import SHOWN, Check
from mlip.data.frames import FloatArray
from mlip.data.split import System, frame_label
from mlip.data.thresholds import limit


def finite(systems: list[System]) -> Check:
    """Count the frames with a number that is not finite, or an array of another type."""
    bad: list[str] = []
    other: set[str] = set()
    for system in systems:
        wrong = np.zeros(len(system.frames), dtype=bool)
        for name, array in _arrays(system).items():
            if array.dtype != np.float64:
                other.add(f"{system.name} {name} {array.dtype}")
            wrong |= ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        bad += [frame_label(system, int(k)) for k in np.flatnonzero(wrong)]
    if bad or other:
        text = f"{len(bad)} frames hold numbers that are not finite: remove them"
        if other:
            text += f"; not in double precision: {', '.join(sorted(other)[:5])}"
        return Check(
            "finite numbers", float(len(bad)), "frames", 0.0, "fail", tuple(bad[:SHOWN]), text
        )
    return Check(
        "finite numbers", 0.0, "frames", 0.0, "pass", (), "all finite, in double precision"
    )


def stored_precision(systems: list[System]) -> Check:
    """Report how finely energies were stored before they were read.

    Values that all survive a round trip through single precision were stored in it; their
    step is then 2^-23 of the leading power of two (IEEE 754).
    """
    single: list[str] = []
    worst, name = 0.0, ""
    for system in systems:
        frames = system.frames
        if _is_single(frames.coords) or _is_single(frames.forces):
            single.append(system.name)
        if not _is_single(frames.energies):
            continue
        step = float(np.spacing(np.float32(np.abs(frames.energies).max())))
        step /= len(frames.symbols)
        if step >= worst:
            worst, name = step, system.name
    threshold = limit("energy_resolution_warn")
    text = f"positions or forces in single precision in {len(single)} of {len(systems)} systems"
    if name:
        text = f"energies of {name} are in steps of {worst * 1e3:.2g} meV/atom; " + text
    if worst > threshold:
        text += ". Take the energies from the original output"
    return Check(
        "stored precision",
        worst,
        "eV/atom",
        threshold,
        "warn" if worst > threshold else "pass",
        (),
        text,
    )


def _arrays(system: System) -> dict[str, FloatArray]:
    frames = system.frames
    arrays = {
        "positions": frames.coords,
        "cells": frames.cells,
        "energies": frames.energies,
        "forces": frames.forces,
    }
    if frames.virials is not None:
        arrays["virials"] = frames.virials
    return arrays


def _is_single(array: FloatArray) -> bool:
    # Short decimals never survive; a few round numbers (0, 0.5) do by chance.
    return bool(np.unique(array).size > 1 and (array == array.astype(np.float32)).all())
