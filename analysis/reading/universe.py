"""MDAnalysis universes as trajectories: any format that MDAnalysis reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import TimeGridError, TrajectoryError
from analysis.reading.spool import RawFrame, check_unwrapped, spool_frames
from analysis.trajectory import FRACTIONAL_DIFFERENCES, PositionSource, Trajectory, masses_of

# What MDAnalysis says where a file holds no time at all.
_MDANALYSIS_DEFAULT_PS = 1.0


@dataclass(frozen=True)
class _UniverseSource:
    """Reads through `universe.trajectory` and leaves it at the frame where it was."""

    universe: Any

    def read(self, start: int, stop: int, ids: IntArray | slice) -> FloatArray:
        n_ids = len(np.arange(len(self.universe.atoms))[ids])
        positions = np.empty((stop - start, n_ids, 3))
        frames = self.universe.trajectory
        current = frames.frame
        for index in range(start, stop):
            positions[index - start] = frames[index].positions[ids]
        frames[current]
        return positions


def open_universe(
    universe: Any,
    *,
    wrapped: bool,
    frame_interval_ps: float | None = None,
    species: Sequence[str] | None = None,
    temperature_kelvin: float | None = None,
) -> Trajectory:
    """Adapt an MDAnalysis universe, with the transformations attached to it.

    Every frame is read once, now, for cells and times. Positions are read through the universe
    when they are asked for (in single precision, as MDAnalysis holds them); where `wrapped`, they
    are unwrapped into a temporary file, see `analysis.open_foreign`.

    Parameters
    ----------
    universe : MDAnalysis.Universe
        It must live, and keep its trajectory, as long as the result is used.
    wrapped : bool
        Whether atoms jump back into the cell when they leave it. MDAnalysis does not know;
        whoever wrote the trajectory does. False is refused where atoms do jump.
    frame_interval_ps : float, optional
        Time between frames. By default what the universe says, which is refused if it may be
        the 1 ps that MDAnalysis assumes where a file holds no time.
    species : sequence of N str, optional
        Chemical symbols; by default the elements of the universe.
    temperature_kelvin : float, optional

    Returns
    -------
    Trajectory
        Cell vectors in rows, a along x and b in the xy plane, as MDAnalysis has them;
        charges where the universe has them.

    Raises
    ------
    AmbiguousMotionError
        If a wrapped atom moves by more than 0.4 of the cell between two frames, or `wrapped` is
        False and atoms jump back into the cell.
    TimeGridError
        If the time between frames is unknown or changes.
    TrajectoryError
        If a frame has no cell, or elements are unknown.
    """
    frames = universe.trajectory
    path = Path(str(getattr(frames, "filename", None) or "universe"))
    current = frames.frame
    symbols = _species(universe, species, path)
    interval = _interval(frames, frame_interval_ps, path)
    source: PositionSource
    if wrapped:
        spooled = spool_frames(
            _raw_frames(universe, path, unwrapped=False), path, until_damage=False, remedy=""
        )
        source, cells = spooled.source, spooled.cells
    else:
        cells = _scan(universe, path)
        source = _UniverseSource(universe)
    frames[current]
    return Trajectory(
        path=path,
        species=np.array(symbols),
        masses=masses_of(symbols, path),
        frame_interval_ps=interval,
        cells=cells,
        temperature_kelvin=temperature_kelvin,
        ensemble="unknown",
        motion_convention=FRACTIONAL_DIFFERENCES,
        source=source,
        charges_e=_charges(universe),
        notes=("positions through MDAnalysis, in single precision",),
    )


def _scan(universe: Any, path: Path) -> FloatArray:
    """Return the cells of all frames; refuse atoms that jump back into the cell."""
    cells = []
    previous: RawFrame | None = None
    for index, frame in enumerate(_raw_frames(universe, path, unwrapped=True)):
        if previous is not None:
            check_unwrapped(
                previous, frame, path, index, remedy="open the universe with wrapped=True"
            )
        previous = frame
        cells.append(frame.cell)
    return np.array(cells)


def _raw_frames(universe: Any, path: Path, *, unwrapped: bool) -> Iterator[RawFrame]:
    for index, step in enumerate(universe.trajectory):
        cell = None if step.dimensions is None else step.triclinic_dimensions
        if cell is None or not abs(np.linalg.det(cell)) > 0.0:
            raise TrajectoryError(
                f"{path}: frame {index} has no cell; set one with the transformation "
                "MDAnalysis.transformations.set_dimensions"
            )
        if not np.isfinite(step.positions).all():
            raise TrajectoryError(
                f"{path}: frame {index} holds positions that are not finite; "
                "open a universe of the frames before it"
            )
        cell = np.array(cell, dtype=float)
        positions = np.array(step.positions, dtype=float)
        yield RawFrame(fractional=positions @ np.linalg.inv(cell), cell=cell, unwrapped=unwrapped)


def _species(universe: Any, given: Sequence[str] | None, path: Path) -> list[str]:
    n_atoms = len(universe.atoms)
    if given is None:
        # MDAnalysis knows elements that it could not read as empty strings.
        given = [str(name).capitalize() for name in getattr(universe.atoms, "elements", [])]
        if not given or "" in given:
            raise TrajectoryError(
                f"{path}: the universe names no elements; give `species`, one name an atom"
            )
    if len(given) != n_atoms:
        raise TrajectoryError(
            f"{path}: holds {n_atoms} atoms but `species` names {len(given)}; name every atom"
        )
    return list(given)


def _charges(universe: Any) -> FloatArray | None:
    charges = getattr(universe.atoms, "charges", None)
    return None if charges is None else np.array(charges, dtype=float)


def _interval(frames: Any, given: float | None, path: Path) -> float:
    """Return the time between frames, ps, if the times of all frames bear it out."""
    times = np.array([step.time for step in frames], dtype=float)
    apart = float(np.diff(times).mean()) if len(times) > 1 else float(frames.dt)
    # Times of some formats are in single precision; a frame too many or too few is a whole one.
    expected = times[0] + apart * np.arange(len(times))
    irregular = np.abs(times - expected) > 0.1 * abs(apart) + 1e-6 * np.abs(times)
    if irregular.any():
        frame = int(np.flatnonzero(irregular)[0])
        raise TimeGridError(
            f"{path}: frame {frame} is at {times[frame]:g} ps, {expected[frame]:g} ps if frames "
            "were equally spaced; open a universe with a regular subset"
        )
    if given is not None:
        if given <= 0:
            raise TimeGridError(f"{path}: frame_interval_ps is {given}; it must be positive")
        return given
    known = float(frames.dt)
    if known == _MDANALYSIS_DEFAULT_PS or apart <= 0 or not np.isclose(known, apart, rtol=1e-3):
        raise TimeGridError(
            f"{path}: MDAnalysis says {known:g} ps a frame and frames are {apart:g} ps apart; it "
            f"says {_MDANALYSIS_DEFAULT_PS:g} where a file holds no time; give frame_interval_ps"
        )
    return known
