"""MSD of lithium: time and peak memory against other packages on the same numbers.

``python tests/benchmarks/msd.py [ions] [frames] [rounds]``; each measurement is a process of its
own, all in turn, so that a drifting machine speed hits all. Imports are not in the time. Packages
that are not installed are left out. ``python tests/benchmarks/msd.py disk [ions] [frames]`` makes a
file of 37,800 ions x 5,000 frames (4.5 GB) in a temporary folder and streams it, ours and
tidynamics.
"""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

START = """
import numpy as np, sys
positions = np.load(sys.argv[1], mmap_mode="r")
frames, ions, _ = positions.shape
tenth = frames // 10
"""

# Reads only the rows wanted of each frame; pages of a mapped file would count as memory.
START_DISK = """
import os, sys
import numpy as np
with open(sys.argv[1], "rb") as head:
    np.lib.format.read_magic(head)
    (frames, ions, _), _, _ = np.lib.format.read_array_header_1_0(head)
    offset = head.tell()
tenth = frames // 10
class File:
    def __init__(self):
        self.handle = os.open(sys.argv[1], os.O_RDONLY)
    def __getitem__(self, key):
        times, ids = key
        first, last = ids.start or 0, ids.stop or ids.start + 1
        block = np.empty((frames, last - first, 3))
        for frame in range(frames):
            text = os.pread(self.handle, (last - first) * 24, offset + (frame * ions + first) * 24)
            block[frame] = np.frombuffer(text).reshape(-1, 3)
        return block
positions = File()
"""

TIDYNAMICS_BLOCKS = """
import tidynamics
total, width = 0.0, max(1, 256 * 1024**2 // (24 * frames))
for start in range(0, ions, width):
    block = positions[:, start : min(start + width, ions)]
    for ion in range(block.shape[1]):
        total = total + tidynamics.msd(np.ascontiguousarray(block[:, ion]))
value = (total / ions)[tenth]
"""

OURS = """
from pathlib import Path
from dataclasses import dataclass
from analysis.motion.msd import mean_squared_displacement
from analysis.trajectory import IMAGE_FLAGS, Trajectory
@dataclass(frozen=True)
class Source:
    def read(self, start, stop, ids):
        return np.asarray(positions[start:stop, ids], dtype=float)
trajectory = Trajectory(Path("memory"), np.array(["Li"] * ions), np.full(ions, 6.94), 1.0,
    np.tile(60.0 * np.eye(3), (frames, 1, 1)), 300.0, "nvt", IMAGE_FLAGS, Source())
msd = mean_squared_displacement(trajectory, np.arange(ions), label="Li",
    drift_path=np.zeros((frames, 3)))
value = msd.msd[tenth]
"""

TIDYNAMICS = """
import tidynamics
total = 0.0
for ion in range(ions):
    total = total + tidynamics.msd(np.ascontiguousarray(positions[:, ion], dtype=float))
value = (total / ions)[tenth]
"""

# name: package it needs, code
PEERS = {
    "ours": ("analysis", OURS),
    "tidynamics": ("tidynamics", TIDYNAMICS),
    "MDAnalysis": (
        "MDAnalysis",
        """
import MDAnalysis
from MDAnalysis.analysis.msd import EinsteinMSD
from MDAnalysis.coordinates.memory import MemoryReader
universe = MDAnalysis.Universe.empty(ions, trajectory=True)
universe.load_new(np.asarray(positions), format=MemoryReader)
value = EinsteinMSD(universe, fft=True).run().results.timeseries[tenth]
""",
    ),
    "freud": (
        "freud",
        """
import freud
value = freud.msd.MSD(mode="window").compute(np.asarray(positions)).msd[tenth]
""",
    ),
    # Their own reading is left out: these get displacements or a trajectory in memory.
    "GEMDAT": (
        "gemdat",
        """
from gemdat import Trajectory
from pymatgen.core import Lattice
lattice = Lattice.cubic(1000.0)
trajectory = Trajectory(species=["Li"] * ions, coords=np.asarray(positions) / 1000.0,
    lattice=lattice, time_step=1e-12, metadata={"temperature": 300.0})
value = trajectory.mean_squared_displacement().mean(axis=0)[tenth]
""",
    ),
    "kinisi (the lag read only)": (
        "kinisi",
        """
import scipp
from types import SimpleNamespace
from kinisi.displacement import calculate_msd
# Displacements since the first frame, as its parsers give them; its cost grows with the lags.
moved = np.asarray(positions)[1:] - positions[0]
lags = np.array([tenth])
parser = SimpleNamespace(
    dt_index=scipp.array(dims=["time interval"], values=lags),
    dt=scipp.array(dims=["time interval"], values=lags.astype(float), unit="ps"),
    displacements=scipp.array(dims=["obs", "particle", "dimension"], values=moved, unit="angstrom"),
    dimensionality=scipp.scalar(3.0))
value = calculate_msd(parser, progress=False)["da"].values[0]
""",
    ),
    "pymatgen-analysis-diffusion": (
        "pymatgen.analysis.diffusion",
        """
from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
from pymatgen.core import Lattice, Structure
# It needs a framework: one atom at rest.
sites = np.concatenate([positions[0], [[500.0, 500.0, 500.0]]])
first = Structure(Lattice.cubic(1000.0), ["Li"] * ions + ["S"], sites, coords_are_cartesian=True)
moved = np.zeros((ions + 1, frames, 3))
moved[:ions] = (positions - positions[0]).transpose(1, 0, 2)
analyzer = DiffusionAnalyzer(first, moved, "Li", 300.0, 1000, 1, smoothed="max", min_obs=30)
value = np.interp(1000.0 * tenth, analyzer.dt, analyzer.msd)
""",
    ),
}

REPORT = """
import resource
usage = resource.getrusage(resource.RUSAGE_SELF)
# ru_maxrss of a child would start from the memory of its parent.
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(value, usage.ru_utime + usage.ru_stime - imported, peak / 1024)
"""
IMPORTED = """
import resource
usage = resource.getrusage(resource.RUSAGE_SELF)
imported = usage.ru_utime + usage.ru_stime
"""
# freud and others have taken all memory of a machine before.
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"


def measure(code: str, data: Path, start: str = START) -> tuple[float, float, float]:
    """Return value, CPU seconds after imports, and peak MB of one process."""
    lines = (start + code).splitlines(keepends=True)
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    rest = [line for line in lines if line not in imports]
    whole = LIMITED + "".join([*imports, IMPORTED, *rest]) + REPORT
    done = subprocess.run(
        [sys.executable, "-c", whole, str(data)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    value, seconds, megabytes = map(float, done.stdout.split()[-3:])
    return value, seconds, megabytes


def installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def numbers(first: int, defaults: tuple[int, ...]) -> list[int]:
    """Return the whole numbers of the command line from argument `first` on."""
    given = [int(text) for text in sys.argv[first : first + len(defaults)]]
    return given + list(defaults[len(given) :])


def compare() -> None:
    """Print medians of every package and its relative difference from ours."""
    ions, frames, rounds = numbers(1, (1000, 2000, 5))
    chosen = {name: code for name, (package, code) in PEERS.items() if installed(package)}
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "positions.npy"
        steps = np.random.default_rng(1).normal(0.0, 0.3, (frames, ions, 3))
        np.save(data, np.cumsum(steps, axis=0))
        for _ in range(rounds):
            for name, code in list(chosen.items()):
                try:
                    results[name].append(measure(code, data))
                except RuntimeError as error:
                    print(f"{name}: {error}")
                    del chosen[name]
    print(f"{ions} ions x {frames} frames, {rounds} rounds; medians, imports left out")
    for name in chosen:
        value, seconds, megabytes = (
            statistics.median(result[column] for result in results[name]) for column in range(3)
        )
        difference = value / results["ours"][0][0] - 1
        print(f"{name:28s} {seconds:8.2f} s {megabytes:8.0f} MB   difference {difference:+.1e}")


def disk() -> None:
    """Stream a file larger than the memory that either may take."""
    ions, frames = numbers(2, (37_800, 5_000))
    size = ions * frames * 3 * 8
    folder = tempfile.mkdtemp()
    try:
        free = shutil.disk_usage(folder).free
        if free < 2 * size:
            raise SystemExit(f"{folder} has {free / 1e9:.1f} GB free; needs {2 * size / 1e9:.1f}")
        data = Path(folder) / "positions.npy"
        # One frame of all ions after another, as a trajectory file lies on disk.
        array = np.lib.format.open_memmap(data, mode="w+", dtype="<f8", shape=(frames, ions, 3))
        rng, place = np.random.default_rng(1), np.zeros((ions, 3))
        for frame in range(frames):
            array[frame] = place
            place += rng.normal(0.0, 0.3, (ions, 3))
        array.flush()
        del array
        print(f"{ions} ions x {frames} frames, {size / 1e9:.2f} GB on disk")
        for name, code in (("ours", OURS), ("tidynamics in blocks", TIDYNAMICS_BLOCKS)):
            value, seconds, megabytes = measure(code, data, START_DISK)
            print(f"{name:20s} {seconds:8.1f} s {megabytes:8.0f} MB  MSD {value:.8g}", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    disk() if sys.argv[1:2] == ["disk"] else compare()
