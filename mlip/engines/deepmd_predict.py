"""Evaluate frozen models with DeePMD-kit's Python interface; run as a subprocess.

``python -m mlip.engines.deepmd_predict REQUEST.json``, see `mlip.engines.deepmd.predict_job`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mlip.files import replacing

# Keeps memory flat: a descriptor of 100 frames of 300 atoms is about a gigabyte.
ATOMS_PER_BATCH = 2000


def evaluate(potential: Any, frames: Path, output: Path, *, with_descriptors: bool) -> None:
    """Evaluate all frames of one system in batches and write the results."""
    with np.load(frames) as archive:
        coords, cells = archive["coords"], archive["cells"]
        symbols = [str(symbol) for symbol in archive["symbols"]]
    names = potential.get_type_map()
    types = [names.index(symbol) for symbol in symbols]
    count, atoms = coords.shape[:2]
    batch = max(1, ATOMS_PER_BATCH // atoms)
    parts = [
        potential.eval(
            coords[start : start + batch].reshape(-1, atoms * 3),
            cells[start : start + batch].reshape(-1, 9),
            types,
        )[:3]
        for start in range(0, count, batch)
    ]
    energies, forces, virials = (np.concatenate([part[k] for part in parts]) for k in range(3))
    arrays: dict[str, Any] = {
        "energies": energies.reshape(count).astype(float),
        "forces": forces.reshape(count, atoms, 3).astype(float),
        "virials": virials.reshape(count, 3, 3).astype(float),
    }
    if with_descriptors:
        arrays["descriptors"] = np.concatenate(
            [
                descriptors(
                    potential, coords[start : start + batch], cells[start : start + batch], types
                )
                for start in range(0, count, batch)
            ]
        )
    with replacing(output) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **arrays)


def descriptors(potential: Any, coords: Any, cells: Any, types: list[int]) -> Any:
    """Return the descriptor averaged over the atoms of each type, shape (F, types x D)."""
    frames, atoms = coords.shape[:2]
    by_atom = potential.eval_descriptor(
        coords.reshape(frames, atoms * 3), cells.reshape(frames, 9), types
    ).reshape(frames, atoms, -1)
    members = np.array(types)
    means = []
    for kind in range(len(potential.get_type_map())):
        chosen = by_atom[:, members == kind]
        means.append(chosen.mean(axis=1) if chosen.shape[1] else np.zeros_like(by_atom[:, 0]))
    return np.concatenate(means, axis=1).astype(float)


def main() -> None:
    """Read the request named on the command line and work through it, model by model."""
    from deepmd.infer import DeepPot

    requests = json.loads(Path(sys.argv[1]).read_text())
    for model in dict.fromkeys(request["model"] for request in requests):
        potential = DeepPot(model)
        for request in requests:
            if request["model"] == model:
                evaluate(
                    potential,
                    Path(request["frames"]),
                    Path(request["output"]),
                    with_descriptors=request["with_descriptors"],
                )


if __name__ == "__main__":
    main()
