"""Run directories of a few ions with planted diffusion, and the manifests of `mlip md`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from toy_trajectories import brownian, ornstein_uhlenbeck, write_run

from mlip.manifest import Manifest, new_attempt, record_outputs, write_manifest

CELL = np.eye(3) * 14.0
GLASS = {"melt_above_kelvin": 1000.0, "glass_transition_kelvin": 482.0}
MODEL = "a" * 64


def structure_directory(directory: Path, *, seed: int = 1) -> Path:
    """A structure directory: only its manifest and one file count here."""
    directory.mkdir(parents=True)
    (directory / "structure.extxyz").write_text(f"structure of seed {seed}\n")
    manifest = Manifest(
        kind="structure", status="complete", recipe={"crystal": "beta-Li3PS4", "seed": seed}
    )
    manifest.outputs = record_outputs(directory, [directory / "structure.extxyz"])
    write_manifest(directory, manifest)
    return directory


def toy_run(
    directory: Path,
    start: Path,
    *,
    kelvin: float,
    D: float = 0.05,
    seed: int = 1,
    member: int = 0,
    frames: int = 200,
    start_hash: str | None = None,
    **recipe: object,
) -> Path:
    """A finished run that started from `start`, with D in Angstrom^2/ps."""
    from mlip.files import fingerprint

    rng = np.random.default_rng([seed, int(kelvin), member])
    positions = np.concatenate(
        [brownian(rng, 20, frames, D), ornstein_uhlenbeck(rng, 8, frames, 2, 0.1)], axis=1
    )
    # Iodine is heavy: the centre of mass hardly follows the ions that diffuse.
    positions += rng.random((28, 3)) * 14.0
    write_run(
        directory,
        positions,
        ["Li"] * 20 + ["I"] * 8,
        CELL,
        segments=[(0, frames - 1, frames, "production")],
        every_steps=500,
    )
    index = directory / "trajectory.json"
    content = json.loads(index.read_text())
    content["streams"][0]["segments"][0]["temperature_kelvin"] = kelvin
    index.write_text(json.dumps(content))
    manifest = Manifest(
        kind="run",
        status="complete",
        recipe={"temperatures_kelvin": [kelvin], "seed": seed, "member": member, **recipe},
        inputs={"../model": MODEL, f"../{start.name}": start_hash or fingerprint(start)},
        seeds={"velocities": seed},
        attempts=[new_attempt()],
        summary={"formula": "Li20I8", "temperature_kelvin": kelvin},
    )
    if recipe.get("glass"):
        manifest.summary["glass"] = {"quench_rate_kelvin_per_ps": 2.5}
    files = [path for path in directory.rglob("*") if path.is_file()]
    manifest.outputs = record_outputs(directory, files)
    write_manifest(directory, manifest)
    return directory
