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


def evaluate(potential: Any, frames: Path, output: Path) -> None:
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
    with replacing(output) as temporary, temporary.open("wb") as handle:
        np.savez(
            handle,
            energies=energies.reshape(count).astype(float),
            forces=forces.reshape(count, atoms, 3).astype(float),
            virials=virials.reshape(count, 3, 3).astype(float),
        )


def main() -> None:
    """Read the request named on the command line and work through it, model by model."""
    from deepmd.infer import DeepPot

    requests = json.loads(Path(sys.argv[1]).read_text())
    for model in dict.fromkeys(request["model"] for request in requests):
        potential = DeepPot(model)
        for request in requests:
            if request["model"] == model:
                evaluate(potential, Path(request["frames"]), Path(request["output"]))


if __name__ == "__main__":
    main()
