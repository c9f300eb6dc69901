"""Analyse a trajectory: run what suits it, say what was left out and why, write the results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.observables import examine
from analysis.reading.runs import open_dense, open_run
from analysis.results import Findings, Quantity, gather
from analysis.sample import Request
from analysis.series.conclusions import run_statements
from analysis.trajectory import Trajectory, charges_of
from analysis.writer import write_analysis

DEFAULT_MOBILE = "Li"
LIBRARIES = ("numpy", "scipy", "ase", "vesin", "freud-analysis", "pyvoro2", "periodictable")


def analyse_run(
    run_directory: Path | str,
    out: Path | str,
    request: Request | None = None,
    *,
    stage: str | None = None,
    charges: Mapping[str, float] | None = None,
) -> list[Quantity]:
    """Analyse the production frames of a run directory and write an analysis directory.

    Parameters
    ----------
    run_directory : path
    out : path
        Analysis directory to write.
    request : Request, optional
        By default Li is the mobile species where there is Li.
    stage : str, optional
        Production stage, needed only where there are several.
    charges : mapping of str to float, optional
        Charge of every element, elementary charges, for charge profiles.

    Returns
    -------
    list of Quantity

    Raises
    ------
    AnalysisError
        If the run cannot be read, or the mobile species is not in it.
    """
    run_directory = Path(run_directory)
    trajectory = open_run(run_directory, stage=stage)
    if charges is not None:
        atoms = charges_of(trajectory.species.tolist(), charges, run_directory)
        trajectory = replace(trajectory, charges_e=atoms)
    inputs = {
        name: _sha256(run_directory / name) for name in ("structure.extxyz", "trajectory.json")
    }
    dense = open_dense(run_directory, stage=stage)
    return analyse_trajectory(trajectory, out, request, dense=dense, inputs=inputs)


def analyse_trajectory(
    trajectory: Trajectory,
    out: Path | str,
    request: Request | None = None,
    *,
    dense: Trajectory | None = None,
    inputs: dict[str, str] | None = None,
) -> list[Quantity]:
    """Analyse an open trajectory and write an analysis directory.

    Parameters
    ----------
    trajectory : Trajectory
    out : path
    request : Request, optional
        See `analyse_run`.
    dense : Trajectory, optional
        More closely spaced frames of the same atoms.
    inputs : dict of str to str, optional
        Hashes of the input files, for the record.

    Returns
    -------
    list of Quantity
    """
    request = request or Request()
    mobile = request.mobile
    if mobile is not None:
        trajectory.ids_of(mobile)
    elif DEFAULT_MOBILE in trajectory.species:
        request = replace(request, mobile=DEFAULT_MOBILE)
    findings = examine(trajectory, request, dense)
    species, numbers = np.unique(trajectory.species, return_counts=True)
    findings["conclusions"] = Findings(
        statements=run_statements(
            gather(findings),
            atoms=dict(zip(species.tolist(), numbers.tolist(), strict=True)),
            temperature_kelvin=trajectory.temperature_kelvin,
        )
    )
    write_analysis(Path(out), findings, provenance=_provenance(trajectory, request, inputs or {}))
    return gather(findings).quantities


def _provenance(trajectory: Trajectory, request: Request, inputs: dict[str, str]) -> dict[str, Any]:
    species, numbers = np.unique(trajectory.species, return_counts=True)
    try:
        own = version("lips-mlip")
    except PackageNotFoundError:
        own = "not installed"
    return {
        "trajectory": str(trajectory.path),
        "inputs": inputs,
        "atoms": {str(s): int(n) for s, n in zip(species, numbers, strict=True)},
        "frames": trajectory.n_frames,
        "frame_interval_ps": trajectory.frame_interval_ps,
        "temperature_kelvin": trajectory.temperature_kelvin,
        "ensemble": trajectory.ensemble,
        "motion_convention": trajectory.motion_convention,
        "drift": "centre of mass of all atoms removed",
        "notes": list(trajectory.notes),
        "mobile": request.mobile,
        "charge_e": request.charge_e,
        "accept_subdiffusive": request.accept_subdiffusive,
        "versions": {
            "lips-mlip": own,
            **{name: version(name) for name in LIBRARIES},
        },
    }


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be read ({error})") from error
