"""LAMMPS: input fragments for DeePMD potentials, jobs, and what a failure means."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mlip.engines.executables import command
from mlip.engines.lammps_failures import FAILURES, explain, failure_in
from mlip.engines.lammps_start import without_script
from mlip.errors import BlowUpError, EngineError
from mlip.execution.job import Job, Progress, Resources
from mlip.execution.local import available_cores, visible_gpus
from mlip.recipes.site import read_site, site_file

# LAMMPS's own rounded constant (force->nktv2p of `units metal`), so that parity is exact.
EV_PER_ANGSTROM3_IN_BAR = 1.6021765e6


def lmp_command() -> tuple[str, ...]:
    """Return the words that start LAMMPS: of the environment, the site file, or installed."""
    site = read_site()
    if site.lammps_command and not os.environ.get("LIPS_MLIP_LAMMPS"):
        words = site.lammps_command
        # A prologue may be what brings the program onto the PATH.
        found = words[0] if site.prologue else shutil.which(words[0])
        if found is None:
            raise EngineError(
                f"{site_file()}: lammps_command {words[0]!r}: no such program. Name it with its "
                "whole path, or load it in `prologue`."
            )
        return (found, *words[1:])
    return command("lmp", "LIPS_MLIP_LAMMPS")


def mpi_command(ranks: int, threads: int = 1) -> tuple[str, ...]:
    """Return the words that start `ranks` ranks with the MPI that LAMMPS is linked with."""
    site = read_site()
    if site.launcher and not os.environ.get("LIPS_MLIP_MPIEXEC"):
        return site.launch(ranks, threads)
    return (*command("mpiexec", "LIPS_MLIP_MPIEXEC"), "-n", str(ranks))


def lammps_words(resources: Resources, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return all words of a LAMMPS call: prologue and launcher of the site, program, arguments.

    Raises
    ------
    EngineError
        If LAMMPS, its launcher or, with a prologue, bash is found nowhere.
    RecipeError
        If the site file is not valid.
    """
    site = read_site()
    launched = resources.ranks > 1 or bool(site.launcher)
    launcher = mpi_command(resources.ranks, resources.threads) if launched else ()
    if not site.prologue:
        return (*launcher, *without_script(lmp_command()), *arguments)
    # The script extends what a prologue sets.
    words = (*launcher, *lmp_command(), *arguments)
    bash = shutil.which("bash")
    if bash is None:
        raise EngineError(f"{site_file()}: its prologue needs bash, which is not on the PATH.")
    # `exec` leaves no shell between the process group and the engine.
    return (bash, "-c", "\n".join((*site.prologue, 'exec "$@"')), "lammps", *words)


def blew_up(tail: str) -> bool:
    """Return whether the end of a log tells of a simulation that broke down by itself."""
    found = failure_in(tail, tuple(row for row in FAILURES if row.error is BlowUpError))
    return found is not None


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
    return Job(
        name=name,
        argv=lammps_words(resources, ("-in", str(script), "-log", str(log), "-nocite")),
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
    *,
    by_atom: bool = False,
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
    by_atom : bool
        Write that of every atom too, in the order of the ids.
    """
    style = "pair_style deepmd " + " ".join(str(model) for model in models)
    if deviation is not None and len(models) > 1:
        style += f" out_file {deviation} out_freq {deviation_every_steps}"
        style += " atomic" * by_atom
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
