"""Random displacements that bring no two atoms too near."""

from __future__ import annotations

import ase
import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from mlip.errors import DataError
from mlip.execution.job import Progress
from mlip.execution.progress import reporter
from mlip.recipes.build import Rattle
from mlip.recipes.composite import Region
from mlip.structures.geometry import points_in_ball

BATCH = 32
BATCHES = 60


def rattled(
    atoms: ase.Atoms, rattle: Rattle, rng: np.random.Generator
) -> tuple[ase.Atoms, NDArray[np.bool_]]:
    """Displace atoms one after the other, in random order.

    A displacement is drawn evenly from a ball and drawn again while it brings the atom nearer
    to a neighbour, where that is by now, than the limit. This is the Monte Carlo rattle of
    Eriksson, Fransson and Erhart, Adv. Theory Simul. 2, 1800184 (2019), doi
    10.1002/adts.201800184, with one step an atom, a ball for the Gaussian and a sharp limit.

    Parameters
    ----------
    atoms : Atoms
    rattle : Rattle
        Amplitude, limit and region.
    rng : Generator

    Returns
    -------
    Atoms
        Not wrapped: the difference to `atoms` is the displacement.
    ndarray of bool, shape (N,)
        Which atoms were displaced.

    Raises
    ------
    DataError
        If an atom finds no place.
    """
    moving = in_region(atoms, rattle.region)
    amplitude = rattle.amplitude_angstrom
    radii = rattle.minimum_covalent_ratio * covalent_radii[atoms.numbers]
    first, second, apart, distance = neighbor_list(
        "ijDd", atoms, float(2.0 * radii.max() + 2.0 * amplitude)
    )
    limit = radii[first] + radii[second]
    # Pairs further apart cannot meet, and an atom's distance to its own image does not change.
    near = moving[first] & (first != second) & (distance < limit + 2.0 * amplitude)
    first, second, apart, limit = first[near], second[near], apart[near], limit[near]
    begin = np.searchsorted(first, np.arange(len(atoms) + 1))
    shifts = np.zeros((len(atoms), 3))
    order = rng.permutation(np.flatnonzero(moving))
    with reporter() as show:
        for done, atom in enumerate(order):
            pairs = slice(begin[atom], begin[atom + 1])
            # Vectors from where the atom was to where its neighbours are by now.
            neighbours = apart[pairs] + shifts[second[pairs]]
            shift = _allowed(neighbours, limit[pairs], amplitude, rng)
            if shift is None:
                raise DataError(
                    f"rattle: atom {atom + 1} ({atoms.symbols[atom]}) finds no place among its "
                    f"neighbours in {BATCH * BATCHES} draws. Lower amplitude_angstrom "
                    f"({amplitude:g}) or minimum_covalent_ratio "
                    f"({rattle.minimum_covalent_ratio:g}), or the density."
                )
            shifts[atom] = shift
            show("rattle", Progress(done + 1, len(order), "atom"))
    moved = atoms.copy()
    moved.positions = atoms.positions + shifts
    return moved, moving


def in_region(atoms: ase.Atoms, region: Region | None) -> NDArray[np.bool_]:
    """Return which atoms lie in a slab, shape (N,); all of them without one."""
    if region is None:
        return np.ones(len(atoms), dtype=bool)
    return within(atoms.get_scaled_positions(), region)


def within(scaled: NDArray[np.float64], region: Region) -> NDArray[np.bool_]:
    """Return which fractional coordinates, shape (N, 3), lie in a slab, shape (N,)."""
    along = scaled[:, "abc".index(region.axis)]
    # A coordinate of 1 - 1e-16 belongs at 0.
    along = np.round(along, 9) % 1.0
    return np.asarray((along >= region.low) & (along < region.high))


def _allowed(
    neighbours: NDArray[np.float64],
    limit: NDArray[np.float64],
    amplitude: float,
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    for _ in range(BATCHES):
        trials = amplitude * points_in_ball(BATCH, rng)
        distance = np.linalg.norm(neighbours - trials[:, None, :], axis=2)
        good = np.flatnonzero((distance >= limit).all(axis=1))
        if len(good):
            return trials[good[0]]
    return None
