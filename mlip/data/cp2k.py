"""Reader of a CP2K run directory: separate files joined by step number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip.data.cp2k_files import (
    ENERGY_TOLERANCE_HARTREE,
    Table,
    XyzFile,
    column,
    latest_rows,
    pressure_factor,
    read_table,
    read_xyz,
)
from mlip.data.cp2k_input import (
    Section,
    ensemble,
    fixed_cell,
    force_unit,
    parse_input,
    position_unit,
    read_level,
)
from mlip.data.cp2k_output import Log, is_log, places_in_log, read_log
from mlip.data.frames import EV_PER_ANGSTROM3_GPA, HARTREE_EV, FloatArray, Frames, IntArray, select
from mlip.data.sources import SUFFIXES, read_text
from mlip.errors import DataError, UnitError

HARTREE = {"a.u.": HARTREE_EV, "hartree": HARTREE_EV, "Hartree": HARTREE_EV}
# Rounding of the temperature trace and of the constants of CP2K versions.
PRESSURE_TOLERANCE_GPA = 2e-3


@dataclass(frozen=True)
class RunFiles:
    """The files of one run; empty lists and None where a run has no such file."""

    positions: Path
    forces: Path
    energies: Path
    cells: Path | None
    stress: Path | None
    settings: Path
    logs: tuple[Path, ...]
    reference: Path | None

    def all(self) -> tuple[Path, ...]:
        """Return every file that is read."""
        single = [self.positions, self.forces, self.energies, self.cells, self.stress]
        return (*(p for p in [*single, self.settings, self.reference] if p), *self.logs)


def cp2k_files(directory: Path) -> RunFiles:
    """Find the files of the run in `directory`; each may be compressed.

    Raises
    ------
    DataError
        Naming each file that is missing, or that occurs more than once.
    """
    if not directory.is_dir():
        raise DataError(f"{directory}: no such directory. Format cp2k reads a run directory.")
    positions = _one(directory, "*-pos-1.xyz", "the position trajectory")
    prefix = positions.name.split("-pos-1.xyz")[0]
    settings = _maybe(directory, f"{prefix}.inp") or _maybe(directory, "*.inp")
    settings = settings or _maybe(directory, f"{prefix}-1.restart")
    if settings is None:
        raise DataError(
            f"{directory}: no *.inp and no {prefix}-1.restart. The units of the trajectories and "
            "the DFT level are read from it; put the input beside the run."
        )
    reference = parse_input(read_text(settings), settings).find("MOTION/MD/REFTRAJ")
    name = reference.value("TRAJ_FILE_NAME")
    return RunFiles(
        positions=positions,
        forces=_one(directory, f"{prefix}-frc-1.xyz", "the force trajectory"),
        energies=_one(directory, f"{prefix}-1.ener", "the energies"),
        cells=_maybe(directory, f"{prefix}-1.cell"),
        stress=_maybe(directory, f"{prefix}-1.stress"),
        settings=settings,
        logs=tuple(_logs(directory)),
        reference=_maybe(directory, Path(name).name) if name else None,
    )


def read_cp2k(directory: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read a CP2K MD or REFTRAJ run.

    The virial is V times the stress tensor of the log, which holds the potential part only
    and is positive under compression. The ``.stress`` file is the total; its trace must be
    that of the log plus 2 E_kin / 3V. Without a log there is no virial.

    Parameters
    ----------
    directory : Path
    timestep_fs : float, optional
        Time between frames of a REFTRAJ run whose files carry no times.

    Returns
    -------
    list of Frames
        One entry, sorted by step; of a repeated step the later copy.

    Raises
    ------
    DataError
        If a file is missing or torn, or sets of steps, atoms or energies disagree.
    UnitError
        If a unit is unknown, or stress file, log and kinetic energy do not fit together.
    """
    files = cp2k_files(directory)
    root = parse_input(read_text(files.settings), files.settings)
    positions, forces = read_xyz(files.positions), read_xyz(files.forces)
    if positions.symbols != forces.symbols:
        raise DataError(f"{files.forces}: other atoms than {files.positions.name}.")
    energies = read_table(files.energies)
    energy_steps = _table_steps(energies, files.energies)
    rows = {
        files.positions.name: latest_rows(positions.steps),
        files.forces.name: latest_rows(forces.steps),
        files.energies.name: latest_rows(energy_steps),
    }
    if files.cells is not None:
        cells = read_table(files.cells)
        rows[files.cells.name] = latest_rows(_table_steps(cells, files.cells))
    if files.stress is not None:
        stress = read_table(files.stress)
        rows[files.stress.name] = latest_rows(_table_steps(stress, files.stress))
    steps = _common_steps(rows, directory)

    def picked(path: Path, array: FloatArray) -> FloatArray:
        return array[[rows[path.name][step] for step in steps]]

    potential = picked(files.energies, column(energies, "Pot.", HARTREE, files.energies))
    kinetic = picked(files.energies, column(energies, "Kin.", HARTREE, files.energies))
    if files.cells is not None:
        axes = [
            column(cells, f"{a}{x}", {"Angstrom": 1.0}, files.cells) for a in "ABC" for x in "xyz"
        ]
        box = picked(files.cells, np.stack(axes, axis=1)).reshape(-1, 3, 3)
    else:
        box = np.tile(fixed_cell(root, files.settings), (len(steps), 1, 1))
    titles = picked(files.positions, positions.energies_hartree) * HARTREE_EV
    _same_energies(titles, potential, steps, files.positions, files.energies)

    logs = sorted((read_log(path) for path in files.logs), key=lambda log: log.started)
    kind = next((log.ensemble for log in logs if log.ensemble), ensemble(root))
    level = read_level(root)
    notes = [f"CP2K ensemble {kind}"]
    repeated = len(positions.steps) - len(steps)
    if repeated:
        notes.append(f"{repeated} repeated steps of a restarted run: the later copy was kept")
    virials, converged, origin = None, np.ones(len(steps), dtype=bool), ""
    if logs:
        level["version"] = logs[-1].version
        pressure, converged = _from_logs(logs, potential, steps, files)
        volumes = np.abs(np.linalg.det(box))
        if pressure is None:
            notes.append("the log holds no stress tensor, so there is no virial")
        else:
            virials = pressure * volumes[:, None, None] / EV_PER_ANGSTROM3_GPA
            origin = "stress tensor of the CP2K log, which is the potential part"
            if files.stress is not None and kind != "REFTRAJ":
                total = picked(files.stress, _stress_trace_gpa(stress, files.stress))
                origin += "; " + _cross_check(total, pressure, kinetic, volumes, files.stress)
    else:
        notes.append(
            "no log: no virial (the .stress file holds the kinetic part) and SCF not checked"
        )
    frames = Frames(
        symbols=positions.symbols,
        coords=picked(files.positions, positions.values) * position_unit(root, files.settings),
        cells=box,
        energies=potential,
        forces=picked(files.forces, forces.values) * force_unit(root, files.settings),
        virials=virials,
        steps=steps,
        times_ps=_times(kind, root, files, energies, rows, steps, timestep_fs),
        files=files.all(),
        level=level,
        virial_origin=origin,
        unconverged=int((~converged).sum()) if logs else None,
        notes=tuple(notes),
    )
    return [select(frames, np.flatnonzero(converged))]


def _common_steps(rows: dict[str, dict[int, int]], directory: Path) -> IntArray:
    every = set().union(*rows.values())
    faults = []
    for name, found in rows.items():
        if missing := sorted(every - set(found)):
            shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            faults.append(f"{name} lacks {len(missing)} of {len(every)} steps ({shown})")
    if faults:
        raise DataError(
            f"{directory}: the files hold different steps: {'; '.join(faults)}. Print all of them "
            "with the same EACH, or remove the steps that are not in every file."
        )
    return np.array(sorted(every), dtype=np.int64)


def _table_steps(table: Table, path: Path) -> IntArray:
    name = "Step Nr." if "Step Nr." in table.columns else "Step"
    return column(table, name, {"": 1.0}, path).astype(np.int64)


def _same_energies(
    titles: FloatArray, energies: FloatArray, steps: IntArray, first: Path, second: Path
) -> None:
    bad = np.abs(titles - energies) > ENERGY_TOLERANCE_HARTREE * HARTREE_EV
    if bad.any():
        k = int(np.argmax(bad))
        raise DataError(
            f"{first}: step {steps[k]} has energy {titles[k] / HARTREE_EV:.9f} hartree, "
            f"{second.name} has {energies[k] / HARTREE_EV:.9f}. The files are of different runs."
        )


def _from_logs(
    logs: list[Log], potential: FloatArray, steps: IntArray, files: RunFiles
) -> tuple[FloatArray | None, np.ndarray]:
    """Find each step in the logs by its energy; the order must be that of the steps."""
    evaluations = [evaluation for log in logs for evaluation in log.evaluations]
    names = ", ".join(path.name for path in files.logs)
    found = places_in_log(potential / HARTREE_EV, evaluations)
    if (found < 0).any():
        k = int(np.flatnonzero(found < 0)[-1])
        energy = potential[k] / HARTREE_EV
        gap = min((abs(e.energy_hartree - energy) for e in evaluations), default=np.nan)
        raise DataError(
            f"{files.energies}: step {steps[k]} has {energy:.9f} hartree, which is not in its "
            f"place in the log ({names}; nearest off by {gap:.2g} hartree). The log is truncated "
            "or of another run; complete it, or move it away to go without."
        )
    chosen = [evaluations[k] for k in found]
    converged = np.array([frame.converged for frame in chosen])
    missing = [int(s) for s, frame in zip(steps, chosen, strict=True) if frame.stress_gpa is None]
    if len(missing) == len(chosen):
        return None, converged
    if missing:
        raise DataError(
            f"{files.energies.parent}: {names} has no stress tensor "
            f"for {len(missing)} of {len(chosen)} steps (first: {missing[0]}). The log is cut off."
        )
    return np.array([frame.stress_gpa for frame in chosen]), converged


def _stress_trace_gpa(table: Table, path: Path) -> FloatArray:
    unit = table.units.get("xx", "")
    units = {unit: pressure_factor(unit, path)}
    diagonal = [column(table, name, units, path) for name in ("xx", "yy", "zz")]
    return np.mean(diagonal, axis=0, dtype=np.float64)


def _cross_check(
    total: FloatArray, potential: FloatArray, kinetic: FloatArray, volumes: FloatArray, path: Path
) -> str:
    """Require P_total - P_potential = 2 E_kin / 3V (virial theorem) in the mean over frames."""
    from_log = np.trace(potential, axis1=1, axis2=2) / 3.0
    gas = 2.0 * kinetic / (3.0 * volumes) * EV_PER_ANGSTROM3_GPA
    off = float(np.mean(np.abs(total - from_log - gas)))
    if off > PRESSURE_TOLERANCE_GPA:
        raise UnitError(
            f"{path}: total pressure minus that of the log is {np.mean(total - from_log):.4f} GPa "
            f"in the mean, but 2 E_kin / 3V is {np.mean(gas):.4f} GPa (mean mismatch {off:.2g}, "
            f"allowed {PRESSURE_TOLERANCE_GPA}). Log and stress file are of different runs, or "
            "another unit than they name."
        )
    return f"the .stress file less 2 E_kin/3V ({np.mean(gas):.3f} GPa) agrees to {off:.1e} GPa"


def _times(
    kind: str,
    root: Section,
    files: RunFiles,
    energies: Table,
    rows: dict[str, dict[int, int]],
    steps: IntArray,
    timestep_fs: float | None,
) -> FloatArray | None:
    """Return times in ps; of a REFTRAJ run those of the trajectory it was given."""
    times = column(energies, "Time", {"fs": 1e-3}, files.energies)
    times = times[[rows[files.energies.name][step] for step in steps]]
    if kind != "REFTRAJ":
        return times
    # CP2K writes time 0 for every frame of a REFTRAJ run.
    if files.reference is not None:
        given: XyzFile = read_xyz(files.reference)
        section = root.find("MOTION/MD/REFTRAJ")
        first = int(section.value("FIRST_SNAPSHOT", "1"))
        stride = int(section.value("STRIDE", "1"))
        index = first - 1 + (steps - 1) * stride
        if index.max() < len(given.steps):
            stamps = given.times_fs[index] * 1e-3
            if np.all(np.diff(stamps) > 0):
                return stamps
    if timestep_fs is not None:
        return (steps - steps[0]) * timestep_fs * 1e-3
    return None


def _maybe(directory: Path, pattern: str) -> Path | None:
    found = sorted(path for suffix in SUFFIXES for path in directory.glob(pattern + suffix))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{directory}: expected one {pattern}, found {names}. Keep one run each.")
    return found[0] if found else None


def _one(directory: Path, pattern: str, what: str) -> Path:
    found = _maybe(directory, pattern)
    if found is None:
        raise DataError(f"{directory}: no {pattern}[.gz] ({what}); format cp2k needs it.")
    return found


def _logs(directory: Path) -> list[Path]:
    names = [f"{pattern}{suffix}" for pattern in ("*.out", "*.log") for suffix in SUFFIXES]
    found = sorted(path for pattern in names for path in directory.glob(pattern))
    return [path for path in found if is_log(path)]
