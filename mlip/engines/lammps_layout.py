"""The layout of a run, ranks x threads and GPUs, found by short probes and kept in the cache."""

from __future__ import annotations

import math
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mlip.engines.lammps import lammps_job, layout, pair_lines, setup_lines
from mlip.engines.lammps_speed import WARM_STEPS, read_timings
from mlip.errors import EngineError
from mlip.execution.job import Resources
from mlip.execution.local import available_cores, run_jobs, visible_gpus
from mlip.execution.progress import tell
from mlip.execution.shares import Share
from mlip.execution.speed import recall_record, remember_record
from mlip.files import sha256, write_text
from mlip.recipes.site import read_site

STORE = "layouts"
STEPS = 30
# A probe of a large cell, or of a bad layout, ends here with the steps that it has done.
LONGEST_RUN_SECONDS = 20
# A rank with fewer atoms of its own mostly computes ghosts.
LEAST_ATOMS_A_RANK = 16
MIB_IN_GIB = 1024.0
LOOK_SECONDS = 0.3
BUSY_PERCENT = 25.0


@dataclass(frozen=True)
class Layout:
    """How a model runs fastest on this host at a size, as measured.

    Attributes
    ----------
    ranks, threads, gpus : int
        One rank a GPU.
    atoms : int
        Size at which it was measured.
    steps_per_second : float
        Of the driving model, without output and the committee's deviation.
    memory_gib : float
        Peak resident memory of all ranks together at that size, committee loaded.
    busy : bool
        Other work was running: it is measured again when the machine is idle.
    """

    ranks: int
    threads: int
    gpus: int
    atoms: int
    steps_per_second: float
    memory_gib: float
    busy: bool

    @property
    def resources(self) -> Resources:
        """Return what a job of this layout occupies."""
        return Resources(ranks=self.ranks, threads=self.threads, gpus=self.gpus)

    def steps_per_second_at(self, atoms: int) -> float:
        """Return the speed at another size of the class: the cost grows with the atoms."""
        return self.steps_per_second * self.atoms / atoms

    def __str__(self) -> str:
        """Return the layout in words."""
        words = f"{self.ranks} rank(s) x {self.threads} thread(s)"
        return f"{words}, {self.gpus} GPU(s)" if self.gpus else words


def best_layout(
    models: Sequence[Path], elements: Sequence[str], data: Path, atoms: int, token: str
) -> Layout:
    """Return the fastest layout for a committee and a size on this host.

    It is probed once for a host, model, size class (power of two) and number of cores and
    GPUs, and then taken from the user's cache. A site file's `ranks` and `threads` leave one
    candidate, which is measured all the same.

    Parameters
    ----------
    models : sequence of Path
        Committee; the first drives.
    elements : sequence of str
        Of the atom types in `data`, in order.
    data : Path
        LAMMPS data file of the structure that is to be run.
    atoms : int
        In it.
    token : str
        Lock token of the workspace.

    Raises
    ------
    EngineError
        If every probe fails, with the reason of each.
    InterruptedRunError
        On Ctrl-C or SIGTERM.
    """
    key = layout_key(models, atoms)
    kept = known_layout(models, atoms)
    if kept is not None and (not kept.busy or _busy()):
        return kept
    found = probe_layouts(candidates(atoms), models, elements, data, token)
    remember_record(STORE, key, asdict(found))
    return found


def known_layout(models: Sequence[Path], atoms: int, share: Share | None = None) -> Layout | None:
    """Return the layout that an earlier run found, without probing; None before the first.

    Parameters
    ----------
    models : sequence of Path
    atoms : int
    share : Share, optional
        On that part of the machine; on all that this process may use without it.
    """
    kept = recall_record(STORE, layout_key(models, atoms, share))
    try:
        return Layout(**kept) if kept else None
    except TypeError:
        return None


def layout_key(models: Sequence[Path], atoms: int, share: Share | None = None) -> str:
    """Return what a measured layout holds for: host, model, committee, size class, devices."""
    cores = available_cores() if share is None else share.cores
    gpus = len(visible_gpus()) if share is None else share.gpus
    size = 1 << math.ceil(math.log2(max(atoms, 1)))
    site = read_site()
    forced = f"{site.ranks} x {site.threads or 1}" if site.ranks else "free"
    return (
        f"{platform.node()}, {sha256(models[0])}, {len(models)} members, up to {size} atoms, "
        f"{cores} cores, {gpus} gpus, {forced}"
    )


def candidates(atoms: int) -> tuple[Resources, ...]:
    """Return the layouts worth a probe, the likeliest first."""
    site = read_site()
    cores, gpus = available_cores(), len(visible_gpus())
    if site.ranks is not None:
        cards = min(gpus, site.ranks)
        return (Resources(ranks=site.ranks, threads=site.threads or 1, gpus=cards),)
    most = max(1, atoms // LEAST_ATOMS_A_RANK)
    if gpus:
        counts = sorted({min(count, most) for count in (*_powers(gpus), gpus)}, reverse=True)
        return tuple(Resources(n, max(1, cores // n), n) for n in counts)
    found = []
    for ranks in sorted({*_powers(cores), cores}, reverse=True):
        if ranks <= most:
            found += [Resources(ranks), Resources(ranks, cores // ranks)]
    # Cores not used may be the faster ones: half of them are often hyper-threads.
    guess = layout(compressed=True)
    return tuple(sorted(dict.fromkeys(found), key=lambda entry: entry != guess))


def probe_layouts(
    tried: Sequence[Resources],
    models: Sequence[Path],
    elements: Sequence[str],
    data: Path,
    token: str,
) -> Layout:
    """Measure layouts one after the other and return the fastest; see `best_layout`."""
    if len(tried) > 1:
        tell(f"Layout of this size is not known yet: {len(tried)} short probes.")
    measured: list[Layout] = []
    reasons: list[str] = []
    busy = _busy()
    scratch = Path(tempfile.mkdtemp(prefix="mlip-layout-", dir=read_site().scratch))
    try:
        for resources in tried:
            try:
                probe = _probe(resources, models, elements, data, scratch, token)
                measured.append(replace(probe, busy=busy))
            except EngineError as error:
                first = str(error).splitlines()[0]
                reasons.append(f"{_words(resources)}: {first}")
                tell(f"Layout left out, {reasons[-1]}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not measured:
        raise EngineError(
            "No layout runs this model and structure here:\n  "
            + "\n  ".join(reasons)
            + "\nTry: mlip doctor"
        )
    best = max(measured, key=lambda entry: entry.steps_per_second)
    note = " Other work was running: measured again when it is not." if busy else ""
    speed = f"{best.steps_per_second:.3g} steps/s, {best.memory_gib:.2f} GiB"
    tell(f"Layout: {best}, {speed}.{note}")
    return best


def probe_script(
    models: Sequence[Path], elements: Sequence[str], data: Path, deviation: Path
) -> str:
    """Return the script of a probe: the committee is loaded, the first model drives."""
    lines = [
        *setup_lines(0.5),
        f"read_data {data.resolve()}",
        # Evaluated at step 0 only, so that the memory of the others counts but not their time.
        *pair_lines([model.resolve() for model in models], elements, deviation, 10**6),
        "velocity all create 300 1",
        "fix move all nve",
        f"timer timeout {LONGEST_RUN_SECONDS} every 1",
        f"run {WARM_STEPS}",
        f"timer timeout {LONGEST_RUN_SECONDS} every 1",
        f"run {STEPS}",
        "info memory",
    ]
    return "\n".join(lines) + "\n"


def _probe(
    resources: Resources,
    models: Sequence[Path],
    elements: Sequence[str],
    data: Path,
    scratch: Path,
    token: str,
) -> Layout:
    folder = scratch / f"{resources.ranks}x{resources.threads}x{resources.gpus}"
    folder.mkdir()
    script = folder / "in.probe"
    write_text(script, probe_script(models, elements, data, folder / "deviation"))
    job = lammps_job("layout", folder, script, folder / "log.probe", resources=resources)
    (outcome,) = run_jobs([job], token, show=lambda name, progress: None)
    if not outcome.ok:
        raise EngineError(outcome.failure)
    (timing,) = read_timings(job.log)
    if timing.steps < 1 or timing.seconds <= 0:
        raise EngineError(f"no step within {LONGEST_RUN_SECONDS} s")
    return Layout(
        resources.ranks,
        resources.threads,
        resources.gpus,
        timing.atoms,
        timing.steps / timing.seconds,
        timing.memory_mebibyte * resources.ranks / MIB_IN_GIB,
        busy=False,
    )


def _busy() -> bool:
    """Return whether other work takes a good part of the cores just now."""
    import psutil

    return float(psutil.cpu_percent(interval=LOOK_SECONDS)) > BUSY_PERCENT


def _powers(most: int) -> list[int]:
    return [1 << n for n in range(most.bit_length())]


def _words(resources: Resources) -> str:
    return f"{resources.ranks} x {resources.threads}, {resources.gpus} GPUs"
