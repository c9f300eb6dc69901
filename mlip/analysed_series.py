"""Which analysed runs are of one material and one sample, and what they say together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ase.formula import Formula

from analysis.results import Quantity, gather
from analysis.series.run_result import RunResult, read_run_result
from analysis.series.series_findings import series_findings
from analysis.writer import write_analysis
from mlip.errors import DataError, InputError
from mlip.files import fingerprint
from mlip.manifest import NAME, Manifest, read_manifest
from mlip.recipes.analyse import RunOrigin

# A chain of runs that each start from the end of another ends somewhere.
MAX_ANCESTORS = 100
DISORDERED = ("glass", "glass-ceramic", "liquid")
# Of a material whose manifests tell neither composition nor quench rate.
DETAILS = ("", "")


@dataclass(frozen=True)
class Origin:
    """What a run is a run of.

    Attributes
    ----------
    material, sample : str
        For people.
    material_key, sample_key : str
        Equal for equal materials and samples.
    details : tuple of str
        Composition and quench rate, to tell materials of one name apart.
    temperature_kelvin : float
    replica : int
        Seed of the velocities.
    member : int
        Of the committee, which `model_key` tells from others.
    model, model_key : str
    """

    material: str
    sample: str
    material_key: str
    sample_key: str
    temperature_kelvin: float
    details: tuple[str, ...] = ()
    replica: int = 0
    member: int = 0
    model: str = ""
    model_key: str = ""


@dataclass(frozen=True)
class Labelled:
    """Runs by name: those with an origin, and why others have none."""

    origins: Mapping[str, Origin]
    reasons: Mapping[str, str]

    def words(self, name: str) -> str:
        """Return in a few words what a run is of."""
        origin = self.origins.get(name)
        if origin is None:
            return f"left out of the series: {self.reasons[name]}"
        return (
            f"{origin.material or 'material'}, sample {origin.sample}, "
            f"{origin.temperature_kelvin:g} K, member {origin.member}"
        )


def label_runs(
    sources: Mapping[str, Path],
    temperatures_kelvin: Mapping[str, float | None],
    named: Mapping[str, RunOrigin],
) -> Labelled:
    """Find out what each run is a run of.

    Parameters
    ----------
    sources : mapping of str to Path
        Run directories and trajectory files by name.
    temperatures_kelvin : mapping of str to float or None
        Of their production.
    named : mapping of str to RunOrigin
        What the recipe says; it goes before the manifests.

    Raises
    ------
    InputError
        If the recipe names a run that is not there, or one run was given twice.
    """
    if unknown := sorted(set(named) - set(sources)):
        raise InputError(
            f"recipe key runs: no run is called {', '.join(unknown)}; the runs are "
            f"{', '.join(sources)}."
        )
    if len(sources) == 1:
        return Labelled({}, {})
    _require_different(sources)
    origins: dict[str, Origin] = {}
    reasons: dict[str, str] = {}
    for name, source in sources.items():
        given = named.get(name, RunOrigin())
        kelvin = given.temperature_kelvin or temperatures_kelvin[name]
        if kelvin is None:
            reasons[name] = (
                "its production names no temperature; give it in the recipe, "
                f"runs: {{{name}: {{temperature_kelvin: ...}}}}"
            )
            continue
        manifest = _manifest(source)
        found = None if manifest is None else _traced(source, manifest, kelvin)
        if given.sample is not None:
            found = found or Origin("", "", "", "", kelvin)
            found = replace(found, sample=given.sample, sample_key=f"named {given.sample}")
        if found is None:
            reasons[name] = (
                "no manifest says what sample it is of; give it in the recipe, "
                f"runs: {{{name}: {{sample: ...}}}}"
            )
            continue
        if given.material is not None:
            key = f"named {given.material}"
            found = replace(found, material=given.material, material_key=key)
        origins[name] = found
    return Labelled(origins, reasons)


def run_results(
    analyses: Mapping[str, Path], origins: Mapping[str, Origin]
) -> dict[str, list[RunResult]]:
    """Read the analyses of labelled runs, by the name of their material.

    Parameters
    ----------
    analyses : mapping of str to Path
        Analysis directory of every run.
    origins : mapping of str to Origin
    """
    materials = _distinct({o.material_key: o for o in origins.values()}, "material")
    samples = _distinct({o.sample_key: o for o in origins.values()}, "sample")
    models = _distinct({o.model_key: o for o in origins.values()}, "model")
    found: dict[str, list[RunResult]] = {}
    for name, origin in origins.items():
        driver = str(origin.member)
        if len(models) > 1:
            driver = f"{models[origin.model_key]} {driver}"
        found.setdefault(materials[origin.material_key], []).append(
            read_run_result(
                analyses[name],
                sample=samples[origin.sample_key],
                temperature_kelvin=origin.temperature_kelvin,
                replica=origin.replica,
                member=driver,
            )
        )
    return found


def write_series(out: Path, analyses: Mapping[str, Path], labelled: Labelled) -> list[Quantity]:
    """Write results.json, curves and figures of a series beside the folders of its runs."""
    materials = run_results(analyses, labelled.origins)
    findings = series_findings(materials)
    provenance: dict[str, Any] = {
        "series": {
            material: [
                {
                    "run": run.path.name,
                    "sample": run.sample,
                    "temperature_kelvin": run.temperature_kelvin,
                    "replica": run.replica,
                    "member": run.member,
                    "melt": run.is_melt,
                }
                for run in runs
            ]
            for material, runs in materials.items()
        },
        "left_out": dict(labelled.reasons),
    }
    findings["arrhenius"].statements += [
        f"{name} is not part of this: {reason}." for name, reason in labelled.reasons.items()
    ]
    write_analysis(out, findings, provenance=provenance)
    return gather(findings).quantities


def _traced(run: Path, manifest: Manifest, kelvin: float) -> Origin | None:
    """Return the origin of a run from its manifest and those of what it started from."""
    if manifest.kind != "run" or len(manifest.inputs) < 2:
        return None
    (model_path, model_key), *_, (start_path, start_key) = manifest.inputs.items()
    sample, sample_key, rate, build = _sample(run, manifest, start_path, start_key)
    named = manifest.recipe.get("material")
    material = named or (sample if rate is None else "glass")
    formula = _composition(str(manifest.summary.get("formula", "")))
    # Disordered samples of one recipe differ in the structures they were made from.
    kind = [material, formula, rate, None if material in DISORDERED else build]
    return Origin(
        material,
        sample,
        json.dumps(kind, sort_keys=True),
        sample_key,
        kelvin,
        (formula, "" if rate is None else f"{rate:g}K_per_ps"),
        manifest.seeds.get("velocities", 0),
        int(manifest.recipe.get("member") or 0),
        Path(model_path).name,
        model_key,
    )


def _composition(formula: str) -> str:
    """Return the reduced formula: boxes of another size are of the same material."""
    return str(Formula(formula).reduce()[0]) if formula else ""


def _sample(
    run: Path, manifest: Manifest, start_path: str, start_key: str
) -> tuple[str, str, float | None, Any]:
    """Return name and key of the sample, its quench rate, and the recipe it was built by.

    A quench makes a sample of its own; what starts from its end, however often heated or cooled
    without another quench, is of that sample. Without a quench it is the structure that was built.
    """
    key = fingerprint(run)
    for _ in range(MAX_ANCESTORS):
        if manifest.recipe.get("glass"):
            rate = manifest.summary.get("glass", {}).get("quench_rate_kelvin_per_ps", 0.0)
            return run.resolve().name, key, float(rate), None
        parent = (run / start_path).resolve()
        above = _manifest(parent)
        if above is None or fingerprint(parent) != start_key:
            # Moved away or made anew since: the hash that was recorded is all that is known.
            return Path(start_path).name.split(".extxyz")[0], start_key, None, start_key
        if above.kind != "run":
            recipe = {name: value for name, value in above.recipe.items() if name != "seed"}
            return parent.name, start_key, None, recipe
        run, manifest, key = parent, above, start_key
        *_, (start_path, start_key) = manifest.inputs.items()
    raise DataError(f"{run}: started from itself after {MAX_ANCESTORS} runs; a damaged manifest.")


def _manifest(directory: Path) -> Manifest | None:
    return read_manifest(directory) if (directory / NAME).is_file() else None


def _require_different(sources: Mapping[str, Path]) -> None:
    """Refuse one run given twice: it would count as a repeat and narrow the interval."""
    seen: dict[str, Path] = {}
    for source in sources.values():
        key = fingerprint(source) if _manifest(source) else str(source.resolve())
        if key in seen:
            raise InputError(
                f"{source} and {seen[key]} are the same run. Give each run once; a copy is no "
                "repeat."
            )
        seen[key] = source


def _distinct(origins: Mapping[str, Origin], field: str) -> dict[str, str]:
    """Return the names of materials, samples or models by key, told apart where they are equal."""
    names = {key: getattr(origin, field) or field for key, origin in origins.items()}
    if field == "material":
        for place in range(len(DETAILS)):
            for name in set(names.values()):
                keys = [key for key, each in names.items() if each == name]
                details = {key: (*origins[key].details, *DETAILS)[place] for key in keys}
                if len(set(details.values())) > 1:
                    names |= {key: f"{name}_{details[key]}" for key in keys}
    taken = list(names.values())
    counts: dict[str, int] = {}
    for key, name in names.items():
        counts[name] = counts.get(name, 0) + 1
        if taken.count(name) > 1:
            names[key] = f"{name}_{counts[name]}"
    return names
