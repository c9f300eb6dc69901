"""Whether Packmol is there to pack glasses with."""

from __future__ import annotations

import numpy as np

from mlip.engines.layer import Bench, Layer
from mlip.engines.packmol import (
    LOG,
    Molecule,
    packing_job,
    packmol_version,
    read_packing,
)
from mlip.errors import EngineError
from mlip.execution.job import Progress
from mlip.execution.local import run_job

REPAIR = "make install, or set LIPS_MLIP_PACKMOL to your own command"


def check_packmol(bench: Bench) -> Layer:
    """Return whether it packs a few atoms; only `mlip build` of packings needs it."""
    name, folder = "Packmol", bench.directory / "packmol"
    folder.mkdir()
    atoms = Molecule("He", ("He",), np.zeros((1, 3)), (1.0,), 8)
    try:
        run_job(packing_job(folder, [atoms], [8.0, 8.0, 8.0], 1), bench.token, show=_silent)
        read_packing(folder, atoms.count)
    except EngineError as error:
        said = str(error).splitlines()[0]
        return Layer(name, "broken", False, "", f"{said} Only packings need it.", REPAIR)
    found = packmol_version(folder) if (folder / LOG).is_file() else ""
    return Layer(name, "ok", False, found, "packs eight atoms")


def _silent(name: str, progress: Progress) -> None:
    return
