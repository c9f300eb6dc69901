"""Does the framework stay where it is? In a melt it does not, and a conductivity is a melt's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.anions.anion_rules import anion_rules
from analysis.anions.speciation import block_shares, speciation
from analysis.blocks import N_BLOCKS
from analysis.errors import AnalysisError, RangeError
from analysis.motion.msd import MeanSquaredDisplacement
from analysis.results import Quantity
from analysis.trajectory import Trajectory

# An atom of a solid vibrates within a squared Angstrom of its site, methods of glass dynamics.
FROZEN_MSD_ANGSTROM2 = 1.0
# Log slope of the MSD over the last half decade: 0 on a plateau, 1 in a liquid.
FROZEN_LOG_SLOPE = 0.5
HALF_DECADE = 10**0.5
# Share of the network formers that may be in other anions in the last fifth than in the first.
FROZEN_SPECIATION_CHANGE = 0.05
# ... and at least this many times the scatter of fifths about a straight line.
STEADY_RATIO = 3.0
# Frames in which anions are counted: enough for shares to a percent, and cheap.
SPECIATION_FRAMES = 50


@dataclass(frozen=True)
class SpeciesMotion:
    """How far one immobile species moves.

    Attributes
    ----------
    label : str
    time_ps : float
        Half the run, or the nearest lag before it.
    msd_angstrom2 : float
        MSD over that time.
    log_slope : float
        d ln MSD / d ln t over the half decade that ends there.
    """

    label: str
    time_ps: float
    msd_angstrom2: float
    log_slope: float

    @property
    def frozen(self) -> bool:
        """Whether the MSD has a plateau that vibration explains."""
        return self.msd_angstrom2 < FROZEN_MSD_ANGSTROM2 and self.log_slope < FROZEN_LOG_SLOPE


@dataclass(frozen=True)
class FrameworkState:
    """Whether the framework is frozen, and why it is said so.

    Attributes
    ----------
    species : tuple of SpeciesMotion
        Of every species that is not mobile.
    speciation_change : float
        Largest steady change, from the first to the last fifth of the run, of the share of network
        formers in any kind of anion: 0 where fifths scatter as much; nan where anions are not
        counted.
    changed_anion : str
        The kind that changed most, or "".
    speciation_note : str
        Why anions are not counted, or "".
    """

    species: tuple[SpeciesMotion, ...]
    speciation_change: float
    changed_anion: str
    speciation_note: str

    @property
    def frozen(self) -> bool:
        """Whether no species moves and the anions stay the same."""
        return all(found.frozen for found in self.species) and not self._anions_change

    @property
    def melted(self) -> bool:
        """Whether every species moves; anions that turn in place move their ligands alone."""
        return not any(found.frozen for found in self.species)

    @property
    def label(self) -> str:
        """What a conductivity must carry: "", or "melt", or that the framework moves in part."""
        moving = [found.label for found in self.species if not found.frozen]
        if self.melted:
            return "melt: the whole framework moves"
        if moving:
            return f"framework moves in part ({', '.join(moving)})"
        return "anions change during the run" if self._anions_change else ""

    @property
    def reason(self) -> str:
        """The numbers, in words."""
        words = [
            f"MSD of {found.label} {found.msd_angstrom2:.2g} Angstrom^2 after "
            f"{found.time_ps:.3g} ps, log slope {found.log_slope:.2f}"
            for found in self.species
        ]
        if math.isfinite(self.speciation_change):
            words.append(
                f"at most {100 * self.speciation_change:.1f} % change anion "
                f"({self.changed_anion}) from the first to the last fifth"
            )
        else:
            words.append(f"anions not compared: {self.speciation_note}")
        verdict = "frozen" if self.frozen else self.label
        return f"{verdict}; {'; '.join(words)}"

    @property
    def _anions_change(self) -> bool:
        return self.speciation_change > FROZEN_SPECIATION_CHANGE


def framework_state(
    trajectory: Trajectory, curves: Mapping[str, MeanSquaredDisplacement]
) -> FrameworkState:
    """Judge whether the framework stays on its sites and keeps its anions.

    Parameters
    ----------
    trajectory : Trajectory
    curves : mapping of str to MeanSquaredDisplacement
        Of every species that is not mobile.

    Returns
    -------
    FrameworkState

    Raises
    ------
    RangeError
        If there is no such species, or the run is too short for half a decade of lags.
    """
    if not curves:
        raise RangeError(f"{trajectory.path}: every species is mobile; there is no framework")
    species = tuple(species_motion(curve) for _, curve in sorted(curves.items()))
    change, name, note = _speciation_change(trajectory)
    return FrameworkState(species, change, name, note)


def species_motion(msd: MeanSquaredDisplacement) -> SpeciesMotion:
    """Read MSD and log slope at half the run.

    Raises
    ------
    RangeError
        If half the run holds no half decade of lags.
    """
    stop = (len(msd.times_ps) - 1) // 2
    start = round(stop / HALF_DECADE)
    if start < 1 or start >= stop:
        raise RangeError(
            f"{len(msd.times_ps)} frames; half a decade of lags up to half the run takes 9"
        )
    early, late = float(msd.msd[start]), float(msd.msd[stop])
    slope = math.log(late / early) / math.log(stop / start) if early > 0 and late > 0 else 0.0
    return SpeciesMotion(msd.label, float(msd.times_ps[stop]), late, slope)


def framework_quantities(
    state: FrameworkState, curves: Mapping[str, MeanSquaredDisplacement]
) -> list[Quantity]:
    """Return the MSD of the slowest species, which is the network former, and the verdicts."""
    slowest = min(state.species, key=lambda found: found.msd_angstrom2)
    msd = curves[slowest.label]
    lag = len(msd.times_ps) // 2
    return [
        Quantity(
            name=f"framework_mean_squared_displacement_{slowest.label}",
            value=float(msd.msd[lag]),
            unit="Angstrom^2",
            reason=f"MSD of {slowest.label}, the slowest species, after {msd.times_ps[lag]:.3g} ps",
            curve=f"msd_{slowest.label}.csv",
        ),
        Quantity("framework_frozen", float(state.frozen), "1", reason=state.reason),
        Quantity("framework_melted", float(state.melted), "1", reason=state.reason),
    ]


def _speciation_change(trajectory: Trajectory) -> tuple[float, str, str]:
    rules = anion_rules()
    species = set(trajectory.species.tolist())
    if note := rules.missing(species):
        return math.nan, "", note
    formers = [name for name in rules.elements if name in rules.formers and name in species]
    if not formers:
        return math.nan, "", "no network former"
    if trajectory.n_frames < 2 * N_BLOCKS:
        return math.nan, "", f"{trajectory.n_frames} frames"
    stride = max(1, trajectory.n_frames // SPECIATION_FRAMES)
    try:
        found = speciation(trajectory, rules=rules, stride=stride)
        # Shares in blocks of a fifth of the run each.
        changes = {former: block_shares(found, former)[1] for former in formers}
    except AnalysisError as error:
        return math.nan, "", str(error)
    worst, name = 0.0, ""
    for blocks in changes.values():
        if len(blocks) < N_BLOCKS:
            return math.nan, "", "too few frames for fifths"
        change = np.abs(blocks[-1] - blocks[0])
        change[change <= STEADY_RATIO * _scatter(blocks)] = 0.0
        if np.isfinite(change).any() and np.nanmax(change) >= worst:
            worst, name = float(np.nanmax(change)), found.names[int(np.nanargmax(change))]
    return worst, name, ""


def _scatter(blocks: np.ndarray) -> np.ndarray:
    """Return the standard deviation about a straight line of each column of (B, U) values."""
    times = np.arange(len(blocks)) - 0.5 * (len(blocks) - 1)
    slopes = times @ blocks / (times @ times)
    rest = blocks - blocks.mean(axis=0) - times[:, None] * slopes
    return np.asarray(np.sqrt((rest**2).sum(axis=0) / (len(blocks) - 2)))
