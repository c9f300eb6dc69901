"""The figure of error against the amount of training data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlip.files import replacing
from mlip.training.curve_errors import ALL, ForceError

# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw_curve(path: Path, points: Sequence[tuple[int, int, Sequence[ForceError]]]) -> None:
    """Draw force errors by phase and by element against frames, and atoms along the top.

    Parameters
    ----------
    path : Path
        PNG to write.
    points : sequence of (int, int, sequence of ForceError)
        Frames, atoms in all of them, and errors; ascending.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    frames = [entry[0] for entry in points]
    atoms = [entry[1] for entry in points]
    phases = list(dict.fromkeys(e.phase for e in points[-1][2]))
    species = list(dict.fromkeys(e.species for e in points[-1][2]))
    figure, panels = plt.subplots(1, 2, figsize=(9.0, 4.2), sharey=True, layout="constrained")
    wanted = (
        ("by phase, all elements", [(phase, ALL, phase) for phase in phases]),
        ("by element, all phases", [(ALL, element, element) for element in species]),
    )
    for panel, (title, curves) in zip(panels, wanted, strict=True):
        for k, (phase, element, name) in enumerate(curves):
            rows = [
                (entry[0], e)
                for entry in points
                for e in entry[2]
                if (e.phase, e.species) == (phase, element)
            ]
            values = np.array([e.rmse for _, e in rows])
            # A percentile interval of few frames may lie beside the value; NaN draws no bar.
            below = np.maximum(0.0, values - [e.low for _, e in rows])
            above = np.maximum(0.0, [e.high for _, e in rows] - values)
            panel.errorbar(
                [count for count, _ in rows],
                values,
                yerr=[below, above],
                label=name,
                color=COLOURS[k % len(COLOURS)],
                marker=MARKERS[k % len(MARKERS)],
                markersize=5,
                capsize=3,
                linewidth=1.4,
            )
        panel.set(xscale="log", yscale="log", title=title, xlabel="training frames")
        panel.set_xticks(frames, labels=[str(count) for count in frames])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(ScalarFormatter())
        panel.yaxis.set_minor_formatter(ScalarFormatter())
        panel.tick_params(axis="y", which="minor", labelsize=7)
        top = panel.secondary_xaxis("top")
        top.set_xticks(frames, labels=[_short(count) for count in atoms])
        top.xaxis.set_minor_locator(NullLocator())
        top.xaxis.set_minor_formatter(NullFormatter())
        top.set_xlabel("atoms in training frames")
        panel.grid(alpha=0.3, which="both", linewidth=0.5)
        panel.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4)
    panels[0].set_ylabel(
        "force RMSE on test frames (meV/Å)\nbars: 95 %, as if frames were independent"
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    plt.close(figure)


def _short(count: int) -> str:
    for size, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.3g}{name}"
    return str(count)
