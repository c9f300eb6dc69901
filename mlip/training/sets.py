"""What training reads of a set: systems, elements, the certificate, and source weights."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip.errors import DataError, GateError
from mlip.files import read_json
from mlip.manifest import read_manifest


@dataclass(frozen=True)
class FrameRow:
    """One line of ``frames.csv``.

    Attributes
    ----------
    split, system : str
    row : int
        Of the system's arrays.
    phase : str
        May be empty.
    weight : float
        How often it is drawn relative to others; 1 where the set gives none.
    """

    split: str
    system: str
    row: int
    phase: str
    weight: float


def check_set(data: Path, *, accept_certificate: bool) -> list[str]:
    """Check that a set can be trained on and return its elements.

    Raises
    ------
    DataError
        If there is no finished set with training frames.
    GateError
        If its certificate failed and that was not accepted.
    """
    if not data.is_dir():
        raise DataError(f"{data}: no such set. Make one: mlip ingest RECIPE --out {data}")
    manifest = read_manifest(data)
    if manifest.kind != "set":
        raise DataError(f"{data}: holds a {manifest.kind}, expected a set made by mlip ingest.")
    if manifest.status != "complete":
        raise DataError(f"{data}: this set is not finished. Run its mlip ingest again.")
    systems = split_systems(data, "train")
    if not systems:
        raise DataError(f"{data}/train: no training systems. Give a source `split: train`.")
    verdict = read_json(data / "certificate.json")["verdict"]
    if verdict == "fail" and not accept_certificate:
        raise GateError(
            f"{data}: the certificate failed; see {data / 'certificate.md'}. Mend the data, or "
            "train all the same with --accept-certificate (the manifest records it)."
        )
    return (systems[0] / "type_map.raw").read_text().split()


def split_systems(data: Path, split: str) -> list[Path]:
    """Return the DeePMD systems of one split of a set."""
    return sorted(path.parent.resolve() for path in (data / split).glob("*/type.raw"))


def frame_rows(data: Path) -> list[FrameRow]:
    """Read ``frames.csv``.

    Raises
    ------
    DataError
        If it is missing, or a line has no number where one belongs.
    """
    path = data / "frames.csv"
    if not path.is_file():
        raise DataError(f"{path}: missing. Make the set again: mlip ingest RECIPE --out {data}")
    rows = []
    with path.open(encoding="utf-8", newline="") as handle:
        for line, entry in enumerate(csv.DictReader(handle), start=2):
            try:
                row = FrameRow(
                    split=entry["split"],
                    system=entry["system"],
                    row=int(entry["row"]),
                    phase=entry["phase"],
                    weight=float(entry.get("weight") or 1.0),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path}, line {line}: not a line of frames ({error}).") from error
            if not (row.weight > 0.0 and math.isfinite(row.weight)):
                raise DataError(f"{path}, line {line}: weight {row.weight}, expected above zero.")
            rows.append(row)
    return rows


def system_size(system: Path) -> tuple[int, int]:
    """Return the numbers of frames and atoms of a DeePMD system."""
    atoms = len(np.loadtxt(system / "type.raw", dtype=int, ndmin=1))
    parts = sorted(system.glob("set.*"))
    frames = sum(len(np.load(part / "coord.npy", mmap_mode="r")) for part in parts)
    return frames, atoms


def probabilities(data: Path, systems: Sequence[Path], batch_atoms: int) -> list[float]:
    """Return with which probability a step draws from each training system.

    A step takes one batch of one system. Its probability is the number of batches of the
    system times the mean weight of its frames, so that a frame is drawn in proportion to its
    weight whatever the batch.

    Parameters
    ----------
    data : Path
        Set directory.
    systems : sequence of Path
        Its training systems.
    batch_atoms : int
        See `mlip.recipes.train.TrainSettings`.

    Returns
    -------
    list of float
        Summing to one; empty if all frames weigh the same, which is DeePMD-kit's default.
    """
    weights: dict[str, list[float]] = {}
    for row in frame_rows(data):
        if row.split == "train":
            weights.setdefault(row.system, []).append(row.weight)
    if len({weight for of_system in weights.values() for weight in of_system}) < 2:
        return []
    shares = []
    for system in systems:
        frames, atoms = system_size(system)
        batches = math.ceil(frames / max(1, math.ceil(batch_atoms / atoms)))
        if system.name not in weights:
            raise DataError(f"{data / 'frames.csv'}: no line of the system {system.name}.")
        shares.append(batches * float(np.mean(weights[system.name])))
    return [share / sum(shares) for share in shares]
