"""What `mlip train` adds to a bare `dp train`: paired runs of the same member on the same input.

    .venv/bin/python tests/benchmarks/training.py RECIPE [--set key=value] [--pairs 5] [--out DIR]

RECIPE is one of `mlip train` with an ingested set; give steps enough for a minute or two. The
committee has one member. Each pair runs both, in turns first, with the same input.json, seed and
threads. Per step: the engine's own average, without its start and the steps before its first
report. Whole: wall time of `mlip train` (set, statistics of neighbours, training and freezing)
against `dp train` as users call it, with its own neighbour statistics, and `dp freeze`. Medians of
the ratios over the pairs are printed; the aim is below 1 % a step. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlip.engines.deepmd import ENVIRONMENT, dp_command
from mlip.engines.deepmd_train import seconds_per_step
from mlip.execution.local import available_cores
from mlip.files import read_json, write_json
from mlip.recipes.base import load_recipe
from mlip.recipes.train import TrainRecipe

ONE_MEMBER = ["--set", "committee_size=1", "--set", "compress=false"]


def with_mlip(recipe: Path, settings: list[str], out: Path) -> float:
    """Return the wall time of `mlip train`."""
    command = [sys.executable, "-m", "mlip.cli", "train", str(recipe), "--out", str(out)]
    for setting in settings:
        command += ["--set", setting]
    began = time.monotonic()
    done = subprocess.run([*command, *ONE_MEMBER], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.monotonic() - began


def bare(content: Path, steps: int, folder: Path) -> float:
    """Return the wall time of `dp train` and `dp freeze` on an input in a folder of its own."""
    folder.mkdir(parents=True)
    original = read_json(content)
    for data in ("training_data", "validation_data"):
        if data in original["training"]:
            systems = original["training"][data]["systems"]
            original["training"][data]["systems"] = [
                str((content.parent / system).resolve()) for system in systems
            ]
    write_json(folder / "input.json", original)
    threads = str(available_cores())
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "OMP_NUM_THREADS": threads,
        "DP_INTRA_OP_PARALLELISM_THREADS": threads,
        "DP_INTER_OP_PARALLELISM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    dp = dp_command()
    began = time.monotonic()
    with (folder / "train.log").open("w") as log:
        for words in (
            [*dp, "train", "input.json"],
            [*dp, "freeze", "-c", f"model.ckpt-{steps}.pt", "-o", "model.pth"],
        ):
            subprocess.run(words, cwd=folder, env=environment, stdout=log, stderr=log, check=True)
    return time.monotonic() - began


def main() -> None:
    """Run the pairs and print one row each, then the medians."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("recipe", type=Path)
    arguments.add_argument("--set", action="append", default=[], dest="settings")
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    recipe = load_recipe(given.recipe, TrainRecipe, given.settings)
    if recipe.steps is None or recipe.steps < 4 * recipe.report_every_steps:
        sys.exit("The recipe needs `steps`, at least four times report_every_steps.")
    out = given.out or Path(tempfile.mkdtemp(prefix="mlip-bench-"))
    out.mkdir(parents=True, exist_ok=True)
    # The first run also gives the input; it is no pair.
    with_mlip(given.recipe, given.settings, out / "first")
    content = out / "first" / "member_0" / "input.json"
    per_step: list[float] = []
    whole: list[float] = []
    print("| pair | ms/step mlip | ms/step dp | ratio | s mlip | s dp | ratio |")
    print("|---|---|---|---|---|---|---|")
    for pair in range(given.pairs):
        ours, theirs = out / f"mlip_{pair}", out / f"dp_{pair}" / "member"
        runs = {
            "mlip": lambda ours=ours: with_mlip(given.recipe, given.settings, ours),
            "dp": lambda theirs=theirs: bare(content, recipe.steps, theirs),
        }
        names = list(runs) if pair % 2 else list(reversed(runs))
        seconds = {name: runs[name]() for name in names}
        logs = {"mlip": ours / "member_0" / "train.log", "dp": theirs / "train.log"}
        step = {n: seconds_per_step(log) for n, log in logs.items()}
        per_step.append(step["mlip"] / step["dp"])
        whole.append(seconds["mlip"] / seconds["dp"])
        print(
            f"| {pair} | {1000 * step['mlip']:.2f} | {1000 * step['dp']:.2f} | "
            f"{per_step[-1]:.4f} | {seconds['mlip']:.1f} | {seconds['dp']:.1f} | {whole[-1]:.3f} |",
            flush=True,
        )
        shutil.rmtree(ours)
        shutil.rmtree(theirs.parent)
    print(
        f"median of ratios, mlip / dp: step {statistics.median(per_step):.4f}, "
        f"whole {statistics.median(whole):.3f}"
    )


if __name__ == "__main__":
    main()
