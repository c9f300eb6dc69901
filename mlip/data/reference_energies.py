"""Energies of the elements that a set implies, and sources with another energy zero."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from mlip.data.check import Check
from mlip.data.frames import FloatArray
from mlip.data.split import System
from mlip.data.thresholds import limit, thresholds

# Zeros that are known by name, with the key of their table in thresholds.yml.
KNOWN_ZEROS = {
    "GTH pseudopotentials (CP2K)": "energies_gth_pbe",
    "VASP": "energies_vasp_pbe",
}
ANOTHER = "another zero"
UNKNOWN = "unknown"
# Iterations and floor of the least absolute deviations.
REWEIGHTINGS = 60
FLOOR_EV_PER_ATOM = 1e-3


@dataclass(frozen=True)
class ReferenceEnergies:
    """One energy per element, fitted to the mean energy per atom of every system.

    Attributes
    ----------
    elements : tuple of str
        (S,)
    energies_ev : (S,) array
        Fitted, eV/atom; nan where the compositions do not determine the element.
    rank : int
        Independent compositions; below S some energies are open.
    systems : tuple of str
        (M,)
    residuals_ev_per_atom : (M,) array
        Mean energy minus fit.
    zeros : tuple of str
        (M,) Name of the known energy zero that each system is near.
    """

    elements: tuple[str, ...]
    energies_ev: FloatArray
    rank: int
    systems: tuple[str, ...]
    residuals_ev_per_atom: FloatArray
    zeros: tuple[str, ...]


def reference_energies(systems: list[System]) -> ReferenceEnergies:
    """Fit E/N = sum_e x_e E_e by least squares, x the shares of the elements.

    Parameters
    ----------
    systems : list of System

    Returns
    -------
    ReferenceEnergies
    """
    elements, shares, energies = _means(systems)
    fit = np.linalg.lstsq(shares, energies, rcond=None)[0]
    rank = int(np.linalg.matrix_rank(shares, tol=1e-6))
    # An element is determined if its axis is within the space that the compositions span.
    span = np.linalg.pinv(shares, rcond=1e-6) @ shares
    determined = np.abs(np.diag(span) - 1.0) < 1e-6
    return ReferenceEnergies(
        elements=elements,
        energies_ev=np.where(determined, fit, np.nan),
        rank=rank,
        systems=tuple(system.name for system in systems),
        residuals_ev_per_atom=energies - shares @ fit,
        zeros=tuple(
            _known_zero(dict(zip(elements, share, strict=True)), float(energy))
            for share, energy in zip(shares, energies, strict=True)
        ),
    )


def energy_zero(systems: list[System], fitted: ReferenceEnergies) -> Check:
    """Look for sources with different energy zeros.

    Three comparisons, each with the limit `energy_zero_fail`: systems of one composition
    with each other; all systems with one energy per element, if there are more
    compositions than they determine; all systems with the tables of known zeros, which
    also decides where compositions differ and are few. A system beside the one known zero
    that is met is of it if the energies per element of the others predict its energy.

    Parameters
    ----------
    systems : list of System
    fitted : ReferenceEnergies
        Of these systems.
    """
    name, unit, threshold = "energy zero", "eV/atom", limit("energy_zero_fail")
    worst, text = _same_composition(systems)
    decided = bool(text)
    if len(systems) > fitted.rank:
        decided = True
        sizes = np.abs(fitted.residuals_ev_per_atom)
        k = int(sizes.argmax())
        if sizes[k] > worst:
            worst = float(sizes[k])
            text = f"{fitted.systems[k]} is farthest from one energy per element"
            if worst > threshold and (far := _minority(systems)):
                text = f"one energy per element fits all but {_listed(far)}"
    groups = defaultdict(list)
    for system, zero in zip(fitted.systems, fitted.zeros, strict=True):
        groups[zero].append(system)
    groups.pop(UNKNOWN, None)
    if len(groups) == 2 and ANOTHER in groups and _of_one_zero(systems, groups):
        groups.pop(ANOTHER)
    if len(groups) > 1:
        decided = True
        parted = "; ".join(f"{zero}: {_listed(members)}" for zero, members in groups.items())
        text = f"energies per atom are of different zeros, {parted}"
        worst = max(worst, _apart(systems, groups))
    elif groups and ANOTHER not in groups:
        decided = True
        zero = next(iter(groups))
        text = text or f"all that can be compared is near the zero of {zero}"
    if fitted.rank < len(fitted.elements):
        open_ = [e for e, v in zip(fitted.elements, fitted.energies_ev, strict=True) if np.isnan(v)]
        text = "; ".join(
            part
            for part in (
                text,
                f"independent compositions: {fitted.rank}, which leaves the energies of "
                f"{', '.join(open_)} open",
            )
            if part
        )
    if not decided:
        text = text or "too few systems to compare energy zeros"
        return Check(name, None, unit, threshold, "undecided", (), text)
    failed = worst > threshold or len(groups) > 1
    if failed:
        text += ": another code, pseudopotential or reference; do not mix"
    return Check(name, worst, unit, threshold, "fail" if failed else "pass", (), text)


def _means(systems: list[System]) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    elements = tuple(sorted({symbol for system in systems for symbol in system.frames.symbols}))
    counts = [Counter(system.frames.symbols) for system in systems]
    shares = np.array([[c[e] / c.total() for e in elements] for c in counts])
    energies = np.array([s.frames.energies.mean() / len(s.frames.symbols) for s in systems])
    return elements, shares, energies


def _minority(systems: list[System]) -> list[str]:
    """Return the systems beyond the limit from a fit by least absolute deviations.

    Iterated reweighting: a minority with another zero keeps its deviation, where least
    squares spread it over all (Schlossmacher, doi 10.1080/01621459.1973.10481436).
    """
    _, shares, energies = _means(systems)
    left, root = energies, np.ones(len(energies))
    for _ in range(REWEIGHTINGS):
        fit = np.linalg.lstsq(shares * root[:, None], energies * root, rcond=None)[0]
        left = np.abs(energies - shares @ fit)
        root = 1.0 / np.sqrt(np.maximum(left, FLOOR_EV_PER_ATOM))
    far = left > limit("energy_zero_fail")
    return [system.name for system, beyond in zip(systems, far, strict=True) if beyond]


def _same_composition(systems: list[System]) -> tuple[float, str]:
    """Return the largest gap of two systems of one composition, and who they are."""
    _, shares, energies = _means(systems)
    means: dict[tuple[float, ...], list[tuple[float, str]]] = defaultdict(list)
    for system, share, energy in zip(systems, shares, energies, strict=True):
        means[tuple(share.round(4).tolist())].append((float(energy), system.name))
    worst, text = 0.0, ""
    for same in means.values():
        gap = max(same)[0] - min(same)[0]
        if len(same) > 1 and gap >= worst:
            worst, text = gap, f"{min(same)[1]} and {max(same)[1]} have one composition"
    return worst, text


def _table_energy(shares: dict[str, float], key: str) -> float | None:
    """Return the energy of the elements, eV/atom; None if the table lacks one of them."""
    table = thresholds()[key].pairs
    present = {element: share for element, share in shares.items() if share > 0}
    if not present.keys() <= table.keys():
        return None
    return sum(share * table[element] for element, share in present.items())


def _known_zero(shares: dict[str, float], energy: float) -> str:
    expected = {name: _table_energy(shares, key) for name, key in KNOWN_ZEROS.items()}
    near = [
        name
        for name, value in expected.items()
        if value is not None and abs(energy - value) <= limit("energy_zero_fail")
    ]
    if near:
        return near[0]
    return UNKNOWN if None in expected.values() else ANOTHER


def _of_one_zero(systems: list[System], groups: dict[str, list[str]]) -> bool:
    """Return whether the energies per element of the known group predict those of the other.

    Pseudopotentials of other codes may be as near to a known zero as the limit itself, with
    one element on this side of it and one on that.
    """
    _, shares, energies = _means(systems)
    other = np.array([system.name in groups[ANOTHER] for system in systems])
    known = np.array([any(s.name in names for names in groups.values()) for s in systems]) & ~other
    inverse = np.linalg.pinv(shares[known], rcond=1e-6)
    within = np.abs(shares[other] @ (inverse @ shares[known]) - shares[other]).max() < 1e-6
    off = energies[other] - shares[other] @ (inverse @ energies[known])
    return bool(within and np.abs(off).max() <= limit("energy_zero_fail"))


def _apart(systems: list[System], groups: dict[str, list[str]]) -> float:
    """Return how far the groups are apart, eV/atom.

    Measured from the table of a known zero that is met, so that compositions do not matter.
    """
    elements, shares, energies = _means(systems)
    widest = 0.0
    for known in groups.keys() - {ANOTHER}:
        offsets = defaultdict(list)
        for system, share, energy in zip(systems, shares, energies, strict=True):
            table = _table_energy(dict(zip(elements, share, strict=True)), KNOWN_ZEROS[known])
            zero = next((zero for zero, names in groups.items() if system.name in names), None)
            if table is not None and zero is not None:
                offsets[zero].append(float(energy) - table)
        means = [float(np.mean(own)) for own in offsets.values()]
        widest = max(widest, max(means) - min(means))
    return widest


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
