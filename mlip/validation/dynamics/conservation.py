"""Drift of the total energy of the potential at constant energy."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.constants import FloatArray
from analysis.results import Curve
from analysis.writer import curve_to_csv
from mlip.errors import DataError
from mlip.files import write_text
from mlip.md.run import read_structure
from mlip.recipes.dynamics import ConservationRun
from mlip.recipes.protocol import Protocol
from mlip.validation.dynamics.compare import judge_difference
from mlip.validation.dynamics.figures import energy_figure
from mlip.validation.dynamics.runs import MINIMISE, protocol_of, run
from mlip.validation.dynamics.thresholds import ConservationLimits
from mlip.validation.finding import Finding

STAGE = "conserve"
BLOCKS = 20
FRAME_EVERY_STEPS = 100
LEVEL = 0.95


@dataclass(frozen=True)
class Drift:
    """Slope of an energy.

    Attributes
    ----------
    slope, error : float
        eV/atom/ps, with the standard error.
    """

    slope: float
    error: float

    @property
    def half_width(self) -> float:
        """Half width of the 95 % interval (Student t), eV/atom/ps."""
        return self.error * float(stats.t.ppf(0.5 + 0.5 * LEVEL, BLOCKS - 2))


def energy_drift(times_ps: FloatArray, energies_ev: FloatArray) -> Drift:
    """Fit a line to the energy an atom.

    Neighbouring energies are correlated, so the line goes through the means of 20 blocks, whose
    scatter about it gives the error (ordinary least squares of block means; Flyvbjerg and
    Petersen, J. Chem. Phys. 91, 461 (1989), doi 10.1063/1.457480).

    Parameters
    ----------
    times_ps, energies_ev : (n,) float arrays

    Raises
    ------
    DataError
        If there are fewer than two energies a block, or one is not finite.
    """
    if len(times_ps) < 2 * BLOCKS or not np.isfinite(energies_ev).all():
        raise DataError(
            f"{len(times_ps)} energies, {int((~np.isfinite(energies_ev)).sum())} of them not "
            f"finite; a drift takes {2 * BLOCKS} finite ones. Give a longer duration_ps."
        )
    t = np.array([part.mean() for part in np.array_split(times_ps, BLOCKS)])
    e = np.array([part.mean() for part in np.array_split(energies_ev - energies_ev[0], BLOCKS)])
    t = t - t.mean()
    slope = float(t @ e / (t @ t))
    residual = e - e.mean() - slope * t
    error = float(np.sqrt(residual @ residual / (BLOCKS - 2) / (t @ t)))
    return Drift(slope, error)


def assess_conservation(
    entry: ConservationRun,
    structure: Path,
    model: Path,
    directory: Path,
    seed: int,
    limits: ConservationLimits,
) -> list[Finding]:
    """Run at constant energy and judge the drift.

    Parameters
    ----------
    entry : ConservationRun
    structure : Path
        Structure directory.
    model : Path
        Model directory.
    directory : Path
        Where the run, its curve and its figure go.
    seed : int
    limits : ConservationLimits
    """
    subject = f"{entry.name}, {entry.temperature_kelvin:g} K, {entry.timestep_fs:g} fs"
    quantity = "drift of the energy (meV/atom/ps)"
    limit = limits.drift.value
    outcome = run(nve_protocol(entry, seed), directory / "nve" / entry.name, model, structure)
    if not outcome.ended:
        text = f"broke down: {outcome.said}"
        return [Finding(subject, quantity, None, None, "none", limit, "fail", text)]
    times, energies = stage_energies(outcome.directory / "thermo.csv", STAGE)
    energies = energies / len(read_structure(structure))
    drift = energy_drift(times, energies)
    curve = Curve(f"nve_{entry.name}", {"time [ps]": times, "energy [eV/atom]": energies})
    write_text(directory / "curves" / f"{curve.name}.csv", curve_to_csv(curve))
    figure = directory / "figures" / f"nve_{entry.name}.png"
    energy_figure(figure, times, energies, drift.slope, drift.half_width)
    value, floor = 1e3 * drift.slope, 1e3 * drift.half_width
    verdict = judge_difference(value, limit, floor)
    text = (
        f"{value:+.2g} ± {floor:.2g} (95 %) over {times[-1] - times[0]:g} ps; "
        f"rms about the line {1e3 * float(np.std(energies - drift.slope * times)):.2g} meV/atom"
    )
    if verdict == "not assessed":
        text += "; the limit cannot be seen in a run this short: give a longer duration_ps"
    return [Finding(subject, quantity, value, None, "none", limit, verdict, text)]


def nve_protocol(entry: ConservationRun, seed: int) -> Protocol:
    """Return the protocol: minimise, heat, then run at constant energy."""
    return protocol_of(
        [
            MINIMISE,
            {
                "kind": "nvt",
                "name": "equilibrate",
                "purpose": "equilibration",
                "duration_ps": entry.equilibration_ps,
                "cell": "keep",
            },
            {"kind": "nve", "name": STAGE, "duration_ps": entry.duration_ps},
        ],
        temperature_kelvin=entry.temperature_kelvin,
        timestep_fs=entry.timestep_fs,
        seed=seed,
        frame_every_steps=FRAME_EVERY_STEPS,
    )


def stage_energies(path: Path, stage: str) -> tuple[FloatArray, FloatArray]:
    """Return times (ps) and total energies (eV) of one stage of a thermo.csv."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["stage"] == stage]
    times = np.array([float(row["time_ps"]) for row in rows])
    return times, np.array([float(row["total_energy_ev"]) for row in rows])
