"""The first-principles level of a VASP run, from the head of its OUTCAR or vasprun.xml."""

from __future__ import annotations

import re
from xml.etree import ElementTree

FALSE = {"", "F", ".FALSE.", "FALSE", ".F.", "0", "--", "NONE"}


def outcar_level(text: str) -> dict[str, str]:
    """Return the settings printed before the first step, as text by name.

    Parameters
    ----------
    text : str
        The OUTCAR up to and including its first step.
    """

    def found(pattern: str, default: str = "") -> str:
        match = re.search(pattern, text)
        return match.group(1).strip() if match else default

    level = {
        "code": "VASP",
        "version": found(r"vasp\.([\d.]+)"),
        "cutoff_ev": number(found(r"ENCUT\s*=\s*(\S+)\s*eV")),
        "ediff_ev": number(found(r"EDIFF\s*=\s*(\S+)")),
        "smearing": _smearing(found(r"ISMEAR =\s*(-?\d+)"), found(r"SIGMA\s*=\s*([\d.E+-]+)")),
        "functional": found(r"\n\s*GGA\s*=\s*(\S+)", "--"),
        "dispersion": found(r"\bIVDW\s*=\s*(\S+)", "none"),
        "spin_polarised": _spin(found(r"\bISPIN\s*=\s*(\d)")),
    }
    if level["dispersion"] in {"none", "0"} and re.search(r"\bEdisp\b|vdW correction", text):
        level["dispersion"] = "present, kind not printed"
    switches = {
        "metagga": found(r"METAGGA\s*=\s*(\S+)"),
        "hybrid": found(r"LHFCALC\s*=\s*(\S+)"),
        "hubbard_u": found(r"\bLDAU\s*=\s*(\S+)"),
        "nonlocal_vdw": found(r"LUSE_VDW\s*=\s*(\S+)"),
    }
    level |= {key: value for key, value in switches.items() if value.upper() not in FALSE}
    for title in re.findall(r"TITEL\s*=\s*(\S+ \S+)", text):
        kind, name = title.split()
        level[f"potential {name.split('_')[0]}"] = f"{kind} {name}"
    return _named(level)


def xml_level(root: ElementTree.Element) -> dict[str, str]:
    """Return the settings of a vasprun.xml, as text by name."""
    settings = {str(i.get("name")): (i.text or "").strip() for i in root.iter("i")}
    level = {
        "code": "VASP",
        "version": (re.match(r"[\d.]+", settings.get("version", "")) or [""])[0],
        "cutoff_ev": number(settings.get("ENMAX") or settings.get("ENCUT", "")),
        "ediff_ev": number(settings.get("EDIFF", "")),
        "smearing": _smearing(settings.get("ISMEAR", ""), settings.get("SIGMA", "")),
        "functional": settings.get("GGA", "--"),
        "dispersion": settings.get("IVDW", "none"),
        "spin_polarised": _spin(settings.get("ISPIN", "")),
    }
    switches = {
        "metagga": settings.get("METAGGA", ""),
        "hybrid": settings.get("LHFCALC", ""),
        "hubbard_u": settings.get("LDAU", ""),
        "nonlocal_vdw": settings.get("LUSE_VDW", ""),
    }
    level |= {key: value for key, value in switches.items() if value.upper() not in FALSE}
    for row in root.findall("atominfo/array[@name='atomtypes']/set/rc"):
        words = [(c.text or "").strip() for c in row.findall("c")]
        kind, name = [*words[-1].split(), ""][:2]
        level[f"potential {words[1].split('_')[0]}"] = f"{kind} {name}"
    return _named(level)


def number(text: str) -> str:
    """Return a number in one spelling; other text as it is."""
    try:
        return f"{float(text.lower().replace('d', 'e')):g}"
    except ValueError:
        return text


def _smearing(method: str, width_ev: str) -> str:
    return f"ISMEAR {method} {number(width_ev)} eV" if method else ""


def _spin(ispin: str) -> str:
    return str(ispin == "2") if ispin else ""


def _named(level: dict[str, str]) -> dict[str, str]:
    """Resolve GGA = -- (taken from the POTCAR) for PBE potentials; drop what is not there."""
    potentials = [value for key, value in level.items() if key.startswith("potential ")]
    if level["functional"] == "--" and all(p.startswith("PAW_PBE") for p in potentials):
        level["functional"] = "PE"
    if level["dispersion"] == "0":
        level["dispersion"] = "none"
    return {key: value for key, value in level.items() if value}
