"""Diffusion and conductivity at every temperature of a series, of the whole and of regions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from analysis.results import Quantity
from mlip.report.blocks import Cell, Table, Topic
from mlip.report.formatting import interval_cell, number_text, value_cell

AT_TEMPERATURE = re.compile(r"^(?P<name>.+)_(?P<kelvin>[0-9.e+]+)K(?P<end>_.+)?$")
# Of an element, as a whole or in one region; not along an axis, nor a bound.
DIFFUSION = re.compile(r"^diffusion_coefficient_(?P<ion>[A-Z][a-z]?)(_(?P<region>[a-z]+))?$")
COLLECTIVE, SINGLE = "conductivity_collective_", "conductivity_nernst_einstein_"


class Motion(NamedTuple):
    """How ions move in a sample or in a part of it."""

    where: str
    diffusion: Quantity
    conductivity: Quantity | None


def temperatures(
    material: str,
    runs: list[dict[str, Any]],
    record: dict[str, Any],
    quantities: dict[str, Quantity],
) -> Topic:
    """Return the table of D and conductivity at every temperature of a material."""
    several = len(record["provenance"]["series"]) > 1
    end = f"_{material}" if several else None
    at: dict[float, dict[str, Quantity]] = {}
    for name in record["topics"].get("temperatures", {}).get("quantities", []):
        match = AT_TEMPERATURE.match(name)
        if match and match["end"] == end:
            at.setdefault(float(match["kelvin"]), {})[match["name"]] = quantities[name]
    rows, kinds = [], set()
    for kelvin, found in sorted(at.items()):
        here = [run for run in runs if run["temperature_kelvin"] == kelvin]
        for motion in _motions(found):
            rows.append(_row(kelvin, here, motion))
            kinds |= _kind(motion.conductivity)
    headings = ("T", "ions", "D", "interval or bound", "conductivity", "interval or bound")
    table = Table("", (*headings, "status of D", "samples"), tuple(rows))
    title = f"{material}: D and conductivity" + (f" ({', '.join(sorted(kinds))})" if kinds else "")
    return Topic(title, table=table if rows else None)


def _row(kelvin: float, runs: list[dict[str, Any]], motion: Motion) -> tuple[Cell, ...]:
    samples = len({run["sample"] for run in runs})
    melt = ", melt" if any(run["melt"] for run in runs) else ""
    diffusion, sigma = motion.diffusion, motion.conductivity
    none = Cell("–", tone="quiet")
    return (
        Cell(f"{number_text(kelvin)} K", exact=repr(kelvin)),
        Cell(motion.where),
        value_cell(diffusion),
        interval_cell(diffusion),
        none if sigma is None else value_cell(sigma),
        none if sigma is None else interval_cell(sigma),
        Cell(diffusion.status + melt, tone="good" if diffusion.status == "ok" else "bad"),
        Cell(f"{samples} of {len(runs)} runs" if len(runs) > samples else str(samples)),
    )


def _motions(found: dict[str, Quantity]) -> Iterator[Motion]:
    """Yield what moves: an ion in the whole cell, and in every region.

    Of layers that ions have not crossed there is no isotropic value: that along them stands
    for the whole.
    """
    names = sorted((match for name in found if (match := DIFFUSION.match(name))), key=_order)
    for match in names:
        ion, region, diffusion = match["ion"], match["region"], found[match.string]
        along = found.get(f"diffusion_coefficient_parallel_{ion}")
        if region is not None:
            single = found.get(f"{SINGLE}{ion}_{region}")
            yield Motion(f"{ion}, {region}", diffusion, single)
        elif diffusion.status == "ok" or along is None:
            yield Motion(ion, diffusion, _conductivity(found, ion, ion))
        else:
            sigma = _conductivity(found, f"{ion}_parallel", f"parallel_{ion}")
            yield Motion(f"{ion}, along layers", along, sigma)


def _conductivity(found: dict[str, Quantity], together: str, alone: str) -> Quantity | None:
    """Return the collective conductivity, else that of single ions."""
    collective, single = found.get(COLLECTIVE + together), found.get(SINGLE + alone)
    resolved = collective is not None and collective.status == "ok"
    return collective if resolved or single is None else single


def _kind(conductivity: Quantity | None) -> set[str]:
    if conductivity is None:
        return set()
    return {"collective" if conductivity.name.startswith(COLLECTIVE) else "Nernst-Einstein"}


def _order(match: re.Match[str]) -> tuple[str, str]:
    return match["ion"], match["region"] or ""
