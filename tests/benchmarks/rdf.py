"""Partial g(r) of three species to 10 Å: time and peak memory against MDAnalysis and freud.

``python tests/benchmarks/rdf.py [atoms] [frames] [rounds]``; each measurement is a process of its
own on one thread, all in turn, so that a drifting machine speed hits all; what it took after its
imports is printed apart. All six pairs are computed. freud gets 200 bins instead of 1,600: the
memory of its 3.4.0 histogram grows with the cube of the bins (1,600 would take 16 GB).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

START = """
import numpy as np, sys, time
data = np.load(sys.argv[1])
positions, codes, length = data["positions"], data["codes"], float(data["length"])
names = np.array(["Li", "P", "S"])[codes]
pairs = [(a, b) for a in range(3) for b in range(a, 3)]
"""

CODES = {
    "ours": """
from dataclasses import dataclass
from pathlib import Path
from analysis.pairs.neighbours import neighbour_search
from analysis.pairs.rdf import pair_distributions
from analysis.trajectory import IMAGE_FLAGS, Trajectory
neighbour_search(1.0)
begin = time.process_time()
@dataclass(frozen=True)
class Source:
    def read(self, start, stop, ids): return positions[start:stop, ids]
frames, atoms, _ = positions.shape
trajectory = Trajectory(Path("memory"), names, np.ones(atoms), 1.0,
    np.tile(length * np.eye(3), (frames, 1, 1)), 300.0, "nvt", IMAGE_FLAGS, Source())
found = pair_distributions(trajectory, r_max_angstrom=10.0, bin_angstrom=10.0 / 1600, stride=1)
value = float(np.mean([pair.g[800:].mean() for pair in found]))
""",
    "MDAnalysis": """
import MDAnalysis
from MDAnalysis.analysis.rdf import InterRDF
begin = time.process_time()
universe = MDAnalysis.Universe.empty(positions.shape[1], trajectory=True)
universe.add_TopologyAttr("names", names)
universe.load_new(positions.astype(np.float32), dimensions=[length] * 3 + [90] * 3)
groups = [universe.select_atoms(f"name {name}") for name in ("Li", "P", "S")]
means = []
for a, b in pairs:
    block = (1, 1) if a == b else None
    rdf = InterRDF(groups[a], groups[b], 1600, (0.0, 10.0), exclusion_block=block).run()
    means.append(rdf.results.rdf[800:].mean())
value = float(np.mean(means))
""",
    "freud": """
import freud
freud.set_num_threads(1)
begin = time.process_time()
box = freud.box.Box.cube(length)
means = []
for a, b in pairs:
    rdf = freud.density.RDF(200, 10.0)
    for frame in positions:
        one, other = frame[codes == a], frame[codes == b]
        rdf.compute((box, one), None if a == b else other, reset=False)
    means.append(rdf.rdf[100:].mean())
value = float(np.mean(means))
""",
}

REPORT = """
import resource
work = time.process_time() - begin
usage = resource.getrusage(resource.RUSAGE_SELF)
print(value, usage.ru_utime + usage.ru_stime, work, usage.ru_maxrss / 1024)
"""


def measure(name: str, data: Path) -> tuple[float, float, float, float]:
    """Return value, CPU seconds in all and after the imports, and peak MB of one process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START + CODES[name] + REPORT, str(data)],
        capture_output=True,
        text=True,
        check=True,
        env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    value, seconds, work, megabytes = map(float, done.stdout.split()[-4:])
    return value, seconds, work, megabytes


def main() -> None:
    """Print medians, ratios to ours, and the mean of g beyond 5 Å, which is 1."""
    import numpy as np

    atoms, frames, rounds = (
        int(sys.argv[n]) if len(sys.argv) > n else default
        for n, default in ((1, 10080), (2, 3), (3, 3))
    )
    length = (atoms / 0.0496) ** (1 / 3)
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "frames.npz"
        np.savez(
            data,
            positions=rng.random((frames, atoms, 3)) * length,
            codes=np.arange(atoms) % 8 // 3,
            length=length,
        )
        results = [{name: measure(name, data) for name in CODES} for _ in range(rounds)]
    print(f"{atoms} atoms x {frames} frames, {rounds} rounds; medians of whole processes")
    for name in CODES:
        seconds, work, memory = (
            statistics.median(found[name][n] for found in results) for n in (1, 2, 3)
        )
        ratio = statistics.median(found[name][2] / found["ours"][2] for found in results)
        print(
            f"{name:11s} CPU time {seconds:6.2f} s, after imports {work:6.2f} s ({ratio:5.2f} of "
            f"ours)  peak memory {memory:6.0f} MB  mean g {results[0][name][0]:.4f}"
        )


if __name__ == "__main__":
    main()
