"""The series part of a page: statements, Arrhenius figure, and the table of temperatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.results import Quantity
from mlip.report.blocks import Headline, Picture, Section, Table, Topic
from mlip.report.collect import Source
from mlip.report.formatting import prose
from mlip.report.results import headline, left_out, picture, read_analysis, read_quantities, row
from mlip.report.series_table import AT_TEMPERATURE, DIFFUSION, temperatures

# What readers come for, in this order; each is a headline for every material.
HEADLINES = ("activation_energy_diffusion_", "extrapolated_diffusion_coefficient_")
TOPICS = {
    "arrhenius": "Lines and what they give",
    "committee": "Spread over the members of the committee",
    "temperatures": "Every quantity at every temperature",
}


def series_headlines(source: Source) -> list[Headline]:
    """Return the activation energy and the extrapolated D of every material.

    Where neither is resolved, D at the lowest temperature that resolves it: of the whole, and of
    regions.
    """
    quantities = read_quantities(source.path)
    materials = list(read_analysis(source.path)["provenance"]["series"])
    found = []
    for material in materials:
        end = f"_{material}" if len(materials) > 1 else ""
        lines = [_of_the_whole(quantities, start, end) for start in HEADLINES]
        chosen = [line for line in lines if line is not None]
        if not any(line.status == "ok" for line in chosen):
            chosen = _coldest(quantities, end) or chosen
        found += [headline(each, source) for each in chosen]
    return found


def _of_the_whole(quantities: list[Quantity], start: str, end: str) -> Quantity | None:
    """Return the quantity of the whole cell of a solid: the one with the shortest name."""
    matches = [
        quantity
        for quantity in quantities
        if quantity.name.startswith(start)
        and "_melt" not in quantity.name
        and quantity.name.endswith(end)
    ]
    return min(matches, key=_length, default=None)


def _coldest(quantities: list[Quantity], end: str) -> list[Quantity]:
    """Return the resolved D of lowest temperature, one for the whole cell and each region."""
    found: dict[str, tuple[float, Quantity]] = {}
    for quantity in quantities:
        match = AT_TEMPERATURE.match(quantity.name)
        if match is None or not DIFFUSION.match(match["name"]) or quantity.status != "ok":
            continue
        kelvin = float(match["kelvin"])
        known = found.get(match["name"])
        if (match["end"] or "") == end and (known is None or kelvin < known[0]):
            found[match["name"]] = kelvin, quantity
    return [quantity for _, quantity in found.values()]


def series_section(source: Source, anchor: str) -> Section:
    """Return what several runs say together."""
    record = read_analysis(source.path)
    quantities = {quantity.name: quantity for quantity in read_quantities(source.path)}
    topics = [Topic("Against temperature", pictures=_pictures(source.path / "figures", record))]
    for material, runs in record["provenance"]["series"].items():
        topics.append(temperatures(material, runs, record, quantities))
    for name, title in TOPICS.items():
        chosen = [quantities[each] for each in record["topics"][name]["quantities"]]
        folded = f"{len(chosen)} number{'s' if len(chosen) > 1 else ''}"
        topics.append(Topic(title, table=_table(chosen) if chosen else None, folded=folded))
    if record["skipped"]:
        topics.append(Topic("Left out", table=left_out(record["skipped"])))
    return Section(
        title=f"All runs together: {source.name}",
        anchor=anchor,
        lead="What follows from all runs together. Independent samples give the interval; where a "
        "value is missing, a bound stands in its place.",
        statements=tuple(prose(statement) for statement in record["statements"]),
        topics=tuple(topic for topic in topics if topic.table or topic.pictures),
    )


def _length(quantity: Quantity) -> int:
    return len(quantity.name)


def _pictures(figures: Path, record: dict[str, Any]) -> tuple[Picture, ...]:
    names = [name for topic in record["topics"].values() for name in topic["figures"]]
    return tuple(picture(figures / f"{name}.png") for name in names)


def _table(quantities: list[Quantity]) -> Table:
    headings = ("quantity", "value", "interval or bound", "status", "how, or why not")
    return Table("", headings, tuple(row(quantity) for quantity in quantities), prose=True)
