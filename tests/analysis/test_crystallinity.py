"""Order of atoms and crystalline share: lattices, references, sandwiches, DFT melts."""

from __future__ import annotations

import functools
import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y
from scipy.stats import norm
from toy_trajectories import TRICLINIC, make_trajectory
from vesin import NeighborList

from analysis.errors import AnalysisError, RangeError
from analysis.groups import Groups
from analysis.order.bond_order import (
    OrderSettings,
    bond_order,
    nearest_neighbours,
    order_settings,
)
from analysis.order.crystallinity import (
    crystallinity,
    equal_error_threshold,
    order_threshold,
)
from analysis.order.crystallinity_findings import crystallinity_findings
from mlip.structures.crystals import conventional_cell, find_crystal

pytest.importorskip("freud", reason="needs freud for order parameters")

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = (REPOSITORY / os.environ.get("LIPS_MLIP_EXTERNAL_DATA", "../shared/data")).resolve()
AIMD = REPOSITORY / "training_data" / "raw" / "li3ps4_cp2k_aimd" / "melt_1500K"
SETTINGS = order_settings()


def of_frames(frames):
    return make_trajectory(
        np.stack([atoms.positions for atoms in frames]),
        species=frames[0].get_chemical_symbols(),
        cell=np.stack([atoms.cell.array for atoms in frames]),
    )


@functools.cache
def crystal():
    return conventional_cell(find_crystal("beta-Li3PS4"))


def rattled(rng, repeat=(2, 3, 4), frames=1, sigma=0.2):
    found = []
    for _ in range(frames):
        atoms = crystal().repeat(repeat)
        atoms.positions += rng.normal(0, sigma, atoms.positions.shape)
        found.append(atoms)
    return found


def random_gas(rng, repeat=(2, 3, 4), frames=1):
    found = []
    for _ in range(frames):
        atoms = crystal().repeat(repeat)
        atoms.positions = rng.random((len(atoms), 3)) @ atoms.cell.array
        found.append(atoms)
    return found


def npy_frames(directory, step):
    """Frames of a DeePMD system, or skip."""
    if not (directory / "type.raw").is_file():
        pytest.skip(f"{directory} is absent; set LIPS_MLIP_EXTERNAL_DATA")
    names = (directory / "type_map.raw").read_text().split()
    symbols = [names[kind] for kind in np.loadtxt(directory / "type.raw", dtype=int)]
    positions = np.load(directory / "set.000" / "coord.npy")[::step].reshape(-1, len(symbols), 3)
    cells = np.load(directory / "set.000" / "box.npy")[::step].reshape(-1, 3, 3)
    return [
        Atoms(symbols, positions=place, cell=cell, pbc=True)
        for place, cell in zip(positions, cells, strict=True)
    ]


def aimd_melt():
    text = gzip.decompress((AIMD / "melt_1500K-pos-1.xyz.gz").read_bytes()).decode()
    frames = read(io.StringIO(text), index="::5", format="xyz")
    for atoms in frames:
        atoms.set_cell([10.9] * 3)
        atoms.pbc = True
    return frames


def orders(atoms, settings=SETTINGS):
    inside = np.isin(atoms.symbols, settings.species)
    return bond_order(atoms.positions[inside], atoms.cell.array, settings)[0]


@pytest.mark.parametrize(
    ("lattice", "neighbours", "degree", "expected"),
    [
        # Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983), table I.
        ("fcc", 12, 6, 0.574524),
        ("fcc", 12, 4, 0.190941),
        ("hcp", 12, 6, 0.484762),
        ("hcp", 12, 4, 0.097222),
        ("bcc", 8, 6, 0.628539),
        ("bcc", 14, 6, 0.510688),
        ("sc", 6, 4, 0.763763),
        ("sc", 6, 6, 0.353553),
    ],
)
@pytest.mark.parametrize("repeat", [1, 3])
def test_lattices_have_the_order_of_their_site(lattice, neighbours, degree, expected, repeat):
    ratio = {"c": 4.0 * np.sqrt(8 / 3)} if lattice == "hcp" else {}
    atoms = bulk("Cu", lattice, a=4.0, **ratio).repeat(repeat)
    averaged = OrderSettings(("Cu",), degree, neighbours, "averaged")
    assert orders(atoms, averaged) == pytest.approx(expected, abs=2e-6)
    coherence = OrderSettings(("Cu",), degree, neighbours, "coherence")
    assert orders(atoms, coherence) == pytest.approx(1.0, abs=1e-5)


def reference_order(positions, cell, settings):
    """The formulas in double precision, with all images of a small cell."""
    number, count, degree = len(positions), settings.neighbours, settings.degree
    search = NeighborList(cutoff=12.0, full_list=True)
    i, j, vectors = search.compute(positions, cell, True, "ijD")
    harmonics = np.zeros((number, 2 * degree + 1), dtype=complex)
    chosen = []
    for atom in range(number):
        mine = np.flatnonzero(i == atom)
        mine = mine[np.argsort(np.linalg.norm(vectors[mine], axis=1))[:count]]
        chosen.append(j[mine].astype(int))
        x, y, z = vectors[mine].T
        polar, around = np.arccos(z / np.linalg.norm(vectors[mine], axis=1)), np.arctan2(y, x)
        for m in range(-degree, degree + 1):
            harmonics[atom, m + degree] = sph_harm_y(degree, m, polar, around).mean()
    if settings.measure == "averaged":
        mean = np.array([harmonics[[k, *chosen[k]]].mean(axis=0) for k in range(number)])
        return np.sqrt(4 * np.pi / (2 * degree + 1) * (np.abs(mean) ** 2).sum(axis=1))
    unit = harmonics / np.linalg.norm(harmonics, axis=1, keepdims=True)
    return np.array([(unit[chosen[k]] @ unit[k].conj()).real.mean() for k in range(number)])


@pytest.mark.parametrize("measure", ["averaged", "coherence"])
def test_order_is_that_of_the_formulas_even_where_bonds_are_longer_than_half_the_cell(rng, measure):
    # freud folds such bonds into the box and then takes other directions than those given.
    settings = OrderSettings(("P",), 6, 12, measure)
    positions = rng.random((8, 3)) @ TRICLINIC
    longest = np.linalg.norm(nearest_neighbours(positions, TRICLINIC, 12)[2], axis=1).max()
    assert longest > 0.5 / np.linalg.norm(np.linalg.inv(TRICLINIC), axis=0).max()
    found, repeated = bond_order(positions, TRICLINIC, settings)
    assert found == pytest.approx(reference_order(positions, TRICLINIC, settings), abs=1e-5)
    assert repeated > 0


@pytest.mark.parametrize("measure", ["averaged", "coherence"])
def test_description_of_the_same_atoms_does_not_matter(rng, measure):
    settings = OrderSettings(("P",), 6, 12, measure)
    positions = rng.random((60, 3)) @ TRICLINIC
    plain, _ = bond_order(positions, TRICLINIC, settings)
    turn = Rotation.random(random_state=3).as_matrix()
    images = rng.integers(-2, 3, positions.shape) @ TRICLINIC
    sheared = np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ TRICLINIC
    order = rng.permutation(60)
    for places, cell, expected in (
        ((positions + images + 1.7) @ turn.T, TRICLINIC @ turn.T, plain),
        (positions, sheared, plain),
        (positions, TRICLINIC[[1, 0, 2]], plain),
        (positions[order], TRICLINIC, plain[order]),
        (
            np.vstack([positions, positions + TRICLINIC[0]]),
            [[2], [1], [1]] * TRICLINIC,
            [*plain] * 2,
        ),
    ):
        found, _ = bond_order(places, np.asarray(cell), settings)
        assert found == pytest.approx(np.asarray(expected), abs=1e-5)


def test_nearest_neighbours_are_the_nearest_in_sparse_and_dense_places(rng):
    # A dense drop in a wide cell: the first search radius is too small for the atoms outside.
    positions = np.vstack([rng.random((30, 3)) * 3.0, rng.random((5, 3)) * 30.0])
    i, _, vectors = nearest_neighbours(positions, np.eye(3) * 30.0, 6)
    assert np.bincount(i).tolist() == [6] * 35
    shifts = 30.0 * (np.indices((3, 3, 3)).reshape(3, -1).T - 1)
    images = (positions + shifts[:, None]).reshape(-1, 3)
    distances = np.linalg.norm(positions[:, None] - images, axis=-1)
    expected = np.sort(distances, axis=1)[:, 1:7]
    assert np.linalg.norm(vectors, axis=1).reshape(35, 6) == pytest.approx(expected)


def test_the_threshold_of_two_bells_is_where_they_err_equally(rng):
    # Equal error: (t - 0) / 1 = (4 - t) / 0.5 standard deviations.
    low, high = rng.normal(0.0, 1.0, 40_000), rng.normal(4.0, 0.5, 40_000)
    threshold = equal_error_threshold(high, low)
    error = norm.sf(8 / 3)
    assert threshold == pytest.approx(8 / 3, abs=0.03)
    assert (high < threshold).mean() == pytest.approx((low >= threshold).mean(), abs=3e-5)
    assert abs((low >= threshold).mean() - error) < 4 * np.sqrt(error / 40_000)


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [
        ([0.9, 0.9], [0.1, 0.1], 0.5),  # half way between the means
        ([0.8, 0.9, 1.0], [0.1, 0.1, 0.1, 0.86], 0.8),  # one of three and one of four
        ([0.9] * 9 + [0.3], [0.0] * 9 + [0.5], 0.445),  # one of ten each: half way
        ([0.9] * 3 + [0.7], [0.0, 0.0, 0.0, 0.6], 0.6),  # the gap ends above half way
    ],
)
def test_the_threshold_of_few_values_is_known(high, low, expected):
    found = equal_error_threshold(np.array(high), np.array(low))
    assert found == pytest.approx(expected, abs=1e-6)
    missed, false = (np.array(high) < found).mean(), (np.array(low) >= found).mean()
    assert abs(missed - false) < 0.1


def test_a_thermal_crystal_and_a_random_gas_do_not_overlap(rng):
    threshold = order_threshold(of_frames(rattled(rng)), of_frames(random_gas(rng)), SETTINGS)
    assert threshold.missed == threshold.false == 0.0
    assert threshold.separation > 5
    assert threshold.glass.max() < threshold.value < threshold.crystal.min()


@pytest.mark.parametrize("composition", ["g67", "g70"])
def test_dft_melts_are_told_from_a_thermal_crystal(rng, composition):
    melt = of_frames(npy_frames(DATA / "lips_glass_dpgen" / composition, 40))
    threshold = order_threshold(of_frames(rattled(rng)), melt, SETTINGS)
    assert threshold.missed == 0.0
    assert threshold.false < 0.005
    assert threshold.separation > 5
    # Not only of the references themselves: AIMD of both phases, and random points.
    hot = npy_frames(DATA / "lips20_dft" / "beta-Li3PS4", 80)[1:]
    assert np.mean([orders(atoms) >= threshold.value for atoms in hot]) == 1.0
    others = [*npy_frames(DATA / "lips20_dft" / "Li48P16S61", 50)[5:], *random_gas(rng)]
    assert np.mean(np.concatenate([orders(atoms) >= threshold.value for atoms in others])) < 0.005


def test_our_aimd_melt_is_told_from_a_thermal_crystal(rng):
    threshold = order_threshold(of_frames(rattled(rng)), of_frames(aimd_melt()), SETTINGS)
    assert threshold.missed == threshold.false == 0.0


def sandwich(rng, frames=5, share=0.5):
    """Crystal of 8 cells along b whose middle part is replaced by a random gas."""
    found = []
    for atoms in rattled(rng, (2, 8, 4), frames):
        y = crystal().repeat((2, 8, 4)).get_scaled_positions()[:, 1]
        loose = (y >= 0.5 * share) & (y < 1 - 0.5 * share)
        fractions = rng.random((int(loose.sum()), 3))
        fractions[:, 1] = 0.5 * share + (1 - share) * fractions[:, 1]
        atoms.positions[loose] = fractions @ atoms.cell.array
        found.append(atoms)
    return of_frames(found)


def test_a_sandwich_has_the_planted_share_within_its_interfaces(rng):
    threshold = order_threshold(of_frames(rattled(rng)), of_frames(random_gas(rng)), SETTINGS)
    trajectory = sandwich(rng)
    result = crystallinity(trajectory, SETTINGS, threshold, axis="b")
    height = float(trajectory.cells[0, 1, 1])
    # Lattice planes of P are b/2 apart; each interface may be off by half of that.
    assert float(result.share.value[0]) == pytest.approx(0.5, abs=2 * 2.06 / height)
    inside = np.abs(result.z_angstrom / height - 0.5)
    assert (result.slab_share.value[inside > 0.5 - 0.25 + 6.0 / height] > 0.99).all()
    assert (result.slab_share.value[inside < 0.25 - 6.0 / height] < 0.01).all()
    y = lambda frame: (frame.positions @ np.linalg.inv(frame.cell))[:, 1] % 1.0  # noqa: E731
    halves = Groups(
        ("crystal", "gas"), lambda frame: ((y(frame) > 0.25) & (y(frame) < 0.75)).astype(np.int64)
    )
    divided = crystallinity(trajectory, SETTINGS, threshold, groups=halves)
    assert divided.share.value[0] > 0.85
    assert divided.share.value[1] < 0.15
    assert divided.atoms @ divided.share.value == pytest.approx(
        result.atoms[0] * result.share.value[0]
    )
    assert divided.share_of_frame.shape == (5, 2)
    integral = divided.density.value @ np.diff(divided.edges)
    assert integral == pytest.approx([1.0, 1.0])


def test_findings_record_the_references_and_what_was_left_out(rng):
    trajectory = sandwich(rng, 2)
    references = (of_frames(rattled(rng)), of_frames(random_gas(rng)))
    findings = crystallinity_findings(trajectory, references=references, axis="b")
    found = {quantity.name: quantity for quantity in findings.quantities}
    assert set(found) == {"bond_order_P", "crystalline_share_P", "bond_order_threshold"}
    assert found["crystalline_share_P"].low < found["crystalline_share_P"].value
    assert "misses 0 % of the crystal reference" in found["crystalline_share_P"].reason
    assert {curve.name for curve in findings.curves} == {
        "bond_order_P",
        "crystalline_share_P",
        "bond_order_b",
    }
    assert findings.figures["crystallinity"].startswith(b"\x89PNG")
    alone = crystallinity_findings(trajectory)
    assert [item.name for item in alone.skipped] == ["crystalline share"]
    assert [quantity.name for quantity in alone.quantities] == ["bond_order_P"]
    foreign = make_trajectory(rng.random((1, 40, 3)) * 9.0, species="Ar", cell=9.0)
    assert "holds no P" in crystallinity_findings(foreign).skipped[0].reason


def test_a_cell_that_repeats_itself_has_no_crystalline_share(rng):
    small = of_frames(random_gas(rng, (1, 1, 2), 2))
    references = (of_frames(rattled(rng)), of_frames(random_gas(rng)))
    findings = crystallinity_findings(small, references=references)
    found = {quantity.name: quantity for quantity in findings.quantities}
    assert found["crystalline_share_P"].status == "unresolved"
    assert "images of each other" in found["crystalline_share_P"].reason


def test_impossible_requests_are_refused(rng):
    solid, gas = of_frames(rattled(rng)), of_frames(random_gas(rng))
    with pytest.raises(AnalysisError, match="references are swapped"):
        order_threshold(gas, solid, SETTINGS)
    threshold = order_threshold(solid, gas, SETTINGS)
    with pytest.raises(AnalysisError, match="settings of the sample"):
        crystallinity(solid, OrderSettings(("P",), 4), threshold)
    with pytest.raises(AnalysisError, match="no atom is 'Si'"):
        crystallinity(solid, OrderSettings(("Si",)))
    with pytest.raises(RangeError, match="expected at least one species"):
        OrderSettings((), 6, 12)
    with pytest.raises(AnalysisError, match="expected one of coherence, averaged"):
        OrderSettings(("P",), measure="other")
    with pytest.raises(AnalysisError, match="two atoms lie in one place"):
        bond_order(np.zeros((20, 3)), np.eye(3) * 9.0, SETTINGS)
