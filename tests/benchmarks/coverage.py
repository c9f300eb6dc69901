"""How often the interval of D contains the truth, against kinisi and ordinary least squares.

``python tests/benchmarks/coverage.py [replicas] [replicas of variants] [replicas of peers]``
writes analysis/calibration.csv and analysis/calibration.png. The models of
tests/analysis/test_calibration.py and variants of them: other numbers of ions and frames, other
chances to reverse, slower cages. kinisi (2.1) is used where it is installed; it gets the same MSD,
variances and start of the fit as ours. Scatter and bias are of resolved replicas, relative to the
true D; coverage is over all of them, unresolved ones with the bounds they report.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
from scipy import stats

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "analysis")]

from test_calibration import MODELS, reversing  # noqa: E402
from toy_trajectories import (  # noqa: E402
    brownian,
    make_trajectory,
    ornstein_uhlenbeck,
    reversing_hops,
)

from analysis.figures.style import COLOURS, panels, styled  # noqa: E402
from analysis.hops.net_hops import net_hops  # noqa: E402
from analysis.motion.diffusion import diffusion_coefficient  # noqa: E402
from analysis.motion.msd import mean_squared_displacement  # noqa: E402

CM2_PER_S = 1e-4
LEVEL = 0.95
TARGET = (0.93, 0.97)

VARIANTS = {
    "Brownian, 20 ions": (lambda rng: brownian(rng, 20, 500, 0.05), 0.05),
    "Brownian, 200 ions": (lambda rng: brownian(rng, 200, 500, 0.05), 0.05),
    "Brownian, cage of 40 frames": (
        lambda rng: brownian(rng, 64, 500, 0.05) + ornstein_uhlenbeck(rng, 64, 500, 40, 0.6),
        0.05,
    ),
    "reversing 0.1": reversing(0.1),
    "reversing 0.5": reversing(0.5),
    "reversing 0.3, 25 hops an ion": reversing(0.3, probability=0.05),
    "reversing 0.3, 200 ions": reversing(0.3, ions=200),
    "reversing 0.3, 250 frames": reversing(0.3, frames=250),
    "reversing 0.3, 1000 frames": reversing(0.3, frames=1000),
    "reversing 0.3 in a cage": (
        lambda rng: (
            reversing_hops(rng, 64, 500, 0.03, 0.3) + ornstein_uhlenbeck(rng, 64, 500, 5, 0.5)
        ),
        9.0 * 0.03 / 6 * 0.7 / 1.3,
    ),
}
Row = dict[str, float | str]


def diffusion_of(positions: np.ndarray):
    """Return our result for atoms without drift."""
    trajectory = make_trajectory(positions)
    ids = np.arange(trajectory.n_atoms)
    still = np.zeros((trajectory.n_frames, 3))
    msd = mean_squared_displacement(trajectory, ids, label="Li", drift_path=still)
    return diffusion_coefficient(msd, net_hops(trajectory, ids, drift_path=still))


def least_squares(msd, start_ps: float, stop_ps: float) -> tuple[float, float, float]:
    """Return slope and interval of ordinary least squares over every lag of the window."""
    window = (msd.times_ps >= start_ps) & (msd.times_ps <= stop_ps)
    line = stats.linregress(msd.times_ps[window], msd.msd[window])
    half = stats.t.ppf(0.5 + 0.5 * LEVEL, window.sum() - 2) * line.stderr
    return line.slope, line.slope - half, line.slope + half


def kinisi_slope(msd, start_ps: float, stop_ps: float) -> tuple[float, float, float]:
    """Return median and interval of the posterior of kinisi."""
    import scipp
    from kinisi.diffusion import Diffusion

    times = msd.times_ps[msd.sample_lags]
    kept = (times >= start_ps) & (times <= stop_ps)
    n_samples = msd.n_independent[kept].astype(float)
    table = scipp.DataArray(
        data=scipp.array(
            dims=["time interval"],
            values=msd.msd[msd.sample_lags[kept]],
            variances=msd.variance[kept] / n_samples,
            unit="angstrom^2",
        ),
        coords={
            "time interval": scipp.array(dims=["time interval"], values=times[kept], unit="ps"),
            "n_samples": scipp.array(dims=["time interval"], values=n_samples),
        },
    )
    fit = Diffusion(scipp.DataGroup({"da": table, "dimensionality": scipp.scalar(3.0)}))
    fit.bayesian_regression(
        scipp.scalar(start_ps, unit="ps"), progress=False, random_state=np.random.RandomState(1)
    )
    low, middle, high = np.quantile(fit.gradient.values, [0.025, 0.5, 0.975])
    return float(middle), float(low), float(high)


def row(method: str, model: str, D: float, results: list[tuple[float, float, float]]) -> Row:
    """Return one line of the table; values that are nan are unresolved."""
    table = np.array(results) / D
    good = np.isfinite(table[:, 0])
    values, half = table[good, 0], 0.5 * (table[good, 2] - table[good, 1])
    covered = int(((table[:, 1] <= 1.0) & (table[:, 2] >= 1.0)).sum())
    enough = len(values) > 1
    scatter = values.std(ddof=1) if enough else math.nan
    return {
        "method": method,
        "model": model,
        "replicas": len(table),
        "coverage": covered / len(table),
        "resolved share": good.mean(),
        "bias": values.mean() - 1.0 if enough else math.nan,
        "scatter": scatter,
        "mean half width over scatter": half.mean() / scatter if enough else math.nan,
        "median half width": np.median(half) if enough else math.nan,
    }


def measure(model: str, make, D: float, replicas: int, peers: int) -> list[Row]:
    """Run all replicas of one model."""
    ours, line, kinisi = [], [], []
    has_kinisi = importlib.util.find_spec("kinisi") is not None
    for seed in range(replicas):
        # Other replicas than those of the tests, which the method was looked at with.
        result = diffusion_of(make(np.random.default_rng([seed, 1])))
        found = result.coefficient
        ours.append((found.value, found.low, found.high))
        if seed < peers and result.fit is not None:
            window = result.msd, result.fit.start_ps, result.fit.stop_ps
            line.append(least_squares(*window))
            if has_kinisi:
                kinisi.append(kinisi_slope(*window))
    rows = [row("ours", model, D * CM2_PER_S, ours)]
    if peers:
        rows.append(row("ours, replicas of the peers", model, D * CM2_PER_S, ours[:peers]))
        rows.append(row("least squares", model, 6 * D, line))
    if kinisi:
        rows.append(row("kinisi", model, 6 * D, kinisi))
    return rows


@styled
def calibration_figure(rows: list[Row]):
    """Draw coverage with its binomial interval, ours for each model and beside the peers."""
    figure, (left, right) = panels(1, 2, width=4.6, height=4.4)
    ours = [item for item in rows if item["method"] == "ours"]
    left.axvspan(*TARGET, color="#F0E442", alpha=0.4, linewidth=0)
    _points(left, ours, np.arange(len(ours)), COLOURS[0], "ours")
    left.set_xlim(0.84, 1.004)
    methods = ["ours, replicas of the peers", "kinisi", "least squares"]
    models = [item["model"] for item in rows if item["method"] == methods[0]]
    right.axvspan(*TARGET, color="#F0E442", alpha=0.4, linewidth=0)
    for n, method in enumerate(methods):
        chosen = [item for item in rows if item["method"] == method]
        places = np.array([models.index(item["model"]) for item in chosen]) + 0.2 * (n - 1)
        if chosen:
            _points(right, chosen, places, COLOURS[n], method.split(",")[0])
    right.set_xlim(-0.02, 1.02)
    for axis, labels in ((left, [item["model"] for item in ours]), (right, models)):
        axis.set_yticks(range(len(labels)), labels, fontsize=7)
        axis.invert_yaxis()
        axis.set_xlabel("coverage of the 95 % interval")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3)
    return figure


def _points(axis, rows: list[Row], places, colour: str, label: str) -> None:
    values = np.array([item["coverage"] for item in rows])
    counts = np.array([item["replicas"] for item in rows])
    covered = np.round(values * counts)
    # Clopper and Pearson, Biometrika 26, 404 (1934).
    low = np.nan_to_num(stats.beta.ppf(0.025, covered, counts - covered + 1), nan=0.0)
    high = np.nan_to_num(stats.beta.ppf(0.975, covered + 1, counts - covered), nan=1.0)
    axis.errorbar(
        values,
        places,
        xerr=[values - low, high - values],
        fmt="o",
        color=colour,
        label=label,
        markersize=4,
        elinewidth=1,
    )


def main() -> None:
    """Measure, print, and write the table and the figure."""
    counts = (1000, 300, 100)
    replicas, variants, peers = (
        int(sys.argv[n + 1]) if len(sys.argv) > n + 1 else counts[n] for n in range(3)
    )
    rows: list[Row] = []
    for models, number, peer_number in ((MODELS, replicas, peers), (VARIANTS, variants, 0)):
        for model, (make, D) in models.items():
            for item in measure(model, make, D, number, min(number, peer_number)):
                rows.append(item)
                numbers = "  ".join(
                    f"{name} {value:.4g}"
                    for name, value in item.items()
                    if name not in ("method", "model")
                )
                print(f"{item['model']} | {item['method']} | {numbers}", flush=True)
    write_outputs(rows)


def write_outputs(rows: list[Row]) -> None:
    """Write the table and the figure beside the package."""
    lines = [",".join(rows[0])]
    for item in rows:
        cells = [f'"{v}"' if isinstance(v, str) else f"{v:.4g}" for v in item.values()]
        lines.append(",".join(cells))
    folder = REPOSITORY / "analysis"
    (folder / "calibration.csv").write_text("\n".join(lines) + "\n")
    (folder / "calibration.png").write_bytes(calibration_figure(rows))


if __name__ == "__main__":
    main()
