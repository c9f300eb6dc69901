"""Cells of another density or shape, positions along with them."""

from __future__ import annotations

from collections.abc import Sequence

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.structures.geometry import density_g_cm3, supercell


def scaled_to_density(atoms: ase.Atoms, target_g_cm3: float) -> ase.Atoms:
    """Return the atoms with cell and positions scaled alike to a mass density."""
    factor = (density_g_cm3(atoms) / target_g_cm3) ** (1.0 / 3.0)
    scaled = atoms.copy()
    scaled.set_cell(factor * atoms.cell.array, scale_atoms=True)
    return scaled


def strain_tensor(voigt: Sequence[float]) -> NDArray[np.float64]:
    """Return the symmetric tensor of xx, yy, zz, yz, xz, xy.

    Off-diagonal numbers are components of the tensor, half the engineering shear strains.
    Source: Nye, Physical Properties of Crystals (1985), chapter VI.
    """
    xx, yy, zz, yz, xz, xy = voigt
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], dtype=float)


def strained(atoms: ase.Atoms, voigt: Sequence[float]) -> ase.Atoms:
    """Apply a homogeneous small strain: every vector r becomes (1 + e) r.

    The volume becomes V det(1 + e). The cell is turned again so that a lies along x and b in
    the xy plane; atoms are wrapped into it.
    """
    turned = atoms.copy()
    # Rows are the lattice vectors, and the tensor is symmetric.
    turned.set_cell(atoms.cell.array @ (np.eye(3) + strain_tensor(voigt)), scale_atoms=True)
    return supercell(turned, (1, 1, 1))
