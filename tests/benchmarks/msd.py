"""MSD of lithium: time and peak memory against tidynamics, paired runs on the same numbers.

``python tests/benchmarks/msd.py [ions] [frames] [pairs]``; each measurement is a process of
its own, the two in turn, so that a drifting machine speed hits both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = """
import numpy as np, sys
from pathlib import Path
from dataclasses import dataclass
from analysis.motion.msd import mean_squared_displacement
from analysis.trajectory import IMAGE_FLAGS, Trajectory
positions = np.load(sys.argv[1], mmap_mode="r")
frames, ions, _ = positions.shape
@dataclass(frozen=True)
class Source:
    def read(self, start, stop, ids): return np.asarray(positions[start:stop, ids])
trajectory = Trajectory(Path("memory"), np.array(["Li"] * ions), np.full(ions, 6.94), 1.0,
    np.tile(60.0 * np.eye(3), (frames, 1, 1)), 300.0, "nvt", IMAGE_FLAGS, Source())
msd = mean_squared_displacement(trajectory, np.arange(ions), label="Li",
    drift_path=np.zeros((frames, 3)))
value = msd.msd[frames // 10]
"""

PEER = """
import numpy as np, sys, tidynamics
positions = np.load(sys.argv[1], mmap_mode="r")
total = 0.0
for ion in range(positions.shape[1]):
    total = total + tidynamics.msd(np.ascontiguousarray(positions[:, ion]))
value = (total / positions.shape[1])[positions.shape[0] // 10]
"""

REPORT = """
import resource
usage = resource.getrusage(resource.RUSAGE_SELF)
print(value, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def measure(code: str, data: Path) -> tuple[float, float, float]:
    """Return value, CPU seconds and peak MB of one process."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT, str(data)], capture_output=True, text=True, check=True
    )
    value, seconds, megabytes = map(float, done.stdout.split())
    return value, seconds, megabytes


def main() -> None:
    """Print medians, their ratio, and the relative difference of the two results."""
    import numpy as np

    ions, frames, pairs = (
        int(sys.argv[n]) if len(sys.argv) > n else default
        for n, default in ((1, 1000), (2, 2000), (3, 5))
    )
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "positions.npy"
        steps = np.random.default_rng(1).normal(0.0, 0.3, (frames, ions, 3))
        np.save(data, np.cumsum(steps, axis=0))
        results = [(measure(OURS, data), measure(PEER, data)) for _ in range(pairs)]
    print(f"{ions} ions x {frames} frames, {pairs} pairs; medians of whole processes")
    for name, index, unit in (("CPU time", 1, "s"), ("peak memory", 2, "MB")):
        ours = statistics.median(pair[0][index] for pair in results)
        peer = statistics.median(pair[1][index] for pair in results)
        ratio = statistics.median(pair[0][index] / pair[1][index] for pair in results)
        print(
            f"{name:12s} ours {ours:8.2f} {unit}  tidynamics {peer:8.2f} {unit}  ratio {ratio:.2f}"
        )
    difference = abs(results[0][0][0] / results[0][1][0] - 1)
    print(f"relative difference of the MSD at a tenth of the run: {difference:.1e}")


if __name__ == "__main__":
    main()
