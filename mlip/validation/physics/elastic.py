"""Elastic constants from stresses of strained cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip.errors import DataError
from mlip.structures.strain import strain_tensor
from mlip.validation.physics.equation_of_state import GPA_PER_EV_ANGSTROM3
from mlip.validation.physics.frames import FrameSet
from mlip.validation.reference import FloatArray

COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
REST = "rest"
SYMMETRY_ANGSTROM = 0.01


@dataclass(frozen=True)
class Elasticity:
    """Elastic constants of a crystal.

    Attributes
    ----------
    stiffness_gpa : ndarray, shape (6, 6)
        Voigt order xx, yy, zz, yz, xz, xy, engineering shears; in the axes of the frames.
    bulk_gpa, shear_gpa : float
        Mean of Voigt's and Reuss' bounds, Hill, Proc. Phys. Soc. A 65, 349 (1952),
        doi:10.1088/0370-1298/65/5/307.
    smallest_eigenvalue_gpa : float
        Of the tensor in Mandel's form, which does not depend on axes; negative is unstable.
    rest_stress_gpa : ndarray, shape (6,)
        Of the unstrained cell by the fit, tension positive.
    """

    stiffness_gpa: FloatArray
    bulk_gpa: float
    shear_gpa: float
    smallest_eigenvalue_gpa: float
    rest_stress_gpa: FloatArray


def strained_frames(atoms: Atoms, strains: Sequence[float]) -> list[tuple[str, Atoms]]:
    """Return (point, frame): the cell at rest, and each component strained both ways.

    A shear named ``xy+0.0100`` is the component e_xy of the tensor. Axes are not turned.
    """
    frames = [(REST, atoms.copy())]
    for component, name in enumerate(COMPONENTS):
        for size in strains:
            for signed in (-size, size):
                voigt = [0.0] * 6
                voigt[component] = signed
                strained = atoms.copy()
                deformation = np.eye(3) + strain_tensor(voigt)
                strained.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
                frames.append((f"{name}{signed:+.4f}", strained))
    return frames


def fit_elasticity(frames: FrameSet, virials: FloatArray, what: str) -> Elasticity:
    """Fit stress = rest + C strain to strained frames, one of which is named ``rest``.

    Parameters
    ----------
    frames : FrameSet
        Strained both ways, so that the quadratic terms cancel.
    virials : ndarray, shape (F, 3, 3)
        In eV, DeePMD sign; the stress is -virial / V. Clamped ions give clamped constants.
    what : str
        For errors.

    Returns
    -------
    Elasticity
        Averaged over the symmetry operations of the unstrained crystal.

    Raises
    ------
    DataError
        If a frame is missing or a stress is not finite.
    """
    from pymatgen.analysis.elasticity import ElasticTensor
    from pymatgen.core import Structure

    if REST not in frames.points:
        raise DataError(f"{what}: no frame named {REST!r} (the unstrained cell).")
    if not np.isfinite(virials).all():
        raise DataError(f"{what}: a stress is missing or not finite.")
    rest = frames.points.index(REST)
    gradient = np.linalg.inv(frames.cells[rest]) @ frames.cells
    tensors = 0.5 * (gradient + np.swapaxes(gradient, 1, 2)) - np.eye(3)
    stresses = -virials / frames.volumes[:, None, None] * GPA_PER_EV_ANGSTROM3
    strain = np.array([[t[i, j] * (1 if i == j else 2) for i, j in VOIGT] for t in tensors])
    stress = np.array([[s[i, j] for i, j in VOIGT] for s in stresses])
    design = np.hstack([strain, np.ones((len(strain), 1))])
    solution, _, rank, _ = np.linalg.lstsq(design, stress, rcond=1e-8)
    if rank < design.shape[1]:
        raise DataError(
            f"{what}: {len(strain)} frames do not hold six independent strains. Expected each of "
            f"{', '.join(COMPONENTS)}, both ways."
        )
    raw = 0.5 * (solution[:6] + solution[:6].T)
    cell = Structure(
        frames.cells[rest], frames.symbols, frames.coords[rest], coords_are_cartesian=True
    )
    tensor = ElasticTensor.from_voigt(raw).fit_to_structure(cell, symprec=SYMMETRY_ANGSTROM)
    stiffness = np.asarray(tensor.voigt, dtype=float)
    weights = np.sqrt([1, 1, 1, 2, 2, 2])
    eigenvalues = np.linalg.eigvalsh(stiffness * np.outer(weights, weights))
    return Elasticity(
        stiffness,
        float(tensor.k_vrh),
        float(tensor.g_vrh),
        float(eigenvalues.min()),
        np.asarray(solution[6]),
    )


def relative_difference(one: FloatArray, other: FloatArray) -> float:
    """Return |one - other| / |other| of two stiffness matrices, root of the sum of squares.

    Mandel's form is used, so that it does not depend on axes.
    """
    weights = np.sqrt([1, 1, 1, 2, 2, 2])
    scale = np.outer(weights, weights)
    return float(np.linalg.norm(scale * (one - other)) / np.linalg.norm(scale * other))
