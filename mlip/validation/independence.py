"""How independent test frames are: of runs that training never touched, or blocks of its runs."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip.errors import DataError
from mlip.files import fingerprint, read_json
from mlip.manifest import NAME, Manifest, read_manifest
from mlip.validation.reference import ReferenceSystem

UNTOUCHED = "run untouched by training"
BLOCK = "block of a training run"
UNKNOWN = "unknown"
TRAINING = "training frames"

GAP_CHECK = "gap between sides"

Trajectory = tuple[str, str]


@dataclass(frozen=True)
class Independence:
    """What the frames of one split are to the training of the model.

    Attributes
    ----------
    labels : tuple of tuple of str
        By system, by frame: `UNTOUCHED`, `BLOCK`, `UNKNOWN` or `TRAINING`.
    headline : str
        The label that the printed errors are of: `UNTOUCHED` if any frame is, else the label
        of all frames.
    gap_ps : float or None
        Smallest time between blocks of one run on different sides; None without such blocks,
        or where the certificate does not say, as for two sources that share a run.
    statement : str
        The same in words.
    """

    labels: tuple[tuple[str, ...], ...]
    headline: str
    gap_ps: float | None
    statement: str

    def counted(self, system: int) -> NDArray[np.int64]:
        """Return the frames of a system, by its number, that the printed errors are of."""
        return np.flatnonzero([label == self.headline for label in self.labels[system]])

    def as_json(self) -> dict[str, Any]:
        """Return kind, number of frames by label, gap and statement as JSON types."""
        counts = Counter(label for system in self.labels for label in system)
        return {
            "headline": self.headline,
            "frames": dict(sorted(counts.items())),
            "gap_ps": self.gap_ps,
            "statement": self.statement,
        }


def trained_on(data: Path, model: Manifest | None) -> bool | None:
    """Tell whether a model was trained on this set; None where its training is not recorded."""
    if model is None:
        return None
    return fingerprint(data) in model.inputs.values()


def training_set(model: Path, manifest: Manifest | None, data: Path) -> Path | None:
    """Return the set that a model was trained on, if it still lies where it did, unchanged.

    Parameters
    ----------
    model : Path
        Model directory: the paths of its inputs start there.
    manifest : Manifest or None
        Of the model.
    data : Path
        Set of the validation, tried first.
    """
    if manifest is None:
        return None
    if trained_on(data, manifest):
        return data
    for name, value in manifest.inputs.items():
        path = model / name
        if (path / "frames.csv").is_file() and fingerprint(path) == value:
            return path
    return None


def independence(
    data: Path, systems: Sequence[ReferenceSystem], model: Manifest | None
) -> Independence:
    """Tell for every frame of a split whether training used frames of the same run.

    Parameters
    ----------
    data : Path
        Set directory.
    systems : sequence of ReferenceSystem
        Of the split that counts as unseen.
    model : Manifest or None
        Of the model; None for a foreign one.

    Raises
    ------
    DataError
        If ``frames.csv`` lacks a column.

    Notes
    -----
    A run is known by source and system. Sources that the ingest recipe reads from the same
    path are the same run, so that two windows of one trajectory do not pass for two runs.
    What the model saw before, whose weights a fine-tuned model started from, is not known.
    """
    if unknown := _why_unknown(data, model):
        statement = f"whether training saw these runs is not recorded: the model {unknown}"
        labels = tuple((UNKNOWN,) * system.n_frames for system in systems)
        return Independence(labels, UNKNOWN, None, statement)
    paths = _source_paths(data)
    listed = _listed(data, "train")
    trained = {_trajectory(source, system, paths) for source, system in listed}
    labels = tuple(
        tuple(
            BLOCK if _trajectory(source, system.name, paths) in trained else UNTOUCHED
            for source in system.sources
        )
        for system in systems
    )
    counts = Counter(label for system in labels for label in system)
    blocks = {
        (source, system.name)
        for system, own in zip(systems, labels, strict=True)
        for source, label in zip(system.sources, own, strict=True)
        if label == BLOCK
    }
    runs = {_trajectory(source, name, paths) for source, name in blocks}
    beside = {pair for pair in listed if _trajectory(*pair, paths) in runs}
    # The certificate measures within a source, not between two that share a run.
    measured = blocks == beside and len(blocks) == len(runs)
    gap = _gap_ps(data) if blocks and measured else None
    apart = "an unrecorded time" if gap is None else f"at least {gap:g} ps"
    if counts[UNTOUCHED] and counts[BLOCK]:
        headline = UNTOUCHED
        statement = (
            f"{counts[UNTOUCHED]} frames are of runs that training never touched; the errors are "
            f"of these. {counts[BLOCK]} frames are blocks of training runs, {apart} from their "
            "training frames, and stand apart"
        )
    elif counts[UNTOUCHED]:
        headline = UNTOUCHED
        statement = f"all {counts[UNTOUCHED]} frames are of runs that training never touched"
    else:
        headline = BLOCK
        statement = (
            f"no run is untouched by training: these are blocks {apart} from training frames of "
            "the same run"
        )
    return Independence(labels, headline, gap, statement)


def of_training(systems: Sequence[ReferenceSystem]) -> Independence:
    """Return the same for frames that the model was trained on."""
    labels = tuple((TRAINING,) * system.n_frames for system in systems)
    return Independence(labels, TRAINING, None, "the model was trained on these frames")


def _why_unknown(data: Path, model: Manifest | None) -> str:
    """Return why the runs that a model saw are not known; empty if they are."""
    if model is None:
        return "has no manifest"
    if not trained_on(data, model):
        return "was trained on another set"
    start = model.recipe.get("start_from")
    return f"started from the weights of {Path(start).name}" if start else ""


def _listed(data: Path, split: str) -> frozenset[tuple[str, str]]:
    """Return source and system of all frames of a split."""
    path = data / "frames.csv"
    with path.open(newline="", encoding="utf-8") as handle:
        try:
            return frozenset(
                (row["source"], row["system"])
                for row in csv.DictReader(handle)
                if row["split"] == split
            )
        except KeyError as error:
            raise DataError(
                f"{path}: no column {error}. Make the set again with `mlip ingest`."
            ) from error


def _trajectory(source: str, system: str, paths: Mapping[str, str]) -> Trajectory:
    """Return what names a run: file and number of the match, or source and system."""
    number = system.removeprefix(source)
    return (paths[source], number) if source in paths else (source, system)


def _source_paths(data: Path) -> dict[str, str]:
    """Return the path of every source of an ingested set; empty for one made otherwise."""
    if not (data / NAME).is_file():
        return {}
    sources = read_manifest(data).recipe.get("sources", [])
    return {
        entry["name"]: os.path.normpath(entry["path"])
        for entry in sources
        if isinstance(entry, dict) and "name" in entry and "path" in entry
    }


def _gap_ps(data: Path) -> float | None:
    path = data / "certificate.json"
    checks = read_json(path).get("checks", []) if path.is_file() else []
    found = [check["number"] for check in checks if check["name"] == GAP_CHECK]
    return float(found[0]) if found and found[0] is not None else None
