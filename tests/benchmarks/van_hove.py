"""Van Hove functions: time against pymatgen-analysis-diffusion, and time and memory of large runs.

``python tests/benchmarks/van_hove.py [python] [rounds]``; `python` is the interpreter of an
environment that has the peer, by default this one. Both compute the self and the distinct part of
100 atoms at 4 lags from 20 origins each, in processes of their own on one thread, in turn; what
they took after their imports is printed. How far the mean distance of each self part is from that
of the displacements it was made of is printed in bins: a grid placed half a bin low shows -0.5.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

START = """
import dataclasses, resource, sys, time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
import numpy as np
LAGS, ORIGINS, WIDTH, LENGTH = (0, 50, 100, 150), 20, 0.1, 25.0
"""

TRAJECTORY = """
from analysis.trajectory import IMAGE_FLAGS, Trajectory
@dataclass(frozen=True)
class Source:
    positions: np.ndarray
    def read(self, start, stop, ids): return np.asarray(self.positions[start:stop, ids])
def trajectory_of(positions):
    frames, ions, _ = positions.shape
    return Trajectory(Path("memory"), np.array(["Li"] * ions), np.full(ions, 6.94), 1.0,
        np.tile(LENGTH * np.eye(3), (frames, 1, 1)), 300.0, "nvt", IMAGE_FLAGS, Source(positions))
"""

OURS = f"""{TRAJECTORY}
from analysis.displacements.displacements import displacements_of
from analysis.displacements.van_hove_distinct import van_hove_distinct
from analysis.displacements.van_hove_self import van_hove_self
from analysis.pairs.neighbours import neighbour_search
neighbour_search(1.0)
positions = np.load(sys.argv[1])
trajectory, ids = trajectory_of(positions), np.arange(positions.shape[1])
begin = time.process_time()
still = np.zeros((len(positions), 3))
chosen = displacements_of(trajectory, ids, asked_ps=LAGS, drift_path=still, max_origins=ORIGINS)
at = chosen.nearest(LAGS[1:])
fields = ("times_ps", "stream_of", "lag_frames", "strides", "n_origins")
few = {{name: getattr(chosen, name)[at] for name in fields}}
found = van_hove_self(dataclasses.replace(chosen, **few), LAGS[1:], WIDTH)
van_hove_distinct(trajectory, ids, ids, LAGS, bin_angstrom=WIDTH, drift_path=still,
    max_origins=ORIGINS)
work = time.process_time() - begin
mean = (found[-1].density * found[-1].r_angstrom).sum() * WIDTH
stride = int(few["strides"][-1])
moved = positions[LAGS[-1] :: stride] - positions[: -LAGS[-1] : stride]
"""

PEER = """
from pymatgen.analysis.diffusion.aimd.van_hove import VanHoveAnalysis
from pymatgen.core import Lattice, Structure
positions = np.load(sys.argv[1])[: ORIGINS + LAGS[-1]]
lattice, kinds = Lattice.cubic(LENGTH), ["Li"] * positions.shape[1]
frames = [Structure(lattice, kinds, frame / LENGTH, to_unit_cell=False) for frame in positions]
analyser = SimpleNamespace(time_step=1000, step_skip=1, structure=frames[0],
    disp=np.empty((len(kinds), len(frames), 3)),
    get_drift_corrected_structures=lambda: iter(frames))
begin = time.process_time()
found = VanHoveAnalysis(analyser, avg_nsteps=ORIGINS, ngrid=101, rmax=10.0, step_skip=LAGS[1],
    sigma=1e-2, species=("Li",))
work = time.process_time() - begin
mean = (found.gsrt[-1] * found.interval).sum() / found.gsrt[-1].sum()
moved = positions[LAGS[-1] :][:ORIGINS] - positions[:ORIGINS]
"""

MEAN = "value = (mean - np.linalg.norm(moved, axis=2).mean()) / WIDTH\n"

LARGE = f"""{TRAJECTORY}
from analysis.displacements.displacements import accumulate, displacements_of
from analysis.displacements.non_gaussian import MomentSums
from analysis.displacements.self_scattering import SineSums
from analysis.displacements.van_hove_self import HistogramSums
positions = np.load(sys.argv[1], mmap_mode="r")
trajectory, ids = trajectory_of(positions), np.arange(positions.shape[1])
lags = (1, 2, 5, 10, 30, 100, 300, 1000)
begin = time.process_time()
chosen = displacements_of(trajectory, ids, asked_ps=lags, drift_path=np.zeros((len(positions), 3)))
makers = {{
    "alpha2": lambda: MomentSums.empty(chosen),
    "self": lambda: HistogramSums(chosen, chosen.nearest(lags), 0.05),
    "F_s": lambda: SineSums.empty(chosen, (1.0, 1.7, 3.0)),
}}
accumulate(chosen, [makers[name]() for name in sys.argv[2].split("+")])
work, value = time.process_time() - begin, float(len(chosen.times_ps))
"""

REPORT = """
print(value, work, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(python: str, code: str, *arguments: str) -> tuple[float, float, float]:
    """Return a value, CPU seconds after imports, and peak MB of one process."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", START + code + REPORT, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    value, seconds, megabytes = map(float, done.stdout.split()[-3:])
    return value, seconds, megabytes


def walk(path: Path, frames: int, ions: int, length: float) -> str:
    """Write random walks that start anywhere in the cell; return the path."""
    import numpy as np

    rng = np.random.default_rng(1)
    positions = np.lib.format.open_memmap(path, "w+", float, (frames, ions, 3))
    for start in range(0, ions, 1000):
        part = positions[:, start : start + 1000]
        steps = rng.normal(0.0, 0.1, part.shape)
        part[:] = np.cumsum(steps, axis=0) + rng.random(part.shape[1:]) * length
    positions.flush()
    return str(path)


def main() -> None:
    """Print the comparison, then time and memory of the one pass over a large run."""
    peer = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        small = walk(Path(folder) / "small.npy", 320, 100, 25.0)
        try:
            pairs = [
                (measure(sys.executable, OURS + MEAN, small), measure(peer, PEER + MEAN, small))
                for _ in range(rounds)
            ]
        except subprocess.CalledProcessError as error:
            print(f"no comparison: {error.stderr.splitlines()[-1]}")
        else:
            for n, name in enumerate(("ours", "pymatgen")):
                seconds = statistics.median(pair[n][1] for pair in pairs)
                bins = pairs[0][n][0]
                print(f"{name:9s} {seconds:7.3f} s, mean distance off by {bins:+.2f} bins")
            ratio = statistics.median(pair[1][1] / pair[0][1] for pair in pairs)
            print(f"pymatgen takes {ratio:.0f} times as long")
        large = walk(Path(folder) / "large.npy", 2000, 3780, 25.0)
        for what in ("alpha2", "self", "F_s", "alpha2+self+F_s"):
            lags, seconds, megabytes = measure(sys.executable, LARGE, large, what)
            print(
                f"3,780 ions x 2,000 frames, {what}, {lags:.0f} lags: "
                f"{seconds:.1f} s, peak {megabytes:.0f} MB"
            )


if __name__ == "__main__":
    main()
