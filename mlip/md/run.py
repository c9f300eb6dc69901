"""`mlip md`: a protocol, a model and a structure to a run, or to one run a temperature."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read, write

from mlip.engines.lammps import layout
from mlip.errors import DataError, EngineError, GateError, TypeMapError
from mlip.execution.job import Resources
from mlip.execution.local import visible_gpus
from mlip.execution.progress import tell
from mlip.execution.speed import forecast, remember_speed
from mlip.files import replacing
from mlip.manifest import Manifest
from mlip.md.records import (
    StageRecord,
    mean_cell,
    write_deviation,
    write_final_structure,
    write_thermo,
    write_trajectory_index,
)
from mlip.md.script import Cell
from mlip.md.stage import StagePlan, Surroundings, run_stage, write_trajectory_so_far
from mlip.md.summary import beyond_trust, stage_summary
from mlip.model_directory import (
    ModelDirectory,
    highest_trusted_deviation,
    parity_status,
    read_model_directory,
)
from mlip.recipes.protocol import Protocol
from mlip.workspace import Workspace, open_workspace

DCD_BYTES_PER_ATOM = 12


def md(
    protocol: Protocol,
    out: Path,
    *,
    model: Path,
    structure: Path,
    accept_parity: bool = False,
    force: bool = False,
    overrides: list[str] | None = None,
) -> Manifest:
    """Run a protocol at each of its temperatures.

    Parameters
    ----------
    protocol : Protocol
    out : Path
        Run directory, or, with several temperatures, a directory of runs (``900K``, ...).
    model : Path
        Model directory; its first member drives, the others watch.
    structure : Path
        Structure directory.
    accept_parity : bool
        Run although the model's parity is not proved; recorded in the manifest.
    force : bool
        Move another result in `out` aside.
    overrides : list of str, optional
        Recorded.

    Raises
    ------
    DataError
        If the model or the structure is missing.
    TypeMapError
        If the structure has an element that the model does not know.
    GateError
        If parity is not proved.
    EngineError
        If LAMMPS failed.
    """
    # LAMMPS runs in directories of its own.
    out, model, structure = out.resolve(), model.resolve(), structure.resolve()
    potential = read_model_directory(model)
    atoms = read_structure(structure)
    _require_known_elements(atoms, potential, structure)
    parity = parity_status(model, potential.fastest)
    accepted = list(overrides or [])
    if not parity.ok:
        if not accept_parity:
            raise GateError(
                f"{parity.reason} Or run all the same with --accept-parity "
                "(the manifest records it)."
            )
        accepted.append("accept-parity")
    temperatures = protocol.temperatures_kelvin
    if len(temperatures) == 1:
        return _run(protocol, 0, out, model, structure, accepted, force)
    with open_workspace(
        out,
        kind="runs",
        recipe=protocol.expanded(),
        inputs=[model, structure],
        overrides=accepted,
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        runs = {f"{value:g}K": n for n, value in enumerate(temperatures)}
        manifests = {
            name: _run(protocol, n, out / name, model, structure, accepted, force=False)
            for name, n in runs.items()
        }
        work.finish(
            [out / name / "manifest.json" for name in runs],
            {"runs": {name: manifest.summary for name, manifest in manifests.items()}},
        )
        return work.manifest


def plan_md(protocol: Protocol, out: Path, *, model: Path, structure: Path) -> list[str]:
    """Return what `md` would do, with its cost, without doing it."""
    potential = read_model_directory(model)
    atoms = read_structure(structure)
    _require_known_elements(atoms, potential, structure)
    parity = parity_status(model, potential.fastest)
    lines = [
        f"model      {model}: {len(potential.members)} members, "
        + ("parity proved" if parity.ok else f"no MD: {parity.reason}"),
        f"structure  {structure}: {atoms.get_chemical_formula()}, {len(atoms)} atoms",
    ]
    total = 0
    for stage in protocol.stages:
        steps = protocol.stage_steps(stage)
        total += steps
        what = f"{steps} steps" if steps else "minimisation"
        lines.append(f"stage      {stage.name} ({stage.kind}): {what}")
    runs = len(protocol.temperatures_kelvin)
    frames = total // protocol.trajectory_every_steps
    size = runs * frames * len(atoms) * DCD_BYTES_PER_ATOM
    lines += [
        "at         " + ", ".join(f"{value:g} K" for value in protocol.temperatures_kelvin),
        f"cost       {runs * total} steps, {forecast(_speed_kind(), runs * total * len(atoms))}",
        f"write      {out}: {frames} frames a run, {size / 1e6:.1f} MB of trajectory",
    ]
    return lines


def read_structure(directory: Path) -> Atoms:
    """Read the structure of a structure directory.

    Raises
    ------
    DataError
        If there is none, or its cell is not in the standard form.
    """
    path = directory / "structure.extxyz"
    if not path.is_file():
        raise DataError(
            f"{directory}: no structure.extxyz here. Make one: mlip build NAME --out {directory}"
        )
    try:
        atoms = read(path, index=0, format="extxyz")
    except Exception as error:  # ASE raises many kinds on a damaged file
        raise DataError(f"{path}: not readable as extxyz ({error}).") from error
    upper = atoms.cell.array[np.triu_indices(3, k=1)]
    if np.abs(upper).max() > 1e-8 or not atoms.cell.rank == 3:
        raise DataError(
            f"{path}: the cell must be periodic with a along x and b in the xy plane; "
            "mlip build turns it so."
        )
    return atoms


def _run(
    protocol: Protocol,
    number: int,
    out: Path,
    model: Path,
    structure: Path,
    accepted: list[str],
    force: bool,
) -> Manifest:
    temperature = protocol.temperatures_kelvin[number]
    single = protocol.model_copy(update={"temperatures_kelvin": (temperature,)})
    seed = protocol.seed + number
    with open_workspace(
        out,
        kind="run",
        recipe=single.expanded(),
        inputs=[model, structure],
        seeds={"velocities": seed},
        overrides=accepted,
        force=force,
        notice=tell,
    ) as work:
        if not work.finished:
            _run_stages(single, seed, work, model, structure)
        return work.manifest


def _run_stages(
    protocol: Protocol, seed: int, work: Workspace, model: Path, structure: Path
) -> None:
    out = work.directory
    potential = read_model_directory(model)
    atoms = read_structure(structure)
    temperature = protocol.temperatures_kelvin[0]
    _write_start(out, atoms, potential.type_map)
    triclinic = _is_triclinic(atoms) or any(
        stage.kind == "npt" and stage.barostat == "tri" for stage in protocol.stages
    )
    around = Surroundings(
        protocol=protocol,
        models=potential.fastest,
        elements=potential.type_map,
        temperature_kelvin=temperature,
        triclinic=triclinic,
        resources=_fitting(layout(bool(potential.compressed)), len(atoms)),
        token=work.token,
    )
    records: list[StageRecord] = []
    source, step, moving = out / "structure.data", 0, False
    cell: Cell | None = None
    began = time.monotonic()
    fresh = not (out / "stages").exists()
    for n, stage in enumerate(protocol.stages):
        dynamic = stage.kind != "minimise"
        plan = StagePlan(
            stage=stage,
            directory=out / "stages" / f"{n:02d}_{stage.name}",
            first_step=step,
            source=source,
            velocity_seed=seed if dynamic and not moving else None,
            cell=cell if stage.kind == "nvt" and stage.cell == "mean" else None,
        )
        try:
            record = run_stage(plan, around)
        except EngineError:
            # What a run that broke down has seen stays readable.
            write_trajectory_so_far(out / "trajectory.json", records, plan, around)
            raise
        if dynamic:
            records.append(record)
        cell = mean_cell(record) if stage.kind == "npt" else None
        moving = moving or dynamic
        source, step = record.directory / "final.restart", record.last_step
    seconds = time.monotonic() - began
    if fresh and step:
        remember_speed(_speed_kind(), step * len(atoms), seconds)
    outputs = _write_records(out, protocol, records, atoms)
    summary: dict[str, Any] = {
        "formula": atoms.get_chemical_formula(),
        "atoms": len(atoms),
        "temperature_kelvin": temperature,
        "ranks": around.resources.ranks,
        "gpus": around.resources.gpus,
        **beyond_trust(records, highest_trusted_deviation(model)),
    }
    summary |= {record.name: stage_summary(record, protocol.timestep_fs) for record in records}
    if fresh and records:
        summary["wall_seconds"] = round(seconds, 1)
        summary["katom_steps_per_second"] = round(step * len(atoms) / seconds / 1000, 2)
    work.finish(outputs, summary)


def _write_start(out: Path, atoms: Atoms, elements: tuple[str, ...]) -> None:
    """Keep the start structure, and give LAMMPS its types in the model's order."""
    with replacing(out / "structure.extxyz") as temporary:
        write(temporary, atoms, format="extxyz")
    with replacing(out / "structure.data") as temporary:
        write(
            temporary,
            atoms,
            format="lammps-data",
            specorder=list(elements),
            masses=True,
            units="metal",
            atom_style="atomic",
            force_skew=_is_triclinic(atoms),
        )


def _write_records(
    out: Path, protocol: Protocol, records: list[StageRecord], atoms: Atoms
) -> list[Path]:
    outputs = [out / "structure.extxyz", out / "structure.data"]
    if not records:
        return outputs
    timestep = protocol.timestep_fs
    write_thermo(out / "thermo.csv", records, timestep)
    write_deviation(out / "deviation.csv", records, timestep)
    files = write_trajectory_index(
        out / "trajectory.json",
        records,
        every_steps=protocol.trajectory_every_steps,
        timestep_fs=timestep,
        temperature_kelvin=protocol.temperatures_kelvin[0],
    )
    write_final_structure(out / "final.extxyz", records[-1].directory / "final.dump", atoms)
    names = ("thermo.csv", "deviation.csv", "trajectory.json", "final.extxyz")
    return outputs + [out / name for name in names] + files


def _require_known_elements(atoms: Atoms, potential: ModelDirectory, structure: Path) -> None:
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(potential.type_map))
    if unknown:
        raise TypeMapError(
            f"{structure}: has {', '.join(unknown)}, but {potential.directory} knows only "
            f"{', '.join(potential.type_map)}. Use a model trained on these elements."
        )


def _fitting(resources: Resources, atoms: int) -> Resources:
    """Use no more ranks than can be given a share of a small box."""
    if resources.gpus:
        return resources
    return Resources(ranks=max(1, min(resources.ranks, atoms // 16)), threads=resources.threads)


def _is_triclinic(atoms: Atoms) -> bool:
    return bool(np.abs(atoms.cell.array[np.tril_indices(3, k=-1)]).max() > 1e-10)


def _speed_kind() -> str:
    return "md atom-steps, gpu" if visible_gpus() else "md atom-steps, cpu"
