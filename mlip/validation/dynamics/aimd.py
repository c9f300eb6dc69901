"""Reading an ab initio trajectory, and the cell and structure that the potential starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import ase
import ase.io
import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError
from analysis.reading.foreign import open_foreign
from analysis.reading.runs import open_run
from analysis.trajectory import PositionSource, Trajectory
from mlip.errors import DataError, RecipeError
from mlip.files import replacing
from mlip.recipes.dynamics import AimdReference

MINIMUM_FRAMES = 8


@dataclass(frozen=True)
class _PartSource:
    source: PositionSource
    first: int

    def read(self, start: int, stop: int, ids: IntArray | slice) -> FloatArray:
        return self.source.read(self.first + start, self.first + stop, ids)


def part(trajectory: Trajectory, start: int, stop: int) -> Trajectory:
    """Return the frames from `start` to before `stop` as a trajectory of their own."""
    return replace(
        trajectory,
        cells=trajectory.cells[start:stop],
        source=_PartSource(trajectory.source, start),
    )


def read_aimd(reference: AimdReference, path: Path, folder: Path) -> Trajectory:
    """Open an ab initio trajectory without its equilibration.

    Parameters
    ----------
    reference : AimdReference
    path : Path
        Of the run directory or file.
    folder : Path
        Where the frames of a CP2K run are kept as one file.

    Returns
    -------
    Trajectory

    Raises
    ------
    DataError
        If it cannot be read, frames are not evenly spaced, or too few are left.
    RecipeError
        If the time between frames is not known.
    """
    try:
        if not path.is_dir():
            whole = _file(reference, path, path)
        elif (path / "trajectory.json").is_file():
            whole = open_run(path)
        else:
            whole = _cp2k(reference, path, folder)
    except AnalysisError as error:
        raise DataError(f"dynamics.aimd {reference.name}: {error}") from error
    skipped = round(reference.skip_ps / whole.frame_interval_ps)
    left = whole.n_frames - skipped
    if left < MINIMUM_FRAMES:
        raise DataError(
            f"{path}: {whole.n_frames} frames over {whole.duration_ps:g} ps, {max(left, 0)} after "
            f"skip_ps {reference.skip_ps:g}; a comparison takes {MINIMUM_FRAMES} or more."
        )
    return part(whole, skipped, whole.n_frames)


def start_structure(trajectory: Trajectory) -> ase.Atoms:
    """Return the first frame in the mean cell of the trajectory, positions scaled along."""
    first = next(iter(trajectory.frames()))
    fractional = first.positions @ np.linalg.inv(first.cell)
    return ase.Atoms(
        trajectory.species.tolist(),
        scaled_positions=fractional,
        cell=trajectory.cells.mean(axis=0),
        pbc=True,
    )


def _file(reference: AimdReference, path: Path, named: Path) -> Trajectory:
    if reference.frame_interval_fs is None:
        raise RecipeError(
            f"dynamics.aimd {reference.name}: {named} does not tell the time between its frames. "
            "Give frame_interval_fs (time step times stored stride)."
        )
    return open_foreign(
        path,
        frame_interval_fs=reference.frame_interval_fs,
        temperature_kelvin=reference.temperature_kelvin,
    )


def _cp2k(reference: AimdReference, directory: Path, folder: Path) -> Trajectory:
    """Read a CP2K run through its frames written as one file, which is unwrapped on opening."""
    from mlip.data.cp2k import read_cp2k

    (frames,) = read_cp2k(directory)
    if frames.times_ps is None:
        raise DataError(f"{directory}: the run has no time axis, so it shows no dynamics.")
    steps = np.diff(frames.times_ps)
    if len(steps) < 2 or np.ptp(steps) > 1e-3 * steps.mean():
        raise DataError(
            f"{directory}: frames are {steps.min():g} to {steps.max():g} ps apart; dynamics need "
            "evenly spaced frames. Frames whose SCF did not converge leave a gap; use skip_ps."
            if len(steps)
            else f"{directory}: a single frame shows no dynamics."
        )
    path = folder / "aimd.extxyz"
    images = [
        ase.Atoms(frames.symbols, positions, cell=cell, pbc=True)
        for positions, cell in zip(frames.coords, frames.cells, strict=True)
    ]
    with replacing(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")
    timed = reference.model_copy(update={"frame_interval_fs": 1e3 * float(steps.mean())})
    return _file(timed, path, directory)
