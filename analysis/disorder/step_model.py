"""A periodic profile of tanh steps between two levels, and its least-squares fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from analysis.constants import FloatArray

# A step this much thinner than a bin looks like one of no width.
MIN_WIDTH_BINS = 0.05
MAX_WIDTH_HEIGHTS = 0.25
# Increase of chi squared at the limits of a 95 % interval of one parameter.
CHI_SQUARED_95 = 3.841
WIDTH_BISECTIONS = 8


@dataclass(frozen=True)
class StepModel:
    """Steps in turn up and down; parameters are low, high, P positions, P widths.

    f(z) = low + (high - low) sum_j s_j [1 + tanh((z - z_j)/w_j)]/2, s_j = +1, -1 in turn, summed
    over periodic images and averaged over the bin, int tanh(x/w) dx = w ln cosh(x/w): the mean
    field profile of an interface (Rowlinson and Widom, Molecular Theory of Capillarity, 1982,
    section 3.1). Fitted by weighted least squares.

    Attributes
    ----------
    z : (S,) float array
        Bin centres, Angstrom.
    bin_width, height : float
        Bin width and period, Angstrom.
    rising : (P,) bool array
        Whether the step goes up in the direction of z.
    """

    z: FloatArray
    bin_width: float
    height: float
    rising: np.ndarray

    def value(self, parameters: FloatArray) -> FloatArray:
        """Return the (S,) bin averages."""
        low, high = parameters[:2]
        return low + (high - low) * self._shares(parameters)[0]

    def gradient(self, parameters: FloatArray) -> FloatArray:
        """Return the (S, 2 + 2 P) derivatives of the bin averages."""
        low, high = parameters[:2]
        share, by_place, by_width = self._shares(parameters)
        levels = np.stack([1.0 - share, share], axis=1)
        return np.hstack([levels, (high - low) * by_place, (high - low) * by_width])

    def _shares(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the share of the high level, (S,), and its derivatives, (S, P) each."""
        n = len(self.rising)
        places, widths = parameters[2 : 2 + n, None], parameters[2 + n :, None]
        sign = np.where(self.rising, 0.5, -0.5)
        # Steps up and down cancel at the images further off.
        x = self.z[:, None, None] - places - self.height * np.arange(-1, 2)
        above, below = ((x + side * self.bin_width / 2) / widths for side in (1, -1))
        rise = _log_cosh(above) - _log_cosh(below)
        by_place = -(np.tanh(above) - np.tanh(below)) / self.bin_width
        by_width = rise - above * np.tanh(above) + below * np.tanh(below)
        mean = (rise * widths / self.bin_width).sum(axis=2) @ sign
        base = 0.0 if self.rising[0] else 1.0
        return (
            base + mean,
            by_place.sum(axis=2) * sign,
            by_width.sum(axis=2) * sign / self.bin_width,
        )

    def fit(
        self,
        values: FloatArray,
        errors: FloatArray,
        guess: FloatArray,
        fixed_width: tuple[int, float] | None = None,
    ) -> tuple[FloatArray, FloatArray, float]:
        """Return parameters, Jacobian of the weighted residuals and chi squared."""
        n = len(self.rising)
        lower = np.concatenate([np.full(2 + n, -np.inf), np.full(n, self.sharpest)])
        upper = np.concatenate(
            [np.full(2 + n, np.inf), np.full(n, MAX_WIDTH_HEIGHTS * self.height)]
        )
        if fixed_width is not None:
            plane, w = fixed_width
            # The solver wants room between the bounds.
            lower[2 + n + plane], upper[2 + n + plane] = w, w * (1 + 1e-6)

        def residuals(parameters: FloatArray) -> FloatArray:
            return (self.value(parameters) - values) / errors

        def slopes(parameters: FloatArray) -> FloatArray:
            return self.gradient(parameters) / errors[:, None]

        found = least_squares(
            residuals,
            np.clip(guess, lower, upper),
            jac=slopes,
            bounds=(lower, upper),
            x_scale="jac",
        )
        return found.x, np.asarray(found.jac), float(2 * found.cost)

    @property
    def sharpest(self) -> float:
        """Smallest width that is tried, Angstrom."""
        return MIN_WIDTH_BINS * self.bin_width

    def width_limits(
        self,
        plane: int,
        values: FloatArray,
        errors: FloatArray,
        best: FloatArray,
        allowed: float,
    ) -> tuple[float, float]:
        """Return between which widths chi squared stays within `allowed` of its minimum.

        0 and inf where the narrowest and the widest step that are tried do.
        """
        least = self.fit(values, errors, best)[2]

        def inside(w: float) -> bool:
            return self.fit(values, errors, best, (plane, w))[2] - least <= allowed

        def edge(good: float, bad: float) -> float:
            for _ in range(WIDTH_BISECTIONS):
                middle = math.sqrt(good * bad)
                good, bad = (middle, bad) if inside(middle) else (good, middle)
            return good

        width = float(best[2 + len(self.rising) + plane])
        widest = MAX_WIDTH_HEIGHTS * self.height
        low = 0.0 if inside(self.sharpest) else edge(width, self.sharpest)
        return low, math.inf if inside(widest) else edge(width, widest)


def _log_cosh(x: FloatArray) -> FloatArray:
    x = np.abs(x)
    return np.asarray(x + np.log1p(np.exp(-2 * x)) - math.log(2.0))


def variances(jacobian: FloatArray) -> FloatArray:
    """Return the diagonal of (J^T J)^-1, inf for a parameter without influence.

    Press et al., Numerical Recipes, 3rd ed., section 15.4; J are weighted residuals.
    """
    scale = np.linalg.norm(jacobian, axis=0)
    influential = scale > 0
    scaled = jacobian[:, influential] / scale[influential]
    variances = np.full(len(scale), np.inf)
    variances[influential] = (
        np.diag(np.linalg.pinv(scaled.T @ scaled, rcond=1e-12)) / scale[influential] ** 2
    )
    return variances
