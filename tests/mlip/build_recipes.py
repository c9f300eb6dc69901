"""Building a recipe in a test, and measuring what came out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import ase
import ase.build
import ase.io
import numpy as np
from ase.geometry import get_distances

from mlip.recipes.base import validated
from mlip.recipes.build import BuildRecipe
from mlip.structures.build import build
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.structures.geometry import supercell

GLASS = {"units": {"PS4": 4, "Li": 12}, "density_g_cm3": 1.7}


VOIGT = (0.02, -0.01, 0.03, 0.015, -0.02, 0.01)


def built(tmp_path: Path, name: str = "out", **content):
    recipe = validated(content, BuildRecipe, "recipe")
    manifest = build(recipe, tmp_path / "recipe.yml", tmp_path / name)
    return manifest, ase.io.read(tmp_path / name / "structure.extxyz")


def counts(atoms: ase.Atoms) -> Counter:
    return Counter(atoms.get_chemical_symbols())


def apart(one: ase.Atoms, other: ase.Atoms) -> np.ndarray:
    """How far each atom is from itself in another structure of the same cell, Å."""
    scaled = (other.positions - one.positions) @ np.linalg.inv(one.cell.array)
    return np.linalg.norm((scaled - np.rint(scaled)) @ one.cell.array, axis=1)


def apart_in(atoms: ase.Atoms, one: np.ndarray, other: np.ndarray) -> float:
    return float(get_distances(one[None], other[None], cell=atoms.cell, pbc=True)[1].item())


def crystal(name: str, repeats: tuple[int, int, int] = (1, 1, 1)) -> ase.Atoms:
    return supercell(conventional_cell(find_crystal(name)), repeats)
