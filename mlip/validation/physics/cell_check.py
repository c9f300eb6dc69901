"""Relaxed cells and shortest distances against DFT or experiment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mlip.engines.deepmd_statics import Statics
from mlip.recipes.physics import Measured
from mlip.validation.finding import Finding
from mlip.validation.physics.case import NAN, CrystalCase
from mlip.validation.physics.crystal import (
    ANGLES,
    LENGTHS,
    CrystalState,
    crystal_state,
    largest_stress_gpa,
)
from mlip.validation.physics.judge import judged, unjudged
from mlip.validation.physics.parts import Part
from mlip.validation.physics.thresholds import PhysicsThresholds

# Of DFT. Those of the potential are searched further, so that none is lost at the edge.
COMPARED_DISTANCES_ANGSTROM = 3.0


def cell_part(case: CrystalCase, relaxed: Sequence[Statics], limits: PhysicsThresholds) -> Part:
    """Hold the cells that the members relaxed, one frame each, against DFT or experiment.

    Experiment counts where the recipe gives it, and for the cell of a shipped crystal where DFT
    has relaxed none.
    """
    states = [relaxed_state(case, statics) for statics in relaxed]
    numbers = {"relaxed": [_numbers(state) if state else None for state in states]}
    dft, fault = relaxed_reference(case, limits)
    findings: list[Finding] = []
    if dft is not None:
        findings += _against_dft(case, states, dft, limits)
    measured = case.check.experiment or (case.shipped_cell if dft is None else None)
    if measured is not None:
        findings += _against_experiment(case.name, states, measured, fault, limits)
    if not findings:
        volumes = [state.volume_angstrom3 if state else NAN for state in states]
        why = f"{fault}, and no measured cell is given"
        findings.append(unjudged(case.name, "relaxed volume (Å^3)", volumes, why))
    return Part(tuple(findings), numbers)


def relaxed_state(case: CrystalCase, statics: Statics) -> CrystalState | None:
    """Return the crystal that a member relaxed; None if it did not converge."""
    if not statics.converged[0]:
        return None
    atoms = Atoms(case.start.symbols, statics.coords[0], cell=statics.cells[0], pbc=True)
    return crystal_state(atoms, float(statics.predicted.energies[0]))


def relaxed_reference(
    case: CrystalCase, limits: PhysicsThresholds
) -> tuple[CrystalState | None, str]:
    """Return the crystal that DFT relaxed, or why there is none."""
    labelled = case.labelled("relaxed")
    if labelled is None:
        return None, "no cell relaxed with DFT"
    frames, labels = labelled.frames, labelled.labels
    if not np.isfinite(labels.virials[0]).all():
        return None, "the DFT label has no stress to show that its cell is relaxed"
    force = float(np.linalg.norm(labels.forces[0], axis=1).max())
    stress = largest_stress_gpa(labels.virials[0], float(frames.volumes[0]))
    most_force, most_stress = limits.reference_largest_force, limits.reference_largest_stress
    if force > most_force.value or stress > most_stress.value:
        return None, (
            f"the DFT cell is not relaxed (force {force:.3g} eV/Å, stress {stress:.2g} GPa; at "
            f"most {most_force.value:g} and {most_stress.value:g} count)"
        )
    return crystal_state(frames.atoms(0), float(labels.energies[0])), ""


def _numbers(state: CrystalState) -> dict[str, object]:
    return {
        "cell": state.cell.tolist(),
        "volume_angstrom3": state.volume_angstrom3,
        "density_g_cm3": state.density_g_cm3,
        "energy_ev_per_atom": state.energy_ev_per_atom,
        "shortest_distances_angstrom": state.distances_angstrom,
    }


def _against_dft(
    case: CrystalCase,
    states: Sequence[CrystalState | None],
    dft: CrystalState,
    limits: PhysicsThresholds,
) -> list[Finding]:
    text = f"both relaxed at 0 K; DFT: {case.level}"
    findings = []
    for index, name in enumerate((*LENGTHS, *ANGLES)):
        is_length = index < len(LENGTHS)
        quantity = f"{name} ({'Å' if is_length else 'degree'})"
        values = [float(state.cell[index]) if state else NAN for state in states]
        limit = limits.relaxed_cell_length if is_length else limits.relaxed_cell_angle
        reference = float(dft.cell[index])
        findings.append(judged(case.name, quantity, values, reference, "DFT", limit, text))
    volumes = [state.volume_angstrom3 if state else NAN for state in states]
    quantity, limit, reference = "relaxed volume (Å^3)", limits.relaxed_volume, dft.volume_angstrom3
    findings.append(judged(case.name, quantity, volumes, reference, "DFT", limit, text))
    for pair, distance in sorted(dft.distances_angstrom.items()):
        if distance > COMPARED_DISTANCES_ANGSTROM:
            continue
        values = [state.distances_angstrom.get(pair, NAN) if state else NAN for state in states]
        quantity, limit = f"shortest {pair} distance (Å)", limits.shortest_distance
        findings.append(judged(case.name, quantity, values, distance, "DFT", limit, text))
    return findings


def _against_experiment(
    name: str,
    states: Sequence[CrystalState | None],
    measured: Measured,
    fault: str,
    limits: PhysicsThresholds,
) -> list[Finding]:
    text = f"potential at 0 K, experiment: {measured.source or 'source not given'}"
    text += f"; {fault}" if fault else ""
    findings = []
    for index, reference in enumerate(measured.cell or ()):
        is_length = index < len(LENGTHS)
        quantity = f"{(*LENGTHS, *ANGLES)[index]} ({'Å' if is_length else 'degree'})"
        values = [float(state.cell[index]) if state else NAN for state in states]
        limit = limits.experiment_cell_length if is_length else limits.experiment_cell_angle
        findings.append(judged(name, quantity, values, reference, "experiment", limit, text))
    if measured.density_g_cm3 is not None:
        values = [state.density_g_cm3 if state else NAN for state in states]
        limit, density = limits.experiment_density, measured.density_g_cm3
        findings.append(judged(name, "density (g/cm3)", values, density, "experiment", limit, text))
    return findings
