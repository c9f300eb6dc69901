"""Physical constants in the internal units (Angstrom, ps, eV, K, amu, e) and array types.

Source: CODATA values as shipped by `scipy.constants`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import constants

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]

ELEMENTARY_CHARGE_COULOMB = constants.e
BOLTZMANN_JOULE_PER_KELVIN = constants.k
BOLTZMANN_EV_PER_KELVIN = constants.k / constants.e

CM2_PER_S_PER_ANGSTROM2_PER_PS = 1.0e-4
CM_PER_ANGSTROM = 1.0e-8
G_CM3_PER_AMU_ANGSTROM3 = constants.atomic_mass * 1.0e3 / CM_PER_ANGSTROM**3
