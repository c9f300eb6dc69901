"""Copies finished specimens into the repository: structures, what they are, pictures, checksums.

    .venv/bin/python md_runs/specimens/collect.py md_runs/specimens/made/glass_1 ...

Each RUN has its analysis beside it, as RUN_analysis. Writes NAME.extxyz.gz (the final structure
with velocities and origins; glasses in glasses/), NAME.png, specimens.csv and SHA256SUMS beside
this script.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.io import read
from ase.visualize.plot import plot_atoms
from PIL import Image

HERE = Path(__file__).parent
COLOURS = {"Li": "#4daf4a", "P": "#984ea3", "S": "#e6b800"}
RADII_ANGSTROM = {"Li": 0.25, "P": 0.9, "S": 0.45}
# Phosphorus shows where the crystal is.
CRYSTAL_P = "#d7191c"
QUANTITIES = (
    "anion_share_of_P_PS4",
    "anion_share_of_P_P2S7",
    "anion_share_of_P_P2S6",
    "anion_share_of_P_P-chain",
    "anion_share_of_P_other",
    "share_of_S_free",
    "rdf_first_peak_Li-S",
    "rdf_first_peak_P-S",
    "coordination_number_Li-S",
    "bond_order_P",
    "bond_order_crystal",
    "bond_order_glass",
    "crystalline_share_crystal",
    "crystalline_share_glass",
)
STAGE_VALUES = (
    "mean_temperature_kelvin",
    "mean_pressure_gpa",
    "mean_density_g_cm3",
    "median_max_force_deviation_ev_per_angstrom",
    "p95_max_force_deviation_ev_per_angstrom",
    "share_of_frames_beyond_trust",
)
# Of what was melted and quenched.
GLASS_VALUES = (
    "time_in_melt_ps",
    "quench_rate_kelvin_per_ps",
    "inherent_energy_ev_per_atom",
    "share_of_freezing_frames_beyond_trust",
)
BRAGG_OF_P = (
    "bragg_intensity_kept_by_melt",
    "bragg_intensity_kept_by_glass",
    "bragg_intensity_by_chance",
)


def row_of(run: Path) -> dict[str, Any]:
    """Return what manifest, thermo data and analysis of a finished run say."""
    manifest = json.loads((run / "manifest.json").read_text())
    if manifest["status"] != "complete":
        raise SystemExit(f"{run}: status {manifest['status']}, expected complete; let it finish.")
    with (run / "thermo.csv").open() as file:
        thermo = list(csv.DictReader(file))
    last = thermo[-1]["stage"]
    summary = manifest["summary"]
    energies = [float(line["potential_energy_ev"]) for line in thermo if line["stage"] == last]
    results = json.loads((run.with_name(f"{run.name}_analysis") / "results.json").read_text())
    found = {q["name"]: q["value"] for q in results["quantities"] if q["status"] == "ok"}
    row: dict[str, Any] = {"name": run.name, "formula": summary["formula"]}
    row["atoms"] = summary["atoms"]
    row["potential_energy_ev_per_atom"] = round(float(np.mean(energies)) / summary["atoms"], 5)
    row |= {name: summary[last].get(name) for name in STAGE_VALUES}
    row |= {name: _short(found.get(name)) for name in QUANTITIES}
    glass = summary.get("glass", {})
    row |= {name: glass.get(name) for name in GLASS_VALUES}
    row |= {f"{name}_P": glass.get(name, {}).get("P") for name in BRAGG_OF_P}
    return row


def write_structure(run: Path) -> Path:
    """Compress the final structure, the same bytes each time; return the file."""
    # Together, so that a protocol can be given all glasses.
    folder = HERE / "glasses" if run.name.startswith("glass_") else HERE
    folder.mkdir(exist_ok=True)
    target = folder / f"{run.name}.extxyz.gz"
    packed = gzip.compress((run / "final.extxyz").read_bytes(), mtime=0)
    target.write_bytes(packed)
    return target


def draw(structure: Path, material: str) -> Path:
    """Draw a structure along a and along c, the phosphorus of crystals red; return the file."""
    atoms = read(structure)
    assert isinstance(atoms, Atoms)
    atoms.wrap()
    # The atoms of a glass come from the crystal that was melted.
    origin = np.full(len(atoms), "glass") if material == "glass" else atoms.arrays["origin"]
    colours = [
        CRYSTAL_P if name == "P" and where == "crystal" else COLOURS[name]
        for name, where in zip(atoms.get_chemical_symbols(), origin, strict=True)
    ]
    radii = [RADII_ANGSTROM[name] for name in atoms.get_chemical_symbols()]
    figure, axes = plt.subplots(1, 2, figsize=(9, 5))
    for axis, rotation, title in zip(
        axes, ("-90x,-90y,0z", "0x,0y,0z"), ("along a", "along c"), strict=True
    ):
        plot_atoms(atoms, axis, rotation=rotation, radii=radii, colors=colours)
        axis.set_title(f"{structure.name.split('.')[0]}, {title}")
        axis.set_axis_off()
    figure.tight_layout()
    target = HERE / f"{structure.name.split('.')[0]}.png"
    figure.savefig(target, dpi=90)
    plt.close(figure)
    # A few colours, and the edges of the circles.
    Image.open(target).quantize(64).save(target, optimize=True)
    return target


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def main(runs: list[Path]) -> None:
    """Collect the runs."""
    rows = [row_of(run) for run in runs]
    with (HERE / "specimens.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = []
    for run in runs:
        structure = write_structure(run)
        draw(structure, json.loads((run / "manifest.json").read_text())["recipe"]["material"])
        checksum = hashlib.sha256(structure.read_bytes()).hexdigest()
        lines.append(f"{checksum}  {structure.relative_to(HERE)}\n")
    (HERE / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main([Path(name) for name in sys.argv[1:]])
