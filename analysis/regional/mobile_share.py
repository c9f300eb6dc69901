"""Share of displacements that are long: how many ions are mobile over a short time."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from analysis.constants import FloatArray
from analysis.motion.membership import Membership, Rule, counted
from analysis.regional.exchange import poisson_interval
from analysis.results import Quantity
from analysis.trajectory import DEFAULT_BLOCK_BYTES, Trajectory, centre_of_mass_path

MOBILE_ANGSTROM = 4.0
MOBILE_PS = 10.0
LEVEL = 0.95


def mobile_shares(
    trajectory: Trajectory,
    membership: Membership,
    *,
    label: str,
    rule: Rule = "origin",
    drift_path: FloatArray | None = None,
    distance_angstrom: float = MOBILE_ANGSTROM,
    time_ps: float = MOBILE_PS,
    max_bytes: int = DEFAULT_BLOCK_BYTES,
) -> list[Quantity]:
    """Return for each group the share of displacements over a time that exceed a distance.

    Parameters
    ----------
    trajectory : Trajectory
    membership : Membership
    label : str
        Chemical symbol of the ions; the name of a group follows it in names.
    rule : {"origin", "origin_and_end", "throughout"}
    drift_path : (F, 3) float array, optional
        Path to subtract from every ion, Angstrom; by default the centre of mass of all atoms.
    distance_angstrom, time_ps : float
    max_bytes : int
        Size limit of the positions held at once.

    Returns
    -------
    list of Quantity
        The interval is Student t over ions, the share being a ratio of sums over ions. Without a
        long displacement the share is unresolved with the Poisson bound of the independent
        displacements seen. Groups without a displacement are unresolved without a bound.
    """
    if drift_path is None:
        drift_path = centre_of_mass_path(trajectory)
    n_frames, n_ions = membership.codes.shape
    lag = max(1, round(time_ps / trajectory.frame_interval_ps))
    if lag >= n_frames:
        reason = f"the run lasts {trajectory.duration_ps:.4g} ps, less than {time_ps:g} ps"
        return [_unresolved(label, name, reason) for name in membership.names]
    long, number = np.zeros((2, len(membership.names), n_ions))
    done = 0
    # Half the limit: the displacements take as much again.
    for _, positions in trajectory.atom_blocks(membership.ids, max_bytes // 2):
        positions = positions - drift_path[:, None, :]
        columns = slice(done, done + positions.shape[1])
        far = ((positions[lag:] - positions[:-lag]) ** 2).sum(axis=2) > distance_angstrom**2
        for group in range(len(membership.names)):
            counts = counted(membership.inside(group, columns), lag, rule)
            number[group, columns] = counts.sum(axis=0)
            long[group, columns] = (counts & far).sum(axis=0)
        done += positions.shape[1]
    what = (
        f"displacements above {distance_angstrom:g} Angstrom in "
        f"{lag * trajectory.frame_interval_ps:.4g} ps; rule {rule}"
    )
    return [
        _share(f"mobile_share_{label}_{name}", long[group], number[group], lag, what)
        for group, name in enumerate(membership.names)
    ]


def _share(name: str, long: FloatArray, number: FloatArray, lag: int, what: str) -> Quantity:
    total = number.sum()
    if not total:
        return Quantity(name, math.nan, "1", status="unresolved", reason="no ion in the group")
    if not long.sum():
        # Displacements that overlap in time are one observation.
        independent = max(1.0, total / lag)
        bound = min(1.0, poisson_interval(0, LEVEL)[1] / independent)
        reason = f"none of {independent:.0f} independent {what}"
        return Quantity(name, math.nan, "1", 0.0, bound, LEVEL, "unresolved", reason)
    share = float(long.sum() / total)
    ions = number[number > 0]
    # Ions that are in the group for a part of the time count for less.
    effective = float(ions.sum() ** 2 / (ions**2).sum())
    if effective < 2:
        return Quantity(name, share, "1", reason=f"{what}; no error estimate from one ion")
    residual = long - share * number
    error = math.sqrt(float((residual**2).sum()) * effective / (effective - 1)) / total
    half = float(stats.t.ppf(0.5 + 0.5 * LEVEL, effective - 1)) * error
    low, high = max(share - half, 0.0), min(share + half, 1.0)
    return Quantity(name, share, "1", low, high, LEVEL, "ok", f"{what}; error over ions")


def _unresolved(label: str, group: str, reason: str) -> Quantity:
    name = f"mobile_share_{label}_{group}"
    return Quantity(name, math.nan, "1", status="unresolved", reason=reason)
