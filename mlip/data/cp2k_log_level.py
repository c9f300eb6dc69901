"""The first-principles level that a CP2K log prints, in the names of the input reader."""

from __future__ import annotations

import re

from mlip.data.vasp_level import number

RYDBERG_PER_HARTREE = 2.0


def log_level(head: str) -> dict[str, str]:
    """Return the settings printed before the first energy, as text by name.

    Parameters
    ----------
    head : str
        The log up to the first energy, at PRINT_LEVEL MEDIUM.
    """

    def found(pattern: str, default: str = "") -> str:
        match = re.search(pattern, head)
        return match.group(1).strip() if match else default

    def rydberg(pattern: str) -> str:
        value = found(pattern)
        return number(str(float(value) * RYDBERG_PER_HARTREE)) if value else ""

    level = {
        "code": "CP2K",
        "functional": " ".join(re.findall(r"FUNCTIONAL\| ([A-Z0-9_]+):\s", head)),
        "dispersion": _dispersion(head),
        "cutoff_rydberg": rydberg(r"QS\| Density cutoff \[a\.u\.\]:\s+(\S+)"),
        "rel_cutoff_rydberg": rydberg(r"QS\| Relative density cutoff \[a\.u\.\]:\s+(\S+)"),
        "eps_scf": number(found(r"\n\s+eps_scf:\s+(\S+)")),
        # CP2K sets eps_rho to EPS_DEFAULT unless it is given.
        "eps_default": number(found(r"eps_rho_rspace:\s+(\S+)")),
        "spin_polarised": str("(spin-polarized)" in head),
        "charge": found(r"DFT\| Charge\s+([+-]?[1-9]\d*)"),
    }
    kinds = re.split(r"\n\s+\d+\. Atomic kind: ", head)[1:]
    for kind in kinds:
        element = re.match(r"[A-Z][a-z]?", kind)
        basis = re.search(r"Orbital Basis Set\s+(\S+)", kind)
        potential = re.search(r"Potential information for\s+(\S+)", kind)
        if element and basis:
            level[f"basis {element.group(0)}"] = basis.group(1).upper()
        if element and potential:
            level[f"potential {element.group(0)}"] = potential.group(1).upper()
    return {key: value for key, value in level.items() if value}


def _dispersion(head: str) -> str:
    if "vdW POTENTIAL|" not in head:
        return "none"
    kind = re.search(r"vdW POTENTIAL\|\s+DFT-D(\d)", head)
    damping = "(BJ)" if re.search(r"vdW POTENTIAL\|\s+BJ Damping", head) else ""
    return f"DFTD{kind.group(1)}{damping}" if kind else "present, kind not printed"
