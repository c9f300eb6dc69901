"""Runs of the potential that have to end as they began."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from analysis.anions.units import LONE_ION, anion_rules, anion_units
from analysis.constants import FloatArray
from analysis.errors import AnalysisError
from analysis.pairs.closest import closest_distances
from analysis.reading.runs import open_run
from analysis.trajectory import Frame, Trajectory
from mlip.recipes.dynamics import StabilityRun
from mlip.recipes.protocol import Protocol
from mlip.validation.dynamics.runs import MINIMISE, Outcome, protocol_of, run
from mlip.validation.dynamics.thresholds import StabilityLimits
from mlip.validation.dynamics.training_range import WITHIN_ANGSTROM
from mlip.validation.finding import Finding, Verdict

STAGE = "hold"
FRAME_EVERY_FS = 10.0
# Frames in which distances are searched, evenly spaced; so that long runs take seconds.
MAXIMUM_FRAMES = 2000
# An anion counts as intact if it is there in most of the last frames, over at least half a
# picosecond: single frames show bonds that a vibration opens for a moment.
TAIL_PS, TAIL_SHARE = 0.5, 0.1


@dataclass(frozen=True)
class Thermo:
    """Temperature and volume over a run.

    Attributes
    ----------
    temperatures_kelvin, volumes_angstrom3 : (n,) float arrays
    """

    temperatures_kelvin: FloatArray
    volumes_angstrom3: FloatArray


def stability_protocol(entry: StabilityRun, temperature_kelvin: float, seed: int) -> Protocol:
    """Return the protocol: minimise, then hold at the temperature."""
    hold: dict[str, object] = {"name": STAGE, "duration_ps": entry.duration_ps}
    if entry.ensemble == "npt":
        hold |= {"kind": "npt", "pressure_gpa": entry.pressure_gpa, "barostat": entry.barostat}
    else:
        hold |= {"kind": "nvt", "cell": "keep"}
    return protocol_of(
        [MINIMISE, hold],
        temperature_kelvin=temperature_kelvin,
        timestep_fs=entry.timestep_fs,
        seed=seed,
        frame_every_steps=max(1, round(FRAME_EVERY_FS / entry.timestep_fs)),
    )


def assess_stability(
    entry: StabilityRun,
    temperature_kelvin: float,
    nearest: Mapping[str, float],
    structure: Path,
    model: Path,
    directory: Path,
    seed: int,
    limits: StabilityLimits,
) -> list[Finding]:
    """Run and judge what is left at the end.

    Parameters
    ----------
    entry : StabilityRun
    temperature_kelvin : float
    nearest : mapping of str to float
        Smallest distance by pair in the training frames, Å.
    structure : Path
        Structure directory.
    model : Path
        Model directory.
    directory : Path
        Where the run goes.
    seed : int
    limits : StabilityLimits
    """
    subject = f"{entry.name}, {temperature_kelvin:g} K, {entry.ensemble.upper()}"
    protocol = stability_protocol(entry, temperature_kelvin, seed)
    outcome = run(protocol, directory / "stability" / entry.name, model, structure)
    purpose = "production" if entry.ensemble == "nvt" else "equilibration"
    try:
        trajectory = open_run(outcome.directory, purpose=purpose, stage=STAGE)
    except AnalysisError as error:
        text = f"{outcome.said} {error}".strip()
        return [
            Finding(
                subject,
                "time without a break-down (ps)",
                0.0,
                None,
                "none",
                entry.duration_ps,
                "fail",
                text,
            )
        ]
    found = [survival(subject, outcome, trajectory, entry.duration_ps)]
    found += distance_findings(subject, trajectory, nearest, limits)
    if entry.intact_units:
        found.append(units_finding(subject, trajectory, limits))
    if outcome.ended:
        thermo = _thermo(outcome.directory / "thermo.csv")
        found.append(temperature_finding(subject, thermo, temperature_kelvin, limits))
        if entry.ensemble == "npt":
            found.append(volume_finding(subject, thermo, limits))
    return found


def survival(subject: str, outcome: Outcome, trajectory: Trajectory, duration_ps: float) -> Finding:
    """Judge whether the run came to its end."""
    reached = duration_ps if outcome.ended else trajectory.duration_ps
    text = "ended with all atoms" if outcome.ended else f"broke down: {outcome.said}"
    return Finding(
        subject,
        "time without a break-down (ps)",
        reached,
        None,
        "none",
        duration_ps,
        "pass" if outcome.ended else "fail",
        text,
    )


def distance_findings(
    subject: str, trajectory: Trajectory, nearest: Mapping[str, float], limits: StabilityLimits
) -> list[Finding]:
    """Compare the smallest distance of each pair with that of the training frames."""
    margin = limits.distance_margin.value
    smallest: dict[str, float] = {}
    looked = 0
    for frame in _finite_frames(trajectory):
        looked += 1
        distances = closest_distances(
            trajectory.species.tolist(),
            frame.positions,
            frame.cell,
            within_angstrom=WITHIN_ANGSTROM,
        )
        for pair, distance in distances.items():
            smallest[pair] = min(distance, smallest.get(pair, math.inf))
    kinds = sorted(set(trajectory.species.tolist()))
    pairs = [f"{a}-{b}" for n, a in enumerate(kinds) for b in kinds[n:]]
    found = []
    for pair in pairs:
        reference = nearest.get(pair, WITHIN_ANGSTROM)
        value = smallest.get(pair, WITHIN_ANGSTROM)
        limit = reference - margin
        verdict: Verdict = "pass" if value >= limit else "fail"
        seen = "" if pair in smallest else f", none within {WITHIN_ANGSTROM:g} Å"
        trained = "" if pair in nearest else f" (none within {WITHIN_ANGSTROM:g} Å)"
        found.append(
            Finding(
                subject,
                f"closest {pair} (Å)",
                value,
                reference,
                "DFT",
                limit,
                verdict,
                f"smallest in {looked} of {trajectory.n_frames} frames{seen}; in the training "
                f"frames {reference:.2f} Å{trained}, {margin:g} Å less is allowed",
            )
        )
    return found


def units_finding(subject: str, trajectory: Trajectory, limits: StabilityLimits) -> Finding:
    """Compare the kind of anion of each atom in most of the last frames with that of the start.

    Kinds are compared, so that two anions of one kind may have exchanged atoms.
    """
    quantity = "atoms in an anion of the kind that they started in (share)"
    limit = limits.intact_share.value
    species = trajectory.species.tolist()
    tail = min(max(TAIL_PS, TAIL_SHARE * trajectory.duration_ps), trajectory.duration_ps)
    spacing = _stride(trajectory) * trajectory.frame_interval_ps
    try:
        rules = anion_rules()
        frames = _finite_frames(trajectory)
        begin = next(frames)
        first = np.array(anion_units(species, begin.positions, begin.cell, rules).labels)
        # Only the end is kept: a long run of a large cell does not fit in memory.
        end = deque(chain([begin], frames), maxlen=1 + math.ceil(tail / spacing - 1e-9))
        last = [np.array(anion_units(species, f.positions, f.cell, rules).labels) for f in end]
    except AnalysisError as error:
        return Finding(subject, quantity, None, None, "none", limit, "not assessed", str(error))
    bound = first != LONE_ION
    if not bound.any():
        text = "the structure has no anions that the rules know"
        return Finding(subject, quantity, None, None, "none", limit, "not assessed", text)
    intact = np.mean([labels == first for labels in last], axis=0) > 0.5
    share = float(intact[bound].mean())
    kinds = ", ".join(sorted(set(first[bound].tolist())))
    lost = sorted(set(first[bound & ~intact].tolist()))
    text = f"anions at the start: {kinds}; judged over the last {tail:g} ps" + (
        f"; broken or joined: {', '.join(lost)}" if lost else ""
    )
    verdict: Verdict = "pass" if share >= limit else "fail"
    return Finding(subject, quantity, share, None, "none", limit, verdict, text)


def temperature_finding(
    subject: str, thermo: Thermo, target_kelvin: float, limits: StabilityLimits
) -> Finding:
    """Judge the mean temperature of the second half."""
    late = thermo.temperatures_kelvin[len(thermo.temperatures_kelvin) // 2 :]
    off = float(late.mean()) - target_kelvin
    limit = limits.temperature.value * target_kelvin
    verdict: Verdict = "pass" if abs(off) <= limit else "fail"
    return Finding(
        subject,
        "temperature off target (K)",
        off,
        None,
        "none",
        limit,
        verdict,
        f"mean of the second half, {late.mean():.0f} K; target {target_kelvin:g} K",
    )


def volume_finding(subject: str, thermo: Thermo, limits: StabilityLimits) -> Finding:
    """Judge the mean volume of the last quarter against the start."""
    volumes = thermo.volumes_angstrom3
    change = float(volumes[-max(1, len(volumes) // 4) :].mean() / volumes[0]) - 1.0
    limit = limits.volume_change.value
    verdict: Verdict = "pass" if abs(change) <= limit else "fail"
    return Finding(
        subject,
        "change of volume (%)",
        100.0 * change,
        None,
        "none",
        100.0 * limit,
        verdict,
        "mean of the last quarter against the start",
    )


def _finite_frames(trajectory: Trajectory) -> Iterator[Frame]:
    """Yield evenly spaced frames up to the first that holds no numbers."""
    for frame in trajectory.frames(_stride(trajectory)):
        if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell).all()):
            return
        yield frame


def _stride(trajectory: Trajectory) -> int:
    return -(-trajectory.n_frames // MAXIMUM_FRAMES)


def _thermo(path: Path) -> Thermo:
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["stage"] == STAGE]
    return Thermo(
        np.array([float(row["temperature_kelvin"]) for row in rows]),
        np.array([float(row["volume_angstrom3"]) for row in rows]),
    )
