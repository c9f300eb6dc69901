"""What lies in a model directory: members, type map, precision and the state of parity."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlip.errors import DataError
from mlip.files import read_json, sha256

PARITY_FILE = "validation/parity.json"
PARITY_SCHEMA = 1
TRUST_FILE = "validation/trust.json"
Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class ModelDirectory:
    """A committee of frozen potentials.

    Attributes
    ----------
    directory : Path
    members : tuple of Path
        ``model_0.pth``, ``model_1.pth``, ...
    compressed : tuple of Path
        ``compressed_<n>.pth``; as many as members, or none.
    type_map : tuple of str
        Elements in the order of the model's types.
    """

    directory: Path
    members: tuple[Path, ...]
    compressed: tuple[Path, ...]
    type_map: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All potentials: members first, then their compressed forms."""
        return (*self.members, *self.compressed)

    @property
    def fastest(self) -> tuple[Path, ...]:
        """The committee to drive MD with: compressed where there is one."""
        return self.compressed or self.members


@dataclass(frozen=True)
class ParityStatus:
    """Whether all engines were shown to agree on these very files.

    Attributes
    ----------
    ok : bool
    reason : str
        Why not, and what to type next; empty if `ok`.
    """

    ok: bool
    reason: str


def read_model_directory(directory: Path) -> ModelDirectory:
    """List the committee of a model directory.

    Raises
    ------
    DataError
        If there is no such directory, no model, a gap in the numbering, or no type map.
    """
    if not directory.is_dir():
        raise DataError(
            f"{directory}: no such directory. Expected a model directory; "
            "`mlip train RECIPE --out DIR` makes one."
        )
    members = _numbered(directory, "model")
    if not members:
        there = sorted(path.name for path in directory.iterdir())[:5]
        raise DataError(
            f"{directory}: a model directory without models: found "
            f"{', '.join(there) or 'nothing'}, expected model_0.pth, model_1.pth, ... and "
            "type_map.json. Finish `mlip train`, or copy your frozen model there as model_0.pth."
        )
    compressed = _numbered(directory, "compressed")
    if compressed and len(compressed) != len(members):
        raise DataError(
            f"{directory}: {len(members)} model(s) but {len(compressed)} compressed. "
            "Run `mlip train` again to finish, or remove the compressed_<n>.pth files."
        )
    return ModelDirectory(directory, members, compressed, read_type_map(directory))


def read_type_map(directory: Path) -> tuple[str, ...]:
    """Read ``type_map.json``: the elements in the order of the model's types.

    Raises
    ------
    DataError
        If it is missing, or no list of different names.
    """
    path = directory / "type_map.json"
    if not path.is_file():
        raise DataError(
            f"{path}: missing. Write the model's elements in the order of its types, "
            'for example ["Li", "P", "S"].'
        )
    names = read_json(path)
    good = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if not good or len(set(names)) != len(names):
        raise DataError(f"{path}: found {names!r}, expected a list of different element names.")
    return tuple(names)


def network_precision(model: Path) -> Precision:
    """Return the floating-point precision of a frozen model's networks.

    It is read from the training input that DeePMD-kit stores inside the TorchScript archive;
    the lowest precision of descriptor and fitting network counts. DeePMD-kit's default is
    float64.

    Raises
    ------
    DataError
        If the file is no frozen model of DeePMD-kit's PyTorch backend.
    """
    stored = ""
    if zipfile.is_zipfile(model):
        with zipfile.ZipFile(model) as archive:
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    stored = archive.read(name).decode("utf-8", errors="replace")
    if '"descriptor"' not in stored:
        raise DataError(
            f"{model}: no frozen DeePMD-kit model (TorchScript, .pth) with its training input "
            "inside. Freeze it again with `dp --pt freeze`."
        )
    found = set(re.findall(r'"precision":\s*"(\w+)"', stored))
    return "float32" if found & {"float32", "single", "float16", "bfloat16"} else "float64"


def parity_status(directory: Path, files: Sequence[Path] | None = None) -> ParityStatus:
    """Tell whether ``validation/parity.json`` proves parity of the model files as they are now.

    Parameters
    ----------
    directory : Path
        Model directory.
    files : sequence of Path, optional
        Potentials that are to be used; all of the directory by default.

    Returns
    -------
    ParityStatus

    Raises
    ------
    DataError
        If the directory holds no models, or the record is unreadable.
    """
    path = directory / PARITY_FILE
    again = f"Run `mlip validate {directory} --data SET`."
    wanted = tuple(files) if files is not None else read_model_directory(directory).files
    if not path.is_file():
        return ParityStatus(False, f"{path}: missing, so parity was never tested. {again}")
    record = read_json(path)
    if not isinstance(record, dict) or record.get("schema") != PARITY_SCHEMA:
        raise DataError(f"{path}: not a parity record of schema {PARITY_SCHEMA}. {again}")
    hashes: dict[str, str] = record.get("models", {})
    for file in wanted:
        if file.name not in hashes:
            return ParityStatus(False, f"{path}: {file.name} was not tested. {again}")
        if sha256(file) != hashes[file.name]:
            return ParityStatus(False, f"{file}: changed since parity was tested. {again}")
    if record.get("passed") is not True:
        return ParityStatus(False, f"{path}: parity failed: {worst_comparison(record)}. {again}")
    return ParityStatus(True, "")


def failed_levels(model: Path) -> dict[str, float]:
    """Return the deviation above which an atom's force is wrong, by element, eV/Å.

    Returns
    -------
    dict
        Upper levels of ``validation/trust.json``; empty if the committee was not calibrated
        for every element.

    Raises
    ------
    DataError
        If the record is there but not readable.
    """
    path = model / TRUST_FILE
    if not path.is_file():
        return {}
    try:
        levels = read_json(path)["levels"]
        if not all(level["calibrated"] for level in levels.values()):
            return {}
        return {name: float(level["upper_ev_per_angstrom"]) for name, level in levels.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: no record of trust levels ({error!r}). Run `mlip validate {model} "
            "--data SET --force`."
        ) from error


def worst_comparison(record: dict[str, Any]) -> str:
    """Describe in words the comparison of a parity record that is furthest beyond its tolerance."""
    failed = [entry for entry in record["comparisons"] if not entry["passed"]]
    if failed:
        worst = max(failed, key=lambda entry: _excess(entry))
        found = "not finite" if worst["difference"] is None else f"{worst['difference']:.3g}"
        return (
            f"{worst['model']}, {worst['pair']}: {worst['quantity']} differs by {found} "
            f"{worst['unit']}, allowed {worst['tolerance']:.3g}"
        )
    return str(record["negative_control"].get("reason") or "the negative control did not disagree")


def _excess(entry: dict[str, Any]) -> float:
    if entry["difference"] is None:
        return float("inf")
    return float(entry["difference"]) / float(entry["tolerance"])


def _numbered(directory: Path, stem: str) -> tuple[Path, ...]:
    pattern = re.compile(rf"{stem}_(\d+)\.pth")
    numbers = sorted(
        int(match[1]) for path in directory.iterdir() if (match := pattern.fullmatch(path.name))
    )
    if numbers != list(range(len(numbers))):
        missing = next(n for n in range(len(numbers)) if n not in numbers)
        raise DataError(
            f"{directory}: {stem}_{missing}.pth is missing; members count from 0 without gaps."
        )
    return tuple(directory / f"{stem}_{number}.pth" for number in numbers)
