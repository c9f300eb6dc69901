"""Which units of a structure a region holds, for partial melting."""

from __future__ import annotations

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.recipes.composite import Region, Sphere
from mlip.structures.bodies import find_bodies
from mlip.structures.rattle import within


def in_marked(atoms: ase.Atoms, where: Region | Sphere) -> NDArray[np.bool_]:
    """Return the atoms of the units (anions whole, lone atoms) with their centre in a region.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    from ase.geometry import find_mic

    bodies = find_bodies(atoms)
    if isinstance(where, Region):
        inside = within(bodies.centres @ np.linalg.inv(atoms.cell.array), where)
    else:
        center = np.array(where.center) @ atoms.cell.array
        away = find_mic(bodies.centres - center, atoms.cell.array)[1]
        inside = np.asarray(away) < where.radius_angstrom
    return np.asarray(inside[bodies.body])
