"""The page of the loop, written after every round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlip.explore import figures
from mlip.explore.progress import Progress, Round
from mlip.explore.status import labels_per_hour
from mlip.files import read_json, write_text
from mlip.manifest import now
from mlip.recipes.explore import ExploreRecipe
from mlip.report.blocks import (
    Cell,
    Fact,
    Headline,
    Page,
    Picture,
    Provenance,
    Section,
    Table,
    png_address,
)
from mlip.report.formatting import cell
from mlip.report.report import render
from mlip.validation.trust import ACCURATE, CANDIDATE, FAILED, TrustLevels


def write_page(path: Path, recipe: ExploreRecipe, progress: Progress, out: Path) -> None:
    """Write the page: what the potential knows by now, round by round.

    Parameters
    ----------
    path : Path
        HTML file.
    recipe : ExploreRecipe
    progress : Progress
    out : Path
        Directory of the loop, for labels and trust levels.
    """
    trained = [r for r in progress.rounds if r.force_rmse_mev_per_angstrom is not None]
    sections = [_rounds_section(progress.rounds, trained, recipe)]
    if trained and trained[-1].shares:
        sections.append(_states_section(trained, recipe))
        sections.append(_trust_section(out / f"round_{trained[-1].number:03d}" / "choice.json"))
    page = Page(
        title=f"Exploration: {path.parent.name}",
        made=now().replace("T", " "),
        headlines=(_headline(progress, trained, recipe, out),),
        sections=tuple(sections),
        provenance=(_provenance(recipe, progress),),
        warnings=_warnings(trained),
    )
    write_text(path, render(page))


def _headline(
    progress: Progress, trained: Sequence[Round], recipe: ExploreRecipe, out: Path
) -> Headline:
    labels = sum(r.labels for r in progress.rounds)
    rate = labels_per_hour(out / "labels")
    detail = [Cell(f"{labels} labels" + (f", {rate:.0f} an hour" if rate else ""))]
    if not trained:
        return Headline("Exploration", Cell("first labels are there, no potential yet"), (*detail,))
    last = trained[-1]
    title = (
        f"force error {last.force_rmse_mev_per_angstrom:.0f} meV/Å on {last.test_frames} unseen "
        f"frames"
    )
    if progress.stage == "done":
        state = "converged" if progress.converged else "rounds used up, not converged"
    else:
        state = "going on"
    detail.append(Cell(f"round {last.number} of at most {recipe.maximum_rounds}: {state}"))
    return Headline("Exploration", Cell(title), tuple(detail))


def _rounds_section(
    rounds: Sequence[Round], trained: Sequence[Round], recipe: ExploreRecipe
) -> Section:
    headings = (
        "round",
        "training frames",
        "test frames",
        "force RMSE (meV/Å)",
        "energy RMSE (meV/atom)",
        "frames visited",
        "chosen",
        "drawn",
        "labels",
        "hours",
    )
    rows = tuple(
        (
            Cell(str(r.number)),
            cell(r.training_frames),
            cell(r.test_frames),
            _number(r.force_rmse_mev_per_angstrom),
            _number(r.energy_rmse_mev_per_atom),
            cell(r.visited),
            cell(r.chosen),
            cell(r.drawn),
            cell(r.labels),
            Cell(f"{sum(r.seconds.values()) / 3600:.2f}", str(sum(r.seconds.values()) / 3600)),
        )
        for r in rounds
    )
    pictures = []
    if trained:
        pictures.append(
            Picture(
                png_address(figures.learning_curve(trained)),
                "Errors on test frames, drawn blindly from runs that training never saw; the test "
                "set grows with the rounds.",
            )
        )
    return Section(
        "Rounds",
        "rounds",
        lead="Each round trains on all labels so far, visits every state with two sets of "
        "velocities, and asks for labels where the committee disagrees (chosen, for training) "
        "and blindly (drawn, for testing).",
        tables=(Table("", headings, rows),),
        pictures=tuple(pictures),
    )


def _states_section(trained: Sequence[Round], recipe: ExploreRecipe) -> Section:
    last = trained[-1]
    pictures = [
        Picture(
            png_address(figures.shares(last)),
            f"Round {last.number}: frames by the committee's calibrated deviation.",
        )
    ]
    with_shares = [r for r in trained if r.shares]
    if len(with_shares) > 1:
        pictures.append(
            Picture(
                png_address(figures.history(with_shares, recipe.accurate_share)),
                "Accurate share by round; dashed: what ends the loop.",
            )
        )
    phases = {s.name: " ".join(dict.fromkeys(s.phases)) for s in recipe.states}
    rows = tuple(
        (
            Cell(state),
            Cell(phases.get(state, "")),
            *(cell(share[verdict]) for verdict in (ACCURATE, CANDIDATE, FAILED)),
        )
        for state, share in last.shares.items()
    )
    tables = [Table("", ("state", "phase", ACCURATE, CANDIDATE, FAILED), rows)]
    if last.groups:
        rows = tuple((Cell(name), cell(count)) for name, count in last.groups.items())
        caption = "Chosen frames by element and anion of their most uncertain atom"
        tables.append(Table(caption, ("worst atom", "frames"), rows))
    if last.dropped:
        rows = tuple((Cell(name), cell(count)) for name, count in last.dropped.items())
        tables.append(Table("Frames not chosen, by reason", ("reason", "frames"), rows))
    return Section("States", "states", tables=tuple(tables), pictures=tuple(pictures))


def _trust_section(path: Path) -> Section:
    content = read_json(path)
    levels = TrustLevels.from_json(content["trust"])
    rows = tuple(
        (
            Cell(name),
            _number(trust.scale),
            Cell(f"{trust.lower_ev_per_angstrom:.3f}", str(trust.lower_ev_per_angstrom)),
            Cell(f"{trust.upper_ev_per_angstrom:.3f}", str(trust.upper_ev_per_angstrom)),
            _number(trust.rank_correlation),
            cell(trust.frames),
            Cell("yes" if trust.calibrated else "no", tone="plain" if trust.calibrated else "bad"),
        )
        for name, trust in levels.by_species.items()
    )
    headings = (
        "element",
        "error / deviation",
        "lower level (eV/Å)",
        "upper level (eV/Å)",
        "rank correlation",
        "test frames",
        "calibrated",
    )
    return Section(
        "Trust",
        "trust",
        lead="How large the true force error is where the committee deviates, on the test frames. "
        "Above the lower level (dashed) a frame is a candidate, above the upper one (orange) it "
        "is not believed.",
        tables=(Table("", headings, rows),),
        pictures=(
            Picture(
                png_address(figures.calibration(content["calibration"], levels)),
                "Every atom of the test frames; grey: error equal to deviation.",
                wide=True,
            ),
        ),
    )


def _provenance(recipe: ExploreRecipe, progress: Progress) -> Provenance:
    facts = (
        Fact("stage", Cell(f"round {progress.round}, {progress.stage}")),
        Fact("committee", Cell(f"{recipe.train.committee_size} members, {recipe.train.length()}")),
        Fact("labels from", Cell(recipe.label.level.engine)),
        Fact("states", Cell(", ".join(state.name for state in recipe.states))),
        Fact("seed", cell(recipe.seed)),
    )
    return Provenance("Exploration", facts)


def _warnings(trained: Sequence[Round]) -> tuple[str, ...]:
    if not trained:
        return ()
    last, found = trained[-1], []
    if last.broke_down:
        found.append(
            f"Round {last.number}: {len(last.broke_down)} run(s) broke down "
            f"({', '.join(last.broke_down[:4])}): the potential does not survive there yet."
        )
    if last.rescued:
        found.append(
            f"Round {last.number}: {last.rescued} frame(s) were chosen although the committee is "
            "beyond its upper level, since their states offered no others."
        )
    return tuple(found)


def _number(value: float | None) -> Cell:
    if value is None or value != value:
        return Cell("-", tone="quiet")
    return Cell(f"{value:.3g}", str(value))
