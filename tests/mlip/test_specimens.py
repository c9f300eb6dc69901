"""The shipped specimens: whole, unlike each other, and crystalline where they should be."""

from __future__ import annotations

import csv
import hashlib
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from analysis.order.bond_order import bond_order, order_settings
from analysis.order.crystallinity import equal_error_threshold
from analysis.pairs.closest import frame_geometry
from mlip.md.start import read_structure

FOLDER = Path(__file__).resolve().parents[2] / "md_runs" / "specimens"
KINDS = ("PS4", "P2S7", "P2S6", "P-chain")
GLASSES = ("glass_1", "glass_2", "glass_3")
NAMES = ("beta", *GLASSES, "slab", "nanograin", "background")
# Of the crystal that slab and nanograin are made of, at 300 K.
COMPOSITE_LATTICE_ANGSTROM = np.array([12.719, 7.981, 6.045])
CLOSEST_ANGSTROM = {
    ("Li", "Li"): 1.9,
    ("Li", "P"): 2.2,
    ("Li", "S"): 1.9,
    ("P", "P"): 1.9,
    ("P", "S"): 1.7,
    ("S", "S"): 1.8,
}


def file_of(name: str) -> Path:
    return FOLDER / ("glasses" if name in GLASSES else "") / f"{name}.extxyz.gz"


@cache
def specimen(name: str) -> Atoms:
    return read_structure(file_of(name))


@cache
def phosphorus_order(name: str) -> np.ndarray:
    atoms = specimen(name)
    where = atoms.symbols == "P"
    order, repeated = bond_order(atoms.positions[where], atoms.cell.array, order_settings())
    assert repeated < 1e-9
    return order


def threshold() -> float:
    """Between the phosphorus of the crystal and that of the glasses, all at 300 K."""
    glass = np.concatenate([phosphorus_order(name) for name in GLASSES])
    return equal_error_threshold(phosphorus_order("beta"), glass)


def table() -> dict[str, dict[str, str]]:
    with (FOLDER / "specimens.csv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def origin(name: str) -> np.ndarray:
    atoms = specimen(name)
    return atoms.arrays["origin"][atoms.symbols == "P"]


def test_every_specimen_has_the_checksum_that_is_written_down():
    written = dict(
        reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
    )
    assert set(written) == {str(file_of(name).relative_to(FOLDER)) for name in NAMES}
    for name, checksum in written.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == checksum, name


@pytest.mark.parametrize("name", NAMES)
def test_a_specimen_is_li3ps4_without_close_contacts_at_a_believable_density(name):
    atoms = specimen(name)
    numbers = {kind: int((atoms.symbols == kind).sum()) for kind in ("Li", "P", "S")}
    assert numbers["Li"] == 3 * numbers["P"]
    assert numbers["S"] == 4 * numbers["P"]
    shape = frame_geometry(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array)
    assert 1.6 < shape.density_g_cm3 < 2.1
    for (one, other), least in CLOSEST_ANGSTROM.items():
        found = shape.closest_angstrom.get(f"{one}-{other}", np.inf)
        assert found > least, f"{one}-{other}: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_the_table_tells_of_the_shipped_structure(name):
    atoms, row = specimen(name), table()[name]
    assert int(row["atoms"]) == len(atoms)
    shape = frame_geometry(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array)
    assert shape.density_g_cm3 == pytest.approx(float(row["mean_density_g_cm3"]), rel=1e-3)
    # The level of trust of phosphorus.
    assert float(row["p95_max_force_deviation_ev_per_angstrom"]) <= 0.15
    units = [float(row[f"anion_share_of_P_{kind}"] or 0) for kind in KINDS]
    assert sum(units) + float(row["anion_share_of_P_other"] or 0) == pytest.approx(1, abs=0.01)


def test_the_glasses_have_about_a_thousand_atoms_and_are_independent():
    for name in GLASSES:
        assert 900 <= len(specimen(name)) <= 1200
    assert len(specimen("background")) == 1920
    # No two were melted in a box of the same shape.
    shapes = [specimen(name).cell.lengths() / len(specimen(name)) ** (1 / 3) for name in GLASSES]
    for one, other in combinations(shapes, 2):
        assert np.abs(one / other - 1).max() > 0.05


def test_the_crystal_is_crystalline_and_the_glasses_are_not():
    level = threshold()
    assert (phosphorus_order("beta") > level).mean() > 0.97
    for name in (*GLASSES, "background"):
        assert (phosphorus_order(name) > level).mean() < 0.05


def bragg_intensity(name: str, phase: str) -> float:
    """Return the intensity that phosphorus has at the reflections of beta, as a share of beta's."""
    beta = specimen("beta")
    miller = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    wave = 2 * np.pi * miller / (beta.cell.lengths() / (2, 2, 4))
    length = np.linalg.norm(wave, axis=1)
    near = (length > 0.3) & (length < 3.0)
    miller, wave = miller[near], wave[near]
    expected = intensity(beta.positions[beta.symbols == "P"], wave)
    strong = expected > 0.3
    atoms = specimen(name)
    scaled = atoms.get_scaled_positions()[atoms.symbols == "P"][origin(name) == phase]
    # Whole across the boundaries: the reflections of a grain do not fit its cell.
    scaled -= np.round(scaled - scaled[0])
    lattice = 2 * np.pi * miller[strong] / COMPOSITE_LATTICE_ANGSTROM
    found = intensity(scaled @ atoms.cell.array, lattice)
    return float((found / expected[strong]).mean())


def intensity(positions: np.ndarray, wave: np.ndarray) -> np.ndarray:
    return np.abs(np.exp(1j * positions @ wave.T).mean(axis=0)) ** 2


def test_the_slab_has_two_phases_of_at_least_25_angstrom_and_only_one_is_crystalline():
    atoms, where = specimen("slab"), origin("slab")
    height = atoms.get_volume() / np.linalg.norm(np.cross(*atoms.cell.array[:2]))
    for phase in ("crystal", "glass"):
        assert (where == phase).mean() * height > 25.0
    phosphorus = atoms.symbols == "P"
    order, _ = bond_order(atoms.positions[phosphorus], atoms.cell.array, order_settings())
    # Of the glass 0.31, of free glasses none (README.md): it is told by the reflections alone.
    assert (order[where == "crystal"] > threshold()).mean() > 0.7
    # Forty-eight atoms at random would have 0.04.
    assert bragg_intensity("slab", "crystal") > 0.8
    assert bragg_intensity("slab", "glass") < 0.15


def test_the_grain_holds_a_sixth_of_the_atoms_and_is_the_crystalline_part():
    order, grain = phosphorus_order("nanograin"), origin("nanograin") == "crystal"
    assert 0.15 < grain.mean() < 0.25
    # Most of its units lie at its surface, with glass among their neighbours.
    assert order[grain].mean() > order[~grain].mean() + 0.2
    assert (order[~grain] > threshold()).mean() < 0.05
    assert bragg_intensity("nanograin", "crystal") > 0.5
    assert bragg_intensity("nanograin", "glass") < 0.05
