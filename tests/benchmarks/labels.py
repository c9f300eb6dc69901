"""Independent labels an hour: the naive cold single point against `mlip label`, same frames.

    .venv/bin/python tests/benchmarks/labels.py [--frames FILE] [--out DIR] [--ways]

Naive: orbital transformation from atomic densities, every core on one calculation, EPS_SCF 1e-6,
EPS_DEFAULT 1e-11, relative cutoff 50 Ry, grids in steps of three; what most inputs for such cells
look like. Now: `mlip label` with its defaults, at the Gamma point alone (the same physics) and with
its own k points, which cells narrower than 16 A need. Naive is timed on the first frame of a phase,
now on both. The frames (``label_frames.extxyz``, 64 atoms: hot crystal 0.6 ps apart, melt, and a
glass start packed from PS4 units and Li) tell where they are from. ``--ways`` compares instead the
ways to self-consistency on the second crystal frame, from atoms and from the orbitals of the first.
Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from mlip.engines import cp2k, cp2k_input
from mlip.engines.single_point import SinglePoint
from mlip.execution.job import Resources
from mlip.execution.local import available_cores, run_job
from mlip.files import write_text
from mlip.labelling.frames import frame_id
from mlip.labelling.label import label
from mlip.labelling.store import FOLDER, LABEL, stored
from mlip.recipes.label import Cp2kLevel, LabelRecipe

FRAMES = Path(__file__).with_name("label_frames.extxyz")


def naive(atoms: Atoms, folder: Path) -> tuple[float, SinglePoint]:
    """Return wall time and result of a cold single point on all cores."""
    text = cp2k_input.single_point_input(
        Cp2kLevel(
            eps_scf=1e-6, eps_default=1e-11, rel_cutoff_rydberg=50, sampling_width_angstrom=0
        ),
        list(atoms.symbols),
        atoms.positions,
        atoms.cell.array,
        method=cp2k_input.MINIMISE,
        max_scf=60,
    )
    text = text.replace("      NGRIDS 6\n      PROGRESSION_FACTOR 2\n", "")
    write_text(folder / cp2k.INPUT, text)
    job = cp2k.single_point_job("naive", folder, Resources(ranks=available_cores()))
    began = time.monotonic()
    run_job(job, token="benchmark")
    seconds = time.monotonic() - began
    result = cp2k.read_result(job, None, len(atoms), abs(atoms.cell.volume))
    assert isinstance(result, SinglePoint), result
    return seconds, result


def ways(first: Atoms, second: Atoms, out: Path) -> None:
    """Print the steps of each way to self-consistency, cold and from other orbitals."""
    level = Cp2kLevel(sampling_width_angstrom=0)
    resources = Resources()
    orbitals = out / "first" / "label-RESTART.wfn"
    runs: list[tuple[str, Atoms, str, bool]] = [("first", first, cp2k_input.DIAGONALISE, False)]
    for method in (cp2k_input.DIAGONALISE, cp2k_input.MINIMISE):
        for warm in (False, True):
            runs.append((f"{method}, {'orbitals' if warm else 'atoms'}", second, method, warm))
    print("| way, start | SCF steps |\n|---|---|")
    for name, atoms, method, warm in runs:
        text = cp2k_input.single_point_input(
            level,
            list(atoms.symbols),
            atoms.positions,
            atoms.cell.array,
            method=method,
            max_scf=60,
        )
        if name == "first":
            text = text.replace("&RESTART OFF", "&RESTART ON")
        if warm:
            text = text.replace("SCF_GUESS ATOMIC", "SCF_GUESS RESTART")
            text = text.replace("&MGRID", f"WFN_RESTART_FILE_NAME {orbitals}\n    &MGRID", 1)
        folder = out / name.replace(" ", "_").replace(",", "")
        write_text(folder / cp2k.INPUT, text)
        job = cp2k.single_point_job("way", folder, resources)
        run_job(job, token="benchmark")
        point = cp2k.read_result(job, None, len(atoms), abs(atoms.cell.volume))
        assert isinstance(point, SinglePoint), point
        print(f"| {name} | {point.iterations} |", flush=True)


def main() -> None:
    """Print one row a phase, or one row a way to self-consistency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, default=FRAMES)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ways", action="store_true")
    parser.add_argument("--no-naive", action="store_true")
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp(prefix="label-benchmark-"))
    frames = ase.io.read(arguments.frames, index=":")
    if arguments.ways:
        ways(frames[0], frames[1], out.resolve())
        return
    print(
        "| phase | naive: SCF steps, s, labels/h | now, Gamma: SCF steps, s, labels/h | ratio | "
        "largest force difference (meV/Å) | now, own k points: SCF steps, s, labels/h |\n"
        "|---|---|---|---|---|---|"
    )
    for phase, group in groupby(frames, key=lambda atoms: atoms.info["phase"]):
        own = list(group)
        path = out / f"{phase}.extxyz"
        ase.io.write(path, own, format="extxyz")
        before, point = (math.nan, None) if arguments.no_naive else naive(own[0], out / phase)
        gamma, first = now({"sampling_width_angstrom": 0}, path, own, out / f"{phase}_gamma")
        default, _ = now({}, path, own, out / f"{phase}_default")
        cold, difference = "not run", math.nan
        if point is not None:
            cold = f"{point.iterations}, {before:.0f}, {3600 / before:.0f}"
            difference = 1000 * float(np.abs(first.get_forces() - point.forces).max())
        print(
            f"| {phase} | {cold} | {gamma.shown} | {before / gamma.seconds:.2f} | "
            f"{difference:.2f} | {default.shown} |",
            flush=True,
        )


@dataclass(frozen=True)
class Timed:
    """SCF steps and seconds of wall time a label."""

    steps: float
    seconds: float

    @property
    def shown(self) -> str:
        """Steps, seconds, labels an hour."""
        return f"{self.steps:.0f}, {self.seconds:.0f}, {3600 / self.seconds:.0f}"


def now(level: dict[str, float], path: Path, frames: list[Atoms], out: Path) -> tuple[Timed, Atoms]:
    """Label with `mlip label`; return the time a label, and the first frame labelled."""
    recipe = LabelRecipe.model_validate({"level": level})
    began = time.monotonic()
    label(recipe, [path], out)
    seconds = (time.monotonic() - began) / len(frames)
    keys = [frame_id(recipe, atoms) for atoms in frames]
    records = stored(out)
    steps = float(np.mean([records[key].iterations for key in keys]))
    return Timed(steps, seconds), ase.io.read(out / FOLDER / keys[0] / LABEL)


if __name__ == "__main__":
    main()
