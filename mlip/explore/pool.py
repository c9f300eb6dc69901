"""The labelled frames of all rounds, and the set that is made from them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms

from mlip.execution.progress import tell
from mlip.explore.states import SHAKEN
from mlip.files import replacing, write_text
from mlip.labelling.frames import frame_id
from mlip.labelling.store import FOLDER, LABEL, stored
from mlip.recipes.explore import ExploreRecipe
from mlip.recipes.ingest import IngestRecipe, Source
from mlip.recipes.label import LabelRecipe

# Occupations are fixed: below this gap it is left to chance which state the energy belongs to, and
# neighbouring frames may land in different ones.
MINIMUM_GAP_EV = 0.1


def labelled_frames(recipe: LabelRecipe, frames: Sequence[Atoms], labels: Path) -> list[Atoms]:
    """Return the asked frames that have a label now, each with energy, forces and stress.

    Frames without a gap stay in the store and are left out here, with a line that counts them.

    Parameters
    ----------
    recipe : LabelRecipe
    frames : sequence of Atoms
        As they were given to `mlip label`, with `state`, `phase` and `split` in their info.
    labels : Path
        Directory of the labels.
    """
    records = stored(labels)
    found, metallic = [], 0
    for atoms in frames:
        key = frame_id(recipe, atoms)
        if key not in records or records[key].status != "converged":
            continue
        gap = records[key].gap_ev
        if gap is not None and gap < MINIMUM_GAP_EV:
            metallic += 1
            continue
        label = ase.io.read(labels / FOLDER / key / LABEL)
        label.info |= {k: v for k, v in atoms.info.items() if k not in label.info}
        found.append(label)
    if metallic:
        tell(f"{labels}: {metallic} frames have a gap below {MINIMUM_GAP_EV:g} eV; not learned.")
    return found


def write_pool(recipe: ExploreRecipe, rounds: Sequence[Path], folder: Path) -> list[Source]:
    """Join the labels of several rounds to one file for each split, state and temperature.

    Parameters
    ----------
    recipe : ExploreRecipe
    rounds : sequence of Path
        Files of `write_labelled`, in the order of the rounds.
    folder : Path
        Gets ``<split>-<state>-<temperature>K.extxyz``; shaken frames have no temperature.

    Returns
    -------
    list of Source
        Of `mlip ingest`, with absolute paths.
    """
    states = {state.name: state for state in recipe.states}
    frames: dict[str, list[Atoms]] = {}
    about: dict[str, dict[str, object]] = {}
    for path in rounds:
        for atoms in read_labelled(path):
            state, split = states[atoms.info["state"]], atoms.info["split"]
            name, step, kelvin = f"{split}-{state.name}", 0, None
            if atoms.info["run"] != SHAKEN:
                step = state.visit_at(atoms.info["time_ps"])
                kelvin = state.temperatures_kelvin[step]
                name += f"-{kelvin:g}K"
            frames.setdefault(name, []).append(atoms)
            phase = state.phases[step]
            about[name] = {"phase": phase, "temperature_kelvin": kelvin, "split": split}
    sources = []
    for name in sorted(frames):
        path = (folder / f"{name}.extxyz").resolve()
        write_labelled(path, frames[name])
        content = {"name": name, "format": "extxyz", "path": str(path), **about[name]}
        sources.append(Source.model_validate(content))
    return sources


def write_labelled(path: Path, frames: Sequence[Atoms]) -> None:
    """Write labelled frames as extxyz, by rename; an empty file if there are none."""
    with replacing(path) as temporary:
        temporary.touch()
        if frames:
            ase.io.write(temporary, list(frames), format="extxyz")


def read_labelled(path: Path) -> list[Atoms]:
    """Read what `write_labelled` wrote."""
    return list(ase.io.read(path, index=":", format="extxyz")) if path.stat().st_size else []


def set_recipe(recipe: ExploreRecipe, source: Path, labels: Sequence[Source]) -> IngestRecipe:
    """Return the ingest recipe of the given data and the labels so far.

    Parameters
    ----------
    recipe : ExploreRecipe
    source : Path
        The explore recipe: paths of its data start there.
    labels : sequence of Source
        What `write_pool` returned.
    """
    given = [
        entry.model_copy(update={"path": str((source.parent / entry.path).resolve())})
        for entry in (*recipe.initial, *recipe.also)
    ]
    return IngestRecipe(type_map=recipe.type_map, sources=(*given, *labels))


def write_ingest_recipe(
    recipe: ExploreRecipe, source: Path, rounds: Sequence[Path], out: Path
) -> IngestRecipe:
    """Write all labels so far as ``pool/`` and ``ingest.yml``, a recipe of `mlip ingest`.

    Parameters
    ----------
    recipe : ExploreRecipe
    source : Path
        The explore recipe: paths of its data start there.
    rounds : sequence of Path
        Files of `write_labelled`.
    out : Path
        Directory of the loop or examination.

    Returns
    -------
    IngestRecipe
        The same with absolute paths.
    """
    whole = set_recipe(recipe, source, write_pool(recipe, rounds, out / "pool"))
    lines = [
        "# All labels, written by mlip explore: mlip ingest THIS --out SET",
        f"type_map: {json.dumps(whole.type_map)}",
        "sources:",
    ]
    for entry in whole.sources:
        path = os.path.relpath(entry.path, out)
        content = entry.model_copy(update={"path": path}).model_dump(exclude_defaults=True)
        words = ", ".join(f"{key}: {json.dumps(value)}" for key, value in content.items())
        lines.append(f"  - {{{words}}}")
    write_text(out / "ingest.yml", "\n".join(lines) + "\n")
    return whole
