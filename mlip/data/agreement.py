"""Two readings of one file must agree: a silent wrong read is worse than a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mlip.data.frames import FloatArray, IntArray
from mlip.errors import DataError
from mlip.recipes.base import read_yaml

FILE = Path(__file__).with_name("agreement.yml")
# Of a rotation between two cells: 2e-4 Å on a cell edge of 1 Å.
ROTATION_TOLERANCE = 2e-3
# No cell of atoms; the turn between two such cells is not defined.
SMALLEST_VOLUME_ANGSTROM3 = 1e-6


@dataclass(frozen=True)
class Reading:
    """What one reader makes of a file.

    Attributes
    ----------
    reader : str
        For the message, for example 'dpdata' or 'ASE'.
    symbols : tuple of str
        (N,) chemical symbols.
    cells : (F, 3, 3) array
        Cell vectors in rows, Å.
    coords, forces : (F, N, 3) array
        Å, eV/Å; in the frame of reference of the cells, which may be turned.
    energies : (F,) array
        eV.
    virials : (F, 3, 3) array or None
        eV, positive under compression.
    """

    reader: str
    symbols: tuple[str, ...]
    cells: FloatArray
    coords: FloatArray
    energies: FloatArray
    forces: FloatArray
    virials: FloatArray | None

    def __len__(self) -> int:
        return len(self.energies)


@cache
def _limits() -> dict[str, float]:
    return {name: float(entry["value"]) for name, entry in read_yaml(FILE).items()}


def sampled(count: int) -> IntArray:
    """Return the frames that are compared: all of a short file, else evenly spread ones."""
    number = min(count, int(_limits()["frames_compared"]))
    return np.unique(np.linspace(0, max(count - 1, 0), number).round().astype(np.int64))


def require_agreement(one: Reading, other: Reading, path: Path, first: int = 0) -> None:
    """Compare two readings: number of frames, and the sampled frames in every quantity.

    dpdata turns the cell to a lower triangle. With cells A and B in rows the turn is
    R = A^-1 B; it must be orthogonal, and forces and virials are turned with it. Positions
    are compared as fractions of the cell, up to whole cell vectors.

    Parameters
    ----------
    one, other : Reading
    path : Path
        For the message.
    first : int
        Number of the first frame in the file, if the readings are of a piece of it.

    Raises
    ------
    DataError
        Showing both readings of the first frame and quantity that differ.
    """
    if len(one) != len(other):
        raise _refusal(path, "the number of frames", one, other, len(one), len(other))
    if one.symbols != other.symbols:
        raise _refusal(
            path,
            "the elements",
            one,
            other,
            _first_difference(one.symbols, other.symbols),
            _first_difference(other.symbols, one.symbols),
        )
    if (one.virials is None) != (other.virials is None):
        words = ["none" if r.virials is None else "present" for r in (one, other)]
        raise _refusal(path, "the virial", one, other, *words)
    for k in sampled(len(one)):
        _require_same_frame(one, other, int(k), path, f"frame {first + k}")


def _require_same_frame(one: Reading, other: Reading, k: int, path: Path, frame: str) -> None:
    if not _is_usable(one, k) and not _is_usable(other, k):
        return  # read alike as no frame; `frames.checked` refuses it by its number
    limits = _limits()
    energies = np.array([one.energies[k], other.energies[k]])
    allowed = limits["energy_absolute"] + limits["energy_relative"] * np.abs(energies).max()
    # Here and below: NaN must not pass.
    if not abs(energies[0] - energies[1]) <= allowed:
        _refuse(path, f"the energy of {frame} (eV)", one, other, *energies)
    cells = one.cells[k], other.cells[k]
    lengths = [np.linalg.norm(cell, axis=1) for cell in cells]
    if not np.abs(lengths[0] - lengths[1]).max() <= limits["length"]:
        _refuse(path, f"the cell lengths of {frame} (Å)", one, other, *lengths)
    angles = [_angles(cell) for cell in cells]
    if not np.abs(angles[0] - angles[1]).max() <= limits["angle"]:
        _refuse(path, f"the cell angles of {frame} (degree)", one, other, *angles)
    turn = np.linalg.solve(cells[0], cells[1])
    if not np.abs(turn @ turn.T - np.eye(3)).max() <= ROTATION_TOLERANCE:
        _refuse(path, f"the cell of {frame} (Å)", one, other, *cells)
    fractions = [r.coords[k] @ np.linalg.inv(c) for r, c in zip((one, other), cells, strict=True)]
    apart = fractions[0] - fractions[1]
    apart = (apart - apart.round()) @ cells[0]
    if not np.abs(apart).max() <= limits["length"]:
        atom = int(np.abs(apart).max(axis=1).argmax())
        what = f"the position of atom {atom} in {frame} (fractions of the cell)"
        _refuse(path, what, one, other, fractions[0][atom], fractions[1][atom])
    forces = one.forces[k] @ turn, other.forces[k]
    allowed = limits["force"] + limits["force_relative"] * np.abs(forces[1]).max()
    off = np.abs(forces[0] - forces[1])
    if not off.max() <= allowed:
        atom = int(off.max(axis=1).argmax())
        what = f"the force on atom {atom} in {frame} (eV/Å)"
        _refuse(path, what, one, other, forces[0][atom], forces[1][atom])
    if one.virials is not None and other.virials is not None:
        virials = turn.T @ one.virials[k] @ turn, other.virials[k]
        volume = abs(float(np.linalg.det(cells[0])))
        allowed = limits["virial_per_volume"] * volume
        allowed += limits["virial_relative"] * np.abs(virials[1]).max()
        if not np.abs(virials[0] - virials[1]).max() <= allowed:
            _refuse(path, f"the virial of {frame} (eV)", one, other, *virials)


def _is_usable(reading: Reading, k: int) -> bool:
    """Return whether all numbers of a frame are finite and its cell has a volume."""
    arrays = (reading.cells, reading.coords, reading.energies, reading.forces, reading.virials)
    finite = all(bool(np.isfinite(array[k]).all()) for array in arrays if array is not None)
    return finite and abs(float(np.linalg.det(reading.cells[k]))) > SMALLEST_VOLUME_ANGSTROM3


def _angles(cell: FloatArray) -> FloatArray:
    unit = cell / np.linalg.norm(cell, axis=1)[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    return np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))


def _refuse(path: Path, what: str, one: Reading, other: Reading, a: Any, b: Any) -> None:
    raise _refusal(path, what, one, other, a, b)


def _refusal(path: Path, what: str, one: Reading, other: Reading, a: Any, b: Any) -> DataError:
    width = max(len(one.reader), len(other.reader))
    return DataError(
        f"{path}: two readers disagree on {what}:\n"
        f"  {one.reader:<{width}}  {_shown(a)}\n"
        f"  {other.reader:<{width}}  {_shown(b)}\n"
        "Nothing is ingested, since one of them misreads the file. It may be torn, of a version "
        "that one reader does not know, or joined from two runs."
    )


def _shown(value: Any) -> str:
    if isinstance(value, str | int):
        return str(value)
    with np.printoptions(precision=8, suppress=True):
        return str(np.asarray(value)).replace("\n", "")


def _first_difference(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    if len(one) != len(other):
        return f"{len(one)} atoms"
    k = next(k for k, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f"atom {k} is {one[k]}"
