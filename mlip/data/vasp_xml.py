"""Reader of vasprun.xml files, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from mlip.data.frames import Frames
from mlip.data.sources import open_text, pieces
from mlip.data.vasp import STEPS_IN_A_PIECE, Readers, StepRecord, assembled, read_pieces
from mlip.data.vasp_level import xml_level
from mlip.errors import DataError

READERS = Readers("vasp/xml", "vasp-xml", "vasprun.xml")
END = "</modeling>\n"


def read_xml(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read a vasprun.xml of VASP 5 or 6 with dpdata and with ASE.

    Forces outside of a ``<calculation>``, and a calculation without electronic iteration
    (``<scstep>``), are predictions of the on-the-fly force field: left out and counted. Their
    place among the computed steps is not certain, so there is no time axis then.

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
        If it is no vasprun.xml, holds no complete step, or dpdata, ASE and the text disagree.
    UnitError
        If the virial does not belong to the printed pressure.
    """
    steps = StepRecord()
    with open_text(path) as handle:
        head, first = _head(handle)
        root = _parsed([*head, END] if first else head, path)
        if root.tag != "modeling":
            raise DataError(f"{path}: XML of <{root.tag}>, expected the <modeling> of VASP.")
        incar = {str(i.get("name")): (i.text or "").strip() for i in root.findall("incar/i")}
        lines = _calculations(first, handle, steps)

        def whole_pieces() -> Iterator[list[str]]:
            for piece, whole in pieces(lines, _closes, STEPS_IN_A_PIECE):
                if not whole:
                    steps.cut_off = True
                    return
                if kept := _computed(piece, steps, incar, path):
                    yield [*head, *kept, END]

        readings = read_pieces(whole_pieces(), READERS, path)
    steps.numbered = steps.predicted == 0
    if timestep_fs is None and incar.get("IBRION") == "0" and "POTIM" in incar:
        timestep_fs = float(incar["POTIM"])
    return [assembled(path, readings, steps, timestep_fs, xml_level(root))]


def _head(lines: Iterable[str]) -> tuple[list[str], str]:
    """Return the lines before the first calculation, and the line that begins it."""
    head: list[str] = []
    for line in lines:
        if "<calculation>" in line:
            return head, line
        head.append(line)
    return head, ""


def _calculations(first: str, lines: Iterable[str], steps: StepRecord) -> Iterator[str]:
    """Pass on the lines of calculations; count forces outside of them."""
    inside = bool(first)
    ended = not inside
    if first:
        yield first
    for line in lines:
        if inside:
            yield line
            inside = not _closes(line)
        elif "<calculation>" in line:
            inside = True
            yield line
        elif '<varray name="forces"' in line:
            steps.predicted += 1
        ended = ended or "</modeling>" in line
    steps.cut_off = not ended


def _closes(line: str) -> bool:
    return "</calculation>" in line


def _computed(lines: list[str], steps: StepRecord, incar: dict[str, str], path: Path) -> list[str]:
    """Take pressure and convergence of each calculation; return the lines of computed ones."""
    limit = int(incar.get("NELM", "60"))
    learning = incar.get("ML_LMLFF", "F").strip(". ").upper().startswith("T")
    kept: list[str] = []
    begin = 0
    for end in [k for k, line in enumerate(lines) if _closes(line)]:
        block = lines[begin : end + 1]
        begin = end + 1
        calculation = _parsed(block, path)
        loops = len(calculation.findall("scstep"))
        number = (steps.numbers[-1] if steps.numbers else 0) + 1
        if loops == 0 and learning:
            steps.predicted += 1
            continue
        if loops == 0:
            raise DataError(
                f"{path}: step {number} has no electronic iteration (<scstep>), so its numbers "
                "are not of a first-principles calculation."
            )
        rows = calculation.findall("varray[@name='stress']/v")
        if len(rows) == 3:
            trace = sum(float((row.text or "").split()[k]) for k, row in enumerate(rows))
            steps.pressures_kbar.append(trace / 3)
        steps.converged.append(loops < limit)
        steps.numbers.append(number)
        kept += block
    return kept


def _parsed(lines: list[str], path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring("".join(lines))
    except ElementTree.ParseError as error:
        raise DataError(
            f"{path}: not well-formed XML ({error}); torn, or not a vasprun.xml. A run that was "
            "cut off can be read from its OUTCAR."
        ) from error
