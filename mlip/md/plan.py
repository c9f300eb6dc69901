"""What `mlip md` would do, with its cost, without doing it."""

from __future__ import annotations

from pathlib import Path

from mlip.engines.lammps_layout import known_layout
from mlip.execution.local import available_cores, visible_gpus
from mlip.execution.shares import Share
from mlip.md.forecast import StageCost, forecast_lines, forecast_run, require_fit, stage_words
from mlip.md.script import streams
from mlip.md.several import runs_of, share_machine, unfinished
from mlip.md.start import find_starts, read_structure, require_fitting
from mlip.model_directory import parity_status, read_model_directory
from mlip.recipes.programme import Scheduled
from mlip.recipes.protocol import Protocol
from mlip.recipes.protocol_checks import cautions
from mlip.recipes.stages import Minimise, held_origin


def plan_md(protocol: Protocol, out: Path, *, model: Path, structure: Path) -> list[str]:
    """Return what `md` would do, with its cost, without doing it."""
    potential = read_model_directory(model)
    parity = parity_status(model, potential.fastest)
    lines = [
        f"model      {model}: {len(potential.members)} members, "
        + ("parity proved" if parity.ok else f"no MD: {parity.reason}"),
    ]
    singles = protocol.singles()
    programmes = [single.programme() for single in singles]
    largest = 0
    starts = find_starts(structure)
    for path in starts.values():
        atoms = read_structure(path)
        require_fitting(protocol, atoms, potential, path)
        lines.append(f"structure  {path}: {atoms.get_chemical_formula()}, {len(atoms)} atoms")
        largest = max(largest, len(atoms))
    waiting = unfinished(list(runs_of(protocol, starts)), out)
    share = share_machine(waiting, out, potential.fastest, largest)
    kept = known_layout(potential.fastest, largest, share)
    expected = forecast_run(
        [
            _cost(single, part)
            for single, programme in zip(singles, programmes, strict=True)
            for part in programme
        ],
        atoms=largest,
        elements=len(potential.type_map),
        members=len(potential.members),
        out=out,
        runs=len(starts),
        at_once=share.at_once,
        measured=(kept.steps_per_second_at(largest), kept.memory_gib) if kept else None,
        speed_kind=speed_kind(share),
    )
    require_fit(expected, out)
    lines += [
        f"stage      {described(part)}: {stage_words(stage)}"
        for part, stage in zip(programmes[0], expected.stages, strict=False)
    ]
    lines += [f"caution    {text}" for text in cautions(programmes[0])]
    if protocol.material is None and any(stage.kind == "npt" for stage in protocol.stages):
        lines.append("caution    no material is named, so the barostats are not checked")
    if any(name for name in protocol.run_names()):
        lines.append("runs       " + ", ".join(protocol.run_names()))
    frames = sum(frames_of(singles[0], part) for part in programmes[0])
    lines += [
        "at         " + ", ".join(f"{value:g} K" for value in protocol.temperatures_kelvin),
        f"layout     {kept or 'found by the first run that is long enough'}",
        f"cost       {len(starts) * len(singles)} run(s), {share}",
        *forecast_lines(expected),
        f"write      {out}: {frames} frames a run",
    ]
    return lines


def _cost(protocol: Protocol, part: Scheduled) -> StageCost:
    dynamic = not isinstance(part.stage, Minimise)
    return StageCost(
        name=part.stage.name,
        steps=part.stage.maximum_steps if isinstance(part.stage, Minimise) else part.steps,
        stream_every_steps=tuple(stream.every_steps for stream in streams(protocol, part)),
        thermo_every_steps=protocol.thermo_every_steps,
        deviation_every_steps=protocol.deviation_every_steps if dynamic else 0,
        restart_every_steps=protocol.restart_every_steps if dynamic else 0,
    )


def described(part: Scheduled) -> str:
    """Return one line on a stage: name, kind, steps, time, temperature."""
    if isinstance(part.stage, Minimise):
        return f"{part.stage.name} (minimise): at most {part.stage.maximum_steps} iterations"
    hot = f"{part.start_kelvin:g} K"
    if part.is_ramp:
        rate = abs(part.rate_kelvin_per_ps)
        hot += f" to {part.end_kelvin:g} K, {rate:.4g} K/ps"
    held = held_origin(part.stage)
    return (
        f"{part.stage.name} ({part.stage.kind}): {part.steps} steps, {part.duration_ps:g} ps, {hot}"
        + (f", {held} held" if held else "")
    )


def frames_of(protocol: Protocol, part: Scheduled) -> int:
    """Return how many frames a stage writes, all of its trajectories together."""
    return sum(
        stream.last_step // stream.every_steps - (part.first_step - 1) // stream.every_steps
        for stream in streams(protocol, part)
    )


def speed_kind(share: Share | None = None) -> str:
    """Return the name that speeds of MD on this machine, or a share of it, are kept under."""
    cores = available_cores() if share is None else share.cores
    gpus = len(visible_gpus()) if share is None else share.gpus
    return f"md atom-steps, {gpus} gpus" if gpus else f"md atom-steps, {cores} cores"
