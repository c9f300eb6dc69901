"""What a page is made of: sections with facts, tables, figures and notes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """One value on the page.

    Attributes
    ----------
    text : str
        What is read.
    exact : str
        The number as it stands in the file, for machines and for copying; "" for words.
    tone : {'plain', 'good', 'bad', 'quiet'}
    """

    text: str
    exact: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Fact:
    """A label and its value."""

    label: str
    cell: Cell


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; the first column names the row.

    `prose` tells that the last column holds sentences, which need room.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: bool = False


@dataclass(frozen=True)
class Picture:
    """An image inside the page.

    Attributes
    ----------
    source : str
        ``data:`` address.
    caption : str
    wide : bool
        Takes the whole width.
    width : int
        CSS pixels that it is shown at where there is room; 0 for as many as it has.
    """

    source: str
    caption: str
    wide: bool = False
    width: int = 0


@dataclass(frozen=True)
class Topic:
    """Figures of one subject, and its table.

    Attributes
    ----------
    title : str
    pictures : tuple of Picture
    table : Table, optional
    folded : str
        What stands for the table until it is opened; "" shows the table.
    """

    title: str
    pictures: tuple[Picture, ...] = ()
    table: Table | None = None
    folded: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the page; its statements come first."""

    title: str
    anchor: str
    lead: str = ""
    statements: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    topics: tuple[Topic, ...] = ()
    notes: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Headline:
    """What the reader should take home.

    Attributes
    ----------
    kicker : str
        What the number is of.
    title : Cell
        The number, or that there is none.
    detail : tuple of Cell
        Interval, or the reason why not.
    """

    kicker: str
    title: Cell
    detail: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """Where one directory came from: recipe, inputs, attempts."""

    title: str
    facts: tuple[Fact, ...]
    inputs: tuple[tuple[str, str], ...] = ()
    recipe: str = ""


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    title: str
    made: str
    headlines: tuple[Headline, ...]
    sections: tuple[Section, ...]
    provenance: tuple[Provenance, ...]
    warnings: tuple[str, ...] = ()


def png_address(image: bytes) -> str:
    """Return a PNG image as a ``data:`` address."""
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
