"""Slab widths that fit the cell and the lattice of the crystal in it."""

from __future__ import annotations

import math

import numpy as np

# A slab that is this much off a whole number of lattice repeats picks up the lattice phase.
MAX_REPEAT_MISMATCH = 0.02


def repeat_mismatch(slab_angstrom: float, repeat_angstrom: float) -> float:
    """Return |d/b - nearest whole number|, at least one, of slab width d and lattice repeat b."""
    ratio = slab_angstrom / repeat_angstrom
    return abs(ratio - max(1, round(ratio)))


def commensurate_slab_width(
    height_angstrom: float, repeat_angstrom: float, wanted_angstrom: float
) -> float:
    """Return the slab width that divides the cell, fits the lattice and is near the wanted one.

    Parameters
    ----------
    height_angstrom : float
        Height of the cell along the axis; slabs divide it evenly.
    repeat_angstrom : float
        Repeat of the crystal's lattice along the axis.
    wanted_angstrom : float

    Returns
    -------
    float
        Of the widths off a whole number of repeats by at most 0.02, the nearest in ratio to
        `wanted_angstrom`; where there is none, the least off.
    """
    most = max(1, math.ceil(height_angstrom / repeat_angstrom))
    widths = height_angstrom / np.arange(1, most + 1)
    off = np.array([repeat_mismatch(float(width), repeat_angstrom) for width in widths])
    if off.min() > MAX_REPEAT_MISMATCH:
        return float(widths[off.argmin()])
    fitting = widths[off <= MAX_REPEAT_MISMATCH]
    return float(fitting[np.abs(np.log(fitting / wanted_angstrom)).argmin()])


def width_warning(slab_angstrom: float, height_angstrom: float, repeat_angstrom: float) -> str:
    """Return what is wrong with a slab width and which one is better, or ""."""
    off = repeat_mismatch(slab_angstrom, repeat_angstrom)
    if off <= MAX_REPEAT_MISMATCH:
        return ""
    better = commensurate_slab_width(height_angstrom, repeat_angstrom, slab_angstrom)
    left = repeat_mismatch(better, repeat_angstrom)
    advice = (
        f"use slabs of {better:.3f} Angstrom"
        if left <= MAX_REPEAT_MISMATCH
        else f"no width that divides the cell fits better than {better:.3f} Angstrom (off by "
        f"{left:.3f})"
    )
    return (
        f"slabs of {slab_angstrom:.3f} Angstrom are {slab_angstrom / repeat_angstrom:.3f} repeats "
        f"of {repeat_angstrom:.3f} Angstrom, so the lattice phase leaks into F; {advice}"
    )
