"""Formal charges and the parity of electrons: compositions that no closed shell has."""

from __future__ import annotations

from ase.data import atomic_numbers

from mlip.data.check import SHOWN, Check
from mlip.data.coverage import formula
from mlip.data.split import System, frame_label
from mlip.data.thresholds import thresholds


def formal_charge(symbols: tuple[str, ...]) -> float | None:
    """Return the sum of the usual oxidation states, e; None if an element has no entry.

    If no element has a negative state, the one with the lowest state as an anion takes it
    (phosphorus is P5+ in a sulfide, P3- in a phosphide).
    """
    states = dict(thresholds()["oxidation_states"].pairs)
    present = set(symbols)
    if not present <= states.keys():
        return None
    anions = thresholds()["anion_states"].pairs
    if all(states[element] > 0 for element in present) and present & anions.keys():
        anion = min(sorted(present & anions.keys()), key=lambda element: anions[element])
        states[anion] = anions[anion]
    return sum(states[symbol] for symbol in symbols)


def formal_charges(systems: list[System]) -> Check:
    """Sum the usual oxidation states of each cell.

    A sum above zero means electrons that sit in bonds between like atoms (P-P in P2S6) or
    in a metal; below zero, missing ones (S-S bonds). Elements by themselves are left out.
    Cells are neutral in the calculation unless the recorded level names a charge.
    """
    name, unit = "formal charge", "e"
    sums: dict[str, float] = {}
    frames: list[str] = []
    unknown: set[str] = set()
    for system in systems:
        symbols = system.frames.symbols
        if len(set(symbols)) == 1:
            continue
        charge = formal_charge(symbols)
        if charge is None:
            unknown |= set(symbols) - thresholds()["oxidation_states"].pairs.keys()
            continue
        off = charge - cell_charge(system)
        sums[formula(symbols)] = max(sums.get(formula(symbols), 0.0), off, key=abs)
        if off:
            frames.append(frame_label(system, 0))
    untabled = f"no oxidation state is tabled for {', '.join(sorted(unknown))}" if unknown else ""
    if not sums:
        return Check(name, None, unit, 0.0, "undecided", (), untabled or "only elements")
    worst = max(sums.values(), key=abs)
    off_balance = {cell: value for cell, value in sums.items() if value}
    if not off_balance:
        if unknown:
            return Check(name, None, unit, 0.0, "undecided", (), f"others balanced; {untabled}")
        return Check(name, 0.0, unit, 0.0, "pass", (), "every composition is balanced")
    listed = ", ".join(f"{cell} {value:+g}" for cell, value in off_balance.items())
    text = (
        f"oxidation states do not sum to the charge of the cell: {listed}. Above zero electrons "
        "go into bonds of like atoms (or a metal), below zero they are missing: such cells teach "
        "other groups than the balanced compound" + (f"; {untabled}" if unknown else "")
    )
    return Check(name, worst, unit, 0.0, "warn", tuple(frames[:SHOWN]), text)


def electron_parity(systems: list[System]) -> Check:
    """Count the systems with an odd number of electrons that are not known to be polarised.

    A calculation without spin puts half electrons into two states: energies are those of no
    real state. The parity of all electrons is that of the valence electrons, since cores are
    closed.
    """
    name, unit = "electron parity", "systems"
    odd = [s for s in systems if _electrons(s) % 2]
    spin = {s.name: s.frames.level.get("spin_polarised", "not recorded") for s in odd}
    doubtful = [s for s in odd if spin[s.name] != "True"]
    formulas = ", ".join(dict.fromkeys(formula(s.frames.symbols) for s in doubtful or odd))
    if doubtful:
        found = sorted({spin[s.name] for s in doubtful})
        text = (
            f"an odd number of electrons in {formulas} (spin polarisation: {', '.join(found)}). "
            "Without it this is no state of the cell"
        )
        frames = tuple(frame_label(s, 0) for s in doubtful[:SHOWN])
        return Check(name, float(len(doubtful)), unit, 0.0, "warn", frames, text)
    text = f"odd in {formulas}, with spin polarisation" if odd else "even in every system"
    return Check(name, 0.0, unit, 0.0, "pass", (), text)


def _electrons(system: System) -> int:
    electrons = sum(int(atomic_numbers[symbol]) for symbol in system.frames.symbols)
    return electrons - round(cell_charge(system))


def cell_charge(system: System) -> float:
    """Return the charge of the cell that the level records, e; 0 if it records none."""
    return float(system.frames.level.get("charge", 0.0))
