"""The certificate: all checks of a set, its level, and one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlip.data import geometry_checks, label_checks, virial_checks
from mlip.data.check import Check, Verdict
from mlip.data.level import common_level
from mlip.data.split import SPLITS, Part, System, smallest_gap_ps
from mlip.data.thresholds import limit
from mlip.recipes.ingest import SplitSettings

SCHEMA = 1


@dataclass(frozen=True)
class Certificate:
    """What is known about a set.

    Attributes
    ----------
    verdict : {'pass', 'warn', 'fail'}
        The worst verdict of the checks; undecided ones do not count.
    checks : tuple of Check
    level : mapping
        First-principles settings that were recorded.
    notes : tuple of str
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    level: Mapping[str, str]
    notes: tuple[str, ...]


def certify(systems: list[System], parts: list[Part], settings: SplitSettings) -> Certificate:
    """Run every check.

    Parameters
    ----------
    systems : list of System
        All frames that were read and kept.
    parts : list of Part
        How they were shared out.
    settings : SplitSettings

    Returns
    -------
    Certificate

    Raises
    ------
    UnitError
        If forces or virials are in another unit than eV and Å.
    DataError
        If the sources are of different levels.
    """
    level, level_check = common_level(systems)
    slopes = {system.name: label_checks.work_slopes(system.frames) for system in systems}
    checks = (
        level_check,
        _convergence(systems),
        label_checks.energy_zero(systems),
        label_checks.energy_range(systems),
        label_checks.force_energy(systems, slopes),
        label_checks.net_force(systems),
        label_checks.largest_force(systems),
        virial_checks.present(systems),
        virial_checks.unit(systems),
        virial_checks.strain(systems, slopes),
        virial_checks.kinetic_part(systems),
        geometry_checks.smallest_distances(systems),
        geometry_checks.duplicates(parts),
        _sides(parts),
        _gap(parts, settings),
    )
    verdicts = {check.verdict for check in checks}
    verdict: Verdict = "fail" if "fail" in verdicts else "warn" if "warn" in verdicts else "pass"
    notes = tuple(f"{system.name}: {note}" for system in systems for note in system.frames.notes)
    return Certificate(verdict, checks, level, notes)


def certificate_json(certificate: Certificate) -> dict[str, Any]:
    """Return the content of ``certificate.json``."""
    return {
        "schema": SCHEMA,
        "verdict": certificate.verdict,
        "checks": [asdict(check) for check in certificate.checks],
        "dft_level": dict(certificate.level),
        "notes": list(certificate.notes),
    }


def certificate_markdown(certificate: Certificate, parts: list[Part]) -> str:
    """Return the readable certificate."""
    lines = [f"# Data certificate: {certificate.verdict}", "", "## Frames", ""]
    lines += ["| system | atoms | train | valid | test |", "|---|---|---|---|---|"]
    for system in {part.system.name: part.system for part in parts}.values():
        counts = {part.split: len(part.index) for part in parts if part.system.name == system.name}
        shares = " | ".join(str(counts.get(split, 0)) for split in SPLITS)
        lines.append(f"| {system.name} | {len(system.frames.symbols)} | {shares} |")
    lines += ["", "## Checks", "", "| check | verdict | value | limit | what it says |"]
    lines.append("|---|---|---|---|---|")
    for check in certificate.checks:
        value = "-" if check.number is None else f"{check.number:.4g} {_unit(check)}".strip()
        threshold = "-" if check.threshold is None else f"{check.threshold:.4g}"
        where = f" ({', '.join(check.frames[:3])})" if check.frames else ""
        text = (check.text + where).replace("|", r"\|").replace("\n", " ")
        lines.append(f"| {check.name} | {check.verdict} | {value} | {threshold} | {text} |")
    lines += ["", "## First-principles level", ""]
    lines += [f"- {key}: {value}" for key, value in sorted(certificate.level.items())]
    if not certificate.level:
        lines.append("Not recorded by any source.")
    if certificate.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in certificate.notes)]
    return "\n".join(lines) + "\n"


def _unit(check: Check) -> str:
    return "" if check.unit == "none" else check.unit


def _convergence(systems: list[System]) -> Check:
    name, unit = "electronic convergence", "frames dropped"
    unknown = [s.name for s in systems if s.frames.unconverged is None]
    dropped = sum(s.frames.unconverged or 0 for s in systems)
    seen = dropped + sum(len(s.frames) for s in systems if s.frames.unconverged is not None)
    if dropped:
        share = dropped / seen
        worst = share > limit("unconverged_fail")
        concerned = tuple(s.name for s in systems if s.frames.unconverged)
        return Check(
            name,
            float(dropped),
            unit,
            limit("unconverged_fail") * seen,
            "fail" if worst else "warn",
            concerned,
            f"{dropped} of {seen} frames did not converge and were left out",
        )
    if unknown:
        return Check(
            name,
            None,
            unit,
            None,
            "undecided",
            (),
            f"the format does not say for {', '.join(unknown[:8])}",
        )
    return Check(name, 0.0, unit, 0.0, "pass", (), "every frame converged")


def _sides(parts: list[Part]) -> Check:
    counts = {s: sum(len(p.index) for p in parts if p.split == s) for s in SPLITS}
    text = ", ".join(f"{split} {count}" for split, count in counts.items())
    number = float(counts["test"])
    if counts["train"] == 0 and counts["test"] == 0:
        text += ": only a validation set"
    elif counts["train"] and not counts["test"]:
        text += ": no frame tests the potential. Give one source `split: test`"
    else:
        return Check("split", number, "test frames", 1.0, "pass", (), text)
    return Check("split", number, "test frames", 1.0, "warn", (), text)


def _gap(parts: list[Part], settings: SplitSettings) -> Check:
    gap = smallest_gap_ps(parts)
    threshold = settings.purge_ps
    if gap is None:
        return Check(
            "gap between sides",
            None,
            "ps",
            threshold,
            "pass",
            (),
            "no trajectory is on two sides",
        )
    return Check(
        "gap between sides",
        gap,
        "ps",
        threshold,
        "pass" if gap >= threshold - 1e-6 else "fail",
        (),
        "smallest time between frames of one trajectory on different sides",
    )
