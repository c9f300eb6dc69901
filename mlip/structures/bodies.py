"""The rigid parts of a structure: anions as the table of bonds finds them, and lone atoms."""

from __future__ import annotations

from dataclasses import dataclass

import ase
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bodies:
    """Anions and lone atoms of a structure.

    Attributes
    ----------
    body : ndarray of int, shape (N,)
        Body of every atom, numbered from 0 in the order of their first atoms.
    names : tuple of str
        Of every body: that of the anion ("other" with its formula if it has none), or the
        element.
    positions : ndarray, shape (N, 3)
        Of the atoms, Å, every body unbroken and with its centre in the cell.
    centres : ndarray, shape (B, 3)
        Mean positions of the atoms, Å.
    """

    body: NDArray[np.int64]
    names: tuple[str, ...]
    positions: NDArray[np.float64]
    centres: NDArray[np.float64]


def find_bodies(atoms: ase.Atoms) -> Bodies:
    """Find the bodies of a periodic structure.

    Anions are connected by the bonds of the anion table of `analysis`; its lone ions and the
    elements that it does not know count as single atoms. A body that is bonded to its own image
    (an endless chain) is cut where a walk along its bonds from the first atom meets itself.
    """
    from analysis.anions.anion_rules import anion_rules
    from analysis.anions.bonds import find_bonds
    from analysis.anions.units import assemble_anions, bonding_atoms, unit_labels

    rules = anion_rules()
    symbols = np.array(atoms.get_chemical_symbols())
    cell = atoms.cell.array
    scaled = atoms.get_scaled_positions(wrap=True)
    bonding = np.flatnonzero(np.isin(symbols, rules.elements))
    raw = np.arange(len(atoms))
    names = symbols.astype(object)
    if len(bonding):
        _, kinds = bonding_atoms(symbols[bonding].tolist(), rules)
        cutoffs = rules.pair_matrix(rules.cutoffs_angstrom, 0.0)
        bonds = find_bonds(kinds, scaled[bonding] @ cell, cell, cutoffs)
        anions = assemble_anions(kinds, bonds, rules)
        _, first = np.unique(anions.unit, return_index=True)
        raw[bonding] = bonding[first][anions.unit]
        names[bonding] = np.array(unit_labels(anions, rules), dtype=object)[anions.unit]
        scaled[bonding] += _places(anions.unit, first, bonds.i, bonds.j, bonds.shift)
    first, body = np.unique(raw, return_inverse=True)
    centres = _means(scaled, body)
    images = np.floor(centres)
    return Bodies(
        body=body,
        names=tuple(names[first].tolist()),
        positions=(scaled - images[body]) @ cell,
        centres=(centres - images) @ cell,
    )


def unbroken(atoms: ase.Atoms, bodies: Bodies) -> ase.Atoms:
    """Return the structure with every body in one piece, its centre in the cell."""
    whole = atoms.copy()
    whole.positions = bodies.positions
    return whole


def still_so(atoms: ase.Atoms, body: NDArray[np.int64]) -> bool:
    """Return whether the atoms are bonded into these bodies, numbered in any ascending way."""
    return bool(np.array_equal(find_bodies(atoms).body, np.unique(body, return_inverse=True)[1]))


def _places(
    unit: NDArray[np.int64],
    first: NDArray[np.int64],
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    shift: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the cell in which each atom lies when its unit is followed from its first atom."""
    one, other = np.concatenate([i, j]), np.concatenate([j, i])
    step = np.concatenate([shift, -shift])
    known = np.zeros(len(unit), dtype=bool)
    known[first] = True
    place = np.zeros((len(unit), 3), dtype=np.int64)
    while (front := known[one] & ~known[other]).any():
        place[other[front]] = place[one[front]] + step[front]
        known[other[front]] = True
    return place


def _means(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    counts = np.bincount(group)
    sums = [np.bincount(group, weights=column) for column in values.T]
    return np.array(sums).T / counts[:, None]
