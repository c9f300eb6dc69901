"""The analysis part of a page: headline, table of results, figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.figures.style import DPI
from analysis.results import Quantity, quantity_from_json
from analysis.writer import read_record
from mlip.errors import DataError
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
from mlip.report.names import CAPTIONS, TOPICS

# What readers come for, in this order; the first that an analysis holds is its headline.
HEADLINES = ("conductivity", "activation_energy", "diffusion_coefficient")
# Inches of a figure to pixels of a page.
CSS_DPI = 96


def read_analysis(directory: Path) -> dict[str, Any]:
    """Read ``results.json`` of an analysis directory, brought to the present schema.

    Raises
    ------
    DataError
        If it is damaged.
    """
    try:
        return read_record(directory / "results.json")
    except AnalysisError as error:
        raise DataError(f"{error}. Run `mlip analyse` with --force.") from error


def read_quantities(directory: Path) -> list[Quantity]:
    """Read the quantities of an analysis directory.

    Raises
    ------
    DataError
        If ``results.json`` is damaged.
    """
    try:
        return [quantity_from_json(entry) for entry in read_analysis(directory)["quantities"]]
    except (AnalysisError, KeyError) as error:
        file = directory / "results.json"
        raise DataError(f"{file}: {error}. Run `mlip analyse` with --force.") from error


def analysis_headlines(source: Source) -> list[Headline]:
    """Return the quantities readers come for, with interval or the reason why they are missing."""
    quantities = read_quantities(source.path)
    found = []
    for start in HEADLINES:
        matches = [q for q in quantities if q.name.startswith(start) and "bound" not in q.name]
        # Of layers the isotropic value is refused; those along and across them stand for it.
        matches.sort(key=lambda quantity: quantity.status == "refused")
        found += [headline(quantity, source) for quantity in matches[:1]]
    return found


def analysis_section(source: Source, anchor: str) -> Section:
    """Return all results of one analysis, topic by topic."""
    record = read_analysis(source.path)
    provenance = record["provenance"]
    quantities = {quantity.name: quantity for quantity in read_quantities(source.path)}
    topics = [
        _topic(name, record["topics"][name], quantities, source.path / "figures")
        for name in sorted(record["topics"], key=_place)
    ]
    if record["skipped"]:
        topics.append(Topic("Left out", table=left_out(record["skipped"])))
    keys = ("atoms", "frames", "frame_interval_ps", "temperature_kelvin", "ensemble", "drift")
    return Section(
        title=f"Results: {source.name}",
        anchor=anchor,
        lead="An interval holds the true value with the stated probability; an unresolved quantity "
        "has a bound instead, and the reason.",
        statements=tuple(prose(statement) for statement in record["statements"]),
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
        tuple(row(quantity) for quantity in chosen),
        prose=True,
    )
    return Topic(
        TOPICS.get(name, key_text(name)),
        tuple(picture(figures / f"{figure}.png") for figure in contents["figures"]),
        table if chosen else None,
        "" if name == next(iter(TOPICS)) else folded,
    )


def left_out(skipped: Sequence[dict[str, str]]) -> Table:
    """Return what was not computed, and why."""
    rows = tuple(
        (Cell(quantity_name(item["name"])), Cell(prose(item["reason"]))) for item in skipped
    )
    return Table("", ("observable", "reason"), rows, prose=True)


def headline(quantity: Quantity, source: Source) -> Headline:
    """Return one quantity as readers should take it home."""
    provenance: dict[str, Any] = read_analysis(source.path)["provenance"]
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


def row(quantity: Quantity) -> tuple[Cell, ...]:
    """Return the cells of a quantity: name, value, interval or bound, status, reason."""
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


def picture(path: Path) -> Picture:
    """Return a figure of an analysis with its caption, at its size in print."""
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
