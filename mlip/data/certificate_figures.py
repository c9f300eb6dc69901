"""Figures of the certificate: energies, forces, conditions, nearest distances."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.style import COLOURS
from mlip.data.coverage import densities, formula
from mlip.data.frames import FloatArray
from mlip.data.geometry_checks import pair_limit
from mlip.data.neighbours import CUTOFFS_ANGSTROM
from mlip.data.split import SPLITS, Part, System
from mlip.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = {
    "energies.png": "Energy per atom of each system less its median.",
    "forces.png": "Size of the forces on each element.",
    "coverage.png": "Temperature, density and composition of each part; side by symbol.",
    "distances.png": "Distances from each atom to its nearest one by pair of elements; "
    "dashed: hard limit.",
}
DPI = 150
# Distances are drawn from so many frames a system: they are shown, not judged.
FRAMES_DRAWN = 100
DISTANCE_RANGE_ANGSTROM = (1.0, 4.5)
SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
SIDES = {"train": ("o", COLOURS[0]), "valid": ("s", COLOURS[2]), "test": ("^", COLOURS[1])}


def certificate_figures(directory: Path, systems: list[System], parts: list[Part]) -> list[Path]:
    """Draw the figures that the page links.

    Parameters
    ----------
    directory : Path
        Set directory; files go to ``figures/`` in it.
    systems : list of System
    parts : list of Part

    Returns
    -------
    list of Path
        PNG files.
    """
    import matplotlib as mpl

    drawings: dict[str, Callable[[], Figure]] = {
        "energies.png": lambda: energies(systems),
        "forces.png": lambda: forces(systems),
        "coverage.png": lambda: coverage(parts),
        "distances.png": lambda: distances(systems),
    }
    written = []
    with mpl.rc_context(SETTINGS):
        for name in FIGURES:
            path = directory / "figures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            figure = drawings[name]()
            with replacing(path) as temporary:
                figure.savefig(temporary, format="png", dpi=DPI)
            written.append(path)
    return written


def energies(systems: list[System]) -> Figure:
    """Draw the distribution of the energy per atom by system, median and extremes marked."""
    figure, axes = _sheet(1, height=1.2 + 0.24 * len(systems))
    values = [s.frames.energies / len(s.frames.symbols) for s in systems]
    places = np.arange(len(systems))[::-1]
    for place, own in zip(places, values, strict=True):
        shifted = own - np.median(own)
        low, first, third, high = np.quantile(shifted, [0.0, 0.25, 0.75, 1.0])
        axes[0].plot([low, high], [place, place], color=COLOURS[0], linewidth=1.0)
        axes[0].plot([first, third], [place, place], color=COLOURS[0], linewidth=6.0)
        axes[0].plot([low, high], [place, place], "|", color=COLOURS[1], markersize=7)
    axes[0].axvline(0.0, color="0.7", linewidth=0.8, zorder=0)
    axes[0].set_yticks(
        places,
        [f"{s.name}  ({np.median(v):.2f})" for s, v in zip(systems, values, strict=True)],
    )
    axes[0].set_ylim(-0.8, len(systems) - 0.2)
    axes[0].set_xlabel("energy less the median (eV/atom); bar: middle half, ticks: extremes")
    axes[0].set_ylabel("system (median, eV/atom)")
    return figure


def forces(systems: list[System]) -> Figure:
    """Draw the distribution of force sizes by element on a logarithmic scale."""
    figure, axes = _sheet(1)
    edges = np.geomspace(1e-3, 1e2, 81)
    shown = []
    for k, element in enumerate(_elements(systems)):
        sizes = np.concatenate(
            [
                np.linalg.norm(
                    s.frames.forces[:, [symbol == element for symbol in s.frames.symbols]], axis=2
                ).ravel()
                for s in systems
                if element in s.frames.symbols
            ]
        )
        counts = np.histogram(np.clip(sizes, edges[0], edges[-1]), edges)[0]
        shown.append(sizes.max())
        label = f"{element} (median {np.median(sizes):.2f}, largest {sizes.max():.1f})"
        colour = COLOURS[k % len(COLOURS)]
        axes[0].stairs(counts / counts.sum(), edges, color=colour, label=label, linewidth=1.5)
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    axes[0].set_xlim(edges[0], min(2.0 * max(*shown, 1.0), edges[-1]))
    axes[0].set_xlabel("force on an atom (eV/Å)")
    axes[0].set_ylabel("fraction of atoms per bin")
    axes[0].legend(loc="upper left")
    return figure


def coverage(parts: list[Part]) -> Figure:
    """Draw density against temperature, and the compositions, with the side of each part."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = _sheet(2, height=max(3.6, 1.4 + 0.2 * len({_formula(p) for p in parts})))
    names = list(dict.fromkeys(_formula(part) for part in parts))
    drawn = set()
    unknown = any(p.system.source.temperature_kelvin is None for p in parts)
    known = [
        p.system.source.temperature_kelvin
        for p in parts
        if p.system.source.temperature_kelvin is not None
    ]
    aside = min(known, default=300.0) - max(0.15 * np.ptp(known or [0.0]), 100.0)
    for part in parts:
        marker, colour = SIDES[part.split]
        dense = densities(part)
        given = part.system.source.temperature_kelvin
        x = aside if given is None else given
        # Beside each other, since the sides often share a condition.
        x += 0.012 * (SPLITS.index(part.split) - 1) * max(np.ptp([aside, *known]), 100.0)
        style: dict[str, Any] = {"marker": marker, "color": colour, "fillstyle": "none"}
        label = None if part.split in drawn else part.split
        drawn.add(part.split)
        axes[0].plot([x, x], [dense.min(), dense.max()], label=label, markersize=5, **style)
        axes[1].plot(
            len(part.index),
            len(names) - 1 - names.index(_formula(part)),
            linestyle="none",
            markersize=6,
            **style,
        )
    if unknown:
        ticks = sorted({aside, *known})
        axes[0].set_xticks(
            ticks, ["not\ngiven" if t == aside else f"{t:g}" for t in ticks], rotation=0
        )
    axes[0].set_xlabel("temperature (K)")
    axes[0].set_ylabel("density (g/cm³)")
    axes[0].legend(loc="best")
    axes[1].set_yticks(range(len(names)), names[::-1])
    axes[1].set_xscale("log")
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[1].xaxis.set_major_formatter("{x:g}")
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    axes[1].margins(x=0.15)
    axes[1].set_xlabel("frames of a part")
    axes[1].set_ylabel("cell")
    return figure


def distances(systems: list[System]) -> Figure:
    """Draw nearest distances by pair of elements, with the hard limits."""
    samples = _nearest_samples(systems)
    pairs = sorted(samples)
    columns = min(3, max(1, len(pairs)))
    rows = max(1, -(-len(pairs) // columns))
    figure, axes = _sheet(columns, rows=rows, height=1.9 * rows + 0.6, share=True)
    edges = np.linspace(*DISTANCE_RANGE_ANGSTROM, 141)
    for axis, pair in zip(axes, pairs, strict=False):
        counts = np.histogram(samples[pair], edges)[0]
        axis.stairs(counts / max(counts.sum(), 1), edges, color=COLOURS[0], fill=True)
        axis.axvline(pair_limit(*pair.split("-")), color=COLOURS[1], linestyle="--", linewidth=1.2)
        axis.set_title(f"{pair} (limit {pair_limit(*pair.split('-')):.2f} Å)", fontsize=9)
        axis.set_xlim(*DISTANCE_RANGE_ANGSTROM)
        axis.set_ylim(bottom=0.0)
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    figure.supxlabel("distance to the nearest (Å)", fontsize=9)
    figure.supylabel("fraction of atoms per bin", fontsize=9)
    return figure


def _nearest_samples(systems: list[System]) -> dict[str, FloatArray]:
    """Return distances from atoms of the first element to the nearest of the second, Å."""
    import vesin

    neighbours = vesin.NeighborList(cutoff=CUTOFFS_ANGSTROM[1], full_list=True)
    found: dict[str, list[FloatArray]] = {}
    for system in systems:
        frames = system.frames
        elements = sorted(set(frames.symbols))
        codes = np.array([elements.index(symbol) for symbol in frames.symbols])
        for k in np.unique(np.linspace(0, len(frames) - 1, FRAMES_DRAWN).astype(int)):
            one, other, distance = neighbours.compute(
                points=frames.coords[k], box=frames.cells[k], periodic=True, quantities="ijd"
            )
            nearest = np.full((len(codes), len(elements)), np.inf)
            np.minimum.at(nearest, (one, codes[other]), distance)
            for a in range(len(elements)):
                for b in range(a, len(elements)):
                    values = nearest[codes == a, b]
                    values = values[np.isfinite(values)]
                    if len(values):
                        found.setdefault(f"{elements[a]}-{elements[b]}", []).append(values)
    return {pair: np.concatenate(values) for pair, values in found.items()}


def _elements(systems: list[System]) -> list[str]:
    return sorted({symbol for system in systems for symbol in system.frames.symbols})


def _formula(part: Part) -> str:
    return formula(part.system.frames.symbols)


def _sheet(
    columns: int, *, rows: int = 1, height: float = 3.6, share: bool = False
) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure as Sheet

    width = 6.5 if columns == 1 else 8.5
    figure = Sheet(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share)
    return figure, list(grid.ravel())
