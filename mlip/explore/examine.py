"""`mlip explore` with a finished potential: labels of frames of its own MD, drawn blindly.

What a potential is worth shows on the structures that it makes itself, not on those that it was
taught: a melt that it holds, a glass that it quenched. Nothing is chosen and nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ase.io
import numpy as np

from analysis.pairs.closest import frame_geometry
from mlip.data.ingest import ingest
from mlip.errors import BlowUpError
from mlip.execution.progress import tell
from mlip.explore.choose import drawn_blindly, smallest_distances
from mlip.explore.deviations import run_deviations, write_deviations
from mlip.explore.pool import labelled_frames, write_ingest_recipe, write_labelled
from mlip.explore.sample import TEST, Visit, frames_of, run_round
from mlip.explore.select import Explored, sane
from mlip.explore.soundness import is_broken, usual_coordination
from mlip.explore.states import build_states, tagged, write_frames
from mlip.files import read_json, write_json
from mlip.labelling.calculators import calculator_of
from mlip.labelling.label import label
from mlip.manifest import Manifest, read_manifest
from mlip.recipes.base import resolve
from mlip.recipes.explore import ExploreRecipe
from mlip.workspace import open_workspace

KIND = "examination"
CHOSEN, LABELLED, LABELS, SET = "chosen.extxyz", "labelled.extxyz", "labels", "set"
DEVIATIONS, INGEST = "deviations.csv", "ingest.yml"


def examine(
    recipe: ExploreRecipe,
    source: Path,
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Visit all states with a finished potential, and label frames of them as a test set.

    Parameters
    ----------
    recipe : ExploreRecipe
        With `model`; frames are drawn evenly over the phases.
    source : Path
        The recipe file; its relative paths start there.
    out : Path
        Gets ``structures/``, ``runs/``, ``labels/``, ``chosen.extxyz``, ``labelled.extxyz``,
        ``deviations.csv`` (the committee's, run by run), ``ingest.yml`` with ``pool/`` and the
        ``set/`` made of them, all of whose frames are for testing:
        ``mlip validate MODEL --data OUT/set``.
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Recorded.

    Returns
    -------
    Manifest
        `summary` counts frames visited, left out as impossible, asked, labelled and without a
        gap, and names the runs that broke down.

    Raises
    ------
    EngineError
        If an engine failed, or every run broke down.
    InterruptedRunError
        On Ctrl-C or SIGTERM; the same command goes on.
    """
    assert recipe.model is not None  # the caller's condition
    out, source = out.resolve(), source.resolve()
    model = resolve(recipe.model, source)
    with open_workspace(
        out,
        kind=KIND,
        recipe=recipe.settings(),
        inputs=[model],
        seeds={"velocities and draws": recipe.seed},
        overrides=overrides,
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        calculator_of(recipe.label).command()  # missing now is better than after the runs
        # Its frames being chosen, an examination goes on without its runs, which few will keep.
        if not (out / "draw.json").is_file():
            structures = build_states(recipe, source, out / "structures")
            runs = out / "runs"
            visits = run_round(recipe, 1, model, structures, runs, work.token, splits=(TEST,))
            write_deviations(out / DEVIATIONS, run_deviations(visits))
            _draw(recipe, visits, structures, out)
        asked = ase.io.read(out / CHOSEN, index=":")
        label(recipe.label, [out / CHOSEN], out / LABELS)
        found = labelled_frames(recipe.label, asked, out / LABELS)
        write_labelled(out / LABELLED, found)
        labels = write_ingest_recipe(recipe, source, [out / LABELLED], out)
        ingest(labels, out / INGEST, out / SET)
        by_phase = [atoms.info["phase"] for atoms in found]
        summary = {
            **read_json(out / "draw.json"),
            "labelled": len(found),
            "labelled_by_phase": {name: by_phase.count(name) for name in sorted(set(by_phase))},
            "without_label_or_gap": len(asked) - len(found),
            "test_frames": read_manifest(out / SET).summary["test_frames"],
        }
        outputs = [out / CHOSEN, out / LABELLED, out / DEVIATIONS, out / INGEST]
        outputs.append(out / SET / "manifest.json")
        work.finish(outputs, summary)
        tell(f"Next: mlip validate {model} --data {out / SET}")
        return work.manifest


def _draw(
    recipe: ExploreRecipe, visits: list[Visit], structures: Mapping[str, Path], out: Path
) -> None:
    """Draw frames evenly over the phases, whatever the committee says; count impossible ones."""
    seen = [(visit, time, atoms) for visit in visits for time, atoms in frames_of(visit)]
    usual = usual_coordination(structures)
    explored = Explored(
        state=[visit.state.phases[visit.state.visit_at(time)] for visit, time, _ in seen],
        run=[visit.series for visit, _, _ in seen],
        time_ps=np.array([time for _, time, _ in seen]),
        geometry=[
            frame_geometry(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array)
            for _, _, atoms in seen
        ],
        broken=[
            visit.state.name in usual and is_broken(atoms, usual[visit.state.name])
            for visit, _, atoms in seen
        ],
        # Only a choice by deviation asks for these.
        verdict=[""] * len(seen),
        species=[""] * len(seen),
        anion=[""] * len(seen),
        ratio=np.zeros(len(seen)),
        descriptor=np.zeros((len(seen), 1)),
    )
    limits = smallest_distances(recipe)
    everything = np.arange(len(seen))
    _, impossible = sane(explored, everything, limits, recipe.selection)
    drawn = drawn_blindly(recipe, 1, explored, everything, limits)
    frames = [
        tagged(seen[k][2], seen[k][0].state, seen[k][0].series, seen[k][1], TEST) for k in drawn
    ]
    if not frames:
        raise BlowUpError(
            f"{out}: of {len(seen)} frames none can be labelled ("
            + ", ".join(f"{count} {why}" for why, count in impossible.items())
            + "): this potential does not hold its states."
        )
    write_frames(out / CHOSEN, frames)
    broke_down = sorted(v.name for v in visits if read_json(v.record)["result"] != "ended")
    write_json(
        out / "draw.json",
        {
            "visited": len(seen),
            "impossible": impossible,
            "asked": len(frames),
            "broke_down": broke_down,
        },
    )
