"""Figures of static physics: members as thin coloured lines, the reference in black."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mlip.errors import DataError
from mlip.files import replacing
from mlip.validation.figures import COLOURS, DPI, SETTINGS, WIDTH_INCH
from mlip.validation.physics.barriers import Path as IonPath
from mlip.validation.physics.equation_of_state import birch_murnaghan, fit_equation_of_state
from mlip.validation.physics.phonons import Phonons
from mlip.validation.reference import FloatArray

MODEL, REFERENCE = COLOURS[0], "black"


def energy_volume_figure(
    path: Path,
    members: Sequence[tuple[FloatArray, FloatArray]],
    reference: tuple[FloatArray, FloatArray] | None,
) -> None:
    """Draw energies above their lowest (meV/atom) against volume (Å^3/atom).

    Parameters
    ----------
    members : sequence of (volumes, energies), shape (F,) each
    reference : (volumes, energies), optional
    """
    with rc_context(SETTINGS):
        figure, axis = _one_axis()
        for number, (volumes, energies) in enumerate(members):
            zero = np.nanmin(energies)
            label = "potential" if number == 0 else None
            axis.plot(volumes, energies - zero, "o", color=MODEL, markersize=2.5, label=label)
            _fitted(axis, volumes, energies - zero, MODEL)
        if reference is not None:
            energies = reference[1] - reference[1].min()
            axis.plot(reference[0], energies, "kx", markersize=5, label="DFT", zorder=3)
            _fitted(axis, reference[0], energies, REFERENCE)
        axis.set_xlabel("volume (Å$^3$/atom)")
        axis.set_ylabel("energy (meV/atom)")
        axis.legend()
        _save(figure, path)


def dos_figure(path: Path, members: Sequence[Phonons], reference: Phonons | None) -> None:
    """Draw densities of phonon states; imaginary frequencies are negative."""
    with rc_context(SETTINGS):
        figure, axis = _one_axis()
        if reference is not None:
            axis.fill_between(
                reference.dos_thz, reference.dos, color="0.82", linewidth=0, label="DFT"
            )
        for number, phonons in enumerate(members):
            _line(axis, phonons.dos_thz, phonons.dos, number, "-")
        if _lowest(members, reference) < -0.1:
            axis.axvline(0.0, color="0.5", linewidth=0.6)
        axis.set_ylim(bottom=0.0)
        axis.set_xlabel("frequency (THz)")
        axis.set_ylabel("states per THz and primitive cell")
        axis.legend()
        _save(figure, path)


def bands_figure(path: Path, members: Sequence[Phonons], reference: Phonons | None) -> None:
    """Draw phonon bands along one path; every line starts at the first member's distances.

    Members whose relaxed cell has another path than that of the first are left out, and the
    legend tells how many are drawn.
    """
    path_labels = members[0].bands.labels
    alike = [member for member in members if member.bands.labels == path_labels]
    drawn = [*alike, *([reference] if reference else [])]
    distances = drawn[0].bands.distances
    own = "potential"
    if len(alike) < len(members):
        own += f" ({len(alike)} of {len(members)} members, the others have another path)"
    with rc_context(SETTINGS):
        figure = Figure(figsize=(1.6 * WIDTH_INCH, WIDTH_INCH), layout="constrained")
        axis = figure.add_subplot()
        for number, phonons in enumerate(drawn):
            is_reference = phonons is reference
            colour = REFERENCE if is_reference else MODEL
            for x, y in zip(distances, phonons.bands.frequencies_thz, strict=True):
                axis.plot(
                    x,
                    y,
                    color=colour,
                    linewidth=0.9 if is_reference else 0.7,
                    linestyle=(0, (3, 2)) if is_reference else "-",
                    alpha=1.0 if is_reference else 0.75,
                )
            name = "DFT" if is_reference else own
            if number in (0, len(alike)):
                axis.plot([], [], color=colour, label=name)
        places, labels = _ticks(distances, drawn[0].bands.labels)
        for place in places:
            axis.axvline(place, color="0.8", linewidth=0.5, zorder=0)
        axis.axhline(0.0, color="0.6", linewidth=0.5, zorder=0)
        axis.set_xticks(places, labels)
        axis.set_xlim(places[0], places[-1])
        axis.set_ylabel("frequency (THz)")
        figure.legend(loc="outside upper right", ncols=2)
        _save(figure, path)


def path_figure(path: Path, members: Sequence[IonPath], reference: IonPath | None) -> None:
    """Draw energies above the first image (meV) along a path."""
    with rc_context(SETTINGS):
        figure, axis = _one_axis()
        for number, member in enumerate(members):
            _line(axis, member.length_angstrom, 1000.0 * member.energy_ev, number, "o-")
        if reference is not None:
            energies = 1000.0 * reference.energy_ev
            axis.plot(reference.length_angstrom, energies, "kx--", linewidth=0.8, label="DFT")
        axis.axhline(0.0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_xlabel("way along the path (Å)")
        axis.set_ylabel("energy (meV)")
        axis.legend()
        _save(figure, path)


def _fitted(axis: Any, volumes: FloatArray, energies: FloatArray, colour: str) -> None:
    """Draw the curve of Birch and Murnaghan where there is one."""
    try:
        fit = fit_equation_of_state(volumes, energies, "figure")
    except DataError:
        return
    x = np.linspace(volumes.min(), volumes.max(), 101)
    axis.plot(x, birch_murnaghan(x, fit), color=colour, linewidth=0.8, alpha=0.8, zorder=1)


def _ticks(
    distances: Sequence[FloatArray], labels: Sequence[tuple[str, str]]
) -> tuple[list[float], list[str]]:
    """Return ticks; where two branches meet at different points both names are given."""
    places, names = [float(distances[0][0])], [labels[0][0]]
    for number, (x, (_, end)) in enumerate(zip(distances, labels, strict=True)):
        following = labels[number + 1][0] if number + 1 < len(labels) else end
        places.append(float(x[-1]))
        names.append(end if following == end else f"{end}|{following}")
    return places, names


def _lowest(members: Sequence[Phonons], reference: Phonons | None) -> float:
    return min(phonons.lowest_thz for phonons in [*members, *([reference] if reference else [])])


def _line(axis: Any, x: FloatArray, y: FloatArray, number: int, style: str) -> None:
    label = "potential" if number == 0 else None
    axis.plot(x, y, style, color=MODEL, linewidth=0.8, markersize=2.5, alpha=0.8, label=label)


def _one_axis() -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH_INCH, 0.8 * WIDTH_INCH), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
