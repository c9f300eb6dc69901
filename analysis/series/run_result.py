"""What one analysed run contributes to a series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from analysis.errors import AnalysisError
from analysis.results import Quantity
from analysis.writer import read_results

# A network former that moved further has left its sites.
FRAMEWORK_MSD_ANGSTROM2 = 1.0


@dataclass(frozen=True)
class RunResult:
    """The quantities of one run, and what it was a run of.

    Attributes
    ----------
    sample : str
        Name of the sample. Runs of one structure share it; separate melt-quenches and separate
        orderings do not.
    temperature_kelvin : float
    replica : int
        Tells repeats of one sample apart, such as the seed of the velocities.
    member : str
        Potential that drove the run.
    quantities : mapping of str to Quantity
        By name.
    path : Path
    """

    sample: str
    temperature_kelvin: float
    replica: int
    member: str
    quantities: Mapping[str, Quantity]
    path: Path

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature_kelvin) and self.temperature_kelvin > 0):
            raise AnalysisError(
                f"{self.path}: temperature {self.temperature_kelvin} K; a series needs the "
                "temperature of every run"
            )

    @property
    def is_melt(self) -> bool:
        """Whether the framework flowed, so that the run is none of a solid."""
        melted = self.quantities.get("framework_melted")
        if melted is not None:
            return melted.value == 1.0
        return any(
            name.startswith("framework_mean_squared_displacement_")
            and quantity.status == "ok"
            and quantity.value > FRAMEWORK_MSD_ANGSTROM2
            for name, quantity in self.quantities.items()
        )


def read_run_result(
    analysis: Path, *, sample: str, temperature_kelvin: float, replica: int = 0, member: str = "0"
) -> RunResult:
    """Read the analysis directory of one run; see `RunResult`.

    Raises
    ------
    AnalysisError
        If there is no readable `results.json`.
    """
    quantities = {quantity.name: quantity for quantity in read_results(analysis / "results.json")}
    return RunResult(sample, temperature_kelvin, replica, member, quantities, analysis)


@dataclass(frozen=True)
class LogEstimate:
    """Logarithm of a positive quantity.

    Attributes
    ----------
    value : float
    error : float
        Standard error; nan if unknown.
    degrees : float
        Degrees of freedom behind the error.
    """

    value: float
    error: float
    degrees: float = math.inf


def log_estimate(quantity: Quantity) -> LogEstimate:
    """Return ln of a resolved positive quantity with the standard error its interval implies.

    The longer arm of the interval counts, taken as normal: an interval that was cut off at zero
    keeps its error, and one from few degrees of freedom gives a larger one.

    Raises
    ------
    AnalysisError
        If the quantity is not resolved or not positive.
    """
    if quantity.status != "ok" or not quantity.value > 0:
        raise AnalysisError(
            f"{quantity.name}: {quantity.value} {quantity.unit} ({quantity.status}) has no "
            "logarithm; only resolved positive values have"
        )
    arm = max(quantity.high - quantity.value, quantity.value - quantity.low)
    quantile = float(stats.norm.ppf(0.5 + 0.5 * quantity.level))
    return LogEstimate(math.log(quantity.value), arm / quantity.value / quantile)
