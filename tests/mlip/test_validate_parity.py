from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from ase.io import read

from mlip.validation.parity import (
    compare,
    control_record,
    least_seen,
    parity_record,
    tolerances_for,
)
from mlip.validation.parity_engines import Evaluation, reordered_atoms, reordered_types
from mlip.validation.parity_frames import choose_frames, write_lammps_data, write_test_system
from mlip.validation.reference import ReferenceSystem
from mlip.validation.thresholds import load_thresholds

GOOD_CONTROL = {"passed": True, "reason": ""}


def evaluation(force: float = 0.0, energy: float = 0.0, virial: float = 0.0) -> Evaluation:
    return Evaluation(
        (-3.0 + energy, -4.0),
        (np.full((2, 3), 0.5), np.full((2, 3), 0.5 + force)),
        (np.eye(3), np.eye(3) + virial),
    )


def record(comparisons, control=GOOD_CONTROL):
    return parity_record({"model_0.pth": "0"}, comparisons, control, "float32", ["a: orthogonal"])


@pytest.fixture
def tolerances():
    return tolerances_for(load_thresholds(), "float32", compressed=False)


def test_equal_evaluations_pass(tolerances):
    rows = compare("model_0.pth", "a = b", evaluation(), evaluation(), tolerances)
    assert [row.quantity for row in rows] == ["energy", "force", "virial"]
    assert record(rows)["passed"] is True


@pytest.mark.parametrize(
    ("planted", "quantity"),
    [({"force": 2e-4}, "force"), ({"energy": 2e-6}, "energy"), ({"virial": 2e-5}, "virial")],
)
def test_a_planted_difference_fails_that_quantity_alone(tolerances, planted, quantity):
    rows = compare("model_0.pth", "a = b", evaluation(), evaluation(**planted), tolerances)
    assert [row.quantity for row in rows if not row.passed] == [quantity]
    assert record(rows)["passed"] is False


def test_a_difference_below_tolerance_passes(tolerances):
    rows = compare("model_0.pth", "a = b", evaluation(), evaluation(force=5e-5), tolerances)
    assert record(rows)["passed"] is True
    assert rows[1].difference == pytest.approx(5e-5)


def test_a_force_that_is_no_number_fails(tolerances):
    rows = compare("model_0.pth", "a = b", evaluation(), evaluation(force=math.nan), tolerances)
    content = record(rows)
    assert content["passed"] is False
    assert content["comparisons"][1]["difference"] is None


def test_compressed_float32_has_the_wider_force_tolerance():
    thresholds = load_thresholds()
    compressed = tolerances_for(thresholds, "float32", compressed=True)
    assert compressed.force.value == 5e-4
    assert tolerances_for(thresholds, "float64", compressed=False).force.value == 1e-8


def test_a_permuted_order_that_changes_nothing_fails_the_gate(tolerances):
    control = control_record("model_0.pth", ("P", "S", "Li"), 1e-6, 1e-4, 100)
    assert control["passed"] is False
    assert "P S Li" in control["reason"]
    rows = compare("model_0.pth", "a = b", evaluation(), evaluation(), tolerances)
    assert record(rows, control)["passed"] is False


@pytest.mark.parametrize("difference", [0.5, math.inf, math.nan])
def test_a_permuted_order_that_is_seen_passes(difference):
    assert control_record("m", ("P", "Li"), difference, 1e-4, 100)["passed"] is True


def test_no_comparison_is_no_proof():
    assert record([])["passed"] is False


def frames(name: str, symbols: tuple[str, ...], cell: np.ndarray) -> ReferenceSystem:
    rng = np.random.default_rng(5)
    count, atoms = 4, len(symbols)
    forces = rng.normal(size=(count, atoms, 3))
    forces[2] *= 10  # the hottest
    return ReferenceSystem(
        name=name,
        symbols=symbols,
        coords=rng.uniform(0, 6, size=(count, atoms, 3)),
        cells=np.tile(cell, (count, 1, 1)),
        energies=np.zeros(count),
        forces=forces,
        virials=np.zeros((count, 3, 3)),
        rows=np.arange(count),
        phases=("melt",) * count,
        temperatures=np.full(count, 300.0),
        sources=(name,) * count,
        source_frames=np.arange(count),
    )


def distances(coords: np.ndarray) -> np.ndarray:
    return np.linalg.norm(coords[:, None] - coords[None], axis=-1)


def test_hottest_frame_comes_first_and_turning_keeps_distances():
    turned = np.array([[0.0, 7.0, 0.0], [0.0, 0.0, 8.0], [9.0, 0.0, 0.0]])
    system = frames("a", ("Li", "S", "S"), turned)
    chosen = choose_frames([system], 1)[0]
    np.testing.assert_allclose(chosen.cells[0], np.diag([7.0, 8.0, 9.0]), atol=1e-12)
    np.testing.assert_allclose(distances(chosen.coords[0]), distances(system.coords[2]))


def test_orthogonal_data_get_one_sheared_frame():
    chosen = choose_frames([frames("a", ("Li", "S"), 8 * np.eye(3))], 2)
    assert [group.cell_kinds for group in chosen] == [
        ("orthogonal", "orthogonal", "sheared"),
        ("small",),
    ]
    assert np.linalg.det(chosen[0].cells[2]) == pytest.approx(512.0)
    assert abs(chosen[0].cells[2][1, 0]) > 0.1


TILTED = np.array([[8.0, 0.0, 0.0], [2.0, 8.0, 0.0], [0.0, 0.0, 8.0]])


def test_triclinic_data_are_used_as_they_are():
    systems = [frames("a", ("Li", "S"), 8 * np.eye(3)), frames("b", ("Li", "S"), TILTED)]
    kinds = [group.cell_kinds for group in choose_frames(systems, 2)]
    assert kinds == [("orthogonal",) * 2, ("triclinic",) * 2, ("small",)]


def test_triclinic_data_alone_get_one_orthogonal_box_with_the_same_atoms():
    system = frames("b", ("Li", "P", "S"), TILTED)
    tilted, boxed, small = choose_frames([system], 1)
    assert (tilted.cell_kinds, boxed.cell_kinds) == (("triclinic",), ("boxed",))
    assert np.count_nonzero(boxed.cells[0]) == 3
    np.testing.assert_allclose(distances(boxed.coords[0]), distances(tilted.coords[0]))
    assert small.cell_kinds == ("small",)


@pytest.mark.parametrize(
    ("hottest", "kinds"),
    [
        (TILTED, [("triclinic",), ("boxed",), ("small",)]),
        (8 * np.eye(3), [("orthogonal", "sheared"), ("small",)]),
    ],
)
def test_a_cell_that_varies_is_compared_in_both_kinds(hottest, kinds):
    other = 8 * np.eye(3) if hottest is TILTED else TILTED
    system = frames("a", ("Li", "S"), other)
    cells = system.cells.copy()
    cells[2] = hottest  # the frame with the largest forces
    found = choose_frames([replace(system, cells=cells)], 1)
    assert [group.cell_kinds for group in found] == kinds


def test_a_left_handed_cell_is_the_same_for_every_engine(tmp_path):
    cell = np.array([[0.0, 8.0, 0.0], [8.0, 1.0, 0.0], [0.0, 0.0, 9.0]])
    system = frames("a", ("Li", "P", "S"), cell)
    group = choose_frames([system], 1)[0]
    np.testing.assert_allclose(np.diag(group.cells[0]), [8.0, 8.0, 9.0])
    np.testing.assert_allclose(distances(group.coords[0]), distances(system.coords[2]))
    write_lammps_data(tmp_path / "f.data", group, 0, ("Li", "P", "S"))
    atoms = read(tmp_path / "f.data", format="lammps-data", atom_style="atomic")
    np.testing.assert_allclose(atoms.positions, group.coords[0], atol=1e-12)
    np.testing.assert_allclose(atoms.cell.array, group.cells[0], atol=1e-12)


def test_the_small_cell_holds_the_nearest_atom_of_each_element_and_keeps_images_apart():
    symbols = ("Li", "P", "S", "S", "Li")
    system = frames("a", symbols, 8 * np.eye(3))
    whole, group = choose_frames([system], 1)
    hottest, small = whole.coords[0], group.coords[0]
    assert sorted(group.symbols) == ["Li", "P", "S"]
    gaps = hottest[:, None] - hottest[None]
    mic = np.linalg.norm(gaps - 8 * np.round(gaps / 8), axis=-1)
    phosphorus = group.symbols.index("P")
    for name in ("Li", "S"):
        nearest = min(mic[1, k] for k, other in enumerate(symbols) if other == name)
        found = distances(small)[phosphorus, group.symbols.index(name)]
        assert found == pytest.approx(nearest)
    # No atom is nearer than the gap to an image of itself or of another.
    extent = small.max(axis=0) - small.min(axis=0)
    np.testing.assert_allclose(np.diag(group.cells[0]), extent + 3.0)


def test_the_system_with_most_elements_is_chosen():
    systems = [
        frames("a", ("Li", "Li"), 8 * np.eye(3)),
        frames("b", ("Li", "P", "S"), 8 * np.eye(3)),
    ]
    assert choose_frames(systems, 1)[0].name == "b"


def test_lammps_file_and_test_system_hold_the_same_frame(tmp_path):
    chosen = choose_frames([frames("a", ("S", "Li", "P"), 8 * np.eye(3))], 1)[0]
    write_lammps_data(tmp_path / "f.data", chosen, 1, ("Li", "P", "S"))
    write_test_system(tmp_path / "sys", chosen, ("Li", "P", "S"))
    atoms = read(tmp_path / "f.data", format="lammps-data", atom_style="atomic")
    coords = np.load(tmp_path / "sys" / "set.000" / "coord.npy")[1].reshape(-1, 3)
    assert atoms.get_chemical_symbols() == ["S", "Li", "P"]
    np.testing.assert_allclose(atoms.positions, coords, atol=1e-12)
    np.testing.assert_allclose(atoms.cell.array, chosen.cells[1], atol=1e-12)
    assert (tmp_path / "sys" / "type.raw").read_text().split() == ["2", "0", "1"]


def test_a_reordered_file_numbers_types_and_atoms_otherwise_but_holds_the_same_atoms(tmp_path):
    type_map, symbols = ("Li", "P", "S"), ("Li", "Li", "P", "S", "S", "S")
    chosen = choose_frames([frames("a", symbols, 8 * np.eye(3))], 1)[0]
    order = reordered_atoms(6)
    types = reordered_types(type_map)
    assert types == ("S", "P", "Li")
    assert sorted(order) == list(range(6))
    assert list(order) != list(range(6))
    write_lammps_data(tmp_path / "f.data", chosen, 0, types, order)
    rows = (tmp_path / "f.data").read_text().split("Atoms", 1)[1].splitlines()[1:]
    numbers = [int(row.split()[1]) for row in rows if row.strip()]
    assert [types[n - 1] for n in numbers] == [symbols[k] for k in order]
    atoms = read(tmp_path / "f.data", format="lammps-data", atom_style="atomic")
    np.testing.assert_allclose(atoms.positions, chosen.coords[0][order], atol=1e-12)


def test_the_control_of_the_file_that_saw_least_decides():
    records = [
        control_record("model_0.pth", ("P", "Li"), 5.0, 1e-4, 100),
        control_record("compressed_0.pth", ("P", "Li"), 1e-3, 5e-4, 100),
        control_record("model_1.pth", ("P", "Li"), math.inf, 1e-4, 100),
    ]
    found = least_seen(records)
    assert (found["model"], found["passed"]) == ("compressed_0.pth", False)
    assert set(found["all_models"]) == {"model_0.pth", "compressed_0.pth", "model_1.pth"}
