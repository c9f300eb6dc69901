"""LAMMPS: input fragments for DeePMD potentials, jobs, and what a failure means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mlip.engines.executables import command
from mlip.execution.job import Job, Progress, Resources
from mlip.execution.local import available_cores, visible_gpus

# LAMMPS's own rounded constant (force->nktv2p of `units metal`), so that parity is exact.
EV_PER_ANGSTROM3_IN_BAR = 1.6021765e6

FAILURES: tuple[tuple[str, str], ...] = (
    (
        r"Open of file .* failed: (.*)",
        "The DeePMD plugin did not load: {0}. Try: mlip doctor",
    ),
    (
        r"Unrecognized pair style 'deepmd'",
        "The DeePMD plugin is not loaded. Try: mlip doctor",
    ),
    (
        r"(Lost atoms: original \d+ current \d+)",
        "{0}: atoms flew apart. The model met a structure it does not know, or the time step "
        "is too long. Look at deviation.csv, then label such structures or shorten timestep_fs.",
    ),
    (
        r"(Non-numeric (?:pressure|atom coords|box dimensions)[^\n]*)",
        "{0}: the simulation blew up. Look at deviation.csv; shorten timestep_fs or train on "
        "structures of this kind.",
    ),
    (
        r"CUDA out of memory|out of memory",
        "The GPU memory is too small for this number of atoms: more GPUs or a smaller cell.",
    ),
    (r"No space left on device", "The disk is full: free some space, then type it again."),
    (
        r"(Incomplete or corrupted LAMMPS restart file[^\n]*)",
        "{0}.",
    ),
    (r"ERROR[^:\n]*: ([^\n]*)", "LAMMPS says: {0}"),
)


# What LAMMPS says when the forces, not the machine, are to blame.
BLOW_UP = (
    r"Lost atoms|Non-numeric|Out of range atoms|Neighbor list overflow|out of range|"
    r"Box bounds are invalid|Domain too large|Too many neighbor bins|Illegal box|"
    r"skew is too large|Failed to allocate .* neighbor|Dump dcd of non-matching"
)


def lmp_command() -> tuple[str, ...]:
    """Return the words that start LAMMPS."""
    return command("lmp", "LIPS_MLIP_LAMMPS")


def mpi_command(ranks: int) -> tuple[str, ...]:
    """Return the words that start `ranks` ranks with the MPI that LAMMPS is linked with."""
    return (*command("mpiexec", "LIPS_MLIP_MPIEXEC"), "-n", str(ranks))


def explain(tail: str) -> str:
    """Return cause and remedy of a failed LAMMPS run."""
    for pattern, meaning in FAILURES:
        if match := re.search(pattern, tail):
            return meaning.format(*match.groups())
    return ""


def blew_up(tail: str) -> bool:
    """Return whether the end of a log tells of a simulation that broke down by itself."""
    return re.search(BLOW_UP, tail) is not None


def layout(compressed: bool) -> Resources:
    """Return ranks, threads and GPUs for a run that may use the whole machine.

    One rank a GPU where there are any. On processors a compressed model runs on ranks
    (one thread each), a plain one on threads: measured factors of 2 to 8.
    """
    gpus = len(visible_gpus())
    if gpus:
        return Resources(ranks=gpus, threads=max(1, available_cores() // gpus), gpus=gpus)
    cores = available_cores()
    return Resources(ranks=cores) if compressed else Resources(threads=cores)


def lammps_job(
    name: str,
    directory: Path,
    script: Path,
    log: Path,
    *,
    resources: Resources,
    outputs: Sequence[Path] = (),
    progress: Callable[[], Progress | None] | None = None,
) -> Job:
    """Return the job that runs one LAMMPS script.

    Parameters
    ----------
    name : str
        Shown in progress and errors.
    directory : Path
        Working directory: the script's relative paths start here.
    script, log : Path
        Input, and LAMMPS's own log (thermodynamic output, parsed later).
    resources : Resources
        Ranks, threads and GPUs; more than one rank goes through MPI.
    outputs : sequence of Path
        What the script promises.
    progress : callable, optional
        See `mlip.execution.job.Job`.
    """
    launcher = mpi_command(resources.ranks) if resources.ranks > 1 else ()
    return Job(
        name=name,
        argv=(*launcher, *lmp_command(), "-in", str(script), "-log", str(log), "-nocite"),
        directory=directory,
        log=log.with_suffix(".screen"),
        inputs=(script,),
        outputs=tuple(outputs),
        resources=resources,
        progress=progress,
        explain=explain,
    )


def setup_lines(timestep_fs: float) -> list[str]:
    """Return the lines that fix units, style and time step of every run here."""
    return [
        "units metal",
        "atom_style atomic",
        "atom_modify map yes",
        "boundary p p p",
        "newton on",
        "box tilt large",
        f"timestep {timestep_fs / 1000.0:.6g}",
    ]


def pair_lines(
    models: Sequence[Path],
    elements: Sequence[str],
    deviation: Path | None = None,
    deviation_every_steps: int = 100,
) -> list[str]:
    """Return the pair style of a committee; the first model drives.

    Elements are always named: without names LAMMPS takes the model's order silently.

    Parameters
    ----------
    models : sequence of Path
        Frozen models.
    elements : sequence of str
        Element of each LAMMPS atom type, in order.
    deviation : Path, optional
        Where the committee's spread goes; needs two models or more.
    deviation_every_steps : int
        How often it is evaluated.
    """
    style = "pair_style deepmd " + " ".join(str(model) for model in models)
    if deviation is not None and len(models) > 1:
        style += f" out_file {deviation} out_freq {deviation_every_steps}"
    return [style, "pair_coeff * * " + " ".join(elements)]


def single_point_script(
    data: Path, model: Path, elements: Sequence[str], dump: Path, output: Path
) -> str:
    """Return a script that writes energy, potential-part pressure and forces of one frame.

    `output` gets one line: energy (eV), then pxx pyy pzz pxy pxz pyz (bar) without the
    kinetic part; `dump` gets id and forces (eV/Å), sorted by id.
    """
    lines = [
        *setup_lines(1.0),
        f"read_data {data}",
        *pair_lines([model], elements),
        "compute p all pressure NULL virial",
        "thermo_style custom step pe c_p[1] c_p[2] c_p[3] c_p[4] c_p[5] c_p[6]",
        f"dump f all custom 1 {dump} id fx fy fz",
        'dump_modify f sort id format line "%d %.16g %.16g %.16g"',
        "run 0",
        "variable e equal pe",
        *(f"variable p{k} equal c_p[{k}]" for k in range(1, 7)),
        'print "$(v_e:%.16g) '
        + " ".join(f"$(v_p{k}:%.16g)" for k in range(1, 7))
        + f'" file {output}',
    ]
    return "\n".join(lines) + "\n"
