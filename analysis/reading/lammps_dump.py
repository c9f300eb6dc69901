"""Reading LAMMPS text dumps: every box form, every coordinate form, atoms sorted by id.

The layout is that of https://docs.lammps.org/dump.html, the boxes those of
https://docs.lammps.org/Howto_triclinic.html. Positions are taken relative to the lower corner of
the box of their own frame, so that a box that moves does not move the atoms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.constants import FloatArray
from analysis.errors import TrajectoryError
from analysis.reading.spool import RawFrame
from analysis.reading.text_lines import DamagedFrameError, TextLines, open_lines, parse_table

# Units of length are Angstrom in these; the number is their unit of time in fs.
_UNITS_FS = {"metal": 1000.0, "real": 1.0}
_VELOCITY_UNITS = {"metal": "angstrom/ps", "real": "angstrom/fs"}
_IMAGES = ("ix", "iy", "iz")
_VELOCITIES = ("vx", "vy", "vz")
# Dumps are printed with six digits unless told otherwise, or with a few decimals.
_PRINT_RELATIVE = 2e-5
_PRINT_ANGSTROM = 5e-3


@dataclass(frozen=True)
class _Form:
    """One way in which a dump holds positions."""

    columns: tuple[str, ...]
    scaled: bool
    images: bool
    unwrapped: bool

    @property
    def words(self) -> str:
        names = " ".join(self.columns + (_IMAGES if self.images else ()))
        return f"{names} ({'unwrapped' if self.unwrapped else 'wrapped'})"


_XYZ, _SCALED = ("x", "y", "z"), ("xs", "ys", "zs")
# In order of preference: what LAMMPS unwrapped itself comes before what has to be followed.
_FORMS = (
    _Form(("xu", "yu", "zu"), scaled=False, images=False, unwrapped=True),
    _Form(_XYZ, scaled=False, images=True, unwrapped=True),
    _Form(_SCALED, scaled=True, images=True, unwrapped=True),
    _Form(("xsu", "ysu", "zsu"), scaled=True, images=False, unwrapped=True),
    _Form(_XYZ, scaled=False, images=False, unwrapped=False),
    _Form(_SCALED, scaled=True, images=False, unwrapped=False),
)


@dataclass(frozen=True)
class _Header:
    step: int
    time: float | None
    units: str | None
    n_atoms: int
    corner: FloatArray
    cell: FloatArray
    columns: tuple[str, ...]


def read_lammps_dump(path: Path) -> Iterator[RawFrame]:
    """Yield the frames of a LAMMPS text dump, one in memory at a time.

    Positions come from xu yu zu if the dump has them, else from x y z with image flags, xs ys zs
    with image flags, xsu ysu zsu, x y z, xs ys zs, in this order; the last two are wrapped. Where
    several are present they must agree. Velocities come from vx vy vz, where all three are there.

    Parameters
    ----------
    path : Path
        Written by `dump custom` or `dump atom`; may end in `.gz`, `.bz2` or `.xz`.

    Yields
    ------
    RawFrame
        Atoms in the order of their ids.

    Raises
    ------
    DamagedFrameError
        If a frame is torn or a line of it cannot be read.
    TrajectoryError
        If the box is not periodic, columns are lacking or contradict each other, atoms are lost,
        or lengths are not in Angstrom.
    """
    with open_lines(path) as lines:
        units: str | None = None
        n_atoms = -1
        ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        index = 0
        while first := lines.next_filled():
            start = lines.line
            try:
                header = _read_header(lines, first, f"{path}: frame {index}")
                units = header.units or units
                if index == 0:
                    n_atoms = header.n_atoms
                elif header.n_atoms != n_atoms:
                    raise TrajectoryError(
                        f"{path}: frame {index} (step {header.step}, line {start}) holds "
                        f"{header.n_atoms} atoms, frame 0 holds {n_atoms}: atoms were lost or "
                        "added; mend the simulation, or keep the frames before this one"
                    )
                forms = _forms(header.columns, f"{path}: frame {index}")
                first_line = lines.line + 1
                table = _read_atoms(lines, header)
            except DamagedFrameError as error:
                raise DamagedFrameError(f"{error.what} (it starts at line {start})") from error
            order = np.argsort(table["id"], kind="stable")
            table = table[order]
            if index == 0:
                ids = table["id"]
            _check_ids(table["id"], ids, f"line {first_line} and below")
            yield _raw_frame(table, header, forms, units, f"{path}: frame {index}")
            index += 1


def _read_header(lines: TextLines, first: str, frame: str) -> _Header:
    """Read the items of a frame up to the line that names the columns."""
    found: dict[str, list[str]] = {}
    bounds, line = "", first
    while not line.startswith("ITEM: ATOMS"):
        if not line.startswith("ITEM: "):
            raise DamagedFrameError(f"expected a line `ITEM: ...`, found {line.strip()[:60]!r} "
                                    f"at {lines.here()}")  # fmt: skip
        name = line[6:].strip()
        if name.startswith("BOX BOUNDS"):
            bounds, name = name[10:].strip(), "BOX BOUNDS"
        found[name] = lines.block(3 if name == "BOX BOUNDS" else 1)
        line = lines.block(1)[0]
    missing = {"TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS"} - set(found)
    if missing:
        raise DamagedFrameError(f"ITEM: {', '.join(sorted(missing))} is absent at {lines.here()}")
    try:
        step, n_atoms = (int(found[name][0]) for name in ("TIMESTEP", "NUMBER OF ATOMS"))
        time = float(found["TIME"][0]) if "TIME" in found else None
        numbers = np.array([row.split() for row in found["BOX BOUNDS"]], dtype=float)
    except ValueError as error:
        raise DamagedFrameError(f"its header before {lines.here()} is wrong: {error}") from error
    if n_atoms < 1:
        raise DamagedFrameError(f"its header before {lines.here()} names {n_atoms} atoms")
    corner, cell = _box(bounds, numbers, frame)
    return _Header(
        step=step,
        time=time,
        units=found["UNITS"][0].strip() if "UNITS" in found else None,
        n_atoms=n_atoms,
        corner=corner,
        cell=cell,
        columns=tuple(line.split()[2:]),
    )


def _box(bounds: str, numbers: FloatArray, frame: str) -> tuple[FloatArray, FloatArray]:
    """Return the lower corner and the cell vectors in rows."""
    words = bounds.split()
    boundaries = [word for word in words if set(word) <= set("pfsm") and len(word) == 2]
    if boundaries != ["pp", "pp", "pp"]:
        raise TrajectoryError(
            f"{frame}: `ITEM: BOX BOUNDS {bounds}` is not periodic in three dimensions, `pp pp pp` "
            "is expected; dump with a periodic box (add the words if an old program left them out)"
        )
    form = [word for word in words if word not in boundaries]
    widths = {(): 2, ("xy", "xz", "yz"): 3, ("abc", "origin"): 4}
    if widths.get(tuple(form)) != numbers.shape[1]:
        raise DamagedFrameError(
            f"`ITEM: BOX BOUNDS {bounds}` is followed by {numbers.shape[1]} numbers a line"
        )
    if form == ["abc", "origin"]:
        corner, cell = numbers[:, 3], numbers[:, :3]
    else:
        xy, xz, yz = numbers[:, 2] if form else (0.0, 0.0, 0.0)
        # The lines give the box around the parallelepiped, not its edges.
        low = numbers[:, 0] - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
        high = numbers[:, 1] - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
        corner = low
        cell = np.diag(high - low)
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
    if not np.linalg.det(cell) > 0.0 or not np.isfinite(corner).all():
        raise DamagedFrameError("its box has no volume")
    return corner, cell


def _read_atoms(lines: TextLines, header: _Header) -> NDArray[np.void]:
    kinds = {"id": "i8", "type": "i4", "element": "U8"} | dict.fromkeys(_IMAGES, "i4")
    used = {name for form in _FORMS for name in form.columns} | set(_VELOCITIES)
    # Columns that are not used are kept one letter wide: their number still tells a torn line.
    fields = [
        (f"{name} ({n})", "U1") if name not in kinds | dict.fromkeys(used) else
        (name, kinds.get(name, "f8"))
        for n, name in enumerate(header.columns)
    ]  # fmt: skip
    first_line = lines.line + 1
    if len(set(header.columns)) < len(header.columns) or not fields:
        raise DamagedFrameError(f"line {lines.line} names columns twice or none")
    return parse_table(lines.block(header.n_atoms), np.dtype(fields), first_line)


def _check_ids(found: NDArray[np.int64], expected: NDArray[np.int64], where: str) -> None:
    if len(found) > 1 and (np.diff(found) == 0).any():
        twice = int(found[1:][np.diff(found) == 0][0])
        raise DamagedFrameError(f"id {twice} appears twice in {where}")
    if not np.array_equal(found, expected):
        raise DamagedFrameError(f"id {int(np.setdiff1d(expected, found)[0])} is absent in {where}")


def _raw_frame(
    table: NDArray[np.void], header: _Header, forms: list[_Form], units: str | None, frame: str
) -> RawFrame:
    if units is not None and units not in _UNITS_FS:
        raise TrajectoryError(
            f"{frame}: is in units `{units}`; only {' and '.join(_UNITS_FS)} have lengths in "
            "Angstrom; convert the dump"
        )
    best, *others = forms
    fractional = _fractional(table, best, header)
    for other in others:
        _check_agreement(table, header, best, fractional, other, frame)
    names = table.dtype.names or ()
    moving = set(_VELOCITIES) <= set(names)
    return RawFrame(
        fractional=fractional,
        cell=header.cell,
        unwrapped=best.unwrapped,
        coordinates=best.words,
        symbols=table["element"] if "element" in names else None,
        types=table["type"] if "type" in names else None,
        step=header.step,
        time=header.time,
        time_units_fs=(_UNITS_FS[units],) if units else tuple(_UNITS_FS.values()),
        velocities=np.stack([table[name] for name in _VELOCITIES], axis=1) if moving else None,
        velocity_source=" ".join(_VELOCITIES) if moving else "",
        velocity_unit=_VELOCITY_UNITS[units] if units else "",
    )


def _forms(columns: tuple[str, ...], frame: str) -> list[_Form]:
    if "id" not in columns:
        raise TrajectoryError(
            f"{frame}: no column `id`, so atoms cannot be told apart; the columns are "
            f"{' '.join(columns)}; dump with `id`"
        )
    images = set(_IMAGES) <= set(columns)
    usable = [
        form
        for form in _FORMS
        # With image flags the same columns are not wrapped as well.
        if set(form.columns) <= set(columns)
        and (form.images == images or form.columns not in (_XYZ, _SCALED))
    ]
    if not usable:
        raise TrajectoryError(
            f"{frame}: the columns {' '.join(columns)} hold no positions; dump xu yu zu (or x y z "
            "ix iy iz, xs ys zs ix iy iz, xsu ysu zsu, x y z, xs ys zs)"
        )
    return usable


def _fractional(table: NDArray[np.void], form: _Form, header: _Header) -> FloatArray:
    found = np.stack([table[name] for name in form.columns], axis=1)
    if not form.scaled:
        found = np.linalg.solve(header.cell.T, (found - header.corner).T).T
    if form.images:
        found = found + np.stack([table[name] for name in _IMAGES], axis=1)
    return found


def _check_agreement(
    table: NDArray[np.void],
    header: _Header,
    best: _Form,
    fractional: FloatArray,
    other: _Form,
    frame: str,
) -> None:
    """Refuse two forms of the positions that differ, up to lattice vectors if one is wrapped."""
    second = _fractional(table, other, header)
    difference = fractional - second
    whole = best.unwrapped and other.unwrapped
    if not whole:
        difference -= np.round(difference)
    distance = np.abs(difference @ header.cell).max(axis=1)
    # Large coordinates are printed with fewer decimals.
    printed = np.abs(fractional @ header.cell + header.corner).max(axis=1)
    # A tilted box multiplies rounding of one coordinate into others, hence the factor.
    excess = distance - 3.0 * (_PRINT_ANGSTROM + _PRINT_RELATIVE * printed)
    worst = int(excess.argmax())
    if excess[worst] > 0.0:
        shown = []
        for form in (best, other):
            names = form.columns + (_IMAGES if form.images else ())
            values = " ".join(f"{table[name][worst]:g}" for name in names)
            shown.append(f"{' '.join(names)} = {values}")
        allowed = "they must be equal" if whole else "only a lattice vector may lie between them"
        raise TrajectoryError(
            f"{frame} (step {header.step}), atom id {table['id'][worst]}: {shown[0]} and "
            f"{shown[1]} differ by {distance[worst]:.3g} Angstrom; {allowed}. One is not what its "
            "name says: dump again, or remove its columns"
        )
