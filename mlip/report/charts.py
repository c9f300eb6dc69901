"""Time series of a run as PNG images: thermodynamics and committee deviation."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlip.errors import DataError

FloatArray = NDArray[np.float64]
BLUE, ORANGE, LIGHT = "#0072B2", "#D55E00", "#9ecae1"
DPI = 170
POINTS = 4000
# A running mean over this share of the run shows drift below the fluctuations.
MEAN_SHARE = 0.03
SETTINGS: Any = {
    "font.size": 9,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


@dataclass(frozen=True)
class Series:
    """Columns over time.

    Attributes
    ----------
    time : ndarray, shape (n,)
        In ps.
    stages : tuple of str, length n
    columns : mapping of str to ndarray, shape (n,)
    """

    time: FloatArray
    stages: tuple[str, ...]
    columns: Mapping[str, FloatArray]


def read_series(path: Path) -> Series:
    """Read ``thermo.csv`` or ``deviation.csv`` of a run.

    Raises
    ------
    DataError
        If it is not readable, or has no time.
    """
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            rows = list(reader)
            names = [n for n in reader.fieldnames or () if n not in ("step", "time_ps", "stage")]
        return Series(
            np.array([float(row["time_ps"]) for row in rows]),
            tuple(row["stage"] for row in rows),
            {name: np.array([float(row[name] or "nan") for row in rows]) for name in names},
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: not readable as a table over time ({error!r}). The same `mlip md` command "
            "with --force makes the run again."
        ) from error


def chart(series: Series, column: str, label: str, *, factor: float = 1.0) -> bytes:
    """Draw one column over time, with its running mean and the stages marked.

    Returns
    -------
    bytes
        PNG image.
    """
    values = series.columns[column] * factor
    with rc_context(SETTINGS):
        figure, axis = _axis()
        thin = max(1, len(values) // POINTS)
        axis.plot(series.time[::thin], values[::thin], color=LIGHT, linewidth=0.7)
        smooth = running_mean(values, series.stages)
        axis.plot(series.time[::thin], smooth[::thin], color=BLUE, linewidth=1.5)
        axis.set_ylabel(label)
        _finish(axis, series)
        return _png(figure)


def deviation_chart(series: Series) -> bytes:
    """Draw the largest and the mean force deviation of the committee over time, as PNG."""
    with rc_context(SETTINGS):
        figure, axis = _axis()
        thin = max(1, len(series.time) // POINTS)
        for column, colour, label in (
            ("max_force_deviation_ev_per_angstrom", ORANGE, "largest over atoms"),
            ("mean_force_deviation_ev_per_angstrom", BLUE, "mean over atoms"),
        ):
            values = series.columns[column] * 1000.0
            axis.plot(series.time[::thin], values[::thin], color=colour, linewidth=1.0, label=label)
        axis.set_ylim(bottom=0)
        axis.set_ylim(top=1.25 * axis.get_ylim()[1])
        axis.set_ylabel("force deviation (meV/Å)")
        axis.legend(loc="upper right", ncols=2)
        _finish(axis, series)
        return _png(figure)


def stage_spans(time: FloatArray, stages: Sequence[str]) -> list[tuple[str, float, float]]:
    """Return name, first and last time of each stretch of equal stage names."""
    spans: list[tuple[str, float, float]] = []
    for moment, stage in zip(time, stages, strict=True):
        if spans and spans[-1][0] == stage:
            spans[-1] = (stage, spans[-1][1], float(moment))
        else:
            spans.append((stage, float(moment), float(moment)))
    return spans


def running_mean(values: FloatArray, stages: Sequence[str]) -> FloatArray:
    """Return the centred running mean within each stage; windows shrink at its ends."""
    half = max(1, int(len(values) * MEAN_SHARE / 2))
    smooth = np.empty_like(values)
    names = np.array(stages)
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(values)]
    for start, stop in pairwise(starts):
        total = np.concatenate([[0.0], np.cumsum(values[start:stop])])
        here = np.arange(stop - start)
        reach = np.minimum(half, np.minimum(here, stop - start - 1 - here))
        low, high = here - reach, here + reach + 1
        smooth[start:stop] = (total[high] - total[low]) / (high - low)
    return smooth


def _axis() -> tuple[Figure, Any]:
    figure = Figure(figsize=(4.2, 2.5), layout="constrained")
    return figure, figure.add_subplot()


def _finish(axis: Any, series: Series) -> None:
    axis.set_xlabel("time (ps)")
    axis.margins(x=0.01)
    spans = stage_spans(series.time, series.stages)
    length = series.time[-1] - series.time[0] if len(series.time) > 1 else 0.0
    for number, (name, start, stop) in enumerate(spans):
        if number % 2:
            axis.axvspan(start, stop, color="0.95", linewidth=0, zorder=-2)
        if number:
            axis.axvline(start, color="0.75", linewidth=0.7, zorder=-1)
        if stop - start >= 0.12 * length:
            axis.text(
                (start + stop) / 2,
                1.01,
                name,
                transform=axis.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7.5,
                color="0.35",
            )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
