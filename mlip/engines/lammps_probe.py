"""Whether LAMMPS starts, runs a DeePMD model, and its MPI ranks see each other."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from mlip.engines.deepmd_probe import ELEMENTS, FORCE_REINSTALL, MODEL_FILE, REINSTALL
from mlip.engines.lammps import (
    lammps_words,
    lmp_command,
    mpi_command,
    pair_lines,
    setup_lines,
)
from mlip.engines.layer import Bench, Layer, Trial, attempt, last_lines, untested
from mlip.errors import EngineError
from mlip.execution.job import Resources
from mlip.files import write_text

OWN_SCRIPTS = Path(sys.prefix) / "bin"


@dataclass(frozen=True)
class Symptom:
    """What a line in an engine's output means.

    Attributes
    ----------
    cause : str
        In words.
    repair : str
        What to type.
    """

    cause: str
    repair: str


# The first that matches counts: special before general. {0} is what the first group caught.
SYMPTOMS: tuple[tuple[str, Symptom], ...] = (
    (
        r"libmpi\.so\.\d+: cannot open",
        Symptom(
            "the binary was started without its console script, or its MPI is not installed",
            f"unset LIPS_MLIP_LAMMPS, so that {OWN_SCRIPTS}/lmp is used; if that fails too: "
            f"{FORCE_REINSTALL}",
        ),
    ),
    (
        r"libtorch\S*\.so: cannot open",
        Symptom(
            "the libraries of torch are not found: the binary was started without its console "
            "script, or torch is not installed",
            f"unset LIPS_MLIP_LAMMPS, so that {OWN_SCRIPTS}/lmp is used; if that fails too: "
            f"{FORCE_REINSTALL}",
        ),
    ),
    (
        r"libcudart\.so\.12",
        Symptom(
            "the CUDA 12 runtime, which the plugin needs even without a GPU, is not installed",
            f"{sys.executable} -m pip install nvidia-cuda-runtime-cu12",
        ),
    ),
    (
        r"(GLIBC\w*_[\d.]+).{0,3} not found",
        Symptom(
            "the system's C or C++ library is older than the wheel needs ({0})",
            "use a newer system or container, or conda: conda install -c conda-forge deepmd-kit "
            "lammps, then set LIPS_MLIP_LAMMPS and LIPS_MLIP_DP",
        ),
    ),
    (
        r"undefined symbol: \S*(?:3c10|5torch|2at|c10::|torch::|at::)",
        Symptom(
            "torch is not the one that the plugin was built against",
            FORCE_REINSTALL,
        ),
    ),
    (
        r"unsupported PMI version|PMI2?_Init|unable to find a PMI|requires a PMI",
        Symptom(
            "the ranks were started by the launcher of another MPI",
            f"unset LIPS_MLIP_MPIEXEC, so that {OWN_SCRIPTS}/mpiexec is used",
        ),
    ),
    (
        r"driver version is insufficient|no kernel image is available",
        Symptom(
            "the NVIDIA driver is older than this torch needs, or the card is not supported",
            "update the NVIDIA driver; until then run on the processor: export DEVICE=cpu",
        ),
    ),
    (
        r"out of memory",
        Symptom(
            "the GPU has no memory left: another process uses it",
            "nvidia-smi names the process; choose another card with CUDA_VISIBLE_DEVICES",
        ),
    ),
    (
        r"Open of file \S+ failed: ([^\n]+)",
        Symptom("the plugin could not be opened: {0}", FORCE_REINSTALL),
    ),
    (
        r"error while loading shared libraries: ([^\n]+)",
        Symptom("a library is missing: {0}", FORCE_REINSTALL),
    ),
    (
        r"Unrecognized pair style 'deepmd'",
        Symptom(
            "this LAMMPS found no DeePMD plugin to load",
            f"unset LIPS_MLIP_LAMMPS LAMMPS_PLUGIN_PATH, so that {OWN_SCRIPTS}/lmp is used; if "
            f"that fails too: {REINSTALL}. A build of your own needs LAMMPS_PLUGIN_PATH set to "
            "the folder of libdeepmd_lmpplugin.so",
        ),
    ),
)


def diagnose(text: str) -> Symptom:
    """Return cause and repair for what LAMMPS or its launcher printed.

    The true reason of an unknown pair style stands one line earlier; if that line is there
    it alone is looked at.
    """
    lines = text.splitlines()
    opened = [line for line in lines if re.match(r"Open of file .* failed", line.strip())]
    looked_at = "\n".join(opened) or text
    for pattern, symptom in SYMPTOMS:
        if match := re.search(pattern, looked_at):
            return Symptom(symptom.cause.format(*match.groups()), symptom.repair)
    return Symptom(last_lines(text) or "it ended without a word", FORCE_REINSTALL)


def check_lammps(bench: Bench) -> Layer:
    """Return whether the binary starts."""
    name = "LAMMPS"
    try:
        words = lmp_command()
    except EngineError as error:
        return Layer(name, "absent", True, "", str(error), REINSTALL)
    trial = attempt(bench, "lmp", lammps_words(Resources(), ["-h"]))
    match = re.search(r"Massively Parallel Simulator - (.+)", trial.text)
    if not trial.ok or not match:
        return _broken(name, "", f"{' '.join(words)} -h", trial)
    own = Path(words[0]).parent == OWN_SCRIPTS
    text = words[0] if own else f"{words[0]}, not the one of this environment: unproved"
    return Layer(name, "ok", True, match.group(1).strip(), text)


def check_plugin(bench: Bench, lammps: Layer, deepmd: Layer) -> Layer:
    """Return whether one step with the tiny model runs."""
    name = "pair_style deepmd"
    for below in (lammps, deepmd):
        if not below.works:
            return untested(name, below)
    script = bench.directory / "plugin.lmp"
    write_text(script, _box([*pair_lines([bench.directory / MODEL_FILE], ELEMENTS), "run 1"]))
    words = lammps_words(Resources(), ["-in", str(script), "-log", "none", "-nocite"])
    trial = attempt(bench, "plugin", words)
    if not trial.ok or "Loop time of" not in trial.text:
        return _broken(name, "", "one step with a tiny model", trial)
    loaded = re.search(r"load model from: \S+ to (\S+)", trial.text)
    source = re.search(r"use deepmd-kit at:.*\n\s*source:\s*v?(\S+)", trial.text)
    device = f" on {loaded.group(1)}" if loaded else ""
    return Layer(
        name, "ok", True, source.group(1) if source else "", f"one step of a tiny model{device}"
    )


def check_mpi(bench: Bench, lammps: Layer) -> Layer:
    """Return whether two ranks of LAMMPS start and share one box."""
    name = "MPI of LAMMPS"
    if not lammps.works:
        return untested(name, lammps)
    try:
        launcher = mpi_command(2)
    except EngineError as error:
        return Layer(name, "absent", True, "", str(error), REINSTALL)
    script = bench.directory / "mpi.lmp"
    write_text(script, _box(["pair_style zero 3.0", "pair_coeff * *", "run 0"]))
    ranks = Resources(ranks=2)
    words = lammps_words(ranks, ["-in", str(script), "-log", "none", "-nocite"])
    trial = attempt(bench, "mpi", words, resources=ranks)
    grids = re.findall(r"(\d+) by (\d+) by (\d+) MPI processor grid", trial.text)
    if len(grids) > 1:
        return Layer(
            name,
            "broken",
            True,
            "",
            f"{launcher[0]}: {len(grids)} copies that do not see each other: the launcher of "
            "another MPI",
            f"unset LIPS_MLIP_MPIEXEC, so that {OWN_SCRIPTS}/mpiexec is used; a LAMMPS of your "
            "own needs LIPS_MLIP_MPIEXEC set to the mpiexec of its MPI",
        )
    if not trial.ok or [int(a) * int(b) * int(c) for a, b, c in grids] != [2]:
        return _broken(name, "", " ".join(launcher), trial)
    return Layer(name, "ok", True, "", f"{launcher[0]}: two ranks share one box")


def _broken(name: str, found: str, tried: str, trial: Trial) -> Layer:
    symptom = diagnose(trial.text)
    return Layer(name, "broken", True, found, f"{tried}: {symptom.cause}", symptom.repair)


def _box(lines: list[str]) -> str:
    """Return a script with three atoms in a box of 8 Å and then `lines`."""
    return "\n".join(
        [
            *setup_lines(1.0),
            "region box block 0 8 0 8 0 8",
            "create_box 2 box",
            "create_atoms 1 single 1.0 1.0 1.0",
            "create_atoms 1 single 2.5 1.0 1.0",
            "create_atoms 2 single 6.0 6.0 6.0",
            "mass 1 1.008",
            "mass 2 4.0026",
            *lines,
            "",
        ]
    )
