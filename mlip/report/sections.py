"""The parts of a page about sets, models, runs and other directories."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlip.files import read_json
from mlip.manifest import Manifest
from mlip.model_directory import parity_status, read_model_directory
from mlip.report.blocks import (
    Cell,
    Fact,
    Headline,
    Picture,
    Section,
    Table,
    png_address,
)
from mlip.report.charts import Series, chart, deviation_chart, read_series
from mlip.report.collect import Source
from mlip.report.formatting import cell, key_text, number_text
from mlip.report.validation_tables import (
    independence_notes,
    independence_words,
    physics_tables,
    trust_tables,
)

CHARTS = (
    ("temperature_kelvin", "temperature (K)", "Temperature"),
    ("potential_energy_ev", "potential energy (eV)", "Potential energy of the cell"),
    ("pressure_gpa", "pressure (GPa)", "Pressure"),
    ("density_g_cm3", "density (g/cm³)", "Density"),
)
ERRORS = (
    ("frames", "frames"),
    ("energy_rmse_mev_per_atom", "energy (meV/atom)"),
    ("energy_after_system_shift_rmse_mev_per_atom", "energy, system shift removed"),
    ("force_rmse_mev_per_angstrom", "force (meV/Å)"),
    ("force_reference_rms_mev_per_angstrom", "size of DFT forces"),
    ("virial_rmse_mev_per_atom", "virial (meV/atom)"),
)
PARITY_CAPTIONS = {
    "parity_energy": "Energy of each test frame, less the mean DFT energy of its system.",
    "parity_force": "Force components on the test frames.",
    "parity_virial": "Virial components of the test frames.",
    "calibration": "True force error of binned atoms against the committee's deviation, by "
    "element; dotted: trust levels. Below: share of errors within what the deviation allows.",
    "deviation_against_error": "Committee deviation against the true error, frame by frame. "
    "Points above the line: the committee is surer than it should be.",
}


def run_section(source: Source, anchor: str) -> Section:
    """Return conditions, stages, thermodynamics and committee deviation of a run."""
    assert source.manifest is not None
    summary = source.manifest.summary
    pictures: list[Picture] = []
    notes: list[Cell] = []
    if (source.path / "thermo.csv").is_file():
        series = read_series(source.path / "thermo.csv")
        pictures += [
            Picture(
                png_address(chart(series, column, label)),
                f"{title}; dark line: running mean.",
            )
            for column, label, title in CHARTS
            if column in series.columns and len(series.time) > 1
        ]
    deviations = source.path / "deviation.csv"
    if deviations.is_file() and len((series := read_series(deviations)).time):
        if len(series.time) > 1:
            pictures.append(
                Picture(
                    png_address(deviation_chart(series)),
                    "Force deviation of the committee: where it rises, the model leaves what it "
                    "was trained on.",
                )
            )
        notes.append(_worst_deviation(series))
    else:
        notes.append(
            Cell("No committee deviation: one model drove this run and none watched.", tone="bad")
        )
    return Section(
        title=f"Run: {source.name}",
        anchor=anchor,
        facts=_scalar_facts(summary),
        tables=_nested_table("Stages.", "stage", summary),
        pictures=tuple(pictures),
        notes=tuple(notes),
    )


def model_section(source: Source, anchor: str) -> Section:
    """Return a model's errors against DFT, its parity and the parity plots."""
    model = read_model_directory(source.path)
    facts = [
        Fact("elements", Cell(", ".join(model.type_map))),
        Fact("members", cell(len(model.members))),
        Fact("compressed", cell(bool(model.compressed))),
    ]
    if source.manifest is not None:
        known = {fact.label for fact in facts}
        facts += [f for f in _scalar_facts(source.manifest.summary) if f.label not in known]
    parity = parity_status(source.path)
    facts.append(
        Fact("engines agree", Cell("yes", tone="good") if parity.ok else Cell("no", tone="bad"))
    )
    notes = [] if parity.ok else [Cell(parity.reason, tone="bad")]
    validation = source.path / "validation"
    tables: list[Table] = []
    pictures: list[Picture] = []
    training = source.path / "training_curve.png"
    if (validation / "metrics.json").is_file():
        metrics = read_json(validation / "metrics.json")
        tables = [t for split, e in metrics["splits"].items() for t in _error_tables(split, e)]
        notes += independence_notes(metrics) + _deviation_notes(metrics)
        figures = validation / "figures"
        pictures = [
            Picture(png_address((figures / f"{name}.png").read_bytes()), caption)
            for name, caption in PARITY_CAPTIONS.items()
            if (figures / f"{name}.png").is_file()
        ]
        tables += trust_tables(validation)
        tables += physics_tables(validation)
    elif parity.ok:
        notes.append(Cell("No errors against DFT here: validation did not end.", tone="bad"))
    if training.is_file():
        caption = "Errors of single training batches against steps, and their running median."
        pictures.append(Picture(png_address(training.read_bytes()), caption, wide=True))
    return Section(
        title=f"Model: {source.name}",
        anchor=anchor,
        facts=tuple(facts),
        tables=tuple(tables),
        pictures=tuple(pictures),
        notes=tuple(notes),
    )


def set_section(source: Source, anchor: str) -> Section:
    """Return what a set holds and what its certificate says."""
    assert source.manifest is not None
    facts = list(_scalar_facts(source.manifest.summary))
    tables: list[Table] = []
    path = source.path / "certificate.json"
    if path.is_file():
        certificate = read_json(path)
        facts = [fact for fact in facts if fact.label not in ("certificate", "verdict")]
        facts.insert(0, Fact("certificate", cell(certificate.get("verdict"))))
        facts += [
            Fact(f"DFT {key}", cell(value))
            for key, value in certificate.get("dft_level", {}).items()
        ]
        rows = tuple(
            (Cell(check["name"]), cell(check["verdict"]), Cell(check["text"]))
            for check in certificate.get("checks", [])
        )
        if rows:
            tables.append(
                Table("Data certificate.", ("check", "verdict", "finding"), rows, prose=True)
            )
    return Section(
        title=f"Data: {source.name}", anchor=anchor, facts=tuple(facts), tables=tuple(tables)
    )


def plain_section(source: Source, anchor: str) -> Section:
    """Return the summary of a directory of any other kind."""
    assert source.manifest is not None
    summary = source.manifest.summary
    return Section(
        title=f"{source.kind.capitalize()}: {source.name}",
        anchor=anchor,
        facts=_scalar_facts(summary),
        tables=_nested_table("Parts.", "part", summary),
    )


def model_headline(source: Source) -> Headline:
    """Return the force error on unseen frames, or that the model was never validated."""
    path = source.path / "validation" / "metrics.json"
    if not path.is_file():
        return Headline(
            f"Model: {source.name}",
            Cell("not validated", tone="bad"),
            (Cell(f"Type: mlip validate {source.path} --data SET"),),
        )
    splits = read_json(path)["splits"]
    split = next(name for name in splits if name != "train")
    overall = splits[split]["overall"]
    error = overall["force_rmse_mev_per_angstrom"]
    size = overall["force_reference_rms_mev_per_angstrom"]
    frames = overall["frames"]
    return Headline(
        f"Force error against DFT: {source.name}",
        Cell(f"{number_text(error)} meV/Å", exact=repr(error)),
        (
            Cell(f"rms over {frames} frames of the {split} split", exact=repr(frames)),
            *(Cell(words, tone="quiet") for words in independence_words(splits[split])),
            Cell(f"DFT forces there have an rms of {number_text(size)} meV/Å", exact=repr(size)),
        ),
    )


def manifest_headline(source: Source) -> Headline:
    """Return what kind of directory was made, where there is no result to show."""
    manifest: Manifest | None = source.manifest
    detail = "no analysis was given; type: mlip analyse " + str(source.path)
    return Headline(
        f"{source.kind.capitalize()}: {source.name}",
        Cell("finished" if manifest is not None else "present"),
        (Cell(detail),) if source.kind == "run" else (),
    )


def _error_tables(split: str, errors: dict[str, Any]) -> list[Table]:
    frames, total = errors["overall"]["frames"], errors["frames_in_split"]
    what = f"Root-mean-square errors of the committee mean, {split} split"
    if split == "train":
        what += f", {frames} of {total} frames, for comparison only"
    groups = {"all frames": errors["overall"]}
    groups |= errors["by_system"]
    if split != "train":
        phases = {f"phase {name}": group for name, group in errors["by_phase"].items()}
        groups |= phases if len(phases) > 1 else {}
    rows = tuple(
        (Cell(name), *(cell(group[key]) for key, _ in ERRORS)) for name, group in groups.items()
    )
    tables = [Table(what + ".", ("group", *(title for _, title in ERRORS)), rows)]
    if split == "train":
        return tables
    keys = (
        "force_mae_mev_per_angstrom",
        "force_rmse_mev_per_angstrom",
        "force_max_mev_per_angstrom",
        "force_reference_rms_mev_per_angstrom",
    )
    species = tuple(
        (Cell(name), *(cell(group[key]) for key in keys))
        for name, group in errors["force_by_species"].items()
    )
    headings = ("element", "mean", "rms", "largest", "size of DFT forces")
    tables.append(Table(f"Force errors by element, {split} split (meV/Å).", headings, species))
    return tables


def _deviation_notes(metrics: dict[str, Any]) -> list[Cell]:
    notes = []
    for split, found in metrics["committee_deviation"].items():
        ratio = found["median_ratio_of_error_to_deviation"] if found else None
        if ratio is not None:
            notes.append(
                Cell(
                    f"On the {split} split the largest true force error of a frame is, in the "
                    f"median, {number_text(ratio)} times the committee's deviation.",
                    exact=repr(ratio),
                )
            )
    return notes


def _worst_deviation(series: Series) -> Cell:
    values = series.columns["max_force_deviation_ev_per_angstrom"]
    worst = int(np.nanargmax(values))
    exact = float(values[worst])
    return Cell(
        f"Largest force deviation {number_text(exact)} eV/Å, at {number_text(series.time[worst])} "
        f"ps in stage {series.stages[worst]}.",
        exact=repr(exact),
    )


def _scalar_facts(summary: dict[str, Any]) -> tuple[Fact, ...]:
    return tuple(
        Fact(key_text(key), cell(value))
        for key, value in summary.items()
        if not isinstance(value, dict)
    )


def _nested_table(caption: str, first: str, summary: dict[str, Any]) -> tuple[Table, ...]:
    parts = {key: value for key, value in summary.items() if isinstance(value, dict)}
    if not parts:
        return ()
    columns = list(dict.fromkeys(key for part in parts.values() for key in part))
    rows = tuple(
        (Cell(name), *(cell(part.get(column)) for column in columns))
        for name, part in parts.items()
    )
    return (Table(caption, (first, *(key_text(column) for column in columns)), rows),)
