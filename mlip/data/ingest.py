"""`mlip ingest`: first-principles output in, a certified set out."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mlip.data.certificate import certificate_json, certify, unconverged_frames
from mlip.data.certificate_figures import certificate_figures
from mlip.data.certificate_page import certificate_markdown
from mlip.data.check import Certificate
from mlip.data.frames import Frames, checked, reorder_atoms, select
from mlip.data.readers import FORMATS, input_files, matches
from mlip.data.split import SPLITS, Part, System, split_systems
from mlip.errors import DataError, TypeMapError
from mlip.execution.progress import tell
from mlip.files import fingerprint, replacing, write_json, write_text
from mlip.manifest import Manifest, missing_outputs, read_manifest, relative
from mlip.recipes.ingest import IngestRecipe, Source
from mlip.workspace import open_workspace


def ingest(
    recipe: IngestRecipe,
    source: Path,
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Read, check, split and write a set of labelled frames.

    Everything is read and checked before `out` is touched. A set with doubtful physics is
    written with the verdict 'fail', and `mlip train` refuses it.

    Parameters
    ----------
    recipe : IngestRecipe
    source : Path
        The recipe file; its relative paths start there.
    out : Path
        Set directory.
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Gates overridden by name, for the manifest.

    Returns
    -------
    Manifest

    Raises
    ------
    DataError, UnitError, TypeMapError
        If a source cannot be read, is torn, inconsistent or in another unit; nothing is
        written.
    InputError
        If `out` holds other work.
    """
    inputs = [
        file
        for entry in recipe.sources
        for path in matches(entry, source)
        for file in input_files(entry, path)
    ]
    if not force and (done := _finished(recipe, inputs, out)) is not None:
        return done
    systems = read_systems(recipe, source)
    parts = split_systems(systems, recipe.split)
    certificate = certify(systems, parts, recipe.split)
    with open_workspace(
        out,
        kind="set",
        recipe=recipe.expanded(),
        inputs=inputs,
        overrides=overrides,
        force=force,
        notice=tell,
    ) as workspace:
        if workspace.finished:
            return workspace.manifest
        for name in (*SPLITS, "figures"):
            # Leftovers of an interrupted attempt.
            if (out / name).exists():
                shutil.rmtree(out / name)
        outputs = [file for part in parts for file in _write_part(part, recipe, out)]
        write_text(out / "frames.csv", _frames_table(parts))
        write_json(out / "certificate.json", certificate_json(certificate))
        write_text(out / "certificate.md", certificate_markdown(certificate, parts))
        outputs += [out / name for name in ("frames.csv", "certificate.json", "certificate.md")]
        outputs += certificate_figures(out, systems, parts)
        workspace.finish(outputs, _summary(systems, parts, certificate))
        for check in certificate.checks:
            if check.verdict in {"warn", "fail"}:
                tell(f"{check.verdict}: {check.name}: {check.text}")
        return workspace.manifest


def plan_ingest(recipe: IngestRecipe, source: Path, out: Path) -> list[str]:
    """Return the lines of ``--dry-run``: what is read and what will be written.

    Raises
    ------
    DataError
        If a source is missing or is not what its format reads.
    """
    lines = []
    for entry in recipe.sources:
        for path in matches(entry, source):
            files = input_files(entry, path)
            size = sum(file.stat().st_size for file in files) / 1e6
            lines.append(
                f"read {entry.name}: {entry.format}, {path}, {len(files)} files, {size:.1f} MB, "
                f"{_chosen(entry)}, weight {entry.weight:g}, split {entry.split}"
            )
    settings = recipe.split
    lines.append(
        f"split: runs of {settings.whole_run_below_ps} ps or more in blocks {settings.purge_ps} ps "
        f"apart (valid {settings.valid_fraction}, test {settings.test_fraction}), others whole"
    )
    lines.append(
        f"write {out}: {{train,valid,test}}/<system>/ as DeePMD npy with type map "
        f"{' '.join(recipe.type_map)}, frames.csv, certificate.json, certificate.md, figures/"
    )
    return lines


def read_systems(recipe: IngestRecipe, source: Path) -> list[System]:
    """Read every source of a recipe, check shapes and numbers, and order the atoms.

    Raises
    ------
    DataError
        If a source cannot be read, or has no frame left.
    TypeMapError
        If an element is not in the type map.
    """
    systems = []
    for entry in recipe.sources:
        read = [
            checked(frames, path)
            for path in matches(entry, source)
            for frames in FORMATS[entry.format].read(path, entry.timestep_fs)
        ]
        for number, frames in enumerate(read):
            name = entry.name if len(read) == 1 else f"{entry.name}-{number:03d}"
            start, stop = entry.frames or (0, len(frames))
            if start >= len(frames):
                raise DataError(
                    f"{name} ({frames.files[0]}): frames {start} to {stop - 1} are asked, but it "
                    f"has {len(frames)}, counted from 0."
                )
            kept = select(frames, slice(start, stop, entry.stride))
            ordered = _ordered(kept, recipe.type_map, name)
            systems.append(System(name, entry, ordered, read=len(frames)))
    names = [system.name for system in systems]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise DataError(f"systems share a name: {', '.join(sorted(repeated))}. Rename the sources.")
    return systems


def _chosen(source: Source) -> str:
    part = "all frames" if source.frames is None else f"frames {list(source.frames)}"
    return f"{part}, stride {source.stride}"


def _ordered(frames: Frames, type_map: tuple[str, ...], name: str) -> Frames:
    foreign = sorted(set(frames.symbols) - set(type_map))
    if foreign:
        raise TypeMapError(
            f"{name} ({frames.files[0]}): holds {', '.join(foreign)}, but type_map is "
            f"[{', '.join(type_map)}]. Add the element, or leave the source out."
        )
    types = np.array([type_map.index(symbol) for symbol in frames.symbols])
    return reorder_atoms(frames, np.argsort(types, kind="stable"))


def _finished(recipe: IngestRecipe, inputs: list[Path], out: Path) -> Manifest | None:
    """Return the manifest if the same work is already done, without reading the data."""
    if not (out / "manifest.json").is_file():
        return None
    manifest = read_manifest(out)
    fingerprints = {relative(path, out): fingerprint(path) for path in inputs}
    same = (manifest.kind, manifest.status) == ("set", "complete")
    same = same and manifest.recipe == recipe.expanded() and manifest.inputs == fingerprints
    return manifest if same and not missing_outputs(out, manifest) else None


def _write_part(part: Part, recipe: IngestRecipe, out: Path) -> list[Path]:
    frames = select(part.system.frames, part.index)
    folder = out / part.split / part.system.name
    types = [str(recipe.type_map.index(symbol)) for symbol in frames.symbols]
    write_text(folder / "type.raw", "\n".join(types) + "\n")
    write_text(folder / "type_map.raw", "\n".join(recipe.type_map) + "\n")
    count = len(frames)
    arrays = {
        "coord": frames.coords.reshape(count, -1),
        "force": frames.forces.reshape(count, -1),
        "energy": frames.energies,
        "box": frames.cells.reshape(count, 9),
    }
    if frames.virials is not None:
        arrays["virial"] = frames.virials.reshape(count, 9)
    written = [folder / "type.raw", folder / "type_map.raw"]
    for name, array in arrays.items():
        path = folder / "set.000" / f"{name}.npy"
        with replacing(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, np.ascontiguousarray(array, dtype=np.float64))
        written.append(path)
    return written


def _frames_table(parts: list[Part]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["split", "system", "row", "source", "frame", "phase", "temperature_kelvin", "weight"]
    writer.writerow(names)
    for part in parts:
        entry = part.system.source
        temperature = "" if entry.temperature_kelvin is None else f"{entry.temperature_kelvin:g}"
        for row, k in enumerate(part.index):
            step = int(part.system.frames.steps[k])
            origin = [entry.name, step, entry.phase, temperature, f"{entry.weight:g}"]
            writer.writerow([part.split, part.system.name, row, *origin])
    return text.getvalue()


def _summary(systems: list[System], parts: list[Part], certificate: Certificate) -> dict[str, Any]:
    per_atom = np.concatenate([s.frames.energies / len(s.frames.symbols) for s in systems])
    counts = {s: sum(len(p.index) for p in parts if p.split == s) for s in SPLITS}
    used = sum(counts.values())
    summary: dict[str, Any] = {
        "verdict": certificate.verdict,
        "systems": len(systems),
        **{f"{split}_frames": count for split, count in counts.items()},
        "purged_frames": sum(len(s.frames) for s in systems) - used,
        "unconverged_frames_dropped": unconverged_frames(systems)[0],
        "systems_with_virial": sum(s.frames.virials is not None for s in systems),
        "lowest_energy_ev_per_atom": float(per_atom.min()),
        "highest_energy_ev_per_atom": float(per_atom.max()),
        "largest_force_ev_per_angstrom": float(
            max(np.linalg.norm(s.frames.forces, axis=2).max() for s in systems)
        ),
    }
    for verdict in ("fail", "warn"):
        names = [check.name for check in certificate.checks if check.verdict == verdict]
        summary[f"checks_{verdict}"] = ", ".join(names) or "none"
    return summary
