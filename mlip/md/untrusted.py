"""Frames of a run that the committee does not trust, written for labelling."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write

from mlip.errors import DataError
from mlip.files import replacing
from mlip.md.watch import QUANTITIES, DeviationTable, severity

UNTRUSTED = "untrusted.extxyz"
LEAST_SEPARATION_PS = 0.5
MOST_FRAMES = 20
_PREFIX, _SUFFIX = "max_force_deviation_", "ev_per_angstrom"


@dataclass(frozen=True)
class UntrustedFrame:
    """A stored frame beyond trust.

    Attributes
    ----------
    stage : str
    step : int
    time_ps : float
        As deviation.csv counts it.
    severity : float
        Deviation over the failed level, above 1.
    deviation_ev_per_angstrom : float
        Largest force deviation in the frame.
    temperature_kelvin : float
        Of the frame where thermo.csv has its step, else nan.
    """

    stage: str
    step: int
    time_ps: float
    severity: float
    deviation_ev_per_angstrom: float
    temperature_kelvin: float


def worst_apart(
    candidates: Sequence[UntrustedFrame],
    separation_ps: float = LEAST_SEPARATION_PS,
    most: int = MOST_FRAMES,
) -> list[UntrustedFrame]:
    """Return the worst frames, none closer in time to a worse one than the separation."""
    chosen: list[UntrustedFrame] = []
    for frame in sorted(candidates, key=lambda frame: -frame.severity):
        if len(chosen) == most:
            break
        # A rounding of the times in the table must not refuse a frame at the very distance.
        if all(abs(frame.time_ps - other.time_ps) > separation_ps - 1e-6 for other in chosen):
            chosen.append(frame)
    return chosen


def untrusted_frames(run: Path, levels: Mapping[str, float]) -> list[UntrustedFrame]:
    """Return all stored frames of the main stream that are beyond trust.

    Raises
    ------
    DataError
        If the run's tables are missing or damaged, or an element has no level.
    """
    rows = _rows(run / "deviation.csv")
    stored = _stored_steps(run)
    kelvin = {
        (row["stage"], row["step"]): float(row["temperature_kelvin"])
        for row in _rows(run / "thermo.csv")
    }
    found = []
    for row, beyond in zip(rows, _severities(rows, levels), strict=True):
        place = (row["stage"], int(row["step"]))
        if beyond <= 1.0 or place not in stored:
            continue
        found.append(
            UntrustedFrame(
                *place,
                time_ps=float(row["time_ps"]),
                severity=float(beyond),
                deviation_ev_per_angstrom=float(row[f"{_PREFIX}{_SUFFIX}"]),
                temperature_kelvin=kelvin.get((row["stage"], row["step"]), float("nan")),
            )
        )
    return found


def write_untrusted(run: Path, levels: Mapping[str, float]) -> list[UntrustedFrame]:
    """Write ``untrusted.extxyz`` of a run directory: the worst frames beyond trust.

    At most `MOST_FRAMES`, `LEAST_SEPARATION_PS` apart, worst first; without such frames no
    file is written. ``info`` of each frame holds run, stage, step, time, deviation,
    severity and temperature.

    Parameters
    ----------
    run : Path
        Holds structure.extxyz, trajectory.json, deviation.csv and thermo.csv.
    levels : mapping of str to float
        As `mlip.model_directory.failed_levels` returns them.

    Returns
    -------
    list of UntrustedFrame
        What was written.

    Raises
    ------
    DataError
        See `untrusted_frames`.
    """
    path = run / UNTRUSTED
    chosen = worst_apart(untrusted_frames(run, levels))
    if not chosen:
        path.unlink(missing_ok=True)
        return []
    images = [_image(run, frame) for frame in chosen]
    with replacing(path) as temporary:
        write(temporary, images, format="extxyz")
    return chosen


def _image(run: Path, frame: UntrustedFrame) -> Atoms:
    from analysis.reading.runs import open_run, read_segments

    own = [entry for entry in read_segments(run) if entry.stage == frame.stage]
    trajectory = open_run(run, purpose=own[0].purpose, stage=frame.stage)
    index = (frame.step - own[0].first_step) // own[0].every_steps
    positions = trajectory.source.read(index, index + 1, slice(None))[0]
    atoms = Atoms(
        symbols=trajectory.species.tolist(),
        positions=positions,
        cell=trajectory.cells[index],
        pbc=True,
    )
    atoms.wrap()
    if trajectory.origin is not None:
        atoms.set_array("origin", trajectory.origin)
    info: dict[str, Any] = {
        "run": str(run.resolve()),
        "stage": frame.stage,
        "step": frame.step,
        "time_ps": frame.time_ps,
        "max_force_deviation_ev_per_angstrom": frame.deviation_ev_per_angstrom,
        "deviation_over_failed_level": round(frame.severity, 4),
    }
    if np.isfinite(frame.temperature_kelvin):
        info["temperature_kelvin"] = frame.temperature_kelvin
    atoms.info.update(info)
    return atoms


def _stored_steps(run: Path) -> set[tuple[str, int]]:
    from analysis.reading.runs import read_segments

    return {
        (entry.stage, step)
        for entry in read_segments(run)
        for step in range(entry.first_step, entry.last_step + 1, entry.every_steps)
    }


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except OSError as error:
        raise DataError(
            f"{path}: not readable ({error.strerror}); finish the run first."
        ) from error
    if any(None in row.values() for row in rows):
        raise DataError(f"{path}: a row is cut short. Run the same command again.")
    return rows


def _severities(rows: Sequence[Mapping[str, str]], levels: Mapping[str, float]) -> np.ndarray:
    """Return the severity of each row of deviation.csv."""
    names = rows[0].keys() if rows else ()
    species = tuple(
        name.removeprefix(_PREFIX).removesuffix(f"_{_SUFFIX}")
        for name in names
        if name.startswith(_PREFIX) and name != f"{_PREFIX}{_SUFFIX}"
    )
    steps = np.arange(len(rows))
    values = np.zeros((len(rows), len(QUANTITIES)))
    values[:, QUANTITIES.index("max_force")] = [
        _number(row[f"max_force_deviation_{_SUFFIX}"]) for row in rows
    ]
    most = np.array(
        [[_number(row[f"{_PREFIX}{name}_{_SUFFIX}"]) for name in species] for row in rows]
    ).reshape(len(rows), len(species))
    return severity(DeviationTable(steps, values, species, most), levels)


def _number(text: str) -> float:
    return float(text) if text else float("nan")
