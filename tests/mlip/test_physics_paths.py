"""Paths of ions, relative energies, names of frames, and what a committee's values become."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from physics_frames import case, copper, evaluated, joined, labelled_atoms, scaled, statics

from mlip.engines.deepmd import Predicted
from mlip.engines.deepmd_relax import perform
from mlip.errors import DataError, InputError
from mlip.labelling.label import label
from mlip.recipes.base import validated
from mlip.recipes.label import LabelRecipe
from mlip.recipes.physics import PhysicsSettings
from mlip.validation.physics.barriers import image_names, interpolated_images, path_energies
from mlip.validation.physics.frames import (
    FrameSet,
    LabelledSet,
    read_reference,
    write_named,
)
from mlip.validation.physics.judge import judged, unjudged
from mlip.validation.physics.path_check import band_part, barrier_part, relative_part
from mlip.validation.physics.thresholds import load_physics_thresholds

LIMITS = load_physics_thresholds()


def images(count: int = 7) -> FrameSet:
    """Return copper with one atom moved by 1 Å in even steps."""
    frames = []
    for x in np.linspace(0.0, 1.0, count):
        atoms = copper()
        atoms.positions[0, 0] += x
        frames.append(atoms)
    return joined(list(zip(image_names(count), frames, strict=True)))


def sine(amplitude_ev: float, count: int = 7, offset_ev: float = 0.0) -> Predicted:
    energies = amplitude_ev * (1.0 - np.cos(2.0 * np.pi * np.linspace(0, 1, count))) + offset_ev
    return Predicted(energies, np.zeros((count, 4, 3)), np.zeros((count, 3, 3)))


def test_a_sine_of_amplitude_a_has_a_barrier_of_2a():
    path = path_energies(images(), sine(0.15, offset_ev=-900.0).energies, "sine")
    assert path.barrier_ev == pytest.approx(0.3, abs=1e-10)
    assert path.reaction_ev == pytest.approx(0.0, abs=1e-10)
    assert path.length_angstrom[-1] == pytest.approx(1.0, abs=1e-8)


def test_a_barrier_40_mev_off_passes_and_60_mev_off_fails(tmp_path):
    labelled = LabelledSet(images(), sine(0.15))
    verdicts = []
    for amplitude in (0.17, 0.18):
        member = statics(images(), sine(amplitude, offset_ev=3.0))
        part = barrier_part("hop", labelled, "PBE", [member], LIMITS, tmp_path / "path.png")
        barrier = part.findings[0]
        assert barrier.value == pytest.approx(2000.0 * amplitude)
        assert barrier.reference == pytest.approx(300.0)
        verdicts.append(barrier.verdict)
    assert verdicts == ["pass", "fail"]
    assert (tmp_path / "path.png").stat().st_size > 5000


def test_a_path_without_one_of_its_images_is_not_assessed(tmp_path):
    whole = images()
    points = whole.points[:3] + whole.points[4:]
    cut = FrameSet(points, whole.symbols, whole.coords[1:], whole.cells[1:])
    labels = sine(0.15, 6)
    with pytest.raises(DataError, match="without a gap"):
        path_energies(cut, labels.energies, "hop")
    member = statics(cut, labels)
    part = barrier_part("hop", LabelledSet(cut, labels), "PBE", [member], LIMITS, tmp_path / "p")
    assert [finding.verdict for finding in part.findings] == ["not assessed"]


def test_a_single_image_is_no_path():
    with pytest.raises(DataError, match="at least 3"):
        path_energies(joined([("001of001", copper())]), np.zeros(1), "hop")


def test_a_band_whose_ends_fell_into_one_minimum_has_no_barrier(tmp_path):
    whole, fallen = images(5), images(5)
    fallen.coords[:] = fallen.coords[0] + 0.05 * (fallen.coords - fallen.coords[0])
    for frames, value in ((whole, pytest.approx(300.0)), (fallen, None)):
        band = statics(frames, sine(0.15, 5))
        (found,) = band_part("hop", [band], frames.symbols, tmp_path / "band.png").findings
        assert found.value == value
        assert ("one minimum" in found.text) == (value is None)


class Unable(EMT):
    """A calculator that gives no numbers, or cannot start."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def calculate(self, *arguments, **keywords):
        if self.fault:
            raise MemoryError(self.fault)
        super().calculate(*arguments, **keywords)
        self.results = {key: np.nan * np.asarray(value) for key, value in self.results.items()}


def test_a_band_that_breaks_down_is_reported_and_an_engine_without_memory_is_an_error():
    end = copper()
    end.positions[0] += 0.5
    between = interpolated_images(copper(), end, 3, "hop")
    request = {"force_ev_per_angstrom": 0.01, "maximum_steps": 5}
    arrays = perform("band", between, Unable(""), request)
    assert arrays["converged"].tolist() == [False] * 3
    assert np.isnan(arrays["energies"]).all()
    for kind in ("cell", "band"):
        with pytest.raises(MemoryError, match="out of memory"):
            perform(kind, between, Unable("out of memory"), request)


def test_a_relaxed_band_is_the_same_forward_and_backward():
    # A vacancy of copper and the neighbour that jumps into it: the ends are alike.
    crystal = bulk("Cu", cubic=True, a=3.59).repeat((2, 2, 2))
    start = crystal[1:]
    end = start.copy()
    neighbour = int(np.argmin(crystal.get_distances(0, np.arange(1, 32), mic=True)))
    end.positions[neighbour] = crystal.positions[0]
    between = interpolated_images(start, end, 5, "vacancy")
    request = {"force_ev_per_angstrom": 0.01, "maximum_steps": 200}
    arrays = perform("band", between, EMT(), request)
    frames = FrameSet(
        tuple(image_names(5)), tuple(start.symbols), arrays["coords"], arrays["cells"]
    )
    path = path_energies(frames, arrays["energies"], "vacancy")
    assert arrays["converged"].all()
    assert path.reaction_ev == pytest.approx(0.0, abs=2e-3)
    assert np.allclose(path.energy_ev, path.energy_ev[::-1], atol=5e-3)
    assert 0.3 < path.barrier_ev < 1.2
    with pytest.raises(InputError, match="ends differ"):
        interpolated_images(start, crystal, 5, "vacancy")


def test_relative_energies_of_two_polymorphs_are_per_atom():
    hexagonal = bulk("Cu", "hcp", a=2.55, c=4.16)
    frames = {"fcc": joined([("cell", copper())]), "hcp": joined([("cell", hexagonal)])}
    labels = {name: evaluated(entry) for name, entry in frames.items()}
    cases, same = [], {}
    for name, entry in frames.items():
        made = case({"relaxed": LabelledSet(entry, labels[name])}, name=name)
        cases.append(type(made)(made.check, entry.atoms(0), made.reference, None))
        same[name] = [statics(entry, scaled(labels[name], 2.0))]
    (found,) = relative_part(cases, same, same, LIMITS).findings
    dft = 1000.0 * (labels["hcp"].energies[0] / 2 - labels["fcc"].energies[0] / 4)
    assert found.quantity == "energy above fcc (meV/atom)"
    assert found.reference == pytest.approx(dft)
    assert found.value == pytest.approx(2.0 * dft)
    assert found.verdict == ("pass" if abs(dft) <= 5.0 else "fail")
    for made, basis in zip(cases, ("DZVP", "TZVP"), strict=True):
        made.reference.elements["basis Cu"] = basis
    (other,) = relative_part(cases, same, same, LIMITS).findings
    assert other.verdict == "not assessed"


def test_the_mean_of_the_members_is_judged_and_their_spread_told():
    found = judged("x", "B", [18.0, 22.0], 20.5, "DFT", LIMITS.bulk_modulus, "fits")
    assert (found.value, found.verdict) == (20.0, "pass")
    assert "2 members, spread 2.8" in found.text
    assert judged("x", "B", [18.0], 20.5, "DFT", LIMITS.bulk_modulus, "fits").verdict == "fail"
    assert unjudged("x", "B", [np.nan], "no DFT").value is None


def test_names_survive_labelling_and_equal_frames_are_labelled_once(tmp_path):
    pressed = copper(3.5)
    named = [
        ("copper/relaxed/cell", copper()),
        ("copper/eos/-0.0700", pressed),
        ("copper/eos/+0.0000", copper()),
    ]
    assert write_named(tmp_path / "frames.extxyz", named) == 2
    level = {"engine": "ase", "calculator": "ase.calculators.emt:EMT"}
    recipe = validated({"level": level}, LabelRecipe, "test")
    label(recipe, [tmp_path / "frames.extxyz"], tmp_path / "labels")
    reference = read_reference(tmp_path / "labels")
    assert set(reference.sets) == {("copper", "relaxed"), ("copper", "eos")}
    eos = reference.sets["copper", "eos"]
    assert eos.frames.points == ("+0.0000", "-0.0700")
    truth = evaluated(eos.frames)
    assert np.allclose(eos.labels.energies, truth.energies, atol=1e-6)
    assert np.allclose(eos.labels.virials, truth.virials, atol=1e-5)
    assert "EMT" in reference.level


def test_references_without_names_labels_or_one_level_are_refused(tmp_path):
    atoms = copper()
    frames = joined([("cell", atoms)])
    predicted = evaluated(frames)
    good = labelled_atoms(atoms, "copper/relaxed/cell", predicted, 0, "PBE")
    eos = labelled_atoms(atoms, "copper/eos/0", predicted, 0, "PBE")
    three = joined([("cell", fcc111("Al", (1, 1, 3), a=4.05, vacuum=5, periodic=True))])
    other = labelled_atoms(three.atoms(0), "copper/relaxed/b", evaluated(three), 0, "PBE")
    cases = {
        "expected SUBJECT/SET/POINT": [labelled_atoms(atoms, "copper", predicted, 0, "PBE")],
        "there twice": [good, good],
        "no energy and forces": [atoms],
        "different levels": [good, labelled_atoms(atoms, "copper/eos/1", predicted, 0, "PBEsol")],
        "another order": [good, other],
        "basis Cu.*DZVP.*TZVP": [with_basis(good, "DZVP"), with_basis(eos, "TZVP")],
        "not finite": [labelled_atoms(atoms, "copper/eos/0", scaled(predicted, np.nan), 0, "PBE")],
    }
    for number, (message, listed) in enumerate(cases.items()):
        path = tmp_path / f"{number}.extxyz"
        ase.io.write(path, listed, format="extxyz")
        with pytest.raises(DataError, match=message):
            read_reference(path)
    with pytest.raises(InputError, match="no labels"):
        read_reference(Path(tmp_path / "nowhere"))
    for text, message in (("", "no frame"), ("no xyz\n", "no extxyz file")):
        (tmp_path / "torn.extxyz").write_text(text)
        with pytest.raises(DataError, match=message):
            read_reference(tmp_path / "torn.extxyz")


def with_basis(atoms, basis):
    made = atoms.copy()
    made.calc = atoms.calc
    made.info["dft_level"] = {"code": "PBE", "basis Cu": basis}
    return made


def test_settings_refuse_what_cannot_be_computed():
    for content in (
        {"barriers": [{"name": "hop"}]},
        {"barriers": [{"name": "hop", "reference": "a", "ends": ["b", "c"]}]},
        {"crystals": [{"name": "Li2S"}, {"name": "Li2S"}]},
        {"crystals": [{"name": "a/b"}]},
        {"volume_strains": [0.0, 0.01, 0.02, 0.03, 0.04]},
        {"elastic_strains": [-0.01]},
        {"elastic_strains": [0.0001]},
    ):
        with pytest.raises(InputError):
            validated(content, PhysicsSettings, "test")
