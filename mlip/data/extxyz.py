"""Reader of extended XYZ files: ASE and dpdata side by side, frame by frame."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlip.data.agreement import Reading, require_agreement, sampled
from mlip.data.frames import Frames
from mlip.data.libraries import ase_reading, joined
from mlip.data.sources import unpacked
from mlip.errors import DataError

if TYPE_CHECKING:
    import ase

VIRIAL_OF_LABELS = "stress of a single point of mlip label, which has no kinetic part"
FRAMES_IN_A_PIECE = 200

Symbols = tuple[str, ...]
# Number in the file, ASE's image, the lines that dpdata takes for this frame.
Pair = tuple[int, "ase.Atoms", list[str]]


@dataclass
class _Group:
    """Frames of one order of elements, collected while they pass by."""

    members: list[int] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    level: dict[str, str] = field(default_factory=dict)
    labelled: bool = True


def read_extxyz(path: Path, timestep_fs: float | None = None) -> list[Frames]:
    """Read an extended XYZ file, one entry per order of elements.

    Energies, forces and stress are ASE's calculator results (`energy`, never `free_energy`);
    its stress is tension positive, so W = -V * stress. dpdata must read the same.

    Parameters
    ----------
    path : Path
        Plain or compressed.
    timestep_fs : float, optional
        Time between frames.

    Returns
    -------
    list of Frames
        `steps` count the frames of the file from 0.

    Raises
    ------
    DataError
        If a frame has no energy, forces or periodic cell, only some have a stress, the two
        readings differ, or frames of one order of elements are of different levels.
    """
    groups: dict[Symbols, _Group] = {}
    with unpacked([path], path.parent) as folder:
        pairs = _pairs(next(folder.iterdir()), path)
        while piece := list(islice(pairs, FRAMES_IN_A_PIECE)):
            for symbols in dict.fromkeys(_symbols(atoms) for _, atoms, _ in piece):
                chosen = [pair for pair in piece if _symbols(pair[1]) == symbols]
                _collect(groups.setdefault(symbols, _Group()), chosen, symbols, path)
    if not groups:
        raise DataError(f"{path}: no labelled frames in it.")
    return [_frames(symbols, group, path, timestep_fs) for symbols, group in groups.items()]


def _pairs(place: Path, path: Path) -> Iterator[Pair]:
    """Read with both libraries in step.

    Raises
    ------
    DataError
        If one of them fails, or ends before the other.
    """
    import ase.io
    from dpdata.formats.xyz.quip_gap_xyz import QuipGapxyzSystems

    ours = ase.io.iread(place, index=":", format="extxyz")
    others = QuipGapxyzSystems(str(place)).get_block_generator()
    labelled = _labelled(_guarded(ours, "ASE", path), path)
    readers = zip_longest(labelled, _guarded(others, "dpdata", path))
    for number, (atoms, lines) in enumerate(readers):
        if atoms is None or lines is None:
            early = "ASE" if atoms is None else "dpdata"
            raise DataError(
                f"{path}: two readers disagree on the number of frames: {early} finds {number}, "
                "the other more. The file is torn; write it again."
            )
        yield number, atoms, lines


def _guarded(frames: Iterator[Any], reader: str, path: Path) -> Iterator[Any]:
    iterator = iter(frames)
    number = 0
    while True:
        try:
            frame = next(iterator)
        except StopIteration:
            return
        except Exception as error:  # ValueError, KeyError, IndexError, RuntimeError, XYZError, ...
            raise DataError(
                f"{path}: {reader} cannot read frame {number} as extended XYZ "
                f"({type(error).__name__}: {error})."
            ) from error
        yield frame
        number += 1


def _labelled(images: Iterator[ase.Atoms], path: Path) -> Iterator[ase.Atoms]:
    for number, atoms in enumerate(images):
        results = atoms.calc.results if atoms.calc is not None else {}
        missing = [name for name in ("energy", "forces") if name not in results]
        if missing or atoms.cell.rank != 3:
            raise DataError(
                f"{path}: frame {number} has no {' and no '.join(missing) or 'periodic cell'}. "
                "Expected `energy` and `Lattice` in the comment line and a column `forces`."
            )
        if not atoms.pbc.all():
            raise DataError(
                f"{path}: frame {number} is not periodic along every cell vector (pbc). Only "
                'periodic systems can be ingested; if the calculation was one, write pbc="T T T".'
            )
        if "stress" not in results and (key := {"virial", "virials"} & atoms.info.keys()):
            raise DataError(
                f"{path}: frame {number} has `{key.pop()}`, which dpdata takes for labels and ASE "
                "does not. Write `stress` = -virial / volume in eV/Å^3 (tension positive) instead."
            )
        yield atoms


def _symbols(atoms: ase.Atoms) -> Symbols:
    return tuple(atoms.get_chemical_symbols())


def _collect(group: _Group, piece: list[Pair], symbols: Symbols, path: Path) -> None:
    for number, atoms, _ in piece:
        level = {str(k): str(v) for k, v in dict(atoms.info.get("dft_level", {})).items()}
        if not group.members:
            group.level = level
        elif level != group.level:
            both = {**level, **group.level}
            keys = sorted(k for k in both if level.get(k) != group.level.get(k))
            raise DataError(
                f"{path}: frame {number} is of another level than frame {group.members[0]} "
                f"({', '.join(keys)}). Split the file by level."
            )
        group.labelled = group.labelled and "dft_level" in atoms.info
        group.members.append(number)
    reading = ase_reading([atoms for _, atoms, _ in piece], path, energy="energy")
    for k in sampled(len(piece)):
        number, _, lines = piece[k]
        part = Reading(
            reader="ASE",
            symbols=symbols,
            cells=reading.cells[[k]],
            coords=reading.coords[[k]],
            energies=reading.energies[[k]],
            forces=reading.forces[[k]],
            virials=None if reading.virials is None else reading.virials[[k]],
        )
        require_agreement(part, _of_dpdata(lines, number, symbols, path), path, first=number)
    group.readings.append(reading)


def _of_dpdata(lines: list[str], number: int, symbols: Symbols, path: Path) -> Reading:
    from dpdata.formats.xyz.quip_gap_xyz import QuipGapxyzSystems

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of columns that are not labels
            frame: dict[str, Any] = QuipGapxyzSystems.handle_single_xyz_frame(lines)
    except Exception as error:  # ValueError, KeyError, RuntimeError, ...
        raise DataError(
            f"{path}: dpdata cannot read frame {number} as extended XYZ "
            f"({type(error).__name__}: {error}), while ASE can. Write it again with ASE."
        ) from error
    found = tuple(str(frame["atom_names"][k]) for k in frame["atom_types"])
    virials = frame.get("virials")
    return Reading(
        reader="dpdata",
        symbols=found,
        cells=np.asarray(frame["cells"], dtype=float),
        coords=np.asarray(frame["coords"], dtype=float),
        energies=np.asarray(frame["energies"], dtype=float).ravel(),
        forces=np.asarray(frame["forces"], dtype=float),
        virials=None if virials is None else np.asarray(virials, dtype=float),
    )


def _frames(symbols: Symbols, group: _Group, path: Path, timestep_fs: float | None) -> Frames:
    read = joined(group.readings, path)
    index = np.array(group.members)
    return Frames(
        symbols=symbols,
        coords=read.coords,
        cells=read.cells,
        energies=read.energies,
        forces=read.forces,
        virials=read.virials,
        steps=index,
        times_ps=None if timestep_fs is None else index * timestep_fs * 1e-3,
        files=(path,),
        level=group.level,
        virial_origin=VIRIAL_OF_LABELS if group.labelled else "",
        unconverged=0 if group.labelled else None,
        notes=("read alike by ASE and dpdata",),
    )
