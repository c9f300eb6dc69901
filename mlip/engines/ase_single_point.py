"""Labels from any ASE calculator; run as a subprocess, so that a crash stays outside.

``python -m mlip.engines.ase_single_point`` reads ``input.json`` in its working directory and
leaves ``output.json``.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip.engines.single_point import Failed, SinglePoint
from mlip.errors import DataError
from mlip.execution.job import Job, Outcome, Resources
from mlip.files import read_json, write_json
from mlip.recipes.label import AseLevel

INPUT, OUTPUT, LOG = "input.json", "output.json", "output.log"


def single_point_input(
    level: AseLevel,
    symbols: Sequence[str],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> str:
    """Return the content of ``input.json``; positions and cell in Å."""
    content = {
        "calculator": level.calculator,
        "parameters": dict(level.parameters),
        "symbols": list(symbols),
        "positions": np.asarray(positions).tolist(),
        "cell": np.asarray(cell).tolist(),
    }
    return json.dumps(content, indent=1)


def single_point_job(name: str, directory: Path, resources: Resources) -> Job:
    """Return the job that turns ``input.json`` into ``output.json``."""
    return Job(
        name=name,
        argv=(sys.executable, "-m", "mlip.engines.ase_single_point"),
        directory=directory,
        log=directory / LOG,
        inputs=(directory / INPUT,),
        outputs=(directory / OUTPUT,),
        resources=resources,
        explain=_explain,
    )


def read_result(job: Job, outcome: Outcome | None, atoms: int) -> SinglePoint | Failed:
    """Return what a finished `single_point_job` found, or why it found nothing.

    A calculator that raises has not reached self-consistency as far as anyone can tell, so
    the structure is kept as failed; one that cannot be made concerns every structure.
    """
    path = job.directory / OUTPUT
    if not path.is_file():
        said = outcome.failure if outcome is not None else f"{job.name}: cut off. Log: {job.log}"
        return Failed("environment", said)
    try:
        content = read_json(path)
    except DataError as error:
        return Failed("environment", str(error))
    if "error" in content:
        return Failed(content["cause"], f"{job.name}: {content['error']}")
    forces, stress = np.array(content["forces"]), np.array(content["stress"])
    values = np.concatenate([forces.ravel(), stress.ravel(), [content["energy"]]])
    if forces.shape != (atoms, 3) or not np.isfinite(values).all():
        return Failed("aborted", f"{job.name}: forces of shape {forces.shape}, or not finite.")
    return SinglePoint(
        energy_ev=float(content["energy"]),
        forces=forces,
        virial=-stress * float(content["volume"]),
        gap_ev=math.nan,
        iterations=0,
        version=content["version"],
        ranks=1,
    )


def calculate(content: dict[str, Any]) -> dict[str, Any]:
    """Return energy (eV), forces (eV/Å) and stress (eV/Å^3, ASE's sign), or an error."""
    import ase
    from ase.calculators.calculator import (
        CalculationFailed,
        CalculatorError,
        PropertyNotImplementedError,
    )

    module, _, name = content["calculator"].partition(":")
    try:
        calculator = getattr(importlib.import_module(module), name)(**content["parameters"])
    except Exception as error:  # whatever an import or a constructor raises
        said = f"{content['calculator']} cannot be made ({type(error).__name__}: {error})."
        return {"cause": "environment", "error": said}
    atoms = ase.Atoms(
        content["symbols"],
        content["positions"],
        cell=content["cell"],
        pbc=True,
        calculator=calculator,
    )
    try:
        return {
            "energy": float(atoms.get_potential_energy()),
            "forces": atoms.get_forces().tolist(),
            "stress": atoms.get_stress(voigt=False).tolist(),
            "volume": float(abs(atoms.cell.volume)),
            "version": f"{content['calculator']}, ASE {ase.__version__}",
        }
    except PropertyNotImplementedError as error:
        said = f"{content['calculator']} gives no energy, forces and stress ({error})."
        return {"cause": "environment", "error": said}
    except (
        CalculatorError,
        CalculationFailed,
        ArithmeticError,
        NotImplementedError,  # of an element, in EMT
        ValueError,
    ) as error:
        return {"cause": "aborted", "error": f"{type(error).__name__}: {error}"}


def _explain(tail: str) -> str:
    lines = [line for line in tail.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def main() -> None:
    """Do the calculation of the working directory."""
    write_json(Path(OUTPUT), calculate(read_json(Path(INPUT))))


if __name__ == "__main__":
    main()
