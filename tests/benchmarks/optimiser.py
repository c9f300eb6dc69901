"""How the optimiser and the fall of its learning rate decide the error of a short training.

    .venv/bin/python tests/benchmarks/optimiser.py RECIPE [--out DIR]

RECIPE is one of `mlip train` with an ingested set that has a test split; give it the steps that
can be afforded. One member is trained in each of the ways below, everything else alike (network,
loss, seed, order of the frames), and tested by `dp test` on the test split. Two run side by side,
one core each; DeePMD-kit's own mean time of a step is printed too.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlip.engines.deepmd import ENVIRONMENT, dp_command
from mlip.files import read_json, write_json
from mlip.recipes.base import load_recipe, resolve
from mlip.recipes.train import TrainRecipe
from mlip.training.inputs import OPTIMISER

WAYS = (
    ("Adam", "exp", 1e-3, 1e-6),
    ("Adam", "cosine", 5e-3, 1e-6),
    ("HybridMuon", "cosine", 2e-3, 1e-6),
    ("HybridMuon", "cosine", 5e-3, 1e-6),
    ("HybridMuon", "cosine", 1e-2, 1e-6),
)
# An exponential fall in a hundred levels.
LEVELS = 100
FORCE = re.compile(r"Force\s+RMSE\s*:\s*([\d.eE+-]+)")
STEP_TIME = re.compile(r"average training time: ([\d.]+) s/batch")
ENERGY = re.compile(r"Energy RMSE/Natoms\s*:\s*([\d.eE+-]+)")
ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "DP_INTRA_OP_PARALLELISM_THREADS": "1",
    "DP_INTER_OP_PARALLELISM_THREADS": "1",
}


def first_input(recipe: Path, folder: Path) -> dict[str, object]:
    """Return the input that `mlip train` writes, its data named by whole paths."""
    command = [sys.executable, "-m", "mlip.cli", "train", str(recipe), "--out", str(folder)]
    for setting in ("committee_size=1", "compress=false", "steps=1", "report_every_steps=1"):
        command += ["--set", setting]
    subprocess.run(command, check=True, capture_output=True)
    content = read_json(folder / "member_0" / "input.json")
    data = content["training"]["training_data"]
    data["systems"] = [str((folder / "member_0" / name).resolve()) for name in data["systems"]]
    content["training"].pop("validation_data", None)
    return content


def trained(
    content: dict[str, object], way: tuple[str, str, float, float], steps: int, folder: Path
) -> Path:
    """Train in one way; return the frozen model."""
    optimiser, kind, start, stop = way
    rate = {"type": kind, "start_lr": start, "stop_lr": stop}
    if kind == "exp":
        rate["decay_steps"] = max(1, steps // LEVELS)
    changed = {
        "optimizer": OPTIMISER if optimiser == OPTIMISER["type"] else {"type": optimiser},
        "learning_rate": rate,
        "training": {**content["training"], "numb_steps": steps, "disp_freq": 100},
    }
    folder.mkdir(parents=True)
    write_json(folder / "input.json", {**content, **changed})
    environment = {**os.environ, **ENVIRONMENT, **ONE_CORE}
    dp = dp_command()
    with (folder / "train.log").open("w") as log:
        for words in ([*dp, "train", "input.json"], [*dp, "freeze", "-o", "model.pth"]):
            subprocess.run(words, cwd=folder, env=environment, stdout=log, stderr=log, check=True)
    return folder / "model.pth"


def tested(model: Path, split: Path) -> tuple[float, float]:
    """Return the errors over a split: force in meV/Å, energy in meV/atom."""
    words = [*dp_command(), "test", "-m", str(model), "-s", str(split), "-n", "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    text = done.stdout + done.stderr
    # The last words are those on all systems together.
    return 1000 * float(FORCE.findall(text)[-1]), 1000 * float(ENERGY.findall(text)[-1])


def main() -> None:
    """Train in every way and print one row each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("recipe", type=Path)
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    recipe = load_recipe(given.recipe, TrainRecipe, [])
    if recipe.steps is None:
        sys.exit("The recipe needs `steps`.")
    out = given.out or Path(tempfile.mkdtemp(prefix="mlip-bench-"))
    content = first_input(given.recipe, out / "input")
    test = resolve(recipe.data, given.recipe) / "test"
    with ThreadPoolExecutor(2) as pool:
        models = [
            pool.submit(trained, content, way, recipe.steps, out / "{}_{}_{:g}_{:g}".format(*way))
            for way in WAYS
        ]
        print(f"{recipe.steps} steps\n")
        print("| optimiser | fall | start | stop | force meV/Å | energy meV/atom | ms a step |")
        print("|---|---|---|---|---|---|---|")
        for way, model in zip(WAYS, models, strict=True):
            force, energy = tested(model.result(), test)
            log = (model.result().parent / "train.log").read_text()
            step = 1000 * float(STEP_TIME.findall(log)[-1])
            words = "| {} | {} | {:g} | {:g} |".format(*way)
            print(f"{words} {force:.0f} | {energy:.1f} | {step:.0f} |", flush=True)


if __name__ == "__main__":
    main()
