"""Labelled frames of random numbers, for the tests of validation."""

from __future__ import annotations

import math

import numpy as np

from mlip.engines.deepmd import Predicted
from mlip.validation.reference import ReferenceSystem


def system(
    name: str = "a",
    symbols: tuple[str, ...] = ("Li", "S"),
    frames: int = 2,
    phases: tuple[str, ...] | None = None,
    virial: bool = True,
    temperatures: tuple[float, ...] | None = None,
    source: str | None = None,
) -> ReferenceSystem:
    rng = np.random.default_rng(len(name) + frames)
    atoms = len(symbols)
    return ReferenceSystem(
        name=name,
        symbols=symbols,
        coords=rng.normal(size=(frames, atoms, 3)),
        cells=np.tile(10.0 * np.eye(3), (frames, 1, 1)),
        energies=rng.normal(size=frames),
        forces=rng.normal(size=(frames, atoms, 3)),
        virials=rng.normal(size=(frames, 3, 3)) if virial else np.full((frames, 3, 3), math.nan),
        rows=np.arange(frames),
        phases=phases or ("crystal",) * frames,
        temperatures=np.array(temperatures or (650.0,) * frames),
        sources=(source or name,) * frames,
        source_frames=10 * np.arange(frames),
    )


def shifted(reference: ReferenceSystem, energy=0.0, force=0.0, virial=0.0) -> Predicted:
    return Predicted(
        reference.energies + energy, reference.forces + force, reference.virials + virial
    )
