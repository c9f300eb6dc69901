"""What any source of labels returns for one structure: a single point, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SinglePoint:
    """A converged single point of N atoms.

    Attributes
    ----------
    energy_ev : float
        Total energy, eV.
    forces : ndarray, shape (N, 3)
        In eV/Å.
    virial : ndarray, shape (3, 3)
        In eV, potential part, DeePMD sign: pressure = trace / 3V.
    gap_ev : float
        From the highest occupied to the lowest empty orbital; NaN if unknown.
    iterations : int
        Steps to self-consistency; 0 where there is none.
    version : str
        Of the program.
    ranks : int
        MPI ranks that worked together.
    """

    energy_ev: float
    forces: NDArray[np.float64]
    virial: NDArray[np.float64]
    gap_ev: float
    iterations: int
    version: str
    ranks: int


@dataclass(frozen=True)
class Failed:
    """Why there is no single point.

    Attributes
    ----------
    cause : {'unconverged', 'aborted', 'environment'}
        'environment' is no fault of the structure (disk, memory, installation, a signal):
        every other structure would fail alike, so nothing is recorded of it.
    message : str
        With cause and remedy.
    iterations : int
        Steps to self-consistency that were made.
    """

    cause: Literal["unconverged", "aborted", "environment"]
    message: str
    iterations: int = 0
