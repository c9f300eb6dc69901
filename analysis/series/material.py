"""All runs of one material: points, Arrhenius lines, extrapolation and committee."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.errors import AnalysisError
from analysis.series.arrhenius import Arrhenius, fit_arrhenius, ordinate_of
from analysis.series.committee import CommitteeSpread, spread_of_energies, spreads_of_runs
from analysis.series.run_result import RunResult
from analysis.series.samples import (
    CONDUCTIVITY,
    DIFFUSION,
    HAVEN,
    SeriesPoint,
    series_points,
)

ROOM_TEMPERATURE_KELVIN = 300.0
SAME_TEMPERATURE_KELVIN = 1.0


@dataclass(frozen=True)
class Extrapolation:
    """A line continued to a temperature, beside what is known there.

    Attributes
    ----------
    kelvin : float
    value, low, high : float
        Of the line with its prediction interval; limits nan for two temperatures.
    fit : Arrhenius
        Without points at that temperature.
    known : SeriesPoint or None
        Measured or bounded at that temperature.
    """

    kelvin: float
    value: float
    low: float
    high: float
    fit: Arrhenius
    known: SeriesPoint | None

    @property
    def ratio(self) -> float:
        """Measured value, or upper bound, over the extrapolated value; nan if none is known."""
        if self.known is None:
            return math.nan
        known = self.known.quantity.value if self.known.resolved else self.known.bound
        return known / self.value


@dataclass(frozen=True)
class MaterialSeries:
    """The runs of one material and what follows from them.

    Attributes
    ----------
    name : str
        Of the material; "" where there is only one.
    runs : tuple of RunResult
    member : str
        Potential whose runs give the points and lines: the one with the most runs.
    points : mapping of str to list of SeriesPoint
        By name of the quantity.
    fits, melt_fits : mapping of str to Arrhenius
        Lines of the solid and of the melt, by name of the quantity.
    extrapolations : mapping of str to Extrapolation
        Of lines of the solid whose temperatures all lie above.
    spreads : tuple of CommitteeSpread
    """

    name: str
    runs: tuple[RunResult, ...]
    member: str
    points: Mapping[str, list[SeriesPoint]]
    fits: Mapping[str, Arrhenius]
    melt_fits: Mapping[str, Arrhenius]
    extrapolations: Mapping[str, Extrapolation]
    spreads: tuple[CommitteeSpread, ...]

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of the samples."""
        return tuple(sorted({run.sample for run in self.runs}))

    def main(self, prefix: str) -> str | None:
        """Return the quantity of the whole cell with this prefix.

        It is the shortest name; where that is refused, as an isotropic value of layers is, the
        one along the layers.
        """
        names = sorted((name for name in self.points if name.startswith(prefix)), key=len)
        refused = [name for name in names if self._is_refused(name)]
        allowed = [name for name in names if name not in refused]
        along = [name for name in allowed if "_parallel" in name]
        return next(iter([*(along if refused else []), *allowed, *refused]), None)

    def _is_refused(self, name: str) -> bool:
        found = [run.quantities[name] for run in self.runs if name in run.quantities]
        return all(quantity.status == "refused" for quantity in found)

    def main_conductivity(self) -> str | None:
        """Return the collective conductivity if any temperature resolves it, else the other."""
        collective = self.main(f"{CONDUCTIVITY}collective_")
        if collective is not None and any(p.resolved for p in self.points[collective]):
            return collective
        return self.main(f"{CONDUCTIVITY}nernst_einstein_") or collective


def material_series(name: str, runs: Sequence[RunResult]) -> MaterialSeries:
    """Combine the runs of one material.

    Raises
    ------
    AnalysisError
        If there are no runs.
    """
    if not runs:
        raise AnalysisError("a series needs at least one run")
    members = Counter(run.member for run in runs)
    member = min(members, key=lambda each: (-members[each], each))
    own = [run for run in runs if run.member == member]
    points = {each: found for each in _names(runs) if (found := series_points(own, each))}
    lined = [each for each in points if not each.startswith(HAVEN)]
    solid = {each: [p for p in points[each] if not p.melt] for each in lined}
    molten = {each: [p for p in points[each] if p.melt] for each in lined}
    continued = {each: extrapolate(each, solid[each]) for each in lined}
    return MaterialSeries(
        name,
        tuple(runs),
        member,
        points,
        _fits(solid),
        _fits(molten),
        {each: found for each, found in continued.items() if found is not None},
        _spreads(runs, lined),
    )


def extrapolate(
    name: str, points: Sequence[SeriesPoint], kelvin: float = ROOM_TEMPERATURE_KELVIN
) -> Extrapolation | None:
    """Continue the line of a solid down to a temperature.

    Parameters
    ----------
    name : str
        Of the quantity.
    points : sequence of SeriesPoint
        Of the solid; those at `kelvin` itself are kept out of the line and compared with it.
    kelvin : float

    Returns
    -------
    Extrapolation or None
        None where the points give no line, or some lie at or below that temperature.
    """
    near = [p for p in points if abs(p.temperature_kelvin - kelvin) <= SAME_TEMPERATURE_KELVIN]
    others = [point for point in points if point not in near]
    if len(resolved_kelvins(others)) < 2 or min(resolved_kelvins(others)) < kelvin:
        return None
    try:
        fit = fit_arrhenius(others, ordinate_of(name))
    except AnalysisError:  # errors are known of fewer than two
        return None
    value, low, high = fit.value(kelvin, of_new_point=True)
    return Extrapolation(kelvin, value, low, high, fit, near[0] if near else None)


def resolved_kelvins(points: Sequence[SeriesPoint]) -> list[float]:
    """Return the temperatures of the resolved points."""
    return [point.temperature_kelvin for point in points if point.resolved]


def _names(runs: Sequence[RunResult]) -> list[str]:
    found = {
        name
        for run in runs
        for name in run.quantities
        if name.startswith((DIFFUSION, CONDUCTIVITY, HAVEN)) and "_bound_" not in name
    }
    return sorted(found)


def _fits(points: Mapping[str, Sequence[SeriesPoint]]) -> dict[str, Arrhenius]:
    fits = {}
    for name, found in points.items():
        if len(resolved_kelvins(found)) > 1:
            try:
                fits[name] = fit_arrhenius(found, ordinate_of(name))
            except AnalysisError:  # errors are known of fewer than two
                continue
    return fits


def _spreads(runs: Sequence[RunResult], names: Sequence[str]) -> tuple[CommitteeSpread, ...]:
    members = sorted({run.member for run in runs})
    if len(members) < 2:
        return ()
    found: list[CommitteeSpread] = []
    for name in names:
        found += spreads_of_runs(runs, name)
        shared = _shared(runs, members, name)
        fits = {
            member: _fits({name: [p for p in series_points(own, name) if not p.melt]})
            for member, own in shared.items()
        }
        lines = {member: fit[name] for member, fit in fits.items() if name in fit}
        if len(lines) > 1:
            found.append(spread_of_energies(energy_name(name), lines))
    return tuple(found)


def _shared(
    runs: Sequence[RunResult], members: Sequence[str], name: str
) -> dict[str, list[RunResult]]:
    """Return the runs of each member at the temperatures and samples that all have resolved."""

    def states(member: str) -> set[tuple[str, float]]:
        return {
            (run.sample, run.temperature_kelvin)
            for run in runs
            if run.member == member
            and name in run.quantities
            and run.quantities[name].status == "ok"
        }

    common = set.intersection(*(states(member) for member in members))
    return {
        member: [
            run
            for run in runs
            if run.member == member and (run.sample, run.temperature_kelvin) in common
        ]
        for member in members
    }


def energy_name(name: str) -> str:
    """Return the name of the activation energy of a quantity."""
    return f"activation_energy_{subject(name)}"


def subject(name: str) -> str:
    """Return what a quantity is of: ``diffusion_Li`` or ``conductivity_collective_Li``."""
    return name.replace(DIFFUSION, "diffusion_", 1)
