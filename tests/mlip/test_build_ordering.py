"""Partly occupied crystals, orientation, supercells by width."""

from __future__ import annotations

from pathlib import Path

import ase
import numpy as np
import pytest
from build_recipes import built, counts, crystal

from mlip.errors import DataError, InputError, RecipeError
from mlip.recipes.ordering import Ordering
from mlip.structures.cif import read_partial_cif
from mlip.structures.crystals import find_crystal, partial_sites
from mlip.structures.orderings import ordered
from mlip.structures.orientation import plane_axes, with_axes
from mlip.structures.sites import neutral_counts, sites_of

REPOSITORY = Path(__file__).parents[2]
CIF = REPOSITORY.parent / "shared" / "data" / "crystals_lps" / "beta-Li3PS4_obelix-nhq.noisy.cif"
STATES = {"Li": 1, "P": 5, "S": -2}


def ewald_energy(atoms: ase.Atoms) -> float:
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Species, Structure

    ions = [Species(symbol, STATES[symbol]) for symbol in atoms.get_chemical_symbols()]
    lattice = Lattice(atoms.cell.array)
    return EwaldSummation(Structure(lattice, ions, atoms.get_scaled_positions())).total_energy


def test_the_lowest_ordering_of_a_row_alternates_and_its_energy_is_the_ewald_sum():
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Species, Structure

    # Six sites in a row along c, half of them Li; between the rows three Cl.
    z = (np.arange(6) + 0.5) / 6
    li = np.stack([np.zeros(6), np.zeros(6), z], axis=1)
    cl = np.stack([np.full(3, 0.5), np.full(3, 0.5), (np.arange(3) + 0.25) / 3], axis=1)
    sites = sites_of(
        np.diag([7.0, 7.0, 18.0]),
        np.concatenate([li, cl]),
        [0] * 6 + [1] * 3,
        [{"Li": 0.5}, {"Cl": 1.0}],
        "row",
    )
    ordering = Ordering(supercell=(1, 1, 1), draws=50, oxidation_states={"Cl": -1})
    found = ordered(sites, ordering, 1, "row")
    z = np.sort(found.atoms.get_scaled_positions()[found.atoms.symbols == "Li"][:, 2])
    np.testing.assert_allclose(np.diff(z), 1 / 3, atol=1e-9)
    states = {"Li": 1, "Cl": -1}
    ions = [Species(symbol, states[symbol]) for symbol in found.atoms.get_chemical_symbols()]
    structure = Structure(Lattice(sites.cell), ions, found.atoms.get_scaled_positions())
    assert found.energy_ev == pytest.approx(EwaldSummation(structure).total_energy, abs=1e-6)


def test_sampling_finds_every_ordering_of_a_cell_small_enough_to_list():
    from itertools import combinations

    sites = partial_sites(find_crystal("beta-Li3PS4"))
    found = ordered(sites, Ordering(supercell=(1, 1, 1), draws=100), 3, "beta")
    # Three of four 4b sites and one of four 4c sites: list all 16 with an independent Ewald sum.
    rows = {o: np.flatnonzero(sites.orbit == o) for o in range(len(sites.occupancy))}
    full = [r for o, here in rows.items() if o not in (1, 2) for r in here]
    symbols = [next(iter(sites.occupancy[o])) for o in sites.orbit]
    energies = []
    for b in combinations(rows[1], 3):
        for c in combinations(rows[2], 1):
            chosen = [*full, *b, *c]
            atoms = ase.Atoms(
                [symbols[k] for k in chosen],
                scaled_positions=sites.scaled[chosen],
                cell=sites.cell,
                pbc=True,
            )
            energies.append(ewald_energy(atoms))
    different = np.unique(np.round(energies, 3))
    assert found.different == len(different)
    assert found.energy_ev == pytest.approx(min(energies), abs=1e-6)


@pytest.mark.parametrize("start", ["shipped", "cif"])
def test_three_lithium_orderings_of_beta_differ_and_are_neutral(tmp_path, start):
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor

    if start == "cif" and not CIF.is_file():
        pytest.skip(f"{CIF}: not here")
    given = {"crystal": "beta-Li3PS4"} if start == "shipped" else {"cif": str(CIF)}
    energies, cells = [], []
    for index in range(3):
        ordering = {"index": index, "supercell": [1, 2, 1], "draws": 50}
        manifest, atoms = built(tmp_path, f"out{index}", ordering=ordering, **given)
        summary = manifest.summary
        assert summary["formula"] == "Li3PS4"
        assert summary["formal_charge_e"] == 0
        assert summary["anions"] == {"PS4": 8}
        assert summary["closest_Li-S_angstrom"] > 2.1
        assert summary["closest_Li-Li_angstrom"] >= 2.0
        assert summary["seed"] == 1
        energies.append(summary["ordering"]["ewald_energy_ev"])
        cells.append(AseAtomsAdaptor.get_structure(atoms))
    assert energies == sorted(energies)
    match = StructureMatcher(scale=False, primitive_cell=False)
    assert not any(match.fit(cells[i], cells[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_lithium_of_an_average_site_too_near_to_sulphur_moves_off_and_nothing_else_moves(tmp_path):
    ordering = {"supercell": [1, 1, 1], "draws": 20}
    manifest, atoms = built(tmp_path, crystal="beta-Li3PS4", ordering=ordering)
    said = manifest.summary["ordering"]
    assert said["atoms_moved_off"] == 1
    plain = crystal("beta-Li3PS4")
    frame = [s != "Li" for s in atoms.get_chemical_symbols()]
    still = [s != "Li" for s in plain.get_chemical_symbols()]
    np.testing.assert_allclose(atoms.positions[frame], plain.positions[still], atol=1e-6)
    assert 0.5 < said["largest_move_angstrom"] < 1.5


def test_the_same_seed_gives_the_same_ordering(tmp_path):
    ordering = {"index": 4, "draws": 10, "supercell": [1, 2, 1]}
    one, other = (
        built(tmp_path, n, crystal="beta-Li3PS4", ordering=ordering, seed=5)[1] for n in "xy"
    )
    np.testing.assert_array_equal(one.positions, other.positions)


def test_occupancies_are_rounded_to_neutral_whole_numbers():
    sites = partial_sites(find_crystal("beta-Li3PS4"))
    for cells, b, c in ((1, 3, 1), (2, 6, 2), (5, 14, 6), (10, 28, 12)):
        found = neutral_counts(sites.repeated((cells, 1, 1)), STATES, 0.1, "beta")
        assert (found[1]["Li"], found[2]["Li"]) == (b, c)
        assert found[0]["Li"] == 8 * cells
    with pytest.raises(DataError, match=r"expected within 0\.02"):
        neutral_counts(sites, STATES, 0.02, "beta")
    with pytest.raises(InputError, match="no oxidation state is known of Li"):
        neutral_counts(sites, {"P": 5, "S": -2}, 0.1, "beta")
    alone = sites_of(np.eye(3) * 9, np.zeros((1, 3)), [0], [{"Li": 0.5}], "lone")
    with pytest.raises(DataError, match=r"filled|fills 0 of 1"):
        neutral_counts(alone, STATES, 0.1, "lone")


def test_mixed_sites_of_a_cif_keep_both_elements(tmp_path):
    (tmp_path / "mixed.cif").write_text(
        "data_mixed\n_cell_length_a 8\n_cell_length_b 8\n_cell_length_c 8\n"
        "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
        "_space_group_name_H-M_alt 'P 1'\nloop_\n_atom_site_type_symbol\n_atom_site_label\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        "Na Na1 0.0 0.0 0.0 0.5\nLi Li1 0.0 0.0 0.0 0.5\nCl Cl1 0.5 0.5 0.5 1.0\n"
    )
    sites = read_partial_cif(tmp_path / "mixed.cif")
    assert sites.occupancy[0] == {"Na": 0.5, "Li": 0.5}
    states = {"Na": 1, "Cl": -1}
    ordering = Ordering(supercell=(2, 1, 1), draws=5, oxidation_states=states)
    found = ordered(sites, ordering, 1, "mixed")
    assert counts(found.atoms) == {"Na": 1, "Li": 1, "Cl": 2}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"crystal": "Li2S", "ordering": {}}, InputError, "nothing to order"),
        (
            {"crystal": "beta-Li3PS4", "ordering": {"index": 50, "supercell": [1, 1, 1]}},
            DataError,
            "2 different orderings .* expected 51",
        ),
        ({"packing": {}, "ordering": {}}, RecipeError, "packing"),
        ({"crystal": "Li2S", "supercell": [1, 1, 1], "minimum_atoms": 9}, RecipeError, "one size"),
        ({"crystal": "Li2S", "orientation": {"axes": ["a", "a", "b"]}}, RecipeError, "twice"),
        ({"crystal": "Li2S", "orientation": {}}, RecipeError, "one of axes"),
    ],
)
def test_orderings_and_sizes_that_cannot_be_are_refused(tmp_path, content, error, message):
    with pytest.raises(error, match=message):
        built(tmp_path, **content)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["Li2S", "beta-Li3PS4", "Li7P3S11"])
@pytest.mark.parametrize("normal", [(0, 0, 1), (1, 0, 0), (1, 1, 0), (2, -1, 3), (0, 2, 0)])
def test_the_plane_asked_for_becomes_the_one_of_a_and_b(name, normal):
    atoms = crystal(name)
    matrix = plane_axes(atoms.cell.array, normal)
    assert round(np.linalg.det(matrix)) == 1 or round(np.linalg.det(matrix)) == -1
    reduced = np.array(normal) // np.gcd.reduce(normal)
    np.testing.assert_array_equal(matrix @ reduced, [0, 0, 1])
    turned = with_axes(atoms, matrix)
    assert turned.cell.volume == pytest.approx(atoms.cell.volume)
    assert np.linalg.det(turned.cell.array) > 0
    # The normal of a and b is the reciprocal vector h, and the spacing of planes is 1 / |h|.
    across = np.cross(turned.cell.array[0], turned.cell.array[1])
    h = reduced @ np.asarray(atoms.cell.reciprocal())
    np.testing.assert_allclose(np.cross(across, h), 0.0, atol=1e-9 * np.linalg.norm(across))
    height = atoms.cell.volume / np.linalg.norm(across)
    assert height == pytest.approx(1.0 / np.linalg.norm(h))


def test_oriented_cells_hold_the_same_crystal(tmp_path):
    plain = built(tmp_path, "plain", crystal="beta-Li3PS4", supercell=[2, 2, 2])[1]
    lengths = plain.cell.lengths()
    for n, axes in enumerate((["b", "c", "a"], ["a", "c", "b"])):
        _, atoms = built(
            tmp_path,
            f"out{n}",
            crystal="beta-Li3PS4",
            supercell=[2, 2, 2],
            orientation={"axes": axes},
        )
        np.testing.assert_allclose(atoms.cell.lengths(), lengths[["abc".index(x) for x in axes]])
        spectra = [np.sort(a.get_all_distances(mic=True).ravel()) for a in (plain, atoms)]
        np.testing.assert_allclose(*spectra, atol=1e-6)


def test_widths_are_reached_and_one_repeat_less_would_not_do(tmp_path):
    _, atoms = built(tmp_path, "x", crystal="Li7P3S11", minimum_widths_angstrom=25.0)
    one = crystal("Li7P3S11")
    widths = [1.0 / np.linalg.norm(np.asarray(a.cell.reciprocal()), axis=1) for a in (atoms, one)]
    assert (widths[0] >= 25.0).all()
    assert (widths[0] - widths[1] < 25.0).all()
    _, atoms = built(tmp_path, "y", crystal="Li2S", minimum_widths_angstrom=[5.72, 11.0, 12.0])
    np.testing.assert_allclose(atoms.cell.lengths(), [5.72, 11.44, 17.16])
