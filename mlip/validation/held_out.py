"""Errors on whole splits: every member, the committee mean, and the committee's spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from mlip.engines.deepmd import Predicted
from mlip.errors import GateError
from mlip.model_directory import ModelDirectory
from mlip.validation.calibration import AtomErrors
from mlip.validation.figures import Points, deviation_figure, parity_figure, thinned
from mlip.validation.frame_errors import FrameErrors, frame_errors, worst_frames
from mlip.validation.independence import Independence
from mlip.validation.metrics import Groups, groups_to_json, merge, system_errors
from mlip.validation.predictions import committee_mean, read_predicted
from mlip.validation.reference import FloatArray, ReferenceSystem

POINTS_PER_SYSTEM = 30_000
MILLI = 1000.0


@dataclass(frozen=True)
class SplitErrors:
    """All errors on one split.

    Attributes
    ----------
    committee : Groups
        Of the mean of the members, not compressed.
    by_model : dict of str to Groups
        Of every potential, by file stem.
    frames : tuple of FrameErrors
        One a system.
    energy, force, virial : tuple of Points
        For parity plots, of the frames of the headline; x reference, y committee mean;
        meV/atom, eV/Å, meV/atom. Energies are relative to the mean reference energy of the
        system.
    """

    committee: Groups
    by_model: dict[str, Groups]
    frames: tuple[FrameErrors, ...]
    energy: tuple[Points, ...]
    force: tuple[Points, ...]
    virial: tuple[Points, ...]


def split_errors(
    models: Sequence[Path],
    members: int,
    systems: Sequence[ReferenceSystem],
    independence: Independence,
    folder: Path,
) -> SplitErrors:
    """Compare the predictions in `folder` with the reference.

    Parameters
    ----------
    models : sequence of Path
        What was evaluated; the first `members` make the committee mean.
    members : int
    systems : sequence of ReferenceSystem
        In the order of `mlip.validation.predictions.predict`.
    independence : Independence
        Of these systems; says which frames the printed errors are of.
    folder : Path

    Raises
    ------
    GateError
        If a potential gives a number that is not finite: no average may leave it out.
    """
    committee: list[Groups] = []
    by_model: dict[str, list[Groups]] = {model.stem: [] for model in models}
    frames, energy, force, virial = [], [], [], []
    for number, (system, labels) in enumerate(zip(systems, independence.labels, strict=True)):
        found = [read_predicted(folder, model, number) for model in models]
        for model, predicted in zip(models, found, strict=True):
            _require_finite(model, system, predicted)
        mean = committee_mean(found[:members])
        committee.append(system_errors(system, mean, labels, independence.headline))
        for model, predicted in zip(models, found, strict=True):
            by_model[model.stem].append(
                system_errors(system, predicted, labels, independence.headline)
            )
        frames.append(frame_errors(system, mean, found[:members]))
        chosen = independence.counted(number)
        if not chosen.size:
            continue
        shown, shift = system.select(chosen), system.energies.mean()
        model_mean = Predicted(mean.energies[chosen], mean.forces[chosen], mean.virials[chosen])
        scale = MILLI / system.n_atoms
        reference, predicted_energy = shown.energies - shift, model_mean.energies - shift
        energy.append(_points(shown, reference * scale, predicted_energy * scale))
        force.append(_points(shown, shown.forces, model_mean.forces))
        if np.isfinite(shown.virials).any():
            virial.append(_points(shown, shown.virials * scale, model_mean.virials * scale))
    return SplitErrors(
        merge(committee),
        {name: merge(parts) for name, parts in by_model.items()},
        tuple(frames),
        tuple(energy),
        tuple(force),
        tuple(virial),
    )


def errors_to_json(
    errors: SplitErrors,
    systems: Sequence[ReferenceSystem],
    independence: Independence,
    *,
    frames_in_split: int,
) -> dict[str, Any]:
    """Return the errors of one split as they stand in ``metrics.json``.

    Keys
    ----
    frames_in_split
    independence
        `Independence.as_json`; all other groups but ``by_independence`` are of its headline.
    overall, by_system, by_phase, by_temperature, by_composition, by_independence
        See `mlip.validation.metrics.group_to_json`.
    force_by_species, force_by_species_and_phase
    worst_frames
        See `mlip.validation.frame_errors.worst_frames`.
    models
        The same groups for every potential file.
    """
    return {
        "frames_in_split": frames_in_split,
        "independence": independence.as_json(),
        **groups_to_json(errors.committee),
        "worst_frames": worst_frames(systems, errors.frames, independence),
        "models": {name: groups_to_json(groups) for name, groups in errors.by_model.items()},
    }


def atom_errors(
    errors: SplitErrors, systems: Sequence[ReferenceSystem], independence: Independence
) -> AtomErrors:
    """Return deviation and true error of all atoms of the headline's frames.

    The committee must have more than one member.
    """
    deviation, error, species, frame = [], [], [], []
    first = 0
    for number, (system, found) in enumerate(zip(systems, errors.frames, strict=True)):
        assert found.deviation is not None  # the caller counted the members
        chosen = independence.counted(number)
        deviation.append(found.deviation[chosen].ravel())
        error.append(found.force[chosen].ravel())
        species.append(np.tile(np.array(system.symbols), len(chosen)))
        frame.append(np.repeat(first + chosen, system.n_atoms))
        first += system.n_frames
    return AtomErrors(*(np.concatenate(part) for part in (deviation, error, species, frame)))


def spread_to_json(errors: SplitErrors, independence: Independence) -> dict[str, Any] | None:
    """Return how the committee's deviation compares with the true error; None for one member.

    Of the headline's frames.
    """
    largest_parts, mean_parts, error_parts = [], [], []
    for number, found in enumerate(errors.frames):
        if found.deviation is None:
            return None
        chosen = independence.counted(number)
        largest_parts.append(found.deviation[chosen].max(axis=1))
        mean_parts.append(found.deviation[chosen].mean(axis=1))
        error_parts.append(found.largest_force[chosen])
    largest, mean, error = (np.concatenate(p) for p in (largest_parts, mean_parts, error_parts))
    varied = len(error) > 2 and np.ptp(largest) > 0 and np.ptp(error) > 0
    rank = float(spearmanr(largest, error).statistic) if varied else None
    quantiles = {
        f"largest_deviation_p{p}_mev_per_angstrom": float(np.percentile(largest, p)) * MILLI
        for p in (50, 95, 100)
    }
    return {
        "frames": len(largest),
        **quantiles,
        "mean_deviation_mev_per_angstrom": float(mean.mean()) * MILLI,
        "largest_error_p50_mev_per_angstrom": float(np.percentile(error, 50)) * MILLI,
        "median_ratio_of_error_to_deviation": float(np.median(error / largest))
        if (largest > 0).all()
        else None,
        "rank_correlation": rank,
    }


def write_figures(
    folder: Path,
    errors: SplitErrors,
    systems: Sequence[ReferenceSystem],
    independence: Independence,
    metrics: dict[str, Any],
    model: ModelDirectory,
) -> list[Path]:
    """Draw the parity plots of a split and, for a committee, deviation against error."""
    overall = metrics["overall"]
    plots: list[tuple[str, Sequence[Points], str, str, str]] = [
        (
            "energy",
            errors.energy,
            "Energy less system mean",
            "meV/atom",
            "energy",
        ),
        ("force", errors.force, "Force component", "eV/Å", "force"),
        ("virial", errors.virial, "Virial component", "meV/atom", "virial"),
    ]
    written = []
    for name, points, quantity, unit, key in plots:
        if not points:
            continue
        error_unit = "meV/Å" if key == "force" else "meV/atom"
        suffix = "mev_per_angstrom" if key == "force" else "mev_per_atom"
        text = "\n".join(
            f"{label} {overall[f'{key}_{label.lower()}_{suffix}']:.3g} {error_unit}"
            for label in ("MAE", "RMSE")
        )
        path = folder / f"parity_{name}.png"
        parity_figure(path, points, quantity=quantity, unit=unit, text=text)
        written.append(path)
    spreads = _spread_points(errors, systems, independence)
    if spreads:
        path = folder / "deviation_against_error.png"
        deviation_figure(path, spreads, len(model.members))
        written.append(path)
    return written


def _require_finite(model: Path, system: ReferenceSystem, predicted: Predicted) -> None:
    values = (predicted.energies, predicted.forces, predicted.virials)
    finite = [np.isfinite(v.reshape(system.n_frames, -1)).all(axis=1) for v in values]
    bad = np.flatnonzero(~np.logical_and.reduce(finite))
    if bad.size:
        raise GateError(
            f"{model}: energy, force or virial is not a number on {bad.size} of "
            f"{system.n_frames} frames of {system.name}, first in row {system.rows[bad[0]]}; "
            "expected finite numbers. Do not run MD with this model; train it again."
        )


def _spread_points(
    errors: SplitErrors, systems: Sequence[ReferenceSystem], independence: Independence
) -> list[Points]:
    points = []
    for number, (system, found) in enumerate(zip(systems, errors.frames, strict=True)):
        deviation = found.largest_deviation
        chosen = independence.counted(number)
        if deviation is not None and chosen.size:
            points.append(
                Points(system.name, deviation[chosen] * MILLI, found.largest_force[chosen] * MILLI)
            )
    return points


def _points(system: ReferenceSystem, reference: FloatArray, model: FloatArray) -> Points:
    return Points(system.name, *thinned(reference, model, POINTS_PER_SYSTEM))
