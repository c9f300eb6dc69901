"""Frames with names, one composition a set: what is evaluated, labelled and compared.

A frame's name is ``SUBJECT/SET/POINT``: a crystal or path, what it is for (``relaxed``, ``eos``,
``elastic``, ``phonon``, ``barrier``) and which point of it. A frame that serves several sets has
several names, with ``;`` between them. They travel as ``config_type``, which `mlip label` keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
        Level of theory in words, without what depends on the element.
    elements : dict of str to str
        Basis and potential of each element, where the labels tell.
    """

    path: Path
    sets: dict[tuple[str, str], LabelledSet]
    level: str
    elements: dict[str, str] = field(default_factory=dict)


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
        If a file is no extxyz, a frame has no name or no finite label, a name comes twice, or the
        levels differ.
    """
    collected: dict[tuple[str, str], dict[str, Atoms]] = {}
    level: dict[str, tuple[str, str]] = {}
    for file in reference_files(path):
        for number, atoms in enumerate(_read(file)):
            where = f"{file} frame {number}"
            _require_labels(atoms, where)
            words, elements = _level(atoms)
            for key, value in {LEVEL_KEY: words, **elements}.items():
                known, first = level.setdefault(key, (value, where))
                if known != value:
                    raise DataError(
                        f"{path}: labels of different levels of theory, {key}: {first} has "
                        f"{known!r}, {where} has {value!r}. Keep them in separate directories."
                    )
            for subject, kind, point in names(atoms, where):
                points = collected.setdefault((subject, kind), {})
                if point in points:
                    raise DataError(f"{where}: {subject}/{kind}/{point} is there twice.")
                points[point] = atoms
    sets = {key: _labelled(points, f"{path} {'/'.join(key)}") for key, points in collected.items()}
    words, _ = level.pop(LEVEL_KEY)
    return Reference(path, sets, words, {key: value for key, (value, _) in level.items()})


def same_level(one: Reference | None, other: Reference | None) -> bool:
    """Tell whether energies of two references can be compared."""
    if one is None or other is None or one.level != other.level:
        return False
    shared = one.elements.keys() & other.elements.keys()
    return all(one.elements[key] == other.elements[key] for key in shared)


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


def _read(file: Path) -> list[Atoms]:
    try:
        frames = ase.io.read(file, index=":", format="extxyz")
    except Exception as error:  # ASE readers raise whatever they trip over
        raise DataError(
            f"{file}: no extxyz file ({type(error).__name__}: {error}). Expected labelled frames "
            "of `mlip label`."
        ) from error
    if not frames:
        raise DataError(f"{file}: no frame in it. Expected labelled frames of `mlip label`.")
    return list(frames)


def _require_labels(atoms: Atoms, where: str) -> None:
    found = atoms.calc.results if atoms.calc is not None else {}
    if not {"energy", "forces"} <= set(found):
        raise DataError(f"{where}: no energy and forces. Label it with `mlip label`.")
    if not (np.isfinite(found["energy"]) and np.isfinite(found["forces"]).all()):
        raise DataError(f"{where}: energy or forces are not finite. Take the frame out.")


def _level(atoms: Atoms) -> tuple[str, dict[str, str]]:
    """Return the level in words, and apart from it basis and potential of each element."""
    level = atoms.info.get(LEVEL_KEY)
    if not isinstance(level, dict):
        return str(level or "of unknown level"), {}
    elements = {k: str(v) for k, v in level.items() if k.startswith(("basis ", "potential "))}
    shown = sorted((k, v) for k, v in level.items() if k not in elements)
    return ", ".join(f"{key} {value}" for key, value in shown), elements


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
