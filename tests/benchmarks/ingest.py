"""Ingest: speed and peak memory against dpdata, paired runs on the same files.

``python tests/benchmarks/ingest.py [frames] [pairs]``. Ours reads, compares two readers,
checks, certifies and writes; dpdata reads and writes. Each measurement is a process of its
own, the two in turn, so that a drifting machine speed hits both. Inputs are made from the
AIMD that lies in the repository, each frame shaken so that no two are equal; an OUTCAR is
made by repeating the ionic steps of a real one, where that lies beside the repository.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

REPOSITORY = Path(__file__).resolve().parents[2]
LABELS = REPOSITORY / "training_data" / "li3ps4-pbe-d3" / "labels" / "labels"
OUTCAR = (
    REPOSITORY.parent / "shared/data/parser_fixtures/dpdata/poscars/OUTCAR.h2o.md"
)  # not ours to ship

PEER = """
import dpdata, sys
data = dpdata.MultiSystems() if sys.argv[2] == "extxyz" else None
path, kind, out = sys.argv[1:4]
if kind == "extxyz":
    import ase.io
    for atoms in ase.io.iread(path, index=":"):
        data.append(dpdata.LabeledSystem(atoms, fmt="ase/structure"))
else:
    data = dpdata.LabeledSystem(path, fmt={"vasp-outcar": "vasp/outcar",
        "deepmd-npy": "deepmd/npy"}[kind])
data.to("deepmd/npy", out)
"""
OURS = """
import sys
from mlip.cli import main
code = main(["ingest", sys.argv[1], "--out", sys.argv[3]])
assert code == 0, code
"""
REPORT = """
import resource
usage = resource.getrusage(resource.RUSAGE_SELF)
print("MEASURED", usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


def measure(code: str, *arguments: str) -> tuple[float, float]:
    """Return CPU seconds and peak MB of one process."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT, *arguments], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    seconds, megabytes = done.stdout.split("MEASURED")[1].split()
    return float(seconds), float(megabytes)


def shaken_frames(count: int) -> list[Atoms]:
    """Return frames like a long run: one label, shaken, with its energy and forces."""
    label = read(next(iter(sorted(LABELS.glob("*/label.extxyz")))))
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(count):
        atoms = Atoms(label.symbols, label.positions, cell=label.cell, pbc=True)
        shift = rng.normal(0.0, 0.05, (len(atoms), 3))
        atoms.positions += shift
        # Harmonic about the label, so that energies belong to forces as the checks demand.
        energy = label.get_potential_energy() - float((label.get_forces() * shift).sum())
        forces = label.get_forces() - 2.0 * shift
        forces -= forces.mean(axis=0)
        atoms.calc = SinglePointCalculator(
            atoms, energy=energy + float((shift**2).sum()), forces=forces
        )
        frames.append(atoms)
    return frames


def make_inputs(folder: Path, frames: int) -> dict[str, Path]:
    """Write one input of each format; return the paths by format."""
    made: dict[str, Path] = {}
    images = shaken_frames(frames)
    made["extxyz"] = folder / "run.extxyz"
    write(made["extxyz"], images, format="extxyz")
    system = folder / "npy"
    (system / "set.000").mkdir(parents=True)
    symbols = list(dict.fromkeys(images[0].get_chemical_symbols()))
    types = [symbols.index(symbol) for symbol in images[0].get_chemical_symbols()]
    (system / "type.raw").write_text("\n".join(map(str, types)) + "\n")
    (system / "type_map.raw").write_text("\n".join(symbols) + "\n")
    arrays = {
        "coord": np.array([atoms.positions for atoms in images]).reshape(frames, -1),
        "box": np.array([atoms.cell.array for atoms in images]).reshape(frames, 9),
        "energy": np.array([atoms.get_potential_energy() for atoms in images]),
        "force": np.array([atoms.get_forces() for atoms in images]).reshape(frames, -1),
    }
    for name, array in arrays.items():
        np.save(system / "set.000" / f"{name}.npy", array)
    made["deepmd-npy"] = system
    if OUTCAR.is_file():
        text = OUTCAR.read_text()
        starts = [m.start() for m in re.finditer(r"\n-+ Iteration +\d+\( +1\)", text)]
        tail = text.index("General timing and accounting") if "General timing" in text else None
        steps = text[starts[0] : tail]
        copies = max(1, frames // len(starts))
        made["vasp-outcar"] = folder / "OUTCAR"
        with made["vasp-outcar"].open("w") as handle:
            handle.write(text[: starts[0]])
            for copy in range(copies):
                handle.write(_renumbered(steps, copy * len(starts)))
            handle.write(text[tail:] if tail else "")
    return made


def _renumbered(steps: str, shift: int) -> str:
    """Return the text of ionic steps with numbers that go on: joined runs are refused."""
    return re.sub(
        r"Iteration +(\d+)\(", lambda m: f"Iteration {int(m.group(1)) + shift:6d}(", steps
    )


def size_mb(path: Path) -> float:
    """Return the size of a file, or of all files below a directory, MB."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 1e6


def main() -> None:
    """Print MB/s, peak memory and their ratios, by format."""
    frames, pairs = (
        int(sys.argv[n]) if len(sys.argv) > n else default for n, default in ((1, 2000), (2, 3))
    )
    print(f"{frames} frames, {pairs} pairs; medians of whole processes, CPU time")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, path in make_inputs(folder, frames).items():
            elements = "[H, O]" if kind == "vasp-outcar" else "[Li, P, S]"
            recipe = folder / f"{kind}.yml"
            recipe.write_text(
                f"type_map: {elements}\nsources:\n  - {{name: run, format: {kind}, path: {path}, "
                "phase: crystal, split: train}\n"
            )
            results = []
            for pair in range(pairs):
                ours = measure(OURS, str(recipe), kind, str(folder / f"ours-{kind}-{pair}"))
                peer = measure(PEER, str(path), kind, str(folder / f"peer-{kind}-{pair}"))
                results.append((ours, peer))
            size = size_mb(path)
            speed, memory = (
                [statistics.median(pair[who][index] for pair in results) for who in (0, 1)]
                for index in (0, 1)
            )
            ratio = statistics.median(pair[0][0] / pair[1][0] for pair in results)
            print(
                f"{kind:12s} {size:7.1f} MB   ours {size / speed[0]:6.2f} MB/s {memory[0]:6.0f} MB"
                f"   dpdata {size / speed[1]:6.2f} MB/s {memory[1]:6.0f} MB"
                f"   time ratio {ratio:.2f}"
            )


if __name__ == "__main__":
    main()
