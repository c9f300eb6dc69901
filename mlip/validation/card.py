"""The model card: what the potential was made of, how good it is, what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlip.errors import DataError
from mlip.files import fingerprint, read_json, write_text
from mlip.manifest import Manifest, read_manifest
from mlip.model_directory import ModelDirectory

COLUMNS = (
    ("frames", "frames", "{:d}"),
    ("energy_rmse_mev_per_atom", "E rmse (meV/atom)", "{:.2f}"),
    ("energy_after_system_shift_rmse_mev_per_atom", "E rmse after shift", "{:.2f}"),
    ("force_rmse_mev_per_angstrom", "F rmse (meV/Å)", "{:.1f}"),
    ("force_reference_rms_mev_per_angstrom", "F rms, DFT", "{:.0f}"),
    ("virial_rmse_mev_per_atom", "W rmse (meV/atom)", "{:.1f}"),
)


def write_card(path: Path, model: ModelDirectory, data: Path, validation: Path) -> None:
    """Write ``MODEL_CARD.md`` from the files of the model, the set and the validation.

    Parameters
    ----------
    path : Path
        File to write.
    model : ModelDirectory
    data : Path
        Set that the validation used.
    validation : Path
        Directory with ``metrics.json`` and ``parity.json``.
    """
    metrics = read_json(validation / "metrics.json")
    parity = read_json(validation / "parity.json")
    manifest = _manifest(model.directory)
    lines = [
        f"# {model.directory.resolve().name}",
        "",
        f"Committee of {len(model.members)} DeePMD potential(s) for {', '.join(model.type_map)}; "
        f"networks in {parity['precision']}; "
        + ("compressed forms included." if model.compressed else "not compressed."),
        "",
        "## Data",
        *_data_lines(data, manifest),
        "",
        "## Errors against DFT",
        *_error_lines(metrics, _held_out(data, manifest)),
        "",
        "## Parity",
        *_parity_lines(parity),
        "",
        "## Training",
        *_training_lines(manifest),
        "",
        "## Speed",
        "GPU speed and memory: not yet measured.",
        "",
        "## Limits",
        "Trust outside the phases, temperatures and compositions listed above is not shown. "
        "Watch the committee deviation during MD.",
    ]
    write_text(path, "\n".join(lines) + "\n")


def error_table(rows: Mapping[str, Mapping[str, Any]], first: str) -> list[str]:
    """Return a Markdown table of error groups; a value that does not exist is a dash."""
    lines = [
        f"| {first} | " + " | ".join(title for _, title, _ in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for label, group in rows.items():
        cells = [
            "-" if group[key] is None else shape.format(group[key]) for key, _, shape in COLUMNS
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def _manifest(directory: Path) -> Manifest | None:
    try:
        return read_manifest(directory)
    except DataError:
        return None


def _held_out(data: Path, model: Manifest | None) -> str:
    if model is None:
        return "not recorded, since the model has no manifest"
    if fingerprint(data) in model.inputs.values():
        return "yes, the model was trained on the train split of this set"
    return "not recorded, since the model was trained on another set"


def _data_lines(data: Path, model: Manifest | None) -> list[str]:
    lines = [f"- Validated on {data.resolve().name}, sha256 {fingerprint(data)}."]
    if model is not None:
        inputs = ", ".join(f"{Path(name).name} (sha256 {h})" for name, h in model.inputs.items())
        lines.append(f"- Trained on {inputs}.")
    certificate = data / "certificate.json"
    verdict = read_json(certificate).get("verdict") if certificate.is_file() else None
    lines.append(f"- Data certificate: {verdict or 'none'}.")
    return [*lines, f"- DFT level: {dft_level(data)}."]


def dft_level(data: Path) -> str:
    """Return in words what the certificate of a set says about the first-principles level."""
    path = data / "certificate.json"
    level = read_json(path).get("dft_level") if path.is_file() else None
    if not level:
        return "not recorded in the data certificate"
    return "; ".join(f"{key} {value}" for key, value in level.items())


def _error_lines(metrics: dict[str, Any], held_out: str) -> list[str]:
    lines: list[str] = []
    for split, errors in metrics["splits"].items():
        note = (
            f"held out of training: {held_out}"
            if split != "train"
            else f"{errors['overall']['frames']} of {errors['frames_in_split']} training frames, "
            "for comparison only"
        )
        rows = {"committee mean": errors["overall"], **errors["by_system"]}
        lines += ["", f"**{split} split** ({note})", "", *error_table(rows, "group")]
        if split == "train":
            continue
        lines += ["", *error_table(errors["by_phase"], "phase")]
        members = {name: groups["overall"] for name, groups in errors["models"].items()}
        lines += ["", *error_table(members, "potential")]
        lines += ["", "| forces on | rmse (meV/Å) | rms, DFT |", "|---|---|---|"]
        lines += [
            f"| {name} | {entry['force_rmse_mev_per_angstrom']:.1f} "
            f"| {entry['force_reference_rms_mev_per_angstrom']:.0f} |"
            for name, entry in errors["force_by_species"].items()
        ]
    return lines[1:]


def _parity_lines(parity: dict[str, Any]) -> list[str]:
    worst = max(
        parity["comparisons"], key=lambda entry: (entry["difference"] or 0) / entry["tolerance"]
    )
    return [
        f"`dp test`, Python and LAMMPS agree: {'yes' if parity['passed'] else 'NO'}, on "
        + "; ".join(parity["frames"])
        + ".",
        f"Closest to its tolerance: {worst['model']}, {worst['pair']}, {worst['quantity']} "
        f"{worst['difference']:.1e} of {worst['tolerance']:.0e} {worst['unit']}.",
    ]


def _training_lines(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return ["Not recorded."]
    versions = ", ".join(f"{name} {value}" for name, value in manifest.versions.items())
    seeds = ", ".join(f"{name} {value}" for name, value in manifest.seeds.items())
    recipe = [f"- {key}: {value}" for key, value in manifest.recipe.items()]
    overrides = [f"- Gates overridden: {', '.join(manifest.overrides)}."]
    return [
        *recipe,
        *([f"- seeds: {seeds}"] if seeds else []),
        *(overrides if manifest.overrides else []),
        f"- versions: {versions}",
    ]
