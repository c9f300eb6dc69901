"""How far results depend on which member of the committee drove the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.errors import AnalysisError
from analysis.series.arrhenius import ENERGY_ROW, Arrhenius
from analysis.series.run_result import RunResult
from analysis.series.samples import combine_samples

Q_LEVEL = 0.05


@dataclass(frozen=True)
class CommitteeSpread:
    """One quantity by the member that drove.

    Attributes
    ----------
    name : str
        Of the quantity.
    unit : str
    temperature_kelvin : float
        nan for what belongs to no single temperature.
    values : mapping of str to float
        By member; in `unit`.
    mean, deviation : float
        Over members: mean and standard deviation (n - 1).
    lowest, highest : float
    statistical_error : float
        Root mean square standard error of a member's value; nan if one is unknown.
    q : float
        Cochran's Q: squared differences from the weighted mean in units of the errors.
    p_value : float
        That errors alone make Q as large; nan if an error is unknown.
    """

    name: str
    unit: str
    temperature_kelvin: float
    values: Mapping[str, float]
    mean: float
    deviation: float
    lowest: float
    highest: float
    statistical_error: float
    q: float
    p_value: float

    @property
    def exceeds_errors(self) -> bool:
        """Whether members differ by more than their statistical errors explain."""
        return self.p_value < Q_LEVEL


def committee_spread(
    name: str,
    unit: str,
    values: Mapping[str, float],
    errors: Mapping[str, float],
    *,
    temperature_kelvin: float = math.nan,
) -> CommitteeSpread:
    """Compare the results of the members.

    Parameters
    ----------
    name, unit : str
    values, errors : mapping of str to float
        By member: value and standard error, nan if unknown.
    temperature_kelvin : float

    Raises
    ------
    AnalysisError
        If there are fewer than two members.

    Notes
    -----
    Q is chi-squared of n - 1 if the members agree: Cochran, Biometrics 10, 101 (1954),
    doi 10.2307/3001666.
    """
    if len(values) < 2:
        raise AnalysisError(f"{name}: a spread needs two members, found {len(values)}")
    y = np.array(list(values.values()))
    s = np.array([errors[member] for member in values])
    q = p_value = math.nan
    if np.isfinite(s).all() and s.all():
        weights = s**-2
        q = float(weights @ (y - weights @ y / weights.sum()) ** 2)
        p_value = float(stats.chi2.sf(q, len(y) - 1))
    return CommitteeSpread(
        name,
        unit,
        temperature_kelvin,
        dict(values),
        float(y.mean()),
        float(y.std(ddof=1)),
        float(y.min()),
        float(y.max()),
        float(np.sqrt((s**2).mean())),
        q,
        p_value,
    )


def spreads_of_runs(runs: Sequence[RunResult], name: str) -> list[CommitteeSpread]:
    """Return the spread at every temperature at which two members ran the same samples.

    Only samples that all members of that temperature drove are compared, and only members that
    resolve the quantity on them.
    """
    found = []
    giving = [run for run in runs if name in run.quantities]
    for kelvin in sorted({run.temperature_kelvin for run in giving}):
        here = [run for run in giving if run.temperature_kelvin == kelvin]
        by_member = {
            member: {run.sample for run in here if run.member == member}
            for member in sorted({run.member for run in here})
        }
        common = set.intersection(*by_member.values())
        values, errors, unit = {}, {}, ""
        for member in by_member if common else ():
            own = [run for run in here if run.member == member and run.sample in common]
            point = combine_samples(own, name)
            if point.resolved:
                # Samples are the same for all members, so their spread is no error here.
                logs = point.by_sample.values()
                values[member] = math.exp(sum(log.value for log in logs) / len(logs))
                error = math.sqrt(sum(log.error**2 for log in logs)) / len(logs)
                errors[member] = values[member] * error
                unit = point.quantity.unit
        if len(values) > 1:
            found.append(committee_spread(name, unit, values, errors, temperature_kelvin=kelvin))
    return found


def spread_of_energies(name: str, fits: Mapping[str, Arrhenius]) -> CommitteeSpread:
    """Return the spread of the activation energies (eV) that members give.

    Parameters
    ----------
    name : str
        Of the activation energy.
    fits : mapping of str to Arrhenius
        By member; the same samples and temperatures.
    """
    # Samples are the same for all members, so their spread is no error here.
    errors = {
        member: math.hypot(*(line.standard_error(ENERGY_ROW) for line in fit.lines))
        / len(fit.lines)
        for member, fit in fits.items()
    }
    energies = {member: fit.energy_ev.value for member, fit in fits.items()}
    return committee_spread(name, "eV", energies, errors)
