"""Line-wise reading of trajectory files, packed or not, that knows where it is and what is torn."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import TrajectoryError

_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_SHOWN_CHARACTERS = 60


class DamagedFrameError(Exception):
    """A frame is torn or unreadable; for the reader of the trajectory, which names the frame.

    Attributes
    ----------
    what : str
        Line, byte and fault.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass
class TextLines:
    """Position in a file that is read once from its start.

    Attributes
    ----------
    stream : binary file
    line : int
        Lines read.
    byte : int
        Bytes read, of the unpacked file.
    """

    stream: IO[bytes]
    line: int = 0
    byte: int = 0

    def next(self) -> str:
        """Return the next line with its end, "" after the last one.

        Raises
        ------
        DamagedFrameError
            If the packed file is torn.
        """
        raw = self._read(1)
        return raw[0].decode("utf-8", "replace") if raw else ""

    def next_filled(self) -> str:
        """Return the next line that is not blank, "" at the end of the file."""
        line = self.next()
        while line and not line.strip():
            line = self.next()
        return line

    def block(self, n_lines: int) -> list[str]:
        """Return the next `n_lines` lines.

        Raises
        ------
        DamagedFrameError
            If the file ends before the end of the last of them.
        """
        raw = self._read(n_lines)
        if len(raw) < n_lines or not raw[-1].endswith(b"\n"):
            whole = len(raw) == n_lines
            raise DamagedFrameError(
                f"the file ends at line {self.line} (byte {self.byte}) "
                + ("without a line end" if whole else f"after {len(raw)} of {n_lines} lines")
            )
        return b"".join(raw).decode("utf-8", "replace").split("\n")[:-1]

    def here(self) -> str:
        """Return the place of the line read last, in words."""
        return f"line {self.line}, byte {self.byte}"

    def _read(self, n_lines: int) -> list[bytes]:
        try:
            raw = list(itertools.islice(self.stream, n_lines))
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise DamagedFrameError(
                f"the packed file is torn after line {self.line} (byte {self.byte} unpacked): "
                f"{error}"
            ) from error
        self.line += len(raw)
        self.byte += sum(map(len, raw))
        return raw


@contextmanager
def open_lines(path: Path) -> Iterator[TextLines]:
    """Open a text file, unpacking `.gz`, `.bz2` and `.xz`.

    Raises
    ------
    TrajectoryError
        If there is no such file.
    """
    if not path.is_file():
        raise TrajectoryError(f"{path}: no such file")
    # All of them open for reading, in bytes, by default.
    opener = _OPENERS.get(path.suffix)
    with path.open("rb") if opener is None else opener(path) as stream:
        yield TextLines(stream)


def parse_table(rows: list[str], dtype: np.dtype[np.void], first_line: int) -> NDArray[np.void]:
    """Parse equal rows of blank-separated values.

    Parameters
    ----------
    rows : list of str
    dtype : numpy.dtype
        One field a column.
    first_line : int
        Number of the first row in the file, for the message.

    Returns
    -------
    (n,) structured array

    Raises
    ------
    DamagedFrameError
        If a row has another number of columns or a value that is not of its type; the message
        shows the line.
    """
    try:
        table = np.loadtxt(rows, dtype=dtype, comments=None, ndmin=1)
        if len(table) == len(rows):
            return table
    except ValueError:
        pass
    number, fault = _first_fault(rows, dtype)
    raise DamagedFrameError(
        f"line {first_line + number} {fault}: {rows[number].strip()[:_SHOWN_CHARACTERS]!r}"
    )


def _first_fault(rows: list[str], dtype: np.dtype[np.void]) -> tuple[int, str]:
    names = dtype.names or ()
    for number, row in enumerate(rows):
        values = row.split()
        if len(values) != len(names):
            return number, f"has {len(values)} columns, not {len(names)}"
        for name, value in zip(names, values, strict=True):
            try:
                np.array(value).astype(dtype[name])
            except ValueError:
                return number, f"has {value!r} for {name}"
    return 0, "or one after it cannot be read"
