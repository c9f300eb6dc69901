"""Measured S(Q) and G(r) read from tables, with what must be known to compare with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from analysis.constants import FloatArray
from analysis.errors import AnalysisError
from analysis.scattering.pair_transform import Window
from analysis.scattering.total_scattering import Radiation

MeasuredFunction = Literal["S(Q)", "Q[S(Q)-1]", "G(r)"]


@dataclass(frozen=True)
class Measured:
    """A measured curve and what must be known to compare with it.

    Attributes
    ----------
    path : Path
    function : {"S(Q)", "Q[S(Q)-1]", "G(r)"}
    radiation : {"neutron", "xray"}
    x : (n,) float array
        Q in 1/Angstrom or r in Angstrom, ascending.
    y : (n,) float array
        S(Q) in the convention that tends to 1, Q [S(Q) - 1] in 1/Angstrom, or
        G(r) = 4 pi rho0 r [g(r) - 1] in 1/Angstrom^2.
    error : (n,) float array
        Standard errors of y; nan if the file gives none.
    q_max_inverse_angstrom : float
        Largest Q that was transformed to G(r); nan for functions of Q.
    window : {"none", "lorch"}
        Window of that transform.
    """

    path: Path
    function: MeasuredFunction
    radiation: Radiation
    x: FloatArray
    y: FloatArray
    error: FloatArray
    q_max_inverse_angstrom: float
    window: Window

    @property
    def label(self) -> str:
        """Name of the file as it appears in names of results."""
        return re.sub(r"[^A-Za-z0-9]+", "_", self.path.stem)


def read_measured(
    path: Path | str,
    *,
    function: MeasuredFunction,
    radiation: Radiation,
    q_max_inverse_angstrom: float | None = None,
    window: Window = "none",
) -> Measured:
    """Read two or three columns: x, y and, if present, the standard error of y.

    Parameters
    ----------
    path : path
        Columns separated by blanks, tabs, commas or semicolons; lines that begin with # and one
        heading are skipped. x in 1/Angstrom or Angstrom.
    function, radiation, q_max_inverse_angstrom, window
        See `Measured`; `q_max_inverse_angstrom` is needed for G(r) and only there.

    Returns
    -------
    Measured

    Raises
    ------
    AnalysisError
        If the file is missing or not such a table, or what it holds is not stated fully.
    """
    path = Path(path)
    for name, value, allowed in (
        ("function", function, get_args(MeasuredFunction)),
        ("radiation", radiation, get_args(Radiation)),
        ("window", window, get_args(Window)),
    ):
        if value not in allowed:
            raise AnalysisError(f"{path}: {name} is {value!r}; expected one of {allowed}")
    if (function == "G(r)") != (q_max_inverse_angstrom is not None):
        raise AnalysisError(
            f"{path}: {function} {'needs' if function == 'G(r)' else 'takes no'} "
            "q_max_inverse_angstrom, the largest Q that was transformed"
        )
    if q_max_inverse_angstrom is not None and not 0.0 < q_max_inverse_angstrom < np.inf:
        raise AnalysisError(
            f"{path}: q_max_inverse_angstrom is {q_max_inverse_angstrom:g}; it must be positive"
        )
    rows = _numbers(path)
    if rows.shape[1] not in (2, 3):
        raise AnalysisError(
            f"{path}: {rows.shape[1]} columns; expected x, y and perhaps the error of y"
        )
    x = rows[:, 0]
    if len(x) < 10 or not np.isfinite(rows[:, :2]).all() or x[0] < 0 or np.diff(x).min() <= 0:
        raise AnalysisError(
            f"{path}: needs at least 10 rows of finite numbers with x from 0 on and ascending; "
            f"found {len(x)} rows"
        )
    if (rows[:, 2:] < 0).any():
        raise AnalysisError(f"{path}: the third column holds negative numbers; it must be errors")
    return Measured(
        path=path,
        function=function,
        radiation=radiation,
        x=x,
        y=rows[:, 1],
        error=rows[:, 2] if rows.shape[1] == 3 else np.full(len(x), np.nan),
        q_max_inverse_angstrom=np.nan if q_max_inverse_angstrom is None else q_max_inverse_angstrom,
        window=window,
    )


def _numbers(path: Path) -> FloatArray:
    if not path.is_file():
        raise AnalysisError(f"{path}: no such file")
    # Headings may be in any encoding; numbers are the same in all.
    content = path.read_text(encoding="utf-8", errors="replace")
    rows: list[list[float]] = []
    heading = False
    for number, line in enumerate(content.splitlines(), start=1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        fields = [field for field in re.split(r"[\s,;]+", text) if field]
        try:
            rows.append([float(field) for field in fields])
        except ValueError as error:
            if rows or heading:
                raise AnalysisError(
                    f"{path}: line {number} is no row of numbers: {line.strip()[:60]!r}"
                ) from error
            heading = True
            continue
        if len(rows[-1]) != len(rows[0]):
            raise AnalysisError(
                f"{path}: line {number} has {len(rows[-1])} columns, the first row {len(rows[0])}"
            )
    if not rows:
        raise AnalysisError(f"{path}: holds no numbers")
    return np.array(rows)
