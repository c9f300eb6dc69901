"""CP2K: where it is, the MPI launcher that belongs to it, its jobs and its failures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

import numpy as np

from mlip.engines.cp2k_output import ended, read_scf, read_single_point
from mlip.engines.executables import command
from mlip.engines.single_point import Failed, SinglePoint
from mlip.errors import EngineError
from mlip.execution.job import Job, Outcome, Resources

COMMAND_VARIABLE = "LIPS_MLIP_CP2K"
LAUNCHER_VARIABLE = "LIPS_MLIP_CP2K_MPIEXEC"
PROGRAMS = ("cp2k.psmp", "cp2k.popt", "cp2k")
INPUT, OUTPUT = "input.inp", "output.out"

# Major version of the library's interface -> what the launcher's --version says.
MPI_FLAVOURS: dict[str, str] = {
    "12": r"HYDRA|MPICH|Intel\(R\) MPI",
    "20": r"Open MPI|OpenRTE",
    "40": r"Open MPI|OpenRTE",
}
LAUNCHERS = ("mpirun.openmpi", "mpiexec.openmpi", "mpiexec.mpich", "mpiexec.hydra")

# Pattern, remedy: what is wrong with the machine or the recipe, so that every frame fails.
FAILURES: tuple[tuple[str, str], ...] = (
    (
        r"not enough slots available",
        "The launcher refuses this many ranks: --set execution.ranks=1 or fewer ranks.",
    ),
    (r"odd number of electrons", "The cell holds an odd number of electrons: check its atoms."),
    (r"No space left on device", "The disk is full: free some space, then type it again."),
    (
        r"Cannot allocate memory|Out Of Memory|oom-kill|signal 9",
        "The memory is too small: fewer ranks (execution.ranks) or a smaller cell.",
    ),
    (
        r"was not\s+found in the (?:potential|basis set) file",
        "The species table names what this CP2K does not have: correct `species` in the recipe.",
    ),
    (r"Cannot open file|could not find|not find the file|does not exist", "A file is missing."),
)
# What a hopeless structure or density makes of the same program: another method may cope.
FRAME_FAILURES = (
    r"Cholesky|not positive definite|singular|NaN|eigensolver|diagonalization|"
    r"Lapack|linear depend|Bad condition"
)


def cp2k_command() -> tuple[str, ...]:
    """Return the words that start CP2K: ``LIPS_MLIP_CP2K``, else the PATH.

    Raises
    ------
    EngineError
        If there is none.
    """
    if os.environ.get(COMMAND_VARIABLE):
        return command("cp2k", COMMAND_VARIABLE)
    for program in PROGRAMS:
        if found := shutil.which(program):
            return (found,)
    raise EngineError(
        f"CP2K is not on the PATH ({', '.join(PROGRAMS)}). Install it (Debian: apt-get install "
        f"cp2k cp2k-data; conda: cp2k), or set {COMMAND_VARIABLE} to your own command."
    )


def mpi_launcher(program: str) -> tuple[str, ...]:
    """Return the launcher of the MPI library that `program` is linked with.

    Another MPI's launcher starts copies that do not see each other, and the environment of
    LAMMPS brings one that comes first on the PATH.

    Raises
    ------
    EngineError
        If the library is not recognised or its launcher is not found.
    """
    if os.environ.get(LAUNCHER_VARIABLE):
        return command("mpiexec", LAUNCHER_VARIABLE)
    libraries = _output(["ldd", str(Path(program).resolve())])
    match = re.search(r"libmpi\w*\.so\.(\d+)", libraries)
    flavour = MPI_FLAVOURS.get(match.group(1)) if match else None
    if flavour is None:
        raise EngineError(
            f"{program}: which MPI it belongs to is not visible (a script, a container, or no "
            f"MPI). Set {LAUNCHER_VARIABLE} to its mpiexec, or --set execution.ranks=1."
        )
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for name in (*LAUNCHERS, "mpirun", "mpiexec"):
        for folder in folders:
            if (folder / name).is_file() and re.search(
                flavour, _output([str(folder / name), "--version"])
            ):
                binding = ("--bind-to", "none") if "Open MPI" in flavour else ()
                return (str(folder / name), *binding)
    raise EngineError(
        f"{program} needs the launcher of {flavour.replace('|', ' or ')}, which is not on the "
        f"PATH. Set {LAUNCHER_VARIABLE}, or --set execution.ranks=1."
    )


def cp2k_version() -> str:
    """Return the version that the program reports, for example '2023.1'."""
    text = _output([*cp2k_command(), "--version"])
    match = re.search(r"CP2K version (\S+)", text)
    if not match:
        raise EngineError(
            f"{cp2k_command()[0]} --version says no version but: {text.strip()[-300:] or 'nothing'}"
        )
    return match.group(1)


def reference_blas(program: str) -> str:
    """Return the path of the BLAS that `program` is linked with if it is the slow reference one.

    Netlib's library, which Debian installs where nothing else asks for another, makes a label of
    64 atoms take 61 s instead of 40 s.
    """
    found = re.search(r"libblas\.so\S* => (\S+)", _output(["ldd", str(Path(program).resolve())]))
    path = Path(found.group(1)).resolve() if found else Path()
    return str(path) if path.parent.name == "blas" else ""


def single_point_job(name: str, directory: Path, resources: Resources) -> Job:
    """Return the job that runs ``input.inp`` in `directory` and leaves ``output.out``."""
    program = cp2k_command()
    launcher: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    if resources.ranks > 1:
        launcher = (*mpi_launcher(program[0]), "-n", str(resources.ranks))
        if os.geteuid() == 0:  # containers run as root, where Open MPI refuses by default
            environment = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return Job(
        name=name,
        argv=(*launcher, *program, "-i", INPUT),
        directory=directory,
        log=directory / OUTPUT,
        inputs=(directory / INPUT,),
        outputs=(directory / OUTPUT,),
        environment=environment,
        resources=resources,
        explain=explain,
    )


def read_result(
    job: Job, outcome: Outcome | None, atoms: int, volume_angstrom3: float
) -> SinglePoint | Failed:
    """Return what a finished `single_point_job` found, or why it found nothing.

    Parameters
    ----------
    job : Job
    outcome : Outcome or None
        None if the calculation had ended in an earlier call.
    atoms : int
    volume_angstrom3 : float
    """
    text = job.log.read_text(errors="replace") if job.log.is_file() else ""
    scf = read_scf(text)
    failure = outcome.failure if outcome is not None else ""
    if scf.iterations and not scf.converged and re.search(r"NOT converged|FAILED", text):
        said = f"{job.name}: the SCF did not converge in {scf.iterations} steps."
        return Failed("unconverged", said, scf.iterations)
    if failure or not ended(text):
        said = abort_message(text)
        cause: Literal["aborted", "environment"] = "environment"
        known = any(re.search(pattern, said) for pattern, _ in FAILURES)
        # Once the first step is made, input and installation are right: it is the structure.
        if said and (
            re.search(FRAME_FAILURES, said, re.IGNORECASE) or (scf.iterations and not known)
        ):
            cause = "aborted"
        return Failed(cause, failure or f"{job.name}: cut off. Log: {job.log}", scf.iterations)
    try:
        point = read_single_point(text, atoms, volume_angstrom3)
    except EngineError as error:
        return Failed("environment", f"{job.name}: {error}\n  Log: {job.log}", scf.iterations)
    if not np.isfinite(point.forces).all() or not np.isfinite(point.energy_ev):
        return Failed("aborted", f"{job.name}: a force is not finite.", scf.iterations)
    if point.ranks != job.resources.ranks and outcome is not None:
        return Failed(
            "environment",
            f"{job.name}: {point.ranks} ranks worked together instead of {job.resources.ranks}: "
            f"the launcher {job.argv[0]} is not the one of this CP2K. Set {LAUNCHER_VARIABLE}, or "
            "--set execution.ranks=1.",
        )
    return point


def scf_step(directory: Path) -> str:
    """Return the SCF step that a running calculation is at, in words."""
    path = directory / OUTPUT
    steps = read_scf(path.read_text(errors="replace")).iterations if path.is_file() else 0
    return f"SCF step {steps}" if steps else ""


def explain(tail: str) -> str:
    """Return cause and remedy of a failed run; the text of CP2K's own abort message."""
    said = abort_message(tail)
    for pattern, meaning in FAILURES:
        if re.search(pattern, said or tail):
            return f"CP2K says: {said}. {meaning}" if said else meaning
    return f"CP2K says: {said}." if said else ""


def abort_message(text: str) -> str:
    """Return the words in CP2K's abort box, or an empty text."""
    box = text.rpartition("[ABORT]")
    if not box[1]:
        return ""
    lines = box[2].partition("*****")[0].splitlines()[1:]
    words = [re.sub(r"^(\\___/|O/\||/\| \||/ \\|\|)\s*", "", line.strip(" *")) for line in lines]
    said = [word.strip() for word in words if word.strip()]
    place = said[-1:] if said and re.search(r"\.F:\d+$", said[-1]) else []
    return " ".join(said[: len(said) - len(place)])


def _output(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stdout + done.stderr
