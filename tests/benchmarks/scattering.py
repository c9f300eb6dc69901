"""Partial structure factors: time and peak memory against dynasor, paired runs on one frame.

``python tests/benchmarks/scattering.py [atoms] [q_max] [pairs]``; both sum over the same wave
vectors, all those of a half space up to `q_max` 1/Angstrom or the subsample that our default
takes. Each measurement is a process of its own, the two in turn, so that a drifting machine
speed hits both; CPU time of the sum alone on one thread, after a warm-up that compiles the peer.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from analysis.scattering.density_modes import affordable_vectors, select_wave_vectors

OURS = """
import numpy as np, sys, time
from analysis.scattering.density_modes import affordable_vectors, density_modes, select_wave_vectors
data = np.load(sys.argv[1])
ranges = select_wave_vectors(np.eye(3) * data["side"], data["edges"], np.random.default_rng(0),
    max_vectors=affordable_vectors(len(data["x"])))
density_modes(data["x"][:50] / data["side"], data["codes"][:50], 3, ranges)
start = time.process_time()
modes = density_modes(data["x"] / data["side"], data["codes"], 3, ranges)
value = sum((modes_of[0] * modes_of[1].conj()).real.sum() for modes_of in modes)
"""

PEER = """
import numpy as np, sys, time
from dynasor.core.reciprocal import calc_rho_q
data = np.load(sys.argv[1])
x, q = data["x"], data["q"]
calc_rho_q(x[:50], q)
start = time.process_time()
rho = [calc_rho_q(x[data["codes"] == kind], q) for kind in range(3)]
value = (rho[0] * rho[1].conj()).real.sum()
"""

REPORT = """
import resource
print(value, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(code: str, data: Path) -> tuple[float, float, float]:
    """Return value, CPU seconds and peak MB of one process."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT, str(data)],
        capture_output=True,
        text=True,
        env=os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    value, seconds, megabytes = map(float, done.stdout.split())
    return value, seconds, megabytes


def main() -> None:
    """Print medians, their ratio, and the relative difference of the two results."""
    atoms = int(sys.argv[1]) if len(sys.argv) > 1 else 10_080
    q_max = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    pairs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    rng = np.random.default_rng(1)
    side = (atoms / 0.05) ** (1 / 3)
    edges = np.arange(0.0, q_max + 1e-9, 0.05)
    ranges = select_wave_vectors(
        np.eye(3) * side, edges, np.random.default_rng(0), max_vectors=affordable_vectors(atoms)
    )
    q = 2 * np.pi / side * np.concatenate([part.indices for part in ranges])
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "frame.npz"
        np.savez(
            data,
            x=rng.random((atoms, 3)) * side,
            codes=rng.integers(0, 3, atoms),
            side=side,
            edges=edges,
            q=q,
        )
        results = [(measure(OURS, data), measure(PEER, data)) for _ in range(pairs)]
    seconds, memory = (
        [statistics.median(pair[who][index] for pair in results) for who in (0, 1)]
        for index in (1, 2)
    )
    ours, peer = results[0][0][0], results[0][1][0]
    print(f"{atoms} atoms, {len(q)} wave vectors up to {q_max:g} 1/Angstrom, {pairs} pairs")
    print(f"ours    {seconds[0]:8.2f} CPU s  {memory[0]:7.0f} MB")
    print(f"dynasor {seconds[1]:8.2f} CPU s  {memory[1]:7.0f} MB")
    print(f"ratio of time {seconds[1] / seconds[0]:.1f}, difference {abs(ours / peer - 1):.1e}")


if __name__ == "__main__":
    main()
