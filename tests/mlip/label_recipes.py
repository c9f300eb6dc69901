"""Recipes of labels that take seconds, and the structures they are tried on."""

from __future__ import annotations

import shutil
from pathlib import Path

import ase.io
import pytest
from ase import Atoms

from mlip.engines.cp2k import PROGRAMS
from mlip.recipes.base import validated
from mlip.recipes.label import LabelRecipe

HYDROGEN = {
    "species": {"H": {"basis": "DZVP-MOLOPT-SR-GTH", "potential": "GTH-PBE-q1"}},
    "cutoff_rydberg": 100,
    "rel_cutoff_rydberg": 30,
    "eps_scf": 1e-4,
    "eps_default": 1e-9,
    "sampling_width_angstrom": 0,
}


MORSE = {
    "engine": "ase",
    "calculator": "ase.calculators.morse:MorsePotential",
    "parameters": {"epsilon": 1.0, "r0": 1.0, "rho0": 3.0, "rcut1": 1.9, "rcut2": 2.7},
}


needs_cp2k = pytest.mark.skipif(
    not any(shutil.which(program) for program in PROGRAMS),
    reason="CP2K is not installed (apt-get install cp2k cp2k-data)",
)


def recipe(execution: dict | None = None, **changes) -> LabelRecipe:
    content = {"level": {**HYDROGEN, **changes}, "execution": {"ranks": 1, **(execution or {})}}
    return validated(content, LabelRecipe, "test")


def morse(**parameters) -> LabelRecipe:
    level = {**MORSE, "parameters": {**MORSE["parameters"], **parameters}}
    return validated({"level": level}, LabelRecipe, "test")


def hydrogen(bond: float = 0.8, box: float = 6.0) -> Atoms:
    return Atoms("H2", [[0, 0, 0], [0, 0, bond]], cell=[box] * 3, pbc=True)


def write(path: Path, *frames: Atoms) -> Path:
    ase.io.write(path, list(frames), format="extxyz")
    return path


def changed_times(out: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("labels/*/label.json")}
