"""The analysis part of a page: headline, table of results, figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.results import Quantity
from analysis.writer import read_results
from mlip.errors import DataError
from mlip.files import read_json
from mlip.report.blocks import Cell, Fact, Headline, Picture, Section, Table, png_address
from mlip.report.collect import Source
from mlip.report.formatting import (
    cell,
    interval_cell,
    key_text,
    number_text,
    prose,
    quantity_name,
    value_cell,
)

# What readers come for, in this order; the first that an analysis holds is its headline.
HEADLINES = ("conductivity", "activation_energy", "diffusion_coefficient")
CAPTIONS = {
    "msd": "Mean squared displacement of every species, and of the mobile one with the fitted "
    "window shaded.",
    "rdf": "Pair distribution functions g(r) with the running coordination number (dashed).",
    "angles": "Bond angles (line), and relative to random directions (dashed).",
    "anions": "Anions over the run, and how far their shares depend on the bond cutoffs.",
    "partial_structure_factors": "Faber-Ziman partial structure factors.",
    "total_scattering": "Total structure factors for neutrons and X-rays, and G(r).",
    "crystallinity": "Order of each atom of the network former.",
    **{
        f"disorder_{axis}": f"Disorder F and density along {axis}, with the interfaces found."
        for axis in "abc"
    },
}


def read_quantities(directory: Path) -> list[Quantity]:
    """Read the quantities of an analysis directory.

    Raises
    ------
    DataError
        If ``results.json`` is damaged.
    """
    try:
        return read_results(directory / "results.json")
    except AnalysisError as error:
        raise DataError(f"{error}. Run `mlip analyse` with --force.") from error


def analysis_headlines(source: Source) -> list[Headline]:
    """Return the quantities readers come for, with interval or the reason why they are missing."""
    quantities = read_quantities(source.path)
    found = []
    for start in HEADLINES:
        matches = [q for q in quantities if q.name.startswith(start) and "bound" not in q.name]
        found += [_headline(quantity, source) for quantity in matches[:1]]
    return found


def analysis_section(source: Source, anchor: str) -> Section:
    """Return all results of one analysis."""
    record = read_json(source.path / "results.json")
    provenance = record["provenance"]
    quantities = sorted(read_quantities(source.path), key=_rank)
    tables = []
    if quantities:
        tables.append(
            Table(
                "Results. The interval holds the true value with the stated probability; an "
                "unresolved quantity has a bound instead, and the reason.",
                ("quantity", "value", "interval or bound", "status", "how, or why not"),
                tuple(_row(quantity) for quantity in quantities),
                prose=True,
            )
        )
    if record["skipped"]:
        tables.append(
            Table(
                "Left out.",
                ("observable", "reason"),
                tuple(
                    (Cell(quantity_name(item["name"])), Cell(prose(item["reason"])))
                    for item in record["skipped"]
                ),
                prose=True,
            )
        )
    keys = ("atoms", "frames", "frame_interval_ps", "temperature_kelvin", "ensemble", "drift")
    return Section(
        title=f"Results: {source.name}",
        anchor=anchor,
        facts=tuple(
            Fact(key_text(key), cell(provenance[key])) for key in keys if key in provenance
        ),
        tables=tuple(tables),
        pictures=tuple(_figures(source.path / "figures")),
    )


def _headline(quantity: Quantity, source: Source) -> Headline:
    provenance: dict[str, Any] = read_json(source.path / "results.json")["provenance"]
    kelvin = provenance.get("temperature_kelvin")
    where = f" at {number_text(float(kelvin))} K" if kelvin is not None else ""
    kicker = f"{quantity_name(quantity.name)}{where}: {source.name}"
    interval = interval_cell(quantity)
    if quantity.status == "ok":
        detail = [
            Cell(f"{number_text(100 * quantity.level)} % interval: {interval.text}", interval.exact)
            if interval.exact
            else Cell("no error estimate", tone="quiet")
        ]
        if quantity.reason:
            detail.append(Cell(prose(quantity.reason), tone="quiet"))
        return Headline(kicker, value_cell(quantity), tuple(detail))
    detail = [Cell(prose(quantity.reason))]
    if interval.exact:
        detail.append(Cell(f"What the data do say: {interval.text}", interval.exact))
    return Headline(kicker, value_cell(quantity), tuple(detail))


def _row(quantity: Quantity) -> tuple[Cell, ...]:
    tone = "good" if quantity.status == "ok" else "bad"
    interval = interval_cell(quantity)
    if interval.exact and quantity.status == "ok":
        level = f" ({number_text(100 * quantity.level)} %)"
        interval = Cell(interval.text + level, interval.exact)
    return (
        Cell(quantity_name(quantity.name)),
        value_cell(quantity),
        interval,
        Cell(quantity.status, tone=tone),  # type: ignore[arg-type]
        Cell(prose(quantity.reason), tone="quiet" if quantity.status == "ok" else "plain"),
    )


def _rank(quantity: Quantity) -> int:
    """Return the place in the table: what readers come for, then the rest as in the file."""
    for place, start in enumerate(HEADLINES):
        if quantity.name.startswith(start):
            return place
    return len(HEADLINES)


def _figures(folder: Path) -> Sequence[Picture]:
    return [
        Picture(
            png_address(path.read_bytes()),
            CAPTIONS.get(path.stem, path.stem.replace("_", " ") + "."),
            wide=True,
        )
        for path in sorted(folder.glob("*.png"))
    ]
