"""Reader of VASP OUTCAR files, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from mlip.data.frames import Frames
from mlip.data.sources import open_text, pieces
from mlip.data.vasp import STEPS_IN_A_PIECE, Readers, StepRecord, assembled, read_pieces
from mlip.data.vasp_level import outcar_level
from mlip.errors import DataError

READERS = Readers("vasp/outcar", "vasp-out", "OUTCAR")
END_OF_STEP = "energy  without entropy="
# One block a step of on-the-fly learning, before the electronic loop if there is one.
PREDICTION_BEGINS, PREDICTION_ENDS = "ML FORCE on cell", "ML energy  without entropy"


def read_outcar(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read an OUTCAR of VASP 5 or 6 with dpdata and with ASE.

    Steps that the on-the-fly force field of VASP 6 predicted (``ML FORCE``, ``ML TOTEN``) hold
    no first principles and are left out. So are steps whose electronic loop stopped before
    EDIFF, and a last step that was cut off; all are counted.

    Parameters
    ----------
    path : Path
        Plain or compressed.
    timestep_fs : float, optional
        Time between steps; by default POTIM of an MD run (IBRION = 0).

    Returns
    -------
    list of Frames
        One entry.

    Raises
    ------
    DataError
        If it is no OUTCAR, holds no complete step, is joined from several runs, or dpdata, ASE
        and the text disagree.
    UnitError
        If the virial does not belong to the printed pressure.
    """
    steps = StepRecord()
    level: dict[str, str] = {}
    with open_text(path) as handle:
        lines = _without_predictions(handle, steps, path)
        head, first = _head(lines, path)
        text = "".join(head)
        nelm = re.search(r"NELM\s*=\s*(\d+)", text)

        def whole_pieces() -> Iterator[list[str]]:
            for piece, whole in pieces(chain([first], lines), _ends_step, STEPS_IN_A_PIECE):
                if not whole:
                    steps.cut_off = any("Iteration" in line for line in piece)
                    return
                if not level:
                    level.update(outcar_level(text + "".join(piece)))
                _record(piece, steps, int(nelm.group(1)) if nelm else None)
                yield [*head, *piece]

        readings = read_pieces(whole_pieces(), READERS, path)
    return [assembled(path, readings, steps, timestep_fs or _potim_fs(text), level)]


def _without_predictions(lines: Iterable[str], steps: StepRecord, path: Path) -> Iterator[str]:
    """Pass the lines on without the blocks of the on-the-fly force field, counting them."""
    inside, blocks = False, 0
    for line in lines:
        if PREDICTION_BEGINS in line:
            inside = True
        elif inside:
            if PREDICTION_ENDS in line:
                inside, blocks = False, blocks + 1
        else:
            if "TOTAL-FORCE" in line and "(ML)" in line:
                raise DataError(
                    f"{path}: forces of the on-the-fly force field stand outside of a block "
                    f"`{PREDICTION_BEGINS}`; this layout is unknown, so predicted and computed "
                    "steps cannot be told apart."
                )
            if _ends_step(line):
                # The last block before a computed step is of that step.
                steps.predicted += max(blocks - 1, 0)
                blocks = 0
            yield line
    steps.predicted += blocks


def _head(lines: Iterator[str], path: Path) -> tuple[list[str], str]:
    """Return the lines before the first electronic iteration, and that line."""
    head: list[str] = []
    for line in lines:
        if "Iteration" in line and "(" in line:
            break
        head.append(line)
    else:
        line = ""
    if "vasp" not in "".join(head[:5]).lower():
        raise DataError(f"{path}: does not start like a VASP OUTCAR. Is the format right?")
    return head, line


def _ends_step(line: str) -> bool:
    return END_OF_STEP in line and "ML" not in line


def _potim_fs(head: str) -> float | None:
    potim = re.search(r"POTIM\s*=\s*([\d.]+)", head)
    ibrion = re.search(r"IBRION\s*=\s*(-?\d+)", head)
    return float(potim.group(1)) if potim and ibrion and ibrion.group(1) == "0" else None


def _record(piece: list[str], steps: StepRecord, nelm: int | None) -> None:
    """Take number, pressure and convergence of each step of a piece."""
    begin = 0
    for end in [k for k, line in enumerate(piece) if _ends_step(line)]:
        text = "".join(piece[begin : end + 1])
        begin = end + 1
        loops = re.findall(r"Iteration\s+(\d+)\(\s*(\d+)\)", text)
        previous = steps.numbers[-1] if steps.numbers else 0
        steps.numbers.append(int(loops[-1][0]) if loops else previous + 1)
        # The external pressure is tr/3 of the stress less PSTRESS, printed as Pullay stress.
        pressure = re.findall(r"external pressure =\s*(\S+) kB\s*Pullay stress =\s*(\S+) kB", text)
        steps.pressures_kbar += [float(p) + float(pullay) for p, pullay in pressure]
        if "aborting loop because EDIFF is reached" in text:
            steps.converged.append(True)
        elif "aborting loop" in text or (nelm and loops and int(loops[-1][1]) >= nelm):
            steps.converged.append(False)
        else:
            steps.converged.append(None)
