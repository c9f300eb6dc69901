"""What the disorder measure of a structureless slab is, from the number of Fourier pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gamma, gammainc

from analysis.constants import FloatArray

Form = Literal["power", "amplitude"]
POWER_OF_INTENSITY = {"power": 1.0, "amplitude": 0.5}
GRID_POINTS = 300


@dataclass(frozen=True)
class RandomLevel:
    """Disorder measure of a random gas.

    Attributes
    ----------
    mean : float
        Expected mean/max over the pixels.
    relative_noise : float
        Standard deviation between slabs over `mean`.
    """

    mean: float
    relative_noise: float


def equal_pixel_baseline(n_pixels: int) -> float:
    """Return mean/max of independent pixels of equal mean intensity, 1/(ln M + 0.5772).

    Parameters
    ----------
    n_pixels : int
        Independent pixels, half of all but the zero frequency.

    Notes
    -----
    Intensities of a random structure are exponentially distributed; the largest of M has the
    mean ln M + 0.5772 (Gumbel, Statistics of Extremes, 1958, section 4.2.1). Power form; a
    Gaussian envelope lowers it, see `random_level`.
    """
    return float(1.0 / (np.log(n_pixels) + np.euler_gamma))


def random_level(mean_intensities: FloatArray, form: Form) -> RandomLevel:
    """Return mean/max of independent pixels whose mean intensities differ, without approximation.

    Parameters
    ----------
    mean_intensities : (M,) float array
        Mean intensity of each pixel, such as exp(-q^2 sigma^2); any common factor cancels.
    form : {"power", "amplitude"}

    Notes
    -----
    With exponential intensities I_i of means m_i and Y = I^p, p = 1 or 1/2, the largest lies at x
    in pixel j with density f_j(x) prod_{i != j} F_i(x), and then the others are exponential cut
    off at x: <Y_i | x> = m_i^p Gamma(1 + p) P(1 + p, x/m_i)/(1 - exp(-x/m_i)), P the regularised
    incomplete gamma function. Mean and variance of sum(Y)/(M x^p) follow by one integral over x
    (order statistics: David and Nagaraja, Order Statistics, 3rd ed., section 2.1).
    """
    p = POWER_OF_INTENSITY[form]
    relative = np.asarray(mean_intensities, dtype=float) / np.max(mean_intensities)
    # Symmetry makes many pixels alike.
    m, number = np.unique(relative.round(12), return_counts=True)
    # Under a wide Gaussian some pixels hold nothing: they are part of the mean alone.
    m, number = m[m > 0], number[m > 0]
    n_pixels = len(relative)
    x = np.linspace(0.0, np.log(n_pixels) + 36.0, GRID_POINTS + 1)[1:]
    t = x[:, None] / m
    below = -np.expm1(-t)
    first = m**p * gamma(1 + p) * gammainc(1 + p, t) / below
    second = m ** (2 * p) * gamma(1 + 2 * p) * gammainc(1 + 2 * p, t) / below
    variance = second - first**2
    # Density of the largest being x and in a pixel of each kind.
    with np.errstate(over="ignore"):
        density = np.exp(np.log(below) @ number)[:, None] * number / (m * np.expm1(t))
    largest = x[:, None] ** p
    total = largest + (first @ number)[:, None] - first
    spread = (variance @ number)[:, None] - variance
    norm = density.sum()
    mean = float((density * total / largest).sum() / norm)
    square = float((density * (total**2 + spread) / largest**2).sum() / norm)
    return RandomLevel(mean / n_pixels, float(np.sqrt(max(square - mean**2, 0.0)) / mean))
