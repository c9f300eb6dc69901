"""Errors frame by frame: the table ``frame_errors.csv``, and the worst frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlip.engines.deepmd import Predicted
from mlip.files import write_text
from mlip.validation.independence import Independence
from mlip.validation.predictions import atom_deviations
from mlip.validation.reference import FloatArray, ReferenceSystem

MILLI = 1000.0
WORST = 10
COLUMNS = (
    *("split", "system", "row", "phase", "temperature_kelvin"),
    "energy_error_mev_per_atom",
    "force_rmse_mev_per_angstrom",
    "largest_force_error_mev_per_angstrom",
    "largest_force_deviation_mev_per_angstrom",
    "mean_force_deviation_mev_per_angstrom",
    *("source", "frame", "independence"),
)


@dataclass(frozen=True)
class FrameErrors:
    """Errors of the committee mean on the frames of one system, and its spread.

    Attributes
    ----------
    energy : ndarray, shape (F,)
        Model minus reference, per atom, eV.
    force_rmse : ndarray, shape (F,)
        Of components, eV/Å.
    force : ndarray, shape (F, N)
        Length of the error on each atom, eV/Å.
    deviation : ndarray, shape (F, N), or None
        Of the committee on each atom, eV/Å; None for a committee of one.
    """

    energy: FloatArray
    force_rmse: FloatArray
    force: FloatArray
    deviation: FloatArray | None

    @property
    def largest_force(self) -> FloatArray:
        """Largest error over atoms, shape (F,), eV/Å."""
        return self.force.max(axis=1)

    @property
    def largest_deviation(self) -> FloatArray | None:
        """Largest deviation over atoms, shape (F,), eV/Å; None for a committee of one."""
        return None if self.deviation is None else self.deviation.max(axis=1)


def frame_errors(
    system: ReferenceSystem, mean: Predicted, members: Sequence[Predicted]
) -> FrameErrors:
    """Compare the committee mean with the reference, frame by frame."""
    force = mean.forces - system.forces
    return FrameErrors(
        energy=(mean.energies - system.energies) / system.n_atoms,
        force_rmse=np.sqrt(np.square(force).mean(axis=(1, 2))),
        force=np.sqrt(np.square(force).sum(axis=2)),
        deviation=atom_deviations(members) if len(members) > 1 else None,
    )


def worst_frames(
    systems: Sequence[ReferenceSystem],
    frames: Sequence[FrameErrors],
    independence: Independence,
    count: int = WORST,
) -> list[dict[str, Any]]:
    """Return the frames of the headline with the largest force error, the worst first.

    Returns
    -------
    list of dict
        JSON types: system, row, source, source_frame, phase, temperature_kelvin, worst_element
        (of the atom with the largest force error), and errors in meV per atom and Å; null
        where unknown.
    """
    places = [
        (float(found.force_rmse[k]), number, k)
        for number, found in enumerate(frames)
        for k in range(len(found.energy))
        if independence.labels[number][k] == independence.headline
    ]
    places.sort(key=lambda place: (-place[0], place[1], place[2]))
    return [_described(systems[n], frames[n], k) for _, n, k in places[:count]]


def write_frame_errors(
    path: Path,
    split: str,
    systems: Sequence[ReferenceSystem],
    frames: Sequence[FrameErrors],
    independence: Independence,
) -> None:
    """Write one line a frame: errors of the committee mean and its spread, meV per atom and Å."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for system, found, labels in zip(systems, frames, independence.labels, strict=True):
        columns = [found.energy, found.force_rmse, found.largest_force]
        if found.deviation is not None:
            columns += [found.deviation.max(axis=1), found.deviation.mean(axis=1)]
        for k in range(system.n_frames):
            kelvin = system.temperatures[k]
            values = [f"{column[k] * MILLI:.6g}" for column in columns]
            values += [""] * (5 - len(columns))
            where = [split, system.name, int(system.rows[k]), system.phases[k]]
            origin = [system.sources[k], _frame_number(system, k), labels[k]]
            temperature = f"{kelvin:g}" if np.isfinite(kelvin) else ""
            writer.writerow([*where, temperature, *values, *origin])
    write_text(path, buffer.getvalue())


def _described(system: ReferenceSystem, found: FrameErrors, k: int) -> dict[str, Any]:
    deviation = found.largest_deviation
    kelvin = float(system.temperatures[k])
    return {
        "system": system.name,
        "row": int(system.rows[k]),
        "source": system.sources[k],
        "source_frame": _frame_number(system, k),
        "phase": system.phases[k],
        "temperature_kelvin": kelvin if np.isfinite(kelvin) else None,
        "energy_error_mev_per_atom": float(found.energy[k]) * MILLI,
        "force_rmse_mev_per_angstrom": float(found.force_rmse[k]) * MILLI,
        "largest_force_error_mev_per_angstrom": float(found.force[k].max()) * MILLI,
        "worst_element": system.symbols[int(found.force[k].argmax())],
        "largest_force_deviation_mev_per_angstrom": None
        if deviation is None
        else float(deviation[k]) * MILLI,
    }


def _frame_number(system: ReferenceSystem, k: int) -> int | None:
    number = int(system.source_frames[k])
    return number if number >= 0 else None
