"""F on a scale from crystal (0) to glass (1), given reference samples of the same geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray
from analysis.disorder.disorder_profile import DisorderProfile
from analysis.errors import AnalysisError, RangeError

# Thermal expansion and strain change lengths by about as much; F changes by far less.
LENGTH_TOLERANCE = 0.03
ANGLE_TOLERANCE_DEGREES = 2.0
TEMPERATURE_TOLERANCE = 0.05
# A glass is up to a tenth less dense than its crystal; without the mobile ions either is by more.
DENSITY_TOLERANCE = 0.2
MIN_CONTRAST_ERRORS = 3.0


@dataclass(frozen=True)
class MappedDisorder:
    """F~ = (F - Fc)/(Fg - Fc): 0 as the crystal reference, 1 as the glass reference.

    Attributes
    ----------
    z_angstrom : (S,) float array
        Slab centres.
    values, standard_errors : (S,) float arrays
        F~, not clipped to [0, 1]; errors of F and of both references.
    crystal_level, glass_level : float
        Fc and Fg, means over the slabs of the references.
    crystal_error, glass_error : float
        Their standard errors.
    """

    z_angstrom: FloatArray
    values: FloatArray
    standard_errors: FloatArray
    crystal_level: float
    glass_level: float
    crystal_error: float
    glass_error: float


def map_to_references(
    profile: DisorderProfile, crystal: DisorderProfile, glass: DisorderProfile
) -> MappedDisorder:
    """Map F to the levels of a crystal and a glass.

    Parameters
    ----------
    profile, crystal, glass : DisorderProfile
        Of the same form, Gaussian, q cut, slab width, plane, temperature and kinds of atoms. The
        crystal must be oriented and strained as in the sample.

    Raises
    ------
    RangeError
        If a reference differs from the sample in what F depends on.
    AnalysisError
        If the references do not differ by more than their errors.

    Notes
    -----
    F depends on the number of pixels through 1/(ln M + 0.577), and so on area and q cut; only
    the mapped form compares samples (methods after Nat. Commun. 16, 1057 (2025)). Errors
    propagate to first order (Bevington and Robinson, Data Reduction and Error Analysis, 3rd ed.,
    eq. 3.14).
    """
    for name, reference in (("crystal", crystal), ("glass", glass)):
        _check_comparable(profile, reference, name)
    low, low_error = _reference_level(crystal)
    high, high_error = _reference_level(glass)
    contrast = high - low
    spread = math.hypot(*(error for error in (low_error, high_error) if math.isfinite(error)))
    if not contrast > MIN_CONTRAST_ERRORS * spread:
        raise AnalysisError(
            f"no contrast between the references: F is {low:.4g} +- {low_error:.2g} (crystal), "
            f"{high:.4g} +- {high_error:.2g} (glass). Check the orientation of the crystal, "
            "and that the zero frequency is left out."
        )
    mapped = (profile.values - low) / contrast
    # A single frame has no error of its own; then only those of the references count.
    own = np.where(np.isfinite(profile.standard_errors), profile.standard_errors, 0.0)
    variance = own**2
    for error, weight in ((low_error, 1.0 - mapped), (high_error, mapped)):
        variance = variance + (error * weight if math.isfinite(error) else 0.0 * weight) ** 2
    return MappedDisorder(
        z_angstrom=profile.z_angstrom,
        values=mapped,
        standard_errors=np.where(variance > 0, np.sqrt(variance) / contrast, np.nan),
        crystal_level=low,
        glass_level=high,
        crystal_error=low_error,
        glass_error=high_error,
    )


def _reference_level(profile: DisorderProfile) -> tuple[float, float]:
    """Return mean F over slabs, and its error: from slabs, which hold quenched disorder too."""
    filled = profile.values[np.isfinite(profile.values)]
    if not len(filled):
        raise AnalysisError("a reference has no slab that always holds atoms.")
    if len(filled) > 1:
        return float(filled.mean()), float(filled.std(ddof=1) / np.sqrt(len(filled)))
    return float(filled[0]), float(np.nanmean(profile.standard_errors))


def _check_comparable(profile: DisorderProfile, reference: DisorderProfile, name: str) -> None:
    def exact(what: str, found: object, wanted: object) -> str:
        return "" if found == wanted else f"{what} {found} instead of {wanted}"

    def near(what: str, found: float, wanted: float, tolerance: float, unit: str) -> str:
        if abs(found - wanted) <= tolerance * abs(wanted):
            return ""
        return f"{what} {found:.4g} instead of {wanted:.4g} {unit}"

    one, other = profile.settings, reference.settings
    # The two in-plane vectors have no order: a slab may lie along another axis of its cell.
    found, wanted = (
        np.sort(reference.plane_lengths_angstrom),
        np.sort(profile.plane_lengths_angstrom),
    )
    faults = [
        exact("form", other.form, one.form),
        exact("published_form", other.published_form, one.published_form),
        near("Gaussian width", other.sigma_angstrom, one.sigma_angstrom, 1e-9, "Angstrom"),
        near("q cut", other.q_max_per_angstrom, one.q_max_per_angstrom, 1e-9, "1/Angstrom"),
        near(
            "slab width",
            reference.slab_width_angstrom,
            profile.slab_width_angstrom,
            LENGTH_TOLERANCE,
            "Angstrom",
        ),
        *(
            near("plane edge", float(a), float(b), LENGTH_TOLERANCE, "Angstrom")
            for a, b in zip(found, wanted, strict=True)
        ),
    ]
    faults.append(
        near(
            "density of the atoms that F is of",
            reference.density_per_cubic_angstrom,
            profile.density_per_cubic_angstrom,
            DENSITY_TOLERANCE,
            "1/Angstrom^3",
        )
    )
    # An obtuse angle describes the same plane as its supplement.
    angles = [min(p.plane_angle_degrees, 180 - p.plane_angle_degrees) for p in (reference, profile)]
    if abs(angles[0] - angles[1]) > ANGLE_TOLERANCE_DEGREES:
        faults.append(f"plane angle {angles[0]:.2f} instead of {angles[1]:.2f} degrees")
    here, there = profile.temperature_kelvin, reference.temperature_kelvin
    if here is not None and there is not None:
        faults.append(near("temperature", there, here, TEMPERATURE_TOLERANCE, "K"))
    if any(faults):
        raise RangeError(
            f"the {name} reference cannot be compared with the sample: "
            f"{'; '.join(fault for fault in faults if fault)}. Compute F of a reference of the "
            "same plane, slab width, Gaussian, q cut, temperature and kinds of atoms."
        )
