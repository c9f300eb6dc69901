"""Frames with names, one composition a set: what is evaluated, labelled and compared.

A frame's name is ``SUBJECT/SET/POINT``: a crystal or path, what it is for (``relaxed``, ``eos``,
``elastic``, ``phonon``, ``barrier``) and which point of it. A frame that serves several sets has
several names, with ``;`` between them. They travel as ``config_type``, which `mlip label` keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from mlip.engines.deepmd import Predicted
from mlip.errors import DataError, InputError
from mlip.files import replacing
from mlip.validation.reference import FloatArray

NAME_KEY = "config_type"
LEVEL_KEY = "dft_level"
# Frames closer than this are one calculation.
SAME_ANGSTROM = 1.0e-7


@dataclass(frozen=True)
class FrameSet:
    """Frames of one composition in one order of atoms.

    Attributes
    ----------
    points : tuple of str, length F
        Names within the set.
    symbols : tuple of str, length N
    coords : ndarray, shape (F, N, 3)
        In Å.
    cells : ndarray, shape (F, 3, 3)
        Rows are lattice vectors, in Å.
    """

    points: tuple[str, ...]
    symbols: tuple[str, ...]
    coords: FloatArray
    cells: FloatArray

    @property
    def volumes(self) -> FloatArray:
        """Return the volumes, shape (F,), Å^3."""
        return np.abs(np.linalg.det(self.cells))

    def atoms(self, frame: int) -> Atoms:
        """Return one frame."""
        return Atoms(self.symbols, self.coords[frame], cell=self.cells[frame], pbc=True)


@dataclass(frozen=True)
class LabelledSet:
    """Frames with what first principles give for them.

    Attributes
    ----------
    frames : FrameSet
    labels : Predicted
        Energies in eV, forces in eV/Å, virials in eV (DeePMD sign; NaN where there was no stress).
    """

    frames: FrameSet
    labels: Predicted


@dataclass(frozen=True)
class Reference:
    """Every set of a file or directory of labels.

    Attributes
    ----------
    path : Path
    sets : dict of (subject, set) to LabelledSet
    level : str
        Level of theory in words.
    """

    path: Path
    sets: dict[tuple[str, str], LabelledSet]
    level: str


def frame_set(frames: Sequence[Atoms], points: Sequence[str], where: str) -> FrameSet:
    """Join frames of one composition.

    Raises
    ------
    DataError
        If their atoms differ or are in another order.
    """
    symbols = tuple(frames[0].get_chemical_symbols())
    for point, atoms in zip(points, frames, strict=True):
        if tuple(atoms.get_chemical_symbols()) != symbols:
            raise DataError(
                f"{where}: point {point} has {atoms.get_chemical_formula()} or another order of "
                f"atoms than point {points[0]} ({frames[0].get_chemical_formula()}). Expected one "
                "composition in one order; make the structures again."
            )
    return FrameSet(
        tuple(points),
        symbols,
        np.array([atoms.positions for atoms in frames]),
        np.array([atoms.cell.array for atoms in frames]),
    )


def write_named(path: Path, named: Sequence[tuple[str, Atoms]]) -> int:
    """Write named frames as extxyz, equal ones once; return how many are in the file."""
    merged: list[tuple[list[str], Atoms]] = []
    for name, atoms in named:
        same = next((entry for entry in merged if _same(entry[1], atoms)), None)
        if same is None:
            merged.append(([name], atoms))
        else:
            same[0].append(name)
    frames = [
        Atoms(
            atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info={NAME_KEY: ";".join(n)}
        )
        for n, atoms in merged
    ]
    with replacing(path) as temporary:
        ase.io.write(temporary, frames, format="extxyz")
    return len(frames)


def read_reference(path: Path) -> Reference:
    """Read labelled frames.

    Parameters
    ----------
    path : Path
        An extxyz file, or a directory of `mlip label`, finished or not.

    Raises
    ------
    InputError
        If there is nothing.
    DataError
        If a frame has no name or no label, a name comes twice, or the levels differ.
    """
    collected: dict[tuple[str, str], dict[str, Atoms]] = {}
    levels: dict[str, str] = {}
    for file in reference_files(path):
        for number, atoms in enumerate(ase.io.read(file, index=":", format="extxyz")):
            where = f"{file} frame {number}"
            if atoms.calc is None or not {"energy", "forces"} <= set(atoms.calc.results):
                raise DataError(f"{where}: no energy and forces. Label it with `mlip label`.")
            levels.setdefault(_level(atoms), where)
            for subject, kind, point in names(atoms, where):
                points = collected.setdefault((subject, kind), {})
                if point in points:
                    raise DataError(f"{where}: {subject}/{kind}/{point} is there twice.")
                points[point] = atoms
    if len(levels) > 1:
        (one, first), (other, second) = list(levels.items())[:2]
        raise DataError(
            f"{path}: labels of different levels of theory: {first} has {one!r}, {second} has "
            f"{other!r}. Keep them in separate directories."
        )
    sets = {key: _labelled(points, f"{path} {'/'.join(key)}") for key, points in collected.items()}
    return Reference(path, sets, next(iter(levels)))


def names(atoms: Atoms, where: str) -> list[tuple[str, str, str]]:
    """Return the (subject, set, point) names of a frame.

    Raises
    ------
    DataError
        If it has none, or one of another form.
    """
    text = str(atoms.info.get(NAME_KEY, ""))
    parts = [tuple(name.split("/")) for name in text.split(";")]
    if any(len(part) != 3 for part in parts):
        raise DataError(
            f"{where}: {NAME_KEY} is {text!r}, expected SUBJECT/SET/POINT. Make the structures "
            "with training_data/reference/make_physics_structures.py."
        )
    return [(part[0], part[1], part[2]) for part in parts]


def reference_files(path: Path) -> list[Path]:
    """Return the files that hold the labels of a file or directory.

    Raises
    ------
    InputError
        If there is none.
    """
    if path.is_file():
        return [path]
    if (path / "labels.extxyz").is_file():
        return [path / "labels.extxyz"]
    found = sorted(path.glob("labels/[!.]*/label.extxyz"))
    if not found:
        raise InputError(
            f"{path}: no labels. Expected an extxyz file or a directory of `mlip label` with "
            "labels.extxyz."
        )
    return found


def _level(atoms: Atoms) -> str:
    """Return the level in words; basis and potential of each element are left out."""
    level = atoms.info.get(LEVEL_KEY)
    if not isinstance(level, dict):
        return str(level or "of unknown level")
    shown = {k: v for k, v in level.items() if not k.startswith(("basis ", "potential "))}
    return ", ".join(f"{key} {value}" for key, value in sorted(shown.items()))


def _labelled(points: dict[str, Atoms], where: str) -> LabelledSet:
    ordered = sorted(points)
    frames = [points[point] for point in ordered]
    joined = frame_set(frames, ordered, where)
    results = [atoms.calc.results for atoms in frames]
    virials = [
        -atoms.get_volume() * atoms.get_stress(voigt=False)
        if "stress" in result
        else np.full((3, 3), np.nan)
        for atoms, result in zip(frames, results, strict=True)
    ]
    labels = Predicted(
        np.array([result["energy"] for result in results], dtype=float),
        np.array([result["forces"] for result in results], dtype=float),
        np.array(virials),
    )
    return LabelledSet(joined, labels)


def _same(one: Atoms, other: Atoms) -> bool:
    return (
        len(one) == len(other)
        and bool((one.numbers == other.numbers).all())
        and np.allclose(one.cell.array, other.cell.array, rtol=0, atol=SAME_ANGSTROM)
        and np.allclose(one.positions, other.positions, rtol=0, atol=SAME_ANGSTROM)
    )
