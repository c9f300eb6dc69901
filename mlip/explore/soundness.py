"""Whether a frame can have a gap, told from its bonds: what has none is labelled in vain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from mlip.errors import DataError
from mlip.structures.crystals import oxidation_states
from mlip.structures.geometry import BONDED, inspect

# Of the labels of Li-P-S, frames of melts with 2 of 8 P out of their usual coordination had gaps of
# 0.7 and 0.9 eV, one with 4 of 8 less than 0.1 eV, and all seven of Li4P2S6 with 6 or more of 16
# less than 0.2 eV.
LARGEST_BROKEN_SHARE = 0.25


def usual_coordination(structures: Mapping[str, Path]) -> dict[str, dict[str, set[int]]]:
    """Return the coordination numbers of the cations of each start structure, by state and element.

    States whose start does not balance (metals, radicals) are left out: nothing is known of them.
    """
    found = {}
    for name, folder in structures.items():
        atoms = ase.io.read(folder / "structure.extxyz")
        if inspect(atoms, name).formal_charge == 0:
            found[name] = {
                element: set(numbers.tolist()) for element, numbers in _coordination(atoms).items()
            }
    return found


def is_broken(atoms: Atoms, usual: Mapping[str, set[int]]) -> bool:
    """Return whether a frame has come apart so far that it cannot have a gap.

    Either bonds of like atoms were made or broken without their counterparts, so that oxidation
    states do not add up to the charge of the cell, or more than a quarter of the bonded cations
    have a number of bonds that none has at the start.

    Parameters
    ----------
    atoms : Atoms
    usual : mapping of str to set of int
        Coordination numbers at the start, by element.
    """
    try:
        if inspect(atoms, "frame").formal_charge != 0:
            return True
    except DataError:
        return False  # atoms inside one another, which has a name of its own
    numbers = _coordination(atoms)
    total = sum(len(own) for own in numbers.values())
    strange = sum(
        int((~np.isin(own, list(usual.get(element, ())))).sum()) for element, own in numbers.items()
    )
    return strange > LARGEST_BROKEN_SHARE * total


def _coordination(atoms: Atoms) -> dict[str, np.ndarray]:
    """Return the number of bonds of every cation with covalent bonds, by element."""
    states = oxidation_states()
    symbols = np.array(atoms.get_chemical_symbols())
    state = np.array([states.get(symbol, 0) for symbol in symbols])
    radii = covalent_radii[atoms.numbers]
    first, second = neighbor_list("ij", atoms, (BONDED * radii).tolist())
    # Ions of charge one are not bonded.
    kept = (np.abs(state[first]) > 1) & (np.abs(state[second]) > 1)
    number = np.bincount(first[kept], minlength=len(atoms))
    return {element: number[symbols == element] for element in sorted(set(symbols[state > 1]))}
