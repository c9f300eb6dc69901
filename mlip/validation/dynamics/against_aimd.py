"""The potential in the cell and at the temperature of an AIMD run, as often as asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.reading.runs import open_run
from analysis.results import Curve
from analysis.trajectory import Trajectory
from analysis.writer import curve_to_csv
from mlip.files import write_text
from mlip.recipes.dynamics import AimdReference
from mlip.recipes.protocol import Protocol
from mlip.validation.dynamics.aimd import part, start_structure
from mlip.validation.dynamics.figures import msd_figure, rdf_figure, vibrations_figure
from mlip.validation.dynamics.findings import Comparison, compare_with_aimd, mean_spectrum
from mlip.validation.dynamics.observables import Observables, common_r_max, observe
from mlip.validation.dynamics.runs import protocol_of, run, write_structure
from mlip.validation.dynamics.thresholds import AimdLimits
from mlip.validation.finding import Finding

STAGE = "replica"


@dataclass(frozen=True)
class Grid:
    """Time step and stored stride that put frames as far apart as in the AIMD.

    Attributes
    ----------
    timestep_fs : float
    every_steps : int
    """

    timestep_fs: float
    every_steps: int


def time_grid(interval_ps: float, longest_step_fs: float) -> Grid:
    """Divide the time between frames into whole steps no longer than the longest."""
    steps = max(1, math.ceil(1e3 * interval_ps / longest_step_fs - 1e-6))
    return Grid(1e3 * interval_ps / steps, steps)


def replica_protocol(
    reference: AimdReference, trajectory: Trajectory, number: int, seed: int
) -> Protocol:
    """Return the protocol of one replica: equilibrate, then run as long as the AIMD."""
    interval = trajectory.frame_interval_ps
    grid = time_grid(interval, reference.timestep_fs)
    # Whole frame intervals, so that the first stored frame is the start of the replica.
    equilibration = math.ceil(reference.equilibration_ps / interval) * interval
    stages: list[dict[str, Any]] = [
        {
            "kind": "nvt",
            "name": "equilibrate",
            "purpose": "equilibration",
            "duration_ps": equilibration,
            "cell": "keep",
        },
        {"kind": reference.ensemble, "name": STAGE, "duration_ps": trajectory.duration_ps}
        | ({"cell": "keep"} if reference.ensemble == "nvt" else {}),
    ]
    return protocol_of(
        stages,
        temperature_kelvin=reference.temperature_kelvin,
        timestep_fs=grid.timestep_fs,
        seed=seed + number,
        frame_every_steps=grid.every_steps,
    )


def assess_against_aimd(
    reference: AimdReference,
    trajectory: Trajectory,
    model: Path,
    directory: Path,
    seed: int,
    limits: AimdLimits,
) -> list[Finding]:
    """Run the replicas and compare them with the AIMD.

    Parameters
    ----------
    reference : AimdReference
    trajectory : Trajectory
        The AIMD, its equilibration left out.
    model : Path
        Model directory.
    directory : Path
        Where runs, curves and figures go.
    seed : int
    limits : AimdLimits

    Returns
    -------
    list of Finding
    """
    subject = f"{reference.name}, {reference.temperature_kelvin:g} K"
    folder = directory / "aimd" / reference.name
    structure = write_structure(folder / "start", start_structure(trajectory))
    runs = []
    for number in range(reference.replicas):
        protocol = replica_protocol(reference, trajectory, number, seed)
        outcome = run(protocol, folder / f"replica_{number}", model, structure)
        if not outcome.ended:
            quantity = "replicas that ended"
            return [
                Finding(
                    subject,
                    quantity,
                    float(number),
                    None,
                    "none",
                    float(reference.replicas),
                    "fail",
                    f"replica {number + 1} broke down, nothing was compared: {outcome.said}",
                )
            ]
        runs.append(open_run(outcome.directory, stage=STAGE))
    comparison = observe_all(reference, subject, trajectory, runs)
    write_curves(directory / "curves", reference.name, comparison)
    figures = directory / "figures"
    msd_figure(figures / f"aimd_{reference.name}_msd.png", comparison)
    rdf_figure(figures / f"aimd_{reference.name}_rdf.png", comparison)
    if all(o.vibrations for o in (comparison.aimd, *comparison.replicas)):
        path = figures / f"aimd_{reference.name}_vibrations.png"
        vibrations_figure(path, comparison, reference.highest_per_cm)
    return compare_with_aimd(comparison, limits)


def observe_all(
    reference: AimdReference, subject: str, trajectory: Trajectory, runs: list[Trajectory]
) -> Comparison:
    """Compute the observables of AIMD, its halves and the replicas, on common grids.

    Raises
    ------
    AnalysisError
        If the cells are too small for a g(r).
    """
    settings = {
        "resolution_per_cm": reference.resolution_per_cm,
        "highest_per_cm": reference.highest_per_cm,
        "r_max_angstrom": common_r_max([trajectory, *runs]),
    }
    middle = trajectory.n_frames // 2
    first, second = part(trajectory, 0, middle), part(trajectory, middle, 2 * middle)
    lengths = {item.n_frames for item in runs} | {trajectory.n_frames}
    if len(lengths) > 1:
        raise AnalysisError(
            f"{runs[0].path}: replicas and AIMD hold {sorted(lengths)} frames; they must be "
            "equally long to be compared"
        )
    return Comparison(
        subject=subject,
        aimd=observe(trajectory, **settings),
        halves=(observe(first, **settings), observe(second, **settings)),
        replicas=tuple(observe(item, **settings) for item in runs),
        peaks=reference.peaks,
    )


def write_curves(folder: Path, name: str, comparison: Comparison) -> None:
    """Write what the figures show: AIMD, mean of the replicas, lowest and highest of them."""
    aimd, replicas = comparison.aimd, comparison.replicas
    curves = [
        Curve(
            f"aimd_{name}_msd_{species}",
            {"lag [ps]": aimd.times_ps}
            | _columns(aimd.msd[species], [o.msd[species] for o in replicas], "Å^2"),
        )
        for species in aimd.species
    ]
    curves += [
        Curve(
            f"aimd_{name}_rdf_{label}",
            {"r [Å]": pair.r_angstrom}
            | _columns(pair.g, [o.pairs[label].g for o in replicas], "1"),
        )
        for label, pair in aimd.pairs.items()
    ]
    curves += [_vibration_curve(name, species, aimd, replicas) for species in aimd.vibrations]
    for curve in curves:
        write_text(folder / f"{curve.name}.csv", curve_to_csv(curve))


def _vibration_curve(
    name: str, species: str, aimd: Observables, replicas: tuple[Observables, ...]
) -> Curve:
    own = aimd.vibrations[species]
    spectra = [mean_spectrum([o], own).density for o in replicas if o.vibrations]
    return Curve(
        f"aimd_{name}_vibrations_{species}",
        {"frequency [1/cm]": own.frequencies_per_cm, "frequency [THz]": own.frequencies_thz}
        | _columns(own.density, spectra, "1/THz"),
    )


def _columns(aimd: np.ndarray, replicas: list[np.ndarray], unit: str) -> dict[str, np.ndarray]:
    columns = {f"AIMD [{unit}]": aimd}
    if replicas:
        stack = np.array(replicas)
        columns |= {
            f"potential, mean [{unit}]": stack.mean(axis=0),
            f"potential, lowest [{unit}]": stack.min(axis=0),
            f"potential, highest [{unit}]": stack.max(axis=0),
        }
    return columns
