"""Voronoi volumes: lattices, planes between two atoms, a random gas, invariances, a peer."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
from ase.build import bulk
from scipy.spatial import ConvexHull, Voronoi
from scipy.spatial.transform import Rotation
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.errors import AnalysisError, RangeError
from analysis.groups import Groups
from analysis.order.tessellation import atomic_volumes, lower_triangular
from analysis.order.voronoi import (
    ionic_radii,
    voronoi_findings,
    voronoi_quantities,
    voronoi_volumes,
)

pytest.importorskip("freud", reason="needs freud for the tessellation")
HAS_RADICAL = importlib.util.find_spec("pyvoro2") is not None
needs_radical = pytest.mark.skipif(not HAS_RADICAL, reason="needs pyvoro2 for radical cells")

# freud keeps positions in single precision.
SINGLE = 1e-6
SHEAR = np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]])


def gas(rng, number=60, cell=TRICLINIC):
    return rng.random((number, 3)) @ cell


@pytest.mark.parametrize("repeat", [1, 2, 3])
@pytest.mark.parametrize(("lattice", "atoms"), [("fcc", 4), ("bcc", 2), ("sc", 1)])
def test_every_site_of_a_lattice_has_the_same_part_of_the_cube(lattice, atoms, repeat):
    a = 4.0
    crystal = bulk("Cu", lattice, a=a).repeat(repeat)
    volumes = atomic_volumes(crystal.positions, crystal.cell.array)
    assert volumes == pytest.approx(a**3 / atoms, rel=2e-6)
    assert volumes.sum() == pytest.approx(crystal.get_volume(), rel=SINGLE)


@needs_radical
@pytest.mark.parametrize(("lattice", "atoms"), [("fcc", 4), ("bcc", 2)])
def test_radical_cells_of_equal_radii_are_plain(lattice, atoms):
    crystal = bulk("Cu", lattice, a=4.0).repeat(2)
    radii = np.full(len(crystal), 1.3)
    volumes = atomic_volumes(crystal.positions, crystal.cell.array, radii)
    assert volumes == pytest.approx(64.0 / atoms, rel=1e-10)


@needs_radical
def test_the_radical_plane_between_two_atoms_is_where_tangents_are_equal():
    length, large, small = 8.0, 1.84, 0.59
    positions = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0 + length / 2]])
    volumes = atomic_volumes(positions, np.eye(3) * length, np.array([large, small]))
    plane = length / 4 + (large**2 - small**2) / length
    assert volumes == pytest.approx([2 * plane * length**2, length**3 - 2 * plane * length**2])
    plain = atomic_volumes(positions, np.eye(3) * length)
    assert plain == pytest.approx(length**3 / 2, rel=SINGLE)


@needs_radical
def test_a_covered_atom_has_no_radical_cell(rng):
    positions = gas(rng)
    positions[1] = positions[0] + [0.3, 0.0, 0.0]
    radii = np.full(len(positions), 0.5)
    radii[0] = 1.5
    volumes = atomic_volumes(positions, TRICLINIC, radii)
    assert volumes[1] == 0.0
    assert volumes.sum() == pytest.approx(np.linalg.det(TRICLINIC), rel=1e-10)


@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=needs_radical)])
def test_description_of_the_same_atoms_does_not_matter(rng, weighted):
    positions = gas(rng)
    radii = rng.choice([0.59, 1.84], len(positions)) if weighted else None
    volumes = atomic_volumes(positions, TRICLINIC, radii)
    assert volumes.sum() == pytest.approx(np.linalg.det(TRICLINIC), rel=SINGLE)
    turn = Rotation.random(random_state=3).as_matrix()
    images = rng.integers(-2, 3, positions.shape) @ TRICLINIC
    others = {
        "turned": (positions @ turn.T, TRICLINIC @ turn.T),
        "shifted": (positions + np.array([1.3, -0.7, 5.1]), TRICLINIC),
        "unwrapped": (positions + images, TRICLINIC),
        "other vectors": (positions, SHEAR @ TRICLINIC),
        "left-handed": (positions, TRICLINIC[[1, 0, 2]]),
        "mirrored": (positions * [1, 1, -1], TRICLINIC * [1, 1, -1]),
    }
    for name, (places, cell) in others.items():
        found = atomic_volumes(places, cell, radii)
        assert found == pytest.approx(volumes, rel=1e-5), name
    order = rng.permutation(len(positions))
    mixed = atomic_volumes(positions[order], TRICLINIC, None if radii is None else radii[order])
    assert mixed == pytest.approx(volumes[order], rel=1e-5)
    twice = np.vstack([positions, positions + TRICLINIC[1]])
    double = TRICLINIC * np.array([[1], [2], [1]])
    doubled = atomic_volumes(twice, double, None if radii is None else np.tile(radii, 2))
    assert doubled == pytest.approx(np.tile(volumes, 2), rel=1e-5)


def test_lower_triangular_cells_keep_lengths_and_angles():
    turned = Rotation.random(random_state=5).as_matrix() @ TRICLINIC[[2, 0, 1]]
    lower = lower_triangular(turned)
    assert lower @ lower.T == pytest.approx(turned @ turned.T)
    assert (np.triu(lower, 1) == 0).all()
    assert (np.diag(lower) > 0).all()


def test_volumes_agree_with_a_tessellation_of_explicit_images(rng):
    positions = gas(rng, 40)
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ TRICLINIC
    everywhere = (positions + shifts[:, None]).reshape(-1, 3)
    cells = Voronoi(everywhere)
    start = int(np.flatnonzero((shifts == 0).all(axis=1))[0]) * len(positions)
    regions = [cells.regions[r] for r in cells.point_region[start : start + len(positions)]]
    expected = [ConvexHull(cells.vertices[region]).volume for region in regions]
    assert atomic_volumes(positions, TRICLINIC) == pytest.approx(expected, rel=1e-5)


def test_a_random_gas_has_the_scatter_of_poisson_cells(rng):
    # Mean square of a Poisson cell volume is 1.179 (Gilbert, Ann. Math. Stat. 33, 958, 1962).
    number, frames = 1500, 4
    positions = rng.random((frames, number, 3)) * 20.0
    result = voronoi_volumes(make_trajectory(positions, cell=20.0))
    mean = 8000.0 / number
    assert result.volume.value[0] == pytest.approx(mean, rel=SINGLE)
    # The excess of such cells has a kurtosis near 4: error of a variance from 6000 of them.
    error = 0.179 * math.sqrt(3.0 / (number * frames))
    assert abs((result.spread_angstrom3[0] / mean) ** 2 - 0.179) < 4 * error
    # Distributions are normalised.
    assert result.density.value[0].sum() * 0.5 == pytest.approx(1.0)


def test_two_atoms_in_one_place_are_refused_by_number(rng):
    positions = gas(rng)
    positions[7] = positions[3] + TRICLINIC[0]
    with pytest.raises(AnalysisError, match="atoms 3 and 7 lie in one place"):
        atomic_volumes(positions, TRICLINIC)


def test_every_frame_is_divided_in_its_own_cell():
    crystal = bulk("Cu", "fcc", a=4.0).repeat(2)
    scales = np.linspace(0.9, 1.1, 10)
    trajectory = make_trajectory(
        scales[:, None, None] * crystal.positions, cell=scales[:, None, None] * crystal.cell.array
    )
    result = voronoi_volumes(trajectory, radii_angstrom={"Li": 1.0})
    assert result.volume.value[0] == pytest.approx((16 * scales**3).mean(), rel=SINGLE)
    sphere = 4 / 3 * np.pi
    assert result.free_volume.value[0] == pytest.approx((16 * scales**3).mean() - sphere)
    assert float(result.free_share.value) == pytest.approx(1 - (sphere / (16 * scales**3)).mean())
    assert result.sum_error < SINGLE
    (volume,) = voronoi_quantities(result)
    assert volume.name == "voronoi_volume_Li"
    assert volume.low < volume.value < volume.high


def test_groups_may_change_and_atoms_in_none_still_fill_space(rng):
    positions = np.stack([gas(rng), gas(rng)])
    trajectory = make_trajectory(positions, cell=TRICLINIC)
    each = np.stack([atomic_volumes(frame, TRICLINIC) for frame in positions])
    codes = [np.where(np.arange(60) < 20, 0, -1), np.where(np.arange(60) < 50, 0, -1)]
    groups = Groups(("some", "empty"), lambda frame: codes[frame.index])
    result = voronoi_volumes(trajectory, groups)
    inside = np.concatenate([each[0, :20], each[1, :50]])
    assert result.volume.value[0] == pytest.approx(inside.mean())
    assert result.spread_angstrom3[0] == pytest.approx(inside.std())
    assert result.atoms.tolist() == [35.0, 0.0]
    empty = voronoi_quantities(result)[1]
    assert empty.status == "unresolved"
    assert "no atom is in the group 'empty'" in empty.reason


def test_radii_are_those_of_shannon():
    species = pytest.importorskip("pymatgen.core", reason="pymatgen has Shannon's table").Species
    from ruamel.yaml import YAML

    from analysis.order.voronoi import RADII_FILE

    table = YAML(typ="safe", pure=True).load(RADII_FILE.read_text())
    numerals = {4: "IV", 6: "VI"}
    for element, row in table.items():
        expected = species(element, row["charge"]).get_shannon_radius(numerals[row["coordination"]])
        assert row["radius_angstrom"] == pytest.approx(expected), element
    assert ionic_radii()["S"] == 1.84


def test_impossible_requests_are_refused(rng):
    trajectory = make_trajectory(gas(rng)[None], species="Xe", cell=TRICLINIC)
    with pytest.raises(AnalysisError, match=r"no radius of Xe in ionic_radii\.yml"):
        voronoi_volumes(trajectory, tessellation="radical")
    with pytest.raises(AnalysisError, match="no radius of Xe; `radii_angstrom` names Ar"):
        voronoi_volumes(trajectory, radii_angstrom={"Ar": 1.9})
    with pytest.raises(RangeError, match="must be finite"):
        voronoi_volumes(trajectory, radii_angstrom={"Xe": -1.0})
    with pytest.raises(RangeError, match="stride 0"):
        voronoi_volumes(trajectory, stride=0)
    with pytest.raises(AnalysisError, match="expected one of plain, radical"):
        voronoi_volumes(trajectory, tessellation="weighted")


@pytest.mark.skipif(HAS_RADICAL, reason="pyvoro2 is installed")
def test_without_the_library_radical_cells_say_how_to_get_it(rng):
    with pytest.raises(AnalysisError, match="pip install pyvoro2"):
        atomic_volumes(gas(rng), TRICLINIC, np.ones(60))


def test_findings_name_what_was_left_out(rng):
    positions = np.stack([gas(rng) for _ in range(5)])
    known = make_trajectory(positions, species=["Li"] * 40 + ["S"] * 20, cell=TRICLINIC)
    findings = voronoi_findings(known)
    names = [quantity.name for quantity in findings.quantities]
    assert names[:3] == ["free_volume_share", "voronoi_volume_Li", "voronoi_volume_S"]
    assert len(set(names)) == len(names)
    assert ("free_volume_S" in names) == HAS_RADICAL
    assert [s.name for s in findings.skipped] == [] if HAS_RADICAL else ["radical Voronoi cells"]
    assert findings.figures["voronoi"].startswith(b"\x89PNG")
    halves = Groups(("low", "high"), lambda frame: (np.arange(60) % 2).astype(np.int64))
    divided = voronoi_findings(known, halves)
    more = {quantity.name for quantity in divided.quantities}
    assert "voronoi_volume_Li_low" in more
    assert not more & set(names)
    assert not set(divided.figures) & set(findings.figures)
    unknown = voronoi_findings(make_trajectory(positions, species="Xe", cell=TRICLINIC))
    assert [item.name for item in unknown.skipped] == ["free volume"]
