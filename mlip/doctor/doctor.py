"""`mlip doctor`: try every layer that training and MD stand on, and say how to repair it."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlip.doctor.machine import (
    check_disk,
    check_driver,
    check_mapping,
    check_memory,
    check_scheduler,
)
from mlip.doctor.packages import check_packages, check_python
from mlip.doctor.site import check_site
from mlip.engines.cp2k_probe import check_cp2k
from mlip.engines.deepmd_probe import check_deepmd, check_torch, try_model
from mlip.engines.lammps_probe import check_lammps, check_mpi, check_plugin
from mlip.engines.layer import Bench, Layer
from mlip.engines.packmol_probe import check_packmol
from mlip.errors import EngineError, InterruptedRunError
from mlip.execution.local import visible_gpus
from mlip.lock import end_processes


def doctor() -> list[Layer]:
    """Try every layer, from Python to the scheduler.

    Programs run as subprocesses in a temporary directory; about half a minute. A layer that
    fails does not stop the others; those that stand on it are not tested.

    Returns
    -------
    list of Layer
        From the bottom to the top.

    Raises
    ------
    InterruptedRunError
        On Ctrl-C or SIGTERM.
    """
    with tempfile.TemporaryDirectory(prefix="mlip-doctor-") as folder:
        bench = Bench(Path(folder))
        try:
            return _layers(bench)
        finally:
            end_processes(bench.token)


def _layers(bench: Bench) -> list[Layer]:
    cards = visible_gpus()
    layers = [_guarded("Python", check_python), _guarded("mlip and analysis", check_packages)]
    layers.append(_guarded("site file", check_site))
    driver = _guarded("NVIDIA driver", lambda: check_driver(bench), needed=False)
    trial = try_model(bench)
    torch = _guarded("torch", lambda: check_torch(bench, trial, cards))
    deepmd = _guarded("deepmd-kit", lambda: check_deepmd(bench, trial, torch))
    lammps = _guarded("LAMMPS", lambda: check_lammps(bench))
    plugin = _guarded("pair_style deepmd", lambda: check_plugin(bench, lammps, deepmd))
    mpi = _guarded("MPI of LAMMPS", lambda: check_mpi(bench, lammps))
    layers += [driver, torch, deepmd, lammps, plugin, mpi]
    layers += [
        _guarded("ranks to GPUs", check_mapping, needed=False),
        _guarded("CP2K", check_cp2k, needed=False),
        _guarded("Packmol", lambda: check_packmol(bench), needed=False),
        _guarded("Slurm", lambda: check_scheduler(bench), needed=False),
        _guarded("disk", lambda: check_disk(Path.cwd()), needed=False),
        _guarded("memory", check_memory, needed=False),
    ]
    return layers


def exit_code(layers: Sequence[Layer]) -> int:
    """Return 0 if every layer that is needed works, else 4."""
    failed = any(layer.needed and not layer.works for layer in layers)
    return EngineError.exit_code if failed else 0


def as_table(layers: Sequence[Layer], width: int = 100) -> str:
    """Return the layers as a plain table, and the repairs below it, ready to be typed.

    Parameters
    ----------
    layers : sequence of Layer
    width : int
        Characters in a line.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("layer", "status", "found", "what was tried"):
        table.add_column(heading, overflow="fold")
    for layer in layers:
        # Text, not markup: a message may hold square brackets.
        table.add_row(*(Text(cell) for cell in (layer.name, layer.status, layer.found, layer.text)))
    buffer = io.StringIO()
    Console(file=buffer, width=width, color_system=None, highlight=False).print(table)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    repairs = [layer for layer in layers if layer.repair]
    for layer in repairs:
        lines += ["", f"{layer.name}: {layer.status}. To repair it:", f"  {layer.repair}"]
    failed = [layer.name for layer in layers if layer.needed and not layer.works]
    verdict = f"Not ready: {', '.join(failed)}." if failed else "Ready to train and to run MD."
    return "\n".join([*lines, "", verdict]) + "\n"


def as_json(layers: Sequence[Layer]) -> str:
    """Return the layers as JSON: a list of objects, and whether all that is needed works."""
    content = {
        "ready": exit_code(layers) == 0,
        "layers": [dataclasses.asdict(layer) for layer in layers],
    }
    return json.dumps(content, indent=2)


def _guarded(name: str, check: Callable[[], Layer], *, needed: bool = True) -> Layer:
    """Return the layer, or a broken one if its check itself went wrong."""
    try:
        return check()
    except InterruptedRunError:
        raise
    except Exception as error:
        return Layer(
            name,
            "broken",
            needed,
            "",
            f"the check itself failed ({type(error).__name__}: {error})",
            "rm -r .venv && make install",
        )
