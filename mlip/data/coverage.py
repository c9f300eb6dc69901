"""What a set covers: compositions, phases, temperatures and densities of each side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ase.data import atomic_masses, atomic_numbers
from scipy.optimize import nnls

from analysis.constants import G_CM3_PER_AMU_ANGSTROM3
from mlip.data.check import SHOWN, Check
from mlip.data.frames import FloatArray
from mlip.data.split import Part, frame_label
from mlip.data.thresholds import limit


@dataclass(frozen=True)
class Condition:
    """The frames of one system on one side.

    Attributes
    ----------
    split, system, phase : str
    composition : str
        Formula of the cell.
    temperature_kelvin : float or None
        As the recipe gives it.
    density_low_g_cm3, density_high_g_cm3 : float
    frames : int
    """

    split: str
    system: str
    composition: str
    phase: str
    temperature_kelvin: float | None
    density_low_g_cm3: float
    density_high_g_cm3: float
    frames: int


def densities(part: Part) -> FloatArray:
    """Return the mass density of each frame, g/cm3."""
    frames = part.system.frames
    mass = sum(float(atomic_masses[atomic_numbers[s]]) for s in frames.symbols)
    dense: FloatArray = mass / frames.volumes[part.index] * G_CM3_PER_AMU_ANGSTROM3
    return dense


def formula(symbols: tuple[str, ...]) -> str:
    """Return the formula of the cell, elements in alphabetical order."""
    return "".join(f"{element}{count}" for element, count in sorted(Counter(symbols).items()))


def coverage(parts: list[Part]) -> tuple[Condition, ...]:
    """Return one row for each part."""
    rows = []
    for part in parts:
        dense = densities(part)
        rows.append(
            Condition(
                split=part.split,
                system=part.system.name,
                composition=formula(part.system.frames.symbols),
                phase=part.system.source.phase,
                temperature_kelvin=part.system.source.temperature_kelvin,
                density_low_g_cm3=float(dense.min()),
                density_high_g_cm3=float(dense.max()),
                frames=len(part.index),
            )
        )
    return tuple(rows)


def conditions(parts: list[Part]) -> Check:
    """Name the held-out systems whose condition is outside what training covers.

    Composition: no mixture of the training compositions is it (non-negative least squares).
    Phase: not among those of training. Temperature and density: beyond the range of the
    training frames by the margins in thresholds.yml.
    """
    name, unit = "conditions", "held-out systems outside training"
    train = [part for part in parts if part.split == "train"]
    held = [part for part in parts if part.split != "train"]
    if not train or not held:
        text = "no training frames" if not train else "no held-out frames"
        return Check(name, None, unit, 0.0, "undecided", (), f"{text} to compare")
    dense = np.concatenate([densities(part) for part in train])
    known = [
        part.system.source.temperature_kelvin
        for part in train
        if part.system.source.temperature_kelvin is not None
    ]
    elements = sorted({s for part in parts for s in part.system.frames.symbols})
    compositions = np.array([_shares(part, elements) for part in train])
    outside: dict[str, list[str]] = {}
    frames: list[str] = []
    for part in held:
        reasons = []
        if _outside_mixtures(_shares(part, elements), compositions):
            reasons.append(f"composition {formula(part.system.frames.symbols)}")
        if part.system.source.phase not in {p.system.source.phase for p in train}:
            reasons.append(f"phase {part.system.source.phase}")
        temperature = part.system.source.temperature_kelvin
        if (
            temperature is not None
            and known
            and _beyond(
                np.array([temperature]), min(known), max(known), limit("temperature_margin")
            ).any()
        ):
            reasons.append(f"{temperature:g} K (training {min(known):g} to {max(known):g})")
        own = densities(part)
        far = _beyond(own, float(dense.min()), float(dense.max()), limit("density_margin"))
        if far.any():
            reasons.append(
                f"{own[far].min():.2f} to {own[far].max():.2f} g/cm3 (training "
                f"{dense.min():.2f} to {dense.max():.2f})"
            )
        if reasons:
            outside[f"{part.system.name} ({part.split})"] = reasons
            first = int(far.argmax()) if far.any() else 0
            frames.append(frame_label(part.system, int(part.index[first])))
    lacking = sum(part.system.source.temperature_kelvin is None for part in parts)
    note = f". No temperature is given for {lacking} of {len(parts)} parts" if lacking else ""
    if not outside:
        text = "every held-out system is within the conditions of training" + note
        return Check(name, 0.0, unit, 0.0, "pass", (), text)
    listed = "; ".join(f"{who}: {', '.join(why)}" for who, why in list(outside.items())[:SHOWN])
    text = f"errors there are extrapolation: {listed}{note}"
    return Check(name, float(len(outside)), unit, 0.0, "warn", tuple(frames[:SHOWN]), text)


def _shares(part: Part, elements: list[str]) -> FloatArray:
    count = Counter(part.system.frames.symbols)
    return np.array([count[element] / count.total() for element in elements])


def _outside_mixtures(share: FloatArray, compositions: FloatArray) -> bool:
    # Shares sum to one on both sides, so that the weights do, too.
    return float(nnls(compositions.T, share)[1]) > limit("composition_margin")


def _beyond(values: FloatArray, low: float, high: float, margin: float) -> npt.NDArray[np.bool_]:
    return np.asarray((values < low * (1.0 - margin)) | (values > high * (1.0 + margin)))
