"""The analysis part of a page: headline, table of results, figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.figures.style import DPI
from analysis.results import Quantity
from analysis.writer import read_results
from mlip.errors import DataError
from mlip.files import read_json
from mlip.report.blocks import Cell, Fact, Headline, Picture, Section, Table, Topic, png_address
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
# In the order of the page.
TOPICS = {
    "motion": "Motion of the ions",
    "disorder": "Crystal and glass along the cell",
    "anions": "Anions",
    "rdf": "Pair distributions",
    "rdf_by_group": "Pair distributions by region and anion",
    "angles": "Bond angles",
    "scattering": "Scattering",
    "volumes": "Voronoi volumes",
    "polyhedra": "Coordination polyhedra",
    "order": "Crystalline order",
}
# By the start of the name of a figure; what follows it is added.
CAPTIONS = {
    "msd": "Mean squared displacement of every species, and of the mobile one with the fitted "
    "window shaded",
    "disorder": "Disorder F and density along the cell, with the interfaces found",
    "anions": "Anions over the run, and how far their shares depend on the bond cutoffs",
    "rdf": "Pair distribution functions g(r) with the running coordination number (dashed)",
    "rdf_by_region": "Pair distribution functions around the atoms of each region",
    "rdf_by_anion": "Pair distribution functions around the atoms of each kind of anion",
    "angles": "Bond angles (line), and relative to random directions (dashed)",
    "partial_structure_factors": "Faber-Ziman partial structure factors",
    "total_scattering": "Total structure factors for neutrons and X-rays, and G(r)",
    "comparison": "Simulated and measured scattering",
    "voronoi": "Volumes of the Voronoi cells",
    "polyhedra": "Neighbours of the mobile ion, and the shape that they form",
    "crystallinity": "Order of each atom of the network former",
}
# Inches of a figure to pixels of a page.
CSS_DPI = 96


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
    """Return all results of one analysis, topic by topic."""
    record = read_json(source.path / "results.json")
    provenance = record["provenance"]
    quantities = {quantity.name: quantity for quantity in read_quantities(source.path)}
    topics = [
        _topic(name, record["topics"][name], quantities, source.path / "figures")
        for name in sorted(record["topics"], key=_place)
    ]
    if record["skipped"]:
        topics.append(Topic("Left out", table=_left_out(record["skipped"])))
    keys = ("atoms", "frames", "frame_interval_ps", "temperature_kelvin", "ensemble", "drift")
    return Section(
        title=f"Results: {source.name}",
        anchor=anchor,
        lead="An interval holds the true value with the stated probability; an unresolved quantity "
        "has a bound instead, and the reason.",
        facts=tuple(
            Fact(key_text(key), cell(provenance[key])) for key in keys if key in provenance
        ),
        topics=tuple(topic for topic in topics if topic.table or topic.pictures),
    )


def _topic(
    name: str, contents: dict[str, list[str]], quantities: dict[str, Quantity], figures: Path
) -> Topic:
    """Return the figures of a topic, then its numbers; all but the first topic's are folded."""
    chosen = sorted((quantities[each] for each in contents["quantities"]), key=_rank)
    unresolved = sum(quantity.status != "ok" for quantity in chosen)
    folded = f"{len(chosen)} number{'s' if len(chosen) > 1 else ''}"
    if unresolved:
        folded += f", {unresolved} of them without a value"
    table = Table(
        "",
        ("quantity", "value", "interval or bound", "status", "how, or why not"),
        tuple(_row(quantity) for quantity in chosen),
        prose=True,
    )
    return Topic(
        TOPICS.get(name, key_text(name)),
        tuple(_picture(figures / f"{figure}.png") for figure in contents["figures"]),
        table if chosen else None,
        "" if name == next(iter(TOPICS)) else folded,
    )


def _left_out(skipped: Sequence[dict[str, str]]) -> Table:
    rows = tuple(
        (Cell(quantity_name(item["name"])), Cell(prose(item["reason"]))) for item in skipped
    )
    return Table("", ("observable", "reason"), rows, prose=True)


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


def _place(topic: str) -> int:
    """Return the place of a topic on the page."""
    order = list(TOPICS)
    return order.index(topic) if topic in order else len(order)


def _picture(path: Path) -> Picture:
    image = path.read_bytes()
    caption, sort = _caption(path.stem)
    if rest := path.stem.removeprefix(sort).replace("_", " ").strip():
        caption = f"{caption} ({rest})"
    # One scale for all, so that their letters have one size; the header holds the width.
    width = round(int.from_bytes(image[16:20], "big") * CSS_DPI / DPI)
    return Picture(png_address(image), f"{caption}.", wide=True, width=width)


def _caption(stem: str) -> tuple[str, str]:
    """Return the caption of a figure, and the part of its name that it is of."""
    for start in sorted(CAPTIONS, key=len, reverse=True):
        if stem == start or stem.startswith(start + "_"):
            return CAPTIONS[start], start
    return stem.replace("_", " "), stem
