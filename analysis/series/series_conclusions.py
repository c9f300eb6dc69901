"""What can and what cannot be concluded from a series of runs, as sentences made by rule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from analysis.series.arrhenius import Arrhenius
from analysis.series.material import Extrapolation, MaterialSeries, energy_name
from analysis.series.run_result import RunResult
from analysis.series.samples import CONDUCTIVITY, DIFFUSION, SeriesPoint

# Below three samples the spread between them is not known; a claim about Ea takes five.
SAMPLES_FOR_INTERVAL = 3
SAMPLES_FOR_ENERGY = 5
# Line and value at one temperature that differ by more are not of one process.
LARGE_RATIO = 3.0
# D of an ion in one region of a sample.
PART = re.compile(DIFFUSION + r"[A-Z][a-z]?_[a-z]+")


def series_statements(material: MaterialSeries) -> list[str]:
    """Say what the runs of a material measure, bound, and leave open.

    Returns
    -------
    list of str
        Empty where no run gives a diffusion coefficient.
    """
    name = material.main(DIFFUSION)
    if name is None:
        return []
    points = material.points[name]
    parts = [part for part in sorted(material.points) if PART.fullmatch(part)]
    resolved = [_resolved(material.points[part], part) for part in (name, *parts)]
    statements = [*resolved, *_melts(points), _samples(material)]
    if name in material.fits:
        statements.append(_energy(material.fits[name]))
        statements += _bounds(points, material.fits[name])
    if name in material.extrapolations:
        statements.append(_extrapolation(material.extrapolations[name], "D"))
    conductivity = material.main_conductivity()
    if conductivity is not None and conductivity in material.extrapolations:
        what = (
            "sigma" if conductivity.startswith(f"{CONDUCTIVITY}coll") else "sigma (Nernst-Einstein)"
        )
        statements.append(_extrapolation(material.extrapolations[conductivity], what))
    statements += _committee(material, (name, energy_name(name)))
    start = f"{material.name}: " if material.name else ""
    return [start + statement for statement in statements]


def ratio_words(found: Extrapolation) -> str:
    """Return how an extrapolated value compares with what is known there; "" if nothing is."""
    known, ratio = found.known, found.ratio
    if known is None or not math.isfinite(ratio):
        return ""
    unit = known.quantity.unit
    if known.resolved:
        times, side = (ratio, "above") if ratio >= 1.0 else (1.0 / ratio, "below")
        return (
            f"the value measured there, {known.quantity.value:.2g} {unit}, lies "
            f"{_times(times)} {side} it"
        )
    if ratio >= 1.0:
        return (
            f"the bound measured there, {known.bound:.2g} {unit}, lies {_times(ratio)} above it "
            "and does not contradict it"
        )
    return (
        f"the bound measured there, {known.bound:.2g} {unit}, lies {_times(1.0 / ratio)} below "
        "it: the line cannot hold down to there"
    )


def _resolved(points: list[SeriesPoint], name: str) -> str:
    label = _where(name)
    known = [point for point in points if point.resolved]
    open_ = [point for point in points if not point.resolved]
    if not known:
        return f"D of {label} is unresolved at all temperatures ({_kelvins(open_)}){_below(open_)}."
    sentence = f"D of {label} is resolved at {_kelvins(known)}"
    if open_:
        sentence += (
            f" and unresolved at {_kelvins(open_)}, where the runs give upper bounds only"
            f"{_below(open_)}, which are not in the fit"
        )
    return sentence + "."


def _where(name: str) -> str:
    """Return whose D a quantity is: ``parallel_Li`` and ``Li_glass`` in words."""
    ion, _, part = name.removeprefix(DIFFUSION).partition("_")
    if ion == "parallel":
        return f"{part} along the layers"
    return f"{ion} in the {part}" if part else ion


def _below(points: list[SeriesPoint]) -> str:
    known = [point for point in points if math.isfinite(point.bound)]
    if not known:
        return ", without a bound"
    listed = ", ".join(f"{p.bound:.2g} at {p.temperature_kelvin:g} K" for p in known)
    return f": below {listed} (cm^2/s)"


def _melts(points: list[SeriesPoint]) -> list[str]:
    melts = [point for point in points if point.melt]
    if not melts:
        return []
    return [
        f"At {_kelvins(melts)} the framework moves: a melt. It is kept out of the line of the "
        "solid and of every extrapolation."
    ]


def _samples(material: MaterialSeries) -> str:
    own = [run for run in material.runs if run.member == material.member]
    n = len({run.sample for run in own})
    if n == 1:
        repeats = " Other velocity seeds repeat it and do not count." if _repeated(own) else ""
        return (
            "All runs are of one sample: how far independent samples differ is unknown, and no "
            f"interval here contains it.{repeats}"
        )
    if n < SAMPLES_FOR_INTERVAL:
        return f"{n} independent samples: too few for a narrow interval; three are the least."
    if n < SAMPLES_FOR_ENERGY:
        return f"{n} independent samples: enough for an interval, few for a claim about Ea (five)."
    return f"{n} independent samples."


def _repeated(runs: Sequence[RunResult]) -> bool:
    states = [(run.sample, run.temperature_kelvin) for run in runs]
    return len(set(states)) < len(states)


def _energy(fit: Arrhenius) -> str:
    span = f"{fit.kelvins[0]:g} and {fit.kelvins[-1]:g} K"
    energy = fit.energy_ev
    if not fit.has_interval:
        return (
            f"Two temperatures, {span}, give Ea = {energy.value:.2f} eV without an interval: "
            "unresolved."
        )
    low, high = energy.value - energy.half_width, energy.value + energy.half_width
    sentence = (
        f"Ea = {energy.value:.3f} eV ({low:.3f} to {high:.3f}) from {fit.ordinate} between {span}"
    )
    if not fit.curvature.tested:
        return f"{sentence}; too few temperatures to tell whether the line is straight."
    if fit.curvature.flagged:
        return (
            f"{sentence}, but the points curve: there is no single Ea over this range, and a "
            "line must not be continued beyond it."
        )
    return f"{sentence}; no curvature is seen."


def _bounds(points: list[SeriesPoint], fit: Arrhenius) -> list[str]:
    """Name the bounds that the line lies above."""
    found = []
    for point in points:
        if point.resolved or point.melt or not math.isfinite(point.bound):
            continue
        value, low, _ = fit.value(point.temperature_kelvin, of_new_point=True)
        if value <= point.bound:
            continue
        where = "with its whole prediction interval" if low > point.bound else "within its interval"
        found.append(
            f"At {point.temperature_kelvin:g} K the line ({value:.2g} cm^2/s) lies above the bound "
            f"{point.bound:.2g} cm^2/s, {where}."
        )
    return found


def _extrapolation(found: Extrapolation, what: str) -> str:
    fit = found.fit
    span = f"{fit.kelvins[0]:g} to {fit.kelvins[-1]:g} K"
    if not fit.has_interval:
        return (
            f"The line of {span} is not continued to {found.kelvin:g} K for {what}: two "
            "temperatures say nothing of how far off it would be there."
        )
    unit = "cm^2/s" if fit.ordinate == "ln D" else "S/cm"
    sentence = f"The line of {span} continued to {found.kelvin:g} K gives {what} = "
    sentence += f"{found.value:.2g} {unit} ({found.low:.2g} to {found.high:.2g})"
    sentence += ", an extrapolation and no measurement"
    if fit.curvature.flagged:
        sentence += ", of points that curve"
    words = ratio_words(found)
    sentence += f"; {words}." if words else "."
    if found.known is not None and found.known.resolved:
        if not 1.0 / LARGE_RATIO < found.ratio < LARGE_RATIO:
            sentence += " One line does not describe both: do not extrapolate."
    elif found.known is None:
        sentence += f" Nothing was measured or bounded at {found.kelvin:g} K."
    return sentence


def _committee(material: MaterialSeries, names: tuple[str, ...]) -> list[str]:
    spreads = [spread for spread in material.spreads if spread.name in names]
    if not spreads:
        return []
    members = sorted({run.member for run in material.runs})
    larger = [spread for spread in spreads if spread.exceeds_errors]
    start = f"{len(members)} potentials drove runs"
    if not larger:
        return [f"{start}: their results differ by no more than the statistical errors."]
    kelvins = [s.temperature_kelvin for s in larger if not math.isnan(s.temperature_kelvin)]
    where = [f"D at {', '.join(f'{kelvin:g}' for kelvin in kelvins)} K"] if kelvins else []
    where += ["Ea"] if len(kelvins) < len(larger) else []
    return [
        f"{start}: they differ by more than the statistical errors in {' and in '.join(where)}. "
        "The potential, not the length of the runs, limits these."
    ]


def _kelvins(points: list[SeriesPoint]) -> str:
    return ", ".join(f"{point.temperature_kelvin:g}" for point in points) + " K"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 10.0 else f"{ratio:.2g} times"
