"""`mlip md`: a protocol, a model and a structure to one run or a directory of runs."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ase import Atoms

from mlip.errors import DataError, GateError, MlipError
from mlip.execution.progress import tell
from mlip.execution.speed import remember_speed
from mlip.manifest import Manifest
from mlip.md.cavities import ACCEPT_CAVITY, require_no_cavity, stage_voids
from mlip.md.dynamics import THERMOSTAT_SEED
from mlip.md.guards import HALTED, smallest_distances
from mlip.md.layout import run_layout
from mlip.md.melt_gate import (
    ACCEPT_UNMELTED,
    LatticeMemory,
    frames_at_end,
    lattice_memory,
    require_no_lattice,
)
from mlip.md.plan import plan_md, speed_kind
from mlip.md.quench_gate import ACCEPT_UNTRUSTED, freezing_share, require_trusted_quench
from mlip.md.records import (
    StageRecord,
    mean_cell,
    stage_thermo,
    write_deviation,
    write_final_structure,
    write_thermo,
    write_trajectory_index,
)
from mlip.md.script import RELEASE_SEED, Cell, Start
from mlip.md.several import run_side_by_side, runs_of
from mlip.md.stage import StagePlan, Surroundings, records_so_far, run_stage
from mlip.md.start import (
    find_starts,
    gets_tilts,
    ids_by_origin,
    is_triclinic,
    read_structure,
    require_fitting,
    write_start,
)
from mlip.md.summary import Quenched, beyond_trust, glass_summary, stage_summary
from mlip.md.untrusted import UNTRUSTED, write_untrusted
from mlip.model_directory import (
    ModelDirectory,
    failed_levels,
    parity_status,
    read_model_directory,
)
from mlip.recipes.programme import Scheduled, quench_through
from mlip.recipes.protocol import Protocol
from mlip.recipes.protocol_checks import cautions
from mlip.recipes.stages import Minimise, held_origin
from mlip.workspace import Workspace, open_workspace

__all__ = ["md", "plan_md", "read_structure"]


def md(
    protocol: Protocol,
    out: Path,
    *,
    model: Path,
    structure: Path,
    accept_parity: bool = False,
    accept_untrusted: bool = False,
    accept_unmelted: bool = False,
    accept_cavity: bool = False,
    force: bool = False,
) -> Manifest:
    """Run a protocol: once for each temperature, ramp rate, replica and structure.

    Several runs go side by side (`mlip.md.several`).

    Parameters
    ----------
    protocol : Protocol
    out : Path
        Run directory, or, with several runs, a directory of them (``900K``, ``replica_1``, ...).
    model : Path
        Model directory; the member that the protocol names drives, the others watch.
    structure : Path
        Structure directory, extxyz file (.gz or not), finished run (it starts from the end of
        that, with velocities of its own), or a directory of these.
    accept_parity : bool
        Run although the model's parity is not proved; recorded in the manifest.
    accept_untrusted : bool
        Go on with a glass although the committee distrusted its quench; recorded too.
    accept_unmelted : bool
        Go on with a glass although its melt kept the lattice of the start; recorded too.
    accept_cavity : bool
        Go on with a glass although it froze around a hole; recorded too.
    force : bool
        Move another result in `out` aside.

    Raises
    ------
    DataError
        If the model or the structure is missing.
    TypeMapError
        If the structure has an element that the model does not know.
    GateError
        If parity is not proved, a melt has not melted, or a glass froze around a hole or beyond
        what the potential knows.
    InputError
        If a new run does not fit the free disk or memory.
    EngineError
        If LAMMPS failed.
    """
    # LAMMPS runs in directories of its own.
    out, model, structure = out.resolve(), model.resolve(), structure.resolve()
    potential = read_model_directory(model)
    committee(potential, protocol.member)
    starts = find_starts(structure)
    for path in starts.values():
        require_fitting(protocol, read_structure(path), potential, path)
    parity = parity_status(model, potential.fastest)
    accepted: list[str] = []
    if protocol.glass:
        accepted += [ACCEPT_UNTRUSTED] * accept_untrusted + [ACCEPT_UNMELTED] * accept_unmelted
        accepted += [ACCEPT_CAVITY] * accept_cavity
    if not parity.ok:
        if not accept_parity:
            raise GateError(
                f"{parity.reason} Or run all the same with --accept-parity "
                "(the manifest records it)."
            )
        accepted.append("accept-parity")
    if not out.exists():
        # What a resumed run has written is no longer free, nor still to be written.
        plan_md(protocol, out, model=model, structure=structure)
    for text in cautions(protocol.programme()):
        tell(f"Caution: {text}.")
    runs = runs_of(protocol, starts)
    if len(runs) == 1:
        (single, directory) = next(iter(runs.values()))
        return _run(single, out, model, directory, accepted, force)
    with open_workspace(
        out,
        kind="runs",
        recipe=protocol.expanded(),
        inputs=[model, *starts.values()],
        overrides=accepted,
        force=force,
        notice=tell,
    ) as work:
        if work.finished:
            return work.manifest
        run_side_by_side(
            runs,
            out,
            model=model,
            models=potential.fastest,
            atoms=max(len(read_structure(path)) for path in starts.values()),
            options=[f"--{name}" for name in accepted],
            token=work.token,
        )
        # Of finished ones this returns the manifest.
        manifests = {
            name: _run(single, out / name, model, directory, accepted, force=False)
            for name, (single, directory) in runs.items()
        }
        work.finish(
            [out / name / "manifest.json" for name in runs],
            {"runs": {name: manifest.summary for name, manifest in manifests.items()}},
        )
        return work.manifest


def committee(potential: ModelDirectory, member: int) -> tuple[Path, ...]:
    """Return the potentials of a committee, the driving one first.

    Raises
    ------
    DataError
        If there is no such member.
    """
    models = potential.fastest
    if member >= len(models):
        raise DataError(
            f"{potential.directory}: has {len(models)} members, counted from 0; the protocol "
            f"wants member {member} to drive. Give a smaller one."
        )
    return (models[member], *models[:member], *models[member + 1 :])


def _run(
    protocol: Protocol,
    out: Path,
    model: Path,
    structure: Path,
    accepted: list[str],
    force: bool,
) -> Manifest:
    with open_workspace(
        out,
        kind="run",
        recipe=protocol.expanded(),
        inputs=[model, structure],
        seeds=_seeds(protocol),
        overrides=accepted,
        force=force,
        notice=tell,
    ) as work:
        if not work.finished:
            _run_protocol(protocol, work, model, structure)
        return work.manifest


def _seeds(protocol: Protocol) -> dict[str, int]:
    found = {"velocities": protocol.seed}
    if any(part.is_ramp and part.stage.kind == "npt" for part in protocol.programme()):
        found["thermostat"] = THERMOSTAT_SEED + protocol.seed
    if any(held_origin(stage) for stage in protocol.stages):
        found["released"] = RELEASE_SEED + protocol.seed
    return found


def _run_protocol(protocol: Protocol, work: Workspace, model: Path, structure: Path) -> None:
    out = work.directory
    potential = read_model_directory(model)
    atoms = read_structure(structure)
    levels = failed_levels(model)
    write_start(out, atoms, potential.type_map)
    around = Surroundings(
        protocol=protocol,
        models=committee(potential, protocol.member),
        elements=potential.type_map,
        triclinic=is_triclinic(atoms) or gets_tilts(protocol),
        ids_by_origin=ids_by_origin(atoms),
        symbols=tuple(atoms.get_chemical_symbols()),
        smallest_angstrom=smallest_distances(potential.type_map, model),
        failed_levels=levels,
        resources=run_layout(
            out,
            potential.fastest,
            potential.type_map,
            atoms=len(atoms),
            atom_steps=float(protocol.programme()[-1].last_step * len(atoms)),
            compressed=bool(potential.compressed),
            token=work.token,
        ),
        token=work.token,
    )
    began = time.monotonic()
    fresh = not (out / "stages").exists()
    records, last, quenched = _run_stages(around, out, atoms, work.manifest.overrides)
    seconds = time.monotonic() - began
    step = protocol.programme()[-1].last_step
    if fresh and step:
        remember_speed(speed_kind(), step * len(atoms), seconds)
    outputs = _write_records(out, records, atoms, levels)
    summary: dict[str, Any] = {
        "formula": atoms.get_chemical_formula(),
        "atoms": len(atoms),
        "temperature_kelvin": protocol.temperatures_kelvin[0],
        "driving_member": protocol.member,
        "ranks": around.resources.ranks,
        "threads": around.resources.threads,
        "gpus": around.resources.gpus,
        **beyond_trust(records, levels),
    }
    voids = stage_voids(out, records)
    summary |= {
        record.name: stage_summary(record, levels) | voids.get(record.name, {})
        for record in records
    }
    if protocol.glass is not None:
        inherent = run_stage(_inherent(last, protocol.glass.minimise), around)
        summary["glass"] = glass_summary(
            protocol.programme(), protocol.glass, inherent, len(atoms), quenched
        )
    if fresh and records:
        summary["wall_seconds"] = round(seconds, 1)
        summary["katom_steps_per_second"] = round(step * len(atoms) / seconds / 1000, 2)
    work.finish(outputs, summary)


def _run_stages(
    around: Surroundings, out: Path, atoms: Atoms, accepted: Collection[str]
) -> tuple[list[StageRecord], StagePlan, Quenched]:
    """Run all stages.

    Returns the records of those with dynamics, the plan of the last, and how a glass was made.
    """
    glass, levels = around.protocol.glass, around.failed_levels
    programme = around.protocol.programme()
    quench = quench_through(programme, glass.glass_transition_kelvin) if glass else None
    quenched = Quenched()
    records: list[StageRecord] = []
    source = out / "structure.data"
    cell: Cell | None = None
    held: str | None = None
    volume = float(atoms.get_volume())

    def memory_of(done: Sequence[StageRecord], n: int) -> dict[str, LatticeMemory]:
        frames = frames_at_end(out, done, atoms)
        memory = lattice_memory(atoms, frames, _held_ids(around, n))
        require_no_lattice(memory, done[-1], accepted=ACCEPT_UNMELTED in accepted)
        return memory

    for n, part in enumerate(programme):
        stage = part.stage
        dynamic = not isinstance(stage, Minimise)
        plan = StagePlan(
            part=part,
            directory=out / "stages" / f"{n:02d}_{stage.name}",
            source=source,
            start=Start(
                draws_velocities=dynamic and not records,
                cell=cell if stage.kind == "nvt" and stage.cell == "mean" else None,
                released=held if held != held_origin(stage) else None,
            ),
            volume_angstrom3=volume,
        )
        try:
            if part is quench and records:
                quenched = replace(quenched, melt=memory_of(records, n))
            record = run_stage(plan, around)
            if glass and part is quench:
                so_far = [*records, record]
                quenched = replace(quenched, glass=memory_of(so_far, n + 1))
                require_no_cavity(out, so_far, atoms, accepted=ACCEPT_CAVITY in accepted)
                share = freezing_share(record, part, glass, levels)
                require_trusted_quench(
                    share, len(atoms), plan.directory, accepted=ACCEPT_UNTRUSTED in accepted
                )
                quenched = replace(quenched, share_beyond_trust=share)
        except MlipError:
            # What a run that broke down has seen stays readable.
            if seen := records_so_far(records, plan, around):
                _write_tables(out, seen, around.failed_levels)
            if (plan.directory / HALTED).is_file():
                write_final_structure(out / "halted.extxyz", plan.directory / HALTED, atoms)
            raise
        if dynamic:
            records.append(record)
            held = held_origin(stage)
            volume = float(stage_thermo(record).column("Volume")[-1])
        cell = mean_cell(record) if stage.kind == "npt" else None
        source = record.directory / "final.restart"
    return records, plan, quenched


def _held_ids(around: Surroundings, n: int) -> set[int]:
    """Return the atoms that a stage before the n-th has held."""
    origins = {held_origin(part.stage) for part in around.protocol.programme()[:n]}
    return {atom for name in origins if name for atom in around.ids_by_origin[name]}


def _inherent(last: StagePlan, stage: Minimise) -> StagePlan:
    """Return the minimisation that follows the last stage."""
    end = last.part
    part = Scheduled(
        stage,
        first_step=end.last_step,
        last_step=end.last_step,
        timestep_fs=end.timestep_fs,
        start_ps=end.start_ps + end.duration_ps,
        start_kelvin=end.end_kelvin,
        end_kelvin=end.end_kelvin,
    )
    directory = last.directory.parent / f"{int(last.directory.name[:2]) + 1:02d}_{stage.name}"
    source = last.directory / "final.restart"
    return replace(last, part=part, directory=directory, source=source, start=Start())


def _write_records(
    out: Path, records: list[StageRecord], atoms: Atoms, levels: Mapping[str, float]
) -> list[Path]:
    outputs = [out / "structure.extxyz", out / "structure.data"]
    if not records:
        return outputs
    files = _write_tables(out, records, levels)
    write_final_structure(out / "final.extxyz", records[-1].directory / "final.dump", atoms)
    return [*outputs, *files, out / "final.extxyz"]


def _write_tables(out: Path, records: list[StageRecord], levels: Mapping[str, float]) -> list[Path]:
    """Write what readers need of the frames so far, and those that ask for a label."""
    write_thermo(out / "thermo.csv", records)
    write_deviation(out / "deviation.csv", records)
    files = write_trajectory_index(out / "trajectory.json", records)
    found = [out / name for name in ("thermo.csv", "deviation.csv", "trajectory.json")] + files
    if levels and write_untrusted(out, levels):
        found.append(out / UNTRUSTED)
    return found
