"""Error of the training batches against steps: whether more steps would help."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.engines.deepmd_train import LEARNING_CURVE, read_learning_curve
from mlip.files import replacing, write_text

TABLE, FIGURE = "training_curve.csv", "training_curve.png"
# Columns of DeePMD-kit, ours, and what the figure calls them in thousandths.
QUANTITIES = (
    ("rmse_f_trn", "force_rmse_ev_per_angstrom", "force (meV/Å)"),
    ("rmse_e_trn", "energy_rmse_ev_per_atom", "energy (meV/atom)"),
)
# One batch is a frame or two of any system: medians over this share of the rows show the trend.
WINDOW_SHARE = 0.15
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def write_training_curve(out: Path, members: Sequence[Path]) -> list[Path]:
    """Write the errors of single training batches by step, and draw their running medians.

    Parameters
    ----------
    out : Path
        Gets ``training_curve.csv`` and ``training_curve.png``.
    members : sequence of Path
        Directories of trained members.

    Returns
    -------
    list of Path
        The files.
    """
    curves = [read_learning_curve(member / LEARNING_CURVE) for member in members]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["member", "step", *(name for _, name, _ in QUANTITIES)])
    for n, rows in enumerate(curves):
        for row in rows:
            writer.writerow([n, int(row["step"]), *(f"{row[key]:.6g}" for key, *_ in QUANTITIES)])
    write_text(out / TABLE, text.getvalue())
    _draw(out / FIGURE, curves)
    return [out / TABLE, out / FIGURE]


def running_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of the values about each, `WINDOW_SHARE` of all, half of it at the ends."""
    half = max(1, int(0.5 * WINDOW_SHARE * len(values)))
    return np.array(
        [np.median(values[max(0, k - half) : k + half + 1]) for k in range(len(values))]
    )


def _draw(path: Path, curves: Sequence[list[dict[str, float]]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    for axis, (key, _, title) in zip(figure.subplots(1, 2), QUANTITIES, strict=True):
        for n, rows in enumerate(curves):
            steps = np.array([row["step"] for row in rows])
            errors = 1000.0 * np.array([row[key] for row in rows])
            colour = COLOURS[n % len(COLOURS)]
            axis.plot(steps, errors, ".", color=colour, markersize=2, alpha=0.25)
            axis.plot(steps, running_median(errors), color=colour, label=f"member {n}")
        axis.set_yscale("log")
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel("step")
        axis.set_ylabel(title)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=170)
