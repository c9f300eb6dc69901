"""The fixes of LAMMPS that integrate a stage, thermostat, barostat and strain included."""

from __future__ import annotations

from mlip.recipes.programme import Scheduled
from mlip.recipes.stages import Deform, Npt, Nve, Nvt, held_origin

BAR_PER_GPA = 1.0e4
THERMOSTAT_SEED = 200_000_000
BAROSTATS = {"normal_a": "x", "normal_b": "y", "normal_c": "z"}


def held_group(origin: str) -> str:
    """Return the group of the atoms of an origin."""
    return f"held_{origin}"


def free_group(origin: str) -> str:
    """Return the group of all other atoms."""
    return f"free_{origin}"


def held_lines(origin: str) -> list[str]:
    """Return the lines that keep atoms in place and count the temperature of the others.

    Momentum is not conserved beside held atoms, so that no degree of freedom is taken off.
    """
    return [
        f"fix hold {held_group(origin)} setforce 0.0 0.0 0.0",
        f"compute free_temperature {free_group(origin)} temp",
        "compute_modify free_temperature extra/dof 0",
        "thermo_modify temp free_temperature",
    ]


def dynamics_lines(part: Scheduled, seed: int) -> list[str]:
    """Return the fixes of a stage of dynamics.

    A fix takes up its state from a restart file under the same id and style alone. Thermostats
    and barostats go on from one stage to the next; a strain is counted from the cell at the
    start of its own stage, so its id is the stage's. A Nosé-Hoover ramp under constant pressure
    does not resume (its barostat's mass follows the temperature): there the thermostat is a
    separate one, whose random numbers are in the restart file.

    Parameters
    ----------
    part : Scheduled
    seed : int
        Of the run.
    """
    stage = part.stage
    heat = f"{part.start_kelvin:.6f} {part.end_kelvin:.6f}"
    if isinstance(stage, Nve):
        return ["fix dynamics all nve"]
    if isinstance(stage, Nvt):
        held = held_origin(stage)
        group = free_group(held) if held else "all"
        lines = [f"fix dynamics {group} nvt temp {heat} {stage.thermostat_damping_ps:.6g}"]
        return lines + ["fix_modify dynamics temp free_temperature"] * bool(held)
    if isinstance(stage, Npt):
        bar = stage.pressure_gpa * BAR_PER_GPA
        press = (
            f"{BAROSTATS.get(stage.barostat, stage.barostat)} {bar:.6g} {bar:.6g} "
            f"{stage.barostat_damping_ps:.6g}"
        )
        if not part.is_ramp:
            damping = f"{stage.thermostat_damping_ps:.6g}"
            return [f"fix dynamics all npt temp {heat} {damping} {press}"]
        return [
            f"fix dynamics all nph {press}",
            f"fix heat all temp/csvr {heat} {stage.thermostat_damping_ps:.6g} "
            f"{THERMOSTAT_SEED + seed}",
        ]
    assert isinstance(stage, Deform)  # a minimisation has no dynamics
    rate = stage.final_strain / part.duration_ps
    return [
        f"fix dynamics all nvt temp {heat} {stage.thermostat_damping_ps:.6g}",
        f"fix strain_{stage.name} all deform 1 {stage.component} erate {rate:.10g} "
        "remap x flip no units box",
    ]
