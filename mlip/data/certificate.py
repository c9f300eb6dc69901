"""The certificate: all checks of a set, its level, and one verdict."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from mlip.data import (
    charge_checks,
    coverage,
    duplicates,
    geometry_checks,
    label_checks,
    numbers,
    tails,
    virial_checks,
)
from mlip.data.check import Certificate, Check, Verdict
from mlip.data.level import common_level
from mlip.data.neighbours import survey
from mlip.data.reference_energies import energy_zero, reference_energies
from mlip.data.split import SPLITS, Part, System, gaps_ps, trajectory
from mlip.data.thresholds import limit
from mlip.recipes.ingest import SplitSettings

SCHEMA = 1


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
    # Units before distances: labels in another unit are refused at once.
    labels = (
        numbers.finite(systems),
        numbers.stored_precision(systems),
        level_check,
        _convergence(systems),
        energy_zero(systems, fitted := reference_energies(systems)),
        charge_checks.formal_charges(systems),
        charge_checks.electron_parity(systems),
        label_checks.energy_range(systems),
        tails.energy_tails(systems),
        label_checks.force_energy(systems, slopes),
        label_checks.net_force(systems),
        label_checks.largest_force(systems),
        tails.force_tails(systems),
        virial_checks.present(systems),
        virial_checks.unit(systems),
        virial_checks.strain(systems, slopes),
        virial_checks.kinetic_part(systems),
    )
    surveys = {system.name: survey(system.frames) for system in systems}
    near = duplicates.nearness(parts, surveys)
    checks = (
        *labels,
        geometry_checks.smallest_distances(systems, surveys),
        geometry_checks.bonds(systems, surveys),
        geometry_checks.neighbour_excess(parts, surveys),
        duplicates.exact_copies(parts),
        duplicates.near_copies(near),
        duplicates.near_copies_across(near),
        duplicates.leakage(near),
        _sides(parts),
        _gap(parts, settings),
        coverage.conditions(parts),
    )
    verdicts = {check.verdict for check in checks}
    verdict: Verdict = "fail" if "fail" in verdicts else "warn" if "warn" in verdicts else "pass"
    train = [part for part in parts if part.split == "train"]
    return Certificate(
        verdict=verdict,
        checks=checks,
        level=level,
        coverage=coverage.coverage(parts),
        reference_energies=fitted,
        neighbours=geometry_checks.most_neighbours(train, surveys),
        smallest_distance_angstrom=geometry_checks.closest_of(train, surveys),
        notes=tuple(f"{s.name}: {note}" for s in systems for note in s.frames.notes),
    )


def certificate_json(certificate: Certificate) -> dict[str, Any]:
    """Return the content of ``certificate.json``.

    Keys: schema, verdict, checks, dft_level, coverage (rows of `Condition`),
    reference_energies (``energies_ev`` by element, null where the compositions leave it
    open), neighbours ({"6.0": {"Li": 31, ...}, ...}: cut-off in Å, element, most neighbours
    that any atom of a training frame has), smallest_distance_angstrom ({"all": 1.48,
    "Li-S": 1.69, ...}, training frames), notes.
    """
    fitted = certificate.reference_energies
    return {
        "schema": SCHEMA,
        "verdict": certificate.verdict,
        "checks": [asdict(check) for check in certificate.checks],
        "dft_level": dict(certificate.level),
        "coverage": [asdict(row) for row in certificate.coverage],
        "reference_energies": {
            "energies_ev": {
                element: None if np.isnan(energy) else float(energy)
                for element, energy in zip(fitted.elements, fitted.energies_ev, strict=True)
            },
            "independent_compositions": fitted.rank,
            "residuals_ev_per_atom": dict(
                zip(fitted.systems, fitted.residuals_ev_per_atom.tolist(), strict=True)
            ),
            "energy_zeros": dict(zip(fitted.systems, fitted.zeros, strict=True)),
        },
        "neighbours": {cutoff: dict(row) for cutoff, row in certificate.neighbours.items()},
        "smallest_distance_angstrom": dict(certificate.smallest_distance_angstrom),
        "notes": list(certificate.notes),
    }


def unconverged_frames(systems: list[System]) -> tuple[int, int]:
    """Return how many frames were dropped as unconverged, and of how many that were read.

    Whole trajectories are counted, each once however it is sliced; those that do not tell
    are left out.
    """
    counts = {}
    for system in systems:
        if system.frames.unconverged is not None:
            read = len(system.frames) if system.read is None else system.read
            counts[trajectory(system)] = (system.frames.unconverged, read)
    dropped = sum(lost for lost, _ in counts.values())
    return dropped, dropped + sum(read for _, read in counts.values())


def _convergence(systems: list[System]) -> Check:
    name, unit = "electronic convergence", "frames dropped"
    unknown = [s.name for s in systems if s.frames.unconverged is None]
    dropped, seen = unconverged_frames(systems)
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
            f"{dropped} of {seen} frames did not converge and were left out"
            + (f"; the format does not say for {', '.join(unknown[:8])}" if unknown else ""),
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
    name, unit, threshold = "gap between sides", "ps", settings.purge_ps
    gaps = gaps_ps(parts)
    timed = [gap for gap in gaps if gap is not None]
    if not gaps:
        text = "no trajectory is on two sides"
        return Check(name, None, unit, threshold, "pass", (), text)
    text = "smallest time between frames of one trajectory on different sides"
    if timed and min(timed) < threshold - 1e-6:
        return Check(name, min(timed), unit, threshold, "fail", (), text)
    if len(timed) < len(gaps):
        text = "a trajectory without time axis is on two sides. Give its `timestep_fs`"
        return Check(name, None, unit, threshold, "undecided", (), text)
    return Check(name, min(timed), unit, threshold, "pass", (), text)
