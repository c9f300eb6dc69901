"""How far the members of a finished potential disagree in the runs of its examination."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from mlip.explore.sample import STAGE, Visit
from mlip.files import write_text

COLUMN = "max_force_deviation_ev_per_angstrom"
# Of the frames of a run: as the acceptance of a potential is usually put.
WITHIN = 0.95


@dataclass(frozen=True)
class RunDeviation:
    """Largest force deviation of any atom, over the frames of one run.

    Attributes
    ----------
    run, phase : str
    temperature_kelvin : float
    frames : int
        After the first, which is the end of the run before.
    median, within_95_percent, largest : float
        eV/Å; 95 % of the frames are at or below the second.
    """

    run: str
    phase: str
    temperature_kelvin: float
    frames: int
    median: float
    within_95_percent: float
    largest: float


def run_deviations(visits: Sequence[Visit]) -> list[RunDeviation]:
    """Read the deviations that the committee left in its runs; runs without any are left out."""
    found = []
    for visit in visits:
        values = _largest_by_frame(visit.directory / "deviation.csv")
        if not len(values):
            continue
        found.append(
            RunDeviation(
                visit.name,
                visit.state.phases[visit.state.visit_at(visit.start_ps + visit.state.duration_ps)],
                visit.temperature_kelvin,
                len(values),
                round(float(np.median(values)), 4),
                round(float(np.quantile(values, WITHIN)), 4),
                round(float(values.max()), 4),
            )
        )
    return found


def write_deviations(path: Path, found: Sequence[RunDeviation]) -> None:
    """Write one row a run."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    units = {name: f"{name}_ev_per_angstrom" for name in ("median", "within_95_percent", "largest")}
    writer.writerow([units.get(field.name, field.name) for field in fields(RunDeviation)])
    writer.writerows(astuple(run) for run in found)
    write_text(path, table.getvalue())


def _largest_by_frame(path: Path) -> np.ndarray:
    """Return the finite values after the start of the visit's dynamics."""
    if not path.is_file():
        return np.zeros(0)
    with path.open(encoding="utf-8", newline="") as handle:
        values = [float(row[COLUMN]) for row in csv.DictReader(handle) if row["stage"] == STAGE]
    after = np.array(values[1:])
    return after[np.isfinite(after)]
