"""Copper of ASE's EMT: a potential whose every number can be had in another way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from mlip.engines.deepmd import Predicted
from mlip.engines.deepmd_relax import results
from mlip.engines.deepmd_statics import Statics
from mlip.recipes.physics import CrystalCheck
from mlip.validation.physics.case import CrystalCase
from mlip.validation.physics.frames import FrameSet, LabelledSet, Reference, frame_set

COPPER_ANGSTROM = 3.58983  # EMT's own lattice constant


def copper(a: float = COPPER_ANGSTROM) -> Atoms:
    return bulk("Cu", cubic=True, a=a)


def joined(named: Sequence[tuple[str, Atoms]]) -> FrameSet:
    return frame_set([atoms for _, atoms in named], [name for name, _ in named], "test")


def evaluated(frames: FrameSet, calculator: Calculator | None = None) -> Predicted:
    energies, forces, virials = [], [], []
    for number in range(len(frames.points)):
        atoms = frames.atoms(number)
        atoms.calc = calculator or EMT()
        energy, force, virial = results(atoms)
        energies.append(energy)
        forces.append(force)
        virials.append(virial)
    return Predicted(np.array(energies), np.array(forces), np.array(virials))


def scaled(predicted: Predicted, factor: float) -> Predicted:
    return Predicted(
        factor * predicted.energies, factor * predicted.forces, factor * predicted.virials
    )


def statics(frames: FrameSet, predicted: Predicted) -> Statics:
    return Statics(
        frames.coords, frames.cells, predicted, np.isfinite(predicted.energies).astype(bool)
    )


def case(
    sets: dict[str, LabelledSet] | None = None, name: str = "copper", **check: object
) -> CrystalCase:
    reference = None
    if sets is not None:
        reference = Reference(
            path=None, sets={(name, kind): frames for kind, frames in sets.items()}, level="EMT"
        )
    return CrystalCase(CrystalCheck(name=name, **check), copper(), reference, None)


def labelled_atoms(atoms: Atoms, name: str, predicted: Predicted, frame: int, level: str) -> Atoms:
    labelled = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    labelled.info |= {"config_type": name, "dft_level": {"code": level}}
    labelled.calc = SinglePointCalculator(
        labelled,
        energy=float(predicted.energies[frame]),
        forces=predicted.forces[frame],
        stress=-predicted.virials[frame] / atoms.get_volume(),
    )
    return labelled
