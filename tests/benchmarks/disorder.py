"""F(z) by the exact sum against a Gaussian density on a 3-D grid: time, peak memory, difference.

``python tests/benchmarks/disorder.py [pairs] [atoms ...]``; each measurement is a process of
its own, the two in turn, so that a drifting machine speed hits both. No package has F(z); the
peer is the literal recipe of the definition: atoms deposited on a 3-D grid, Gaussian smoothing
by `scipy.ndimage`, slabs summed, two-dimensional FFT of each. Its grid makes it approximate.
One thread each: on a busy machine the threads of OpenBLAS wait for each other many times longer
than they compute.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

SETUP = """
import resource, sys, time
import numpy as np
atoms = int(sys.argv[1])
rng = np.random.default_rng(1)
length = (atoms / 0.0496) ** (1 / 3)
slabs = max(1, round(length / 8.2))
positions = rng.random((atoms, 3)) * length
cell = np.eye(3) * length
"""

OURS = """
from analysis.disorder.slab_fourier import pixels_below, slab_intensities
pixels = pixels_below(cell, (0, 2), 3.0)
def work():
    fractions = positions[:, 1] / length
    intensities, _ = slab_intensities(positions, fractions, cell, 1, slabs, 0.5, pixels)
    return intensities.mean(axis=1) / intensities.max(axis=1)
"""

PEER = """
from scipy import ndimage
points = slabs * round(length / slabs / 0.3)
step = length / points
frequency = 2 * np.pi * np.fft.fftfreq(points, step)
q = np.hypot(frequency[:, None], frequency[None])
chosen = (q > 0) & (q < 3.0)
def work():
    cells = np.minimum((positions / step).astype(int), points - 1)
    flat = np.ravel_multi_index(cells.T, (points,) * 3)
    density = np.bincount(flat, minlength=points**3).reshape((points,) * 3).astype(float)
    density = ndimage.gaussian_filter(density, 0.5 / step, mode="wrap")
    layers = density.reshape(points, slabs, points // slabs, points).sum(axis=2)
    pattern = np.abs(np.fft.fft2(layers, axes=(0, 2))) ** 2
    shown = np.stack([pattern[:, k][chosen] for k in range(slabs)])
    return shown.mean(axis=1) / shown.max(axis=1)
"""

REPORT = """
wall, used = time.perf_counter(), time.process_time()
values = work()
wall, used = time.perf_counter() - wall, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(values.mean(), wall, used, peak)
"""


def measure(code: str, atoms: int) -> list[float]:
    """Return mean F, wall and CPU seconds of one frame, and peak MB of one process."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code + REPORT, str(atoms)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Print medians and their ratio for every size."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for atoms in [int(word) for word in sys.argv[2:]] or [10_080, 100_800]:
        results = [(measure(OURS, atoms), measure(PEER, atoms)) for _ in range(pairs)]
        print(f"{atoms} atoms, one frame, {pairs} pairs")
        for name, index, unit in (("wall", 1, "s"), ("CPU", 2, "s"), ("peak memory", 3, "MB")):
            ours = statistics.median(pair[0][index] for pair in results)
            peer = statistics.median(pair[1][index] for pair in results)
            ratio = statistics.median(pair[0][index] / pair[1][index] for pair in results)
            print(
                f"  {name:12s} ours {ours:8.2f} {unit}  grid {peer:8.2f} {unit}  ratio {ratio:.2f}"
            )
        print(f"  mean F: ours {results[0][0][0]:.5f}, grid {results[0][1][0]:.5f}")


if __name__ == "__main__":
    main()
