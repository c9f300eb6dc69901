"""The model card: what the potential was made of, how good it is, what is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlip.files import fingerprint, read_json, write_text
from mlip.manifest import Manifest
from mlip.model_directory import ModelDirectory
from mlip.validation.card_tables import error_lines, physics_lines, range_lines, trust_lines
from mlip.validation.reference import frames_by_split

UNPROVED = (
    "**UNPROVED: a foreign model. It has no manifest, so its training data, its recipe and whether "
    "it was trained on the frames below are unknown.**"
)


def write_card(
    path: Path,
    model: ModelDirectory,
    manifest: Manifest | None,
    data: Path,
    validation: Path,
    licence: str,
) -> None:
    """Write ``MODEL_CARD.md`` from the files of the model, the set and the validation.

    Parameters
    ----------
    path : Path
        File to write.
    model : ModelDirectory
    manifest : Manifest or None
        Of the model; None for a foreign one, which the first lines then say.
    data : Path
        Set that the validation used.
    validation : Path
        Directory with ``metrics.json`` and ``parity.json``, and, where they were made,
        ``trust.json`` and ``physics.json``.
    licence : str
        Of the recipe; else the first line of LICENSE in the model directory counts.
    """
    metrics = read_json(validation / "metrics.json")
    parity = read_json(validation / "parity.json")
    sections = {
        "Data": _data_lines(data, manifest, metrics),
        "Trusted range": range_lines(metrics["training"]),
        "Committee deviation": trust_lines(
            _optional(validation / "trust.json"), metrics["trust"]["reason"]
        ),
        "Errors against DFT": error_lines(metrics),
        "Physics": physics_lines(_optional(validation / "physics.json")),
        "Parity": _parity_lines(parity),
        "Training": _training_lines(manifest),
        "Speed and memory": _speed_lines(_optional(validation / "speed.json")),
        "Versions": _version_lines(manifest, validation),
        "Licence": [_licence(licence, model.directory)],
        "Limits": [
            "Trust outside the phases, temperatures, densities and compositions listed above is "
            "not shown. Watch the committee deviation during MD against the levels above."
        ],
    }
    lines = [f"# {model.directory.resolve().name}", ""]
    if metrics["training"]["unproved"]:
        lines += [UNPROVED, ""]
    lines += [
        f"Committee of {len(model.members)} DeePMD potential(s) for {', '.join(model.type_map)}; "
        f"networks in {parity['precision']}; "
        + ("compressed forms included." if model.compressed else "not compressed."),
        "",
        _headline(metrics),
    ]
    for title, content in sections.items():
        lines += ["", f"## {title}", *content]
    write_text(path, "\n".join(lines) + "\n")


def dft_level(data: Path) -> str:
    """Return in words what the certificate of a set says about the first-principles level."""
    level = (_optional(data / "certificate.json") or {}).get("dft_level")
    if not level:
        return "not recorded in the data certificate"
    return "; ".join(f"{key} {value}" for key, value in level.items())


def _optional(path: Path) -> dict[str, Any] | None:
    """Read a file that need not be there."""
    content: dict[str, Any] | None = read_json(path) if path.is_file() else None
    return content


def _headline(metrics: dict[str, Any]) -> str:
    split = next(name for name in metrics["splits"] if name != "train")
    errors = metrics["splits"][split]
    overall = errors["overall"]
    return (
        f"Errors on {overall['frames']} frames of the {split} split: "
        f"{overall['energy_rmse_mev_per_atom']:.2f} meV/atom, "
        f"{overall['force_rmse_mev_per_angstrom']:.1f} meV/Å (DFT forces have an rms of "
        f"{overall['force_reference_rms_mev_per_angstrom']:.0f} meV/Å); "
        f"{errors['independence']['statement']}."
    )


def _data_lines(data: Path, model: Manifest | None, metrics: dict[str, Any]) -> list[str]:
    lines = [f"- Validated on {data.resolve().name}, sha256 {fingerprint(data)}."]
    if model is None:
        lines.append("- Trained on: unknown.")
    else:
        inputs = ", ".join(f"{Path(name).name} (sha256 {h})" for name, h in model.inputs.items())
        lines.append(f"- Trained on {inputs} ({metrics['training']['data']}).")
    certificate = _optional(data / "certificate.json")
    verdict = certificate.get("verdict") if certificate else None
    counts = ", ".join(f"{split} {count}" for split, count in frames_by_split(data).items())
    return [
        *lines,
        f"- Data certificate: {verdict or 'none'}.",
        f"- DFT level: {dft_level(data)}.",
        f"- Frames by split: {counts}.",
    ]


def _parity_lines(parity: dict[str, Any]) -> list[str]:
    worst = max(
        parity["comparisons"], key=lambda entry: (entry["difference"] or 0) / entry["tolerance"]
    )
    control = parity["negative_control"]
    lines = [
        "`dp test`, Python and LAMMPS, also with types and atoms in another order, agree: "
        f"{'yes' if parity['passed'] else 'NO'}, for {', '.join(parity['models'])} on "
        + "; ".join(parity["frames"])
        + ".",
        f"Closest to its tolerance: {worst['model']}, {worst['pair']}, {worst['quantity']} "
        f"{worst['difference']:.1e} of {worst['tolerance']:.0e} {worst['unit']}.",
    ]
    if control.get("force_difference") is not None:
        lines.append(
            f"A wrong element order ({' '.join(control['elements'])}) changes forces by "
            f"{control['force_difference']:.2g} eV/Å or more, so it would be seen."
        )
    return lines


def _training_lines(manifest: Manifest | None) -> list[str]:
    if manifest is None:
        return ["Not recorded."]
    seeds = ", ".join(f"{name} {value}" for name, value in manifest.seeds.items())
    recipe = [f"- {key}: {value}" for key, value in manifest.recipe.items()]
    overrides = [f"- Gates overridden: {', '.join(manifest.overrides)}."]
    return [
        *recipe,
        *([f"- seeds: {seeds}"] if seeds else []),
        *(overrides if manifest.overrides else []),
    ]


def _speed_lines(speed: dict[str, Any] | None) -> list[str]:
    if speed is None:
        return ["Not measured: set `speed_atoms` in the recipe of `mlip validate`."]
    lines = [
        f"- {speed['model']} on {speed['device']}: {speed['atom_steps_per_second']:.3g} "
        f"atom-steps/s with {speed['atoms']} atoms."
    ]
    if speed["core_use"] is not None:
        lines.append(
            f"- The engine had {100 * speed['core_use']:.0f} % of its cores: "
            f"{speed['atom_steps_per_core_second']:.3g} atom-steps for each second of one core."
        )
    growth = speed["memory_kibibyte_per_atom"]
    lines.append(
        f"- Memory: {speed['memory_mebibyte']:.0f} MiB at {speed['atoms']} atoms, "
        + (
            "most of it the engine's own; too few atoms to tell the share of one."
            if growth is None
            else f"{growth:.0f} KiB more for each atom."
        )
    )
    if not speed["gpu"]:
        lines.append("- GPU: not yet measured.")
    return lines


def _version_lines(manifest: Manifest | None, validation: Path) -> list[str]:
    found = {"training": manifest.versions if manifest else {}}
    record = _optional(validation / "manifest.json") or {}
    found["validation"] = record.get("versions", {})
    return [
        f"- {what}: "
        + (", ".join(f"{name} {value}" for name, value in versions.items()) or "not recorded")
        for what, versions in found.items()
    ]


def _licence(stated: str, directory: Path) -> str:
    if stated:
        return f"{stated}."
    path = directory / "LICENSE"
    text = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    return f"{text.splitlines()[0]} (see LICENSE)." if text else "Not stated."
