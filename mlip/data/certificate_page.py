"""The certificate as a page to read."""

from __future__ import annotations

import numpy as np

from mlip.data.certificate_figures import FIGURES
from mlip.data.check import Certificate, Check
from mlip.data.neighbours import CUTOFFS_ANGSTROM
from mlip.data.split import SPLITS, Part

ORDER = ("fail", "warn", "undecided", "pass")


def certificate_markdown(certificate: Certificate, parts: list[Part]) -> str:
    """Return the readable certificate; its figures are those of `certificate_figures`."""
    counts = {v: sum(c.verdict == v for c in certificate.checks) for v in ORDER}
    sentence = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
    lines = [f"# Data certificate: {certificate.verdict}", "", f"{sentence} of "]
    lines[-1] += f"{len(certificate.checks)} checks. Limits and their reasons: "
    lines[-1] += "`mlip/data/thresholds.yml`."
    lines += _frames(parts) + _checks(certificate) + _coverage(certificate)
    lines += _energies(certificate) + _neighbours(certificate)
    lines += ["", "## First-principles level", ""]
    lines += [f"- {key}: {value}" for key, value in sorted(certificate.level.items())]
    if not certificate.level:
        lines.append("Not recorded by any source.")
    if certificate.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in certificate.notes)]
    lines += ["", "## Figures", ""]
    lines += [f"![{caption}](figures/{name})\n\n*{caption}*\n" for name, caption in FIGURES.items()]
    return "\n".join(lines).rstrip() + "\n"


def _frames(parts: list[Part]) -> list[str]:
    lines = ["", "## Frames", "", "| system | atoms | train | valid | test | not used |"]
    lines.append("|---|---|---|---|---|---|")
    totals = dict.fromkeys((*SPLITS, "not used"), 0)
    for system in {part.system.name: part.system for part in parts}.values():
        own = {part.split: len(part.index) for part in parts if part.system.name == system.name}
        row = {split: own.get(split, 0) for split in SPLITS}
        row["not used"] = len(system.frames) - sum(row.values())
        totals = {key: totals[key] + row[key] for key in totals}
        shares = " | ".join(str(value) for value in row.values())
        lines.append(f"| {system.name} | {len(system.frames.symbols)} | {shares} |")
    sums = " | ".join(str(value) for value in totals.values())
    return [*lines, f"| all | | {sums} |"]


def _checks(certificate: Certificate) -> list[str]:
    lines = ["", "## Checks", "", "| check | verdict | value | limit | what it says |"]
    lines.append("|---|---|---|---|---|")
    for check in sorted(certificate.checks, key=lambda check: ORDER.index(check.verdict)):
        value = "-" if check.number is None else f"{check.number:.4g} {_unit(check)}".strip()
        threshold = "-" if check.threshold is None else f"{check.threshold:.4g}"
        where = f" ({', '.join(check.frames[:3])})" if check.frames else ""
        text = _cell(check.text + where)
        verdict = f"**{check.verdict}**" if check.verdict in {"fail", "warn"} else check.verdict
        lines.append(f"| {check.name} | {verdict} | {value} | {threshold} | {text} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _unit(check: Check) -> str:
    return "" if check.unit == "none" else check.unit


def _coverage(certificate: Certificate) -> list[str]:
    lines = ["", "## Coverage", ""]
    lines.append("| split | system | cell | phase | temperature (K) | density (g/cm3) | frames |")
    lines.append("|---|---|---|---|---|---|---|")
    for row in certificate.coverage:
        kelvin = "-" if row.temperature_kelvin is None else f"{row.temperature_kelvin:g}"
        low, high = f"{row.density_low_g_cm3:.3f}", f"{row.density_high_g_cm3:.3f}"
        dense = low if low == high else f"{low} to {high}"
        lines.append(
            f"| {row.split} | {row.system} | {row.composition} | {_cell(row.phase)} | {kelvin} "
            f"| {dense} | {row.frames} |"
        )
    return lines


def _energies(certificate: Certificate) -> list[str]:
    fitted = certificate.reference_energies
    lines = ["", "## Reference energies", ""]
    lines.append(
        "One energy per element, fitted to the mean energies of the systems (least "
        f"squares). Independent compositions: {fitted.rank}; elements: {len(fitted.elements)}."
    )
    lines += ["", "| element | energy (eV/atom) |", "|---|---|"]
    for element, energy in zip(fitted.elements, fitted.energies_ev, strict=True):
        lines.append(f"| {element} | {'open' if np.isnan(energy) else f'{energy:.3f}'} |")
    lines += [
        "",
        "| system | mean energy minus fit (eV/atom) | near the zero of |",
        "|---|---|---|",
    ]
    for name, residual, zero in zip(
        fitted.systems, fitted.residuals_ev_per_atom, fitted.zeros, strict=True
    ):
        lines.append(f"| {name} | {residual:+.3f} | {zero} |")
    return lines


def _neighbours(certificate: Certificate) -> list[str]:
    table = certificate.neighbours
    lines = ["", "## Neighbours and distances", ""]
    if not table:
        return [*lines, "No training frames."]
    elements = list(table[f"{CUTOFFS_ANGSTROM[0]:.1f}"])
    lines += ["Most neighbours of each element that any atom of a training frame has.", ""]
    lines.append(f"| within (Å) | {' | '.join(elements)} |")
    lines.append("|---" * (len(elements) + 1) + "|")
    for cutoff, row in table.items():
        lines.append(f"| {cutoff} | {' | '.join(str(row[element]) for element in elements)} |")
    pairs = certificate.smallest_distance_angstrom
    listed = ", ".join(f"{pair} {distance:.2f}" for pair, distance in pairs.items())
    return [*lines, "", f"Smallest distances in training frames (Å): {listed or 'none'}."]
