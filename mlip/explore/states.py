"""Where exploring starts: the structure of every state, and the first frames to be labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from mlip.files import replacing
from mlip.recipes.build import Rattle
from mlip.recipes.explore import ExploreRecipe, State
from mlip.structures.build import build
from mlip.structures.rattle import rattled
from mlip.structures.strain import strained

SHAKEN = "shaken"  # in place of a run


def build_states(recipe: ExploreRecipe, source: Path, folder: Path) -> dict[str, Path]:
    """Build the start structure of every state; return the directories by state.

    Parameters
    ----------
    recipe : ExploreRecipe
    source : Path
        The recipe file.
    folder : Path
        Gets one structure directory a state.
    """
    directories = {}
    for state in recipe.states:
        settings = state.structure.model_copy(update={"type_map": recipe.type_map})
        directories[state.name] = folder / state.name
        build(settings, source, folder / state.name)
    return directories


def shaken_states(recipe: ExploreRecipe) -> tuple[State, ...]:
    """Return the states whose start is labelled before there is a model.

    Units packed at random have no gap before they are relaxed (none of 14 converged labels of
    packed Li-P-S above 0.1 eV), so that a label of them teaches nothing; where all are packed,
    all are taken.
    """
    built = tuple(state for state in recipe.states if state.structure.packing is None)
    return built or recipe.states


def shaken_frames(
    recipe: ExploreRecipe,
    structures: Mapping[str, Path],
    round_number: int = 0,
    states: Sequence[State] | None = None,
) -> list[Atoms]:
    """Return start structures shaken and strained, for labels that need no model.

    Each frame carries `state`, `phase`, `run` and `split` in its info; the last of each state
    is for testing.

    Parameters
    ----------
    recipe : ExploreRecipe
    structures : mapping of str to Path
        Structure directories by state.
    round_number : int
        Each round shakes them anew.
    states : sequence of State, optional
        By default those of the first round; of these, packed ones are left out as there.
    """
    settings = recipe.bootstrap
    wanted = [s for s in shaken_states(recipe) if states is None or s in states]
    frames = []
    for number, state in enumerate(recipe.states):
        if state not in wanted:
            continue
        start = ase.io.read(structures[state.name] / "structure.extxyz")
        again = [round_number] if round_number else []
        rng = np.random.default_rng([recipe.seed, number, *again])
        for k in range(settings.frames_per_state):
            share = (k + 1) / settings.frames_per_state
            amplitude = settings.rattle_angstrom * (1.0 + 2.0 * share) / 3.0
            lengths = rng.uniform(-settings.strain, settings.strain, 3)
            shaped = strained(start, [*lengths, 0.0, 0.0, 0.0])
            moved, _ = rattled(shaped, Rattle(amplitude_angstrom=amplitude), rng)
            last = k == settings.frames_per_state - 1
            frames.append(tagged(moved, state, SHAKEN, float(k), "test" if last else "train"))
    return frames


def tagged(atoms: Atoms, state: State, run: str, time_ps: float, split: str) -> Atoms:
    """Return the bare structure with where it came from in its info."""
    bare = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    bare.wrap()
    visit = 0 if run == SHAKEN else state.visit_at(time_ps)
    bare.info = {
        "state": state.name,
        "phase": state.phases[visit],
        "run": run,
        "time_ps": round(time_ps, 6),
        "split": split,
    }
    return bare


def write_frames(path: Path, frames: Sequence[Atoms]) -> None:
    """Write frames as extxyz, by rename."""
    with replacing(path) as temporary:
        ase.io.write(temporary, list(frames), format="extxyz", columns=["symbols", "positions"])
