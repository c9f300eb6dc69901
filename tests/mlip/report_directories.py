"""Small directories of every kind, generated, for the tests of the report room."""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.results import Curve, Findings, Quantity, Skipped
from analysis.writer import write_analysis
from mlip.files import sha256, write_json
from mlip.manifest import Manifest, new_attempt, record_outputs, write_manifest
from mlip.validation.figures import Points, deviation_figure, parity_figure

RESOLVED = [
    Quantity(
        "diffusion_coefficient_Li",
        3.4567e-06,
        "cm^2/s",
        2.9012e-06,
        4.0981e-06,
        reason="slope of the MSD from 2.5 to 31 ps",
        curve="msd_Li.csv",
    ),
    Quantity(
        "conductivity_nernst_einstein_Li",
        0.087654,
        "S/cm",
        0.073512,
        0.103921,
        reason="from the diffusion coefficient; correlations between ions left out",
    ),
    Quantity("coordination_number_P-S", 4.0021, "1", reason="up to the first minimum, 2.62 Å"),
]
UNRESOLVED = [
    Quantity(
        "diffusion_coefficient_Li",
        float("nan"),
        "cm^2/s",
        high=4.2137e-07,
        status="unresolved",
        reason="12 net hops in 20 ps; at least 100 are needed",
    ),
    Quantity(
        "conductivity_nernst_einstein_Li",
        float("nan"),
        "S/cm",
        high=0.0112345,
        status="unresolved",
        reason="the diffusion coefficient is not resolved: 12 net hops in 20 ps",
    ),
]


def finish(directory: Path, kind: str, summary: dict, recipe: dict | None = None, **more) -> Path:
    outputs = [p for p in directory.rglob("*") if p.is_file() and p.name != "manifest.json"]
    attempt = new_attempt()
    attempt.end, attempt.exit_code = attempt.start, 0
    manifest = Manifest(
        kind=kind,
        status="complete",
        recipe=recipe or {"steps": 20000, "nested": {"timestep_fs": 2.0}},
        inputs={"../input": "ab" * 32},
        versions={"python": "3.11", "deepmd-kit": "3.2.0"},
        attempts=[attempt],
        summary=summary,
        **more,
    )
    manifest.outputs = record_outputs(directory, outputs)
    write_manifest(directory, manifest)
    return directory


def make_set(directory: Path) -> Path:
    directory.mkdir()
    checks = [
        {"name": "virial sign", "verdict": "pass", "text": "pressure follows -dE/dV"},
        {"name": "split", "verdict": "warn", "text": "test frames: <3> & few"},
    ]
    level = {"code": "CP2K", "functional": "PBE", "cutoff": "400 Ry"}
    write_json(
        directory / "certificate.json",
        {"schema": 1, "verdict": "warn", "checks": checks, "dft_level": level, "notes": []},
    )
    return finish(directory, "set", {"train_frames": 320, "test_frames": 41, "systems": 2})


def make_model(directory: Path, *, members: int = 2) -> Path:
    directory.mkdir()
    for n in range(members):
        (directory / f"model_{n}.pth").write_bytes(b"weights %d" % n)
    (directory / "type_map.json").write_text('["Li", "P", "S"]')
    finish(directory, "model", {"steps": 20000, "training_seconds": 4113.7}, seeds={"member_0": 1})
    return directory


def add_validation(
    model: Path, *, passed: bool = True, largest_deviation_mev_per_angstrom: float = 150.0
) -> None:
    folder = model / "validation"
    (folder / "figures").mkdir(parents=True)
    write_json(
        folder / "parity.json",
        {
            "schema": 1,
            "passed": passed,
            "models": {p.name: sha256(p) for p in model.glob("*.pth")},
            "comparisons": [
                {"model": "model_0.pth", "pair": "Python = LAMMPS run 0", "quantity": "force"}
                | {"difference": 0.25, "tolerance": 1e-4, "unit": "eV/Å", "passed": passed}
            ],
            "negative_control": {"passed": True, "reason": ""},
            "precision": "float32",
        },
    )
    if not passed:
        return
    force = {
        "force_components": 7872,
        "force_mae_mev_per_angstrom": 48.123,
        "force_rmse_mev_per_angstrom": 63.4567,
        "force_max_mev_per_angstrom": 612.34,
        "force_reference_rms_mev_per_angstrom": 884.21,
    }
    group = {
        "frames": 41,
        "energy_rmse_mev_per_atom": 1.2345,
        "energy_after_system_shift_rmse_mev_per_atom": 0.9876,
        "virial_rmse_mev_per_atom": None,
        **force,
    }
    errors = {
        "frames_in_split": 41,
        "overall": group,
        "by_system": {"beta": group, "melt": group},
        "by_phase": {"crystal": group, "melt": group},
        "by_temperature": {"600-800 K": group},
        "force_by_species": {"Li": force, "P": force, "S": force},
        "models": {"model_0": {"overall": group}},
    }
    write_json(
        folder / "metrics.json",
        {
            "schema": 1,
            "splits": {"test": errors, "train": {**errors, "frames_in_split": 320}},
            "committee_deviation": {
                "test": {
                    "median_ratio_of_error_to_deviation": 2.3456,
                    "largest_deviation_p100_mev_per_angstrom": largest_deviation_mev_per_angstrom,
                }
            },
        },
    )
    rng = np.random.default_rng(0)
    points = []
    for name, size in (("beta", 1.0), ("melt", 1.6)):
        x = rng.normal(size=4000) * size
        points.append(Points(name, x, x + rng.normal(size=4000) * 0.06))
    text = "MAE 48.1 meV/Å\nRMSE 63.5 meV/Å"
    parity_figure(
        folder / "figures" / "parity_force.png",
        points,
        quantity="Force component",
        unit="eV/Å",
        text=text,
    )
    few = [Points(p.system, p.x[:40] * 10, p.y[:40] * 10) for p in points]
    parity_figure(
        folder / "figures" / "parity_energy.png",
        few,
        quantity="Energy less system mean",
        unit="meV/atom",
        text="RMSE 1.23 meV/atom",
    )
    spread = [Points(p.system, np.abs(p.x[:40]) * 60, np.abs(p.y[:40]) * 140) for p in points]
    deviation_figure(folder / "figures" / "deviation_against_error.png", spread, 4)


def make_run(
    directory: Path,
    *,
    kelvin: float = 900.0,
    deviation: bool = True,
    beyond_trust: float | None = None,
    cavitated: Collection[str] = (),
) -> Path:
    directory.mkdir(parents=True)
    rng = np.random.default_rng(1)
    lines = [
        "step,time_ps,stage,temperature_kelvin,potential_energy_ev,total_energy_ev,"
        "pressure_gpa,volume_angstrom3,density_g_cm3"
    ]
    spread = [
        "step,time_ps,stage,max_force_deviation_ev_per_angstrom,"
        "mean_force_deviation_ev_per_angstrom,min_force_deviation_ev_per_angstrom"
    ]
    for k in range(601):
        stage = "heat" if k <= 120 else "equilibrate" if k <= 240 else "production"
        now = 300 + (kelvin - 300) * min(1.0, k / 120) + rng.normal() * 14
        energy = -4.1e3 + 0.02 * now + rng.normal() * 0.6
        pressure = 0.1 + rng.normal() * 0.35
        density = 1.88 - 1.1e-4 * (now - 300)
        lines.append(
            f"{100 * k},{0.1 * k:.6g},{stage},{now:.8g},{energy:.8g},{energy + 30:.8g},"
            f"{pressure:.8g},9000,{density:.8g}"
        )
        largest = 0.06 + 7e-5 * (now - 300) + abs(rng.normal()) * 0.012
        spread.append(f"{100 * k},{0.1 * k:.6g},{stage},{largest:.8g},{largest / 3:.8g},0.001")
    (directory / "thermo.csv").write_text("\n".join(lines) + "\n")
    if deviation:
        (directory / "deviation.csv").write_text("\n".join(spread) + "\n")
    summary = {
        "formula": "Li96P32S128",
        "atoms": 256,
        "temperature_kelvin": kelvin,
        "katom_steps_per_second": 7.61,
        "heat": {
            "steps": 12000,
            "duration_ps": 12.0,
            "mean_temperature_kelvin": 602.4,
            "largest_void_angstrom": 4.75 if "heat" in cavitated else 2.71,
            "cavitated": "heat" in cavitated,
        },
        "production": {
            "steps": 36000,
            "duration_ps": 36.0,
            "mean_density_g_cm3": 1.8134,
            "largest_void_angstrom": 5.25 if "production" in cavitated else 2.71,
            "cavitated": "production" in cavitated,
        },
    }
    if beyond_trust is not None:
        summary["highest_trusted_deviation_ev_per_angstrom"] = 0.2468
        summary["share_of_frames_beyond_trust"] = beyond_trust
    return finish(directory, "run", summary, seeds={"velocities": 7}, overrides=["accept-parity"])


def make_analysis(
    directory: Path, quantities: list[Quantity] | None = None, *, kelvin: float = 900.0
) -> Path:
    time = np.linspace(0.1, 36, 60)
    motion = Findings(
        RESOLVED if quantities is None else quantities,
        [Curve("msd_Li", {"time [ps]": time, "msd [Angstrom^2]": 0.9 * time})],
        {"msd": _png("time (ps)", "MSD (Å²)")},
    )
    pairs = Findings(
        [Quantity("coordination_number_Li-S", 4.25, "1", 4.1, 4.4)],
        figures={"rdf": _png("r (Å)", "g(r)")},
        skipped=[Skipped("rdf_P-P", "the cell holds a single P atom")],
    )
    write_analysis(
        directory,
        {"rdf": pairs, "motion": motion},
        provenance={
            "atoms": {"Li": 96, "P": 32, "S": 128},
            "frames": 361,
            "frame_interval_ps": 0.1,
            "temperature_kelvin": kelvin,
            "ensemble": "nvt",
            "versions": {"numpy": "2.0"},
        },
    )
    return finish(directory, "analysis", {"conductivity": "see results.json"})


def exact_numbers(directory: Path) -> set[float]:
    """All numbers in the JSON and CSV files of a directory, and lengths of lists of models."""
    found: set[float] = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            found.add(float(len(node)))
            for child in node:
                walk(child)
        elif isinstance(node, int | float) and not isinstance(node, bool):
            found.add(float(node))

    for path in directory.rglob("*.json"):
        walk(json.loads(path.read_text()))
    for path in directory.rglob("*.csv"):
        for word in path.read_text().replace("\n", ",").split(","):
            try:
                found.add(float(word))
            except ValueError:
                continue
    return found


def _png(x: str, y: str) -> bytes:
    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axis = figure.add_subplot()
    axis.plot([0, 1, 2], [0, 1, 1.5])
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
