"""`mlip analyse`: the analysis package over runs or trajectory files, with a manifest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from analysis.analyse import analyse_run, analyse_trajectory
from analysis.foreign import open_foreign
from analysis.results import Quantity
from analysis.runs import open_run
from mlip.errors import InputError
from mlip.execution.progress import tell
from mlip.manifest import NAME, Manifest, read_manifest
from mlip.recipes.analyse import AnalyseRecipe
from mlip.workspace import open_workspace


def analyse(
    recipe: AnalyseRecipe,
    runs: list[Path],
    out: Path,
    *,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Analyse runs and write one analysis directory, with a folder a run if there are several.

    Parameters
    ----------
    recipe : AnalyseRecipe
    runs : list of Path
        Run directories, directories of runs, or trajectory files of other programs.
    out : Path
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Recorded.

    Raises
    ------
    InputError
        If a run is missing or unfinished.
    analysis.errors.AnalysisError
        If a trajectory cannot be analysed.
    """
    sources = expand(runs)
    for source in sources.values():
        _require_readable(source, recipe)
    with open_workspace(
        out,
        kind="analysis",
        recipe=recipe.expanded(),
        inputs=list(sources.values()),
        overrides=overrides,
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        summaries = {}
        for name, source in sources.items():
            target = out / name if len(sources) > 1 else out
            tell(f"analysing {source} ...")
            summaries[name] = _summary(_analyse_one(recipe, source, target))
        files = [
            path
            for path in out.rglob("*")
            if path.is_file() and path.name not in (NAME, "lock") and not path.name.startswith(".")
        ]
        work.finish(files, summaries if len(sources) > 1 else next(iter(summaries.values())))
        return work.manifest


def plan_analyse(recipe: AnalyseRecipe, runs: list[Path], out: Path) -> list[str]:
    """Return what `analyse` would do, without doing it."""
    lines = []
    for source in expand(runs).values():
        _require_readable(source, recipe)
        lines.append(f"read   {source}")
    return [
        *lines,
        "compute  partial g(r), coordination numbers, mean squared displacements, "
        f"diffusion and Nernst-Einstein conductivity of {recipe.mobile or 'Li'}",
        f"write  {out}/results.json, curves/, figures/",
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
    names = [path.name for path in found]
    unique = len(set(names)) == len(names)
    return {(p.name if unique else f"{n:02d}_{p.name}"): p for n, p in enumerate(found)}


def _require_readable(source: Path, recipe: AnalyseRecipe) -> None:
    if source.is_dir():
        open_run(source)
    elif recipe.foreign is None:
        raise InputError(
            f"{source}: a trajectory file needs the time between its stored frames and its "
            "temperature; type for example --set foreign.timestep_fs=100 --set "
            "foreign.temperature_kelvin=500 (a LAMMPS dump without a column `element` also needs "
            "--set 'foreign.species=[Li, P, S]', the elements of its types)."
        )


def _analyse_one(recipe: AnalyseRecipe, source: Path, target: Path) -> list[Quantity]:
    if source.is_dir():
        return analyse_run(source, target, mobile=recipe.mobile, charge_e=recipe.charge_e)
    foreign = recipe.foreign
    if foreign is None:
        raise InputError(f"{source}: recipe.foreign is missing.")
    trajectory = open_foreign(
        source,
        frame_interval_fs=foreign.timestep_fs,
        temperature_kelvin=foreign.temperature_kelvin,
        species=foreign.species,
        charges=foreign.charges,
        file_format=foreign.format,
        until_damage=foreign.until_damage,
    )
    for note in trajectory.notes:
        tell(f"{source}: {note}")
    return analyse_trajectory(trajectory, target, mobile=recipe.mobile, charge_e=recipe.charge_e)


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
