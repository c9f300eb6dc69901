"""Voids of a structure: the places farthest from every atom."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import ase
import numpy as np
from ase.data import covalent_radii
from ase.geometry import get_distances, wrap_positions
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mlip.structures.geometry import TOO_NEAR, points_in_ball, widths

TRIALS = 2000
# Random points of 2000 in a cell of 10 nm^3 are 1 to 2 Å apart; halved eight times: 0.01 Å.
REFINEMENT_ANGSTROM = 1.0
REFINEMENTS = 8
REFINEMENT_TRIALS = 200
# Farther neighbours are not looked for: voids of solids are smaller.
MARGIN = 6.0
NEIGHBOURS = 12


@dataclass(frozen=True)
class Void:
    """A void.

    Attributes
    ----------
    position : ndarray, shape (3,)
        In the cell, Å.
    clearance : float
        Distance to the nearest atom, Å.
    """

    position: NDArray[np.float64]
    clearance: float


def find_void(
    atoms: ase.Atoms,
    avoided: NDArray[np.float64],
    away_angstrom: float,
    number: int,
    rng: np.random.Generator,
) -> Void | None:
    """Return the widest void among random places, refined by ever smaller random steps.

    Parameters
    ----------
    atoms : Atoms
        Periodic.
    avoided : ndarray, shape (M, 3)
        Sites to stay away from, Å.
    away_angstrom : float
        How far, counting their periodic images.
    number : int
        Atomic number of what is to go there: no atom may be nearer than 0.7 times the sum of
        the covalent radii.
    rng : Generator

    Returns
    -------
    Void or None
        None if there is no place.
    """
    tree, owner = _with_images(atoms)

    def widest(points: NDArray[np.float64]) -> Void | None:
        _, away = get_distances(points, avoided, cell=atoms.cell, pbc=True)
        allowed = away.min(axis=1) >= away_angstrom
        if not allowed.any():
            return None
        clearance = np.where(allowed, tree.query(points)[0], -np.inf)
        k = int(clearance.argmax())
        return Void(points[k], float(clearance[k]))

    best = widest(rng.random((TRIALS, 3)) @ atoms.cell.array)
    if best is None:
        return None
    for k in range(REFINEMENTS):
        steps = REFINEMENT_ANGSTROM / 2**k * points_in_ball(REFINEMENT_TRIALS, rng)
        better = widest(best.position + steps)
        if better is not None and better.clearance > best.clearance:
            best = better
    distance, row = tree.query(best.position, k=min(NEIGHBOURS, tree.n))
    sums = covalent_radii[number] + covalent_radii[atoms.numbers[owner[row]]]
    if (np.atleast_1d(distance) < TOO_NEAR * sums).any():
        return None
    return Void(wrap_positions(best.position[None], atoms.cell)[0], best.clearance)


def _with_images(atoms: ase.Atoms) -> tuple[cKDTree, NDArray[np.int64]]:
    """Return a tree of the atoms and their images around the cell, and the row of each."""
    # A refined place may lie outside of the cell by the sum of the steps.
    fraction = (MARGIN + 2.0 * REFINEMENT_ANGSTROM) / widths(atoms)
    scaled = atoms.get_scaled_positions(wrap=True)
    images, owners = [], []
    for shift in product(*(range(-reach, reach + 1) for reach in np.ceil(fraction).astype(int))):
        moved = scaled + np.array(shift)
        near = ((moved >= -fraction) & (moved <= 1.0 + fraction)).all(axis=1)
        images.append(moved[near] @ atoms.cell.array)
        owners.append(np.flatnonzero(near))
    return cKDTree(np.concatenate(images)), np.concatenate(owners)
