"""Committee deviation against true error: curve, coverage, and the record ``trust.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlip.recipes.selection import TrustSettings
from mlip.validation.reference import FloatArray
from mlip.validation.trust import SpeciesTrust, TrustLevels, calibrate, root_mean_square_error

SCHEMA = 1
MOST_BINS = 10
ATOMS_PER_BIN = 20
NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class AtomErrors:
    """Deviation and true error of every atom of a number of frames.

    Attributes
    ----------
    deviation, error : ndarray, shape (A,)
        Committee deviation, and length of the force error of the committee mean, eV/Å.
    species : ndarray of str, shape (A,)
    frame : ndarray of int, shape (A,)
        Which frame an atom belongs to.
    """

    deviation: FloatArray
    error: FloatArray
    species: NDArray[np.str_]
    frame: NDArray[np.int64]

    def of(self, name: str) -> AtomErrors:
        """Return the atoms of one element."""
        own = self.species == name
        return AtomErrors(self.deviation[own], self.error[own], self.species[own], self.frame[own])


@dataclass(frozen=True)
class Bin:
    """Atoms of similar deviation.

    Attributes
    ----------
    lowest_deviation, highest_deviation : float
        eV/Å.
    deviation_rms, error_rms, error_rms_standard_error : float
        Root mean squares over the atoms, and the jackknife error over frames of the second;
        nan if the bin holds one frame. eV/Å.
    atoms, frames : int
    """

    lowest_deviation: float
    highest_deviation: float
    deviation_rms: float
    error_rms: float
    error_rms_standard_error: float
    atoms: int
    frames: int


@dataclass(frozen=True)
class Coverage:
    """How often the true error lies within what the deviation allows.

    Attributes
    ----------
    nominal : tuple of float
        Shares that a Gaussian error vector of root mean square length s would have within
        s sqrt(chi2_3^-1(p) / 3).
    plain, calibrated : tuple of float
        Shares found with s = deviation, and with s = scale x deviation.
    """

    nominal: tuple[float, ...]
    plain: tuple[float, ...]
    calibrated: tuple[float, ...]


@dataclass(frozen=True)
class SpeciesCalibration:
    """How far the deviation of the atoms of one element can be believed.

    Attributes
    ----------
    bins : tuple of Bin
        By rising deviation, about as many atoms each.
    coverage : Coverage
    wrong_below_level : float
        Share of the atoms below the lower trust level whose error is above the accurate
        limit all the same: what the level lets pass. nan without such atoms.
    """

    bins: tuple[Bin, ...]
    coverage: Coverage
    wrong_below_level: float


@dataclass(frozen=True)
class Calibration:
    """Trust levels of a committee and the evidence for them.

    Attributes
    ----------
    levels : TrustLevels
    by_species : mapping of str to SpeciesCalibration
        Elements that the frames hold.
    frames, atoms : int
    """

    levels: TrustLevels
    by_species: Mapping[str, SpeciesCalibration]
    frames: int
    atoms: int


def calibrated(atoms: AtomErrors, type_map: Sequence[str], settings: TrustSettings) -> Calibration:
    """Find trust levels, calibration curve and coverage of every element.

    Raises
    ------
    DataError
        As `mlip.validation.trust.calibrate`.
    """
    levels = calibrate(
        atoms.deviation, atoms.error, atoms.species.tolist(), atoms.frame, type_map, settings
    )
    by_species = {}
    for name in type_map:
        own = atoms.of(name)
        if not len(own.error):
            continue
        trust = levels.by_species[name]
        below = own.deviation <= trust.lower_ev_per_angstrom
        wrong = own.error[below] > settings.accurate_error_ev_per_angstrom
        by_species[name] = SpeciesCalibration(
            curve(own.deviation, own.error, own.frame),
            coverage(own.deviation, own.error, trust.scale),
            float(wrong.mean()) if below.any() else math.nan,
        )
    return Calibration(levels, by_species, len(np.unique(atoms.frame)), len(atoms.error))


def curve(deviation: FloatArray, error: FloatArray, frame: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Sort atoms into bins of equal number by deviation; return the rms of both in each.

    At most 10 bins of at least 20 atoms; a calibrated committee lies on the line of equality
    (reliability diagram for regression, doi:10.3390/s22155540).
    """
    count = max(1, min(MOST_BINS, len(deviation) // ATOMS_PER_BIN))
    order = np.argsort(deviation, kind="stable")
    bins = []
    for part in np.array_split(order, count):
        error_rms, standard_error = root_mean_square_error(error[part], frame[part])
        bins.append(
            Bin(
                float(deviation[part].min()),
                float(deviation[part].max()),
                math.sqrt(np.square(deviation[part]).mean()),
                error_rms,
                standard_error,
                len(part),
                len(np.unique(frame[part])),
            )
        )
    return tuple(bins)


def coverage(deviation: FloatArray, error: FloatArray, scale: float) -> Coverage:
    """Return the shares of errors within the Gaussian quantiles of the deviation.

    The squared length of a Gaussian vector with root mean square length s is s^2/3 times a
    chi-squared number of three degrees of freedom; shares against nominal shares as in
    doi:10.1088/2632-2153/ab7e1a.
    """
    reach = np.sqrt(stats.chi2.ppf(NOMINAL, 3) / 3)

    def shares(size: FloatArray) -> tuple[float, ...]:
        return tuple(float((error <= factor * size).mean()) for factor in reach)

    return Coverage(NOMINAL, shares(deviation), shares(scale * deviation))


def trust_record(
    found: Calibration, settings: TrustSettings, split: str, independence: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of ``trust.json``.

    Keys
    ----
    schema, split, settings
    independence
        As in ``metrics.json``: which frames of the split were used.
    frames, atoms
        Number of frames and atoms behind the levels.
    calibrated, reason
        Whether every element is, and if not which are not and why.
    levels
        By element: `mlip.validation.trust.SpeciesTrust`; eV/Å.
    curve
        By element: list of `Bin`; eV/Å.
    coverage, wrong_below_level
        By element, see `SpeciesCalibration`.
    """
    return {
        "schema": SCHEMA,
        "split": split,
        "independence": dict(independence),
        "frames": found.frames,
        "atoms": found.atoms,
        "settings": settings.expanded(),
        "calibrated": found.levels.calibrated,
        "reason": _lacking(found.levels, settings),
        "levels": found.levels.as_json(),
        "curve": {
            name: [
                {key: _or_null(value) for key, value in asdict(entry).items()} for entry in own.bins
            ]
            for name, own in found.by_species.items()
        },
        "coverage": {name: asdict(own.coverage) for name, own in found.by_species.items()},
        "wrong_below_level": {
            name: _or_null(own.wrong_below_level) for name, own in found.by_species.items()
        },
    }


def _lacking(levels: TrustLevels, settings: TrustSettings) -> str:
    few: dict[str, SpeciesTrust] = {
        name: trust for name, trust in levels.by_species.items() if not trust.calibrated
    }
    if not few:
        return ""
    found = ", ".join(
        f"{name} has {trust.atoms} atoms in {trust.frames} frames" for name, trust in few.items()
    )
    return (
        f"{found}; at least {settings.minimum_atoms} atoms in {settings.minimum_frames} frames "
        "are needed, so error = deviation is assumed there"
    )


def _or_null(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value
