"""Glass-ceramic as a slab: crystal and glass stacked, with two interfaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
from numpy.typing import NDArray

from mlip.errors import DataError
from mlip.recipes.composite import Slab
from mlip.structures.bodies import Bodies, find_bodies, still_so, unbroken
from mlip.structures.geometry import density_g_cm3, supercell
from mlip.structures.push import Pushed, closest_contacts, push_apart

AXES = "abc"
# Å added at each interface until the push-off succeeds; wider ones would be voids.
GAPS = tuple(0.25 * step for step in range(13))
# A glass unit that has to go farther than this at a gap, Å, gets a wider one.
LARGEST_PUSH = 2.0
FRACTIONS = (0.03, 0.97)


@dataclass(frozen=True)
class Composite:
    """Two phases in one cell, atoms of the crystal first.

    Attributes
    ----------
    atoms : Atoms
    origin : ndarray of str, shape (N,)
        crystal or glass.
    done : dict
        Plain numbers for the summary.
    """

    atoms: ase.Atoms
    origin: NDArray[np.str_]
    done: dict[str, Any]


@dataclass(frozen=True)
class _Layers:
    """Both phases with the stack along z, lateral vectors in the xy plane and equal."""

    crystal: ase.Atoms
    glass: ase.Atoms
    done: dict[str, Any]


def stacked(
    crystal: ase.Atoms, glass: ase.Atoms, slab: Slab, rng: np.random.Generator
) -> Composite:
    """Stack a glass on a crystal.

    The glass is strained to the lateral vectors of the crystal and shifted along them. Both are
    cut between whole units. At each interface the smallest gap is taken at which the soft
    push-off, which moves glass alone, takes all atoms of one phase out of contact with the other.

    Parameters
    ----------
    crystal, glass : Atoms
    slab : Slab
    rng : Generator
        Draws the registry if the recipe gives none.

    Raises
    ------
    DataError
        If a phase is too thin, the strain too large, or no gap ends the contacts.
    """
    layers = _layers(crystal, glass, slab)
    lateral = _lateral(slab)
    registry = dict(zip(sorted(lateral), slab.registry or rng.random(2).tolist(), strict=True))
    shift = np.array([registry[name] for name in lateral]) @ layers.glass.cell.array[:2]
    shifted = layers.glass.copy()
    shifted.positions += shift
    below, above = find_bodies(layers.crystal), find_bodies(shifted)
    body = np.concatenate([below.body, above.body + len(below.names)])
    phase = np.repeat([0, 1], [len(below.body), len(above.body)])
    allowed = [{}, closest_contacts(unbroken(shifted, above), above.body)]
    for gap in GAPS:
        atoms = _joined(layers, below, above, gap)
        pushed = push_apart(atoms, body, held=phase == 0, phase=phase, allowed=allowed)
        if pushed.shortest is None and pushed.largest_displacement_angstrom <= LARGEST_PUSH:
            break
    else:
        raise DataError(_still_close(atoms, pushed))
    atoms.positions = pushed.positions
    height = float(atoms.get_volume() / layers.crystal.get_volume()) * _height(layers.crystal)
    done = {
        **layers.done,
        "crystal_fraction": _height(layers.crystal) / height,
        "gap_angstrom": gap,
        "registry": registry,
        "units_unchanged": still_so(atoms, body),
        "largest_push_angstrom": pushed.largest_displacement_angstrom,
    }
    back = supercell(_axes_taken(atoms, np.argsort(_order(slab.axis)).tolist()), (1, 1, 1))
    return Composite(back, np.array(["crystal", "glass"])[phase], done)


def how_to_make_the_glass(crystal: ase.Atoms, slab: Slab) -> str:
    """Return how a glass of the crystal's lateral vectors is made: a crystal of them, melted."""
    needed = slab.minimum_thickness_angstrom
    repeats = math.ceil(needed / _height(_upright(crystal, slab.axis)) - 1e-9)
    lengths = crystal.cell.lengths()
    lateral = " and ".join(f"{name} {lengths[AXES.index(name)]:.3f} Å" for name in _lateral(slab))
    return (
        f"Make the glass of the same crystal with {lateral}: build it, repeated {repeats} time(s) "
        f"or more along {slab.axis}, and run a melt-quench on it with pressure on the normal "
        f"{slab.axis} alone."
    )


def _layers(crystal: ase.Atoms, glass: ase.Atoms, slab: Slab) -> _Layers:
    lower, upper = _upright(crystal, slab.axis), _upright(glass, slab.axis)
    repeats = _repeats(_height(lower), _height(upper), slab.crystal_fraction)
    lower = supercell(lower, (1, 1, repeats))
    needed = slab.minimum_thickness_angstrom
    for name, atoms in (("crystal", lower), ("glass", upper)):
        if (thickness := _height(atoms)) < needed:
            times = math.ceil(needed / thickness * (repeats if name == "crystal" else 1))
            remedy = (
                f"Repeat it {times} times along {slab.axis}, or raise crystal_fraction."
                if name == "crystal"
                else how_to_make_the_glass(crystal, slab)
            )
            raise DataError(
                f"slab: the {name} is {thickness:.2f} Å thick along {slab.axis}; expected "
                f"{needed:g} Å or more (minimum_thickness_angstrom), or its middle is no bulk. "
                f"{remedy}"
            )
    deformation = np.eye(3)
    # Rows are vectors: those of the glass times this are those of the crystal.
    deformation[:2, :2] = np.linalg.solve(upper.cell.array[:2, :2], lower.cell.array[:2, :2])
    strain = lateral_strain(deformation[:2, :2])
    largest = float(np.abs(np.linalg.eigvalsh(strain)).max())
    if largest > slab.largest_strain:
        raise DataError(
            f"slab: the glass would be strained by {100 * largest:.2f} % to the lateral vectors "
            f"of the crystal; expected {100 * slab.largest_strain:g} % or less. "
            f"{how_to_make_the_glass(crystal, slab)}"
        )
    strained = upper.copy()
    strained.set_cell(upper.cell.array @ deformation, scale_atoms=True)
    fraction = _height(lower) / (_height(lower) + _height(strained))
    if not FRACTIONS[0] <= fraction <= FRACTIONS[1]:
        raise DataError(
            f"slab: {100 * fraction:.1f} % of the thickness is crystal; expected "
            f"{100 * FRACTIONS[0]:g} to {100 * FRACTIONS[1]:g} %."
        )
    done = {
        "crystal_repeats": repeats,
        "thickness_crystal_angstrom": _height(lower),
        "thickness_glass_angstrom": _height(strained),
        "formula_crystal": lower.symbols.formula.reduce()[0].format("metal"),
        "formula_glass": upper.symbols.formula.reduce()[0].format("metal"),
        "density_crystal_g_cm3": density_g_cm3(lower),
        "density_glass_g_cm3": density_g_cm3(strained),
        "glass_strain": {
            "x_along": _lateral(slab)[0],
            "xx": float(strain[0, 0]),
            "yy": float(strain[1, 1]),
            "xy": float(strain[0, 1]),
            "largest_principal": largest,
        },
    }
    return _Layers(lower, strained, done)


def lateral_strain(deformation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the strain U - 1 of a deformation of row vectors, r -> r F, free of rotation.

    U is the right stretch of the polar decomposition of F transposed, U^2 = F F^T
    (Holzapfel, Nonlinear Solid Mechanics (2000), section 2.6).

    Parameters
    ----------
    deformation : ndarray, shape (n, n)
    """
    squares, directions = np.linalg.eigh(deformation @ deformation.T)
    stretch = (directions * np.sqrt(squares)) @ directions.T
    return np.asarray(stretch - np.eye(len(deformation)))


def _repeats(crystal_height: float, glass_height: float, fraction: float | None) -> int:
    if fraction is None:
        return 1
    return max(1, round(fraction / (1.0 - fraction) * glass_height / crystal_height))


def _joined(layers: _Layers, below: Bodies, above: Bodies, gap: float) -> ase.Atoms:
    """Return both phases in one cell, units unbroken, the glass a gap above the crystal."""
    normal = np.array([0.0, 0.0, gap])
    cell = layers.crystal.cell.array.copy()
    offset = cell[2] + normal
    cell[2] = offset + layers.glass.cell.array[2] + normal
    positions = np.concatenate([below.positions, above.positions + offset])
    symbols = layers.crystal.get_chemical_symbols() + layers.glass.get_chemical_symbols()
    return ase.Atoms(symbols, positions, cell=cell, pbc=True)


def _upright(atoms: ase.Atoms, axis: str) -> ase.Atoms:
    """Return the cell with an axis as its third and the other two in the xy plane."""
    return supercell(_axes_taken(atoms, _order(axis)), (1, 1, 1))


def _axes_taken(atoms: ase.Atoms, order: Sequence[int]) -> ase.Atoms:
    return ase.Atoms(atoms.symbols, atoms.positions, cell=atoms.cell.array[list(order)], pbc=True)


def _order(axis: str) -> list[int]:
    # Cyclic, so that the cell stays right-handed.
    k = AXES.index(axis)
    return [(k + 1) % 3, (k + 2) % 3, k]


def _lateral(slab: Slab) -> list[str]:
    return [AXES[k] for k in _order(slab.axis)[:2]]


def _height(atoms: ase.Atoms) -> float:
    cell = atoms.cell.array
    return float(atoms.get_volume() / np.linalg.norm(np.cross(cell[0], cell[1])))


def _still_close(atoms: ase.Atoms, pushed: Pushed) -> str:
    if pushed.shortest is None:
        return (
            f"slab: the glass moves {pushed.largest_displacement_angstrom:.2f} Å off the crystal "
            f"even with a gap of {GAPS[-1]:g} Å; expected {LARGEST_PUSH:g} Å or less. Another seed "
            "or registry, or check that the glass has no atoms in contact itself."
        )
    i, j, distance, contact = pushed.shortest
    return (
        f"slab: atoms {i + 1} ({atoms.symbols[i]}) and {j + 1} ({atoms.symbols[j]}) stay "
        f"{distance:.3f} Å apart with a gap of {GAPS[-1]:g} Å; expected {contact:.3f} Å or more. "
        "Another seed or registry."
    )
