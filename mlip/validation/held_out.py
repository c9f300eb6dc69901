"""Errors on whole splits: every member, the committee mean, and the committee's spread."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from mlip.engines.deepmd import Predicted
from mlip.files import write_text
from mlip.model_directory import ModelDirectory
from mlip.validation.figures import Points, deviation_figure, parity_figure, thinned
from mlip.validation.metrics import Groups, groups_to_json, merge, system_errors
from mlip.validation.predictions import (
    Spread,
    committee_mean,
    force_spread,
    read_predicted,
)
from mlip.validation.reference import FloatArray, ReferenceSystem

POINTS_PER_SYSTEM = 30_000
MILLI = 1000.0
FRAME_COLUMNS = (
    *("split", "system", "row", "phase", "temperature_kelvin"),
    "energy_error_mev_per_atom",
    "force_rmse_mev_per_angstrom",
    "largest_force_error_mev_per_angstrom",
    "largest_force_deviation_mev_per_angstrom",
    "mean_force_deviation_mev_per_angstrom",
)


@dataclass(frozen=True)
class FrameErrors:
    """Errors of the committee mean on the frames of one system, and its spread.

    Attributes
    ----------
    energy : ndarray, shape (F,)
        Model minus reference, per atom, eV.
    force_rmse, force_largest : ndarray, shape (F,)
        Of components, and largest length over atoms, eV/Å.
    spread : Spread or None
        None for a committee of one.
    """

    energy: FloatArray
    force_rmse: FloatArray
    force_largest: FloatArray
    spread: Spread | None


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
        For parity plots; x reference, y committee mean; meV/atom, eV/Å, meV/atom. Energies
        are relative to the mean reference energy of the system.
    """

    committee: Groups
    by_model: dict[str, Groups]
    frames: tuple[FrameErrors, ...]
    energy: tuple[Points, ...]
    force: tuple[Points, ...]
    virial: tuple[Points, ...]


def split_errors(
    models: Sequence[Path], members: int, systems: Sequence[ReferenceSystem], folder: Path
) -> SplitErrors:
    """Compare the predictions in `folder` with the reference.

    Parameters
    ----------
    models : sequence of Path
        What was evaluated; the first `members` make the committee mean.
    members : int
    systems : sequence of ReferenceSystem
        In the order of `mlip.validation.predictions.predict`.
    folder : Path
    """
    committee: list[Groups] = []
    by_model: dict[str, list[Groups]] = {model.stem: [] for model in models}
    frames, energy, force, virial = [], [], [], []
    for number, system in enumerate(systems):
        found = [read_predicted(folder, model, number) for model in models]
        mean = committee_mean(found[:members])
        committee.append(system_errors(system, mean))
        for model, predicted in zip(models, found, strict=True):
            by_model[model.stem].append(system_errors(system, predicted))
        frames.append(_frame_errors(system, mean, found[:members]))
        zero = system.energies.mean()
        scale = MILLI / system.n_atoms
        energy.append(
            _points(system, (system.energies - zero) * scale, (mean.energies - zero) * scale)
        )
        force.append(_points(system, system.forces, mean.forces))
        if np.isfinite(system.virials).any():
            virial.append(_points(system, system.virials * scale, mean.virials * scale))
    return SplitErrors(
        merge(committee),
        {name: merge(parts) for name, parts in by_model.items()},
        tuple(frames),
        tuple(energy),
        tuple(force),
        tuple(virial),
    )


def errors_to_json(errors: SplitErrors, *, frames_in_split: int) -> dict[str, Any]:
    """Return the errors of one split as they stand in ``metrics.json``."""
    return {
        "frames_in_split": frames_in_split,
        **groups_to_json(errors.committee),
        "models": {name: groups_to_json(groups) for name, groups in errors.by_model.items()},
    }


def spread_to_json(errors: SplitErrors) -> dict[str, Any] | None:
    """Return how the committee's deviation compares with the true error; None for one member."""
    spreads = [frames.spread for frames in errors.frames if frames.spread is not None]
    if not spreads:
        return None
    largest = np.concatenate([spread.largest for spread in spreads])
    mean = np.concatenate([spread.mean for spread in spreads])
    error = np.concatenate([frames.force_largest for frames in errors.frames])
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
    folder: Path, errors: SplitErrors, metrics: dict[str, Any], model: ModelDirectory
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
    spreads = [
        Points(points.system, frames.spread.largest * MILLI, frames.force_largest * MILLI)
        for points, frames in zip(errors.force, errors.frames, strict=True)
        if frames.spread is not None
    ]
    if spreads:
        path = folder / "deviation_against_error.png"
        deviation_figure(path, spreads, len(model.members))
        written.append(path)
    return written


def write_frame_errors(
    path: Path, split: str, systems: Sequence[ReferenceSystem], errors: SplitErrors
) -> None:
    """Write one line a frame: errors of the committee mean and its spread, meV per atom and Å."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FRAME_COLUMNS)
    for system, found in zip(systems, errors.frames, strict=True):
        columns = [found.energy, found.force_rmse, found.force_largest]
        if found.spread is not None:
            columns += [found.spread.largest, found.spread.mean]
        for k in range(system.n_frames):
            kelvin = system.temperatures[k]
            values = [f"{column[k] * MILLI:.6g}" for column in columns]
            values += [""] * (5 - len(columns))
            where = [split, system.name, int(system.rows[k]), system.phases[k]]
            writer.writerow([*where, f"{kelvin:g}" if np.isfinite(kelvin) else "", *values])
    write_text(path, buffer.getvalue())


def _frame_errors(
    system: ReferenceSystem, mean: Predicted, members: Sequence[Predicted]
) -> FrameErrors:
    force = mean.forces - system.forces
    return FrameErrors(
        energy=(mean.energies - system.energies) / system.n_atoms,
        force_rmse=np.sqrt(np.square(force).mean(axis=(1, 2))),
        force_largest=np.sqrt(np.square(force).sum(axis=2)).max(axis=1),
        spread=force_spread(members) if len(members) > 1 else None,
    )


def _points(system: ReferenceSystem, reference: FloatArray, model: FloatArray) -> Points:
    return Points(system.name, *thinned(reference, model, POINTS_PER_SYSTEM))
