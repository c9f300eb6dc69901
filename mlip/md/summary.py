"""What the manifest of a run says of it in few numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlip.md.melt_gate import LatticeMemory
from mlip.md.records import StageRecord, stage_deviation, stage_thermo
from mlip.md.watch import severity, untrusted_share
from mlip.recipes.programme import Scheduled, quench_rate, time_above
from mlip.recipes.protocol import Glass
from mlip.recipes.protocol_checks import limits


def stage_summary(record: StageRecord, levels: Mapping[str, float]) -> dict[str, Any]:
    """Return length, mean conditions and committee deviation of a stage.

    Parameters
    ----------
    record : StageRecord
    levels : mapping of str to float
        Deviation above which a force is wrong, by element; empty if not calibrated.
    """
    thermo, deviation = stage_thermo(record), stage_deviation(record)
    steps = record.last_step - record.first_step
    summary: dict[str, Any] = {
        "steps": steps,
        "duration_ps": steps * record.timestep_fs / 1000,
        "engine_starts": len(record.attempts),
        "mean_temperature_kelvin": round(float(thermo.column("Temp").mean()), 1),
        "mean_pressure_gpa": round(float(thermo.column("Press").mean()) / 1e4, 4),
        "mean_density_g_cm3": round(float(thermo.column("Density").mean()), 4),
    }
    if len(deviation.steps):
        forces = deviation.column("max_force")
        summary["median_max_force_deviation_ev_per_angstrom"] = round(
            statistics.median(forces.tolist()), 4
        )
        # In 95 % of the frames it is at or below this.
        within = round(float(np.quantile(forces, 0.95)), 4)
        summary["p95_max_force_deviation_ev_per_angstrom"] = within
        summary["largest_max_force_deviation_ev_per_angstrom"] = round(float(forces.max()), 4)
        for name in deviation.species:
            largest = float(deviation.of_species(name).max())
            summary[f"largest_force_deviation_{name}_ev_per_angstrom"] = round(largest, 4)
        if levels:
            share = untrusted_share(deviation, levels)
            summary["share_of_frames_beyond_trust"] = round(share, 4)
    return summary


def beyond_trust(records: Sequence[StageRecord], levels: Mapping[str, float]) -> dict[str, Any]:
    """Return the share of frames with an atom whose deviation says that its force is wrong.

    Parameters
    ----------
    records : sequence of StageRecord
    levels : mapping of str to float
        See `stage_summary`.

    Returns
    -------
    dict
        For the summary of a run; empty where the committee did not watch or is not calibrated.
    """
    # Steps of different stages may be the same: a stage begins where the one before ended.
    tables = [stage_deviation(record) for record in records]
    beyond = [severity(table, levels) > 1.0 for table in tables if levels and len(table.steps)]
    if not beyond:
        return {}
    return {
        "highest_trusted_deviation_ev_per_angstrom": round(max(levels.values()), 4),
        "share_of_frames_beyond_trust": round(float(np.concatenate(beyond).mean()), 4),
    }


@dataclass(frozen=True)
class Quenched:
    """How a glass came through its quench.

    Attributes
    ----------
    melt, glass : mapping of str to LatticeMemory
        What the melt, and the glass after the quench, had of the lattice of the start, by
        element; empty where that cannot be told.
    share_beyond_trust : float or None
        See `mlip.md.quench_gate.freezing_share`.
    """

    melt: Mapping[str, LatticeMemory] = field(default_factory=dict)
    glass: Mapping[str, LatticeMemory] = field(default_factory=dict)
    share_beyond_trust: float | None = None


def glass_summary(
    programme: Sequence[Scheduled],
    glass: Glass,
    inherent: StageRecord,
    atoms: int,
    quenched: Quenched,
) -> dict[str, Any]:
    """Return where a glass comes from.

    Times and rate are those of the thermostat. The energy is that of the inherent structure:
    the final positions minimised in the final cell (Stillinger and Weber, Phys. Rev. A 25, 978
    (1982), doi 10.1103/PhysRevA.25.978). It ranks glasses of one composition and one model: the
    lower, the lower the fictive temperature.

    Parameters
    ----------
    programme : sequence of Scheduled
    glass : Glass
    inherent : StageRecord
        The minimisation of the final structure.
    atoms : int
    quenched : Quenched
    """
    share = limits().glass_ageing_share.value
    table = stage_thermo(inherent)
    iterations = int(table.column("Step")[-1] - table.column("Step")[0])
    ageing = share * glass.glass_transition_kelvin
    return {
        "melt_above_kelvin": glass.melt_above_kelvin,
        "time_in_melt_ps": round(time_above(programme, glass.melt_above_kelvin), 6),
        "glass_transition_kelvin": glass.glass_transition_kelvin,
        "quench_rate_kelvin_per_ps": quench_rate(programme, glass.glass_transition_kelvin),
        "ageing_above_kelvin": round(ageing, 6),
        "time_above_ageing_ps": round(time_above(programme, ageing), 6),
        "bragg_intensity_kept_by_melt": {
            name: round(found.kept, 4) for name, found in quenched.melt.items()
        },
        "bragg_intensity_kept_by_glass": {
            name: round(found.kept, 4) for name, found in quenched.glass.items()
        },
        "bragg_intensity_by_chance": {
            name: round(found.by_chance, 4) for name, found in quenched.melt.items()
        },
        "share_of_freezing_frames_beyond_trust": quenched.share_beyond_trust,
        "inherent_energy_ev_per_atom": round(float(table.column("PotEng")[-1]) / atoms, 6),
        "inherent_energy_converged": iterations < glass.minimise.maximum_steps,
    }
