"""Elastic constants against DFT on the same frames, and those of the potential alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlip.engines.deepmd_statics import Statics
from mlip.errors import DataError
from mlip.validation.finding import Finding, Verdict
from mlip.validation.physics.case import NAN, CrystalCase, OwnFrames
from mlip.validation.physics.elastic import (
    COMPONENTS,
    Elasticity,
    fit_elasticity,
    relative_difference,
)
from mlip.validation.physics.frames import FrameSet, LabelledSet
from mlip.validation.physics.judge import judged, unjudged
from mlip.validation.physics.parts import Part
from mlip.validation.physics.thresholds import PhysicsThresholds

MODULI = (("bulk", "bulk_gpa"), ("shear", "shear_gpa"))


def elastic_part(
    case: CrystalCase,
    same: Sequence[Statics],
    own: Sequence[OwnFrames | None],
    limits: PhysicsThresholds,
) -> Part:
    """Hold elastic constants against DFT on its frames; report relaxed-ion ones beside it.

    Parameters
    ----------
    case : CrystalCase
    same : sequence of Statics
        Of each member on the labelled frames; empty if there are none.
    own : sequence of OwnFrames
        Strains of each member's own relaxed crystal, ions relaxed; None where there is none.
    limits : PhysicsThresholds
    """
    findings: list[Finding] = []
    numbers: dict[str, object] = {"components": list(COMPONENTS)}
    labelled = case.labelled("elastic")
    if labelled is not None and same:
        findings, numbers["same_frames"] = _against_dft(case, labelled, same, limits)
    relaxed = [
        _fit(o.frames, o.statics, case.name)
        if o is not None and o.statics.converged.all()
        else None
        for o in own
    ]
    numbers["own_stiffness_gpa"] = _matrices(relaxed)
    dft_unstable = any(
        finding.quantity == _EIGENVALUE and (finding.reference or 0.0) < 0 for finding in findings
    )
    findings.append(_stability(case.name, relaxed, limits, dft_unstable=dft_unstable))
    why = "ions relaxed by the potential; no DFT stresses with relaxed ions to compare with"
    for name, key in MODULI:
        values = [getattr(member, key) if member else NAN for member in relaxed]
        quantity = f"{name} modulus, relaxed ions, Voigt-Reuss-Hill (GPa)"
        findings.append(unjudged(case.name, quantity, values, why))
    return Part(tuple(findings), numbers)


_EIGENVALUE = "smallest eigenvalue of the elastic tensor, labelled ions (GPa)"


def _against_dft(
    case: CrystalCase, labelled: LabelledSet, same: Sequence[Statics], limits: PhysicsThresholds
) -> tuple[list[Finding], dict[str, object]]:
    frames = labelled.frames
    members = [_fit(frames, statics, case.name) for statics in same]
    try:
        dft = fit_elasticity(frames, labelled.labels.virials, f"{case.name}, DFT")
    except DataError as error:
        bulk = [member.bulk_gpa if member else NAN for member in members]
        quantity = "bulk modulus, labelled ions, Voigt-Reuss-Hill (GPa)"
        return [unjudged(case.name, quantity, bulk, str(error).rstrip("."))], {}
    text = f"stresses on the same {len(frames.points)} frames (ions as labelled); DFT: {case.level}"
    departures = [
        relative_difference(m.stiffness_gpa, dft.stiffness_gpa) if m else NAN for m in members
    ]
    # The value is a fraction already, not to be scaled by its reference of 0.
    limit = limits.elastic_constant
    tensor = limit.model_copy(update={"unit": "of the tensor's size"})
    quantity = "elastic constants, error of the tensor (fraction of its size)"
    findings = [judged(case.name, quantity, departures, 0.0, "DFT", tensor, text)]
    for name, key in MODULI:
        values = [getattr(member, key) if member else NAN for member in members]
        quantity = f"{name} modulus, labelled ions, Voigt-Reuss-Hill (GPa)"
        reference = getattr(dft, key)
        findings.append(judged(case.name, quantity, values, reference, "DFT", limit, text))
    lowest = [member.smallest_eigenvalue_gpa if member else NAN for member in members]
    reference = dft.smallest_eigenvalue_gpa
    why = "the sign is what counts; sizes are judged by the tensor"
    findings.append(unjudged(case.name, _EIGENVALUE, lowest, why, reference=reference, kind="DFT"))
    return findings, {
        "dft_stiffness_gpa": dft.stiffness_gpa.tolist(),
        "dft_rest_stress_gpa": dft.rest_stress_gpa.tolist(),
        "members_stiffness_gpa": _matrices(members),
    }


def _stability(
    name: str,
    members: Sequence[Elasticity | None],
    limits: PhysicsThresholds,
    *,
    dft_unstable: bool,
) -> Finding:
    quantity = "smallest eigenvalue of the elastic tensor, relaxed ions (GPa)"
    lowest = [member.smallest_eigenvalue_gpa if member else NAN for member in members]
    if not np.isfinite(lowest).all():
        return unjudged(name, quantity, lowest, "a strained cell did not relax")
    if dft_unstable:
        return unjudged(name, quantity, lowest, "DFT itself finds the crystal unstable at 0 K")
    limit = limits.elastic_eigenvalue.value
    stable = min(lowest) > limit
    text = "Born: positive in every member is stable against homogeneous strain"
    found = unjudged(name, quantity, lowest, text)
    verdict: Verdict = "pass" if stable else "fail"
    return Finding(name, quantity, found.value, None, "none", limit, verdict, found.text)


def _fit(frames: FrameSet, statics: Statics, what: str) -> Elasticity | None:
    try:
        return fit_elasticity(frames, statics.predicted.virials, what)
    except DataError:
        return None


def _matrices(members: Sequence[Elasticity | None]) -> list[object]:
    return [member.stiffness_gpa.tolist() if member else None for member in members]
