"""The LAMMPS script of one attempt at one stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlip.engines.lammps import pair_lines, setup_lines
from mlip.md.dynamics import dynamics_lines, free_group, held_group, held_lines
from mlip.md.guards import guard_lines, halted_lines
from mlip.md.watch import writes_atoms
from mlip.recipes.programme import Scheduled
from mlip.recipes.protocol import Protocol
from mlip.recipes.stages import Minimise, held_origin, purpose_of

# One seed of a run gives all of its random numbers; offsets keep those of neighbours apart.
RELEASE_SEED = 300_000_000

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

    def trajectory(self, stream: str = "main") -> str:
        """Return the name of its trajectory segment of a stream."""
        return f"{'segment' if stream == 'main' else stream}.{self.number}.dcd"

    @property
    def deviation(self) -> str:
        """Return the name of the file that LAMMPS writes the committee's deviation to."""
        return f"deviation.{self.number}.out"

    @property
    def deviation_table(self) -> str:
        """Return the name of the table that it becomes when the attempt has ended."""
        return f"deviation.{self.number}.csv"

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


@dataclass(frozen=True)
class Stream:
    """One trajectory of a stage.

    Attributes
    ----------
    name : str
    every_steps : int
        Frames are at the multiples of it.
    last_step : int
        Last step at which there may be a frame.
    """

    name: str
    every_steps: int
    last_step: int


@dataclass(frozen=True)
class Start:
    """What is done to the sample once, when a stage begins.

    Attributes
    ----------
    draws_velocities : bool
    cell : Cell or None
        Bring the cell to this one, positions scaled along.
    released : str or None
        Origin of the atoms that the stage before held; they get velocities now.
    """

    draws_velocities: bool = False
    cell: Cell | None = None
    released: str | None = None


def streams(protocol: Protocol, part: Scheduled) -> tuple[Stream, ...]:
    """Return the trajectories of a stage; none for a minimisation."""
    if isinstance(part.stage, Minimise):
        return ()
    found = [Stream("main", protocol.trajectory_every_steps, part.last_step)]
    if protocol.dense is not None and purpose_of(part.stage) == "production":
        steps = round(protocol.dense.duration_ps * 1000.0 / part.timestep_fs)
        last = min(part.first_step + steps, part.last_step)
        found.append(Stream("dense", protocol.dense.every_steps, last))
    return tuple(found)


def stage_script(
    protocol: Protocol,
    part: Scheduled,
    attempt: Attempt,
    *,
    models: list[Path],
    elements: list[str],
    start: Start,
    triclinic: bool,
    ids_by_origin: Mapping[str, tuple[int, ...]],
    atoms: int,
    smallest_angstrom: Mapping[tuple[str, str], float],
    volume_angstrom3: float,
) -> str:
    """Return the script.

    Parameters
    ----------
    protocol, part, attempt
        What to do, and where to take it up.
    models : list of Path
        Committee, the first drives; paths as seen from the stage's directory.
    elements : list of str
        Element of each atom type.
    start : Start
        Left out when the attempt resumes.
    triclinic : bool
        Whether the cell has, or may get, tilts.
    ids_by_origin : mapping of str to tuple of int
        Atom ids, from 1, by column `origin`; asked only for origins that are held.
    atoms : int
        In the cell.
    smallest_angstrom : mapping of (str, str) to float
        Distances that stop the run, see `mlip.md.guards.smallest_distances`.
    volume_angstrom3 : float
        Of the cell when the stage began.
    """
    fresh = attempt.start_step == part.first_step
    reads_data = attempt.source.endswith(".data")
    held = held_origin(part.stage)
    lines = setup_lines(part.timestep_fs)
    lines.append(f"{'read_data' if reads_data else 'read_restart'} {attempt.source}")
    if reads_data and triclinic:
        lines.append("change_box all triclinic")
    # setup_lines came before read_restart, which brings back the old time step.
    lines.append(f"timestep {part.timestep_fs / 1000.0:.6g}")
    lines += pair_lines(
        models,
        elements,
        Path(attempt.deviation),
        protocol.deviation_every_steps,
        by_atom=writes_atoms(atoms),
    )
    for origin in sorted({name for name in (held, start.released) if name}):
        lines += _group(origin, ids_by_origin[origin])
    if fresh:
        lines += _begin(protocol, part, start, triclinic)
    lines += [
        f"thermo {protocol.thermo_every_steps}",
        f"thermo_style custom {' '.join(THERMO_COLUMNS)}",
        "thermo_modify flush yes format float %.10g lost error",
    ]
    if held:
        lines += held_lines(held)
    if isinstance(part.stage, Minimise):
        lines += _minimise(part.stage)
    else:
        lines += dynamics_lines(part, protocol.seed)
        lines += _writing(protocol, part, attempt)
        lines += guard_lines(
            elements,
            smallest_angstrom,
            atoms=atoms - len(ids_by_origin[held]) if held else atoms,
            highest_target_kelvin=max(part.start_kelvin, part.end_kelvin),
            # Only a barostat changes the volume by itself.
            start_volume_angstrom3=volume_angstrom3 if part.stage.kind == "npt" else None,
            mobile=free_group(held) if held else "all",
        )
        lines += _runs(part, attempt, protocol.restart_every_steps)
        lines += halted_lines(part.last_step)
    lines += [
        "write_restart final.restart",
        "write_dump all custom final.dump id type xu yu zu vx vy vz "
        'modify sort id format line "%d %d %.10g %.10g %.10g %.10g %.10g %.10g"',
    ]
    return "\n".join(lines) + "\n"


def _begin(protocol: Protocol, part: Scheduled, start: Start, triclinic: bool) -> list[str]:
    hot = f"{part.start_kelvin:.6f}"
    held = held_origin(part.stage)
    lines = []
    if start.cell is not None:
        lines.append(_change_box(start.cell, triclinic))
    if start.draws_velocities:
        lines.append(f"velocity all create {hot} {protocol.seed} mom yes dist gaussian")
    if start.released and start.released != held:
        seed = RELEASE_SEED + protocol.seed
        lines += [
            f"velocity {held_group(start.released)} create {hot} {seed} mom no dist gaussian",
            "velocity all zero linear",
        ]
    if held and not isinstance(part.stage, Minimise):
        lines.append(f"velocity {held_group(held)} set 0.0 0.0 0.0")
    return lines


def _group(origin: str, ids: tuple[int, ...]) -> list[str]:
    """Return the lines that name the atoms of an origin, and all others."""
    ranges: list[list[int]] = []
    for number in sorted(ids):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    words = [f"{first}:{last}" for first, last in ranges]
    # A second command of the same group adds to it.
    lines = [
        f"group {held_group(origin)} id {' '.join(words[n : n + 50])}"
        for n in range(0, len(words), 50)
    ]
    return [*lines, f"group {free_group(origin)} subtract all {held_group(origin)}"]


def _minimise(stage: Minimise) -> list[str]:
    return [
        "min_style cg",
        f"minimize 0.0 {stage.force_tolerance_ev_per_angstrom} "
        f"{stage.maximum_steps} {10 * stage.maximum_steps}",
        # Minimiser iterations are no time: dynamics counts from zero.
        "reset_timestep 0",
    ]


def _writing(protocol: Protocol, part: Scheduled, attempt: Attempt) -> list[str]:
    lines = []
    for stream in streams(protocol, part):
        if attempt.start_step > stream.last_step:
            continue
        ends_early = stream.last_step < part.last_step
        if ends_early:
            lines.append(f"variable after_{stream.name} equal step>{stream.last_step}")
        lines += [
            f"dump {stream.name} all dcd {stream.every_steps} {attempt.trajectory(stream.name)}",
            f"dump_modify {stream.name} unwrap yes"
            + (f" skip v_after_{stream.name}" if ends_early else ""),
        ]
    return [*lines, f"restart {protocol.restart_every_steps} *.restart"]


def _runs(part: Scheduled, attempt: Attempt, restart_every_steps: int) -> list[str]:
    """Return the run commands; ramps count from the stage's start, not the attempt's."""
    whole = f"start {part.first_step} stop {part.last_step}"
    if not _changes_after_forces(part):
        return [f"run {part.last_step} upto {whole}"]
    # A resume computes forces and pressure anew: so does the uninterrupted run wherever a
    # resume may begin.
    border = -(-attempt.start_step // restart_every_steps) * restart_every_steps
    lines = []
    if attempt.start_step < border < part.last_step:
        lines.append(f"run {border} upto {whole}")
    return [*lines, f"run {part.last_step} upto {whole} every {restart_every_steps} NULL"]


def _changes_after_forces(part: Scheduled) -> bool:
    """Return whether positions or velocities change after the forces and pressure of a step."""
    return part.stage.kind == "deform" or (part.stage.kind == "npt" and part.is_ramp)


def _change_box(cell: Cell, triclinic: bool) -> str:
    words = [f"{axis} final 0.0 {getattr(cell, 'l' + axis):.10f}" for axis in "xyz"]
    if triclinic:
        words += [f"{tilt} final {getattr(cell, tilt):.10f}" for tilt in ("xy", "xz", "yz")]
    return f"change_box all {' '.join(words)} remap units box"
