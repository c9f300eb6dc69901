"""Self intermediate scattering function: how long ions remember where they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray
from analysis.displacements.displacement_errors import LEVEL, Spread, spread_of
from analysis.displacements.displacements import Displacements, Piece, accumulate
from analysis.errors import RangeError
from analysis.results import Quantity

# Shells of half a nanometre, the first peak of S(Q) and the distance between neighbours.
Q_PER_ANGSTROM = (1.0, 1.7, 3.0)
RELAXED = math.exp(-1.0)


@dataclass(frozen=True)
class SelfScattering:
    """F_s(q, t) of a group of ions at one q.

    Attributes
    ----------
    group : str
        Name of the group; empty for all ions.
    q_per_angstrom : float
    times_ps : (K,) float array
    values : (K,) float array
        <sin(q r) / (q r)>; nan where no displacement was counted.
    spread : Spread
        Error of `values`.
    survivors : (K,) float array
        Displacements counted over all.
    """

    group: str
    q_per_angstrom: float
    times_ps: FloatArray
    values: FloatArray
    spread: Spread
    survivors: FloatArray


@dataclass(frozen=True)
class SineSums:
    """Sums of sin(q r)/(q r) for each q, the last column counts displacements."""

    q_per_angstrom: tuple[float, ...]
    sums: FloatArray  # (G, P, T, K, Q + 1)

    @classmethod
    def empty(cls, displacements: Displacements, q_per_angstrom: Sequence[float]) -> SineSums:
        """Return sums of nothing.

        Raises
        ------
        RangeError
            If a q is not positive.
        """
        if not all(q > 0 for q in q_per_angstrom):
            raise RangeError(f"q of {q_per_angstrom} 1/Angstrom; expected positive numbers")
        shape = (*displacements.tiles, len(q_per_angstrom) + 1)
        return cls(tuple(q_per_angstrom), np.zeros(shape))

    def add(self, piece: Piece) -> None:
        """Take in one piece."""
        tile = self.sums[:, piece.bunch, :, piece.lag]
        distances = np.sqrt(piece.squared)
        for column, q in enumerate(self.q_per_angstrom):
            # numpy's sinc is sin(pi x)/(pi x).
            tile[..., column] += piece.sums(np.sinc(q / np.pi * distances))
        tile[..., -1] += piece.sums(np.ones_like(distances))


def self_scattering(
    displacements: Displacements, q_per_angstrom: Sequence[float] = Q_PER_ANGSTROM
) -> list[SelfScattering]:
    """Compute F_s(q, t) at some q, averaged over directions of q, in one pass.

    Returns
    -------
    list of SelfScattering
        By group, then by q.

    Notes
    -----
    F_s(q, t) = <exp(i q . dr)> = <sin(q r) / (q r)> in an isotropic average: Hansen and McDonald,
    Theory of Simple Liquids, 4th ed., section 7.4. A cell has only some q, a single ion any.
    """
    sums = SineSums.empty(displacements, q_per_angstrom)
    accumulate(displacements, [sums])
    return self_scattering_of(displacements, sums)


def self_scattering_of(displacements: Displacements, sines: SineSums) -> list[SelfScattering]:
    """Evaluate the sums of a pass."""
    every = len(displacements.ids) * displacements.n_origins
    found = []
    for group, sums in zip(displacements.groups, sines.sums, strict=True):
        counts = sums[..., -1]
        number = counts.sum(axis=(0, 1))
        for column, q in enumerate(sines.q_per_angstrom):
            with np.errstate(invalid="ignore", divide="ignore"):
                values = sums[..., column].sum(axis=(0, 1)) / number
                influence = (sums[..., column] - values * counts) / number
            spread = spread_of(
                np.nan_to_num(influence),
                counts,
                displacements.times_ps,
                displacements.n_independent,
            )
            found.append(
                SelfScattering(group, q, displacements.times_ps, values, spread, number / every)
            )
    return found


def relaxation_time(found: SelfScattering, label: str, curve: str = "") -> Quantity:
    """Return the time at which F_s falls to 1/e.

    Parameters
    ----------
    found : SelfScattering
    label : str
        End of the name, after q.
    curve : str

    Returns
    -------
    Quantity
        ps. Its interval is where the band of F_s crosses 1/e; it has no upper limit where the upper
        edge of the band does not. Unresolved where F_s itself does not: `low` is then the longest
        lag at which the band is still above 1/e.
    """
    name = f"self_relaxation_time_{label}"
    known = np.isfinite(found.values) & np.isfinite(found.spread.standard_error)
    times, values = found.times_ps[known], found.values[known]
    half = found.spread.half_interval()[known]
    if not len(times):
        reason = "F_s has no error: fewer than two bunches of ions"
        return Quantity(name, math.nan, "ps", status="unresolved", reason=reason, curve=curve)
    low, value, high = (_crossing(times, edge) for edge in (values - half, values, values + half))
    if value <= times[0]:
        reason = f"F_s is already {values[0]:.2f} at the shortest lag, {times[0]:.3g} ps"
        if high > times[0]:
            reason += "; the bound is where its error band falls to 1/e"
        return Quantity(
            name,
            math.nan,
            "ps",
            0.0,
            high,
            LEVEL,
            "unresolved",
            reason + "; store more frames",
            curve,
        )
    if not math.isfinite(value):
        # The lower edge may end above 1/e too: the last lag is then the bound.
        bound = min(low, float(times[-1]))
        reason = (
            f"F_s is still {values[-1]:.3f} after {times[-1]:.4g} ps, the longest lag; "
            f"it takes longer than {bound:.4g} ps to fall to 1/e"
        )
        return Quantity(name, math.nan, "ps", bound, math.inf, LEVEL, "unresolved", reason, curve)
    reason = f"F_s at q = {found.q_per_angstrom:g} 1/Angstrom falls to 1/e"
    if not math.isfinite(high):
        reason += "; the upper edge of its error band does not within the longest lag"
    return Quantity(name, value, "ps", low, high, LEVEL, "ok", reason, curve)


def _crossing(times: FloatArray, values: FloatArray) -> float:
    """Return where values first fall to 1/e, linear in ln t; inf if nowhere."""
    below = np.flatnonzero(values <= RELAXED)
    if not len(below):
        return math.inf
    k = int(below[0])
    if k == 0:
        return float(times[0])
    share = (values[k - 1] - RELAXED) / (values[k - 1] - values[k])
    return float(times[k - 1] * (times[k] / times[k - 1]) ** share)
