"""What training data a model has seen: phases, temperatures, densities, nearest distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.constants import G_CM3_PER_AMU_ANGSTROM3
from mlip.validation.dynamics.training_range import nearest_in_training
from mlip.validation.metrics import composition
from mlip.validation.reference import FloatArray, ReferenceSystem, read_system, system_directories


@dataclass(frozen=True)
class PhaseRange:
    """What the training frames of one phase span.

    Attributes
    ----------
    frames : int
    temperature_kelvin : (float, float) or None
        Lowest and highest; None where no frame of the phase has one.
    density_g_cm3 : (float, float)
        Lowest and highest mass density.
    compositions : tuple of str
        Reduced formulas.
    """

    frames: int
    temperature_kelvin: tuple[float, float] | None
    density_g_cm3: tuple[float, float]
    compositions: tuple[str, ...]


@dataclass(frozen=True)
class TrainingRange:
    """What the train split of a set spans.

    Attributes
    ----------
    elements : tuple of str
        In alphabetical order.
    phases : mapping of str to PhaseRange
    smallest_distance_angstrom : mapping of str to float
        By pair, elements in alphabetical order ("Li-P").
    """

    elements: tuple[str, ...]
    phases: Mapping[str, PhaseRange]
    smallest_distance_angstrom: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return the range as JSON types."""
        return {
            "elements": list(self.elements),
            "phases": {
                name: {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in asdict(found).items()
                }
                for name, found in self.phases.items()
            },
            "smallest_distance_angstrom": dict(self.smallest_distance_angstrom),
        }


def training_range(data: Path) -> TrainingRange:
    """Return what the train split of a set spans.

    Raises
    ------
    InputError, DataError
        If `data` is no readable set.
    """
    pairs = nearest_in_training(data)
    elements: set[str] = set()
    gathered: dict[str, list[tuple[FloatArray, FloatArray, str]]] = {}
    for folder in system_directories(data, "train"):
        system = read_system(data, "train", folder)
        elements |= set(system.symbols)
        density, formula = densities(system), composition(system.symbols)
        for phase in sorted(set(system.phases)):
            own = np.array([name == phase for name in system.phases])
            part = (system.temperatures[own], density[own], formula)
            gathered.setdefault(phase, []).append(part)
    phases = {phase: _phase_range(parts) for phase, parts in sorted(gathered.items())}
    return TrainingRange(tuple(sorted(elements)), phases, dict(sorted(pairs.items())))


def densities(system: ReferenceSystem) -> FloatArray:
    """Return the mass density of every frame, shape (F,), g/cm3."""
    from ase.data import atomic_masses, atomic_numbers

    mass = sum(float(atomic_masses[atomic_numbers[symbol]]) for symbol in system.symbols)
    volumes: FloatArray = np.abs(np.linalg.det(system.cells))
    return mass / volumes * G_CM3_PER_AMU_ANGSTROM3


def _phase_range(parts: list[tuple[FloatArray, FloatArray, str]]) -> PhaseRange:
    kelvin = np.concatenate([temperatures for temperatures, _, _ in parts])
    known = kelvin[np.isfinite(kelvin)]
    density = np.concatenate([found for _, found, _ in parts])
    return PhaseRange(
        frames=len(density),
        temperature_kelvin=(float(known.min()), float(known.max())) if known.size else None,
        density_g_cm3=(float(density.min()), float(density.max())),
        compositions=tuple(sorted({formula for _, _, formula in parts})),
    )
