"""Phonons against DFT on the same displacements, or those of the potential alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlip.engines.deepmd_statics import Statics
from mlip.errors import DataError
from mlip.validation.finding import Finding
from mlip.validation.physics.case import NAN, CrystalCase, OwnFrames
from mlip.validation.physics.figures import bands_figure, dos_figure
from mlip.validation.physics.frames import FrameSet
from mlip.validation.physics.judge import judged, unjudged
from mlip.validation.physics.parts import Curve, Part
from mlip.validation.physics.phonons import Phonons, phonons_of, rms_difference
from mlip.validation.physics.thresholds import PhysicsThresholds
from mlip.validation.reference import FloatArray

LOWEST = "lowest phonon frequency, imaginary negative (THz)"
RMS = "phonon frequencies over the Brillouin zone, rms error (THz)"
NO_SPLITTING = "without LO-TO splitting"


def phonon_part(
    case: CrystalCase,
    same: Sequence[Statics],
    own: Sequence[OwnFrames | None],
    limits: PhysicsThresholds,
    figures: Path,
) -> Part:
    """Hold phonons against DFT: forces on the same frames go the same way through phonopy.

    Parameters
    ----------
    case : CrystalCase
    same : sequence of Statics
        Of each member on the labelled frames; empty if there are none.
    own : sequence of OwnFrames
        Displacements of each member's own relaxed crystal, used where there are no labels.
    limits : PhysicsThresholds
    figures : Path
        Folder for densities of states and bands.
    """
    labelled = case.labelled("phonon")
    dft: Phonons | None = None
    fault = "no DFT phonons"
    if labelled is not None and same:
        try:
            dft = phonons_of(labelled.frames, labelled.labels.forces, f"{case.name}, DFT")
        except DataError as error:
            fault = str(error).rstrip(".")
    if dft is not None and labelled is not None:
        members = [_phonons(labelled.frames, s.predicted.forces, case.name) for s in same]
        frames = len(labelled.frames.points)
        findings = _against_dft(case, members, dft, frames, limits)
    else:
        members = [
            _phonons(o.frames, o.statics.predicted.forces, case.name) if o else None for o in own
        ]
        lowest = [member.lowest_thz if member else NAN for member in members]
        # Labelled displacements stand in for the potential's own, which are not made then.
        why = fault
        if labelled is None:
            why += f"; the potential's own relaxed crystal, {NO_SPLITTING}"
        findings = [unjudged(case.name, LOWEST, lowest, why)]
    found = [member for member in members if member is not None]
    if found:
        dos_figure(figures / f"{case.name}_phonon_dos.png", found, dft)
        bands_figure(figures / f"{case.name}_phonon_bands.png", found, dft)
    named = [(f"member {k}", member) for k, member in enumerate(members) if member is not None]
    named += [("DFT", dft)] if dft is not None else []
    numbers = {"lowest_thz": {name: phonons.lowest_thz for name, phonons in named}}
    return Part(tuple(findings), numbers, (_dos_curve(named), _bands_curve(named)))


def _against_dft(
    case: CrystalCase,
    members: Sequence[Phonons | None],
    dft: Phonons,
    frames: int,
    limits: PhysicsThresholds,
) -> list[Finding]:
    text = f"forces on the same {frames} frames, {NO_SPLITTING}; DFT: {case.level}"
    errors = [rms_difference(member, dft) if member else NAN for member in members]
    lowest = [member.lowest_thz if member else NAN for member in members]
    imaginary = "; DFT has imaginary modes at 0 K, so they are no fault of the potential"
    return [
        judged(case.name, RMS, errors, 0.0, "DFT", limits.phonon_frequency, text),
        judged(
            case.name,
            LOWEST,
            lowest,
            dft.lowest_thz,
            "DFT",
            limits.lowest_frequency,
            text + (imaginary if dft.lowest_thz < -limits.lowest_frequency.value else ""),
        ),
    ]


def _phonons(frames: FrameSet, forces: FloatArray, what: str) -> Phonons | None:
    """Return the phonons of a member; None if it gave no finite forces."""
    try:
        return phonons_of(frames, forces, what)
    except DataError:
        return None


def _dos_curve(named: Sequence[tuple[str, Phonons]]) -> Curve:
    rows = [
        (name, float(frequency), float(density))
        for name, phonons in named
        for frequency, density in zip(phonons.dos_thz, phonons.dos, strict=True)
    ]
    return Curve("phonon_dos", ("of", "frequency_thz", "states_per_thz"), rows)


def _bands_curve(named: Sequence[tuple[str, Phonons]]) -> Curve:
    rows = [
        (name, "-".join(ends), float(distance), band, float(frequency))
        for name, phonons in named
        for ends, distances, frequencies in zip(
            phonons.bands.labels,
            phonons.bands.distances,
            phonons.bands.frequencies_thz,
            strict=True,
        )
        for distance, point in zip(distances, frequencies, strict=True)
        for band, frequency in enumerate(point)
    ]
    columns = ("of", "branch", "distance_per_angstrom", "band", "frequency_thz")
    return Curve("phonon_bands", columns, rows)
