"""Overhead of `mlip md` against bare LAMMPS on the very script that it wrote, and of the committee.

``python tests/benchmarks/md_overhead.py MODEL STRUCTURE [picoseconds] [rounds]``

One NVT stage. In each round `mlip md` runs as a process of its own, then the bare engine runs
the script of its stage, then `mlip md` once more with the committee's deviation at the first step
alone; in turn, so that a drifting machine speed hits all. Told are the medians of the rounds: the
overhead with the start of Python and its imports, and without them (the time in which the stage's
engine ran and its records were written); and what the committee costs at the default interval of
its deviation. Run it on an idle machine.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlip.engines.lammps import lammps_words
from mlip.execution.job import Resources
from mlip.files import read_json

PROTOCOL = """
temperatures_kelvin: [300]
timestep_fs: 1.0
stages:
  - {{kind: nvt, duration_ps: {picoseconds}, cell: keep, purpose: equilibration}}
thermo_every_steps: 50
trajectory_every_steps: 50
deviation_every_steps: {deviation_every_steps}
restart_every_steps: 1000
"""
# The default of a protocol, and more steps than the run has.
WATCHED, UNWATCHED = 100, 10**9
# The same start and the same imports, but nothing to do.
IDLE = "import mlip.cli, mlip.md.run, mlip.recipes.protocol"


def seconds_of(words: list[str], **options: object) -> float:
    """Return the wall time of a program that must succeed."""
    began = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, **options)  # type: ignore[call-overload]
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    model, structure = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    picoseconds = float(sys.argv[3]) if len(sys.argv) > 3 else 5.0
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    rows = []
    with tempfile.TemporaryDirectory(prefix="md-overhead-") as folder:
        scratch = Path(folder)
        for every in (WATCHED, UNWATCHED):
            text = PROTOCOL.format(picoseconds=picoseconds, deviation_every_steps=every)
            (scratch / f"{every}.yml").write_text(text)

        def driven(every: int, run: Path) -> float:
            command = [sys.executable, "-m", "mlip.cli", "md", str(scratch / f"{every}.yml")]
            command += ["--model", str(model), "--structure", str(structure), "--accept-parity"]
            return seconds_of([*command, "--out", str(run)])

        # The first call probes the layout and fills the disk cache; it is not counted.
        driven(WATCHED, scratch / "first")
        for number in range(rounds):
            run, unwatched = scratch / f"run_{number}", scratch / f"unwatched_{number}"
            whole = driven(WATCHED, run)
            start = seconds_of([sys.executable, "-c", IDLE])
            alone = bare(run)
            rows.append(
                (whole / alone, (whole - start) / alone, whole / driven(UNWATCHED, unwatched))
            )
            print(f"bare LAMMPS: {alone:.2f} s", flush=True)
            shutil.rmtree(run)
            shutil.rmtree(unwatched)
    names = ("overhead with Python's start", "overhead without", "committee")
    for name, ratios in zip(names, zip(*rows, strict=True), strict=True):
        spread = ", ".join(f"{100 * (ratio - 1.0):+.2f}" for ratio in ratios)
        print(f"{name}: {100 * (statistics.median(ratios) - 1.0):+.2f} % (rounds {spread})")


def bare(run: Path) -> float:
    """Return the wall time of the bare engine on the script of the run's only stage."""
    (stage,) = (run / "stages").iterdir()
    summary = read_json(run / "manifest.json")["summary"]
    ranks, gpus = summary["ranks"], summary["gpus"]
    log = (stage / "log.1.lammps").read_text()
    found = re.search(r"using (\d+) OpenMP thread", log)
    threads = int(found[1]) if found else 1
    (script,) = stage.glob("in.1.lammps")
    words = lammps_words(Resources(ranks, threads, gpus), ["-in", script.name, "-nocite"])
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "DP_INTRA_OP_PARALLELISM_THREADS": str(threads),
        "DP_INTER_OP_PARALLELISM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return seconds_of(list(words), cwd=stage, env=environment)


if __name__ == "__main__":
    main()
