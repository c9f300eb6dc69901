"""Numbers and names as people read them; the exact number stays beside."""

from __future__ import annotations

import math
import re
from typing import Any

from analysis.results import Quantity
from mlip.report.blocks import Cell
from mlip.report.names import QUANTITIES

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# 2.6e-09 in a sentence.
POWER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)(?![\w.]*\w)")
# Longest first: the suffix of a key names its unit.
UNITS = {
    "_ev_per_angstrom": "eV/Å",
    "_mev_per_angstrom": "meV/Å",
    "_mev_per_atom": "meV/atom",
    "_ev_per_atom": "eV/atom",
    "_kelvin_per_ps": "K/ps",
    "katom_steps_per_second": "katom-step/s",
    "_g_cm3": "g/cm³",
    "_angstrom3": "Å³",
    "_angstrom": "Å",
    "_kelvin": "K",
    "_gpa": "GPa",
    "_seconds": "s",
    "_hours": "h",
    "_fs": "fs",
    "_ps": "ps",
    "_mev": "meV",
    "_ev": "eV",
}
UNIT_TEXT = {
    "1": "",
    "Angstrom": "Å",
    "Angstrom^2": "Å²",
    "cm^2/s": "cm²/s",
    "cm^-3": "cm⁻³",
    "g/cm^3": "g/cm³",
    "Angstrom^3": "Å³",
    "1/Angstrom": "1/Å",
    "1/Angstrom^2": "1/Å²",
    "degree": "°",
    "percent": "%",
}
PROSE = {
    "Angstrom^3": "Å³",
    "Angstrom^2": "Å²",
    "Angstrom": "Å",
    "cm^2/s": "cm²/s",
    "cm^-3": "cm⁻³",
    " +- ": " ± ",
}


def number_text(value: float, digits: int = 3) -> str:
    """Return a number with some significant digits, powers of ten as superscripts.

    Integers below a million are shown whole.
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -3 <= power <= 4:
        text = f"{value:.{max(0, digits - 1 - power)}f}"
        if float(text) == value and "." in text:
            text = text.rstrip("0")  # nothing was rounded away
        return text.replace("-", "−")
    return f"{mantissa.replace('-', '−')} × 10{str(power).translate(SUPERSCRIPTS)}"


def cell(value: Any) -> Cell:
    """Return any JSON value as a cell; numbers keep their exact form."""
    if value is None:
        return Cell("–", tone="quiet")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float):
        return Cell(number_text(float(value)), exact=repr(value))
    if isinstance(value, list | tuple):
        return Cell(", ".join(cell(item).text for item in value))
    if isinstance(value, dict):
        return Cell(", ".join(f"{key} {cell(item).text}" for key, item in value.items()))
    text = str(value)
    tones = {"pass": "good", "passed": "good", "ok": "good", "fail": "bad", "failed": "bad"}
    return Cell(text, tone=tones.get(text, "plain"))  # type: ignore[arg-type]


def key_text(key: str) -> str:
    """Return a key as words with its unit: ``pressure_gpa`` to ``pressure (GPa)``."""
    for suffix, unit in UNITS.items():
        if key.endswith(suffix):
            words = key[: -len(suffix)].replace("_", " ").strip() or "speed"
            return f"{words} ({unit})"
    return key.replace("_", " ")


def quantity_name(name: str) -> str:
    """Return the name of a quantity as words: ``diffusion_coefficient_Li`` and others."""
    for start, words in sorted(QUANTITIES.items(), key=lambda item: -len(item[0])):
        if name == start:
            return words
        if name.startswith(start + "_"):
            return f"{words}, {name[len(start) + 1 :].replace('_', ' ')}"
    return name.replace("_", " ")


def prose(text: str) -> str:
    """Return a sentence from a file with its plain-text units and signs set properly."""
    for plain, set_properly in PROSE.items():
        text = text.replace(plain, set_properly)
    return POWER.sub(
        lambda found: f"{found[1]} × 10{str(int(found[2])).translate(SUPERSCRIPTS)}", text
    )


def unit_text(unit: str) -> str:
    """Return a unit with superscripts; "" for a pure number."""
    return UNIT_TEXT.get(unit, unit)


def value_cell(quantity: Quantity) -> Cell:
    """Return the value with its unit, or its status where there is none."""
    if quantity.status != "ok":
        return Cell("not resolved" if quantity.status == "unresolved" else "refused", tone="bad")
    text = f"{number_text(quantity.value)} {unit_text(quantity.unit)}".strip()
    return Cell(text, exact=repr(quantity.value))


def interval_cell(quantity: Quantity) -> Cell:
    """Return the interval of a resolved quantity, or the bound of an unresolved one."""
    low, high = quantity.low, quantity.high
    unit = unit_text(quantity.unit)
    low_known, high_known = math.isfinite(low), math.isfinite(high)
    if quantity.status != "ok" and low == 0:
        low_known = False  # everything here is positive: no bound at all
    exact = " ".join(repr(x) for x, known in ((low, low_known), (high, high_known)) if known)
    if low_known and high_known:
        text = f"{number_text(low)} to {number_text(high)} {unit}"
    elif high_known:
        text = f"below {number_text(high)} {unit}"
    elif low_known:
        text = f"above {number_text(low)} {unit}"
    else:
        return Cell("–", tone="quiet")
    return Cell(text.strip(), exact=exact)
