"""What `mlip explore` would do: ``--dry-run``."""

from __future__ import annotations

from pathlib import Path

from mlip.explore.states import shaken_states
from mlip.recipes.base import resolve
from mlip.recipes.explore import ExploreRecipe, State


def plan_explore(recipe: ExploreRecipe, source: Path, out: Path) -> list[str]:
    """Return what `explore` would do, state by state, without doing it."""
    if recipe.model is not None:
        return _plan_examination(recipe, source, out)
    first = len(shaken_states(recipe)) * recipe.bootstrap.frames_per_state
    begin = (
        f"begin   {len(recipe.initial)} source(s) of labelled data"
        if recipe.initial
        else f"begin   {first} labels of shaken start structures"
    )
    lines = [begin]
    lines += [f"{_visit(state)}, from round {state.from_round}" for state in recipe.states]
    steps = 2 * _steps(recipe)
    most = recipe.selection.maximum_frames + recipe.test_frames
    total = (0 if recipe.initial else first) + (recipe.maximum_rounds - 1) * most
    lines += [
        f"round   train {recipe.train.committee_size} members, {recipe.train.length()}, "
        f"validate, {steps:.0f} MD steps, up to {recipe.selection.maximum_frames} + "
        f"{recipe.test_frames} labels; at most {recipe.maximum_rounds} rounds",
        f"cost    up to {total} labels; `mlip label --dry-run` on a structure tells what one costs",
        f"until   {recipe.accurate_share:.0%} of the frames of every state are accurate",
        f"write   {out}: labels/, round_<n>/{{set,model,runs}}, progress.json, report.html",
    ]
    return lines


def _plan_examination(recipe: ExploreRecipe, source: Path, out: Path) -> list[str]:
    assert recipe.model is not None
    return [
        f"examine {resolve(recipe.model, source)}",
        *(_visit(state) for state in recipe.states if state.from_round == 1),
        f"cost    {_steps(recipe):.0f} MD steps, up to {recipe.test_frames} labels, drawn evenly "
        f"over the phases, at least {recipe.selection.spacing_ps:g} ps apart; `mlip label "
        "--dry-run` on a structure tells what one costs",
        f"write   {out}: runs/, labels/, set/ for mlip validate",
    ]


def _visit(state: State) -> str:
    temperatures = ", ".join(f"{value:g}" for value in state.temperatures_kelvin)
    box = "NVT" if state.pressure_gpa is None else f"NPT {state.barostat}"
    phases = " ".join(dict.fromkeys(state.phases))
    return (
        f"visit   {state.name} ({phases}): {temperatures} K, {state.duration_ps:g} ps each, {box}"
    )


def _steps(recipe: ExploreRecipe) -> float:
    """Return the MD steps of one set of velocities."""
    return sum(
        len(s.temperatures_kelvin) * s.duration_ps * 1000 / recipe.sampling.timestep_fs
        for s in recipe.states
    )
