"""The Ziegler-Biersack-Littmark repulsion of two nuclei, tabulated for all pairs of elements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlip.errors import RecipeError
from mlip.files import replacing

COULOMB_EV_ANGSTROM = 14.399645478425668  # e^2 / (4 pi epsilon_0), CODATA 2018
SCREENING_ANGSTROM = 0.46850  # 0.8854 Bohr radii, as in LAMMPS pair_style zbl
SCREENING_POWER = 0.23
AMPLITUDES = np.array([0.18175, 0.50986, 0.28022, 0.02817])
DECAYS = np.array([3.19980, 0.94229, 0.40290, 0.20162])

# Nuclei never come nearer; the table cannot begin at the pole.
FIRST_ANGSTROM = 0.02
STEP_ANGSTROM = 0.002


def zbl_energy(
    distance_angstrom: ArrayLike, first_charge: int, second_charge: int
) -> NDArray[np.float64]:
    """Return the universal screened repulsion of two nuclei, in eV.

    ``E = Z1 Z2 e^2 / (4 pi epsilon_0 r) sum_k c_k exp(-d_k r / a)`` with
    ``a = 0.46850 Å / (Z1^0.23 + Z2^0.23)``: Ziegler, Biersack and Littmark, The Stopping and
    Range of Ions in Matter, Pergamon (1985), vol. 1; doi:10.1007/978-1-4615-8103-1_3.

    Parameters
    ----------
    distance_angstrom : array_like
        Above zero, any shape.
    first_charge, second_charge : int
        Atomic numbers.

    Returns
    -------
    ndarray
        Same shape.
    """
    r = np.asarray(distance_angstrom, dtype=float)
    length = SCREENING_ANGSTROM / (first_charge**SCREENING_POWER + second_charge**SCREENING_POWER)
    screening = np.exp(-np.multiply.outer(r / length, DECAYS)) @ AMPLITUDES
    return COULOMB_EV_ANGSTROM * first_charge * second_charge / r * screening


def repulsion_table(
    elements: Sequence[str], outer_angstrom: float, cutoff_angstrom: float
) -> NDArray[np.float64]:
    """Return distance (Å) and energy (eV) of all pairs, one column each: 1-1, 1-2, ..., 2-2, ...

    Up to `outer_angstrom` the energies are those of `zbl_energy`; from there to the cutoff a
    polynomial with two continuous derivatives takes them to zero.

    Raises
    ------
    RecipeError
        If an element is none.
    """
    from ase.data import atomic_numbers

    unknown = [element for element in elements if element not in atomic_numbers]
    if unknown:
        raise RecipeError(f"short_range_repulsion: {', '.join(unknown)} is no chemical element.")
    steps = int(np.ceil((cutoff_angstrom - FIRST_ANGSTROM) / STEP_ANGSTROM))
    r = FIRST_ANGSTROM + STEP_ANGSTROM * np.arange(steps + 2)
    u = np.clip((r - outer_angstrom) / (cutoff_angstrom - outer_angstrom), 0.0, 1.0)
    switch = 1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
    charges = [atomic_numbers[element] for element in elements]
    columns = [
        switch * zbl_energy(r, first, second)
        for k, first in enumerate(charges)
        for second in charges[k:]
    ]
    return np.column_stack([r, *columns])


def write_repulsion_table(
    path: Path, elements: Sequence[str], outer_angstrom: float, cutoff_angstrom: float
) -> None:
    """Write the table as text, in the order that DeePMD-kit's ``use_srtab`` reads."""
    table = repulsion_table(elements, outer_angstrom, cutoff_angstrom)
    with replacing(path) as temporary:
        np.savetxt(temporary, table, fmt="%.12e")
