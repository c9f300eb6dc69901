"""Reading VASP XDATCAR files frame by frame; the cell may be written once or with every frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import TrajectoryError
from analysis.reading.spool import RawFrame
from analysis.reading.text_lines import DamagedFrameError, TextLines, open_lines, parse_table

_FRAME = "Direct configuration="
_ROW = np.dtype([(name, "f8") for name in ("a", "b", "c")])


def read_xdatcar(path: Path) -> Iterator[RawFrame]:
    """Yield the frames of an XDATCAR file, one in memory at a time.

    The layout is that of https://www.vasp.at/wiki/XDATCAR (VASP 5 and later).

    Parameters
    ----------
    path : Path
        May end in `.gz`, `.bz2` or `.xz`.

    Yields
    ------
    RawFrame

    Raises
    ------
    DamagedFrameError
        If a frame is torn or a line of it cannot be read.
    TrajectoryError
        If the file does not name its elements.
    """
    with open_lines(path) as lines:
        symbols = np.empty(0, dtype="U2")
        cell: FloatArray = np.empty((0, 3))
        while True:
            before = lines.line
            if not (first := lines.next_filled()):
                return
            start = lines.line
            try:
                if not first.startswith(_FRAME):
                    # A blank line before the scale is the comment.
                    blank = start > before + 1 and _is_number(first)
                    header = [first, *lines.block(5)] if blank else lines.block(6)
                    cell, symbols = _read_header(header, lines, path)
                    first = lines.block(1)[0]
                    if not first.startswith(_FRAME):
                        raise DamagedFrameError(
                            f"expected `{_FRAME} ...`, found {first.strip()[:60]!r} at "
                            f"{lines.here()}"
                        )
                first_line = lines.line + 1
                rows = parse_table(lines.block(len(symbols)), _ROW, first_line)
            except DamagedFrameError as error:
                raise DamagedFrameError(f"{error.what} (it starts at line {start})") from error
            fractional = np.stack([rows[name] for name in "abc"], axis=1)
            yield RawFrame(fractional=fractional, cell=cell, symbols=symbols)


def _is_number(line: str) -> bool:
    try:
        float(line)
    except ValueError:
        return False
    return True


def _read_header(header: list[str], lines: TextLines, path: Path) -> tuple[FloatArray, np.ndarray]:
    """Read the six lines after the comment: scale, cell, elements, their numbers."""
    scale_line, *cell_lines, names, counts = header
    try:
        scale = float(scale_line)
        cell = np.array([row.split() for row in cell_lines], dtype=float).reshape(3, 3)
        if names.split()[0].isdigit():
            raise TrajectoryError(
                f"{path}: line {lines.line - 1} has numbers where the elements stand (VASP 4); "
                "insert a line with the elements, such as `Li P S`, before it"
            )
        symbols = np.repeat(names.split(), np.array(counts.split(), dtype=int))
    except (ValueError, IndexError) as error:
        raise DamagedFrameError(f"its header before {lines.here()} is wrong: {error}") from error
    volume = abs(np.linalg.det(cell))
    if not (volume > 0.0 and abs(scale) > 0.0 and len(symbols)):
        raise DamagedFrameError(f"its header before {lines.here()} has no volume or no atoms")
    # A negative scale is the volume of the cell.
    return cell * (scale if scale > 0 else (-scale / volume) ** (1 / 3)), symbols
