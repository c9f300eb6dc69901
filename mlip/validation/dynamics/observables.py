"""What is compared of a trajectory: mean squared displacement, vibrations and g(r)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import RangeError
from analysis.motion.msd import mean_squared_displacement
from analysis.motion.vibrations import VibrationalDensityOfStates, vibrational_density_of_states
from analysis.pairs.pair_counts import largest_r_max
from analysis.pairs.rdf import PairDistribution, pair_distributions
from analysis.pairs.shells import find_first_shell
from analysis.trajectory import Trajectory, centre_of_mass_path

R_MAX_ANGSTROM = 8.0
# The MSD is compared over lags of this part of the trajectory: past vibration, and short enough
# for several independent origins.
LAG_SHARE = (0.25, 0.5)


@dataclass(frozen=True)
class Observables:
    """Motion and structure of one trajectory.

    Attributes
    ----------
    species : tuple of str
    times_ps : (F,) float array
        Lag times.
    msd : dict of str to (F,) float array
        By species, Angstrom^2.
    vibrations : dict of str to VibrationalDensityOfStates
        By species; empty if the frames do not resolve them.
    no_vibrations : str
        Why not.
    pairs : dict of str to PairDistribution
        By pair of species.
    """

    species: tuple[str, ...]
    times_ps: FloatArray
    msd: dict[str, FloatArray]
    vibrations: dict[str, VibrationalDensityOfStates]
    no_vibrations: str
    pairs: dict[str, PairDistribution]

    @property
    def temperature_kelvin(self) -> float:
        """Kinetic temperature, mean over atoms; nan without vibrations."""
        found = [(v.share, v.kinetic_temperature_kelvin) for v in self.vibrations.values()]
        return sum(c * t for c, t in found) if found else float("nan")


def observe(
    trajectory: Trajectory,
    *,
    resolution_per_cm: float,
    highest_per_cm: float,
    r_max_angstrom: float,
) -> Observables:
    """Compute all that is compared."""
    species = tuple(sorted(set(trajectory.species.tolist())))
    drift = centre_of_mass_path(trajectory)
    msds = {
        name: mean_squared_displacement(
            trajectory, trajectory.ids_of(name), label=name, drift_path=drift
        )
        for name in species
    }
    vibrations: list[VibrationalDensityOfStates] = []
    reason = ""
    try:
        vibrations = vibrational_density_of_states(
            trajectory, resolution_per_cm=resolution_per_cm, highest_per_cm=highest_per_cm
        )
    except RangeError as error:
        reason = str(error)
    return Observables(
        species=species,
        times_ps=msds[species[0]].times_ps,
        msd={name: msd.msd for name, msd in msds.items()},
        vibrations={item.label: item for item in vibrations},
        no_vibrations=reason,
        pairs={
            pair.label: pair
            for pair in pair_distributions(trajectory, r_max_angstrom=r_max_angstrom)
        },
    )


def common_r_max(trajectories: Sequence[Trajectory]) -> float:
    """Return the largest distance that all cells allow, at most 8 Angstrom."""
    return min(R_MAX_ANGSTROM, *(largest_r_max(trajectory) for trajectory in trajectories))


def msd_level(times_ps: FloatArray, msd: FloatArray) -> float:
    """Return the mean MSD between a quarter and a half of the trajectory, Angstrom^2."""
    low, high = (share * times_ps[-1] for share in LAG_SHARE)
    chosen = (times_ps >= low * (1 - 1e-9)) & (times_ps <= high * (1 + 1e-9))
    return float(np.mean(msd[chosen]))


def first_peak(pair: PairDistribution, g: FloatArray | None = None) -> tuple[float, float]:
    """Return position (Angstrom) and height of the first peak of g(r); nan if there is none.

    Parameters
    ----------
    pair : PairDistribution
    g : (B,) float array, optional
        Another g(r) on the same grid with the same counting statistics, such as a mean.
    """
    shape = pair.g if g is None else g
    position, _ = find_first_shell(pair.r_angstrom, shape, pair.expected_pairs)
    if not np.isfinite(position):
        return position, float("nan")
    return position, float(np.interp(position, pair.r_angstrom, shape))
