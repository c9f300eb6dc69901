"""Barriers of ions against DFT image by image, and relative energies of crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlip.engines.deepmd_statics import Statics
from mlip.errors import DataError
from mlip.validation.finding import Finding
from mlip.validation.physics.barriers import Path as IonPath
from mlip.validation.physics.barriers import image_names, largest_move, path_energies
from mlip.validation.physics.case import NAN, CrystalCase
from mlip.validation.physics.cell_check import relaxed_state
from mlip.validation.physics.crystal import formula_unit
from mlip.validation.physics.figures import path_figure
from mlip.validation.physics.frames import FrameSet, LabelledSet, same_level
from mlip.validation.physics.judge import judged, unjudged
from mlip.validation.physics.parts import Curve, Part
from mlip.validation.physics.thresholds import PhysicsThresholds
from mlip.validation.reference import FloatArray

BARRIER = "barrier (meV)"
# Ends nearer than this fell into one minimum; the ion of a hop moves farther.
SAME_MINIMUM_ANGSTROM = 0.3


def barrier_part(
    name: str,
    labelled: LabelledSet,
    level: str,
    same: Sequence[Statics],
    limits: PhysicsThresholds,
    figure: Path,
) -> Part:
    """Hold energies along a path against DFT on the same images."""
    frames = labelled.frames
    members = [_path(frames, statics, name) for statics in same]
    barriers = [1000.0 * member.barrier_ev if member else NAN for member in members]
    try:
        dft = path_energies(frames, labelled.labels.energies, f"{name}, DFT")
    except DataError as error:
        return Part((unjudged(name, BARRIER, barriers, str(error).rstrip(".")),))
    text = f"highest image above the first of the same {len(frames.points)} images; DFT: {level}"
    errors = [
        1000.0 * float(((member.energy_ev - dft.energy_ev)[1:] ** 2).mean() ** 0.5)
        if member
        else NAN
        for member in members
    ]
    path_text = f"energies above the first image, same images; DFT: {level}"
    findings = (
        judged(name, BARRIER, barriers, 1000.0 * dft.barrier_ev, "DFT", limits.barrier, text),
        judged(
            name,
            "energy along the path, rms error (meV)",
            errors,
            0.0,
            "DFT",
            limits.path_energy,
            path_text,
        ),
    )
    return Part(findings, {}, (_drawn(figure, members, dft),))


def band_part(name: str, bands: Sequence[Statics], symbols: Sequence[str], figure: Path) -> Part:
    """Report the elastic bands that the members relaxed; nothing is compared."""
    members = []
    for statics in bands:
        points = tuple(image_names(len(statics.coords)))
        frames = FrameSet(points, tuple(symbols), statics.coords, statics.cells)
        good = statics.converged.all() and largest_move(frames) > SAME_MINIMUM_ANGSTROM
        members.append(_path(frames, statics, name) if good else None)
    barriers = [1000.0 * member.barrier_ev if member else NAN for member in members]
    why = "climbing elastic band of the potential alone; no DFT images"
    if not all(members):
        why += "; no value where the band did not converge or both ends fell into one minimum"
    found = unjudged(name, BARRIER, barriers, why)
    return Part((found,), {}, (_drawn(figure, members, None),))


def relative_part(
    cases: Sequence[CrystalCase],
    relaxed: Mapping[str, Sequence[Statics]],
    same: Mapping[str, Sequence[Statics]],
    limits: PhysicsThresholds,
) -> Part:
    """Compare crystals of one composition with the first of them, meV/atom.

    Parameters
    ----------
    cases : sequence of CrystalCase
    relaxed : mapping of str to sequence of Statics
        Crystal to what each member relaxed.
    same : mapping of str to sequence of Statics
        Crystal to each member's single point on the cell that DFT relaxed, where there is one.
    limits : PhysicsThresholds
    """
    findings: list[Finding] = []
    first: dict[str, CrystalCase] = {}
    for case in cases:
        base = first.setdefault(formula_unit(case.start), case)
        if base is not case:
            findings += _pair(case, base, relaxed, same, limits)
    return Part(tuple(findings))


def _pair(
    case: CrystalCase,
    base: CrystalCase,
    relaxed: Mapping[str, Sequence[Statics]],
    same: Mapping[str, Sequence[Statics]],
    limits: PhysicsThresholds,
) -> list[Finding]:
    quantity = f"energy above {base.name} (meV/atom)"
    labels = [crystal.labelled("relaxed") for crystal in (case, base)]
    fault = "no DFT energy of both"
    if labels[0] is not None and labels[1] is not None:
        fault = f"DFT levels or basis sets differ: {case.level} and {base.level}"
        if same_level(case.reference, base.reference):
            dft = _energy(labels[0].labels.energies, case) - _energy(
                labels[1].labels.energies, base
            )
            values = [
                _energy(one.predicted.energies, case) - _energy(other.predicted.energies, base)
                for one, other in zip(same[case.name], same[base.name], strict=True)
            ]
            text = f"both in the cells labelled as relaxed; DFT: {case.level}"
            limit = limits.relative_energy
            return [judged(case.name, quantity, values, dft, "DFT", limit, text)]
    own = []
    for one, other in zip(relaxed[case.name], relaxed[base.name], strict=True):
        states = relaxed_state(case, one), relaxed_state(base, other)
        difference = NAN
        if states[0] and states[1]:
            difference = states[0].energy_ev_per_atom - states[1].energy_ev_per_atom
        own.append(1000.0 * difference)
    why = f"{fault}; both relaxed by the potential"
    return [unjudged(case.name, quantity, own, why)]


def _energy(energies: FloatArray, case: CrystalCase) -> float:
    return 1000.0 * float(energies[0]) / len(case.start)


def _path(frames: FrameSet, statics: Statics, name: str) -> IonPath | None:
    try:
        return path_energies(frames, statics.predicted.energies, name)
    except DataError:
        return None


def _drawn(figure: Path, members: Sequence[IonPath | None], dft: IonPath | None) -> Curve:
    found = [member for member in members if member is not None]
    if found:
        path_figure(figure, found, dft)
    named = [(f"member {k}", member) for k, member in enumerate(members) if member]
    named += [("DFT", dft)] if dft else []
    rows = [
        (name, float(length), float(energy))
        for name, path in named
        for length, energy in zip(path.length_angstrom, path.energy_ev, strict=True)
    ]
    return Curve("path", ("of", "length_angstrom", "energy_ev"), rows)
