"""The three engines of the parity gate: their input, their jobs and what they answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.deepmd import (
    Predicted,
    Prediction,
    dp_test_job,
    in_one_process,
    predict_job,
    read_prediction,
    read_test_details,
)
from mlip.engines.lammps import lammps_job, single_point_script
from mlip.engines.lammps_output import read_single_point
from mlip.execution.job import Job, Resources
from mlip.execution.local import visible_gpus
from mlip.files import write_text
from mlip.model_directory import ModelDirectory
from mlip.validation.parity_frames import ParityFrames, write_lammps_data, write_test_system
from mlip.validation.reference import FloatArray

TEST, PYTHON, LAMMPS = "dp test", "Python", "LAMMPS run 0"
REORDERED = "LAMMPS with types and atoms in another order"
SYSTEMS, TEST_PREFIX = "systems", "test"


@dataclass(frozen=True)
class Evaluation:
    """What one engine says about one model on all parity frames, frame by frame.

    Attributes
    ----------
    energies : tuple of float
        Per atom, eV.
    forces : tuple of ndarray, shape (N, 3)
        eV/Å.
    virials : tuple of ndarray, shape (3, 3)
        Per atom, eV.
    """

    energies: tuple[float, ...]
    forces: tuple[FloatArray, ...]
    virials: tuple[FloatArray, ...]


def write_frames(frames: Sequence[ParityFrames], work: Path, type_map: Sequence[str]) -> None:
    """Write the frames in the form that each engine reads."""
    work.mkdir(parents=True, exist_ok=True)
    for k, group in enumerate(frames):
        write_test_system(_system(work, k), group, type_map)
        np.savez(
            work / f"frames_{k}.npz",
            coords=group.coords,
            cells=group.cells,
            symbols=np.array(group.symbols),
        )
        for i in range(len(group.coords)):
            write_lammps_data(work / f"frame_{k}_{i}.data", group, i, type_map)
            write_lammps_data(
                work / f"reordered_{k}_{i}.data",
                group,
                i,
                reordered_types(type_map),
                reordered_atoms(len(group.symbols)),
            )


def python_job(model: ModelDirectory, groups: int, work: Path) -> Job:
    """Return the one job that evaluates all potentials in Python."""
    predictions = [
        Prediction(file.resolve(), work / f"frames_{k}.npz", work / file.stem / f"python_{k}.npz")
        for file in model.files
        for k in range(groups)
    ]
    for prediction in predictions:
        prediction.output.parent.mkdir(parents=True, exist_ok=True)
    return predict_job("Python", work, predictions)


def dp_test_jobs(model: ModelDirectory, work: Path) -> list[Job]:
    """Return what runs ``dp test`` with all potentials on all frames."""
    jobs = [
        dp_test_job(
            f"dp test {file.stem}", work / file.stem, file.resolve(), work / SYSTEMS, TEST_PREFIX
        )
        for file in model.files
    ]
    for job in jobs:
        job.directory.mkdir(parents=True, exist_ok=True)
    together = in_one_process("dp test", work / "test.screen", jobs)
    return jobs if together is None else [together]


def lammps_points(
    file: Path, model: ModelDirectory, frames: Sequence[ParityFrames], work: Path
) -> Job:
    """Return the job that evaluates one potential in LAMMPS on all frames.

    LAMMPS evaluates every frame twice: as it is, and with atom types and atoms numbered in
    another order, elements named accordingly. One frame is also evaluated with the elements
    named in a wrong order.
    """
    folder = work / file.stem
    folder.mkdir(parents=True, exist_ok=True)
    file = file.resolve()
    points = [
        single_point_script(
            work / f"{stem}_{k}_{i}.data",
            file,
            elements,
            folder / f"{stem}_{k}_{i}.dump",
            folder / f"{stem}_{k}_{i}.out",
        )
        for k, group in enumerate(frames)
        for i in range(len(group.coords))
        for stem, elements in (
            ("frame", model.type_map),
            ("reordered", reordered_types(model.type_map)),
        )
    ]
    if len(model.type_map) > 1:
        points.append(
            single_point_script(
                work / "frame_0_0.data",
                file,
                permuted_order(model),
                folder / "permuted_0_0.dump",
                folder / "permuted_0_0.out",
            )
        )
    script = folder / "in.parity"
    write_text(script, "clear\n".join(points))
    return lammps_job(
        f"LAMMPS {file.stem}",
        folder,
        script,
        folder / "log.parity",
        resources=Resources(gpus=min(1, len(visible_gpus()))),
    )


def reordered_types(type_map: Sequence[str]) -> tuple[str, ...]:
    """Return the elements as LAMMPS types may be numbered as well: in reverse."""
    return tuple(reversed(type_map))


def reordered_atoms(count: int) -> NDArray[np.int64]:
    """Return which atom comes at each place of a shuffled frame."""
    return np.random.default_rng(count).permutation(count)


def permuted_order(model: ModelDirectory) -> tuple[str, ...]:
    """Return the elements in an order that is wrong for this model."""
    return (*model.type_map[1:], model.type_map[0])


def permuted_forces(file: Path, frames: Sequence[ParityFrames], work: Path) -> FloatArray:
    """Read the forces (N, 3), eV/Å, on the first frame under the permuted element order."""
    first = ParityFrames(
        frames[0].name,
        frames[0].cell_kinds[:1],
        frames[0].symbols,
        frames[0].coords[:1],
        frames[0].cells[:1],
    )
    return _read_lammps(work / file.stem, first, 0, "permuted").forces[0]


def evaluations(file: Path, frames: Sequence[ParityFrames], work: Path) -> dict[str, Evaluation]:
    """Read what every engine found for one potential."""
    folder = work / file.stem
    shapes = {_system(work, k): group.coords.shape[:2] for k, group in enumerate(frames)}
    tested = read_test_details(folder, TEST_PREFIX, shapes)
    return {
        TEST: _collect(frames, lambda k, atoms: tested[_system(work, k)]),
        PYTHON: _collect(frames, lambda k, atoms: read_prediction(folder / f"python_{k}.npz")),
        LAMMPS: _collect(frames, lambda k, atoms: _read_lammps(folder, frames[k], k, "frame")),
        REORDERED: _collect(frames, lambda k, atoms: _read_reordered(folder, frames[k], k)),
    }


def _system(work: Path, k: int) -> Path:
    return work / SYSTEMS / f"system_{k}"


def _collect(frames: Sequence[ParityFrames], read: Callable[[int, int], Predicted]) -> Evaluation:
    energies: list[float] = []
    forces: list[FloatArray] = []
    virials: list[FloatArray] = []
    for k, group in enumerate(frames):
        atoms = len(group.symbols)
        found = read(k, atoms)
        energies += [float(energy) / atoms for energy in found.energies]
        forces += list(found.forces)
        virials += [virial / atoms for virial in found.virials]
    return Evaluation(tuple(energies), tuple(forces), tuple(virials))


def _read_lammps(folder: Path, group: ParityFrames, k: int, stem: str) -> Predicted:
    points = [
        read_single_point(
            folder / f"{stem}_{k}_{i}.dump",
            folder / f"{stem}_{k}_{i}.out",
            float(abs(np.linalg.det(cell))),
        )
        for i, cell in enumerate(group.cells)
    ]
    return Predicted(
        np.array([point[0] for point in points]),
        np.array([point[1] for point in points]),
        np.array([point[2] for point in points]),
    )


def _read_reordered(folder: Path, group: ParityFrames, k: int) -> Predicted:
    found = _read_lammps(folder, group, k, "reordered")
    forces = np.empty_like(found.forces)
    forces[:, reordered_atoms(len(group.symbols))] = found.forces
    return Predicted(found.energies, forces, found.virials)
