"""What a validation says besides errors: independence, trust levels, physics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlip.files import read_json
from mlip.report.blocks import Cell, Table
from mlip.report.formatting import cell

TRUST = (
    ("scale", "error / deviation"),
    ("scale_error", "its standard error"),
    ("lower_ev_per_angstrom", "candidate above (eV/Å)"),
    ("upper_ev_per_angstrom", "failed above (eV/Å)"),
    ("rank_correlation", "rank correlation"),
    ("atoms", "atoms"),
    ("calibrated", "calibrated"),
)
FINDING = (
    ("subject", "subject"),
    ("quantity", "quantity"),
    ("value", "potential"),
    ("reference", "reference"),
    ("reference_kind", "reference is"),
    ("limit", "limit"),
    ("verdict", "verdict"),
    ("text", "finding"),
)


def independence_words(errors: dict[str, Any]) -> tuple[str, ...]:
    """Return in words whether training touched the runs; nothing where it was not recorded."""
    return (errors["independence"]["statement"],) if "independence" in errors else ()


def independence_notes(metrics: dict[str, Any]) -> list[Cell]:
    """Return for each split but the training one what its frames are to the training."""
    return [
        Cell(f"Errors on the {split} split: {words}.")
        for split, errors in metrics["splits"].items()
        if split != "train"
        for words in independence_words(errors)
    ]


def trust_tables(validation: Path) -> list[Table]:
    """Return the trust levels, where the committee was calibrated on unseen frames."""
    path = validation / "trust.json"
    if not path.is_file():
        return []
    rows = tuple(
        (Cell(name), *(cell(level[key]) for key, _ in TRUST))
        for name, level in read_json(path)["levels"].items()
    )
    headings = ("element", *(title for _, title in TRUST))
    return [Table("Trust levels of the committee's force deviation.", headings, rows)]


def physics_tables(validation: Path) -> list[Table]:
    """Return the physical tests with their verdicts, if there were any."""
    path = validation / "physics.json"
    findings = read_json(path)["findings"] if path.is_file() else []
    rows = tuple(tuple(cell(row[key]) for key, _ in FINDING) for row in findings)
    headings = tuple(title for _, title in FINDING)
    return [Table("Physics of the potential.", headings, rows, prose=True)] if rows else []
