"""The first-principles level of Quantum ESPRESSO runs, from pw.x output or cp.x input."""

from __future__ import annotations

import re

from mlip.data.vasp_level import number

DISPERSION = re.compile(
    r"(DFT-D3|Grimme-D3|DFT-D2|XDM|Tkatchenko-Scheffler|MBD|Dispersion Correction)", re.IGNORECASE
)


def pw_level(head: str) -> dict[str, str]:
    """Return the settings that pw.x prints before the first SCF, as text by name."""

    def found(pattern: str, default: str = "") -> str:
        match = re.search(pattern, head)
        return match.group(1).strip() if match else default

    dispersion = DISPERSION.search(head)
    level = {
        "code": "Quantum ESPRESSO pw.x",
        "version": found(r"Program PWSCF v\.(\S+)"),
        "functional": found(r"Exchange-correlation\s*=\s*([^(\n]+)"),
        "dispersion": dispersion.group(1) if dispersion else "none",
        "cutoff_rydberg": number(found(r"kinetic-energy cutoff\s*=\s*(\S+)")),
        "density_cutoff_rydberg": number(found(r"charge density cutoff\s*=\s*(\S+)")),
        "conv_thr_rydberg": number(found(r"convergence threshold\s*=\s*(\S+)")),
        "smearing": " ".join(found(r"number of k points=\s*\d+\s+(\S.*width.*)").split()) or "none",
        "spin_polarised": str("Starting magnetic structure" in head),
    }
    files = re.findall(r"PseudoPot\. #\s*\d+ for\s+(\S+)\s+read from file:?\s*\n?\s*(\S+)", head)
    sums = re.findall(r"MD5 check sum:\s*(\S+)", head)
    for k, (label, file) in enumerate(files):
        element = re.match(r"[A-Za-z]{1,2}", label)
        name = element.group(0).capitalize() if element else label
        level[f"potential {name}"] = file.split("/")[-1] + (f" {sums[k]}" if k < len(sums) else "")
    return {key: value for key, value in level.items() if value}


def cp_level(text: str) -> dict[str, str]:
    """Return the settings of a cp.x input, as text by name."""
    text = re.sub(r"!.*", "", text)

    def found(key: str, default: str = "") -> str:
        match = re.search(rf"\b{key}\s*=\s*['\"]?([^'\",\s]+)", text, re.IGNORECASE)
        return match.group(1) if match else default

    level = {
        "code": "Quantum ESPRESSO cp.x",
        "functional": found("input_dft").upper(),
        "dispersion": found("vdw_corr", "none"),
        "cutoff_rydberg": number(found("ecutwfc")),
        "density_cutoff_rydberg": number(found("ecutrho")),
        "fictitious_mass_au": number(found("emass")),
        "kpoints": "Gamma",
        "charge": number(found("tot_charge")),
    }
    card = re.search(r"ATOMIC_SPECIES[^\n]*\n((?:[ \t]*\w+[ \t]+[\d.]\S*[ \t]+\S+[^\n]*\n)+)", text)
    for line in card.group(1).splitlines() if card else []:
        label, _, file = line.split()[:3]
        level[f"potential {label}"] = file
    return {key: value for key, value in level.items() if value}
