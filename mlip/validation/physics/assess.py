"""Static physics of a committee: crystals and paths against DFT and experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from mlip.engines.deepmd_statics import Kind, Statics
from mlip.errors import InputError
from mlip.files import read_json, replacing, sha256, write_json
from mlip.model_directory import ModelDirectory
from mlip.recipes.physics import PhysicsSettings
from mlip.validation.finding import Finding
from mlip.validation.physics.case import OwnFrames
from mlip.validation.physics.cases import BARRIER_SET, Cases, read_cases
from mlip.validation.physics.cell_check import cell_part
from mlip.validation.physics.elastic import strained_frames
from mlip.validation.physics.elastic_check import elastic_part
from mlip.validation.physics.equation_check import equation_part
from mlip.validation.physics.equation_of_state import volume_frames
from mlip.validation.physics.frames import frame_set
from mlip.validation.physics.members import Work, evaluate_members
from mlip.validation.physics.parts import Part, kept
from mlip.validation.physics.path_check import band_part, barrier_part, relative_part
from mlip.validation.physics.phonon_check import phonon_part
from mlip.validation.physics.phonons import displaced_frames
from mlip.validation.physics.thresholds import load_physics_thresholds

SCHEMA = 1
Results = list[dict[str, Statics]]


def assess_physics(
    settings: PhysicsSettings, source: Path, model: ModelDirectory, directory: Path, token: str
) -> list[Finding]:
    """Test the plain members of a committee on crystals and paths of ions.

    Every finding is of the mean over members; their spread is in its text. Where there are
    labelled frames both sides see exactly these; else the potential stands alone, against
    experiment or not assessed.

    Parameters
    ----------
    settings : PhysicsSettings
    source : Path
        The recipe file; its paths are relative to it.
    model : ModelDirectory
    directory : Path
        Gets ``results.json``, ``parts/<subject>/<quantity>/`` with curves, ``figures/*.png``,
        ``bands/*.extxyz`` (relaxed by the first member) and ``members/``.
        What is finished is kept in a further call with the same settings.
    token : str
        Lock token of the workspace.

    Returns
    -------
    list of Finding

    Raises
    ------
    InputError
        If the directory holds results of other settings, models or references; or a structure or
        reference is missing, damaged, or has an element that the model does not know.
    EngineError
        If an engine failed.
    """
    cases = read_cases(settings, source, model)
    _require_same_request(settings, source, cases, model, directory)
    first = [_given(settings, cases) for _ in model.members]
    given = evaluate_members(
        model.members, first, directory / "members", token, settings.relaxation
    )
    second = [_own(settings, cases, results) for results in given]
    own = evaluate_members(model.members, second, directory / "members", token, settings.relaxation)
    findings, numbers = _judge(settings, cases, given, own, second, directory)
    content = {"schema": SCHEMA, "findings": [asdict(entry) for entry in findings]}
    write_json(directory / "results.json", content | {"numbers": numbers})
    return findings


def _require_same_request(
    settings: PhysicsSettings, source: Path, cases: Cases, model: ModelDirectory, directory: Path
) -> None:
    request = {
        "settings": settings.expanded(),
        "files": cases.hashes(source.parent),
        "models": {path.name: sha256(path) for path in model.members},
    }
    path = directory / "request.json"
    if not path.is_file():
        write_json(path, request)
        return
    old = read_json(path)
    differing = [key for key, value in request.items() if old.get(key) != value]
    if differing:
        raise InputError(
            f"{directory}: holds physics of other {' and '.join(differing)}. Move it aside "
            "(`mlip validate --force` does), then type it again."
        )


def _sets(settings: PhysicsSettings) -> dict[str, bool]:
    """Return which sets of labelled frames are evaluated."""
    return {
        "relaxed": True,
        "eos": settings.equation_of_state,
        "elastic": settings.elastic_constants,
        "phonon": settings.phonons,
    }


def _given(settings: PhysicsSettings, cases: Cases) -> dict[str, Work]:
    """Return what needs no result of the potential: relaxations and labelled frames."""
    work: dict[str, Work] = {}
    for case in cases.crystals:
        start = frame_set([case.start], ["start"], case.name)
        work[f"{case.name}_cell"] = Work("cell", start)
        for kind, wanted in _sets(settings).items():
            labelled = case.labelled(kind)
            if wanted and labelled is not None:
                work[f"{case.name}_labelled_{kind}"] = Work("static", labelled.frames)
    for path in cases.barriers:
        if path.labelled is not None:
            work[f"{path.name}_labelled_{BARRIER_SET}"] = Work("static", path.labelled.frames)
        if path.band is not None:
            work[f"{path.name}_band"] = Work("band", path.band)
    return work


def _own(settings: PhysicsSettings, cases: Cases, given: Mapping[str, Statics]) -> dict[str, Work]:
    """Return what a member does around the crystals that it relaxed itself."""
    work: dict[str, Work] = {}
    for case in cases.crystals:
        relaxed = given[f"{case.name}_cell"]
        if not relaxed.converged[0]:
            continue
        atoms = Atoms(case.start.symbols, relaxed.coords[0], cell=relaxed.cells[0], pbc=True)
        made: list[tuple[str, Kind, list[tuple[str, Atoms]]]] = []
        if settings.equation_of_state:
            made.append(("eos", "ions", volume_frames(atoms, settings.volume_strains)))
        if settings.elastic_constants:
            made.append(("elastic", "ions", strained_frames(atoms, settings.elastic_strains)))
        if settings.phonons and case.labelled("phonon") is None:
            repeats = case.check.phonon_supercell
            displaced = displaced_frames(atoms, repeats, settings.displacement_angstrom)
            made.append(("phonon", "static", displaced))
        for name, kind, named in made:
            frames = frame_set([a for _, a in named], [point for point, _ in named], case.name)
            work[f"{case.name}_own_{name}"] = Work(kind, frames)
    return work


def _judge(
    settings: PhysicsSettings,
    cases: Cases,
    given: Results,
    own: Results,
    made: Sequence[Mapping[str, Work]],
    directory: Path,
) -> tuple[list[Finding], dict[str, Any]]:
    """Return findings and numbers by part, in the order of the report."""
    limits = load_physics_thresholds()
    figures = directory / "figures"
    findings: list[Finding] = []
    numbers: dict[str, Any] = {}

    def keep(name: str, make: Callable[[], Part]) -> None:
        found, numbers[name] = kept(directory / "parts" / name, make)
        findings.extend(found)

    relaxed = {case.name: _of(given, f"{case.name}_cell") for case in cases.crystals}
    for case in cases.crystals:
        name = case.name
        same = {kind: _of(given, f"{name}_labelled_{kind}") for kind in _sets(settings)}
        around = {kind: _around(made, own, f"{name}_own_{kind}") for kind in _sets(settings)}
        keep(f"{name}/cell", partial(cell_part, case, relaxed[name], limits))
        if settings.equation_of_state:
            figure = figures / f"{name}_energy_volume.png"
            make = partial(equation_part, case, same["eos"], around["eos"], limits, figure)
            keep(f"{name}/equation_of_state", make)
        if settings.elastic_constants:
            make = partial(elastic_part, case, same["elastic"], around["elastic"], limits)
            keep(f"{name}/elastic_constants", make)
        if settings.phonons:
            make = partial(phonon_part, case, same["phonon"], around["phonon"], limits, figures)
            keep(f"{name}/phonons", make)
    if settings.relative_energies:
        at_dft = {name: _of(given, f"{name}_labelled_relaxed") for name in relaxed}
        keep("relative_energies", partial(relative_part, cases.crystals, relaxed, at_dft, limits))
    for path in cases.barriers:
        figure = figures / f"{path.name}_path.png"
        if path.labelled is not None:
            members = _of(given, f"{path.name}_labelled_{BARRIER_SET}")
            make = partial(
                barrier_part, path.name, path.labelled, path.level, members, limits, figure
            )
        else:
            assert path.band is not None
            bands = _of(given, f"{path.name}_band")
            _write_band(directory / "bands" / f"{path.name}.extxyz", path.band.symbols, bands[0])
            make = partial(band_part, path.name, bands, path.band.symbols, figure)
        keep(f"{path.name}/barrier", make)
    return findings, numbers


def _write_band(path: Path, symbols: Sequence[str], band: Statics) -> None:
    """Write the images of the first member, to be labelled."""
    if not band.converged.all():
        return
    images = [
        Atoms(symbols, coords, cell=cell, pbc=True)
        for coords, cell in zip(band.coords, band.cells, strict=True)
    ]
    with replacing(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")


def _of(results: Results, key: str) -> list[Statics]:
    """Return what every member has of one name; none where nobody was asked."""
    return [found[key] for found in results if key in found]


def _around(made: Sequence[Mapping[str, Work]], own: Results, key: str) -> list[OwnFrames | None]:
    """Return each member's own frames; None where its crystal did not relax."""
    return [
        OwnFrames(work[key].frames, results[key]) if key in work else None
        for work, results in zip(made, own, strict=True)
    ]
