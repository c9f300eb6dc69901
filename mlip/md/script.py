"""The LAMMPS script of one attempt at one stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlip.engines.lammps import pair_lines, setup_lines
from mlip.recipes.protocol import Minimise, Npt, Nve, Nvt, Protocol

BAR_PER_GPA = 1.0e4

THERMO_COLUMNS = (
    *("step", "temp", "pe", "ke", "etotal", "press", "vol", "density"),
    *("lx", "ly", "lz", "xy", "xz", "yz"),
    *("pxx", "pyy", "pzz", "pxy", "pxz", "pyz"),
)


@dataclass(frozen=True)
class Attempt:
    """One engine start within a stage; all paths are relative to the stage's directory.

    Attributes
    ----------
    number : int
        From 1.
    start_step : int
        Step at which it takes up.
    source : str
        Data or restart file that it reads.
    """

    number: int
    start_step: int
    source: str

    @property
    def trajectory(self) -> str:
        """Return the name of its trajectory segment."""
        return f"segment.{self.number}.dcd"

    @property
    def deviation(self) -> str:
        """Return the name of its model-deviation file."""
        return f"deviation.{self.number}.out"

    @property
    def log(self) -> str:
        """Return the name of its log."""
        return f"log.{self.number}.lammps"


@dataclass(frozen=True)
class Cell:
    """Lengths and tilts of a cell with a along x and b in the xy plane, in Å."""

    lx: float
    ly: float
    lz: float
    xy: float = 0.0
    xz: float = 0.0
    yz: float = 0.0

    @property
    def triclinic(self) -> bool:
        """Return whether any tilt differs from zero."""
        return any(abs(tilt) > 1e-12 for tilt in (self.xy, self.xz, self.yz))


def stage_script(
    protocol: Protocol,
    stage: Minimise | Npt | Nvt | Nve,
    attempt: Attempt,
    *,
    models: list[Path],
    elements: list[str],
    temperature_kelvin: float,
    first_step: int,
    velocity_seed: int | None,
    cell: Cell | None,
    triclinic: bool,
) -> str:
    """Return the script.

    Parameters
    ----------
    protocol, stage, attempt
        What to do, and where to take it up.
    models : list of Path
        Committee, the first drives; paths as seen from the stage's directory.
    elements : list of str
        Element of each atom type.
    temperature_kelvin : float
    first_step : int
        Step at which the stage (not the attempt) begins.
    velocity_seed : int or None
        Draw velocities with this seed at the start of the stage.
    cell : Cell or None
        Bring the cell to this one at the start of the stage, positions scaled along.
    triclinic : bool
        Whether the cell has, or may get, tilts.
    """
    resumed = attempt.start_step > first_step
    reads_data = attempt.source.endswith(".data")
    lines = setup_lines(protocol.timestep_fs)
    lines.append(f"{'read_data' if reads_data else 'read_restart'} {attempt.source}")
    if reads_data and triclinic:
        lines.append("change_box all triclinic")
    # setup_lines came before read_restart, which brings back the old time step.
    lines.append(f"timestep {protocol.timestep_fs / 1000.0:.6g}")
    lines += pair_lines(models, elements, Path(attempt.deviation), protocol.deviation_every_steps)
    if not resumed and cell is not None:
        lines.append(_change_box(cell, triclinic))
    if not resumed and velocity_seed is not None:
        lines.append(
            f"velocity all create {temperature_kelvin:.6f} {velocity_seed} mom yes dist gaussian"
        )
    lines += [
        f"thermo {protocol.thermo_every_steps}",
        f"thermo_style custom {' '.join(THERMO_COLUMNS)}",
        "thermo_modify flush yes format float %.10g lost error",
    ]
    lines += (
        _minimise(stage)
        if stage.kind == "minimise"
        else _dynamics(protocol, stage, attempt, temperature_kelvin, first_step)
    )
    lines += [
        "write_restart final.restart",
        "write_dump all custom final.dump id type xu yu zu vx vy vz "
        'modify sort id format line "%d %d %.10g %.10g %.10g %.10g %.10g %.10g"',
    ]
    return "\n".join(lines) + "\n"


def _minimise(stage: Minimise) -> list[str]:
    return [
        "min_style cg",
        f"minimize 0.0 {stage.force_tolerance_ev_per_angstrom} "
        f"{stage.maximum_steps} {10 * stage.maximum_steps}",
        # Minimiser iterations are no time: dynamics counts from zero.
        "reset_timestep 0",
    ]


def _dynamics(
    protocol: Protocol,
    stage: Npt | Nvt | Nve,
    attempt: Attempt,
    temperature_kelvin: float,
    first_step: int,
) -> list[str]:
    last_step = first_step + protocol.stage_steps(stage)
    return [
        f"fix dynamics all {_ensemble(stage, temperature_kelvin)}",
        f"dump trajectory all dcd {protocol.trajectory_every_steps} {attempt.trajectory}",
        "dump_modify trajectory unwrap yes",
        f"restart {protocol.restart_every_steps} *.restart",
        f"run {last_step} upto start {first_step} stop {last_step}",
    ]


def _ensemble(stage: Npt | Nvt | Nve, temperature_kelvin: float) -> str:
    """Return style and settings of the fix that integrates the stage."""
    if stage.kind == "nve":
        return "nve"
    heat = (
        f"temp {temperature_kelvin:.6f} {temperature_kelvin:.6f} {stage.thermostat_damping_ps:.6g}"
    )
    if stage.kind == "nvt":
        return f"nvt {heat}"
    bar = stage.pressure_gpa * BAR_PER_GPA
    return f"npt {heat} {stage.barostat} {bar:.6g} {bar:.6g} {stage.barostat_damping_ps:.6g}"


def _change_box(cell: Cell, triclinic: bool) -> str:
    words = [f"{axis} final 0.0 {getattr(cell, 'l' + axis):.10f}" for axis in "xyz"]
    if triclinic:
        words += [f"{tilt} final {getattr(cell, tilt):.10f}" for tilt in ("xy", "xz", "yz")]
    return f"change_box all {' '.join(words)} remap units box"
