"""Trust levels: the committee deviation at which the true force error is too large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlip.errors import DataError
from mlip.recipes.selection import TrustSettings

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

ACCURATE = "accurate"
CANDIDATE = "candidate"
FAILED = "failed"


@dataclass(frozen=True)
class SpeciesTrust:
    """What the deviation of the atoms of one element means.

    Attributes
    ----------
    scale : float
        Root-mean-square error over root-mean-square deviation: above 1 the committee is
        over-confident. 1 if not calibrated.
    scale_error : float
        Standard error of `scale`, frames left out one at a time; nan if not calibrated or if
        all but one frame have no deviation.
    lower_ev_per_angstrom : float
        Deviation above which an atom makes its frame a candidate.
    upper_ev_per_angstrom : float
        Deviation above which an atom makes its frame failed.
    rank_correlation : float
        Spearman's, of deviation and error over all atoms: whether the deviation finds the
        bad atoms at all. nan if not calibrated or if either is constant.
    frames, atoms : int
        Unseen frames that hold the element, and its atoms in them.
    calibrated : bool
        Whether there were enough.
    """

    scale: float
    scale_error: float
    lower_ev_per_angstrom: float
    upper_ev_per_angstrom: float
    rank_correlation: float
    frames: int
    atoms: int
    calibrated: bool


@dataclass(frozen=True)
class TrustLevels:
    """Levels of every element of the potential.

    Attributes
    ----------
    by_species : mapping of str to SpeciesTrust
    """

    by_species: Mapping[str, SpeciesTrust]

    @property
    def calibrated(self) -> bool:
        """Whether every element is."""
        return all(trust.calibrated for trust in self.by_species.values())

    def lower(self, species: Sequence[str]) -> FloatArray:
        """Return the lower level of each atom, (N,), eV/Å."""
        return np.array([self._of(name).lower_ev_per_angstrom for name in species])

    def upper(self, species: Sequence[str]) -> FloatArray:
        """Return the upper level of each atom, (N,), eV/Å."""
        return np.array([self._of(name).upper_ev_per_angstrom for name in species])

    def as_json(self) -> dict[str, Any]:
        """Return the levels by element as JSON types, null for nan."""
        return {
            name: {
                key: None if isinstance(value, float) and math.isnan(value) else value
                for key, value in asdict(trust).items()
            }
            for name, trust in sorted(self.by_species.items())
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrustLevels:
        """Read what `as_json` returned.

        Raises
        ------
        DataError
            If an entry has other keys.
        """
        expected = {field.name for field in fields(SpeciesTrust)}
        read: dict[str, SpeciesTrust] = {}
        for name, entry in content.items():
            if not isinstance(entry, Mapping) or set(entry) != expected:
                raise DataError(
                    f"trust levels of {name}: found {entry!r}; expected the keys "
                    f"{', '.join(sorted(expected))}. Calibrate again."
                )
            values: dict[str, Any] = {k: math.nan if v is None else v for k, v in entry.items()}
            read[name] = SpeciesTrust(**values)
        return cls(read)

    def _of(self, name: str) -> SpeciesTrust:
        if name not in self.by_species:
            raise DataError(
                f"no trust level for {name}; there are levels for "
                f"{', '.join(sorted(self.by_species))}. Calibrate with the type map of the "
                "potential that is used."
            )
        return self.by_species[name]


def calibrate(
    deviation: FloatArray,
    error: FloatArray,
    species: Sequence[str],
    frame: Sequence[int] | IntArray,
    type_map: Sequence[str],
    settings: TrustSettings,
) -> TrustLevels:
    """Find the levels from frames that training never touched.

    Parameters
    ----------
    deviation : (A,) float array
        Committee deviation of each atom of all frames, sqrt(mean over members |F_k - <F>|^2),
        eV/Å (DP-GEN, doi:10.1016/j.cpc.2020.107206).
    error : (A,) float array
        Length of <F> - F_reference of each atom, eV/Å.
    species : sequence of str, length A
    frame : sequence of int, length A
        Which frame an atom belongs to; any numbers.
    type_map : sequence of str
        Elements of the potential; each gets levels.
    settings : TrustSettings

    Returns
    -------
    TrustLevels
        An element with fewer frames or atoms than the settings ask for is not calibrated: its
        error is taken as equal to the deviation (scale 1), which is too trusting where a
        committee is over-confident, as most are.

    Raises
    ------
    DataError
        If lengths differ, a number is negative or not finite, an element is not in the type
        map, or the deviations of an element or the errors of its upper half are all zero.

    Notes
    -----
    The expected error is k times the deviation. k is the mean error over the mean deviation of
    the atoms whose deviation is not below the median of their element: the least-squares slope
    through the origin if the variance of the error grows with the deviation. The many quiet
    atoms, whose error is mostly noise of reference and fit, have no part in it. An intercept is
    left out: the levels mostly lie above the data, and with few frames two parameters
    extrapolate badly. Atoms of one frame are not independent, hence frames in the error.
    """
    deviation, error = np.asarray(deviation, dtype=float), np.asarray(error, dtype=float)
    names, frames = np.array(species, dtype=str), np.asarray(frame)
    if not deviation.shape == error.shape == names.shape == frames.shape or deviation.ndim != 1:
        raise DataError(
            f"found deviations {deviation.shape}, errors {error.shape}, species {names.shape} and "
            f"frames {frames.shape}; expected one of each for every atom."
        )
    for label, values in (("deviation", deviation), ("error", error)):
        if not np.isfinite(values).all() or (values < 0).any():
            raise DataError(f"an atom's {label} is negative or not a finite number of eV/Å.")
    if unknown := set(names.tolist()) - set(type_map):
        raise DataError(
            f"atoms of {', '.join(sorted(unknown))} are not in the type map {' '.join(type_map)}."
        )
    return TrustLevels(
        {
            name: _calibrate_one(
                name,
                deviation[names == name],
                error[names == name],
                frames[names == name],
                settings,
            )
            for name in type_map
        }
    )


def classify(
    deviation: FloatArray, species: Sequence[str], levels: TrustLevels
) -> NDArray[np.str_]:
    """Tell which frames are accurate, candidates for a label, or failed.

    Parameters
    ----------
    deviation : (F, N) float array
        Committee deviation of each atom, eV/Å.
    species : sequence of str, length N
    levels : TrustLevels

    Returns
    -------
    (F,) array of str
        ``failed`` if any atom is above the upper level of its element or has no finite
        deviation, else ``candidate`` if any is above the lower level, else ``accurate``.

    Raises
    ------
    DataError
        If shapes differ or an element has no level.
    """
    _check_shape(deviation, species)
    # Written so that nan, which compares false, counts as failed.
    failed = ~(deviation <= levels.upper(species)).all(axis=1)
    candidate = (deviation > levels.lower(species)).any(axis=1)
    return np.where(failed, FAILED, np.where(candidate, CANDIDATE, ACCURATE))


def deviation_ratio(
    deviation: FloatArray, species: Sequence[str], levels: TrustLevels
) -> tuple[FloatArray, IntArray]:
    """Return how far each frame is above the lower level, and which atom is the farthest.

    Parameters
    ----------
    deviation : (F, N) float array
        eV/Å.
    species : sequence of str, length N
    levels : TrustLevels

    Returns
    -------
    ratio : (F,) float array
        Largest deviation over lower level of the atom's element; nan if one is not a number.
    atom : (F,) int array
        Index of that atom.

    Raises
    ------
    DataError
        If shapes differ or an element has no level.
    """
    _check_shape(deviation, species)
    ratio = deviation / levels.lower(species)
    atom = ratio.argmax(axis=1)
    return ratio[np.arange(len(ratio)), atom], atom


def _check_shape(deviation: FloatArray, species: Sequence[str]) -> None:
    if deviation.ndim != 2 or deviation.shape[1] != len(species):
        raise DataError(
            f"found deviations of shape {deviation.shape} for {len(species)} atoms; expected "
            f"(frames, {len(species)})."
        )


def _calibrate_one(
    name: str, deviation: FloatArray, error: FloatArray, frame: IntArray, settings: TrustSettings
) -> SpeciesTrust:
    accurate = settings.accurate_error_ev_per_angstrom
    failed = settings.failed_error_ev_per_angstrom
    number, atoms = len(np.unique(frame)), len(deviation)
    if number < settings.minimum_frames or atoms < settings.minimum_atoms:
        return SpeciesTrust(1.0, math.nan, accurate, failed, math.nan, number, atoms, False)
    if not deviation.any():
        raise DataError(
            f"all deviations of {name} are zero: a committee of one, or equal members. Train "
            "members that differ in the seed."
        )
    scale, scale_error = _scale(deviation, error, frame)
    upper_half = deviation >= np.median(deviation)
    slope = float(error[upper_half].mean() / deviation[upper_half].mean())
    if slope == 0.0:
        raise DataError(
            f"the errors of {name} are zero where the deviation is large: expected a reference "
            "other than the committee."
        )
    constant = np.ptp(deviation) == 0.0 or np.ptp(error) == 0.0
    rank = math.nan if constant else float(stats.spearmanr(deviation, error).statistic)
    return SpeciesTrust(
        scale, scale_error, accurate / slope, failed / slope, rank, number, atoms, True
    )


def root_mean_square_error(error: FloatArray, frame: IntArray) -> tuple[float, float]:
    """Return the root mean square of atoms and its jackknife error over frames, nan for one."""
    _, index, counts = np.unique(frame, return_inverse=True, return_counts=True)
    return _jackknife(np.bincount(index, error**2).astype(float), counts.astype(float))


def _scale(deviation: FloatArray, error: FloatArray, frame: IntArray) -> tuple[float, float]:
    """Return the ratio of root mean squares and its jackknife error over frames."""
    _, index = np.unique(frame, return_inverse=True)
    above, below = (np.bincount(index, values**2).astype(float) for values in (error, deviation))
    return _jackknife(above, below)


def _jackknife(above: FloatArray, below: FloatArray) -> tuple[float, float]:
    """Return sqrt(sum above / sum below), and its error by leaving one entry out at a time."""
    value = math.sqrt(above.sum() / below.sum())
    rest = below.sum() - below
    if not (rest > 0).all():
        return value, math.nan
    left_out = np.sqrt((above.sum() - above) / rest)
    n = len(left_out)
    return value, float(np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum()))
