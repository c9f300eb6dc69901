"""Atoms in harmonic cages on a lattice: trajectories whose every observable is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.motion.vibrations import KELVIN_PER_AMU_ANGSTROM2_PER_PS2, PER_CM_PER_THZ
from analysis.trajectory import IMAGE_FLAGS, Trajectory, masses_of
from mlip.recipes.dynamics import AimdReference

SPACING, SIDE = 3.0, 4
SPECIES = np.where(np.indices((SIDE,) * 3).sum(axis=0).ravel() % 2, "Li", "S")
WAVE_NUMBERS = {"Li": 300.0, "S": 420.0}
REFERENCE = AimdReference.model_validate(
    {
        "name": "cages",
        "path": "unused.extxyz",
        "temperature_kelvin": 600,
        "frame_interval_fs": 5.0,
        "peaks": [{"name": "stretch", "species": "S", "window_per_cm": [350, 500]}],
    }
)


@dataclass(frozen=True)
class ArraySource:
    positions: np.ndarray

    def read(self, start, stop, ids):
        return self.positions[start:stop][:, ids]


def trajectory_of(positions, species, cell, interval_ps=0.005):
    cells = np.tile(np.asarray(cell, dtype=float), (len(positions), 1, 1))
    return Trajectory(
        path=Path("memory"),
        species=np.array(species),
        masses=masses_of(list(species), Path("memory")),
        frame_interval_ps=interval_ps,
        cells=cells,
        temperature_kelvin=600.0,
        ensemble="nvt",
        motion_convention=IMAGE_FLAGS,
        source=ArraySource(np.asarray(positions, dtype=float)),
    )


def cages(seed, *, spring=1.0, temperature=600.0, n_frames=1200, interval_ps=0.005):
    """Langevin motion in harmonic cages, at equilibrium from the start; `spring` scales k."""
    rng = np.random.default_rng(seed)
    masses = masses_of(list(SPECIES), Path("memory"))[:, None]
    wave = np.array([WAVE_NUMBERS[s] for s in SPECIES])[:, None] * np.sqrt(spring)
    omega = 2 * np.pi * wave / PER_CM_PER_THZ
    friction, inner = 4.0, 4
    dt = interval_ps / inner
    speed = np.sqrt(temperature / KELVIN_PER_AMU_ANGSTROM2_PER_PS2 / masses)
    x = rng.normal(size=(len(SPECIES), 3)) * speed / omega
    v = rng.normal(size=(len(SPECIES), 3)) * speed
    keep = np.exp(-friction * dt)
    frames = np.empty((n_frames, len(SPECIES), 3))
    for frame in range(n_frames):
        frames[frame] = x
        for _ in range(inner):
            v -= 0.5 * dt * omega**2 * x
            x = x + 0.5 * dt * v
            v = keep * v + np.sqrt(1 - keep**2) * speed * rng.normal(size=v.shape)
            x = x + 0.5 * dt * v
            v -= 0.5 * dt * omega**2 * x
    lattice = SPACING * np.indices((SIDE,) * 3).reshape(3, -1).T
    return trajectory_of(frames + lattice, SPECIES, np.eye(3) * SPACING * SIDE, interval_ps)
