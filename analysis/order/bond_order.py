"""Order of atoms from the directions of their bonds: as in the neighbours, or on average."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from analysis.constants import FloatArray, IntArray
from analysis.errors import AnalysisError, RangeError
from analysis.order.tessellation import lower_triangular
from analysis.pairs.neighbours import neighbour_pairs, neighbour_search
from analysis.trajectory import Trajectory

Measure = Literal["coherence", "averaged"]
SETTINGS_FILE = Path(__file__).with_name("order_settings.yml")
MAX_DEGREE = 20
# The first search sphere holds this many times the neighbours wanted at the mean density.
SEARCH_FACTOR = 2.0


@dataclass(frozen=True)
class OrderSettings:
    """What the order of an atom is computed from.

    Attributes
    ----------
    species : tuple of str
        Atoms that have an order, and that count as neighbours.
    degree : int
        Of the spherical harmonics, l.
    neighbours : int
        Nearest ones that count, whatever their distance.
    measure : {"coherence", "averaged"}
        See `bond_order`.
    """

    species: tuple[str, ...]
    degree: int = 6
    neighbours: int = 12
    measure: Measure = "coherence"

    def __post_init__(self) -> None:
        if self.measure not in get_args(Measure):
            expected = ", ".join(get_args(Measure))
            raise AnalysisError(f"measure {self.measure!r}: expected one of {expected}")
        if not self.species or not 1 <= self.degree <= MAX_DEGREE or self.neighbours < 2:
            raise RangeError(
                f"found {self}; expected at least one species, a degree of 1 to {MAX_DEGREE} and "
                "at least 2 neighbours"
            )

    def __str__(self) -> str:
        """Say in words what the order is of."""
        kinds = "+".join(self.species)
        what = {"coherence": "bond coherence", "averaged": "averaged bond order"}[self.measure]
        return f"{what}, degree {self.degree}, {self.neighbours} nearest {kinds}"

    def ids(self, trajectory: Trajectory) -> IntArray:
        """Return the rows of the atoms that have an order.

        Raises
        ------
        AnalysisError
            If a species is not there.
        """
        return np.sort(np.concatenate([trajectory.ids_of(kind) for kind in self.species]))


@cache
def order_settings() -> OrderSettings:
    """Read the settings of ``order_settings.yml``."""
    from ruamel.yaml import YAML

    table = YAML(typ="safe", pure=True).load(SETTINGS_FILE.read_text(encoding="utf-8"))
    return OrderSettings(
        tuple(table["species"]["value"]),
        int(table["degree"]["value"]),
        int(table["neighbours"]["value"]),
        table["measure"]["value"],
    )


def bond_order(
    positions: FloatArray, cell: FloatArray, settings: OrderSettings
) -> tuple[FloatArray, float]:
    """Return the order of atoms.

    Parameters
    ----------
    positions : (n, 3) float array
        Of the atoms of `settings.species` alone, Angstrom; need not be wrapped.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom; triclinic, in any orientation.
    settings : OrderSettings
        Its species do not count here.

    Returns
    -------
    order : (n,) float array
        Coherence: 1 where all neighbours have the same surroundings, about 0 where they have
        nothing in common, -1 at least. Averaged: 0 to 1, in a crystal of one kind of site the
        q_l of the site. Both are the same in any orientation.
    repeated : float
        Share of neighbours that are a further image of another neighbour, or of the atom itself.
        Where it is not 0 the cell is so small that its repetition passes for order.

    Raises
    ------
    AnalysisError
        If there is no atom, or two lie in one place.

    Notes
    -----
    By freud. q_lm of an atom is the mean of the spherical harmonics of the directions to its
    neighbours. Coherence is the mean over neighbours of the scalar product of the normalised
    vectors q_l of both atoms: P. R. ten Wolde, M. J. Ruiz-Montero and D. Frenkel, J. Chem. Phys.
    104, 9932 (1996), doi 10.1063/1.471721, whose solid bonds are products above a threshold.
    Averaged is sqrt(4 pi/(2l + 1) sum_m |q_lm|^2) of q_lm averaged over the atom and its
    neighbours: W. Lechner and C. Dellago, J. Chem. Phys. 129, 114707 (2008),
    doi 10.1063/1.2977970, eqs. 5 and 6.
    """
    import freud

    if not len(positions):
        raise AnalysisError("no atom to compute the order of; name species that are there")
    lower = lower_triangular(cell)
    fractions = positions @ np.linalg.inv(cell)
    fractions -= np.floor(fractions)
    places = fractions @ lower
    number = len(places)
    i, j, vectors = nearest_neighbours(places, lower, settings.neighbours)
    pairs = np.unique(i[i != j] * number + j[i != j])
    repeated = 1.0 - len(pairs) / len(i)
    # freud folds bonds into the box, which must hold the longest one in any direction.
    widths = 1.0 / np.linalg.norm(np.linalg.inv(lower), axis=0)
    images = np.ceil(2.001 * np.linalg.norm(vectors, axis=1).max() / widths).astype(np.int64)
    if images.max() > 1:
        shifts = np.indices(images).reshape(3, -1).T @ lower
        places = (shifts[:, None] + places).reshape(-1, 3)
        lower = images[:, None] * lower
        i, j, vectors = nearest_neighbours(places, lower, settings.neighbours)
    bonds = freud.locality.NeighborList.from_arrays(len(places), len(places), i, j, vectors)
    box = freud.box.Box.from_matrix(lower.T)
    system = (box, box.wrap(places))
    if settings.measure == "averaged":
        steinhardt = freud.order.Steinhardt(l=settings.degree, average=True)
        found = steinhardt.compute(system, neighbors=bonds).particle_order
    else:
        solid = freud.order.SolidLiquid(l=settings.degree, q_threshold=0.0, solid_threshold=0)
        products = solid.compute(system, neighbors=bonds).ql_ij
        found = products.reshape(-1, settings.neighbours).mean(axis=1)
    return np.asarray(found, dtype=float).ravel()[:number], repeated


def nearest_neighbours(
    positions: FloatArray, cell: FloatArray, count: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the nearest neighbours of every atom, images of atoms among them.

    Parameters
    ----------
    positions : (n, 3) float array
        Wrapped, Angstrom.
    cell : (3, 3) float array
        Cell vectors in rows, Angstrom.
    count : int

    Returns
    -------
    i, j : (n * count,) int arrays
        Atom and neighbour, sorted by atom and then by distance.
    vectors : (n * count, 3) float array
        From atom to neighbour, Angstrom.

    Raises
    ------
    AnalysisError
        If two atoms lie in one place.
    """
    number, volume = len(positions), abs(float(np.linalg.det(cell)))
    cutoff = (SEARCH_FACTOR * (count + 1) * volume / number * 3.0 / (4.0 * np.pi)) ** (1 / 3)
    while True:
        search = neighbour_search(cutoff, both_ways=True)
        i, j, distances, vectors = neighbour_pairs(search, positions, cell, "ijdD")
        around = np.bincount(i, minlength=number)
        if around.min() >= count:
            break
        cutoff *= 1.25
    if not distances.min() > 0:
        raise AnalysisError("two atoms lie in one place; remove one of them")
    order = np.lexsort((distances, i))
    first = np.concatenate([[0], np.cumsum(around)[:-1]])
    chosen = order[(first[:, None] + np.arange(count)).ravel()]
    return i[chosen], j[chosen], vectors[chosen]
