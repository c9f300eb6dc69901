"""Guards: what must not happen in a run, how it is noticed, and the one thing to do then.

Two kinds of rows in one table. Conditions are watched by LAMMPS itself while a stage runs
(``fix halt``): the run stops softly, its last frame is kept in ``halted.dump``, and the script
ends with exit code 4. Failures are found in the log afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

from mlip.engines.lammps_failures import FAILURES, Failure, failure_in
from mlip.errors import BlowUpError, DataError, EngineError, InputError, MlipError
from mlip.files import read_json
from mlip.recipes.base import read_yaml

HALTED = "halted.dump"
PREFIX = "guard_"
METRICS_FILE = "validation/metrics.json"


def _watched(
    name: str, error: type[MlipError], found: str, correction: str, id_pattern: str | None = None
) -> Failure:
    pattern = (
        rf"Fix halt condition for fix-id {PREFIX}{id_pattern or name} "
        r"met on step (\d+) with value (\S+)"
    )
    return Failure(name, pattern, error, found, correction)


LOOK = "The last frame is in halted.dump of the stage; "
WATCHED: tuple[Failure, ...] = (
    _watched(
        "finite",
        BlowUpError,
        "At step {0} temperature, energy or volume was no finite number.",
        LOOK + "shorten timestep_fs, or train on structures of this kind.",
    ),
    _watched(
        "temperature",
        BlowUpError,
        "At step {0} the temperature was {1} K, far above its target: the forces do work that "
        "no thermostat removes.",
        LOOK + "look at deviation.csv and label such structures, or shorten timestep_fs.",
    ),
    _watched(
        "volume_high",
        BlowUpError,
        "At step {0} the volume was {1} Å³: the sample boils, cavitates or flies apart.",
        LOOK + "raise the pressure, lower the temperature, or train on expanded structures.",
    ),
    _watched(
        "volume_low",
        BlowUpError,
        "At step {0} the volume was {1} Å³: the sample collapses.",
        LOOK + "lower the pressure, start at a higher density, or train on compressed structures.",
    ),
    _watched(
        "distance",
        BlowUpError,
        "At step {1} a {0} pair was closer than any bond can be (neighbours too close of one "
        "atom: {2}).",
        LOOK + "push the start structure off or minimise it; else label it and train on it.",
        id_pattern=r"distance_([A-Z][a-z]?_[A-Z][a-z]?)",
    ),
    _watched(
        "disk_free",
        InputError,
        "At step {0} only {1} MB were free on the disk; the run stopped while it can resume.",
        "Free some space, then type it again.",
    ),
)
GUARDS: tuple[Failure, ...] = WATCHED + FAILURES


@dataclass(frozen=True)
class Explanation:
    """Why a stage failed.

    Attributes
    ----------
    guard : str
        Name of the row in `GUARDS`; empty if no row fits.
    found, correction : str
        What was seen, with step and value where they are known; what to do next.
    error : type
        Class to raise.
    """

    guard: str
    found: str
    correction: str
    error: type[MlipError]

    def __str__(self) -> str:
        """Return what was found and what to do as one text."""
        return f"{self.found} {self.correction}".strip()


@dataclass(frozen=True)
class Limit:
    """A number of ``guards.yml`` with its unit and reason."""

    value: float
    unit: str
    reason: str


def limits() -> dict[str, Limit]:
    """Return the limits of all guards by name."""
    content = read_yaml(Path(__file__).with_name("guards.yml"))
    return {name: Limit(**entry) for name, entry in content.items()}


def guard_lines(
    elements: Sequence[str],
    smallest_angstrom: Mapping[tuple[str, str], float],
    *,
    atoms: int,
    highest_target_kelvin: float,
    start_volume_angstrom3: float | None,
    mobile: str = "all",
) -> list[str]:
    """Return the script lines that watch a stage; they come before its ``run``.

    Parameters
    ----------
    elements : sequence of str
        Element of each LAMMPS atom type, in order.
    smallest_angstrom : mapping of (str, str) to float
        As `smallest_distances` returns it.
    atoms : int
        Number of moving atoms.
    highest_target_kelvin : float
        Highest temperature that the stage aims at.
    start_volume_angstrom3 : float or None
        Volume at the start of the stage (not of the attempt); None where the volume is fixed
        or changed on purpose.
    mobile : str
        Group whose temperature counts.
    """
    found = limits()
    every = int(found["check_every_steps"].value)
    hottest = temperature_limit(highest_target_kelvin, atoms)
    lines = [
        # Thermo keywords would take the temperature of held atoms too.
        f"compute {PREFIX}temperature {mobile} temp",
        f"variable {PREFIX}temperature equal c_{PREFIX}temperature",
        # A comparison with nan is false, so that this is 0 for nan and for infinity.
        f"variable {PREFIX}finite equal "
        f'"(c_{PREFIX}temperature < 1e30) && (abs(pe) < 1e30) && (vol < 1e30)"',
        _halt("finite", every, f"v_{PREFIX}finite == 0"),
        _halt("temperature", every, f"v_{PREFIX}temperature > {hottest:.6g}"),
    ]
    if start_volume_angstrom3 is not None:
        high = found["volume_highest_factor"].value * start_volume_angstrom3
        low = found["volume_lowest_factor"].value * start_volume_angstrom3
        lines += [
            f"variable {PREFIX}volume equal vol",
            _halt("volume_high", every, f"v_{PREFIX}volume > {high:.6g}"),
            _halt("volume_low", every, f"v_{PREFIX}volume < {low:.6g}"),
        ]
    lines += _distance_lines(elements, smallest_angstrom, every)
    megabytes = found["free_disk_megabytes"].value
    disk_every = int(found["check_disk_every_steps"].value)
    lines.append(_halt("disk_free", disk_every, f"diskfree < {megabytes:g}", "path ."))
    return lines


def halted_lines(last_step: int) -> list[str]:
    """Return the script lines that come after ``run``: a stage stopped by a guard ends here."""
    columns = "id type xu yu zu vx vy vz modify sort id format float %.10g"
    return [f'if "$(step) < {last_step}" then "write_dump all custom {HALTED} {columns}" "quit 4"']


def temperature_limit(target_kelvin: float, atoms: int) -> float:
    """Return the temperature in K that a stage of this target may not pass.

    The canonical standard deviation of the temperature of N atoms is T sqrt(2 / 3N)
    (Frenkel and Smit, Understanding Molecular Simulation, section 6.1).
    """
    found = limits()
    spread = math.sqrt(2.0 / (3.0 * max(atoms, 1)))
    factor = found["temperature_factor"].value
    factor += found["temperature_standard_deviations"].value * spread
    return factor * target_kelvin + found["temperature_margin_kelvin"].value


def smallest_distances(
    elements: Sequence[str], model: Path | None = None
) -> dict[tuple[str, str], float]:
    """Return the distance in Å that each pair of elements may not come below.

    It is a share of the sum of covalent radii; shorter where the model's training held
    shorter contacts. Longer contacts in training do not lengthen it: a bond that training
    never saw is new chemistry, which the committee judges, not a broken run.

    Parameters
    ----------
    elements : sequence of str
    model : Path, optional
        Model directory; its ``validation/metrics.json`` may hold the training range.

    Raises
    ------
    DataError
        If an element is unknown or the record is not readable.
    """
    from ase.data import atomic_numbers, covalent_radii

    unknown = [name for name in elements if name not in atomic_numbers]
    if unknown:
        raise DataError(f"no chemical element: {', '.join(unknown)}. Correct type_map.json.")
    found = limits()
    trained = {} if model is None else _trained_distances(model)
    smallest = {}
    for pair in combinations_with_replacement(elements, 2):
        radii = sum(float(covalent_radii[atomic_numbers[name]]) for name in pair)
        limit = found["covalent_factor"].value * radii
        if (seen := trained.get("-".join(sorted(pair)))) is not None:
            limit = min(limit, found["training_factor"].value * seen)
        smallest[pair] = limit
    return smallest


def explain_failure(text: str) -> Explanation:
    """Return which guard ended a stage, what it found and what to do.

    Parameters
    ----------
    text : str
        Ends of log and screen output, and the message of the failed job (it names the signal
        or exit code).
    """
    met = failure_in(text, GUARDS)
    if met is None:
        return Explanation("", "LAMMPS ended without a word.", "Try: mlip doctor", EngineError)
    row, found = met
    if row.name == "distance":
        found = found.replace("_", "-")
    return Explanation(row.name, found, row.correction, row.error)


def _halt(name: str, every: int, condition: str, extra: str = "") -> str:
    line = f"fix {PREFIX}{name} all halt {every} {condition} error soft message yes {extra}"
    return line.strip()


def _distance_lines(
    elements: Sequence[str], smallest: Mapping[tuple[str, str], float], every: int
) -> list[str]:
    """Count, for each pair of elements, the neighbours closer than allowed."""
    lines = [f"group {PREFIX}{name} type {n + 1}" for n, name in enumerate(elements)]
    for (first, second), distance in smallest.items():
        name = f"{PREFIX}distance_{first}_{second}"
        kind = list(elements).index(second) + 1
        lines += [
            f"compute {name} {PREFIX}{first} coord/atom cutoff {distance:.4f} {kind}",
            f"compute {name}_most {PREFIX}{first} reduce max c_{name}",
            f"variable {name} equal c_{name}_most",
            _halt(name.removeprefix(PREFIX), every, f"v_{name} > 0"),
        ]
    return lines


def _trained_distances(model: Path) -> dict[str, float]:
    """Return the smallest training distance by pair ("Li-P"); empty without a record."""
    path = model / METRICS_FILE
    if not path.is_file():
        return {}
    try:
        found = (read_json(path).get("training") or {}).get("range") or {}
        distances = found.get("smallest_distance_angstrom", {})
        return {str(pair): float(value) for pair, value in distances.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: no record of the training range ({error!r}). Run `mlip validate {model} "
            "--data SET --force`."
        ) from error
