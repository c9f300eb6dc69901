"""Ordered cells from partly occupied sites, ranked by their Ewald energy.

Point charges at ideal sites rank which arrangements of ions avoid each other; the energies are no
energies of formation. Method as in pymatgen's OrderDisorderedStructureTransformation (Ong et al.,
Comput. Mater. Sci. 68, 314 (2013), doi 10.1016/j.commatsci.2012.10.028), but sampled, so that
cells of hundreds of sites are possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ase
import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from mlip.errors import DataError
from mlip.recipes.ordering import Ordering
from mlip.structures.crystals import oxidation_states
from mlip.structures.geometry import TOO_NEAR, repeats_for
from mlip.structures.push import push_apart
from mlip.structures.sites import PartialSites, neutral_counts

# Sites of a default cell, and of the largest: the energy matrix then takes minutes.
SITES, LARGEST = 120, 4000
# Price of two atoms that are too near, eV: far above any Coulomb energy of an exchange.
OVERLAP = 1000.0
# Equivalent arrangements have one energy; round-off of the Ewald sums is far smaller, eV.
SAME_ENERGY = 1e-4


@dataclass(frozen=True)
class Ordered:
    """One ordering.

    Attributes
    ----------
    atoms : Atoms
        In the order of the sites.
    rank : int
        From the lowest energy, different orderings counted.
    energy_ev : float
        Ewald energy of the formal charges.
    lowest_energy_ev : float
        Of rank 0.
    different : int
        Different energies among the samples.
    moved : int
        Atoms of average sites too near to a full site, which were moved off.
    largest_move_angstrom : float
    filled : tuple of dict
        Share of the sites of each orbit that every element fills; only of partly filled orbits.
    """

    atoms: ase.Atoms
    rank: int
    energy_ev: float
    lowest_energy_ev: float
    different: int
    moved: int
    largest_move_angstrom: float
    filled: tuple[dict[str, float], ...]


def ordering_repeats(sites: PartialSites, ordering: Ordering) -> tuple[int, int, int]:
    """Return the repeats of the cell that is ordered as one."""
    cells = ase.Atoms(
        ["X"] * len(sites.scaled), scaled_positions=sites.scaled, cell=sites.cell, pbc=True
    )
    return ordering.supercell or repeats_for(cells, SITES)


def ordered(sites: PartialSites, ordering: Ordering, seed: int, name: str) -> Ordered:
    """Sample occupations of the sites and return the one of the rank asked for.

    Parameters
    ----------
    sites : PartialSites
        Of the conventional cell.
    ordering : Ordering
    seed : int
        Same seed, same ranking: the rank alone tells structures apart.
    name : str
        For errors.

    Raises
    ------
    InputError
        If an element has no oxidation state.
    DataError
        If the cell cannot be neutral, is too large, or has too few different orderings.
    """
    big = sites.repeated(ordering_repeats(sites, ordering))
    if len(big.scaled) > LARGEST:
        raise DataError(
            f"{name}: {len(big.scaled)} sites to be ordered as one, expected {LARGEST} or fewer. "
            "A smaller ordering.supercell, which `supercell` then repeats."
        )
    states = {**oxidation_states(), **ordering.oxidation_states}
    counts = neutral_counts(big, states, ordering.largest_deviation, name)
    problem = _problem(big, counts, states)
    rng = np.random.default_rng(seed)
    samples: list[tuple[float, NDArray[np.int64]]] = []
    for _ in range(ordering.draws):
        start = _draw(big, counts, rng)
        samples += [(problem.energy(start), start)]
        lowest = _descended(problem, start)
        samples += [(problem.energy(lowest), lowest)]
    samples = [sample for sample in samples if not problem.overlaps(sample[1])]
    samples.sort(key=lambda sample: sample[0])
    # On fixed sites another energy is another arrangement, whatever maps sites on each other.
    different = [
        sample
        for k, sample in enumerate(samples)
        if k == 0 or sample[0] - samples[k - 1][0] > SAME_ENERGY
    ]
    if len(different) <= ordering.index:
        raise DataError(
            f"{name}: {len(different)} different orderings of {len(big.scaled)} sites were found "
            f"in {ordering.draws} draws, expected {ordering.index + 1} for index {ordering.index}. "
            "A larger ordering.supercell or more draws."
        )
    energy, occupant = different[ordering.index]
    sizes = np.bincount(big.orbit, minlength=len(counts))
    filled = tuple(
        {element: count / int(size) for element, count in here.items()}
        for here, size in zip(counts, sizes, strict=True)
        if max(here.values()) < size
    )
    optional = problem.optional[occupant > 0]
    atoms, moved, furthest = _moved_off(_atoms(big, occupant), optional, name)
    return Ordered(
        atoms=atoms,
        rank=ordering.index,
        energy_ev=energy,
        lowest_energy_ev=different[0][0],
        different=len(different),
        moved=moved,
        largest_move_angstrom=furthest,
        filled=filled,
    )


@dataclass(frozen=True)
class _Problem:
    """Energies of occupations: the index of the occupant (0 empty) at each site.

    Attributes
    ----------
    charges : ndarray, shape (E + 1,)
        Of each occupant, e.
    coulomb : ndarray, shape (M, M)
        Ewald energy of unit charges, eV.
    optional : ndarray of bool, shape (M,)
        Sites of orbits that are not all filled.
    near : ndarray, shape (M, M)
        1 for two optional sites that cannot both be filled.
    pairs : ndarray of int, shape (2, P)
        Sites whose occupants may be exchanged.
    """

    charges: NDArray[np.float64]
    coulomb: NDArray[np.float64]
    optional: NDArray[np.bool_]
    near: NDArray[np.float64]
    pairs: NDArray[np.int64]

    def energy(self, occupant: NDArray[np.int64]) -> float:
        """Return the Ewald energy, eV."""
        q = self.charges[occupant]
        return float(q @ self.coulomb @ q)

    def overlaps(self, occupant: NDArray[np.int64]) -> bool:
        """Return whether two atoms are too near."""
        filled = (occupant > 0).astype(float)
        return bool(filled @ self.near @ filled > 0.0)


def _problem(
    sites: PartialSites, counts: list[dict[str, int]], states: Mapping[str, int]
) -> _Problem:
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import DummySpecies, Lattice, Structure

    unit = Structure(
        Lattice(sites.cell), [DummySpecies("X", 1.0)] * len(sites.scaled), sites.scaled
    )
    ewald = EwaldSummation(unit)
    distance = unit.distance_matrix
    radii = np.array(
        [min(covalent_radii[atomic_numbers[e]] for e in here) for here in sites.occupancy]
    )[sites.orbit]
    sizes = np.bincount(sites.orbit, minlength=len(counts))
    vacant = np.array([sum(here.values()) for here in counts]) < sizes
    # Atoms too near to a full site are moved off it later; two optional ones exclude each other.
    optional = vacant[sites.orbit]
    near = (distance < TOO_NEAR * (radii[:, None] + radii)) & optional[:, None] & optional
    np.fill_diagonal(near, False)
    pairs = []
    for orbit, here in enumerate(counts):
        if max(here.values()) < sizes[orbit]:
            rows = np.flatnonzero(sites.orbit == orbit)
            one, other = np.triu_indices(len(rows), 1)
            pairs.append(np.array([rows[one], rows[other]]))
    return _Problem(
        charges=np.array([0.0, *(states[element] for element in sites.elements)]),
        coulomb=np.asarray(ewald.total_energy_matrix),
        optional=optional,
        near=near.astype(float),
        pairs=np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), dtype=np.int64),
    )


def _draw(
    sites: PartialSites, counts: list[dict[str, int]], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return a random occupation."""
    elements = sites.elements
    occupant = np.zeros(len(sites.orbit), dtype=np.int64)
    for orbit, here in enumerate(counts):
        rows = rng.permutation(np.flatnonzero(sites.orbit == orbit))
        begin = 0
        for element, count in here.items():
            occupant[rows[begin : begin + count]] = elements.index(element) + 1
            begin += count
    return occupant


def _descended(problem: _Problem, start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Exchange the occupants that lower the energy most until none does."""
    occupant = start.copy()
    s, t = problem.pairs
    diagonal = problem.coulomb.diagonal()
    while s.size:
        q, filled = problem.charges[occupant], (occupant > 0).astype(float)
        field, crowd = problem.coulomb @ q, problem.near @ filled
        # Site s gains d, site t loses it.
        d, f = q[t] - q[s], filled[t] - filled[s]
        change = 2.0 * d * (field[s] - field[t])
        change += d**2 * (diagonal[s] + diagonal[t] - 2.0 * problem.coulomb[s, t])
        change += 2.0 * OVERLAP * (f * (crowd[s] - crowd[t]) - f**2 * problem.near[s, t])
        best = int(change.argmin())
        if change[best] > -1e-6:
            break
        occupant[[s[best], t[best]]] = occupant[[t[best], s[best]]]
    return occupant


def _atoms(sites: PartialSites, occupant: NDArray[np.int64]) -> ase.Atoms:
    filled = occupant > 0
    symbols = [sites.elements[index - 1] for index in occupant[filled].tolist()]
    return ase.Atoms(symbols, scaled_positions=sites.scaled[filled], cell=sites.cell, pbc=True)


def _moved_off(
    atoms: ase.Atoms, optional: NDArray[np.bool_], name: str
) -> tuple[ase.Atoms, int, float]:
    """Move atoms of optional sites out of overlap; return also how many and how far, Å.

    A site of an average structure may lie nearer to a neighbour than any atom can.
    """
    overlapping = _overlapping(atoms) & optional
    if not overlapping.any():
        return atoms, 0, 0.0
    pushed = push_apart(atoms, np.arange(len(atoms)), held=~overlapping)
    if pushed.shortest is not None:
        i, j, distance, contact = pushed.shortest
        raise DataError(
            f"{name}: atoms {i + 1} ({atoms.symbols[i]}) and {j + 1} ({atoms.symbols[j]}) of the "
            f"ordering stay {distance:.3f} Å apart; expected {contact:.3f} Å or more. Sites of "
            "the average structure overlap: another index or seed, or correct the CIF."
        )
    apart = atoms.copy()
    apart.positions = pushed.positions
    return apart, int(overlapping.sum()), pushed.largest_displacement_angstrom


def _overlapping(atoms: ase.Atoms) -> NDArray[np.bool_]:
    """Return the atoms too near to another, shape (N,)."""
    radii = covalent_radii[atoms.numbers]
    first, second, distance = neighbor_list("ijd", atoms, float(2.0 * TOO_NEAR * radii.max()))
    near = distance < TOO_NEAR * (radii[first] + radii[second])
    return np.isin(np.arange(len(atoms)), first[near])
