"""Copies what the ladders on the specimens say of lithium into the repository.

    .venv/bin/python md_runs/specimens/collect_lithium.py md_runs/specimens/made/lithium

The argument is one analysis of all ladders together. Writes lithium.csv (one row a quantity and run
or temperature), lithium.txt (what can and what cannot be concluded) and lithium.png (Arrhenius
lines) beside this script.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COLUMNS = ("of", "quantity", "value", "low", "high", "unit", "status")
OF_A_RUN = (
    "framework_mean_squared_displacement_P",
    "framework_frozen",
    "framework_melted",
    "net_hops_Li",
    "diffusion_coefficient_Li",
    "diffusion_coefficient_Li_crystal",
    "diffusion_coefficient_Li_interface",
    "diffusion_coefficient_Li_glass",
    "diffusion_coefficient_parallel_Li",
    "diffusion_coefficient_normal_Li",
    "conductivity_nernst_einstein_Li",
    "conductivity_collective_Li",
    "haven_ratio_Li",
    "non_gaussian_peak_time_Li",
    "non_gaussian_peak_height_Li",
    "hop_length_Li",
    "residence_time_Li",
    "back_hop_share_Li",
    "rotation_rate_P",
    "exchange_rate_Li_crystal_to_glass",
    "exchange_rate_Li_glass_to_crystal",
)


def rows(analysis: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of the runs, then those of the materials."""
    together = json.loads((analysis / "results.json").read_text())
    for runs in together["provenance"]["series"].values():
        for run in runs:
            record = json.loads((analysis / run["run"] / "results.json").read_text())
            found = {entry["name"]: entry for entry in record["quantities"]}
            for name in OF_A_RUN:
                if name in found:
                    yield _row(run["run"], found[name])
    for entry in together["quantities"]:
        yield _row("series", entry)


def _row(of: str, entry: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: _short(entry[name]) for name in ("value", "low", "high")}
    return {"of": of, "quantity": entry["name"], **numbers} | {
        name: entry[name] for name in ("unit", "status")
    }


def _short(value: float | str | None) -> str:
    return "" if value is None else f"{float(value):.4g}"


def main(analysis: Path) -> None:
    """Collect an analysis."""
    found = list(rows(analysis))
    with (HERE / "lithium.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    together = json.loads((analysis / "results.json").read_text())
    (HERE / "lithium.txt").write_text("".join(f"{line}\n" for line in together["statements"]))
    shutil.copy(analysis / "figures" / "arrhenius.png", HERE / "lithium.png")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
