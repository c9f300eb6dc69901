"""Checks of energies and forces: net force, size, and dE = -F dx."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip.data.check import SHOWN, Check
from mlip.data.frames import FloatArray, Frames
from mlip.data.split import System, frame_label
from mlip.data.thresholds import limit
from mlip.errors import UnitError

# Third-order terms of the trapezoid are a few per cent at this distance.
NEIGHBOUR_RMSD_ANGSTROM = 0.2
FEWEST_PAIRS = 8
MOST_PAIRS = 200
LOOK_AHEAD = 200


@dataclass(frozen=True)
class WorkSlopes:
    """Energy differences of neighbouring frames over the work of forces and stress.

    Attributes
    ----------
    force, force_error : float
        Slope against -sum F dx and its standard error; 1 when units agree.
    strain, strain_error : float or None
        Slope against -W : strain; None if cells do not differ or there is no virial.
    pairs : int
        Pairs of frames used.
    """

    force: float
    force_error: float
    strain: float | None
    strain_error: float | None
    pairs: int


def net_force(systems: list[System]) -> Check:
    """Compare the net force of each frame with the square root of the number of atoms."""
    worst, label, bad = 0.0, "", []
    for system in systems:
        forces = system.frames.forces
        size = np.linalg.norm(forces.sum(axis=1), axis=1) / np.sqrt(forces.shape[1])
        bad += [frame_label(system, int(k)) for k in np.flatnonzero(size > limit("net_force_warn"))]
        if size.max() >= worst:
            worst, label = float(size.max()), frame_label(system, int(size.argmax()))
    failed = worst > limit("net_force_fail")
    unit = "eV/Å per sqrt(atoms)"
    if failed or bad:
        text = (
            f"{len(bad)} frames have a net force that momentum conservation forbids; a finer "
            "grid (cutoff) or complete forces are needed"
        )
        return Check(
            "net force",
            worst,
            unit,
            limit("net_force_fail" if failed else "net_force_warn"),
            "fail" if failed else "warn",
            tuple(bad[:SHOWN]),
            text,
        )
    return Check(
        "net force", worst, unit, limit("net_force_warn"), "pass", (label,), "forces sum to zero"
    )


def largest_force(systems: list[System]) -> Check:
    """Report the largest force on an atom, and the root mean square."""
    sizes = [np.linalg.norm(system.frames.forces, axis=2).max(axis=1) for system in systems]
    worst = max(range(len(systems)), key=lambda k: float(sizes[k].max()))
    value = float(sizes[worst].max())
    rms = [float(np.sqrt((system.frames.forces**2).mean())) for system in systems]
    over = value > limit("largest_force_warn")
    frame = int(sizes[worst].argmax())
    return Check(
        "largest force",
        value,
        "eV/Å",
        limit("largest_force_warn"),
        "warn" if over else "pass",
        (frame_label(systems[worst], frame),),
        f"component rms {min(rms):.2f} to {max(rms):.2f} eV/Å by system"
        + ("; few such frames dominate the loss: consider removing them" if over else ""),
    )


def energy_range(systems: list[System]) -> Check:
    """Report the largest spread of the energy per atom within a system."""
    spreads = [float(np.ptp(s.frames.energies)) / len(s.frames.symbols) for s in systems]
    worst = int(np.argmax(spreads))
    frames = systems[worst].frames
    over = spreads[worst] > limit("energy_range_warn")
    mean = frames.energies.mean()
    outlier = int(np.abs(frames.energies - mean).argmax())
    return Check(
        "energy range",
        spreads[worst],
        "eV/atom",
        limit("energy_range_warn"),
        "warn" if over else "pass",
        (frame_label(systems[worst], outlier),),
        "largest spread within one system"
        + ("; look at the frame farthest from the mean" if over else ""),
    )


def force_energy(systems: list[System], slopes_of: dict[str, WorkSlopes | None]) -> Check:
    """Check that forces are the derivative of the energy, dE = -sum F dx.

    Parameters
    ----------
    systems : list of System
    slopes_of : dict
        `work_slopes` of each system, by name.

    Raises
    ------
    UnitError
        If the slope is outside its window by three standard errors.
    """
    low, high = limit("force_slope_low"), limit("force_slope_high")
    worst: WorkSlopes | None = None
    name = ""
    for system in systems:
        slopes = slopes_of[system.name]
        if slopes is None or slopes.force_error > 0.15:
            continue
        if slopes.force + 3 * slopes.force_error < low or (
            slopes.force - 3 * slopes.force_error > high
        ):
            raise UnitError(
                f"{system.name} ({system.frames.files[0]}): energy differences of neighbouring "
                f"frames are {slopes.force:.3g} +- {slopes.force_error:.1g} times the work of the "
                "forces; expected 1 for eV and eV/Å. A slope of 51 or 0.02 means hartree/bohr, "
                "27 or 0.04 energies in hartree, a negative one the sign."
            )
        if worst is None or abs(slopes.force - 1) > abs(worst.force - 1):
            worst, name = slopes, system.name
    if worst is None:
        return Check(
            "force and energy",
            None,
            "none",
            None,
            "undecided",
            (),
            "no frames near enough to each other to compare dE with -F dx",
        )
    return Check(
        "force and energy",
        worst.force,
        "none",
        low,
        "pass",
        (),
        f"dE over -F dx in {name}, farthest from 1 ({worst.pairs} pairs, "
        f"+- {worst.force_error:.2f})",
    )


def work_slopes(frames: Frames) -> WorkSlopes | None:
    """Regress energy differences of near frames on the work of forces and stress.

    dE = -sum F dx - W : strain with trapezoid means, where dx is the mean cell times the
    difference of fractional coordinates (nearest image) and W = -V stress (definition of
    the stress as the strain derivative of the energy; Nielsen and Martin,
    doi 10.1103/PhysRevB.32.3780).

    Parameters
    ----------
    frames : Frames

    Returns
    -------
    WorkSlopes or None
        None if fewer than `FEWEST_PAIRS` pairs of frames are within 0.2 Å (rms per atom).
    """
    count = len(frames)
    scaled = frames.coords @ np.linalg.inv(frames.cells)
    starts = np.unique(np.linspace(0, max(count - 2, 0), min(count, 400)).astype(int))
    found: list[tuple[float, float, float, float]] = []
    for i in starts:
        others = np.arange(i + 1, min(count, i + 1 + LOOK_AHEAD))
        if len(others) == 0:
            continue
        step = scaled[others] - scaled[i]
        step -= np.rint(step)
        cells = 0.5 * (frames.cells[others] + frames.cells[i])
        moved = step @ cells
        rmsd = np.sqrt((moved**2).sum(axis=2).mean(axis=1))
        near = int(rmsd.argmin())
        j = int(others[near])
        if rmsd[near] > NEIGHBOUR_RMSD_ANGSTROM or rmsd[near] == 0.0:
            continue
        force_work = -float(np.sum(0.5 * (frames.forces[i] + frames.forces[j]) * moved[near]))
        strain_work = 0.0
        if frames.virials is not None:
            strain = np.linalg.inv(cells[near]) @ (frames.cells[j] - frames.cells[i])
            strain_work = -float(np.sum(0.5 * (frames.virials[i] + frames.virials[j]) * strain))
        energy = float(frames.energies[j] - frames.energies[i])
        found.append((float(rmsd[near]), energy, force_work, strain_work))
    if len(found) < FEWEST_PAIRS:
        return None
    table = np.array(sorted(found)[:MOST_PAIRS])
    return _fit(table[:, 1], table[:, 2], table[:, 3])


def _fit(energy: FloatArray, force_work: FloatArray, strain_work: FloatArray) -> WorkSlopes:
    strained = bool(np.any(strain_work != 0.0))
    columns = [force_work, strain_work] if strained else [force_work]
    matrix = np.stack(columns, axis=1)
    slope = np.linalg.lstsq(matrix, energy, rcond=None)[0]
    left = energy - matrix @ slope
    variance = float(left @ left) / max(1, len(energy) - len(columns))
    error = np.sqrt(np.diag(np.linalg.pinv(matrix.T @ matrix)) * variance)
    return WorkSlopes(
        force=float(slope[0]),
        force_error=float(error[0]),
        strain=float(slope[1]) if strained else None,
        strain_error=float(error[1]) if strained else None,
        pairs=len(energy),
    )
