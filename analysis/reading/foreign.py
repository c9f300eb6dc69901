"""Open trajectories other programs wrote: LAMMPS dumps, extxyz and VASP XDATCAR, packed or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import constants

from analysis.errors import TimeGridError, TrajectoryError
from analysis.reading.extxyz import read_extxyz
from analysis.reading.lammps_dump import read_lammps_dump
from analysis.reading.spool import RawFrame, Spooled, spool_frames
from analysis.reading.text_lines import DamagedFrameError, open_lines
from analysis.reading.xdatcar import read_xdatcar
from analysis.trajectory import FRACTIONAL_DIFFERENCES, Trajectory, charges_of, masses_of

FORMATS: Mapping[str, Callable[[Path], Iterator[RawFrame]]] = {
    "extxyz": read_extxyz,
    "xdatcar": read_xdatcar,
    "lammps-dump": read_lammps_dump,
}
_ENDINGS = {
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".lammpstrj": "lammps-dump",
    ".lammpsdump": "lammps-dump",
    ".dump": "lammps-dump",
}
# In Angstrom/ps. ASE measures time such that 1 eV = 1 amu Angstrom^2 / time^2.
VELOCITY_UNITS = {
    "angstrom/ps": 1.0,
    "angstrom/fs": 1000.0,
    "ase": 1.0e-2 * math.sqrt(constants.e / constants.atomic_mass),
}
_DEFAULT_VELOCITY_UNIT = {"extxyz": "ase", "lammps-dump": "angstrom/ps"}
# No MD of atoms takes shorter steps: the time step was given where the frame interval is asked.
_SHORTEST_MD_STEP_FS = 0.05


def open_foreign(
    path: Path | str,
    *,
    frame_interval_fs: float,
    temperature_kelvin: float | None = None,
    species: Sequence[str] | None = None,
    charges: Mapping[str, float] | Sequence[float] | None = None,
    ensemble: str = "unknown",
    file_format: str | None = None,
    until_damage: bool = False,
    velocity_unit: str | None = None,
) -> Trajectory:
    """Open a LAMMPS text dump, extxyz or XDATCAR trajectory, wrapped or unwrapped.

    Wrapped atoms are followed through the boundary by the minimum image of the step in
    fractional coordinates; unwrapped ones (xu yu zu, image flags) are taken as they are.
    Displacements are fractional differences times the current cell. Every frame is read once,
    now; unwrapped positions go to an unnamed file in the temporary directory (set by `TMPDIR`),
    24 bytes an atom and frame. Velocities, where the file has them (vx vy vz of a dump; vel, velo
    or momenta of extxyz), take as much again.

    Parameters
    ----------
    path : path
        `.gz`, `.bz2` and `.xz` are unpacked.
    frame_interval_fs : float
        Time between two stored frames: time step of the simulation times steps between frames.
    temperature_kelvin : float, optional
        Temperature of the simulation.
    species : sequence of str, optional
        Chemical symbols, in place of those in the file: one an atom, in the order of the file
        (of a dump: of the ids), or one a LAMMPS type. A list as long as the atoms are many is
        read as one an atom. A list of types may name more types than there are, but then no
        element twice.
    charges : mapping of str to float, or sequence of N float, optional
        Charges by element or by atom, elementary charges.
    ensemble : str
        Ensemble of the simulation.
    file_format : {"extxyz", "xdatcar", "lammps-dump"}, optional
        Where neither name nor first line tell it.
    until_damage : bool
        Open the frames before a torn or unreadable one, and say so in `Trajectory.notes`,
        instead of raising.
    velocity_unit : {"angstrom/ps", "angstrom/fs", "ase"}, optional
        Unit of velocities in the file. By default what a dump says in ITEM: UNITS, else that of
        units `metal`, Angstrom/ps; of extxyz the unit of ASE, sqrt(eV/amu). What was taken stands
        in `Trajectory.notes`.

    Returns
    -------
    Trajectory

    Raises
    ------
    AmbiguousMotionError
        If a wrapped atom moves by more than 0.4 of the cell between two frames, or positions
        said to be unwrapped are not.
    TimeGridError
        If frames are not equally spaced, or `frame_interval_fs` is not positive or contradicts
        the file.
    TrajectoryError
        If the file is missing, of another format, damaged, not periodic, changes its atoms, does
        not tell its species, or contradicts `velocity_unit`.
    """
    path = Path(path)
    if not 0 < frame_interval_fs < math.inf:
        raise TimeGridError(
            f"frame_interval_fs is {frame_interval_fs}; it must be positive and finite"
        )
    kind = _format_of(path, file_format)
    if velocity_unit is not None and velocity_unit not in VELOCITY_UNITS:
        raise TrajectoryError(
            f"{path}: velocity_unit is {velocity_unit!r}; expected one of "
            f"{', '.join(VELOCITY_UNITS)}"
        )
    spooled = spool_frames(
        FORMATS[kind](path),
        path,
        until_damage=until_damage,
        remedy="open them with until_damage=True (in a recipe: foreign.until_damage: true)",
    )
    notes = [f"positions from {spooled.first.coordinates}"] if spooled.first.coordinates else []
    notes += _check_interval(spooled, frame_interval_fs, path)
    if spooled.damage:
        notes.append(f"{spooled.damage}; only the {len(spooled.cells)} frames before it are used")
    symbols = _species(spooled.first, species, path)
    velocities = None
    if spooled.velocities is not None:
        unit = _velocity_unit(spooled.first, velocity_unit, kind, path)
        velocities = replace(spooled.velocities, scale=VELOCITY_UNITS[unit])
        notes.append(f"velocities from {spooled.first.velocity_source}, taken as {unit}")
    return Trajectory(
        path=path,
        species=np.array(symbols),
        masses=masses_of(symbols, path),
        frame_interval_ps=frame_interval_fs * 1e-3,
        cells=spooled.cells,
        temperature_kelvin=temperature_kelvin,
        ensemble=ensemble,
        motion_convention=FRACTIONAL_DIFFERENCES,
        source=spooled.source,
        charges_e=None if charges is None else charges_of(symbols, charges, path),
        notes=tuple(notes),
        velocities=velocities,
    )


def _velocity_unit(first: RawFrame, given: str | None, kind: str, path: Path) -> str:
    told = first.velocity_unit
    if told and given not in (None, told):
        raise TrajectoryError(
            f"{path}: velocities from {first.velocity_source} are in {told}, but velocity_unit is "
            f"{given}; leave it out"
        )
    return told or given or _DEFAULT_VELOCITY_UNIT[kind]


def _format_of(path: Path, named: str | None) -> str:
    if named is not None:
        if named not in FORMATS:
            raise TrajectoryError(f"{path}: format {named!r} is none of {', '.join(FORMATS)}")
        return named
    name = path.name
    for suffix in (".gz", ".bz2", ".xz"):
        name = name.removesuffix(suffix)
    for ending, known in _ENDINGS.items():
        if name.endswith(ending):
            return known
    if "XDATCAR" in name:
        return "xdatcar"
    try:
        with open_lines(path) as lines:
            if lines.next().startswith("ITEM: "):
                return "lammps-dump"
    except DamagedFrameError as error:
        raise TrajectoryError(f"{path}: {error.what}") from error
    raise TrajectoryError(
        f"{path}: unknown trajectory format; expected an .extxyz or .xyz file, a LAMMPS text dump "
        "or a name with XDATCAR in it (packed or not). If it is one of these, type --set "
        f"foreign.format=NAME (in Python file_format=NAME) with one of {', '.join(FORMATS)}; else "
        "convert it to extxyz with `ase convert`"
    )


def _species(first: RawFrame, given: Sequence[str] | None, path: Path) -> list[str]:
    n_atoms = len(first.fractional)
    if given is None:
        return _named_in_file(first, path)
    names = list(given)
    by_type: list[str] | None = None
    n_types = 0 if first.types is None else int(first.types.max())
    # A longer list with an element twice is one an atom of which some are missing or too many.
    of_types = len(names) == n_types or (len(names) > n_types and len(set(names)) == len(names))
    if first.types is not None and first.types.min() >= 1 and of_types:
        by_type = [names[number - 1] for number in first.types.tolist()]
    if len(names) == n_atoms:
        few = len(set(names)) == n_atoms or n_types == n_atoms
        if by_type is not None and by_type != names and few:
            raise TrajectoryError(
                f"{path}: `species` has {n_atoms} names for {n_atoms} atoms and could name the "
                f"{n_types} types as well, which differs; dump with a column `element` "
                "(dump_modify element) and leave `species` out"
            )
        return names
    if by_type is None:
        types = f" of {n_types} types" if n_types else ""
        raise TrajectoryError(
            f"{path}: holds {n_atoms} atoms{types} but `species` names {len(names)}; name every "
            f"atom{', or every type' if n_types else ''}"
        )
    return by_type


def _named_in_file(first: RawFrame, path: Path) -> list[str]:
    hint = "type --set 'foreign.species=[Li, P, S]' (in Python species=[...])"
    if first.symbols is None:
        types = "" if first.types is None else f", only types 1 to {int(first.types.max())}"
        raise TrajectoryError(
            f"{path}: names no elements{types}; name the element of every type: {hint}"
        )
    symbols: list[str] = first.symbols.tolist()
    if set(symbols) == {"C"} and first.types is not None and np.ptp(first.types) > 0:
        raise TrajectoryError(
            f"{path}: the column `element` is C for every type, which LAMMPS writes where "
            f"dump_modify element is not set; name the element of every type: {hint}"
        )
    return symbols


def _check_interval(spooled: Spooled, frame_interval_fs: float, path: Path) -> list[str]:
    """Hold the interval against the steps and times of the file; return what it implies."""
    apart, units = spooled.time_apart, spooled.first.time_units_fs
    if apart is not None and units:
        if not any(np.isclose(apart * unit, frame_interval_fs, rtol=1e-3) for unit in units):
            times = " or ".join(f"{apart * unit:g} fs" for unit in units)
            raise TimeGridError(
                f"{path}: frames are {times} apart by their ITEM: TIME, but frame_interval_fs "
                f"(foreign.timestep_fs) is {frame_interval_fs:g}; it is the time between two "
                "stored frames, not the time step of the simulation"
            )
        return []
    steps = spooled.steps_apart
    if not isinstance(steps, int):
        return []
    step_fs = frame_interval_fs / steps
    if step_fs < _SHORTEST_MD_STEP_FS:
        raise TimeGridError(
            f"{path}: frames are {steps} steps apart, and {frame_interval_fs:g} fs between them "
            f"makes a time step of {step_fs:.3g} fs; frame_interval_fs (foreign.timestep_fs) is "
            f"the time between two stored frames: for a time step of 1 fs give {steps}. Shorter "
            "steps need a dump with times (dump_modify time yes)"
        )
    return [f"frames are {steps} steps apart, which makes a time step of {step_fs:.4g} fs"]
