"""What can and what cannot be concluded from one run, as sentences made by rule."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy import stats

from analysis.results import Curve, Findings, Quantity
from analysis.series.run_result import FRAMEWORK_MSD_ANGSTROM2
from analysis.series.samples import DIFFUSION

TIME, MSD = "time [ps]", "msd [Angstrom^2]"
# Net hops that a diffusion coefficient takes.
ENOUGH_HOPS = 100


def run_statements(
    findings: Findings, *, atoms: Mapping[str, int], temperature_kelvin: float | None
) -> list[str]:
    """Say of every diffusing species what this run measures, bounds, or leaves open.

    Parameters
    ----------
    findings : Findings
        Of all observables of the run.
    atoms : mapping of str to int
        Number of atoms of each species.
    temperature_kelvin : float or None

    Returns
    -------
    list of str
        Empty where nothing was asked about diffusion.
    """
    quantities = {quantity.name: quantity for quantity in findings.quantities}
    curves = {curve.name: curve for curve in findings.curves}
    where = "" if temperature_kelvin is None else f"At {temperature_kelvin:g} K "
    statements = _melt(quantities)
    for species, count in atoms.items():
        diffusion = quantities.get(f"{DIFFUSION}{species}")
        if diffusion is None:
            continue
        if diffusion.status == "ok":
            statements.append(_measured(species, diffusion, where))
        else:
            msd = curves.get(f"msd_{species}")
            statements.append(_unmeasured(species, count, diffusion, quantities, msd, where))
    return statements


def moved(curve: Curve) -> tuple[float, float]:
    """Return MSD (Angstrom^2) and time (ps) at half the run, the last with two origins apart."""
    middle = (len(curve.columns[TIME]) - 1) // 2
    return float(curve.columns[MSD][middle]), float(curve.columns[TIME][middle])


def _measured(species: str, diffusion: Quantity, where: str) -> str:
    interval = (
        f" ({diffusion.low:.2g} to {diffusion.high:.2g}, {100 * diffusion.level:g} %)"
        if math.isfinite(diffusion.low) and math.isfinite(diffusion.high)
        else " (no error estimate)"
    )
    return (
        f"{where}D of {species} is {diffusion.value:.2g} {diffusion.unit}{interval}. "
        "This is one run of one sample: how far other samples differ, it cannot tell."
    ).strip()


def _unmeasured(
    species: str,
    count: int,
    diffusion: Quantity,
    quantities: Mapping[str, Quantity],
    msd: Curve | None,
    where: str,
) -> str:
    by_msd = quantities.get(f"{DIFFUSION}msd_bound_{species}")
    by_hops = quantities.get(f"{DIFFUSION}hop_bound_{species}")
    hops = quantities.get(f"net_hops_{species}")
    sentence = f"{where}D of {species} is unresolved"
    if msd is not None:
        distance, time_ps = moved(msd)
        sentence += f": the mean ion moved {distance:.2g} Angstrom^2 in {_time(time_ps)}"
        if hops is not None and hops.status == "ok":
            sentence += f", {hops.value / count:.2g} net hops an ion in the whole run"
    sentence += "."
    bounds = [
        f"{bound.high:.2g} {bound.unit} ({what})"
        for bound, what in (
            (by_msd, "MSD/(6 t), which includes vibration"),
            (by_hops, "net hops"),
        )
        if bound is not None and math.isfinite(bound.high)
    ]
    if not bounds:
        return f"{sentence} This run gives no bound either: {diffusion.reason}."
    sentence += f" This run bounds D from above by {' and '.join(bounds)}; it does not measure it."
    if hops is not None and hops.status == "ok" and msd is not None and hops.value < ENOUGH_HOPS:
        duration_ps = float(msd.columns[TIME][-1])
        # Upper Poisson limit, as in the bound from net hops.
        most = 0.5 * float(stats.chi2.ppf(diffusion.level, 2 * (hops.value + 1)))
        if most < ENOUGH_HOPS:
            needed = _time(duration_ps * ENOUGH_HOPS / most)
            sentence += f" {ENOUGH_HOPS} net hops would take at least {needed}."
    return sentence.strip()


def _melt(quantities: Mapping[str, Quantity]) -> list[str]:
    melted, frozen = (quantities.get(f"framework_{state}") for state in ("melted", "frozen"))
    if melted is not None and frozen is not None:
        if melted.value == 1.0:
            return [f"The framework is not frozen ({melted.reason}): {_NOT_SOLID}"]
        return [] if frozen.value == 1.0 else [f"{_PART_MOVES} ({frozen.reason})."]
    for name, quantity in quantities.items():
        if (
            name.startswith("framework_mean_squared_displacement_")
            and quantity.status == "ok"
            and quantity.value > FRAMEWORK_MSD_ANGSTROM2
        ):
            moved_by = f"{quantity.value:.2g} Angstrom^2"
            return [f"The framework moves, {moved_by} ({quantity.reason}): {_NOT_SOLID}"]
    return []


_NOT_SOLID = "this is a melt or a decomposition, and its transport is not that of a solid."
_PART_MOVES = "A part of the framework moves or changes: anions that turn, or that react"


def _time(time_ps: float) -> str:
    for limit, unit in ((1e9, "ms"), (1e6, "us"), (1e3, "ns")):
        if time_ps >= limit:
            return f"{time_ps / limit:.3g} {unit}"
    return f"{time_ps:.3g} ps"
