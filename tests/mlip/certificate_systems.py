"""Systems and parts made in memory, for the tests of the certificate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from toy_runs import toy_frames

from mlip.data.frames import Frames
from mlip.data.neighbours import Survey, survey
from mlip.data.split import Part, System
from mlip.recipes.ingest import Source


def system_of(frames: Frames, name: str = "toy", **source) -> System:
    entry = {"name": name, "format": "deepmd-npy", "path": name, "phase": "crystal", **source}
    return System(name, Source(**entry), frames)


def part_of(frames: Frames, split: str = "train", name: str = "toy", **source) -> Part:
    return Part(system_of(frames, name, **source), split, np.arange(len(frames)))


def surveys_of(*things: System | Part) -> dict[str, Survey]:
    systems = [thing.system if isinstance(thing, Part) else thing for thing in things]
    return {system.name: survey(system.frames) for system in systems}


def frames_of(symbols: list[str], coords, cell, *, energies=None, forces=None) -> Frames:
    """Return frames of given positions (F, N, 3), Å; energies and forces are zero unless given."""
    coords = np.asarray(coords, dtype=np.float64)
    count = len(coords)
    return Frames(
        symbols=tuple(symbols),
        coords=coords,
        cells=np.repeat(np.asarray(cell, dtype=np.float64)[None], count, axis=0),
        energies=np.zeros(count) if energies is None else np.asarray(energies, dtype=np.float64),
        forces=np.zeros(coords.shape) if forces is None else forces,
        virials=None,
        steps=np.arange(count),
        times_ps=None,
        files=(),
    )


def thiophosphate(count: int = 4, *, bond: float = 2.05, spread: float = 0.0) -> Frames:
    """Return Li3PS4 units: a tetrahedron, lithium 2.45 Å from three sulphur atoms; 8 atoms."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    centre = np.full(3, 5.0)
    sulphur = centre + bond * corners
    lithium = sulphur[:3] + 2.45 * corners[:3]
    at_rest = np.concatenate([lithium, centre[None], sulphur])
    random = np.random.default_rng(3)
    coords = at_rest + spread * random.normal(size=(count, 8, 3))
    return frames_of(["Li"] * 3 + ["P"] + ["S"] * 4, coords, 14.0 * np.eye(3))


def named(symbols: str, energy_per_atom: float, name: str) -> System:
    """Return a system of one frame with an energy per atom; symbols as in "Li2 S"."""
    listed = [s for part in symbols.split() for s in _repeated(part)]
    coords = np.random.default_rng(1).uniform(0.0, 12.0, (1, len(listed), 3))
    energies = [energy_per_atom * len(listed)]
    return system_of(frames_of(listed, coords, 12.0 * np.eye(3), energies=energies), name)


def _repeated(part: str) -> list[str]:
    element = part.rstrip("0123456789")
    return [element] * int(part[len(element) :] or 1)


def single_frame() -> Frames:
    return replace(toy_frames(1), times_ps=None)
