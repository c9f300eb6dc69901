"""Phonons against analytic dynamical matrices, and their comparison."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from physics_frames import case, copper, evaluated, joined, scaled, statics

from mlip.engines.deepmd import Predicted
from mlip.errors import DataError
from mlip.validation.physics.figures import bands_figure
from mlip.validation.physics.frames import FrameSet, LabelledSet
from mlip.validation.physics.phonon_check import LOWEST, RMS, phonon_part
from mlip.validation.physics.phonons import displaced_frames, phonons_of, rms_difference
from mlip.validation.physics.thresholds import load_physics_thresholds

LIMITS = load_physics_thresholds()
# sqrt(eV / (Å^2 amu)) / 2 pi in THz.
THZ = 15.633302


class Springs(Calculator):
    """Springs of one constant between nearest neighbours at their distance at rest."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, constant: float, length: float) -> None:
        super().__init__()
        self.constant, self.length = constant, length

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        from ase.neighborlist import neighbor_list

        super().calculate(atoms, properties, system_changes)
        i, d, vectors = neighbor_list("idD", atoms, 1.2 * self.length)
        pull = self.constant * (d - self.length)
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, (pull / d)[:, None] * vectors)
        self.results = {
            "energy": 0.25 * self.constant * np.square(d - self.length).sum(),
            "forces": forces,
            "stress": np.zeros(6),
        }


def springs(a: float, constant: float, repeats: tuple[int, int, int]) -> tuple[FrameSet, Predicted]:
    atoms = bulk("Cu", cubic=True, a=a)
    frames = joined(displaced_frames(atoms, repeats, 0.005))
    return frames, evaluated(frames, Springs(constant, a / np.sqrt(2.0)))


@pytest.fixture(scope="module")
def emt_phonons():
    frames = joined(displaced_frames(copper(), (2, 2, 2), 0.01))
    return frames, evaluated(frames)


def test_frequencies_of_springs_on_fcc_are_those_of_the_dynamical_matrix():
    constant, mass = 2.0, float(Atoms("Cu").get_masses()[0])
    frames, predicted = springs(3.6, constant, (3, 3, 3))
    phonons = phonons_of(frames, predicted.forces, "springs")
    # At X, (1, 0, 0) 2 pi / a: m w^2 = 8 k longitudinal and 4 k transverse, twice.
    ends = phonons.bands.labels.index(("Γ", "X"))
    at_x = phonons.bands.frequencies_thz[ends][-1]
    expected = THZ * np.sqrt(constant / mass * np.array([4.0, 4.0, 8.0]))
    assert np.allclose(at_x, expected, rtol=2e-3)
    at_gamma = phonons.bands.frequencies_thz[ends][0]
    assert np.abs(at_gamma).max() < 1e-3


def test_the_density_of_states_counts_every_mode(emt_phonons):
    frames, predicted = emt_phonons
    phonons = phonons_of(frames, predicted.forces, "copper")
    step = phonons.dos_thz[1] - phonons.dos_thz[0]
    assert phonons.dos.sum() * step == pytest.approx(3.0, rel=1e-3)
    assert phonons.lowest_thz > -1e-3


def test_forces_at_rest_are_taken_off(emt_phonons):
    frames, predicted = emt_phonons
    rng = np.random.default_rng(0)
    offset = rng.normal(scale=0.05, size=predicted.forces.shape[1:])
    clean = phonons_of(frames, predicted.forces, "copper")
    shifted = phonons_of(frames, predicted.forces + offset, "copper")
    # Where a frequency is zero it is the root of a rounding error: some 1e-7 THz.
    assert rms_difference(clean, shifted) < 1e-6


def test_forces_21_percent_too_large_are_frequencies_10_percent_too_high(emt_phonons, tmp_path):
    frames, truth = emt_phonons
    labelled = case({"phonon": LabelledSet(frames, truth)})
    members = [statics(frames, scaled(truth, 1.21)), statics(frames, scaled(truth, 1.21))]
    part = phonon_part(labelled, members, [None, None], LIMITS, tmp_path)
    found = {finding.quantity: finding for finding in part.findings}
    dft = phonons_of(frames, truth.forces, "copper")
    size = np.sqrt(np.average(np.square(dft.mesh_thz).mean(axis=1), weights=dft.weights))
    assert found[RMS].value == pytest.approx(0.1 * size, rel=1e-3)
    assert found[RMS].verdict == "fail"
    assert found[LOWEST].verdict == "pass"
    same = phonon_part(labelled, [statics(frames, truth)], [None], LIMITS, tmp_path)
    assert {finding.verdict for finding in same.findings} == {"pass"}
    for name in ("copper_phonon_dos.png", "copper_phonon_bands.png"):
        assert (tmp_path / name).stat().st_size > 5000


def test_imaginary_modes_of_dft_are_asked_of_the_potential_too(tmp_path):
    frames, stable = springs(3.6, 2.0, (2, 2, 2))
    unstable = scaled(stable, -1.0)
    labelled = case({"phonon": LabelledSet(frames, unstable)})
    of_unstable, of_stable = (
        {f.quantity: f for f in phonon_part(labelled, [member], [None], LIMITS, tmp_path).findings}
        for member in (statics(frames, unstable), statics(frames, stable))
    )
    assert of_unstable[LOWEST].value < -3.0
    assert of_unstable[LOWEST].verdict == "pass"
    assert "no fault of the potential" in of_unstable[LOWEST].text
    assert of_stable[LOWEST].verdict == "fail"


def test_a_missing_displacement_leaves_phonons_unassessed_and_says_which(tmp_path):
    # A cell of two kinds of atom needs several displacements.
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    frames = joined(displaced_frames(atoms, (1, 1, 1), 0.01))
    keep = [k for k, point in enumerate(frames.points) if "0002of" not in point]
    cut = FrameSet(
        tuple(frames.points[k] for k in keep),
        frames.symbols,
        frames.coords[keep],
        frames.cells[keep],
    )
    forces = np.zeros_like(cut.coords)
    with pytest.raises(DataError, match="first: number 2"):
        phonons_of(cut, forces, "salt")
    labels = Predicted(np.zeros(len(keep)), forces, np.zeros((len(keep), 3, 3)))
    part = phonon_part(
        case({"phonon": LabelledSet(cut, labels)}), [statics(cut, labels)], [None], LIMITS, tmp_path
    )
    (found,) = part.findings
    assert found.verdict == "not assessed"
    assert "displacements are missing" in found.text
    assert "own relaxed crystal" not in found.text


@pytest.mark.filterwarnings("ignore:Mesh")
def test_members_whose_cells_have_other_paths_do_not_share_a_figure(tmp_path):
    # Tetragonal body-centred: the path for c < a is another one than for c > a.
    flat, tall = (
        phonons_of(frames, evaluated(frames).forces, "bct")
        for c in (2.7, 3.1)
        for frames in [joined(displaced_frames(body_centred(2.9, c), (1, 1, 1), 0.01))]
    )
    assert flat.bands.labels != tall.bands.labels
    bands_figure(tmp_path / "bands.png", [flat, tall], None)
    assert (tmp_path / "bands.png").stat().st_size > 5000


def body_centred(a: float, c: float) -> Atoms:
    return Atoms("Cu2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[a, a, c], pbc=True)


def test_frames_in_another_order_of_atoms_are_refused(emt_phonons):
    frames, predicted = emt_phonons
    order = np.roll(np.arange(len(frames.symbols)), 1)
    mixed = FrameSet(frames.points, frames.symbols, frames.coords[:, order], frames.cells)
    with pytest.raises(DataError, match="order of atoms"):
        phonons_of(mixed, predicted.forces[:, order], "copper")
