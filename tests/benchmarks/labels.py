"""Independent labels an hour: the naive cold single point against `mlip label`, same frames.

    .venv/bin/python tests/benchmarks/labels.py [--frames FILE] [--out DIR]

Naive: orbital transformation from atomic densities, every core on one calculation, EPS_SCF 1e-6,
grids in steps of three; what most inputs for such cells look like. Now: `mlip label` with its
defaults. The frames (``label_frames.extxyz``: 64 atoms, two each of hot crystal 0.6 ps apart, melt,
and a glass start packed from PS4 units and Li) tell where they are from. Neither way uses anything
of one frame for another, so any frames, however far apart, cost the same. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
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
        Cp2kLevel(eps_scf=1e-6),
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


def main() -> None:
    """Print one row a phase."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, default=FRAMES)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp(prefix="label-benchmark-"))
    frames = ase.io.read(arguments.frames, index=":")
    print(
        "| phase | naive: SCF steps | s a label | labels/h | now: SCF steps | s a label | labels/h "
        "| ratio | largest force difference (meV/Å) |\n|---|---|---|---|---|---|---|---|---|"
    )
    for phase, group in groupby(frames, key=lambda atoms: atoms.info["phase"]):
        own = list(group)
        cold = [naive(atoms, out / f"naive_{phase}_{k}") for k, atoms in enumerate(own)]
        before = sum(seconds for seconds, _ in cold) / len(own)
        path = out / f"{phase}.extxyz"
        ase.io.write(path, own, format="extxyz")
        recipe = LabelRecipe()
        began = time.monotonic()
        label(recipe, [path], out / f"now_{phase}")
        now = (time.monotonic() - began) / len(own)
        records = stored(out / f"now_{phase}")
        steps, difference = [], 0.0
        for atoms, (_, point) in zip(own, cold, strict=True):
            key = frame_id(recipe, atoms)
            steps.append(records[key].iterations)
            forces = ase.io.read(out / f"now_{phase}" / FOLDER / key / LABEL).get_forces()
            difference = max(difference, 1000 * float(np.abs(forces - point.forces).max()))
        print(
            f"| {phase} | {np.mean([p.iterations for _, p in cold]):.0f} | {before:.0f} | "
            f"{3600 / before:.0f} | {np.mean(steps):.0f} | {now:.0f} | {3600 / now:.0f} | "
            f"{before / now:.2f} | {difference:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
