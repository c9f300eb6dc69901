"""The whole way with a real potential: requests, relaxations, findings, resume."""

from __future__ import annotations

from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from physics_frames import labelled_atoms

from mlip.engines.deepmd import Predicted
from mlip.errors import DataError, InputError, TypeMapError
from mlip.files import read_json
from mlip.model_directory import read_model_directory
from mlip.recipes.base import validated
from mlip.recipes.physics import PhysicsSettings, Relaxation
from mlip.structures.crystals import conventional_cell, find_crystal
from mlip.validation.physics.assess import assess_physics
from mlip.validation.physics.barriers import image_names, interpolated_images
from mlip.validation.physics.elastic import strained_frames
from mlip.validation.physics.equation_of_state import volume_frames
from mlip.validation.physics.frames import frame_set
from mlip.validation.physics.members import Work, evaluate_members
from mlip.validation.physics.phonons import displaced_frames

CRYSTAL, HOP = "Li2S", "hop"
SETTINGS = {
    "crystals": [{"name": CRYSTAL, "reference": "labels.extxyz"}],
    "barriers": [{"name": HOP, "reference": "labels.extxyz"}],
    "relaxation": {"maximum_steps": 5},
    "elastic_strains": [0.01],
}


def structures() -> list[tuple[str, Atoms]]:
    cell = conventional_cell(find_crystal(CRYSTAL))
    moved = cell.copy()
    moved.positions[-1] += 0.4
    images = interpolated_images(cell, moved, 3, HOP)
    named = [
        (f"eos/{point}", atoms) for point, atoms in volume_frames(cell, np.linspace(-0.1, 0.1, 5))
    ]
    named += [(f"elastic/{point}", atoms) for point, atoms in strained_frames(cell, (0.01,))]
    named += [(f"phonon/{p}", a) for p, a in displaced_frames(cell, (1, 1, 1), 0.02)]
    crystal = [(f"{CRYSTAL}/{name}", atoms) for name, atoms in named]
    points = zip(image_names(3), images, strict=True)
    return crystal + [(f"{HOP}/barrier/{point}", atoms) for point, atoms in points]


@pytest.fixture(scope="module")
def one_member(tiny_model):
    return replace(read_model_directory(tiny_model), members=(tiny_model / "model_0.pth",))


@pytest.fixture(scope="module")
def labelled(one_member, tmp_path_factory):
    """Structures with what the potential itself gives for them."""
    folder = tmp_path_factory.mktemp("labelled")
    named = structures()
    frames = frame_set([atoms for _, atoms in named], [name for name, _ in named], "test")
    work = [{"all": Work("static", frames)}]
    (found,) = evaluate_members(one_member.members, work, folder, "token", Relaxation())
    return named, found["all"].predicted


def write_labels(folder, named, predicted: Predicted):
    frames = [
        labelled_atoms(atoms, name, predicted, number, "itself")
        for number, (name, atoms) in enumerate(named)
    ]
    ase.io.write(folder / "labels.extxyz", frames, format="extxyz")
    return folder / "recipe.yml"


def settings(**changes) -> PhysicsSettings:
    return validated({**SETTINGS, **changes}, PhysicsSettings, "test")


def test_a_potential_agrees_with_labels_of_its_own_and_a_second_call_computes_nothing(
    one_member, labelled, tmp_path
):
    named, predicted = labelled
    source = write_labels(tmp_path, named, predicted)
    out = tmp_path / "physics"
    findings = assess_physics(settings(), source, one_member, out, "token")
    compared = {f.quantity: f for f in findings if f.reference_kind == "DFT"}
    errors = {q: f.value for q, f in compared.items() if "error" in q}
    # Energy, tensor, phonons, path: rounding of float32 forces and of the file's 8 decimals.
    assert len(errors) == 4
    assert all(value is not None and value < 0.02 for value in errors.values()), errors
    assert compared["barrier (meV)"].verdict == "pass"
    assert any(f.reference_kind == "experiment" for f in findings)
    content = read_json(out / "results.json")
    assert [entry["quantity"] for entry in content["findings"]] == [f.quantity for f in findings]
    assert (out / "figures" / f"{CRYSTAL}_phonon_bands.png").is_file()
    curve = (out / "parts" / HOP / "barrier" / "path.csv").read_text().splitlines()
    assert curve[0] == "of,length_angstrom,energy_ev"
    assert len(curve) == 1 + 2 * 3
    times = {path: path.stat().st_mtime_ns for path in (out / "members").rglob("*.npz")}
    (out / "results.json").unlink()
    (out / "parts" / HOP / "barrier" / "result.json").unlink()
    again = assess_physics(settings(), source, one_member, out, "token")
    assert again == findings
    assert {path: path.stat().st_mtime_ns for path in times} == times
    with pytest.raises(InputError, match="other settings"):
        assess_physics(settings(phonons=False), source, one_member, out, "token")


def test_a_committee_that_departs_from_its_labels_fails(tiny_model, labelled, tmp_path):
    named, predicted = labelled
    rng = np.random.default_rng(1)
    wrong = Predicted(
        predicted.energies + rng.normal(scale=1.0, size=predicted.energies.shape),
        2.0 * predicted.forces,
        2.0 * predicted.virials,
    )
    source = write_labels(tmp_path, named, wrong)
    model = read_model_directory(tiny_model)
    findings = assess_physics(settings(), source, model, tmp_path / "physics", "token")
    errors = [finding for finding in findings if "error" in finding.quantity]
    assert len(errors) == 4
    assert {finding.verdict for finding in errors} == {"fail"}
    assert all("2 members, spread" in finding.text for finding in errors)


def test_what_cannot_be_tested_is_refused_before_an_engine_starts(one_member, labelled, tmp_path):
    named, predicted = labelled
    source = write_labels(tmp_path, named, predicted)
    absent = settings(crystals=[{"name": "gamma-Li3PS4", "reference": "labels.extxyz"}])
    with pytest.raises(DataError, match="no frames of gamma-Li3PS4"):
        assess_physics(absent, source, one_member, tmp_path / "a", "token")
    salt = bulk("NaCl", "rocksalt", a=5.6)
    ase.io.write(tmp_path / "salt.extxyz", salt)
    foreign = settings(crystals=[{"name": "salt", "structure": "salt.extxyz"}])
    with pytest.raises(TypeMapError, match="Cl, Na"):
        assess_physics(foreign, source, one_member, tmp_path / "b", "token")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
