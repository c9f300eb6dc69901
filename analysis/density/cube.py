"""Gaussian cube files, which VESTA, VMD and OVITO draw isosurfaces of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr

from analysis.constants import FloatArray

VALUES_PER_LINE = 6


def cube_file(
    density: FloatArray,
    cell_angstrom: FloatArray,
    species: Sequence[str],
    positions_angstrom: FloatArray,
    comment: str,
) -> bytes:
    """Return a density as the content of a cube file, in atomic units.

    A value of a cube belongs to its point, one of a histogram to the middle of its voxel: the
    origin is half a voxel off the corner of the cell.

    Parameters
    ----------
    density : (n_a, n_b, n_c) float array
        1/Angstrom^3.
    cell_angstrom : (3, 3) float array
        Cell vectors in rows.
    species : sequence of str
    positions_angstrom : (n, 3) float array
        Atoms to be drawn with it.
    comment : str
        First line.
    """
    steps = cell_angstrom / np.array(density.shape)[:, None] / Bohr
    lines = [comment, "a outermost, c innermost"]
    lines.append(_row(len(species), 0.5 * steps.sum(axis=0)))
    lines += [_row(number, step) for number, step in zip(density.shape, steps, strict=True)]
    for symbol, place in zip(species, positions_angstrom / Bohr, strict=True):
        lines.append(_row(atomic_numbers[symbol], [0.0, *place]))
    for row in (density * Bohr**3).reshape(-1, density.shape[2]):
        for start in range(0, len(row), VALUES_PER_LINE):
            lines.append(
                "".join(f"{value:13.5E}" for value in row[start : start + VALUES_PER_LINE])
            )
    return ("\n".join(lines) + "\n").encode()


def _row(number: int, values: Sequence[float] | FloatArray) -> str:
    return f"{number:5d}" + "".join(f"{value:12.6f}" for value in values)
