"""The disorder measure of a Fourier pattern, and all settings it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np

from analysis.constants import FloatArray
from analysis.disorder.random_level import POWER_OF_INTENSITY, Form
from analysis.errors import AnalysisError, RangeError

SIGMA_ANGSTROM = 0.5
Q_MAX_PER_ANGSTROM = 3.0


@dataclass(frozen=True)
class DisorderSettings:
    """All that F depends on beside the structure.

    Attributes
    ----------
    slab_angstrom : float, optional
        Wanted slab width; the nearest that divides the cell is taken. By default 8.2, or the
        nearest commensurate width where `repeat_angstrom` is known.
    sigma_angstrom : float
        Standard deviation of the Gaussian that stands for an atom.
    q_max_per_angstrom : float
        Pixels with 0 < q < q_max count.
    form : {"power", "amplitude"}
        Whether squared Fourier amplitudes enter, or their moduli.
    published_form : bool
        Keep the zero frequency, as the literal published formula does. It swamps the rest, so
        that crystal and gas look alike; for comparison only.
    repeat_angstrom : float, optional
        Repeat of the crystal's lattice along the axis, for the check of the slab width.
    """

    slab_angstrom: float | None = None
    sigma_angstrom: float = SIGMA_ANGSTROM
    q_max_per_angstrom: float = Q_MAX_PER_ANGSTROM
    form: Form = "power"
    published_form: bool = False
    repeat_angstrom: float | None = None

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise AnalysisError(f"form {self.form!r}: expected one of {', '.join(get_args(Form))}.")
        if not (self.sigma_angstrom >= 0 and self.q_max_per_angstrom > 0):
            raise RangeError(
                f"sigma {self.sigma_angstrom:g} Angstrom, q_max {self.q_max_per_angstrom:g} "
                "1/Angstrom: sigma may not be negative and q_max must be positive"
            )
        if self.repeat_angstrom is not None and not self.repeat_angstrom > 0:
            raise RangeError(f"repeat {self.repeat_angstrom:g} Angstrom: it must be positive")


def disorder_measure(
    intensities: FloatArray, populations: FloatArray, settings: DisorderSettings
) -> FloatArray:
    """Return mean over maximum of the pixels of every slab.

    Parameters
    ----------
    intensities : (S, M) float array
        Squared Fourier amplitudes, one pixel of every pair q, -q.
    populations : (S,) float array
        Fourier amplitude at q = 0.
    settings : DisorderSettings
        Its `form` and `published_form` count here.

    Returns
    -------
    (S,) float array
        nan for an empty slab.
    """
    power = POWER_OF_INTENSITY[settings.form]
    shown = intensities**power
    total, largest, number = shown.sum(axis=1), shown.max(axis=1), shown.shape[1]
    if settings.published_form:
        zero = populations ** (2 * power)
        total, largest, number = 2 * total + zero, np.maximum(largest, zero), 2 * number + 1
    # Tails of Gaussians from the next slab are no structure.
    filled = (largest > 0) & (populations >= 1.0)
    return np.where(filled, total / np.where(filled, number * largest, 1.0), np.nan)
