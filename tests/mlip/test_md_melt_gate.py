"""No glass from a melt that is still a crystal, unless the user says so."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from ase.io import read, write

from analysis.reading.runs import open_run
from mlip.cli import main
from mlip.errors import GateError
from mlip.manifest import read_manifest
from mlip.md.melt_gate import (
    LatticeMemory,
    frames_at_end,
    lattice_memory,
    require_no_lattice,
)
from mlip.md.records import StageRecord

QUENCH = """
temperatures_kelvin: [300]
timestep_fs: 0.2
material: glass
glass:
  melt_above_kelvin: 350
  glass_transition_kelvin: 340
  minimise: {kind: minimise, maximum_steps: 3}
stages:
  - {kind: nvt, name: melt, purpose: equilibration, temperature_kelvin: 400, duration_ps: 0.004}
  - {kind: npt, name: quench, final_temperature_kelvin: run, rate_kelvin_per_ps: 25000,
     barostat: iso}
deviation_every_steps: 5
trajectory_every_steps: 1
restart_every_steps: 20
"""


def lattice(repeats: int = 6) -> Atoms:
    """Return rock salt, lithium and sulphur, 8 atoms a cell of 6 Angstrom."""
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    scaled = np.vstack([sites, sites + np.array([0.5, 0, 0])])
    cell = Atoms("Li4S4", scaled_positions=scaled, cell=6 * np.eye(3), pbc=True)
    return make_supercell(cell, repeats * np.eye(3, dtype=int))


def scattered(atoms: Atoms, where: np.ndarray) -> Atoms:
    """Return the structure with some atoms at random."""
    moved = atoms.copy()
    scaled = moved.get_scaled_positions()
    scaled[where] = np.random.default_rng(1).random((int(where.sum()), 3))
    moved.set_scaled_positions(scaled)
    return moved


def scaled(atoms: Atoms) -> np.ndarray:
    return atoms.get_scaled_positions()


def record(directory: Path, name: str) -> StageRecord:
    return StageRecord(
        name=name,
        ensemble="npt",
        purpose="equilibration",
        directory=directory,
        first_step=0,
        last_step=10,
        timestep_fs=1.0,
        start_ps=0.0,
        temperature_kelvin=None,
        streams=(),
        attempts=(),
    )


def test_a_crystal_whose_lithium_melts_alone_is_told_from_a_melt():
    start = lattice()
    found = lattice_memory(start, [scaled(scattered(start, start.symbols == "Li"))])
    assert set(found) == {"Li", "S"}
    assert found["S"].kept == pytest.approx(1)
    assert found["Li"].kept < found["Li"].allowed
    molten = lattice_memory(start, [scaled(scattered(start, np.ones(len(start), dtype=bool)))])
    assert all(memory.kept < memory.allowed for memory in molten.values())


def test_atoms_that_were_held_do_not_count():
    start = lattice()
    held = set(range(1, len(start) // 2 + 1))
    free = np.arange(len(start)) >= len(held)
    found = lattice_memory(start, [scaled(scattered(start, free))], held)
    assert all(memory.kept < memory.allowed for memory in found.values())
    assert lattice_memory(start, [scaled(start)], range(1, len(start) + 1)) == {}


def test_a_start_without_a_lattice_or_with_few_atoms_tells_nothing():
    start = lattice()
    packed = scattered(start, np.ones(len(start), dtype=bool))
    assert lattice_memory(packed, [scaled(packed)]) == {}
    small = lattice(1)
    assert lattice_memory(small, [scaled(small)]) == {}


def test_the_cell_may_have_become_another():
    start = lattice()
    end = start.copy()
    end.set_cell(1.1 * start.cell.array, scale_atoms=True)
    assert lattice_memory(start, [scaled(end)])["S"].kept == pytest.approx(1)


def test_the_refusal_names_what_is_solid_and_how_much_is_allowed(tmp_path):
    solid = {"Li": LatticeMemory(0.02, 0.01), "P": LatticeMemory(0.36, 0.011)}
    with pytest.raises(GateError) as caught:
        require_no_lattice(solid, record(tmp_path, "quench"), accepted=False)
    assert "at the end of quench" in str(caught.value)
    assert "P 36.0 % (at most 10.0 %, atoms at random 1.1 %)" in str(caught.value)
    require_no_lattice(solid, record(tmp_path, "quench"), accepted=True)


def test_what_is_kept_is_a_mean_over_frames():
    start = lattice()
    molten = scattered(start, np.ones(len(start), dtype=bool))
    found = lattice_memory(start, [scaled(start), scaled(start), scaled(molten)])
    alone = lattice_memory(start, [scaled(molten)])["S"].kept
    assert found["S"].kept == pytest.approx((2 + alone) / 3)


@pytest.mark.parametrize(
    ("kept", "by_chance", "melted"),
    [
        # Phosphorus after 30 ps at 1500 K, and after the quench: gamma of 960, 1,024, 960 and 2,000
        # atoms, beta of 384 and 256.
        (0.092, 0.011, True),
        (0.029, 0.011, True),
        (0.018, 0.011, True),
        (0.017, 0.011, True),
        (0.013, 0.011, True),
        (0.012, 0.011, True),
        (0.011, 0.005, True),
        (0.007, 0.005, True),
        (0.069, 0.039, True),
        (0.052, 0.039, True),
        (0.132, 0.051, True),
        (0.082, 0.051, True),
        # Beta of 1,024 and 960 atoms, which grew back in the quench.
        (0.176, 0.012, False),
        (0.198, 0.012, False),
        # Beta of 384 atoms after 20 ps, of which a single frame had 0.168, and after its quench.
        (0.265, 0.039, False),
        (0.264, 0.039, False),
    ],
)
def test_the_gate_tells_the_melts_of_the_shipped_potential_apart(kept, by_chance, melted):
    memory = LatticeMemory(kept, by_chance)
    assert (memory.kept <= memory.allowed) == melted


def test_what_has_not_melted_is_not_quenched_until_it_is_accepted(
    tiny_model, tiny_structure, tmp_path, capsys
):
    atoms = read(tiny_structure / "structure.extxyz")
    write(tmp_path / "start.extxyz", make_supercell(atoms, 2 * np.eye(3, dtype=int)))
    (tmp_path / "quench.yml").write_text(QUENCH)
    run = tmp_path / "run"
    words = ["md", str(tmp_path / "quench.yml"), "--model", str(tiny_model), "--accept-parity"]
    words += ["--structure", str(tmp_path / "start.extxyz"), "--out", str(run)]
    assert main(words) == 3
    said = capsys.readouterr().err
    assert "has the lattice it began with" in said
    assert "--accept-unmelted" in said
    assert not (run / "stages" / "01_quench").exists()
    assert (run / "thermo.csv").is_file()
    assert main([*words, "--accept-unmelted"]) == 0
    manifest = read_manifest(run)
    assert "accept-unmelted" in manifest.overrides
    glass = manifest.summary["glass"]
    assert glass["bragg_intensity_by_chance"]["S"] < 0.1
    start = read(run / "structure.extxyz")
    for stage, name in (("melt", "melt"), ("quench", "glass")):
        trajectory = open_run(run, purpose="equilibration", stage=stage)
        late = list(trajectory.frames())[-math.ceil(0.1 * trajectory.n_frames) :]
        assert len(late) > 1
        frames = [np.linalg.solve(frame.cell.T, frame.positions.T).T for frame in late]
        expected = lattice_memory(start, frames)
        kept = glass[f"bragg_intensity_kept_by_{name}"]
        assert kept["S"] > 0.9
        assert kept == pytest.approx(
            {element: memory.kept for element, memory in expected.items()}, abs=1e-3
        )


def test_without_stored_frames_the_end_of_the_stage_counts(tmp_path):
    start = lattice(2)
    rows = [
        f"{n} 1 {x:.6f} {y:.6f} {z:.6f} 0 0 0"
        for n, (x, y, z) in enumerate(start.positions + 0.3, 1)
    ]
    box = "\n".join(f"0 {length}" for length in start.cell.lengths())
    (tmp_path / "final.dump").write_text(
        f"ITEM: TIMESTEP\n10\nITEM: NUMBER OF ATOMS\n{len(start)}\nITEM: BOX BOUNDS pp pp pp\n"
        f"{box}\nITEM: ATOMS id type xu yu zu vx vy vz\n" + "\n".join(rows)
    )
    (frame,) = frames_at_end(tmp_path, [record(tmp_path, "melt")], start)
    assert frame == pytest.approx(start.get_scaled_positions() + 0.3 / 12, abs=1e-6)
