"""One quantity of one subject: findings, numbers and curves in a folder, written once."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlip.files import read_json, write_json, write_text
from mlip.validation.finding import Finding

RESULT = "result.json"


@dataclass(frozen=True)
class Curve:
    """A table for plotting.

    Attributes
    ----------
    name : str
        File name without ``.csv``.
    columns : tuple of str
        With units.
    rows : sequence of sequences
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Part:
    """What was found of one quantity.

    Attributes
    ----------
    findings : tuple of Finding
    numbers : dict
        Further results as JSON types, kept beside the findings; units in the keys.
    curves : tuple of Curve
    """

    findings: tuple[Finding, ...]
    numbers: dict[str, Any] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()


def kept(folder: Path, make: Callable[[], Part]) -> tuple[list[Finding], dict[str, Any]]:
    """Return findings and numbers of a finished part, or make it and write it down.

    ``result.json`` is written last, so a part that was cut short is made again.
    """
    path = folder / RESULT
    if not path.is_file():
        part = make()
        for curve in part.curves:
            _write_curve(folder / f"{curve.name}.csv", curve)
        content = {
            "findings": [asdict(finding) for finding in part.findings],
            "numbers": finite(part.numbers),
        }
        write_json(path, content)
    content = read_json(path)
    return [Finding(**entry) for entry in content["findings"]], content["numbers"]


def finite(content: Any) -> Any:
    """Return JSON types with null for numbers that are not finite."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _write_curve(path: Path, curve: Curve) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(curve.columns)
    writer.writerows(
        [f"{value:.8g}" if isinstance(value, float) else value for value in row]
        for row in curve.rows
    )
    write_text(path, text.getvalue())
