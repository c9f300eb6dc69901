"""`mlip report`: directories of results to one HTML page that stands alone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlip.execution.progress import tell
from mlip.files import write_text
from mlip.manifest import Manifest, now
from mlip.report.blocks import Cell, Fact, Headline, Page, Provenance, Section
from mlip.report.collect import Source, collect
from mlip.report.formatting import cell
from mlip.report.results import analysis_headlines, analysis_section
from mlip.report.sections import (
    manifest_headline,
    model_headline,
    model_section,
    plain_section,
    run_section,
    set_section,
)
from mlip.report.series import series_headlines, series_section
from mlip.report.warnings import warnings
from mlip.workspace import open_workspace

TEMPLATE = "template.html.j2"
FILE = "report.html"


def report(
    directories: list[Path],
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Write ``report.html`` from sets, models, runs, analyses and other directories.

    The page holds its images and style, loads nothing and needs no script.

    Parameters
    ----------
    directories : list of Path
    out : Path
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Recorded.

    Returns
    -------
    Manifest

    Raises
    ------
    InputError
        If a directory is missing, unfinished or unknown.
    """
    sources = collect(directories)
    inputs = [path for source in sources for path in (source.path, *_validation_files(source.path))]
    with open_workspace(
        out,
        kind="report",
        recipe={"directories": [os.path.relpath(path, out) for path in directories]},
        inputs=inputs,
        overrides=overrides,
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        page = make_page(sources)
        write_text(out / FILE, render(page))
        summary = {
            "page": FILE,
            "headline": [_spoken(headline) for headline in page.headlines],
            "warnings": list(page.warnings),
            "directories": len(sources),
        }
        work.finish([out / FILE], summary)
        return work.manifest


def plan_report(directories: list[Path], out: Path) -> list[str]:
    """Return what `report` would do, without doing it."""
    lines = [f"read   {source.path}: {source.kind}" for source in collect(directories)]
    return [*lines, f"write  {out / FILE}"]


def make_page(sources: Sequence[Source]) -> Page:
    """Gather everything that the page shows; numbers come only from the files."""
    sections = [_section(source, f"part-{n}") for n, source in enumerate(sources)]
    headlines = _headlines(sources)
    return Page(
        title=headlines[0].kicker if len(headlines) == 1 else "Report",
        made=now().replace("T", " "),
        headlines=tuple(headlines),
        sections=tuple(sections),
        provenance=tuple(_provenance(source) for source in sources),
        warnings=warnings(sources),
    )


def render(page: Page) -> str:
    """Return the page as HTML; all text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(page=page)


def _section(source: Source, anchor: str) -> Section:
    makers = {
        "series": series_section,
        "analysis": analysis_section,
        "run": run_section,
        "model": model_section,
        "set": set_section,
    }
    return makers.get(source.kind, plain_section)(source, anchor)


def _headlines(sources: Sequence[Source]) -> list[Headline]:
    """Return the results if there are any, else the model errors, else what was made.

    A series speaks for its runs.
    """
    series = [source for source in sources if source.kind == "series"]
    if found := [headline for source in series for headline in series_headlines(source)]:
        return found
    analyses = [source for source in sources if source.kind == "analysis"]
    found = [headline for source in analyses for headline in analysis_headlines(source)]
    if found:
        return found
    models = [model_headline(source) for source in sources if source.kind == "model"]
    return models or [manifest_headline(sources[0])]


def _validation_files(directory: Path) -> list[Path]:
    """Return what the page shows but the fingerprint of a model directory leaves out."""
    names = ("metrics.json", "parity.json", "trust.json", "physics.json")
    files = [directory / "validation" / name for name in names]
    return [path for path in files if path.is_file()]


def _provenance(source: Source) -> Provenance:
    manifest = source.manifest
    title = f"{source.kind.capitalize()}: {source.name}"
    if manifest is None:
        return Provenance(title, (Fact("manifest", Cell("none", tone="quiet")),))
    last = manifest.attempts[-1] if manifest.attempts else None
    facts = [
        Fact("status", Cell(manifest.status)),
        Fact("attempts", cell(len(manifest.attempts))),
        Fact("finished", cell(last.end if last else None)),
        Fact("seeds", cell(manifest.seeds) if manifest.seeds else Cell("none", tone="quiet")),
        Fact(
            "gates overridden",
            Cell(", ".join(manifest.overrides), tone="bad")
            if manifest.overrides
            else Cell("none", tone="quiet"),
        ),
        Fact("versions", Cell(", ".join(f"{k} {v}" for k, v in manifest.versions.items()))),
    ]
    return Provenance(
        title,
        tuple(facts),
        tuple(manifest.inputs.items()),
        json.dumps(manifest.recipe, indent=2, ensure_ascii=False),
    )


def _spoken(headline: Headline) -> str:
    """Return a headline as one line: the number and its interval, or that there is none."""
    interval = f" ({headline.detail[0].text})" if headline.detail else ""
    return f"{headline.kicker}: {headline.title.text}{interval}"
