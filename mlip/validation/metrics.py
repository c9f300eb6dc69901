"""Errors of a potential: sums that add up over systems, and what they mean per group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip.engines.deepmd import Predicted
from mlip.validation.reference import FloatArray, ReferenceSystem

TEMPERATURE_BAND_KELVIN = 200.0
_MILLI = 1000.0


@dataclass(frozen=True)
class Tally:
    """Sums over the values of one kind of error; they add up over groups.

    Attributes
    ----------
    count : int
    total, absolute, square : float
        Sum of values, of magnitudes and of squares.
    largest : float
        Largest magnitude.
    """

    count: int = 0
    total: float = 0.0
    absolute: float = 0.0
    square: float = 0.0
    largest: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.count + other.count,
            self.total + other.total,
            self.absolute + other.absolute,
            self.square + other.square,
            max(self.largest, other.largest),
        )

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        return self.total / self.count if self.count else math.nan

    @property
    def mae(self) -> float:
        """Mean magnitude; NaN without values."""
        return self.absolute / self.count if self.count else math.nan

    @property
    def rmse(self) -> float:
        """Root of the mean square; NaN without values."""
        return math.sqrt(self.square / self.count) if self.count else math.nan


def tally(values: FloatArray) -> Tally:
    """Return the sums over all finite elements of an array."""
    flat = values[np.isfinite(values)]
    if not flat.size:
        return Tally()
    magnitude = np.abs(flat)
    return Tally(
        flat.size,
        float(flat.sum()),
        float(magnitude.sum()),
        float(np.square(flat).sum()),
        float(magnitude.max()),
    )


@dataclass(frozen=True)
class GroupErrors:
    """Errors of a group of frames.

    Attributes
    ----------
    frames : int
    energy : Tally
        Of (model - reference) / N, in eV/atom, as it is.
    energy_after_shift : Tally
        The same after the mean over the frames of each system is taken off: what matters
        for dynamics at fixed composition. A system of one frame, which would have no error
        left, does not count.
    force, force_reference : Tally
        Of error and reference by component, in eV/Å.
    virial, virial_reference : Tally
        Of error and reference by component over N, in eV/atom; frames without a reference
        virial do not count.
    virial_frames : int
        Frames with a reference virial.
    force_by_species : mapping of str to (Tally, Tally)
        Error and reference forces on each element.
    """

    frames: int
    energy: Tally
    energy_after_shift: Tally
    force: Tally
    force_reference: Tally
    virial: Tally
    virial_reference: Tally
    virial_frames: int
    force_by_species: Mapping[str, tuple[Tally, Tally]]

    def __add__(self, other: GroupErrors) -> GroupErrors:
        species = {**self.force_by_species}
        for name, (error, reference) in other.force_by_species.items():
            before = species.get(name, (Tally(), Tally()))
            species[name] = (before[0] + error, before[1] + reference)
        return GroupErrors(
            self.frames + other.frames,
            self.energy + other.energy,
            self.energy_after_shift + other.energy_after_shift,
            self.force + other.force,
            self.force_reference + other.force_reference,
            self.virial + other.virial,
            self.virial_reference + other.virial_reference,
            self.virial_frames + other.virial_frames,
            species,
        )


Groups = dict[tuple[str, str], GroupErrors]
KINDS = ("by_system", "by_phase", "by_temperature", "by_composition", "by_independence")


def system_errors(
    system: ReferenceSystem, predicted: Predicted, independence: Sequence[str], headline: str
) -> Groups:
    """Return the errors of one system, overall and by every kind of group.

    Parameters
    ----------
    system : ReferenceSystem
        All frames of the system in the split; the mean energy shift is taken over them.
    predicted : Predicted
        For the same frames.
    independence : sequence of str, length F
        What each frame is to the training; see `mlip.validation.independence`.
    headline : str
        All groups but those by independence hold the frames with this label only.

    Returns
    -------
    dict of (kind, label) to GroupErrors
        Kinds: overall and those of `KINDS`. A group without frames is left out.
    """
    energy = (predicted.energies - system.energies) / system.n_atoms
    shifted = energy - (energy.mean() if system.n_frames > 1 else math.nan)
    force = predicted.forces - system.forces
    virial = (predicted.virials - system.virials) / system.n_atoms
    reference = system.virials / system.n_atoms
    symbols = np.array(system.symbols)
    counted = np.array([label == headline for label in independence])
    groups: Groups = {}
    for key, mask in _masks(system, counted, independence).items():
        groups[key] = GroupErrors(
            frames=int(mask.sum()),
            energy=tally(energy[mask]),
            energy_after_shift=tally(shifted[mask]),
            force=tally(force[mask]),
            force_reference=tally(system.forces[mask]),
            virial=tally(virial[mask]),
            virial_reference=tally(reference[mask]),
            virial_frames=int(np.isfinite(reference[mask]).all(axis=(1, 2)).sum()),
            force_by_species={
                name: (
                    tally(force[mask][:, symbols == name]),
                    tally(system.forces[mask][:, symbols == name]),
                )
                for name in dict.fromkeys(system.symbols)
            },
        )
    return groups


def _masks(
    system: ReferenceSystem, counted: NDArray[np.bool_], independence: Sequence[str]
) -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Return which frames belong to each group of a system."""
    every = np.ones(system.n_frames, dtype=bool)
    by_kind: dict[str, tuple[Sequence[str], NDArray[np.bool_]]] = {
        "overall": ([""] * system.n_frames, counted),
        "by_system": ([system.name] * system.n_frames, counted),
        "by_phase": (system.phases, counted),
        "by_temperature": ([temperature_band(t) for t in system.temperatures], counted),
        "by_composition": ([composition(system.symbols)] * system.n_frames, counted),
        "by_independence": (independence, every),
    }
    masks = {}
    for kind, (labels, among) in by_kind.items():
        for label in sorted({name for name, used in zip(labels, among, strict=True) if used}):
            masks[kind, label] = among & np.array([name == label for name in labels])
    return masks


def composition(symbols: Sequence[str]) -> str:
    """Return the reduced formula of a list of atoms, metals first: Li3PS4."""
    from ase.formula import Formula

    reduced, _ = Formula.from_list(list(symbols)).reduce()
    return str(reduced.format("metal"))


def merge(parts: Sequence[Groups]) -> Groups:
    """Add groups of the same kind and label over systems."""
    merged: Groups = {}
    for part in parts:
        for key, group in part.items():
            merged[key] = merged[key] + group if key in merged else group
    return merged


def temperature_band(kelvin: float) -> str:
    """Return the label of the 200 K wide band that holds a temperature."""
    if not math.isfinite(kelvin):
        return "unknown"
    low = math.floor(kelvin / TEMPERATURE_BAND_KELVIN) * TEMPERATURE_BAND_KELVIN
    return f"{low:.0f}-{low + TEMPERATURE_BAND_KELVIN:.0f} K"


def groups_to_json(groups: Groups) -> dict[str, Any]:
    """Return the errors as nested JSON types, units in key names, null where undefined."""
    overall = groups["overall", ""]
    result: dict[str, Any] = {"overall": group_to_json(overall)}
    for kind in KINDS:
        result[kind] = {
            label: group_to_json(group) for (k, label), group in sorted(groups.items()) if k == kind
        }
    result["force_by_species"] = _species_to_json(overall)
    result["force_by_species_and_phase"] = {
        label: _species_to_json(group)
        for (kind, label), group in sorted(groups.items())
        if kind == "by_phase"
    }
    return result


def _species_to_json(group: GroupErrors) -> dict[str, Any]:
    return {
        name: _force_to_json(error, reference)
        for name, (error, reference) in sorted(group.force_by_species.items())
    }


def group_to_json(group: GroupErrors) -> dict[str, Any]:
    """Return one group as flat JSON types: meV/atom for energies and virials, meV/Å for forces."""
    return {
        "frames": group.frames,
        "energy_mae_mev_per_atom": _milli(group.energy.mae),
        "energy_rmse_mev_per_atom": _milli(group.energy.rmse),
        "energy_max_mev_per_atom": _milli_max(group.energy),
        "energy_mean_error_mev_per_atom": _milli(group.energy.mean),
        "energy_after_system_shift_mae_mev_per_atom": _milli(group.energy_after_shift.mae),
        "energy_after_system_shift_rmse_mev_per_atom": _milli(group.energy_after_shift.rmse),
        "energy_after_system_shift_max_mev_per_atom": _milli_max(group.energy_after_shift),
        **_force_to_json(group.force, group.force_reference),
        "virial_frames": group.virial_frames,
        "virial_mae_mev_per_atom": _milli(group.virial.mae),
        "virial_rmse_mev_per_atom": _milli(group.virial.rmse),
        "virial_max_mev_per_atom": _milli_max(group.virial),
        "virial_reference_rms_mev_per_atom": _milli(group.virial_reference.rmse),
    }


def _force_to_json(error: Tally, reference: Tally) -> dict[str, Any]:
    return {
        "force_components": error.count,
        "force_mae_mev_per_angstrom": _milli(error.mae),
        "force_rmse_mev_per_angstrom": _milli(error.rmse),
        "force_max_mev_per_angstrom": _milli_max(error),
        "force_reference_rms_mev_per_angstrom": _milli(reference.rmse),
    }


def _milli(value: float) -> float | None:
    return value * _MILLI if math.isfinite(value) else None


def _milli_max(value: Tally) -> float | None:
    return value.largest * _MILLI if value.count else None
