"""Recognising directories: what each holds, and whether it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlip.errors import DataError, InputError
from mlip.files import read_json
from mlip.manifest import NAME, Manifest, missing_outputs, read_manifest

COMMANDS = {
    "set": "mlip ingest RECIPE",
    "model": "mlip train RECIPE",
    "validation": "mlip validate MODEL --data SET",
    "structure": "mlip build NAME",
    "run": "mlip md PROTOCOL --model MODEL --structure STRUCTURE",
    "runs": "mlip md PROTOCOL --model MODEL --structure STRUCTURE",
    "analysis": "mlip analyse RUN",
    "labels": "mlip label STRUCTURES",
    "exploration": "mlip explore RECIPE",
}
ORDER = ("series", "analysis", "run", "model", "set", "exploration", "labels", "structure")


@dataclass(frozen=True)
class Source:
    """One directory of results.

    Attributes
    ----------
    path : Path
    kind : str
        One of `ORDER`.
    name : str
        How the page calls it.
    manifest : Manifest or None
        None for an analysis made without `mlip`.
    """

    path: Path
    kind: str
    name: str
    manifest: Manifest | None


def collect(directories: Sequence[Path]) -> list[Source]:
    """Recognise directories, take ladders apart, and sort by what readers want first.

    Parameters
    ----------
    directories : sequence of Path
        Sets, models, structures, runs, directories of runs, analyses, labels.

    Raises
    ------
    InputError
        If any is missing, unfinished or unknown; all of them are named at once.
    """
    sources: list[Source] = []
    faults: list[str] = []
    for directory in directories:
        try:
            sources += _recognise(directory, directory.resolve().name)
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("Nothing was reported.\n" + "\n".join(f"  {fault}" for fault in faults))
    if not sources:
        raise InputError("No directory was given. Try: mlip report ANALYSIS RUN MODEL --out DIR")
    unique = {source.path.resolve(): source for source in sources}
    return sorted(unique.values(), key=lambda source: ORDER.index(source.kind))


def _recognise(directory: Path, name: str) -> list[Source]:
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory.")
    if not (directory / NAME).is_file():
        return _without_manifest(directory, name)
    manifest = _finished(directory)
    if manifest.kind == "runs":
        children = [directory / Path(output).parent for output in manifest.outputs]
        return [
            source for child in children for source in _recognise(child, f"{name} {child.name}")
        ]
    if manifest.kind == "analysis":
        return _analyses(directory, name, manifest)
    if manifest.kind == "validation":
        return _recognise(directory.parent, directory.resolve().parent.name)
    if manifest.kind not in ORDER:
        raise InputError(
            f"{directory}: holds a {manifest.kind}, which a report does not show. Give sets, "
            "models, structures, runs, analyses or labels."
        )
    return [Source(directory, manifest.kind, name, manifest)]


def _finished(directory: Path) -> Manifest:
    manifest = read_manifest(directory)
    command = COMMANDS.get(manifest.kind, "the command that made it")
    if manifest.status != "complete":
        raise InputError(
            f"{directory}: this {manifest.kind} is not finished (attempts: "
            f"{len(manifest.attempts)}). The same command resumes it: {command} --out {directory}"
        )
    missing = missing_outputs(directory, manifest)
    if missing:
        raise InputError(
            f"{directory}: {', '.join(missing[:3])} missing or changed since the {manifest.kind} "
            f"was finished. Make it again: {command} --out {directory}"
        )
    return manifest


def _without_manifest(directory: Path, name: str) -> list[Source]:
    if (directory / "results.json").is_file():
        kind = "series" if is_series(directory) else "analysis"
        return [Source(directory, kind, name, None)]
    children = sorted(path.parent for path in directory.glob(f"*/{NAME}"))
    runs = [child for child in children if read_manifest(child).kind == "run"]
    if runs:
        return [source for child in runs for source in _recognise(child, f"{name} {child.name}")]
    there = ", ".join(sorted(path.name for path in directory.iterdir())[:4]) or "nothing"
    raise InputError(
        f"{directory}: not a directory of results: found {there}, expected {NAME} (written by "
        "every mlip command) or results.json (written by an analysis)."
    )


def _analyses(directory: Path, name: str, manifest: Manifest) -> list[Source]:
    """Return an analysis, or those of several runs with what follows from all of them."""
    children = sorted(path.parent for path in directory.glob("*/results.json"))
    if (directory / "results.json").is_file():
        if not is_series(directory):
            return [Source(directory, "analysis", name, manifest)]
        found = [Source(directory, "series", name, manifest)]
    elif children:
        found = []
    else:
        raise DataError(f"{directory}: an analysis without results.json; run `mlip analyse` again.")
    return [
        *found,
        *(Source(child, "analysis", f"{name} {child.name}", _own(child)) for child in children),
    ]


def is_series(directory: Path) -> bool:
    """Return whether an analysis is of several runs together."""
    record = read_json(directory / "results.json")
    return isinstance(record, dict) and "series" in record.get("provenance", {})


def _own(directory: Path) -> Manifest | None:
    return read_manifest(directory) if (directory / NAME).is_file() else None
