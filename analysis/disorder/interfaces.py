"""Interfaces of a periodic sandwich: planes and widths from steps in a profile along an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.blocks import error_of_blocks
from analysis.constants import FloatArray
from analysis.disorder.axis import Axis
from analysis.disorder.disorder_profile import DisorderProfile
from analysis.disorder.step_model import CHI_SQUARED_95, StepModel, variances
from analysis.errors import RangeError

# Difference of the two levels over the noise of one slab. Sorting pure noise in two gives about 2.
MIN_CONTRAST = 5.0
# Fewer cannot hold two layers that differ from their neighbours.
MIN_SLABS = 4
# 10 to 90 % of tanh(z/w): 2 artanh(0.8).
WIDTH_10_90 = 2.0 * math.atanh(0.8)


@dataclass(frozen=True)
class Interfaces:
    """Planes at which a profile steps between two levels; none if it has no contrast.

    Attributes
    ----------
    axis : {"a", "b", "c"}
    z_angstrom : (P,) float array
        Positions at the mean cell, ascending, origin as in the profile.
    z_errors_angstrom : (P,) float array
        Standard errors: covariance of the fit (enlarged by the reduced chi squared where that
        exceeds 1) and scatter between blocks of frames, added in quadrature.
    widths_angstrom, width_errors_angstrom : (P,) float arrays
        w of tanh((z - z0)/w), which takes 2.197 w from 10 to 90 %; errors as above, inf for a
        step too sharp to have one.
    width_limits_angstrom : (P, 2) float array
        95 % limits of w where chi squared, all else refitted, has risen by 3.84; the lower is 0
        where the slabs do not tell the step from a sharp one, and then w has no meaning; the
        upper is inf where they do not tell it from one as wide as a quarter of the cell.
    glass_above : (P,) bool array
        Whether the disordered side begins at the plane in the direction of the axis.
    low, high : float
        Levels of the fitted profile, nan if there is no plane.
    contrast : float
        Difference of the levels over the noise of one slab, before fitting.
    reduced_chi_squared, degrees_of_freedom : float, int
        Of the fit.
    slab_width_angstrom, height_angstrom : float
        Of the profile.
    reason : str
        How the planes were found, or why there is none.
    """

    axis: Axis
    z_angstrom: FloatArray
    z_errors_angstrom: FloatArray
    widths_angstrom: FloatArray
    width_errors_angstrom: FloatArray
    width_limits_angstrom: FloatArray
    glass_above: np.ndarray
    low: float
    high: float
    contrast: float
    reduced_chi_squared: float
    degrees_of_freedom: int
    slab_width_angstrom: float
    height_angstrom: float
    reason: str

    @property
    def number(self) -> int:
        """Number of planes."""
        return len(self.z_angstrom)

    @property
    def glass_share(self) -> float:
        """Share of the cell from the planes where glass begins to those where it ends."""
        above = np.diff(np.append(self.z_angstrom, self.z_angstrom[:1] + self.height_angstrom))
        return float(above[self.glass_above].sum() / self.height_angstrom)


def disorder_interfaces(profile: DisorderProfile, *, n_planes: int | None = None) -> Interfaces:
    """Fit the interfaces between ordered and disordered slabs of F(z).

    Parameters
    ----------
    profile : DisorderProfile
    n_planes : int, optional
        Number of planes; by default as many as are found.

    Returns
    -------
    Interfaces
        `low` and `high` are levels of the order amplitude, see notes.

    Raises
    ------
    RangeError
        As `fit_steps`.

    Notes
    -----
    The steps are fitted to the order amplitude F^(-1/2) (power form; 1/F in the amplitude form).
    In a slab of which the share x is crystal the Bragg amplitudes are x times those of the
    crystal while the mean over pixels, diffuse, hardly changes, so that max^(1/2) and with it
    F^(-1/2) is about linear in x; F itself stays low until x is far below 1/2 and would place
    the plane too deep in the glass. The noise of a slab is its standard error and the scatter
    of a random gas, whichever way the structure froze.
    """
    power = 0.5 if profile.settings.form == "power" else 1.0
    values = profile.values**-power
    relative = np.where(np.isfinite(profile.standard_errors), profile.standard_errors, 0.0)
    relative = np.hypot(relative / profile.values, profile.random_noise)
    return fit_steps(
        profile.axis,
        profile.z_angstrom,
        values,
        power * relative * values,
        profile.height_angstrom,
        block_values=profile.block_values**-power,
        n_planes=n_planes,
        glass_is_high=False,
        what="order amplitude F^(-1/2)" if power == 0.5 else "order amplitude 1/F",
    )


def fit_steps(
    axis: Axis,
    z_angstrom: FloatArray,
    values: FloatArray,
    errors: FloatArray,
    height_angstrom: float,
    *,
    block_values: FloatArray | None = None,
    n_planes: int | None = None,
    glass_is_high: bool = True,
    what: str = "profile",
) -> Interfaces:
    """Fit tanh steps between two levels to a periodic profile.

    Parameters
    ----------
    axis : {"a", "b", "c"}
    z_angstrom : (S,) float array
        Equally spaced bin centres that cover the period, ascending.
    values, errors : (S,) float arrays
        Profile and the standard deviation of each bin, quenched disorder included.
    height_angstrom : float
        Period.
    block_values : (n_blocks, S) float array, optional
        The profile in blocks of frames.
    n_planes : int, optional
        Number of planes, even; by default as many as are found.
    glass_is_high : bool
        Which level is the disordered side.
    what : str
        Name of the profile in messages.

    Returns
    -------
    Interfaces
        Without planes where the contrast is too small and `n_planes` is not given.

    Raises
    ------
    RangeError
        If `n_planes` is odd, or differs from what the profile shows, or the profile has too few
        bins for the planes found, or holds numbers that are not finite.

    Notes
    -----
    See `StepModel`. Planes are counted where the profile changes between the two sets of bins
    that differ most; the covariance is (J^T J)^-1, enlarged where chi squared is.
    """
    if not (np.isfinite(values).all() and np.isfinite(errors).all() and (errors > 0).all()):
        raise RangeError(
            f"the {what} along {axis} holds bins without a finite value and a positive error, such "
            "as empty slabs; use wider slabs"
        )
    if n_planes is not None and (n_planes < 2 or n_planes % 2):
        raise RangeError(f"n_planes {n_planes}: a periodic cell has an even number, at least 2")
    width = height_angstrom / len(values)
    if len(values) < MIN_SLABS:
        reason = f"{len(values)} slabs along {axis}; at least {MIN_SLABS} show an interface"
        if n_planes is not None:
            raise RangeError(f"no interface along {axis}: {reason}; use thinner slabs")
        return _no_planes(axis, math.nan, width, height_angstrom, reason)
    high_side, contrast = _two_levels(values, errors)
    starts = np.flatnonzero(high_side != np.roll(high_side, 1))
    found = len(starts) if contrast >= MIN_CONTRAST else 0
    seen = (
        f"the two levels of the {what} differ by {contrast:.1f} times the noise of one of "
        f"{len(values)} slabs"
    )
    if not found:
        reason = f"{seen}; at least {MIN_CONTRAST:g} are needed to tell an interface from noise"
        if n_planes is not None:
            raise RangeError(f"no interface along {axis}: {reason}")
        return _no_planes(axis, contrast, width, height_angstrom, reason)
    if n_planes is not None and n_planes != found:
        raise RangeError(
            f"{found} planes along {axis} instead of {n_planes}: {seen}. Leave n_planes out, or "
            "change the slab width."
        )
    if len(values) < 2 * found + 3:
        raise RangeError(
            f"{found} planes along {axis} need at least {2 * found + 3} slabs, found "
            f"{len(values)}; use slabs of at most "
            f"{height_angstrom / (2 * found + 3):.2f} Angstrom"
        )
    rising = high_side[starts]
    model = StepModel(z_angstrom, width, height_angstrom, rising)
    guess = np.concatenate(
        [
            [values[~high_side].mean(), values[high_side].mean()],
            _crossings(z_angstrom, values, high_side, starts, width),
            np.full(found, 0.5 * width),
        ]
    )
    best, jacobian, chi_squared = model.fit(values, errors, guess)
    freedom = len(values) - len(best)
    variance = variances(jacobian) * max(1.0, chi_squared / freedom)
    if block_values is not None and len(block_values) > 1:
        fits = np.array([model.fit(block, errors, best)[0] for block in block_values])
        variance = variance + error_of_blocks(fits) ** 2
    order = np.argsort(np.mod(best[2 : 2 + found], height_angstrom))
    spread = np.sqrt(variance)
    width_errors = spread[2 + found :]
    # Sharper than a slab, chi squared is flat in the width and its curvature means nothing.
    width_errors = np.where(width_errors < height_angstrom, width_errors, np.inf)
    allowed = CHI_SQUARED_95 * max(1.0, chi_squared / freedom)
    limits = np.array([model.width_limits(n, values, errors, best, allowed) for n in range(found)])
    return Interfaces(
        axis=axis,
        z_angstrom=np.mod(best[2 : 2 + found], height_angstrom)[order],
        z_errors_angstrom=spread[2 : 2 + found][order],
        widths_angstrom=best[2 + found :][order],
        width_errors_angstrom=width_errors[order],
        width_limits_angstrom=limits[order],
        glass_above=(rising == glass_is_high)[order],
        low=float(best[0]),
        high=float(best[1]),
        contrast=contrast,
        reduced_chi_squared=chi_squared / freedom,
        degrees_of_freedom=freedom,
        slab_width_angstrom=width,
        height_angstrom=height_angstrom,
        reason=f"tanh steps fitted to the {what}; {seen}",
    )


def _two_levels(values: FloatArray, errors: FloatArray) -> tuple[np.ndarray, float]:
    """Split bins in two so that the variance within is least; return the upper set and contrast.

    Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979), doi 10.1109/TSMC.1979.4310076.
    """
    ordered = np.sort(values)
    number = np.arange(1, len(values))
    below = np.cumsum(ordered)[:-1] / number
    above = (ordered.sum() - np.cumsum(ordered)[:-1]) / (len(values) - number)
    cut = int(np.argmax(number * (len(values) - number) * (above - below) ** 2))
    middle = 0.5 * (below[cut] + above[cut])
    noise = float(np.sqrt((errors**2).mean()))
    return values > middle, float((above[cut] - below[cut]) / noise)


def _crossings(
    z: FloatArray, values: FloatArray, high_side: np.ndarray, starts: np.ndarray, width: float
) -> FloatArray:
    """Return where the profile passes the middle of its levels, before each of `starts`."""
    middle = 0.5 * (values[high_side].mean() + values[~high_side].mean())
    before, after = values[starts - 1], values[starts]
    return z[starts] - width * (after - middle) / (after - before)


def _no_planes(axis: Axis, contrast: float, width: float, height: float, reason: str) -> Interfaces:
    none = np.empty(0)
    return Interfaces(
        axis=axis,
        z_angstrom=none,
        z_errors_angstrom=none,
        widths_angstrom=none,
        width_errors_angstrom=none,
        width_limits_angstrom=np.empty((0, 2)),
        glass_above=np.empty(0, dtype=bool),
        low=math.nan,
        high=math.nan,
        contrast=contrast,
        reduced_chi_squared=math.nan,
        degrees_of_freedom=0,
        slab_width_angstrom=width,
        height_angstrom=height,
        reason=reason,
    )
