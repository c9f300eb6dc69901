"""Sites with occupancies, and how many atoms of each element a cell puts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.errors import DataError, InputError

FULL_OCCUPANCY = 0.999
# Two choices (rounded down or up) for each partial occupancy: 2^16 are looked through.
LARGEST_NUMBER_OF_PARTIALS = 16


@dataclass(frozen=True)
class PartialSites:
    """Sites of a cell.

    Attributes
    ----------
    cell : ndarray, shape (3, 3)
        Vectors in rows, Å.
    scaled : ndarray, shape (M, 3)
        Fractional coordinates.
    orbit : ndarray of int, shape (M,)
        Which orbit each site belongs to: equal sites.
    occupancy : tuple of dict
        Share of the sites of each orbit by element; what is left is empty.
    """

    cell: NDArray[np.float64]
    scaled: NDArray[np.float64]
    orbit: NDArray[np.int64]
    occupancy: tuple[dict[str, float], ...]

    @property
    def elements(self) -> list[str]:
        """All elements, sorted."""
        return sorted({element for here in self.occupancy for element in here})

    def repeated(self, repeats: tuple[int, int, int]) -> PartialSites:
        """Return the sites of a supercell, cell by cell."""
        cells = ase.Atoms(
            ["X"] * len(self.scaled), scaled_positions=self.scaled, cell=self.cell, pbc=True
        )
        big = cells.repeat(repeats)
        orbit = np.tile(self.orbit, int(np.prod(repeats)))
        return PartialSites(big.cell.array, big.get_scaled_positions(), orbit, self.occupancy)


def sites_of(
    cell: NDArray[np.float64],
    scaled: NDArray[np.float64],
    orbit: Sequence[int],
    occupancy: Sequence[dict[str, float]],
    name: str,
) -> PartialSites:
    """Return sites after checking that no site is more than full.

    Raises
    ------
    DataError
        If the occupancies of a site sum to more than 1, or one is not above 0.
    """
    for here in occupancy:
        if sum(here.values()) > 2.0 - FULL_OCCUPANCY or min(here.values()) <= 0.0:
            found = ", ".join(f"{element} {share:g}" for element, share in here.items())
            raise DataError(
                f"{name}: occupancies of a site are {found}; expected numbers above 0 that sum to "
                "1 or less."
            )
    return PartialSites(
        np.asarray(cell, dtype=float),
        np.asarray(scaled, dtype=float),
        np.asarray(orbit, dtype=np.int64),
        tuple(dict(here) for here in occupancy),
    )


def neutral_counts(
    sites: PartialSites, states: Mapping[str, int], largest_deviation: float, name: str
) -> list[dict[str, int]]:
    """Return how many atoms of each element the sites of each orbit hold.

    Each product of occupancy and sites is rounded down or up, so that the cell is neutral and
    the squares of the deviations from the occupancies sum to the least.

    Parameters
    ----------
    sites : PartialSites
    states : mapping of str to int
        Oxidation state by element.
    largest_deviation : float
        Of a share from its occupancy.
    name : str
        For errors.

    Raises
    ------
    InputError
        If an element has no oxidation state.
    DataError
        If no such numbers are neutral, or they deviate too far.
    """
    if unknown := [element for element in sites.elements if element not in states]:
        raise InputError(
            f"{name}: no oxidation state is known of {', '.join(unknown)}. Give "
            "ordering.oxidation_states, for example {Ge: 4}."
        )
    sizes = np.bincount(sites.orbit, minlength=len(sites.occupancy)).tolist()
    keys = [(orbit, e) for orbit, here in enumerate(sites.occupancy) for e in here]
    ideal = np.array([sites.occupancy[orbit][e] * sizes[orbit] for orbit, e in keys])
    ideal = np.where(np.abs(ideal - np.rint(ideal)) < 1e-3 * ideal, np.rint(ideal), ideal)
    partial = np.flatnonzero(ideal % 1.0)
    if len(partial) > LARGEST_NUMBER_OF_PARTIALS:
        raise DataError(
            f"{name}: {len(partial)} occupancies have to be rounded, expected "
            f"{LARGEST_NUMBER_OF_PARTIALS} or fewer. Choose an ordering.supercell that makes more "
            "of them whole numbers."
        )
    best, least = None, np.inf
    charges = np.array([states[e] for _, e in keys])
    share = np.array([sizes[orbit] for orbit, _ in keys])
    for ups in product((0, 1), repeat=len(partial)):
        counts = np.floor(ideal)
        counts[partial] += ups
        filled = np.bincount([orbit for orbit, _ in keys], weights=counts)
        if charges @ counts != 0 or (filled > sizes).any():
            continue
        deviation = float((((counts - ideal) / share) ** 2).sum())
        if deviation < least - 1e-12:
            best, least = counts, deviation
    if best is None:
        charge = float(charges @ ideal)
        raise DataError(
            f"{name}: no numbers of atoms near the occupancies are neutral in {sum(sizes)} sites "
            f"(unrounded the charge is {charge:+.2f} e). Another ordering.supercell, or check "
            "the oxidation states."
        )
    off = np.abs(best - ideal) / share
    if off.max() > largest_deviation:
        orbit, element = keys[int(off.argmax())]
        raise DataError(
            f"{name}: {element} fills {best[off.argmax()]:g} of {sizes[orbit]} sites of occupancy "
            f"{sites.occupancy[orbit][element]:g}; expected within {largest_deviation:g} "
            "(largest_deviation). A larger ordering.supercell comes nearer."
        )
    result: list[dict[str, int]] = [{} for _ in sizes]
    for (orbit, element), count in zip(keys, best.astype(int).tolist(), strict=True):
        result[orbit][element] = count
    return result
