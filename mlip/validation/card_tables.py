"""Tables of the model card: errors, worst frames, trust, training range, physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlip.validation.dynamics.training_range import WITHIN_ANGSTROM

COLUMNS = (
    ("frames", "frames", "{:d}"),
    ("energy_rmse_mev_per_atom", "E rmse (meV/atom)", "{:.2f}"),
    ("energy_after_system_shift_rmse_mev_per_atom", "E rmse after shift", "{:.2f}"),
    ("force_rmse_mev_per_angstrom", "F rmse (meV/Å)", "{:.1f}"),
    ("force_reference_rms_mev_per_angstrom", "F rms, DFT", "{:.0f}"),
    ("virial_rmse_mev_per_atom", "W rmse (meV/atom)", "{:.1f}"),
)
GROUPS = (
    ("by_independence", "independence"),
    ("by_system", "system"),
    ("by_phase", "phase"),
    ("by_temperature", "temperature"),
    ("by_composition", "composition"),
)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table; a bar inside a cell is escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    return [line(headings), "|---" * len(headings) + "|", *(line(row) for row in rows)]


def error_table(rows: Mapping[str, Mapping[str, Any]], first: str) -> list[str]:
    """Return a table of error groups; a value that does not exist is a dash."""
    return table(
        [first, *(title for _, title, _ in COLUMNS)],
        [
            [label, *(_number(group[key], shape) for key, _, shape in COLUMNS)]
            for label, group in rows.items()
        ],
    )


def error_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the errors of every split; the train split in one table, for comparison."""
    lines: list[str] = []
    for split, errors in metrics["splits"].items():
        overall = {"committee mean": errors["overall"]}
        if split == "train":
            note = (
                f"{errors['overall']['frames']} of {errors['frames_in_split']} training frames, "
                "for comparison only"
            )
            rows = {**overall, **errors["by_system"]}
            lines += ["", f"**{split} split** ({note})", "", *error_table(rows, "group")]
            continue
        lines += ["", f"**{split} split**: {errors['independence']['statement']}.", ""]
        lines += error_table(overall, "overall")
        for kind, title in GROUPS:
            lines += ["", *error_table(errors[kind], title)]
        members = {name: groups["overall"] for name, groups in errors["models"].items()}
        lines += ["", *error_table(members, "potential"), "", *species_table(errors)]
        lines += ["", f"Worst frames of the {split} split:", "", *worst_table(errors)]
    return lines[1:]


def species_table(errors: Mapping[str, Any]) -> list[str]:
    """Return force errors by element, over all and by phase."""
    groups = {"all": errors["force_by_species"], **errors["force_by_species_and_phase"]}
    return table(
        ["forces on", "phase", "rmse (meV/Å)", "mean", "largest", "rms, DFT"],
        [
            [
                name,
                phase,
                _number(entry["force_rmse_mev_per_angstrom"], "{:.1f}"),
                _number(entry["force_mae_mev_per_angstrom"], "{:.1f}"),
                _number(entry["force_max_mev_per_angstrom"], "{:.0f}"),
                _number(entry["force_reference_rms_mev_per_angstrom"], "{:.0f}"),
            ]
            for name in errors["force_by_species"]
            for phase, elements in groups.items()
            if (entry := elements.get(name)) is not None
        ],
    )


def worst_table(errors: Mapping[str, Any]) -> list[str]:
    """Return the worst frames, as `mlip.validation.frame_errors.worst_frames` lists them."""
    return table(
        [
            *("system", "source frame", "phase", "T (K)", "F rmse (meV/Å)"),
            *("largest F error", "on", "E error (meV/atom)", "deviation (meV/Å)"),
        ],
        [
            [
                f"{row['system']}, row {row['row']}",
                f"{row['source']} {_number(row['source_frame'], '{:d}')}",
                row["phase"],
                _number(row["temperature_kelvin"], "{:.0f}"),
                _number(row["force_rmse_mev_per_angstrom"], "{:.1f}"),
                _number(row["largest_force_error_mev_per_angstrom"], "{:.0f}"),
                row["worst_element"],
                _number(row["energy_error_mev_per_atom"], "{:.2f}"),
                _number(row["largest_force_deviation_mev_per_angstrom"], "{:.0f}"),
            ]
            for row in errors["worst_frames"]
        ],
    )


def range_lines(training: Mapping[str, Any]) -> list[str]:
    """Return what the training data span, or that it is not known."""
    found = training["range"]
    if found is None:
        return ["Not known: the training data are not at hand, so no range is shown to be trusted."]
    rows = []
    for phase, entry in found["phases"].items():
        kelvin, density = entry["temperature_kelvin"], entry["density_g_cm3"]
        rows.append(
            [
                phase,
                str(entry["frames"]),
                "not recorded" if kelvin is None else f"{kelvin[0]:.0f} to {kelvin[1]:.0f}",
                f"{density[0]:.2f} to {density[1]:.2f}",
                ", ".join(entry["compositions"]),
            ]
        )
    distances = ", ".join(
        f"{pair} {value:.2f}" for pair, value in found["smallest_distance_angstrom"].items()
    )
    return [
        f"Elements: {', '.join(found['elements'])}. What the training frames span:",
        "",
        *table(["phase", "frames", "T (K)", "density (g/cm3)", "compositions"], rows),
        "",
        f"Smallest distances in the training frames (Å): "
        f"{distances or f'none below {WITHIN_ANGSTROM:g} Å'}.",
    ]


def trust_lines(trust: Mapping[str, Any] | None, reason: str) -> list[str]:
    """Return the trust levels of ``trust.json`` and how well the deviation tells the error."""
    if trust is None:
        return [f"No trust levels: {reason}."]
    settings = trust["settings"]
    rows = []
    for name, level in trust["levels"].items():
        covered = trust["coverage"].get(name)
        share = None
        if covered is not None:
            share = covered["calibrated"][covered["nominal"].index(0.9)]
        rows.append(
            [
                name,
                _number(level["scale"], "{:.2f}")
                + ("" if level["scale_error"] is None else f" ± {level['scale_error']:.1g}"),
                _number(level["lower_ev_per_angstrom"], "{:.3f}"),
                _number(level["upper_ev_per_angstrom"], "{:.3f}"),
                _number(level["rank_correlation"], "{:.2f}"),
                _number(share, "{:.2f}"),
                _number(trust["wrong_below_level"].get(name), "{:.3f}"),
                "yes" if level["calibrated"] else "no",
            ]
        )
    lines = [
        f"From {trust['atoms']} atoms in {trust['frames']} frames of the {trust['split']} split "
        f"({trust['independence']['statement']}). Above the lower level the expected force error "
        f"of an atom exceeds {settings['accurate_error_ev_per_angstrom']:g} eV/Å, above the upper "
        f"{settings['failed_error_ev_per_angstrom']:g} eV/Å. Figure: "
        "`validation/figures/calibration.png`.",
        "",
        *table(
            [
                *("element", "error / deviation", "lower level (eV/Å)", "upper level (eV/Å)"),
                *("rank correlation", "errors within the scaled 90 % range"),
                *("wrong below the lower level", "calibrated"),
            ],
            rows,
        ),
    ]
    return lines + (["", f"Not calibrated: {trust['reason']}."] if trust["reason"] else [])


def physics_lines(physics: Mapping[str, Any] | None) -> list[str]:
    """Return the physics table with its verdicts, or that nothing was assessed."""
    if physics is None:
        return ["Not assessed: the recipe has neither a physics nor a dynamics section."]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in physics["counts"].items())
    rows = [
        [
            row["subject"],
            row["quantity"],
            _number(row["value"], "{:.4g}"),
            _number(row["reference"], "{:.4g}")
            + (f" ({row['reference_kind']})" if row["reference_kind"] != "none" else ""),
            _number(row["limit"], "{:.3g}"),
            f"**{row['verdict']}**" if row["verdict"] == "fail" else row["verdict"],
            row["text"].replace("\n", " "),
        ]
        for row in physics["findings"]
    ]
    headings = ["subject", "quantity", "potential", "reference", "limit", "verdict", "what it says"]
    return [f"{counts}.", "", *table(headings, rows)]


def _number(value: float | int | None, shape: str) -> str:
    return "-" if value is None else shape.format(value)
