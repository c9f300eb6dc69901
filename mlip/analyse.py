"""`mlip analyse`: the analysis package over runs or trajectory files, with a manifest."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.analyse import analyse_run, analyse_trajectory
from analysis.observables import OBSERVABLES
from analysis.reading.foreign import open_foreign
from analysis.reading.runs import open_run
from analysis.results import Quantity
from analysis.sample import Request
from analysis.scattering.measured_scattering import read_measured
from mlip.analysed_series import Labelled, label_runs, write_series
from mlip.errors import InputError
from mlip.execution.progress import tell
from mlip.manifest import NAME, Manifest, read_manifest
from mlip.recipes.analyse import AnalyseRecipe, RunOrigin
from mlip.recipes.base import resolve
from mlip.workspace import open_workspace

ACCEPT_SUBDIFFUSIVE = "accept-subdiffusive"
# Paths given with --set, without a recipe file, are relative to the working directory.
HERE = Path("recipe.yml")


def analyse(
    recipe: AnalyseRecipe,
    runs: list[Path],
    out: Path,
    *,
    source: Path | None = None,
    accept_subdiffusive: bool = False,
    force: bool = False,
) -> Manifest:
    """Analyse runs and write one analysis directory.

    Several runs get a folder each, which is kept when an interrupted analysis is resumed, and
    beside them what follows from all of them: Arrhenius lines over independent samples.

    Parameters
    ----------
    recipe : AnalyseRecipe
    runs : list of Path
        Run directories, directories of runs, or trajectory files of other programs.
    out : Path
    source : Path, optional
        The recipe file; paths in it are relative to it.
    accept_subdiffusive : bool
        Where motion is not diffusive, give the slope of the MSD and the conductivity that would
        follow, called apparent, beside the bounds. The manifest records it.
    force : bool
        Move another result in `out` aside.

    Raises
    ------
    InputError
        If a run is missing or unfinished, or given twice.
    analysis.errors.AnalysisError
        If a trajectory cannot be analysed.
    """
    sources = expand(runs)
    request = replace(_request(recipe, source or HERE), accept_subdiffusive=accept_subdiffusive)
    accepted = [ACCEPT_SUBDIFFUSIVE] if accept_subdiffusive else []
    labelled = _labelled(recipe, sources)
    shared = [
        *(item.path for item in request.measured),
        *(run.path for run in request.references or ()),
    ]
    with open_workspace(
        out,
        kind="analysis",
        recipe=_identity(recipe, request),
        inputs=[*sources.values(), *shared],
        overrides=accepted,
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        summary: dict[str, Any] = {}
        for name, run in sources.items():
            if len(sources) == 1:
                tell(f"analysing {run} ...")
                summary = _summary(_analyse_one(recipe, request, name, run, out))
            else:
                summary[name] = _analyse_into(recipe, request, name, run, out / name, shared)
        if len(sources) > 1:
            for name, reason in labelled.reasons.items():
                tell(f"{name}: left out of the series: {reason}.")
            if len(labelled.origins) > 1:
                analyses = {name: out / name for name in sources}
                summary["series"] = _summary(write_series(out, analyses, labelled))
        work.finish(_written(out), summary)
        return work.manifest


def _analyse_into(
    recipe: AnalyseRecipe, request: Request, name: str, run: Path, target: Path, shared: list[Path]
) -> dict[str, Any]:
    """Analyse one run of several in a directory of its own, or keep what is finished there."""
    with open_workspace(
        target,
        kind="analysis",
        recipe=_identity(recipe, request),
        inputs=[run, *shared],
        overrides=[ACCEPT_SUBDIFFUSIVE] if request.accept_subdiffusive else [],
        notice=tell,
    ) as work:
        if work.finished:
            tell(f"{run}: analysed before, kept.")
        else:
            tell(f"analysing {run} ...")
            work.finish(
                _written(target), _summary(_analyse_one(recipe, request, name, run, target))
            )
        return work.manifest.summary


def _identity(recipe: AnalyseRecipe, request: Request) -> dict[str, Any]:
    """Return what makes an analysis another one: the recipe, and the gate where it was passed."""
    gate = {"accept_subdiffusive": True} if request.accept_subdiffusive else {}
    return {**recipe.expanded(), **gate}


def _written(out: Path) -> list[Path]:
    return [
        path
        for path in out.rglob("*")
        if path.is_file() and path.name not in (NAME, "lock") and not path.name.startswith(".")
    ]


def plan_analyse(
    recipe: AnalyseRecipe, runs: list[Path], out: Path, *, source: Path | None = None
) -> list[str]:
    """Return what `analyse` would do, without doing it."""
    _request(recipe, source or HERE)
    sources = expand(runs)
    labelled = _labelled(recipe, sources)
    lines = []
    for name, run in sources.items():
        lines.append(f"read     {run}")
        if len(sources) > 1:
            lines.append(f"         {labelled.words(name)}")
    return [
        *lines,
        f"compute  {', '.join(name for name, _ in OBSERVABLES)}; mobile: {recipe.mobile or 'Li'}",
        f"write    {out}/results.json, curves/, figures/",
    ]


def expand(runs: list[Path]) -> dict[str, Path]:
    """Return the single runs and files behind the arguments, by a short unique name.

    Raises
    ------
    InputError
        If an argument does not exist, or is neither a run nor a directory of runs.
    """
    found: list[Path] = []
    for path in runs:
        if path.is_file() or (path / "trajectory.json").is_file():
            found.append(path)
        elif path.is_dir():
            manifest = read_manifest(path)
            if manifest.kind not in ("run", "runs"):
                raise InputError(f"{path}: holds a {manifest.kind}, expected a run of mlip md.")
            if manifest.status != "complete":
                raise InputError(f"{path}: this run is not finished. Type its mlip md again.")
            if manifest.kind == "run":
                raise InputError(f"{path}: this run has no dynamics, so nothing to analyse.")
            found += [path / name for name in manifest.summary["runs"]]
        else:
            raise InputError(f"{path}: no such run directory or trajectory file.")
    return dict(zip(_unique_names(found), found, strict=True))


def _unique_names(paths: list[Path]) -> list[str]:
    """Return the last parts of paths; where two are the same with the part above, or numbered."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.resolve().parent.name}_{path.name}" for path in paths]
    if len(set(names)) < len(names):
        names = [f"{n:02d}_{path.name}" for n, path in enumerate(paths)]
    return names


def _labelled(recipe: AnalyseRecipe, sources: dict[str, Path]) -> Labelled:
    """Return what each of several runs is a run of; every run must be readable."""
    temperatures = {name: _temperature(run, recipe) for name, run in sources.items()}
    return label_runs(sources, temperatures, recipe.runs or {})


def _temperature(source: Path, recipe: AnalyseRecipe) -> float | None:
    if source.is_dir():
        return open_run(source, stage=recipe.stage).temperature_kelvin
    if recipe.foreign is None:
        raise InputError(
            f"{source}: a trajectory file needs the time between its stored frames and its "
            "temperature; type for example --set foreign.timestep_fs=100 --set "
            "foreign.temperature_kelvin=500 (a LAMMPS dump without a column `element` also needs "
            "--set 'foreign.species=[Li, P, S]', the elements of its types)."
        )
    return recipe.foreign.temperature_kelvin


def _analyse_one(
    recipe: AnalyseRecipe, request: Request, name: str, source: Path, target: Path
) -> list[Quantity]:
    if source.is_dir():
        return analyse_run(source, target, request, stage=recipe.stage, charges=recipe.charges)
    foreign = recipe.foreign
    if foreign is None:
        raise InputError(f"{source}: recipe.foreign is missing.")
    named = (recipe.runs or {}).get(name, RunOrigin()).temperature_kelvin
    trajectory = open_foreign(
        source,
        frame_interval_fs=foreign.timestep_fs,
        temperature_kelvin=named or foreign.temperature_kelvin,
        species=foreign.species,
        charges=recipe.charges,
        file_format=foreign.format,
        velocity_unit=foreign.velocity_unit,
        until_damage=foreign.until_damage,
    )
    for note in trajectory.notes:
        tell(f"{source}: {note}")
    return analyse_trajectory(trajectory, target, request)


def _request(recipe: AnalyseRecipe, source: Path) -> Request:
    """Return what is asked of the analysis package, measurements read and references opened."""
    measured = tuple(
        read_measured(
            resolve(item.path, source),
            function=item.function,
            radiation=item.radiation,
            q_max_inverse_angstrom=item.q_max_inverse_angstrom,
            window=item.window,
        )
        for item in recipe.measured
    )
    references = None
    if recipe.references is not None:
        crystal, glass = (
            open_run(resolve(path, source), stage=recipe.stage)
            for path in (recipe.references.crystal, recipe.references.glass)
        )
        references = (crystal, glass)
    return Request(recipe.mobile, recipe.charge_e, recipe.axis, measured, references)


def _summary(quantities: list[Quantity]) -> dict[str, Any]:
    return {
        quantity.name: {
            "value": _number(quantity.value),
            "low": _number(quantity.low),
            "high": _number(quantity.high),
            "unit": quantity.unit,
            "status": quantity.status,
            "reason": quantity.reason,
        }
        for quantity in quantities
    }


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
