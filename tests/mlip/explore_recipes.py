"""A learning loop that is over in minutes, for the tests of the loop."""

from __future__ import annotations

from pathlib import Path

import ase.io
from ase.build import bulk

# Copper by effective medium theory: a second of labels, a potential that learns in seconds.
TOY = """
type_map: [Cu]
bootstrap: {frames_per_state: 4, rattle_angstrom: 0.06, strain: 0.015}
states:
  - name: cold
    phase: crystal
    structure: {cif: cu.cif, supercell: [2, 2, 2]}
    temperatures_kelvin: [300]
    duration_ps: 0.2
  - name: warm
    phase: crystal
    structure: {cif: cu.cif, supercell: [2, 2, 2], rattle: {amplitude_angstrom: 0.1}}
    temperatures_kelvin: [500, 350]
    duration_ps: 0.1
    pressure_gpa: 0.0
    from_round: 2
sampling: {timestep_fs: 2.0, frame_every_ps: 0.02, minimise_steps: 5}
trust: {accurate_error_ev_per_angstrom: 0.35, failed_error_ev_per_angstrom: 4.0, minimum_frames: 2}
selection: {maximum_frames: 6, spacing_ps: 0.06, maximum_density_g_cm3: 12}
test_frames: 3
train:
  steps: 600
  committee_size: 2
  descriptor:
    cutoff_angstrom: 4.5
    cutoff_smooth_angstrom: 2.0
    embedding_neurons: [8, 16]
    axis_neurons: 4
  fitting_neurons: [32, 32]
  learning_rate: {start: 0.01, stop: 1.0e-4}
  loss: {force_end: 200.0, virial_end: 0.1}
  checkpoint_every_steps: 300
  compress: false
label:
  level: {engine: ase, calculator: "ase.calculators.emt:EMT"}
accurate_share: 0.8
maximum_rounds: 4
"""


def write_toy(folder: Path) -> Path:
    """Write the recipe and its crystal; return the recipe."""
    ase.io.write(folder / "cu.cif", bulk("Cu", cubic=True))
    path = folder / "explore.yml"
    path.write_text(TOY)
    return path
