"""What every analysis hands out: named quantities with interval and status, and curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from analysis.constants import FloatArray
from analysis.errors import AnalysisError

SCHEMA = 3
Status = Literal["ok", "unresolved", "refused"]


@dataclass(frozen=True)
class Quantity:
    """One number with its uncertainty, or the reason why there is none.

    Attributes
    ----------
    name : str
        Name, unique within one analysis, such as ``diffusion_coefficient_Li``.
    value : float
        Value in `unit`; nan unless `status` is "ok".
    unit : str
        Unit of `value`, `low` and `high`; "1" for a pure number.
    low, high : float
        Limits of the interval at `level`. For an unresolved quantity they are a bound and
        `reason` says which; nan where the data give no error estimate, inf where no bound.
    level : float
        Confidence level of the interval, 0.95 by default.
    status : {"ok", "unresolved", "refused"}
        Whether the data support the value.
    reason : str
        How the value came about, or why it is missing; empty only for exact values.
    curve : str
        File name, below ``curves/``, of the curve the value was read from, or "".
    """

    name: str
    value: float
    unit: str
    low: float = math.nan
    high: float = math.nan
    level: float = 0.95
    status: Status = "ok"
    reason: str = ""
    curve: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "level"):
            # numpy scalars would survive comparison but not printing and JSON.
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.status not in get_args(Status):
            raise AnalysisError(
                f"quantity {self.name!r} has status {self.status!r}; "
                f"expected one of {', '.join(get_args(Status))}"
            )
        if self.status == "ok" and not math.isfinite(self.value):
            raise AnalysisError(
                f"quantity {self.name!r} is {self.value} but its status is 'ok'; "
                "a value that is not finite must be 'unresolved' or 'refused' with a reason"
            )
        if self.status != "ok" and not self.reason:
            raise AnalysisError(f"quantity {self.name!r} is {self.status} without a reason")


@dataclass(frozen=True)
class Skipped:
    """An observable that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Curve:
    """A table of equally long columns.

    Attributes
    ----------
    name : str
        File name without extension.
    columns : dict of str to (n,) float arrays
        Column headings, unit in brackets such as ``time [ps]``, and their values.
    """

    name: str
    columns: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        lengths = {heading: len(column) for heading, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise AnalysisError(f"curve {self.name!r}: columns of unequal length: {lengths}")


@dataclass
class Findings:
    """What one observable, or all of them, has to say of a trajectory.

    Attributes
    ----------
    quantities : list of Quantity
    curves : list of Curve
    figures : dict of str to bytes
        PNG images by file name without extension.
    skipped : list of Skipped
    statements : list of str
        Sentences: what can and what cannot be concluded.
    files : dict of str to bytes
        Files for other programs, by path below the analysis directory.
    """

    quantities: list[Quantity] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    figures: dict[str, bytes] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        """Take in what another observable found."""
        self.quantities += other.quantities
        self.curves += other.curves
        self.figures |= other.figures
        self.skipped += other.skipped
        self.statements += other.statements
        self.files |= other.files


def gather(findings: Mapping[str, Findings]) -> Findings:
    """Return the findings of all topics together."""
    together = Findings()
    for topic in findings.values():
        together.add(topic)
    return together


def quantity_to_json(quantity: Quantity) -> dict[str, Any]:
    """Return the JSON form of a quantity.

    nan becomes null; an infinite bound becomes the string "inf" or "-inf", which JSON lacks.
    """
    return {
        "name": quantity.name,
        "value": _number_to_json(quantity.value),
        "unit": quantity.unit,
        "low": _number_to_json(quantity.low),
        "high": _number_to_json(quantity.high),
        "level": quantity.level,
        "status": quantity.status,
        "reason": quantity.reason,
        "curve": quantity.curve or None,
    }


def quantity_from_json(record: Mapping[str, Any]) -> Quantity:
    """Return the quantity whose JSON form is `record`.

    Raises
    ------
    AnalysisError
        If a field is missing or unknown.
    """
    expected = {"name", "value", "unit", "low", "high", "level", "status", "reason", "curve"}
    if set(record) != expected:
        raise AnalysisError(
            f"a quantity holds the fields {sorted(record)}; expected {sorted(expected)}"
        )
    return Quantity(
        name=record["name"],
        value=_number_from_json(record["value"]),
        unit=record["unit"],
        low=_number_from_json(record["low"]),
        high=_number_from_json(record["high"]),
        level=float(record["level"]),
        status=record["status"],
        reason=record["reason"],
        curve=record["curve"] or "",
    )


def _number_to_json(number: float) -> float | str | None:
    if math.isnan(number):
        return None
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return float(number)


def _number_from_json(number: float | str | None) -> float:
    return math.nan if number is None else float(number)
