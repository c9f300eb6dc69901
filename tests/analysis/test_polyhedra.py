"""Coordination polyhedra: ideal shapes, known crystals, invariances, neighbours of a peer."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from scipy.spatial.transform import Rotation
from toy_trajectories import TRICLINIC, make_trajectory

from analysis.errors import AnalysisError, RangeError
from analysis.groups import Groups
from analysis.order.polyhedra import (
    coordination_polyhedra,
    polyhedra_curves,
    polyhedra_findings,
    polyhedra_quantities,
)
from analysis.order.shapes import SHAPES, angle_deviations, shape_names
from analysis.results import Quantity
from mlip.structures.crystals import conventional_cell, find_crystal

IDEALS = {name: ideal for ideals in SHAPES.values() for name, ideal in ideals.items()}


def directions(ideal):
    return ideal / np.linalg.norm(ideal, axis=1, keepdims=True)


def of_atoms(atoms, frames=1):
    return make_trajectory(
        np.tile(atoms.positions, (frames, 1, 1)),
        species=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
    )


def shares(result, group=0):
    return dict(zip(result.shapes, result.shape_share.value[group].tolist(), strict=True))


@pytest.mark.parametrize("name", IDEALS)
def test_an_ideal_shape_does_not_deviate_in_any_orientation_or_order(name, rng):
    ideal = IDEALS[name]
    turned = directions(ideal)[rng.permutation(len(ideal))]
    turned = turned @ Rotation.random(random_state=7).as_matrix()
    assert angle_deviations(turned[None], ideal) == pytest.approx(0.0, abs=1e-6)
    for other, shape in IDEALS.items():
        if other != name and len(shape) == len(ideal):
            assert angle_deviations(turned[None], shape)[0] > 20.0


def test_tetrahedra_have_the_angular_variance_of_robinson(rng):
    around = directions(IDEALS["tetrahedron"] + rng.normal(0, 0.1, (4, 3)))
    cosines = (around @ around.T)[np.triu_indices(4, 1)]
    ideal = np.degrees(np.arccos(-1 / 3))
    variance = ((np.degrees(np.arccos(cosines)) - ideal) ** 2).sum() / 5
    found = angle_deviations(around[None], IDEALS["tetrahedron"])[0]
    assert found**2 * 6 / 5 == pytest.approx(variance, rel=1e-10)


def test_a_compressed_octahedron_deviates_by_as_much_as_its_angles():
    # Four vertices of the equator bent up by e: four angles to the poles each way are 90 -+ e, the
    # straight angle of opposite ones 180 - 2 e, those between neighbours arccos(sin(e)^2).
    bend = np.radians(8.0)
    flat = IDEALS["octahedron"].astype(float)
    equator = np.cos(bend) * flat[2:] + np.sin(bend) * flat[0]
    bent = np.vstack([flat[:2], equator])[None]
    near = 90.0 - np.degrees(np.arccos(np.sin(bend) ** 2))
    expected = np.sqrt((8 * 8.0**2 + 2 * 16.0**2 + 4 * near**2) / 15)
    assert angle_deviations(bent, flat)[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "cutoff", "expected"),
    [
        ("beta-Li3PS4", 3.4, {"tetrahedron": 2 / 3, "octahedron": 1 / 3}),
        ("gamma-Li3PS4", 3.4, {"tetrahedron": 1.0}),
        ("Li4P2S6", 3.4, {"octahedron": 1.0}),
        ("Li2S", 3.0, {"tetrahedron": 1.0}),
    ],
)
def test_crystals_have_the_sites_that_they_are_known_for(name, cutoff, expected):
    atoms = conventional_cell(find_crystal(name))
    for repeat in ((1, 1, 1), (2, 1, 1)):
        result = coordination_polyhedra(of_atoms(atoms.repeat(repeat)), "Li", {"S": cutoff})
        found = {shape: share for shape, share in shares(result).items() if share}
        assert found == pytest.approx(expected)
        number = sum(len(IDEALS[shape]) * share for shape, share in expected.items())
        assert result.mean_number.value[0] == pytest.approx(number)


def gas(rng):
    symbols = ["Li"] * 40 + ["S"] * 60 + ["Cl"] * 20
    return Atoms(symbols, positions=rng.random((120, 3)) @ TRICLINIC, cell=TRICLINIC, pbc=True)


def test_neighbours_are_those_of_another_package(rng):
    atoms, cutoffs = gas(rng), {"S": 3.1, "Cl": 2.4}
    i, j = neighbor_list("ij", atoms, {("Li", "S"): 3.1, ("Li", "Cl"): 2.4})
    expected = np.bincount(i[atoms.symbols[i] == "Li"], minlength=len(atoms))[:40]
    assert len(i) == 2 * expected.sum() == 2 * (atoms.symbols[j] == "Li").sum()
    result = coordination_polyhedra(of_atoms(atoms), "Li", cutoffs)
    share = np.bincount(np.minimum(expected, 12), minlength=13) / 40
    assert result.number_share.value[0] == pytest.approx(share)
    assert result.mean_number.value[0] == pytest.approx(expected.mean())


def test_description_of_the_same_atoms_does_not_matter(rng):
    atoms = gas(rng)
    # A wide limit, so that some of the random surroundings have a name.
    plain = coordination_polyhedra(of_atoms(atoms), "Li", {"S": 3.3}, limit_degrees=40.0)
    assert 0 < shares(plain)["other"] < 1
    turn = Rotation.random(random_state=3).as_matrix()
    images = rng.integers(-2, 3, (len(atoms), 3)) @ TRICLINIC
    turned = Atoms(
        atoms.symbols, positions=(atoms.positions + images + 1.7) @ turn.T, cell=TRICLINIC @ turn.T
    )
    sheared = atoms.copy()
    sheared.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ TRICLINIC)
    for other in (turned, sheared, atoms[rng.permutation(120)], atoms.repeat((2, 1, 1))):
        found = coordination_polyhedra(of_atoms(other), "Li", {"S": 3.3}, limit_degrees=40.0)
        assert found.shape_share.value == pytest.approx(plain.shape_share.value)
        assert found.number_share.value == pytest.approx(plain.number_share.value)
        assert found.deviation.value == pytest.approx(plain.deviation.value)


def planted(tetrahedra=3, octahedra=2, *, frames=5):
    """Isolated polyhedra along a row, each around a Li."""
    positions, symbols = [], []
    shapes = ["tetrahedron"] * tetrahedra + ["octahedron"] * octahedra
    for n, shape in enumerate(shapes):
        centre = np.array([10.0 * n, 5.0, 5.0])
        positions += [centre, *(centre + 2.5 * directions(IDEALS[shape]))]
        symbols += ["Li"] + ["S"] * len(IDEALS[shape])
    cell = np.diag([10.0 * len(shapes), 10.0, 10.0])
    return of_atoms(Atoms(symbols, positions=positions, cell=cell), frames)


def test_groups_of_ions_have_shares_of_their_own():
    trajectory = planted()
    ions = trajectory.ids_of("Li")
    codes = np.full(trajectory.n_atoms, -1)
    codes[ions[:3]], codes[ions[3:]] = 0, 1
    # S atoms are in a group too and must not count as ions.
    codes[ions + 1] = 0
    groups = Groups(("left", "right", "nobody"), lambda frame: codes)
    result = coordination_polyhedra(trajectory, "Li", {"S": 3.0}, groups=groups)
    assert shares(result, 0)["tetrahedron"] == shares(result, 1)["octahedron"] == 1.0
    assert result.ions.tolist() == [3.0, 2.0, 0.0]
    found = {quantity.name: quantity for quantity in polyhedra_quantities(result)}
    assert found["share_with_6_neighbours_right"].value == 1.0
    assert found["share_tetrahedron_nobody"].status == "unresolved"
    curves = {curve.name: curve.columns for curve in polyhedra_curves(result)}
    assert list(curves) == [
        *("polyhedra_left", "polyhedra_left_numbers"),
        *("polyhedra_right", "polyhedra_right_numbers"),
    ]
    share = curves["polyhedra_right_numbers"]["share of ions [1]"]
    assert share.tolist() == [float(number == 6) for number in range(13)]


def test_shares_are_tabulated_against_the_limit(rng):
    result = coordination_polyhedra(of_atoms(gas(rng)), "Li", {"S": 3.3})
    curve, numbers = polyhedra_curves(result)
    assert numbers.columns["share of ions [1]"].sum() == pytest.approx(1.0)
    limits = curve.columns["largest deviation of angles [degree]"]
    at_limit = int(np.flatnonzero(limits == result.limit_degrees)[0])
    for shape in shape_names()[:-1]:
        assert curve.columns[f"share {shape} [1]"][at_limit] == pytest.approx(shares(result)[shape])


def test_findings_take_the_cutoffs_from_the_first_shells():
    trajectory = planted()
    shells = [
        Quantity("rdf_first_peak_Li-S", 2.4, "Angstrom", reason="planted"),
        Quantity("rdf_first_minimum_Li-S", 3.0, "Angstrom", reason="planted"),
        Quantity(
            "rdf_first_minimum_Cl-Li", float("nan"), "Angstrom", status="unresolved", reason="none"
        ),
    ]
    findings = polyhedra_findings(trajectory, "Li", ["S", "Cl"], shells)
    assert [(item.name, item.reason) for item in findings.skipped] == [("Cl around Li", "none")]
    found = {quantity.name: quantity for quantity in findings.quantities}
    assert found["coordination_mean_Li"].value == pytest.approx((3 * 4 + 2 * 6) / 5)
    assert found["share_tetrahedron_Li"].value == pytest.approx(0.6)
    assert findings.figures["polyhedra_Li"].startswith(b"\x89PNG")
    none = polyhedra_findings(trajectory, "Li", ["Cl"], shells)
    assert [item.name for item in none.skipped] == ["Cl around Li", "polyhedra of Li"]
    assert not none.quantities


def test_a_flat_floor_of_g_does_not_make_the_shell_reach_farther():
    shells = [
        Quantity("rdf_first_peak_Li-S", 2.4, "Angstrom", reason="planted"),
        Quantity("rdf_first_minimum_Li-S", 9.0, "Angstrom", reason="on a flat floor"),
    ]
    findings = polyhedra_findings(planted(), "Li", ["S"], shells)
    (number,) = (q for q in findings.quantities if q.name == "coordination_mean_Li")
    assert "S to 3.60 Angstrom" in number.reason
    assert number.value == pytest.approx((3 * 4 + 2 * 6) / 5)


def test_impossible_requests_are_refused(rng):
    trajectory = planted()
    with pytest.raises(AnalysisError, match="no atom is 'Na'"):
        coordination_polyhedra(trajectory, "Na", {"S": 3.0})
    for cutoffs in ({}, {"S": -1.0}):
        with pytest.raises(RangeError, match="give a positive cutoff"):
            coordination_polyhedra(trajectory, "Li", cutoffs)
    twice = Atoms("LiS", positions=[[1, 1, 1], [1, 1, 1]], cell=[9, 9, 9])
    with pytest.raises(AnalysisError, match="two atoms lie in one place"):
        coordination_polyhedra(of_atoms(twice), "Li", {"S": 3.0})
