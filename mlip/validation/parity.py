"""The parity gate: test tool, Python interface and LAMMPS give the same numbers.

Every potential is compared, plain and compressed, in orthogonal, tilted and small cells.
LAMMPS also gets types and atoms in another order, elements named to match, which must change
nothing. A wrong element order is the negative control: if it went unseen, the comparison would
prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mlip.errors import EngineError
from mlip.execution.local import run_jobs
from mlip.files import sha256
from mlip.model_directory import PARITY_SCHEMA, ModelDirectory, Precision, network_precision
from mlip.validation.parity_engines import (
    PYTHON,
    Evaluation,
    dp_test_jobs,
    evaluations,
    lammps_points,
    permuted_forces,
    permuted_order,
    python_job,
    write_frames,
)
from mlip.validation.parity_frames import ParityFrames, choose_frames
from mlip.validation.reference import ReferenceSystem
from mlip.validation.thresholds import Threshold, Thresholds, Tolerances


@dataclass(frozen=True)
class Comparison:
    """The largest difference of one quantity between two evaluations."""

    model: str
    pair: str
    quantity: str
    difference: float
    tolerance: float
    unit: str

    @property
    def passed(self) -> bool:
        """Whether the difference is a number within the tolerance."""
        return self.difference <= self.tolerance  # False for NaN


def compare(
    model: str, pair: str, one: Evaluation, other: Evaluation, tolerances: Tolerances
) -> list[Comparison]:
    """Return the largest differences of energy, force and virial between two evaluations."""
    rows: tuple[tuple[str, float, Threshold], ...] = (
        ("energy", _largest(one.energies, other.energies), tolerances.energy),
        ("force", _largest(one.forces, other.forces), tolerances.force),
        ("virial", _largest(one.virials, other.virials), tolerances.virial),
    )
    return [Comparison(model, pair, name, d, t.value, t.unit) for name, d, t in rows]


def tolerances_for(thresholds: Thresholds, precision: Precision, *, compressed: bool) -> Tolerances:
    """Return the tolerances between engines for a network precision."""
    if precision == "float32":
        return thresholds.parity.compressed_float32 if compressed else thresholds.parity.float32
    return thresholds.parity.compressed_float64 if compressed else thresholds.parity.float64


def run_parity(
    model: ModelDirectory,
    systems: Sequence[ReferenceSystem],
    frames_per_system: int,
    thresholds: Thresholds,
    work: Path,
    token: str,
) -> dict[str, Any]:
    """Evaluate every potential with three engines and compare them.

    Parameters
    ----------
    model : ModelDirectory
    systems : sequence of ReferenceSystem
        Where the frames come from.
    frames_per_system : int
    thresholds : Thresholds
    work : Path
        Scratch folder.
    token : str
        Lock token of the workspace.

    Returns
    -------
    dict
        The parity record, see `parity_record`.

    Raises
    ------
    EngineError
        If an engine failed: that is no statement about parity.
    """
    frames = choose_frames(systems, frames_per_system)
    write_frames(frames, work, model.type_map)
    jobs = [
        python_job(model, len(frames), work),
        *dp_test_jobs(model, work),
        *(lammps_points(file, model, frames, work) for file in model.files),
    ]
    failed = [outcome.failure for outcome in run_jobs(jobs, token) if not outcome.ok]
    if failed:
        raise EngineError("The parity gate could not be run.\n" + failed[0])
    precision = network_precision(model.members[0])
    comparisons: list[Comparison] = []
    python: dict[str, Evaluation] = {}
    for file in model.files:
        found = evaluations(file, frames, work)
        python[file.name] = found[PYTHON]
        tolerances = tolerances_for(
            thresholds, precision, compressed=file.name.startswith("compressed")
        )
        for one, other in combinations(found, 2):
            comparisons += compare(
                file.name, f"{one} = {other}", found[one], found[other], tolerances
            )
    for plain, compressed in zip(model.members, model.compressed, strict=False):
        comparisons += compare(
            compressed.name,
            f"compressed = {plain.name}",
            python[compressed.name],
            python[plain.name],
            thresholds.compression,
        )
    control = _negative_control(model, frames, work, python, thresholds)
    return parity_record(
        {file.name: sha256(file) for file in model.files},
        comparisons,
        control,
        precision,
        [f"{f.name}: {', '.join(f.cell_kinds)}" for f in frames],
    )


def parity_record(
    models: dict[str, str],
    comparisons: Sequence[Comparison],
    negative_control: dict[str, Any],
    precision: str,
    frames: Sequence[str],
) -> dict[str, Any]:
    """Return the content of ``parity.json``: passed only if every part of it did."""
    return {
        "schema": PARITY_SCHEMA,
        "passed": bool(comparisons)
        and all(c.passed for c in comparisons)
        and bool(negative_control["passed"]),
        "models": models,
        "precision": precision,
        "frames": list(frames),
        "comparisons": [
            {
                "model": c.model,
                "pair": c.pair,
                "quantity": c.quantity,
                "difference": c.difference if math.isfinite(c.difference) else None,
                "tolerance": c.tolerance,
                "unit": c.unit,
                "passed": c.passed,
            }
            for c in comparisons
        ],
        "negative_control": negative_control,
    }


def control_record(
    model: str, elements: Sequence[str], difference: float, tolerance: float, factor: float
) -> dict[str, Any]:
    """Return the verdict on the permuted element order: it must be `factor` tolerances off.

    Parameters
    ----------
    difference : float
        Largest change of a force component, eV/Å; a force that is not finite counts as seen.
    """
    required = factor * tolerance
    seen = not difference < required
    reason = (
        ""
        if seen
        else (
            f"{model}: the element order {' '.join(elements)} in pair_coeff changed no force by "
            f"more than {difference:.3g} eV/Å, expected at least {required:.3g}; the model does "
            "not tell the elements apart, or names are ignored"
        )
    )
    return {
        "model": model,
        "elements": list(elements),
        "force_difference": difference if math.isfinite(difference) else None,
        "required": required,
        "unit": "eV/Å",
        "passed": seen,
        "reason": reason,
    }


def _largest(one: Sequence[Any], other: Sequence[Any]) -> float:
    gaps = [np.max(np.abs(np.asarray(a) - np.asarray(b))) for a, b in zip(one, other, strict=True)]
    return float(np.max(gaps))  # NaN stays NaN, unlike with the built-in max


def _negative_control(
    model: ModelDirectory,
    frames: Sequence[ParityFrames],
    work: Path,
    python: dict[str, Evaluation],
    thresholds: Thresholds,
) -> dict[str, Any]:
    """Return the verdict on the wrong element order of the potential that saw it least."""
    if len(model.type_map) == 1:
        return {
            "model": model.members[0].name,
            "elements": list(model.type_map),
            "passed": True,
            "reason": "a model of one element has no other element order",
        }
    precision = network_precision(model.members[0])
    records = []
    for file in model.files:
        compressed = file.name.startswith("compressed")
        forces = permuted_forces(file, frames, work)
        record = control_record(
            file.name,
            permuted_order(model),
            _largest([forces], [python[file.name].forces[0]]),
            tolerances_for(thresholds, precision, compressed=compressed).force.value,
            thresholds.negative_control.value,
        )
        records.append(record)
    return least_seen(records)


def least_seen(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the control whose difference is the smallest share of what is required.

    A force that is not finite counts as seen. ``all_models`` lists the difference by model.
    """

    def share(record: dict[str, Any]) -> float:
        found = record["force_difference"]
        return math.inf if found is None else float(found) / float(record["required"])

    differences = {record["model"]: record["force_difference"] for record in records}
    worst = sorted(records, key=share)[0]
    return {**worst, "all_models": differences}
