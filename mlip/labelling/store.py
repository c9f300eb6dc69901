"""The store of labels: one directory for each, written whole or not at all.

``labels/<id>/`` holds ``label.json``, the compressed input and output of CP2K, and the
structure: ``label.extxyz`` with energy, forces and stress if the SCF converged, else
``structure.extxyz`` without any, so that an unconverged frame cannot pass for a label.
"""

from __future__ import annotations

import gzip
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import BaseModel, ConfigDict, ValidationError

from mlip.engines.cp2k_output import EV_PER_ANGSTROM3, SinglePoint
from mlip.errors import DataError
from mlip.files import read_json, replacing, write_json

FOLDER = "labels"
RECORD, LABEL, STRUCTURE = "label.json", "label.extxyz", "structure.extxyz"
INPUT, OUTPUT = "input.inp.gz", "output.out.gz"


class Record(BaseModel):
    """What ``label.json`` says about one label.

    Attributes
    ----------
    id : str
        Hash of structure and settings.
    status : {'converged', 'unconverged'}
    source, frame : str and int
        Where the structure came from, relative to the output directory.
    formula : str
    scf_iterations : int
    seconds, cores : float and int
        Wall time, and processor cores that it took.
    energy_ev, pressure_gpa, largest_force_ev_per_angstrom, gap_ev : float, optional
        Absent if not converged; the gap also if CP2K printed none.
    virial_ev : list of float, optional
        Row by row; potential part, DeePMD sign: pressure = trace / 3V.
    version : str, optional
        Of CP2K.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    status: Literal["converged", "unconverged"]
    source: str
    frame: int
    formula: str
    scf_iterations: int
    seconds: float
    cores: int
    energy_ev: float | None = None
    pressure_gpa: float | None = None
    largest_force_ev_per_angstrom: float | None = None
    gap_ev: float | None = None
    virial_ev: list[float] | None = None
    version: str | None = None


def with_results(record: Record, atoms: Atoms, point: SinglePoint) -> Record:
    """Return the record of a converged label."""
    volume = abs(atoms.cell.volume)
    pressure = np.trace(point.virial) / (3.0 * volume) / EV_PER_ANGSTROM3["GPa"]
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


def add(out: Path, record: Record, atoms: Atoms, point: SinglePoint | None, work: Path) -> None:
    """Put one label into the store by rename.

    Parameters
    ----------
    out : Path
        Output directory.
    record : Record
    atoms : Atoms
        The structure.
    point : SinglePoint, optional
        Absent if the SCF did not converge.
    work : Path
        Where ``input.inp`` and ``output.out`` lie.
    """
    target = out / FOLDER / record.id
    temporary = target.with_name(f".{record.id}.{os.getpid()}.tmp")
    for stale in (out / FOLDER).glob(f".{record.id}.*.tmp"):
        shutil.rmtree(stale)
    temporary.mkdir(parents=True)
    for source, name in ((work / "input.inp", INPUT), (work / "output.out", OUTPUT)):
        # No time in the header: equal content gives equal files.
        (temporary / name).write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    labelled = atoms.copy()
    labelled.info |= {"label": record.id, "source": record.source, "frame": record.frame}
    if point is not None:
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
