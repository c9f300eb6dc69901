"""Relax a crystal, cell and positions, with labels of `mlip label` as forces and stresses.

    python training_data/reference/relax_with_dft.py gamma-Li3PS4 --out relaxed/gamma-Li3PS4

Every step is a label in ``OUT/labels``; an interrupted call goes on, since the steps are walked
again over labels that are there. The result is ``OUT/relaxed.extxyz``, which
``make_physics_structures.py --cell`` takes. The space group is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, ClassVar

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from mlip.errors import EngineError, MlipError
from mlip.files import replacing
from mlip.labelling.frames import frame_id, read_frames
from mlip.labelling.label import label
from mlip.recipes.base import load_recipe
from mlip.recipes.label import LabelRecipe
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.validation.physics.equation_of_state import GPA_PER_EV_ANGSTROM3

SYMMETRY_ANGSTROM = 1.0e-3


class LabelCalculator(Calculator):
    """Energy, forces and stress from a directory of labels, computed where there is none."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, recipe: LabelRecipe, out: Path) -> None:
        super().__init__()
        self.recipe, self.out, self.steps = recipe, out, 0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = None,
        system_changes: Any = all_changes,
    ) -> None:
        """Label the structure as its file holds it, or read its label."""
        super().calculate(atoms, properties, system_changes)
        path = self.out / "steps" / f"{self.steps:03d}.extxyz"
        self.steps += 1
        with replacing(path) as temporary:
            bare = Atoms(self.atoms.symbols, self.atoms.positions, cell=self.atoms.cell, pbc=True)
            ase.io.write(temporary, bare, format="extxyz")
        frame = read_frames([path])[0]
        labels = self.out / "labels"
        result = labels / "labels" / frame_id(self.recipe, frame.atoms) / "label.extxyz"
        if not result.is_file():
            label(self.recipe, [path], labels)
        if not result.is_file():
            raise EngineError(f"{path}: no label ({result.parent} tells why). Change the level.")
        self.results = dict(ase.io.read(result).calc.results)


def relax(recipe: LabelRecipe, start: Atoms, out: Path, force: float, steps: int) -> bool:
    """Relax `start` to `force` (eV/Å) and write ``relaxed.extxyz``; return whether it converged."""
    atoms = start.copy()
    atoms.calc = LabelCalculator(recipe, out)
    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMMETRY_ANGSTROM))
    optimiser = BFGS(FrechetCellFilter(atoms), logfile="-", maxstep=0.1)
    converged = bool(optimiser.run(fmax=force, steps=steps))
    largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    stress = float(np.abs(atoms.get_stress()).max() * GPA_PER_EV_ANGSTROM3)
    bare = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    if converged:
        with replacing(out / "relaxed.extxyz") as temporary:
            ase.io.write(temporary, bare, format="extxyz")
    lengths = ", ".join(f"{value:.4f}" for value in atoms.cell.lengths())
    print(f"a, b, c = {lengths} Å; largest force {largest:.4f} eV/Å, stress {stress:.3f} GPa")
    return converged


def main() -> int:
    """Relax the crystal named on the command line."""
    parser = argparse.ArgumentParser(description="Relax a crystal with DFT.")
    parser.add_argument("name", help="a shipped crystal, or a structure file")
    parser.add_argument("--recipe", type=Path, help="level of theory; that of `mlip label`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--force-ev-per-angstrom", type=float, default=0.02)
    parser.add_argument("--maximum-steps", type=int, default=100)
    arguments = parser.parse_args()
    try:
        recipe = load_recipe(arguments.recipe, LabelRecipe)
        given = Path(arguments.name)
        start = (
            read_frames([given])[0].atoms
            if given.exists()
            else conventional_cell(find_crystal(arguments.name))
        )
        force, steps = arguments.force_ev_per_angstrom, arguments.maximum_steps
        done = relax(recipe, start, arguments.out, force, steps)
    except MlipError as error:
        print(error)
        return error.exit_code
    if not done:
        print(f"Not converged in {steps} steps. The same command with more steps goes on.")
    return 0 if done else 5


if __name__ == "__main__":
    raise SystemExit(main())
