"""Equations of state against DFT on the same frames, and those of the potential alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlip.engines.deepmd_statics import Statics
from mlip.errors import DataError
from mlip.validation.finding import Finding
from mlip.validation.physics.case import NAN, CrystalCase, OwnFrames
from mlip.validation.physics.equation_of_state import (
    SMALLEST_POINTS,
    EquationOfState,
    fit_equation_of_state,
    shape_difference,
)
from mlip.validation.physics.figures import energy_volume_figure
from mlip.validation.physics.frames import FrameSet, LabelledSet
from mlip.validation.physics.judge import judged, unjudged
from mlip.validation.physics.parts import Curve, Part
from mlip.validation.physics.thresholds import PhysicsThresholds
from mlip.validation.reference import FloatArray


def equation_part(
    case: CrystalCase,
    same: Sequence[Statics],
    own: Sequence[OwnFrames | None],
    limits: PhysicsThresholds,
    figure: Path,
) -> Part:
    """Hold equations of state against DFT on its frames; report the members' own beside it.

    Parameters
    ----------
    case : CrystalCase
    same : sequence of Statics
        Of each member on the labelled frames; empty if there are none.
    own : sequence of OwnFrames
        Volumes around each member's own minimum, ions relaxed; None where there is none.
    limits : PhysicsThresholds
    figure : Path
    """
    labelled = case.labelled("eos")
    compared = labelled is not None and bool(same)
    findings: list[Finding] = []
    numbers: dict[str, object] = {}
    if labelled is not None and same:
        findings, numbers = _against_dft(case, labelled, same, limits)
        curves = [(labelled.frames.volumes, s.predicted.energies) for s in same]
    else:
        curves = [(o.frames.volumes, _converged(o)) for o in own if o is not None]
    fits = [_fit(o.frames, _converged(o), case.name) if o else None for o in own]
    numbers["own"] = [vars(member) if member else None for member in fits]
    moduli = [member.bulk_modulus_gpa if member else NAN for member in fits]
    findings.append(_own_modulus(case, moduli, limits, compared=compared))
    dft = (labelled.frames.volumes, labelled.labels.energies) if labelled and compared else None
    rows = [
        (name, float(volume), float(energy))
        for name, (volumes, energies) in [
            *((f"member {k}", curve) for k, curve in enumerate(curves)),
            *([("DFT", dft)] if dft else []),
        ]
        for volume, energy in zip(volumes, energies, strict=True)
    ]
    if any(np.isfinite(energies).any() for _, energies in curves):
        # The labelled frames may be of another cell than the relaxation starts from.
        atoms = len(labelled.frames.symbols if labelled and compared else case.start)
        energy_volume_figure(
            figure,
            [_per_atom(curve, atoms) for curve in curves],
            _per_atom(dft, atoms) if dft else None,
        )
    columns = ("of", "volume_angstrom3", "energy_ev")
    return Part(tuple(findings), numbers, (Curve("energy_volume", columns, rows),))


def _against_dft(
    case: CrystalCase, labelled: LabelledSet, same: Sequence[Statics], limits: PhysicsThresholds
) -> tuple[list[Finding], dict[str, object]]:
    frames, dft = labelled.frames, labelled.labels.energies
    energies = [statics.predicted.energies for statics in same]
    where = f"same {len(dft)} frames (ions as labelled); DFT: {case.level}"
    atoms = len(frames.symbols)
    findings: list[Finding] = []
    # With the means taken off, one or two energies always agree.
    if len(dft) >= SMALLEST_POINTS:
        findings.append(
            judged(
                case.name,
                "energy against volume, rms error (meV/atom)",
                [shape_difference(member, dft, atoms) for member in energies],
                0.0,
                "DFT",
                limits.equation_of_state_energy,
                f"means taken off, {where}",
            )
        )
    members = [_fit(frames, member, case.name) for member in energies]
    try:
        fit = fit_equation_of_state(frames.volumes, dft, f"{case.name}, DFT")
    except DataError as error:
        moduli = [member.bulk_modulus_gpa if member else NAN for member in members]
        name = "bulk modulus, labelled ions (GPa)"
        return [*findings, unjudged(case.name, name, moduli, str(error).rstrip("."))], {}
    for quantity, key, limit in (
        ("equilibrium volume (Å^3)", "volume_angstrom3", limits.equilibrium_volume),
        ("bulk modulus, labelled ions (GPa)", "bulk_modulus_gpa", limits.bulk_modulus),
    ):
        values = [getattr(member, key) if member else NAN for member in members]
        text = f"Birch-Murnaghan fits, {where}"
        reference = getattr(fit, key)
        findings.append(judged(case.name, quantity, values, reference, "DFT", limit, text))
    return findings, {"dft": vars(fit), "members": [vars(m) if m else None for m in members]}


def _own_modulus(
    case: CrystalCase, moduli: Sequence[float], limits: PhysicsThresholds, *, compared: bool
) -> Finding:
    quantity = "bulk modulus, relaxed ions (GPa)"
    measured = case.check.experiment
    if measured is not None and measured.bulk_modulus_gpa is not None:
        text = f"potential at 0 K, shape fixed; experiment: {measured.source or 'no source given'}"
        limit, value = limits.experiment_bulk_modulus, measured.bulk_modulus_gpa
        return judged(case.name, quantity, moduli, value, "experiment", limit, text)
    why = "equation of state of the potential alone, shape fixed, ions relaxed"
    why += "; DFT is compared on its own frames" if compared else "; no DFT and no experiment"
    return unjudged(case.name, quantity, moduli, why)


def _fit(frames: FrameSet, energies: FloatArray, what: str) -> EquationOfState | None:
    try:
        return fit_equation_of_state(frames.volumes, energies, what)
    except DataError:
        return None


def _converged(own: OwnFrames) -> FloatArray:
    return np.where(own.statics.converged, own.statics.predicted.energies, NAN)


def _per_atom(curve: tuple[FloatArray, FloatArray], atoms: int) -> tuple[FloatArray, FloatArray]:
    """Return Å^3/atom and meV/atom."""
    return curve[0] / atoms, 1000.0 * curve[1] / atoms
