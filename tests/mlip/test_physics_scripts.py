"""The scripts that make DFT references, with EMT in the place of DFT."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from physics_frames import COPPER_ANGSTROM, copper

from mlip.validation.physics.frames import names

REFERENCE = Path(__file__).resolve().parents[2] / "training_data" / "reference"


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, REFERENCE / script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REFERENCE.parents[1])}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_a_crystal_relaxed_by_labels_becomes_the_frames_of_a_reference(tmp_path):
    (tmp_path / "level.yml").write_text(
        'level: {engine: ase, calculator: "ase.calculators.emt:EMT"}\n'
    )
    copper(3.61).write(tmp_path / "copper.extxyz")
    level = ("--recipe", tmp_path / "level.yml", "--out", tmp_path / "relaxed")
    run("relax_with_dft.py", tmp_path / "copper.extxyz", *level)
    relaxed = ase.io.read(tmp_path / "relaxed" / "relaxed.extxyz")
    assert relaxed.cell.lengths() == pytest.approx(COPPER_ANGSTROM, abs=5e-3)
    labels = sorted((tmp_path / "relaxed" / "labels" / "labels").iterdir())
    run("relax_with_dft.py", tmp_path / "copper.extxyz", *level)
    assert sorted((tmp_path / "relaxed" / "labels" / "labels").iterdir()) == labels

    cell = ("--cell", tmp_path / "relaxed" / "relaxed.extxyz")
    size = ("--phonon-supercell", 2, 2, 2)
    run("make_physics_structures.py", "crystal", "Cu", *cell, *size, "--out", tmp_path / "f.extxyz")
    frames = ase.io.read(tmp_path / "f.extxyz", index=":")
    found = [name for atoms in frames for name in names(atoms, "f")]
    # One frame serves as the relaxed cell, volume 0 and the unstrained cell.
    assert len(found) == len(frames) + 2
    assert [len([n for n in found if n[1] == kind]) for kind in ("eos", "elastic")] == [7, 13]
    assert ("Cu", "phonon", "2x2x2-rest") in found


def test_a_path_moves_one_ion_and_takes_none_away(tmp_path):
    run(
        "make_physics_structures.py", "path", "hop", "--start", write_start(tmp_path),
        "--move", 1, 0, 0, 0, "--images", 5, "--out", tmp_path / "hop.extxyz",
    )  # fmt: skip
    images = ase.io.read(tmp_path / "hop.extxyz", index=":")
    assert [names(atoms, "hop")[0][2] for atoms in images] == [f"{k:03d}of005" for k in range(1, 6)]
    assert {len(atoms) for atoms in images} == {31}
    moved = np.linalg.norm(images[-1].positions - images[0].positions, axis=1)
    assert np.flatnonzero(moved > 1e-6).tolist() == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--move", 0, 0, 0, 0), "number of an atom, 1 to 31"),
        (("--move", 1, 0.5, 0.5, 0.5), "0.000 Å apart"),
    ],
)
def test_a_path_that_cannot_be_made_is_refused(tmp_path, arguments, message):
    with pytest.raises(subprocess.CalledProcessError) as found:
        run(
            "make_physics_structures.py", "path", "hop", "--start", write_start(tmp_path),
            *arguments, "--out", tmp_path / "hop.extxyz",
        )  # fmt: skip
    assert found.value.returncode == 2
    assert message in found.value.stdout
    assert not (tmp_path / "hop.extxyz").exists()


def write_start(folder: Path) -> Path:
    # The atom at the origin is missing; the first of the others is next to its place.
    copper().repeat((2, 2, 2))[1:].write(folder / "start.extxyz")
    return folder / "start.extxyz"
