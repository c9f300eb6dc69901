"""The store of labels: one directory for each, written whole or not at all.

``labels/<id>/`` holds ``label.json``, the compressed input and output of the engine, and the
structure: ``label.extxyz`` with energy, forces and stress if it converged, else
``structure.extxyz`` without any, so that a failed frame cannot pass for a label.
"""

from __future__ import annotations

import gzip
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import BaseModel, ConfigDict, ValidationError

from mlip.engines.single_point import SinglePoint
from mlip.errors import DataError
from mlip.files import read_json, replacing, write_json

FOLDER = "labels"
RECORD, LABEL, STRUCTURE = "label.json", "label.extxyz", "structure.extxyz"
GPA_PER_EV_ANGSTROM3 = 160.21766339999998  # CODATA 2018


class Try(BaseModel):
    """One way to a label that was tried.

    Attributes
    ----------
    method : str
    result : {'converged', 'unconverged', 'aborted'}
    iterations : int
        Steps to self-consistency.
    seconds : float
        Wall time; 0 if it ended in an earlier call.
    message : str
        Of a failure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    result: Literal["converged", "unconverged", "aborted"]
    iterations: int
    seconds: float
    message: str = ""


class Record(BaseModel):
    """What ``label.json`` says about one label.

    Attributes
    ----------
    id : str
        Hash of structure and settings.
    status : {'converged', 'unconverged', 'aborted'}
        Of the last try.
    source, frame : str and int
        Where the structure came from, relative to the output directory.
    formula : str
    cores : int
        Processor cores that it took.
    tries : tuple of Try
    energy_ev, pressure_gpa, largest_force_ev_per_angstrom, gap_ev : float, optional
        Absent if not converged; the gap also if the engine gave none.
    virial_ev : list of float, optional
        Row by row; potential part, DeePMD sign: pressure = trace / 3V.
    version : str, optional
        Of the engine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    status: Literal["converged", "unconverged", "aborted"]
    source: str
    frame: int
    formula: str
    cores: int
    tries: tuple[Try, ...]
    energy_ev: float | None = None
    pressure_gpa: float | None = None
    largest_force_ev_per_angstrom: float | None = None
    gap_ev: float | None = None
    virial_ev: list[float] | None = None
    version: str | None = None

    @property
    def iterations(self) -> int:
        """Return the steps of the last try."""
        return self.tries[-1].iterations

    @property
    def seconds(self) -> float:
        """Return the wall time of all tries."""
        return sum(entry.seconds for entry in self.tries)


def with_results(record: Record, atoms: Atoms, point: SinglePoint) -> Record:
    """Return the record of a converged label."""
    volume = abs(atoms.cell.volume)
    pressure = np.trace(point.virial) / (3.0 * volume) * GPA_PER_EV_ANGSTROM3
    return record.model_copy(
        update={
            "energy_ev": point.energy_ev,
            "pressure_gpa": float(pressure),
            "largest_force_ev_per_angstrom": float(np.linalg.norm(point.forces, axis=1).max()),
            "gap_ev": None if math.isnan(point.gap_ev) else point.gap_ev,
            "virial_ev": point.virial.ravel().tolist(),
            "version": point.version,
        }
    )


def stored(out: Path) -> dict[str, Record]:
    """Return the records of all labels in a directory, by their id.

    Raises
    ------
    DataError
        If a record is damaged.
    """
    records = {}
    for path in sorted((out / FOLDER).glob(f"[!.]*/{RECORD}")):
        try:
            records[path.parent.name] = Record.model_validate(read_json(path))
        except ValidationError as error:
            raise DataError(
                f"{path}: not a label record. Remove {path.parent} to have it labelled again.\n"
                f"{error}"
            ) from error
    return records


def add(
    out: Path,
    record: Record,
    atoms: Atoms,
    point: SinglePoint | None,
    files: Mapping[str, Path],
    level: Mapping[str, str],
) -> None:
    """Put one label into the store by rename.

    Parameters
    ----------
    out : Path
        Output directory.
    record : Record
    atoms : Atoms
        The structure.
    point : SinglePoint, optional
        Absent if no try converged.
    files : mapping of str to Path
        What is kept compressed, by its name in the store (without ``.gz``).
    level : mapping of str to str
        Level of theory in words, for the certificate of a set made from it.
    """
    target = out / FOLDER / record.id
    temporary = target.with_name(f".{record.id}.{os.getpid()}.tmp")
    for stale in (out / FOLDER).glob(f".{record.id}.*.tmp"):
        shutil.rmtree(stale)
    temporary.mkdir(parents=True)
    for name, source in files.items():
        # No time in the header: equal content gives equal files.
        content = gzip.compress(source.read_bytes(), mtime=0)
        (temporary / f"{name}.gz").write_bytes(content)
    labelled = atoms.copy()
    labelled.info |= {"label": record.id, "source": record.source, "frame": record.frame}
    if point is not None:
        labelled.info["dft_level"] = dict(level)
        labelled.calc = SinglePointCalculator(
            labelled,
            energy=point.energy_ev,
            forces=point.forces,
            stress=-point.virial / abs(atoms.cell.volume),
        )
    name = LABEL if point is not None else STRUCTURE
    ase.io.write(temporary / name, labelled, format="extxyz")
    write_json(temporary / RECORD, record.model_dump(mode="json", exclude_none=True))
    if target.exists():  # without its record, or it would not be labelled again
        shutil.rmtree(target)
    temporary.rename(target)


def collect(out: Path, records: Sequence[Record]) -> Path:
    """Join the converged labels to ``labels.extxyz``, by source and frame; return its path."""
    path = out / "labels.extxyz"
    chosen = sorted(
        (record for record in records if record.status == "converged"),
        key=lambda record: (record.source, record.frame, record.id),
    )
    with replacing(path) as temporary:
        temporary.write_bytes(
            b"".join((out / FOLDER / record.id / LABEL).read_bytes() for record in chosen)
        )
    return path


def files(out: Path) -> list[Path]:
    """Return every file of the store."""
    return sorted(path for path in (out / FOLDER).glob("[!.]*/*") if path.is_file())
