"""What `mlip.engines.deepmd_script` saves: MD with a model written by it and by plain ``dp``.

    .venv/bin/python tests/benchmarks/deepmd_script.py MODEL [--atoms 1000 4000] [--rounds 3]

MODEL is a directory of `mlip train` with its checkpoints. Its first member is frozen and compressed
both ways; beta-Li3PS4 repeated to each size then runs with the one and the other in turn, in the
layout that `mlip md` takes first. Medians over the rounds; memory is that of all ranks.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import uuid
from pathlib import Path

from mlip.engines.deepmd import dp_command, script_command
from mlip.engines.deepmd_train import last_checkpoint
from mlip.engines.lammps_layout import Layout, candidates, probe_layouts
from mlip.md.start import write_start
from mlip.model_directory import read_model_directory
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.structures.geometry import repeats_for, supercell


def written(words: tuple[str, ...], model: Path, folder: Path) -> Path:
    """Freeze and compress the first member with a command; return the compressed model."""
    checkpoint = last_checkpoint(model / "member_0")
    folder.mkdir()
    # Where the table begins: see `mlip.engines.deepmd_train.write_closest_pair`.
    for name in ("closest.json", "closest"):
        (folder / name).symlink_to(model / name)
    for call in (
        ("freeze", "-c", str(checkpoint), "-o", "model.pth"),
        ("compress", "-i", "model.pth", "-o", "compressed.pth", "-t", "closest.json"),
    ):
        subprocess.run([*words, *call], cwd=folder, check=True, capture_output=True)
    return folder / "compressed.pth"


def main() -> None:
    """Print one row a size."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("--atoms", type=int, nargs="+", default=[1000, 4000])
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    model = given.model.resolve()
    elements = read_model_directory(model).type_map
    cell = conventional_cell(find_crystal("beta-Li3PS4"))
    with tempfile.TemporaryDirectory(prefix="mlip-bench-") as scratch:
        models = {
            "dp": written(dp_command(), model, Path(scratch) / "dp"),
            "ours": written(script_command(), model, Path(scratch) / "ours"),
        }
        print("| atoms | layout | steps/s: dp | ours | ratio | memory GiB: dp | ours |")
        print("|---|---|---|---|---|---|---|")
        for atoms in given.atoms:
            crystal = supercell(cell, repeats_for(cell, atoms))
            folder = Path(scratch) / str(atoms)
            write_start(folder, crystal, elements)
            layout = candidates(len(crystal))[0]
            found: dict[str, list[Layout]] = {name: [] for name in models}
            for _ in range(given.rounds):
                for name, path in models.items():
                    data = folder / "structure.data"
                    found[name].append(
                        probe_layouts([layout], [path], elements, data, uuid.uuid4().hex)
                    )
            speed = {
                name: statistics.median(one.steps_per_second for one in rows)
                for name, rows in found.items()
            }
            memory = {name: max(one.memory_gib for one in rows) for name, rows in found.items()}
            print(
                f"| {len(crystal)} | {found['ours'][0]} | {speed['dp']:.3g} | "
                f"{speed['ours']:.3g} | {speed['ours'] / speed['dp']:.2f} | "
                f"{memory['dp']:.2f} | {memory['ours']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
