"""Exact speciation of crystals and of trajectories measured elsewhere; formal charges."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from toy_trajectories import make_trajectory

from analysis.anions.anion_rules import anion_rules
from analysis.anions.bonds import find_bonds
from analysis.anions.speciation import block_shares, speciation
from analysis.anions.units import bonding_atoms
from analysis.reading.foreign import open_foreign

REPOSITORY = Path(__file__).parents[2]
DATA = (REPOSITORY / os.environ.get("LIPS_MLIP_EXTERNAL_DATA", "../shared/data")).resolve()
RULES = anion_rules()


def data(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set LIPS_MLIP_EXTERNAL_DATA")
    return path


def deepmd_frames(name: str, *, every: int = 1, interval_ps: float = 1.0):
    """Frames of a DeePMD set, followed through the boundary."""
    folder = data(name)
    types = np.loadtxt(folder / "type.raw", dtype=int)
    cells = np.load(folder / "set.000" / "box.npy")[::every].reshape(-1, 3, 3)
    positions = np.load(folder / "set.000" / "coord.npy")[::every].astype(float)
    fractional = positions.reshape(len(cells), -1, 3) @ np.linalg.inv(cells)
    steps = np.diff(fractional, axis=0)
    fractional[1:] = fractional[0] + np.cumsum(steps - np.round(steps), axis=0)
    return make_trajectory(
        fractional @ cells,
        species=np.array(["Li", "P", "S"])[types].tolist(),
        cell=cells,
        frame_interval_ps=interval_ps,
    )


def one_frame(atoms):
    return make_trajectory(
        atoms.positions[None], species=atoms.get_chemical_symbols(), cell=atoms.cell.array
    )


def units_of(result) -> dict[str, int]:
    counts = dict(zip(result.names, result.tally.units[0, 0].astype(int).tolist(), strict=True))
    return {name: count for name, count in counts.items() if count}


def pairs_of(result) -> dict[str, int]:
    labels = [cutoff.pair for cutoff in result.cutoffs]
    return dict(zip(labels, result.bonds[0].tolist(), strict=True))


def bond_lengths(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the P-S and of the P-P bonds of a crystal."""
    atoms = read(data(f"crystals_lps/{name}.cif"))
    inside, kinds = bonding_atoms(atoms.get_chemical_symbols(), RULES)
    cutoffs = RULES.pair_matrix(RULES.cutoffs_angstrom, 0.0)
    bonds = find_bonds(kinds, atoms.positions[inside], atoms.cell.array, cutoffs)
    phosphorus = (kinds[bonds.i] == 0).astype(int) + (kinds[bonds.j] == 0)
    return bonds.length_angstrom[phosphorus == 1], bonds.length_angstrom[phosphorus == 2]


# Units; S that is free, terminal, bridging; P-P bonds. From the ground truths of the project.
CIFS = {
    "beta-Li3PS4_lips20-frame0": ({"PS4": 4}, [0, 16, 0], 0),
    "gamma-Li3PS4_lips20-frame0": ({"PS4": 2}, [0, 8, 0], 0),
    "Li3PS4_Pnma_ordered_32atoms": ({"PS4": 4}, [0, 16, 0], 0),
    "Li7P3S11_lips20-frame0": ({"PS4": 2, "P2S7": 2}, [0, 20, 2], 0),
    "Li7P3S11_ordered_P-1": ({"PS4": 2, "P2S7": 2}, [0, 20, 2], 0),
    "Li4P2S6_lips20-frame0": ({"P2S6": 1}, [0, 6, 0], 1),
    "Li2P2S6_lips20-frame0": ({"P2S6_edge": 2}, [0, 8, 4], 0),
    "Li7PS6_lips20-frame0": ({"PS4": 4, "S": 8}, [8, 16, 0], 0),
    "P2S5_lips20-frame0": ({"other": 2}, [0, 8, 12], 0),
}


@pytest.mark.parametrize("name", CIFS)
def test_crystals_hold_the_anions_of_the_ground_truths(name):
    units, classes, pp_bonds = CIFS[name]
    result = speciation(one_frame(read(data(f"crystals_lps/{name}.cif"))))
    assert units_of(result) == units
    assert result.ligands[0, 0, 0].tolist() == [*classes, 0]
    assert pairs_of(result) | {"P-S": 0} == {"P-S": 0, "P-P": pp_bonds, "S-S": 0}
    assert result.charge_e[0] == pytest.approx(0, abs=1e-12)
    for shifted in result.shifted:
        assert (shifted.units[0, 0] == result.tally.units[0, 0]).all()


@pytest.mark.parametrize(
    "name",
    ["beta-Li3PS4_lips20-frame0", "gamma-Li3PS4_lips20-frame0", "Li3PS4_Pnma_ordered_32atoms"],
)
def test_bonds_of_lone_tetrahedra_are_1_98_to_2_10_angstrom(name):
    lengths, pp = bond_lengths(name)
    assert len(lengths) in (8, 16)
    assert not len(pp)
    assert 1.98 <= lengths.min() <= lengths.max() <= 2.10


def test_the_phosphorus_bond_of_hypodiphosphate_is_2_175_angstrom():
    ps, pp = bond_lengths("Li4P2S6_lips20-frame0")
    assert len(ps) == 6, "each of two P has three S"
    assert pp == pytest.approx([2.175], abs=5e-4)


def test_lithium_sulfide_holds_free_sulphur_alone():
    result = speciation(one_frame(read(data("crystals_lps/Li2S_lips20-frame0.cif"))))
    assert list(units_of(result)) == ["S"]
    assert (block_shares(result, "S")[0] == (np.array(result.names) == "S")).all()
    assert result.charge_e[0] == 0
    assert np.isnan(block_shares(result, "P")[0]).all(), "there is no P to share out"


def test_the_molecule_of_phosphorus_sulfide_is_told_by_its_formula():
    result = speciation(one_frame(read(data("crystals_lps/P2S5_lips20-frame0.cif"))))
    assert result.formulas == {"other P4S10": 2.0}


def test_percentages_of_units_and_of_atoms_differ():
    # 2 PS4 and 2 P2S7 among 6 P and 22 S.
    result = speciation(one_frame(read(data("crystals_lps/Li7P3S11_lips20-frame0.cif"))))
    shares = {
        of: dict(zip(result.names, block_shares(result, of)[0], strict=True))
        for of in ("units", "named_units", "P", "S")
    }
    assert shares["units"]["PS4"] == shares["named_units"]["PS4"] == 0.5
    assert shares["P"]["PS4"] == pytest.approx(1 / 3, rel=1e-12)
    assert shares["S"]["PS4"] == pytest.approx(8 / 22, rel=1e-12)


def test_bonds_that_flicker_in_a_hot_crystal_count_if_they_last():
    # Time-ordered frames of a crystal far above its melting point that keeps its anions.
    trajectory = deepmd_frames("lips20_dft/Li4P2S6", every=2, interval_ps=0.005)
    result = speciation(trajectory)
    n = result.names.index("P2S6")
    assert (result.tally.units[:, 0, n] == 8).all()
    single = block_shares(result, "P", tally=result.single)[0][n]
    assert 0.9 < single < 0.99
    assert "0.5 ps" in result.window.note
    assert (result.charge_e == 0).all()


def test_a_sulphur_poor_glass_is_neutral_by_its_phosphorus_bonds():
    result = speciation(deepmd_frames("lips_glass_dpgen/g67", every=10))
    assert result.element_charge_e == 6
    assert "more than the 0.5 ps" in result.window.note
    pp = [cutoff.pair for cutoff in result.cutoffs].index("P-P")
    assert result.bonds[:, pp].mean() == pytest.approx(3, abs=0.15)
    assert result.charge_e.mean() == pytest.approx(0, abs=0.4)
    assert (result.tally.atoms[:, 0].sum(axis=1) == [40, 138]).all()


def test_an_argyrodite_keeps_its_anions_through_a_trajectory():
    path = data("argyrodite_aimd_xdatcar/Li6PS5Cl_50p_run1_XDATCAR.gz")
    trajectory = open_foreign(path, frame_interval_fs=100.0, temperature_kelvin=500.0)
    result = speciation(trajectory, stride=10)
    assert len(result.frames) == 13
    units = dict(zip(result.names, result.tally.units[:, 0].T.astype(int), strict=True))
    assert (units["PS4"] == 32).all()
    assert (units["S"] == 32).all()
    assert (result.charge_e == 0).all()
