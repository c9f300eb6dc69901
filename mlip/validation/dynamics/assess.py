"""Every test of a potential in motion that the recipe asks for, as rows of the physics table."""

from __future__ import annotations

from pathlib import Path

from mlip.execution.progress import tell
from mlip.model_directory import ModelDirectory
from mlip.recipes.base import resolve
from mlip.recipes.dynamics import DynamicsSettings
from mlip.validation.dynamics.against_aimd import assess_against_aimd
from mlip.validation.dynamics.aimd import read_aimd
from mlip.validation.dynamics.conservation import assess_conservation
from mlip.validation.dynamics.runs import model_to_run, start_directory
from mlip.validation.dynamics.stability import assess_stability
from mlip.validation.dynamics.thresholds import dynamics_limits
from mlip.validation.dynamics.training_range import (
    hottest_training_temperature,
    nearest_in_training,
)
from mlip.validation.finding import Finding

# Seeds of the velocities: replicas of one entry count up from its own.
SEED_STEP = 100
NEAREST = "nearest_in_training.json"


def assess_dynamics(
    settings: DynamicsSettings,
    source: Path,
    model: ModelDirectory,
    data: Path,
    directory: Path,
    token: str,
) -> list[Finding]:
    """Run the potential and judge what it does.

    All input is read before the first run. Each run is a run directory of its own, so that a
    second call finds the finished ones done and takes up the one that was interrupted.

    Parameters
    ----------
    settings : DynamicsSettings
    source : Path
        The recipe file: its paths start there.
    model : ModelDirectory
        With proven parity (``validation/parity.json``); its first member drives.
    data : Path
        Set directory.
    directory : Path
        Gets ``aimd/``, ``stability/``, ``nve/``, ``curves/`` and ``figures/``.
    token : str
        Lock token of the caller; the runs take locks of their own.

    Returns
    -------
    list of Finding

    Raises
    ------
    InputError
        If a trajectory, structure or temperature is missing or unreadable.
    GateError
        If parity is not proved.
    EngineError
        If LAMMPS failed for another reason than the forces.
    """
    limits = dynamics_limits()
    trajectories = [
        read_aimd(entry, resolve(entry.path, source), directory / "aimd" / entry.name)
        for entry in settings.aimd
    ]
    stable, conserved = (
        [
            start_directory(entry.start, source, model, directory / kind / f"{entry.name}.start")
            for entry in entries
        ]
        for kind, entries in (("stability", settings.stability), ("nve", settings.nve))
    )
    temperatures = [
        entry.temperature_kelvin
        if entry.hottest_training_factor is None
        else entry.hottest_training_factor * hottest_training_temperature(data)
        for entry in settings.stability
    ]
    driver = model_to_run(model, directory)
    seeds = iter(range(settings.seed, settings.seed + 10**6, SEED_STEP))
    findings: list[Finding] = []
    for reference, trajectory in zip(settings.aimd, trajectories, strict=True):
        tell(f"dynamics: {reference.replicas} runs beside the AIMD {reference.name}.")
        findings += assess_against_aimd(
            reference, trajectory, driver, directory, next(seeds), limits.aimd
        )
    nearest = nearest_in_training(data, directory / NEAREST) if settings.stability else {}
    for entry, structure, temperature in zip(settings.stability, stable, temperatures, strict=True):
        assert temperature is not None  # the recipe requires one of the two
        tell(f"dynamics: stability, {entry.name} at {temperature:g} K.")
        findings += assess_stability(
            entry,
            temperature,
            nearest,
            structure,
            driver,
            directory,
            next(seeds),
            limits.stability,
        )
    for run, structure in zip(settings.nve, conserved, strict=True):
        tell(f"dynamics: conservation of energy, {run.name}.")
        findings += assess_conservation(run, structure, driver, directory, next(seeds), limits.nve)
    return findings
