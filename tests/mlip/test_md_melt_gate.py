"""No glass from a melt that is still a crystal, unless the user says so."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from ase.io import read, write

from mlip.cli import main
from mlip.errors import GateError
from mlip.manifest import read_manifest
from mlip.md.melt_gate import LatticeMemory, lattice_memory, require_melt

QUENCH = """
temperatures_kelvin: [300]
timestep_fs: 0.2
material: glass
glass:
  melt_above_kelvin: 350
  glass_transition_kelvin: 340
  minimise: {kind: minimise, maximum_steps: 3}
stages:
  - {kind: nvt, name: melt, purpose: equilibration, temperature_kelvin: 400, duration_ps: 0.001}
  - {kind: npt, name: quench, final_temperature_kelvin: run, rate_kelvin_per_ps: 100000,
     barostat: iso}
deviation_every_steps: 5
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


def test_a_crystal_whose_lithium_melts_alone_is_told_from_a_melt():
    start = lattice()
    found = lattice_memory(start, scattered(start, start.symbols == "Li"))
    assert set(found) == {"Li", "S"}
    assert found["S"].kept == pytest.approx(1)
    assert found["Li"].kept < found["Li"].allowed
    molten = lattice_memory(start, scattered(start, np.ones(len(start), dtype=bool)))
    assert all(memory.kept < memory.allowed for memory in molten.values())


def test_atoms_that_were_held_do_not_count():
    start = lattice()
    held = set(range(1, len(start) // 2 + 1))
    free = np.arange(len(start)) >= len(held)
    found = lattice_memory(start, scattered(start, free), held)
    assert all(memory.kept < memory.allowed for memory in found.values())
    assert lattice_memory(start, start, range(1, len(start) + 1)) == {}


def test_a_start_without_a_lattice_or_with_few_atoms_tells_nothing():
    start = lattice()
    packed = scattered(start, np.ones(len(start), dtype=bool))
    assert lattice_memory(packed, packed) == {}
    small = lattice(1)
    assert lattice_memory(small, small) == {}


def test_the_cell_may_have_become_another():
    start = lattice()
    end = start.copy()
    end.set_cell(1.1 * start.cell.array, scale_atoms=True)
    assert lattice_memory(start, end)["S"].kept == pytest.approx(1)


def test_the_refusal_names_what_is_solid_and_how_much_is_allowed(tmp_path):
    solid = {"Li": LatticeMemory(0.02, 0.01), "P": LatticeMemory(0.36, 0.011)}
    with pytest.raises(GateError, match=r"P 36\.0 % \(at most 10\.0 %, atoms at random 1\.1 %\)"):
        require_melt(solid, tmp_path, accepted=False)
    require_melt(solid, tmp_path, accepted=True)


@pytest.mark.parametrize(
    ("kept", "by_chance", "melted"),
    [
        # Phosphorus after 30 ps at 1500 K: gamma of 960, 1,024 and 2,000 atoms, beta of 384.
        (0.058, 0.011, True),
        (0.013, 0.011, True),
        (0.012, 0.005, True),
        (0.084, 0.039, True),
        # Beta of 1,024 and 960 atoms, which grew back in the quench.
        (0.176, 0.012, False),
        (0.198, 0.012, False),
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
    assert "crystal that looks like a glass" in said
    assert "--accept-unmelted" in said
    assert not (run / "stages" / "01_quench").exists()
    assert (run / "thermo.csv").is_file()
    assert main([*words, "--accept-unmelted"]) == 0
    manifest = read_manifest(run)
    assert "accept-unmelted" in manifest.overrides
    kept = manifest.summary["glass"]["bragg_intensity_kept_by_melt"]
    assert kept["S"] > 0.9
    assert manifest.summary["glass"]["bragg_intensity_by_chance"]["S"] < 0.1
