"""What each setting of the labels does to forces, energies and pressure; one table each.

    .venv/bin/python training_data/reference/dft_convergence.py [--work DIR] [--only NAME ...]

Every number comes from `mlip label` with the level written beside it. Labels are kept in the
work directory, so that an interrupted call goes on. It takes about an hour on two cores, prints
the tables of ``dft_convergence.md`` and writes ``dft_convergence.csv`` (raw numbers).
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np

from mlip.data.cp2k import read_cp2k
from mlip.labelling.frames import frame_id
from mlip.labelling.label import label
from mlip.labelling.store import FOLDER, LABEL, Record, stored
from mlip.recipes.build import Rattle
from mlip.recipes.label import LabelRecipe
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.structures.geometry import supercell
from mlip.structures.rattle import rattled
from mlip.structures.strain import strained

HERE = Path(__file__).resolve().parent
BENCHMARK = HERE.parents[1] / "tests" / "benchmarks" / "label_frames.extxyz"
RAW = HERE.parent / "raw" / "li3ps4_cp2k_aimd"
# What is not varied.
BASE = {
    "cutoff_rydberg": 400,
    "rel_cutoff_rydberg": 50,
    "eps_scf": 3e-5,
    "eps_default": 1e-11,
    "sampling_width_angstrom": 0,
}
TZVP = {
    "basis_set_files": ["BASIS_MOLOPT", "BASIS_MOLOPT_UCL"],
    "species": {
        "Li": {"basis": "TZVP-MOLOPT-SR-GTH", "potential": "GTH-PBE-q3"},
        "P": {"basis": "TZVP-MOLOPT-GTH", "potential": "GTH-PBE-q5"},
        "S": {"basis": "TZVP-MOLOPT-GTH", "potential": "GTH-PBE-q6"},
    },
}
TZV2P = {
    "basis_set_files": ["BASIS_MOLOPT", "BASIS_MOLOPT_UCL"],
    "species": {
        "Li": {"basis": "TZV2P-MOLOPT-SR-GTH", "potential": "GTH-PBE-q3"},
        "P": {"basis": "TZV2P-MOLOPT-GTH", "potential": "GTH-PBE-q5"},
        "S": {"basis": "TZV2P-MOLOPT-GTH", "potential": "GTH-PBE-q6"},
    },
}


@dataclass(frozen=True)
class Study:
    """One setting varied; the last level is the reference that the others are compared with."""

    name: str
    what: str
    frames: str
    levels: dict[str, dict[str, Any]]


def crystal(name: str, repeats: tuple[int, int, int], amplitude: float, seed: int) -> ase.Atoms:
    """Return a rattled and slightly strained crystal: forces as in a hot solid."""
    atoms = supercell(conventional_cell(find_crystal(name)), repeats)
    rng = np.random.default_rng(seed)
    shaped = strained(atoms, [*rng.uniform(-0.01, 0.01, 3), 0, 0, 0])
    return rattled(shaped, Rattle(amplitude_angstrom=amplitude), rng)[0]


def aimd(run: str, index: int) -> ase.Atoms:
    """Return a frame of our own AIMD."""
    (frames,) = read_cp2k(RAW / run, None)
    return ase.Atoms(frames.symbols, frames.coords[index], cell=frames.cells[index], pbc=True)


FRAMES = {
    "beta32": lambda: [crystal("beta-Li3PS4", (1, 1, 1), a, s) for a, s in ((0.2, 1), (0.3, 2))],
    "melt64": lambda: [aimd("melt_1500K", 0), aimd("melt_1500K", 24)],
    "beta32 cell": lambda: [crystal("beta-Li3PS4", (1, 1, 1), 0.2, 1)],
    "beta64 cell": lambda: [crystal("beta-Li3PS4", (1, 1, 2), 0.2, 3)],
    "gamma64 cell": lambda: [crystal("gamma-Li3PS4", (1, 2, 2), 0.2, 4)],
    "Li7P3S11 42 cell": lambda: [crystal("Li7P3S11", (1, 1, 1), 0.2, 5)],
    "melt64 cell": lambda: [aimd("melt_1500K", 24)],
    "glass64 cell": lambda: ase.io.read(BENCHMARK, index="4:5"),
}
CUTOFFS = (300, 350, 400, 500, 600, 800)
RELATIVE = (30, 40, 50, 60, 80)
PRECISIONS = (1e-8, 1e-9, 1e-10, 1e-11, 1e-12)
THRESHOLDS = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-7)

STUDIES = (
    Study(
        "cutoff",
        "Plane-wave cutoff, Ry",
        "beta32",
        {f"{c}": {"cutoff_rydberg": c, "rel_cutoff_rydberg": 60} for c in CUTOFFS},
    ),
    Study(
        "relative cutoff",
        "Relative cutoff at 400 Ry, Ry",
        "beta32",
        {f"{c}": {"rel_cutoff_rydberg": c} for c in RELATIVE},
    ),
    Study(
        "precision",
        "EPS_DEFAULT of overlap and grid sums",
        "beta32",
        {f"{e:g}": {"eps_default": e} for e in PRECISIONS},
    ),
    Study(
        "SCF threshold",
        "EPS_SCF of the density matrix",
        "melt64",
        {f"{e:g}": {"eps_scf": e} for e in THRESHOLDS},
    ),
    Study(
        "dispersion",
        "Dispersion",
        "beta32",
        {name: {"dispersion": name} for name in ("none", "D3", "D3(BJ)")},
    ),
    Study("basis", "Basis set", "beta32", {"DZVP-SR": {}, "TZVP": TZVP, "TZV2P": TZV2P}),
    *(
        Study(
            f"k points, {frames}",
            f"k points, {frames}",
            frames,
            {"Gamma": {}, **{"x".join(map(str, m)): {"kpoints": list(m)} for m in meshes}},
        )
        for frames, *meshes in (
            ("beta32 cell", (1, 2, 2)),
            ("beta64 cell", (1, 2, 1), (2, 2, 2)),
            ("gamma64 cell", (2, 1, 1)),
            ("Li7P3S11 42 cell", (2, 1, 1), (3, 1, 1)),
            ("melt64 cell", (1, 2, 1)),
            ("glass64 cell", (2, 2, 2)),
        )
    ),
)


@dataclass(frozen=True)
class Row:
    """One level against the reference of its study, over all its frames."""

    study: str
    level: str
    force_rms_mev_per_angstrom: float
    force_max_mev_per_angstrom: float
    energy_shift_mev_per_atom: float
    energy_difference_error_mev_per_atom: float
    pressure_error_gpa: float
    scf_steps: float


def compute(study: Study, work: Path) -> list[Row]:
    """Label the frames at every level, and compare with the last."""
    path = work / f"{study.frames.replace(' ', '_')}.extxyz"
    frames = FRAMES[study.frames]()
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        ase.io.write(path, frames, format="extxyz", columns=["symbols", "positions"])
    frames = ase.io.read(path, index=":")
    found = {name: _labels(level, path, frames, work) for name, level in study.levels.items()}
    reference = list(found.values())[-1]
    return [_row(study, name, labels, reference) for name, labels in found.items()]


def _labels(
    level: dict[str, Any], path: Path, frames: list[ase.Atoms], work: Path
) -> list[tuple[Record, ase.Atoms]]:
    recipe = LabelRecipe.model_validate({"level": {**BASE, **level}})
    key = frame_id(recipe, frames[0])
    out = work / "labels" / key
    label(recipe, [path], out)
    records = stored(out)
    keys = [frame_id(recipe, atoms) for atoms in frames]
    return [(records[k], ase.io.read(out / FOLDER / k / LABEL)) for k in keys]


def _row(
    study: Study,
    name: str,
    labels: list[tuple[Record, ase.Atoms]],
    reference: list[tuple[Record, ase.Atoms]],
) -> Row:
    errors = np.array(
        [a.get_forces() - b.get_forces() for (_, a), (_, b) in zip(labels, reference, strict=True)]
    )
    shifts = np.array(
        [
            (a.get_potential_energy() - b.get_potential_energy()) / len(a)
            for (_, a), (_, b) in zip(labels, reference, strict=True)
        ]
    )
    pressures = [
        one.pressure_gpa - other.pressure_gpa
        for (one, _), (other, _) in zip(labels, reference, strict=True)
    ]
    return Row(
        study.name,
        name,
        1000 * float(np.sqrt(np.square(errors).mean())),
        1000 * float(np.linalg.norm(errors, axis=-1).max()),
        1000 * float(shifts.mean()),
        1000 * float(np.abs(shifts - shifts.mean()).max() * 2) if len(shifts) > 1 else float("nan"),
        float(max(pressures, key=abs)),
        float(np.mean([record.iterations for record, _ in labels])),
    )


def table(study: Study, rows: list[Row]) -> str:
    """Return the rows of a study as a Markdown table."""
    lines = [
        f"### {study.what} ({study.frames}; reference: {rows[-1].level})",
        "",
        "| level | force rms (meV/Å) | force max | energy shift (meV/atom) | energy difference of "
        "the frames (meV/atom) | pressure (GPa) | SCF steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.level} | {row.force_rms_mev_per_angstrom:.2f} | "
            f"{row.force_max_mev_per_angstrom:.2f} | {row.energy_shift_mev_per_atom:.3f} | "
            f"{row.energy_difference_error_mev_per_atom:.3f} | {row.pressure_error_gpa:.4f} | "
            f"{row.scf_steps:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the studies and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--only", nargs="*", help="names of studies")
    arguments = parser.parse_args()
    chosen = [s for s in STUDIES if not arguments.only or s.name in arguments.only]
    rows: list[Row] = []
    for study in chosen:
        found = compute(study, arguments.work)
        rows += found
        print(table(study, found), flush=True)
    write_rows(HERE / "dft_convergence.csv", rows)


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the rows; studies of the file that were not run now stay as they are."""
    names = list(Row.__annotations__)
    fresh = {row.study for row in rows}
    kept: list[list[str]] = []
    if path.is_file():
        with path.open(newline="") as handle:
            kept = [line for line in list(csv.reader(handle))[1:] if line[0] not in fresh]
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(kept)
        writer.writerows([getattr(row, name) for name in names] for row in rows)


if __name__ == "__main__":
    main()
