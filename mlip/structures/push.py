"""Soft push-off: atoms that are too near move apart, their rigid bodies with them."""

from __future__ import annotations

from dataclasses import dataclass

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.structures.units import contact_radius

STEPS = 500
# A body moves at most this far a step, Å: farther, and it jumps over its neighbours.
LARGEST_STEP = 0.2
# Pairs are pushed this much beyond their contact, Å, or they approach it for ever.
MARGIN = 0.01


@dataclass(frozen=True)
class Pushed:
    """What a push-off came to.

    Attributes
    ----------
    positions : ndarray, shape (N, 3)
        Å; bodies as whole as they were.
    steps : int
    largest_displacement_angstrom : float
    shortest : tuple of (int, int, float, float) or None
        Rows, distance and contact, Å, of the pair that falls short most; None if none does.
    """

    positions: NDArray[np.float64]
    steps: int
    largest_displacement_angstrom: float
    shortest: tuple[int, int, float, float] | None


@dataclass(frozen=True)
class _Contacts:
    """Pairs of atoms of different bodies: rows, unit vectors from i to j, distance, contact."""

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    direction: NDArray[np.float64]
    distance: NDArray[np.float64]
    contact: NDArray[np.float64]


def push_apart(
    atoms: ase.Atoms,
    body: NDArray[np.int64],
    *,
    held: NDArray[np.bool_] | None = None,
    phase: NDArray[np.int64] | None = None,
    allowed: list[dict[tuple[int, int], float]] | None = None,
    tolerance_angstrom: float = 2.0,
) -> Pushed:
    """Move bodies until no two atoms of different ones are nearer than their contact.

    The contact is the sum of the contact radii of units.yml. Each step moves and turns every
    body by its atoms' mean shortfall (overlaps as harmonic springs, overdamped); no bond
    changes its length, no atom comes or goes.

    Parameters
    ----------
    atoms : Atoms
        Periodic; bodies unbroken.
    body : ndarray of int, shape (N,)
        Atoms of one body move together; images of a body count as others.
    held : ndarray of bool, shape (N,), optional
        Atoms that stay, with one of them its body; distances between them are not looked at.
    phase : ndarray of int, shape (N,), optional
        Phase of each atom.
    allowed : list of dict, optional
        By phase, the smallest distance by pair of atomic numbers (lower first) that its own
        atoms may keep though it is below the contact: see `closest_contacts`.
    tolerance_angstrom : float
        See `mlip.structures.units.contact_radius`.
    """
    held = np.zeros(len(atoms), dtype=bool) if held is None else held
    phase = np.zeros(len(atoms), dtype=np.int64) if phase is None else phase
    elements, kind = np.unique(atoms.numbers, return_inverse=True)
    contacts = _contact_table(elements, len(np.unique(phase)), allowed or [], tolerance_angstrom)
    body = np.unique(body, return_inverse=True)[1]
    fixed = np.zeros(body.max() + 1, dtype=bool)
    fixed[body[held]] = True
    positions = atoms.positions.copy()
    steps = 0
    pairs = _near(positions, atoms.cell.array, body, kind, phase, contacts, fixed)
    while len(pairs.i) and steps < STEPS:
        positions = positions + _moves(pairs, positions, body, fixed)
        pairs = _near(positions, atoms.cell.array, body, kind, phase, contacts, fixed)
        steps += 1
    moved = np.linalg.norm(positions - atoms.positions, axis=1)
    return Pushed(positions, steps, float(moved.max()), _worst(pairs))


def shortfalls(
    atoms: ase.Atoms, body: NDArray[np.int64], phase: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sum of what the contacts of each body with other phases fall short by, Å.

    Parameters
    ----------
    atoms : Atoms
        Periodic; bodies unbroken.
    body : ndarray of int, shape (N,)
        Numbered from 0.
    phase : ndarray of int, shape (N,)

    Returns
    -------
    ndarray, shape (B,)
    """
    elements, kind = np.unique(atoms.numbers, return_inverse=True)
    table = _contact_table(elements, len(np.unique(phase)), [], 2.0)
    free = np.zeros(body.max() + 1, dtype=bool)
    pairs = _near(atoms.positions, atoms.cell.array, body, kind, phase, table, free)
    between = phase[pairs.i] != phase[pairs.j]
    short = (pairs.contact - pairs.distance)[between]
    owners = np.concatenate([body[pairs.i[between]], body[pairs.j[between]]])
    return np.asarray(
        np.bincount(owners, weights=np.tile(short, 2), minlength=len(free)), dtype=np.float64
    )


def closest_contacts(atoms: ase.Atoms, body: NDArray[np.int64]) -> dict[tuple[int, int], float]:
    """Return the smallest distance between different bodies by pair of atomic numbers, Å.

    Looks as far as twice the largest contact radius.
    """
    elements, kind = np.unique(atoms.numbers, return_inverse=True)
    phase = np.zeros(len(atoms), dtype=np.int64)
    table = _contact_table(elements, 1, [], 2.0)
    free = np.zeros(body.max() + 1, dtype=bool)
    pairs = _near(atoms.positions, atoms.cell.array, body, kind, phase, table, free)
    found: dict[tuple[int, int], float] = {}
    for one, other, distance in zip(
        atoms.numbers[pairs.i], atoms.numbers[pairs.j], pairs.distance, strict=True
    ):
        key = (int(min(one, other)), int(max(one, other)))
        found[key] = min(float(distance), found.get(key, np.inf))
    return found


def _contact_table(
    elements: NDArray[np.int64],
    phases: int,
    allowed: list[dict[tuple[int, int], float]],
    tolerance_angstrom: float,
) -> NDArray[np.float64]:
    """Return contacts by phase pair and element pair, shape (phases, phases, K, K)."""
    from ase.data import chemical_symbols

    radii = np.array([contact_radius(chemical_symbols[z], tolerance_angstrom) for z in elements])
    table = np.tile(radii[:, None] + radii, (phases, phases, 1, 1))
    for number, lower in enumerate(allowed):
        for (one, other), distance in lower.items():
            # A hair less, or rounding makes an overlap of the closest pair.
            least = distance - 1e-6
            a, b = np.searchsorted(elements, [one, other])
            for x, y in ((a, b), (b, a)):
                table[number, number, x, y] = min(table[number, number, x, y], least)
    return table


def _near(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    body: NDArray[np.int64],
    kind: NDArray[np.int64],
    phase: NDArray[np.int64],
    contacts: NDArray[np.float64],
    fixed: NDArray[np.bool_],
) -> _Contacts:
    """Return the pairs of atoms of different bodies, not both fixed, nearer than their contact."""
    from analysis.pairs.neighbours import neighbour_pairs, neighbour_search

    search = neighbour_search(float(contacts.max()))
    i, j, distance, vector, shift = neighbour_pairs(search, positions, cell, "ijdDS")
    contact = contacts[phase[i], phase[j], kind[i], kind[j]]
    # Bodies are whole, so a pair across a face belongs to two of them, or to one and its image.
    other = (body[i] != body[j]) | shift.any(axis=1)
    short = other & (distance < contact) & ~(fixed[body[i]] & fixed[body[j]])
    i, j, distance, vector, contact = (
        column[short] for column in (i, j, distance, vector, contact)
    )
    # Atoms in one place have no direction; any will do.
    vector = np.where((distance < 1e-6)[:, None], [1.0, 0.0, 0.0], vector)
    direction = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    return _Contacts(i, j, direction, distance, contact)


def _moves(
    pairs: _Contacts,
    positions: NDArray[np.float64],
    body: NDArray[np.int64],
    fixed: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the displacement of every atom, Å: translations and rotations of its body."""
    overlap = pairs.contact - pairs.distance + MARGIN
    # Where one of the two is held, the other goes the whole way.
    share_i = np.where(fixed[body[pairs.j]], 1.0, 0.5)[:, None]
    share_j = np.where(fixed[body[pairs.i]], 1.0, 0.5)[:, None]
    push = overlap[:, None] * pairs.direction
    rows = np.concatenate([pairs.i, pairs.j])
    pushes = np.concatenate([-share_i * push, share_j * push])
    owner = body[rows]
    number = len(fixed)
    sizes = np.bincount(body, minlength=number)
    centres = _sums(positions, body, number) / sizes[:, None]
    touching = np.maximum(np.bincount(owner, minlength=number), 1)[:, None]
    shift = _sums(pushes, owner, number) / touching
    lever = positions - centres[body]
    torque = _sums(np.cross(lever[rows], pushes), owner, number) / touching
    inertia = np.bincount(body, weights=(lever**2).sum(axis=1), minlength=number) / sizes
    turn = torque / np.maximum(inertia, 1.0)[:, None]
    for change, limit in ((shift, LARGEST_STEP), (turn, 0.1)):
        length = np.linalg.norm(change, axis=1, keepdims=True)
        change *= np.minimum(1.0, limit / np.maximum(length, 1e-12))
        change[fixed] = 0.0
    return shift[body] + _rotated(lever, turn[body]) - lever


def _rotated(vectors: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn each vector by its rotation vector, rad (formula of Rodrigues)."""
    angle = np.linalg.norm(turn, axis=1, keepdims=True)
    axis = turn / np.maximum(angle, 1e-12)
    along = (axis * vectors).sum(axis=1, keepdims=True) * axis
    return (
        along + np.cos(angle) * (vectors - along) + np.sin(angle) * np.cross(axis, vectors - along)
    )


def _sums(
    values: NDArray[np.float64], group: NDArray[np.int64], number: int
) -> NDArray[np.float64]:
    return np.array([np.bincount(group, weights=column, minlength=number) for column in values.T]).T


def _worst(pairs: _Contacts) -> tuple[int, int, float, float] | None:
    if not len(pairs.i):
        return None
    k = int((pairs.contact - pairs.distance).argmax())
    return int(pairs.i[k]), int(pairs.j[k]), float(pairs.distance[k]), float(pairs.contact[k])
