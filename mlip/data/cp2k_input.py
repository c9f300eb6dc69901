"""CP2K input files: sections, units of the trajectories, and the first-principles level."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlip.data.frames import BOHR_ANGSTROM, HARTREE_EV, FloatArray
from mlip.errors import DataError, UnitError

LENGTH_UNITS = {"angstrom": 1.0, "bohr": BOHR_ANGSTROM}
# CP2K writes force units as products, in any case and with ^ or **.
FORCE_UNITS = {
    "hartree*bohr^-1": HARTREE_EV / BOHR_ANGSTROM,
    "hartree/bohr": HARTREE_EV / BOHR_ANGSTROM,
    "internal_cp2k": HARTREE_EV / BOHR_ANGSTROM,
    "ev*angstrom^-1": 1.0,
    "ev/angstrom": 1.0,
}

FALSE = {"F", ".F.", "FALSE", ".FALSE.", "NO", "OFF"}
SPIN_KEYWORDS = ("UKS", "UNRESTRICTED_KOHN_SHAM", "LSD", "SPIN_POLARIZED")


@dataclass(frozen=True)
class Section:
    """One section of a CP2K input; names are in capitals.

    Attributes
    ----------
    name, parameter : str
        ``&XC_FUNCTIONAL PBE`` has the parameter PBE.
    keywords : dict of str to str
        Value text of each keyword; the last one counts.
    sections : list of Section
    """

    name: str
    parameter: str = ""
    keywords: dict[str, str] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)

    def find(self, path: str) -> Section:
        """Return the first subsection at ``A/B/C``; an empty section if it is absent."""
        here = self
        for name in path.split("/"):
            here = next((s for s in here.sections if s.name == name), Section(name))
        return here

    def value(self, keyword: str, default: str = "") -> str:
        """Return the text of a keyword."""
        return self.keywords.get(keyword, default)


def parse_input(text: str, path: Path) -> Section:
    """Read the text of a CP2K input (or restart) file.

    Raises
    ------
    DataError
        If sections are not closed, or a part lies in an included file.
    """
    root = Section("ROOT")
    open_sections = [root]
    variables: dict[str, str] = {}
    for number, line in _lines(text):
        words = line.split(None, 1)
        rest = words[1].strip() if len(words) > 1 else ""
        head = words[0].upper()
        if head == "@SET":
            name, _, value = rest.partition(" ")
            variables[name.upper()] = value.strip()
            continue
        if head.startswith("@"):
            raise DataError(
                f"{path}: line {number} is `{line}`; includes and conditions are not followed. "
                "Give the expanded input (CP2K writes it as <project>-1.restart)."
            )
        rest = re.sub(
            r"\$\{?(\w+)\}?", lambda m: variables.get(m.group(1).upper(), m.group(0)), rest
        )
        if head.startswith("&END"):
            if len(open_sections) == 1:
                raise DataError(f"{path}: line {number} closes a section that is not open.")
            open_sections.pop()
        elif head.startswith("&"):
            section = Section(head[1:], rest)
            open_sections[-1].sections.append(section)
            open_sections.append(section)
        else:
            open_sections[-1].keywords[head] = rest
    if len(open_sections) > 1:
        raise DataError(f"{path}: section &{open_sections[-1].name} is not closed (truncated?).")
    return root


def position_unit(root: Section, path: Path) -> float:
    """Return Å per unit of the position trajectory (CP2K default: angstrom).

    Raises
    ------
    UnitError
        If the unit, or the format of the file, is not one we know.
    """
    return _unit(root.find("MOTION/PRINT/TRAJECTORY"), "angstrom", LENGTH_UNITS, path)


def force_unit(root: Section, path: Path) -> float:
    """Return eV/Å per unit of the force trajectory (CP2K default: hartree/bohr).

    Raises
    ------
    UnitError
        If the unit, or the format of the file, is not one we know.
    """
    return _unit(root.find("MOTION/PRINT/FORCES"), "hartree*bohr^-1", FORCE_UNITS, path)


def ensemble(root: Section) -> str:
    """Return the MD ensemble (NVT, NPT_F, REFTRAJ, ...); NVE, the default, if none is named."""
    return root.find("MOTION/MD").value("ENSEMBLE", "NVE").upper()


def moves_cell(kind: str) -> bool:
    """Return whether the cell changes in an ensemble of CP2K."""
    return kind.upper().startswith(("NPT", "NPE", "NPH", "MSST", "HYDROSTATICSHOCK"))


def fixed_cell(root: Section, path: Path) -> FloatArray:
    """Return the (3, 3) cell of the input in rows, Å, for runs that print no cell.

    Raises
    ------
    DataError
        If the cell changes in this ensemble, or is not given by A, B, C or ABC.
    """
    kind = ensemble(root)
    if moves_cell(kind) or _is_on(root.find("MOTION/MD/REFTRAJ"), "VARIABLE_VOLUME"):
        raise DataError(
            f"{path}: ensemble {kind} changes the cell, but the run wrote no *-1.cell. "
            "Print it (&MOTION &PRINT &CELL) at the stride of the trajectory."
        )
    cell = root.find("FORCE_EVAL/SUBSYS/CELL")
    rows = [cell.value(axis) for axis in "ABC"]
    repeated = [int(n) for n in cell.value("MULTIPLE_UNIT_CELL", "1 1 1").split()]
    if repeated != [1, 1, 1]:
        raise DataError(
            f"{path}: &CELL is repeated (MULTIPLE_UNIT_CELL), which is not followed. Print the "
            "cell (&MOTION &PRINT &CELL), or give that of the whole system."
        )
    if all(rows):
        return np.array([_lengths(row, path) for row in rows])
    if cell.value("ABC"):
        lengths = _lengths(cell.value("ABC"), path)
        angles = [float(a) for a in cell.value("ALPHA_BETA_GAMMA", "90 90 90").split()[-3:]]
        if angles == [90.0, 90.0, 90.0]:
            return np.diag(lengths)
    raise DataError(
        f"{path}: no *-1.cell file, and &CELL does not give A, B and C. Print the cell "
        "(&MOTION &PRINT &CELL)."
    )


def read_level(root: Section) -> dict[str, str]:
    """Return the settings that decide the level of theory, as text by name.

    Basis and pseudopotential are given per element, so that sets with different elements
    can be compared on those they share.
    """
    dft = root.find("FORCE_EVAL/DFT")
    functional = dft.find("XC/XC_FUNCTIONAL")
    names = functional.parameter or " ".join(
        " ".join([s.name, *(f"{k}={v}" for k, v in sorted(s.keywords.items()))])
        for s in functional.sections
    )
    vdw = dft.find("XC/VDW_POTENTIAL/PAIR_POTENTIAL")
    grid, scf, qs = dft.find("MGRID"), dft.find("SCF"), dft.find("QS")
    smear = next((s for s in scf.sections if s.name == "SMEAR"), None)
    level = {
        "code": "CP2K",
        "functional": names or "none",
        "dispersion": vdw.value("TYPE")
        or dft.find("XC/VDW_POTENTIAL/NON_LOCAL").value("TYPE")
        or "none",
        "cutoff_rydberg": _number(grid.value("CUTOFF", "280")),
        "rel_cutoff_rydberg": _number(grid.value("REL_CUTOFF", "40")),
        "eps_scf": _number(scf.value("EPS_SCF", "1.0E-5")),
        "eps_default": _number(qs.value("EPS_DEFAULT", "1.0E-10")),
        "smearing": _smearing(smear),
        "kpoints": dft.find("KPOINTS").value("SCHEME") or "Gamma",
        "spin_polarised": str(any(_is_on(dft, keyword) for keyword in SPIN_KEYWORDS)),
    }
    if (charge := _number(dft.value("CHARGE", "0"))) != "0":
        level["charge"] = charge
    if vdw.value("R_CUTOFF"):
        level["dispersion_cutoff"] = vdw.value("R_CUTOFF")
    for kind in root.find("FORCE_EVAL/SUBSYS").sections:
        if kind.name == "KIND":
            element = kind.value("ELEMENT", kind.parameter).capitalize()
            level[f"basis {element}"] = kind.value("BASIS_SET").upper()
            level[f"potential {element}"] = kind.value("POTENTIAL").upper()
    return level


def _smearing(section: Section | None) -> str:
    if section is None or section.parameter.upper() in FALSE:
        return "none"
    method = section.value("METHOD", "ENERGY_WINDOW")
    return f"{method} {section.value('ELECTRONIC_TEMPERATURE', '300')}"


def _is_on(section: Section, keyword: str) -> bool:
    """Return a switch; a keyword by itself switches on."""
    return keyword in section.keywords and section.value(keyword).upper() not in FALSE


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(text.splitlines(), start=1):
        line = re.split(r"[!#]", raw, maxsplit=1)[0].strip()
        if line:
            yield number, line


def _unit(section: Section, default: str, known: dict[str, float], path: Path) -> float:
    layout = section.value("FORMAT", "XMOL").upper()
    if layout not in {"XYZ", "XMOL"}:
        raise UnitError(f"{path}: &{section.name} FORMAT is {layout}; only XYZ is read.")
    unit = section.value("UNIT", default).lower().strip("[] ").replace("**", "^")
    if unit not in known:
        raise UnitError(
            f"{path}: unit {unit!r} of &{section.name} is unknown; known are {', '.join(known)}."
        )
    return known[unit]


def _lengths(text: str, path: Path) -> list[float]:
    match = re.match(r"\[(\w+)\]", text.strip())
    unit = match.group(1).lower() if match else "angstrom"
    if unit not in LENGTH_UNITS:
        raise UnitError(f"{path}: length unit {unit!r} of the cell is unknown.")
    return [float(v) * LENGTH_UNITS[unit] for v in text.strip().split("]")[-1].split()[:3]]


def _number(text: str) -> str:
    """Return a number in one spelling (4.0E+02 and 400 agree); the last word if it has a unit."""
    try:
        return f"{float(text.split(']')[-1].lower().replace('d', 'e')):g}"
    except ValueError:
        return text
