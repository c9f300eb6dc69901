"""What the manifest of a run says of it in few numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlip.md.records import StageRecord, stage_deviation, stage_thermo


def stage_summary(record: StageRecord, timestep_fs: float) -> dict[str, Any]:
    """Return length, mean conditions and committee deviation of a stage."""
    thermo, deviation = stage_thermo(record), stage_deviation(record)
    steps = record.last_step - record.first_step
    summary: dict[str, Any] = {
        "steps": steps,
        "duration_ps": steps * timestep_fs / 1000,
        "engine_starts": len(record.attempts),
        "mean_temperature_kelvin": round(float(thermo.column("Temp").mean()), 1),
        "mean_pressure_gpa": round(float(thermo.column("Press").mean()) / 1e4, 4),
        "mean_density_g_cm3": round(float(thermo.column("Density").mean()), 4),
    }
    if len(deviation.rows):
        forces = deviation.column("max_force")
        summary["median_max_force_deviation_ev_per_angstrom"] = round(
            statistics.median(forces.tolist()), 4
        )
        summary["largest_max_force_deviation_ev_per_angstrom"] = round(float(forces.max()), 4)
    return summary


def beyond_trust(records: Sequence[StageRecord], trusted: float | None) -> dict[str, Any]:
    """Return the share of frames whose deviation says that a force is wrong.

    Parameters
    ----------
    records : sequence of StageRecord
    trusted : float or None
        Highest trusted deviation of the committee, eV/Å; None where it is not calibrated.

    Returns
    -------
    dict
        For the summary of a run; empty where the committee did not watch or is not calibrated.
    """
    watched = [stage_deviation(record) for record in records]
    forces = [table.column("max_force") for table in watched if len(table.rows)]
    if trusted is None or not forces:
        return {}
    return {
        "highest_trusted_deviation_ev_per_angstrom": round(trusted, 4),
        "share_of_frames_beyond_trust": round(float(np.mean(np.concatenate(forces) > trusted)), 4),
    }
