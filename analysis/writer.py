"""Write an analysis directory: results.json, curves, figures and grids, always by rename."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.results import (
    SCHEMA,
    Curve,
    Findings,
    Quantity,
    gather,
    quantity_from_json,
    quantity_to_json,
)


def write_analysis(
    out: Path, findings: Mapping[str, Findings], *, provenance: Mapping[str, Any]
) -> None:
    """Write the results of one analysis; `results.json` last, so that its presence means complete.

    Parameters
    ----------
    out : Path
        Directory, made if absent.
    findings : mapping of str to Findings
        By topic. `results.json` lists all quantities, and under ``topics`` the names of the
        quantities and figures of each.
    provenance : mapping
        What the results were computed from and with; values must be JSON.

    Raises
    ------
    AnalysisError
        If two quantities, curves, figures or files share a name.
    """
    together = gather(findings)
    for kind, names in (
        ("quantities", [quantity.name for quantity in together.quantities]),
        ("curves", [curve.name for curve in together.curves]),
        ("figures", [name for topic in findings.values() for name in topic.figures]),
        ("files", [name for topic in findings.values() for name in topic.files]),
    ):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise AnalysisError(f"{out}: {kind} named more than once: {', '.join(twice)}")
    for curve in together.curves:
        write_atomically(out / "curves" / f"{curve.name}.csv", curve_to_csv(curve).encode())
    for name, image in together.figures.items():
        write_atomically(out / "figures" / f"{name}.png", image)
    for name, content in together.files.items():
        write_atomically(out / name, content)
    record = {
        "schema": SCHEMA,
        "quantities": [quantity_to_json(quantity) for quantity in together.quantities],
        "topics": {
            name: {
                "quantities": [quantity.name for quantity in topic.quantities],
                "figures": list(topic.figures),
            }
            for name, topic in findings.items()
        },
        "statements": list(together.statements),
        "skipped": [{"name": item.name, "reason": item.reason} for item in together.skipped],
        "provenance": dict(provenance),
    }
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(out / "results.json", (text + "\n").encode())


def read_record(path: Path) -> dict[str, Any]:
    """Read a `results.json` of this or an earlier schema, brought to this one.

    Raises
    ------
    AnalysisError
        If the file is missing, malformed or of a later schema.
    """
    if not path.is_file():
        raise AnalysisError(f"{path}: no such file; analyse the run first")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{path}: not valid JSON ({error}); repeat the analysis") from error
    if not isinstance(record, dict):
        raise AnalysisError(f"{path}: expected a JSON object; repeat the analysis")
    return upgrade(record, path)


def upgrade(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """Bring the content of an older `results.json` to the present schema.

    Schema 2 has no statements.

    Raises
    ------
    AnalysisError
        If it is of an unknown schema.
    """
    schema = record.get("schema")
    if schema == 2:
        return record | {"schema": SCHEMA, "statements": []}
    if schema != SCHEMA:
        raise AnalysisError(f"{path}: schema {schema!r}; this version reads schema 2 and {SCHEMA}")
    return record


def read_results(path: Path) -> list[Quantity]:
    """Read the quantities of a `results.json`.

    Raises
    ------
    AnalysisError
        If the file is missing, malformed or of a later schema.
    """
    return [quantity_from_json(entry) for entry in read_record(path)["quantities"]]


def curve_to_csv(curve: Curve) -> str:
    """Return a curve as comma-separated text, one heading line with units; nan is empty."""
    rows = np.column_stack(list(curve.columns.values()))
    lines = [",".join(curve.columns)]
    lines += [",".join("" if np.isnan(x) else f"{x:.10g}" for x in row) for row in rows]
    return "\n".join(lines) + "\n"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
