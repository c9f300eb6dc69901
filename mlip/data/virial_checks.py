"""Checks of the virial: unit, sign, and whether the kinetic part is in it."""

from __future__ import annotations

import numpy as np

from mlip.data.check import Check
from mlip.data.frames import EV_PER_ANGSTROM3_GPA, Frames
from mlip.data.label_checks import WorkSlopes
from mlip.data.split import System
from mlip.data.thresholds import limit
from mlip.errors import UnitError

# With fewer frames, or smaller forces, the ratio is not that of thermal disorder.
FEWEST_FRAMES = 5
SMALLEST_FORCE = 0.1


def present(systems: list[System]) -> Check:
    """Report the systems without a virial."""
    without = [system.name for system in systems if system.frames.virials is None]
    if without:
        return Check(
            "virial present",
            float(len(without)),
            "systems",
            0.0,
            "warn",
            (),
            f"no virial in {', '.join(without[:5])}: no training on pressure there",
        )
    return Check("virial present", 0.0, "systems", 0.0, "pass", (), "every system has a virial")


def virial_length(frames: Frames) -> float | None:
    """Return deviatoric virial over force rms and square root of atoms, Å.

    If the force on an atom is the sum of independent bond forces f, the sum over bonds of
    r f grows with the square root of the number of atoms (central limit theorem), so that
    rms(W_dev) = l rms(F) sqrt(N), with l near half a bond length. Measured: 0.6 to 1.3 Å
    in sulfides, lithium, phosphorus, sulphur and water.

    Parameters
    ----------
    frames : Frames

    Returns
    -------
    float or None
        None without a virial, below five frames, or if forces are not thermal.
    """
    if frames.virials is None or len(frames) < FEWEST_FRAMES:
        return None
    # Fluctuations leave out a residual stress of the cell; whole values leave out nothing.
    lengths = []
    trace = np.trace(frames.virials, axis1=1, axis2=2)
    deviatoric = frames.virials - trace[:, None, None] / 3.0 * np.eye(3)
    if np.sqrt((frames.forces**2).mean()) < SMALLEST_FORCE:
        return None
    atoms = len(frames.symbols)
    for centre in (True, False):
        w = deviatoric - deviatoric.mean(axis=0) if centre else deviatoric
        f = frames.forces - frames.forces.mean(axis=0) if centre else frames.forces
        # A symmetric traceless tensor has five independent components.
        size = np.sqrt((w**2).sum(axis=(1, 2)).mean() / 5.0)
        lengths.append(float(size / np.sqrt((f**2).mean() * atoms)))
    # The one nearer to the usual size: residual stress raises only the second.
    return min(lengths, key=lambda length: abs(np.log(max(length, 1e-30))))


def unit(systems: list[System]) -> Check:
    """Refuse virials in another unit: kbar, GPa, or stress in place of the virial.

    Raises
    ------
    UnitError
        If `virial_length` or the pressure is outside its window in any system.
    """
    low, high = limit("virial_length_low"), limit("virial_length_high")
    lengths: dict[str, float] = {}
    for system in systems:
        frames = system.frames
        if frames.virials is None:
            continue
        pressure = pressure_scale_gpa(frames)
        length = virial_length(frames)
        wrong = length is not None and not low <= length <= high
        # A single compressed or relaxed frame may have any pressure; thermal ones do not.
        wrong |= not limit("pressure_low") <= pressure <= limit("pressure_high") and (
            np.sqrt((frames.forces**2).mean()) >= SMALLEST_FORCE
        )
        if wrong:
            raise UnitError(_unit_message(system, pressure, length))
        if length is not None:
            lengths[system.name] = length
    if not lengths:
        return Check(
            "virial unit",
            None,
            "Å",
            None,
            "undecided",
            (),
            "no system with a virial and five thermal frames",
        )
    worst = max(lengths, key=lambda name: abs(np.log(lengths[name])))
    chosen = next(system for system in systems if system.name == worst)
    return Check(
        "virial unit",
        lengths[worst],
        "Å",
        high if lengths[worst] > 1 else low,
        "pass",
        (),
        f"virial over force scale of {worst}, farthest from 1 Å. " + _not_excluded(chosen.frames),
    )


def strain(systems: list[System], slopes_of: dict[str, WorkSlopes | None]) -> Check:
    """Check size and sign of the virial by energy differences at different cells.

    Parameters
    ----------
    systems : list of System
    slopes_of : dict
        `work_slopes` of each system, by name.

    Raises
    ------
    UnitError
        If the slope is outside its window by three standard errors.
    """
    low, high = limit("strain_slope_low"), limit("strain_slope_high")
    best: tuple[float, float, str] | None = None
    for system in systems:
        slopes = slopes_of[system.name]
        if slopes is None or slopes.strain is None or slopes.strain_error is None:
            continue
        value, error = slopes.strain, slopes.strain_error
        if value + 3 * error < low or value - 3 * error > high:
            raise UnitError(
                f"{system.name} ({system.frames.files[0]}): energy differences between "
                f"neighbouring frames of different cells are {value:.3g} +- {error:.1g} times "
                "-W : strain; expected 1. A negative slope means the sign (virial = -V * stress "
                "with tension positive), 160.2 or its inverse GPa, 1602 or its inverse kbar."
            )
        if error < 0.5 and (best is None or error < best[1]):
            best = (value, error, system.name)
    if best is None:
        return Check(
            "virial sign and strain",
            None,
            "none",
            None,
            "undecided",
            (),
            "no near frames of different cells, so the sign of the virial trace rests on the "
            "format",
        )
    return Check(
        "virial sign and strain",
        best[0],
        "none",
        low,
        "pass",
        (),
        f"dE over -W : strain in {best[2]} (+- {best[1]:.2f})",
    )


def kinetic_part(systems: list[System]) -> Check:
    """Report whether the virial is known to hold the potential part only."""
    with_virial = [system for system in systems if system.frames.virials is not None]
    unknown = [system.name for system in with_virial if not system.frames.virial_origin]
    origins = sorted({s.frames.virial_origin for s in with_virial if s.frames.virial_origin})
    if not with_virial:
        return Check("virial kinetic part", None, "none", None, "undecided", (), "no virials")
    if unknown:
        return Check(
            "virial kinetic part",
            float(len(unknown)),
            "systems",
            0.0,
            "undecided",
            (),
            f"the format does not say for {', '.join(unknown[:5])}; it must be left out",
        )
    return Check("virial kinetic part", 0.0, "systems", 0.0, "pass", (), "; ".join(origins[:3]))


def pressure_scale_gpa(frames: Frames) -> float:
    """Return the median of |tr W / 3V|, GPa (P = tr W / 3V, virial theorem)."""
    assert frames.virials is not None  # callers have checked
    trace = np.trace(frames.virials, axis1=1, axis2=2)
    return float(np.median(np.abs(trace) / (3.0 * frames.volumes)) * EV_PER_ANGSTROM3_GPA)


def _unit_message(system: System, pressure: float, length: float | None) -> str:
    frames = system.frames
    volume = float(np.median(frames.volumes))
    factors = {
        "the stress in GPa": EV_PER_ANGSTROM3_GPA / volume,
        "the stress in kbar": 10 * EV_PER_ANGSTROM3_GPA / volume,
        "the stress in eV/Å^3": 1.0 / volume,
        "a virial 10 times too large": 10.0,
        "a virial 10 times too small": 0.1,
        "a virial times 160.2 (eV/Å^3 to GPa applied once too often)": EV_PER_ANGSTROM3_GPA,
        "a virial times 1602 (kbar)": 10 * EV_PER_ANGSTROM3_GPA,
        "a virial over 160.2": 1 / EV_PER_ANGSTROM3_GPA,
        "a virial over 1602": 0.1 / EV_PER_ANGSTROM3_GPA,
    }
    guess = ""
    if frames.virials is not None and not frames.virials.any():
        guess = " All are zero: leave out virials that were not calculated."
    elif length is not None and length > 0:
        name = min(factors, key=lambda key: abs(np.log(length / factors[key])))
        guess = f" It looks like {name}."
    shown = "not decidable" if length is None else f"{length:.3g} Å"
    return (
        f"{system.name} ({frames.files[0]}): the virial is in another unit than eV. Deviatoric "
        f"virial over force scale is {shown} (expected {limit('virial_length_low')} to "
        f"{limit('virial_length_high')} Å), median |tr W/3V| is {pressure:.3g} GPa (expected "
        f"{limit('pressure_low'):g} to {limit('pressure_high'):g}).{guess} Convert it: "
        "virial = V * pressure tensor, in eV, potential part only."
    )


def _not_excluded(frames: Frames) -> str:
    """Say when a stress in kbar or GPa would look the same, which depends on the volume."""
    volume = float(np.median(frames.volumes))
    for name, factor in (("kbar", 10.0), ("GPa", 1.0)):
        ratio = factor * EV_PER_ANGSTROM3_GPA / volume
        if 0.3 < ratio < 3.0:
            return (
                f"At {volume:.0f} Å^3 a stress in {name} is {ratio:.2f} times the virial: this "
                "number alone does not exclude it."
            )
    return "Neither a stress in kbar nor in GPa would give it."
