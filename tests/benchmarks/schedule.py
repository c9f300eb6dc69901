"""How the fall of the learning rate decides the error of a short training.

    .venv/bin/python tests/benchmarks/schedule.py RECIPE [--out DIR]

RECIPE is one of `mlip train` with an ingested set that has a test split; give it the steps that
can be afforded. One member is trained with each of the schedules below, everything else alike
(network, loss, seed, order of the frames), and tested by `dp test` on the test split. Two run side
by side, one core each: only errors are compared, no times.
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

SCHEDULES = (
    ("exp", 1e-3, 1e-6),
    ("exp", 2e-3, 5e-6),
    ("cosine", 2e-3, 1e-5),
    ("cosine", 5e-3, 1e-5),
    ("cosine", 1e-2, 1e-5),
)
# An exponential fall in a hundred levels.
LEVELS = 100
FORCE = re.compile(r"Force\s+RMSE\s*:\s*([\d.eE+-]+)")
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
    content: dict[str, object], schedule: tuple[str, float, float], steps: int, folder: Path
) -> Path:
    """Train with a schedule; return the frozen model."""
    kind, start, stop = schedule
    rate = {"type": kind, "start_lr": start, "stop_lr": stop}
    if kind == "exp":
        rate["decay_steps"] = max(1, steps // LEVELS)
    training = {**content["training"], "numb_steps": steps, "disp_freq": 100}
    folder.mkdir(parents=True)
    write_json(folder / "input.json", {**content, "learning_rate": rate, "training": training})
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
    """Train with every schedule and print one row each."""
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
            pool.submit(
                trained, content, schedule, recipe.steps, out / "{}_{:g}_{:g}".format(*schedule)
            )
            for schedule in SCHEDULES
        ]
        print(f"{recipe.steps} steps\n\n| fall | start | stop | force meV/Å | energy meV/atom |")
        print("|---|---|---|---|---|")
        for (kind, start, stop), model in zip(SCHEDULES, models, strict=True):
            force, energy = tested(model.result(), test)
            print(f"| {kind} | {start:g} | {stop:g} | {force:.0f} | {energy:.1f} |", flush=True)


if __name__ == "__main__":
    main()
