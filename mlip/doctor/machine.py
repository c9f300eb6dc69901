"""What the machine offers: graphics cards, scheduler, disk and memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

from mlip.engines.layer import Bench, Layer, attempt, last_lines
from mlip.execution.local import available_cores, visible_gpus

GIB = 1024**3
# A committee with its checkpoints and a 1 ns trajectory of 100,000 atoms.
DISK_WANTED_GIB = 20.0
# One DeePMD training of the worked example, with torch loaded.
MEMORY_WANTED_GIB = 4.0


def check_driver(bench: Bench) -> Layer:
    """Return the NVIDIA driver and the cards that it shows; none is no fault."""
    name = "NVIDIA driver"
    program = shutil.which("nvidia-smi")
    if program is None:
        return Layer(name, "absent", False, "", "no nvidia-smi: everything runs on the processor")
    query = "--query-gpu=driver_version,name,memory.total"
    trial = attempt(bench, "nvidia-smi", [program, query, "--format=csv,noheader"])
    cards = [line.split(", ") for line in trial.text.splitlines() if line.count(", ") == 2]
    if not trial.ok or not cards:
        return Layer(
            name,
            "broken",
            False,
            "",
            f"nvidia-smi: {last_lines(trial.text)}",
            "reinstall the NVIDIA driver and reboot (in a container: start it with --gpus all); "
            "until then: export DEVICE=cpu",
        )
    listing = ", ".join(f"{index}: {card[1]} {card[2]}" for index, card in enumerate(cards))
    return Layer(name, "ok", False, cards[0][0], listing)


def check_mapping() -> Layer:
    """Return which MPI rank would run on which card."""
    name = "ranks to GPUs"
    cards = visible_gpus()
    if not cards:
        return Layer(name, "absent", False, "", "no GPU: one rank a core, CPU models")
    listing = ", ".join(f"rank {rank}: GPU {card}" for rank, card in enumerate(cards))
    return Layer(name, "ok", False, "", f"{listing} (CUDA_VISIBLE_DEVICES limits and orders them)")


def check_scheduler(bench: Bench) -> Layer:
    """Return whether Slurm is there and answers; none is no fault."""
    name = "Slurm"
    if shutil.which("sbatch") is None or shutil.which("sinfo") is None:
        return Layer(name, "absent", False, "", "no sbatch: runs stay on this machine")
    found = attempt(bench, "sinfo-version", ["sinfo", "--version"]).text.removeprefix("slurm ")
    trial = attempt(bench, "sinfo", ["sinfo", "-h", "-o", "%P %a %D"])
    if not trial.ok:
        return Layer(
            name,
            "warning",
            False,
            found.strip(),
            f"installed, but sinfo does not answer: {last_lines(trial.text, 1)}",
            "ask the administrator whether slurmctld runs: scontrol ping",
        )
    partitions = ", ".join(line.split()[0] for line in trial.text.splitlines() if line.split())
    return Layer(name, "ok", False, found.strip(), f"partitions: {partitions or 'none'}")


def check_disk(directory: Path) -> Layer:
    """Return how much room there is where results would go."""
    free = shutil.disk_usage(directory).free / GIB
    text = f"{free:.0f} GiB free in {directory}"
    if not os.access(directory, os.W_OK):
        text += "; not writable"
        return Layer("disk", "warning", False, "", text, "choose --out elsewhere")
    if free < DISK_WANTED_GIB:
        text += f", {DISK_WANTED_GIB:.0f} GiB wanted for a training and a long run"
        return Layer(
            "disk", "warning", False, "", text, "free some space or choose --out elsewhere"
        )
    return Layer("disk", "ok", False, "", text)


def check_memory() -> Layer:
    """Return cores and memory."""
    memory = psutil.virtual_memory()
    free, total = memory.available / GIB, memory.total / GIB
    text = f"{available_cores()} cores, {free:.1f} of {total:.1f} GiB free"
    if free < MEMORY_WANTED_GIB:
        text += f", {MEMORY_WANTED_GIB:.0f} GiB wanted for training"
        return Layer("memory", "warning", False, "", text, "end other programs, or train elsewhere")
    return Layer("memory", "ok", False, "", text)
