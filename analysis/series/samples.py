"""One temperature: repeats of a sample averaged, independent samples combined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.errors import AnalysisError
from analysis.results import Quantity
from analysis.series.random_effects import mean_of_repeats, sample_mean
from analysis.series.run_result import LogEstimate, RunResult, log_estimate

DIFFUSION = "diffusion_coefficient_"
CONDUCTIVITY = "conductivity_"
HAVEN = "haven_ratio_"
UNKNOWN_SPREAD = "the spread between samples is unknown"


@dataclass(frozen=True)
class SeriesPoint:
    """A quantity at one temperature, over all runs there.

    Attributes
    ----------
    temperature_kelvin : float
    quantity : Quantity
        Geometric mean over samples, with the interval of the run if there is but one;
        unresolved as soon as one run is, because the runs that happen to be resolved are the
        fast ones.
    by_sample : mapping of str to LogEstimate
        Of the resolved samples.
    bound : float
        Upper bound in the unit of `quantity`; nan where it is resolved, inf where none is known.
    n_samples, n_runs : int
    melt : bool
        The framework of a run flowed.
    """

    temperature_kelvin: float
    quantity: Quantity
    by_sample: Mapping[str, LogEstimate]
    bound: float
    n_samples: int
    n_runs: int
    melt: bool

    @property
    def resolved(self) -> bool:
        """Whether there is a value."""
        return self.quantity.status == "ok"


def series_points(runs: Sequence[RunResult], name: str) -> list[SeriesPoint]:
    """Return a quantity at every temperature at which a run gives it, the lowest first."""
    giving = [run for run in runs if name in run.quantities]
    kelvins = sorted({run.temperature_kelvin for run in giving})
    return [
        combine_samples([run for run in giving if run.temperature_kelvin == kelvin], name)
        for kelvin in kelvins
    ]


def combine_samples(runs: Sequence[RunResult], name: str) -> SeriesPoint:
    """Combine a positive quantity over the runs of one temperature.

    Parameters
    ----------
    runs : sequence of RunResult
        All of one temperature and one potential.
    name : str
        Of the quantity, which every run must hold.

    Returns
    -------
    SeriesPoint

    Raises
    ------
    AnalysisError
        If there are no runs, or they differ in temperature.
    """
    kelvins = {run.temperature_kelvin for run in runs}
    if len(kelvins) != 1:
        raise AnalysisError(f"{name}: expected runs of one temperature, found {sorted(kelvins)}")
    unit = runs[0].quantities[name].unit
    by_run: dict[str, list[Quantity]] = {}
    for run in runs:
        by_run.setdefault(run.sample, []).append(run.quantities[name])
    by_sample = {
        sample: _repeats(found)
        for sample, found in by_run.items()
        if all(_usable(quantity) for quantity in found)
    }
    counted = _counted(len(by_run), len(runs))
    if len(by_sample) < len(by_run):
        quantity, bound = _unresolved(runs, name, by_run, by_sample, counted)
    elif len(runs) == 1:
        reason = f"{counted}; {UNKNOWN_SPREAD}"
        quantity, bound = replace(runs[0].quantities[name], reason=reason), math.nan
    else:
        quantity, bound = _mean(name, unit, by_sample, counted), math.nan
    return SeriesPoint(
        kelvins.pop(),
        quantity,
        by_sample,
        bound,
        len(by_run),
        len(runs),
        any(run.is_melt for run in runs),
    )


def upper_bound(run: RunResult, name: str) -> float:
    """Return the highest value that a run allows: of its interval, or its bound.

    For diffusion and what follows from it by Nernst-Einstein that is the bound from net hops,
    since the one from the MSD counts vibration.
    """
    quantity = run.quantities[name]
    if _usable(quantity):
        return quantity.high if math.isfinite(quantity.high) else quantity.value
    bound = quantity.high if quantity.high > 0 else math.inf
    label = name.removeprefix(CONDUCTIVITY + "nernst_einstein_").removeprefix(DIFFUSION)
    hops = run.quantities.get(f"{DIFFUSION}hop_bound_{label}")
    if hops is None or not math.isfinite(hops.high):
        return bound
    if name.startswith(DIFFUSION):
        return min(bound, hops.high)
    diffusion = run.quantities.get(DIFFUSION + label)
    if name.startswith(CONDUCTIVITY + "nernst_einstein_") and diffusion is not None:
        return min(bound, bound * hops.high / diffusion.high)
    return bound


def _usable(quantity: Quantity) -> bool:
    return quantity.status == "ok" and quantity.value > 0


def _repeats(quantities: Sequence[Quantity]) -> LogEstimate:
    logs = [log_estimate(quantity) for quantity in quantities]
    return LogEstimate(*mean_of_repeats([x.value for x in logs], [x.error for x in logs]))


def _mean(name: str, unit: str, by_sample: Mapping[str, LogEstimate], counted: str) -> Quantity:
    logs = list(by_sample.values())
    mean = sample_mean([x.value for x in logs], [x.error for x in logs])
    value = math.exp(mean.value)
    spread = (
        UNKNOWN_SPREAD
        if mean.n_samples == 1
        else f"samples differ by a factor {math.exp(mean.between):.2f} (1 sd) beyond their own "
        f"errors; Student t of {mean.degrees:.0f}"
    )
    return Quantity(
        name,
        value,
        unit,
        value * math.exp(-mean.half_width),
        value * math.exp(mean.half_width),
        mean.level,
        reason=f"{counted}; {spread}",
    )


def _unresolved(
    runs: Sequence[RunResult],
    name: str,
    by_run: Mapping[str, Sequence[Quantity]],
    by_sample: Mapping[str, LogEstimate],
    counted: str,
) -> tuple[Quantity, float]:
    missing = [q for found in by_run.values() for q in found if not _usable(q)]
    bound = max(upper_bound(run, name) for run in runs)
    reason = f"{counted}, {len(missing)} of the runs unresolved"
    if by_sample:
        listed = ", ".join(f"{math.exp(log.value):.2g}" for log in by_sample.values())
        reason += (
            f"; the resolved ones ({listed} {missing[0].unit}) alone would favour fast samples"
        )
    reason += f"; {missing[0].reason or 'not positive'}"
    quantity = Quantity(
        name, math.nan, missing[0].unit, 0.0, bound, missing[0].level, "unresolved", reason
    )
    return quantity, bound


def _counted(n_samples: int, n_runs: int) -> str:
    samples = "one sample" if n_samples == 1 else f"{n_samples} independent samples"
    return samples if n_runs == n_samples else f"{samples}, {n_runs} runs"
