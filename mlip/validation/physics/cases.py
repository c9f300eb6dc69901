"""What the settings ask for: crystals with their references, and paths, read and checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from mlip.errors import DataError, TypeMapError
from mlip.files import sha256
from mlip.labelling.frames import read_frames
from mlip.model_directory import ModelDirectory
from mlip.recipes.base import resolve
from mlip.recipes.physics import BarrierCheck, CrystalCheck, Measured, PhysicsSettings
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.validation.physics.barriers import image_names, interpolated_images
from mlip.validation.physics.case import CrystalCase
from mlip.validation.physics.frames import (
    FrameSet,
    LabelledSet,
    Reference,
    frame_set,
    read_reference,
    reference_files,
)

BARRIER_SET = "barrier"


@dataclass(frozen=True)
class BarrierCase:
    """A path of an ion: labelled images, or the frames of a band to be relaxed.

    Attributes
    ----------
    name : str
    labelled : LabelledSet or None
    level : str
        Of the labels.
    band : FrameSet or None
    """

    name: str
    labelled: LabelledSet | None
    level: str
    band: FrameSet | None


@dataclass(frozen=True)
class Cases:
    """Everything that is to be tested.

    Attributes
    ----------
    crystals : tuple of CrystalCase
    barriers : tuple of BarrierCase
    files : tuple of Path
        That they were read from.
    """

    crystals: tuple[CrystalCase, ...]
    barriers: tuple[BarrierCase, ...]
    files: tuple[Path, ...]

    def hashes(self, folder: Path) -> dict[str, str]:
        """Return the SHA-256 of every file, by its path from `folder`: a checkout may move."""
        return {os.path.relpath(path, folder): sha256(path) for path in self.files}


def read_cases(settings: PhysicsSettings, source: Path, model: ModelDirectory) -> Cases:
    """Read structures and references; paths are relative to the recipe `source`.

    Raises
    ------
    InputError, DataError
        If one is missing or damaged, or holds nothing of that name.
    TypeMapError
        If the potential does not know an element.
    """
    references: dict[Path, Reference] = {}
    files: list[Path] = []

    def reference(path: str) -> Reference:
        place = resolve(path, source)
        if place not in references:
            references[place] = read_reference(place)
            files.extend(reference_files(place))
        return references[place]

    crystals = []
    for check in settings.crystals:
        found = reference(check.reference) if check.reference else None
        if found and check.name not in {subject for subject, _ in found.sets}:
            raise _nothing_of(check.name, found)
        crystals.append(_crystal(check, source, found, files))
    barriers = [
        _barrier(check, source, reference(check.reference) if check.reference else None, files)
        for check in settings.barriers
    ]
    for name, symbols in [
        *((case.name, case.start.get_chemical_symbols()) for case in crystals),
        *((case.name, list(_symbols(case))) for case in barriers),
    ]:
        unknown = sorted(set(symbols) - set(model.type_map))
        if unknown:
            raise TypeMapError(
                f"physics: {name} holds {', '.join(unknown)}, but {model.directory} knows only "
                f"{', '.join(model.type_map)}. Take it out of the recipe."
            )
    return Cases(tuple(crystals), tuple(barriers), tuple(dict.fromkeys(files)))


def _crystal(
    check: CrystalCheck, source: Path, reference: Reference | None, files: list[Path]
) -> CrystalCase:
    shipped: Measured | None = None
    if check.structure is not None:
        start = _one(resolve(check.structure, source), files)
    else:
        crystal = find_crystal(check.name)
        start = conventional_cell(crystal)
        a, b, c, alpha, beta, gamma = crystal.cell
        origin = f"{crystal.note.rstrip('.')}; {crystal.doi or 'textbook'}"
        shipped = Measured(cell=(a, b, c, alpha, beta, gamma), source=origin)
    case = CrystalCase(check, start, reference, shipped)
    relaxed = case.labelled("relaxed")
    # From here the potential finds the minimum that DFT found, if it has it.
    if relaxed is not None:
        case = replace(case, start=relaxed.frames.atoms(0))
    return case


def _barrier(
    check: BarrierCheck, source: Path, reference: Reference | None, files: list[Path]
) -> BarrierCase:
    if reference is not None:
        labelled = reference.sets.get((check.name, BARRIER_SET))
        if labelled is None:
            raise _nothing_of(f"{check.name}/{BARRIER_SET}", reference)
        return BarrierCase(check.name, labelled, reference.level, None)
    assert check.ends is not None
    start, end = (_one(resolve(path, source), files) for path in check.ends)
    images = interpolated_images(start, end, check.images, check.name)
    return BarrierCase(
        check.name, None, "", frame_set(images, image_names(check.images), check.name)
    )


def _symbols(case: BarrierCase) -> Sequence[str]:
    if case.labelled is not None:
        return case.labelled.frames.symbols
    return case.band.symbols if case.band is not None else ()


def _one(path: Path, files: list[Path]) -> Atoms:
    frame = read_frames([path])[0]
    files.append(frame.source)
    return frame.atoms


def _nothing_of(name: str, reference: Reference) -> DataError:
    there = sorted({f"{subject}/{kind}" for subject, kind in reference.sets})
    return DataError(
        f"{reference.path}: no frames of {name}; there are {', '.join(there)}. Correct the name in "
        "the recipe, or label those structures."
    )
