"""The CP2K input of a single point, and which basis and potential an element gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.errors import InputError
from mlip.recipes.base import read_yaml
from mlip.recipes.label import LabelRecipe, Species

SPECIES_TABLE = Path(__file__).with_name("cp2k_species.yaml")


def species_of(recipe: LabelRecipe, elements: Sequence[str]) -> dict[str, Species]:
    """Return basis and potential of each element: the recipe's entry, else the table's.

    Raises
    ------
    InputError
        If an element has neither; all of them are named.
    """
    table = {
        element: Species.model_validate(entry)
        for element, entry in read_yaml(SPECIES_TABLE).items()
    }
    known = {**table, **recipe.species}
    unknown = sorted(set(elements) - set(known))
    if unknown:
        raise InputError(
            f"No basis and potential for {', '.join(unknown)}; known: {', '.join(sorted(known))}. "
            f"Add to the recipe, with names from {recipe.basis_set_file} and "
            f"{recipe.potential_file} of CP2K: species: "
            f"{{{unknown[0]}: {{basis: DZVP-MOLOPT-SR-GTH, potential: GTH-PBE-q<N>}}}}"
        )
    return {element: known[element] for element in sorted(set(elements))}


def single_point_input(
    recipe: LabelRecipe,
    symbols: Sequence[str],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> str:
    """Return the input of one energy, force and stress calculation, coordinates included.

    Parameters
    ----------
    recipe : LabelRecipe
    symbols : sequence of str, length N
    positions : ndarray, shape (N, 3)
        In Å.
    cell : ndarray, shape (3, 3)
        Cell vectors as rows, in Å.

    Raises
    ------
    InputError
        If an element has no basis or potential.
    """
    kinds = species_of(recipe, symbols)
    lines = [
        "&GLOBAL",
        "  PROJECT label",
        "  RUN_TYPE ENERGY_FORCE",
        "  PRINT_LEVEL LOW",
        "&END GLOBAL",
        "&FORCE_EVAL",
        "  METHOD Quickstep",
        "  STRESS_TENSOR ANALYTICAL",
        *_dft(recipe),
        "  &SUBSYS",
        "    &CELL",
        *(f"      {name} {_triple(row)}" for name, row in zip("ABC", cell, strict=True)),
        "    &END CELL",
        "    &COORD",
        *(f"      {s} {_triple(row)}" for s, row in zip(symbols, positions, strict=True)),
        "    &END COORD",
    ]
    for element, entry in kinds.items():
        lines += [
            f"    &KIND {element}",
            f"      BASIS_SET {entry.basis}",
            f"      POTENTIAL {entry.potential}",
            "    &END KIND",
        ]
    lines += [
        "  &END SUBSYS",
        "  &PRINT",
        "    &FORCES ON",
        "      NDIGITS 12",
        "    &END FORCES",
        "    &STRESS_TENSOR ON",
        "    &END STRESS_TENSOR",
        "  &END PRINT",
        "&END FORCE_EVAL",
    ]
    return "\n".join(lines) + "\n"


def _triple(row: NDArray[np.float64]) -> str:
    return " ".join(f"{value:18.12f}" for value in row)


def _dft(recipe: LabelRecipe) -> list[str]:
    return [
        "  &DFT",
        f"    BASIS_SET_FILE_NAME {recipe.basis_set_file}",
        f"    POTENTIAL_FILE_NAME {recipe.potential_file}",
        "    &MGRID",
        f"      CUTOFF {recipe.cutoff_rydberg:g}",
        f"      REL_CUTOFF {recipe.rel_cutoff_rydberg:g}",
        "    &END MGRID",
        "    &QS",
        f"      EPS_DEFAULT {recipe.eps_default:.3E}",
        "    &END QS",
        "    &SCF",
        "      SCF_GUESS ATOMIC",
        f"      EPS_SCF {recipe.eps_scf:.3E}",
        f"      MAX_SCF {recipe.max_scf}",
        "      &OT",
        "        MINIMIZER DIIS",
        "        PRECONDITIONER FULL_ALL",
        f"        ENERGY_GAP {recipe.energy_gap_hartree:g}",
        "      &END OT",
        "      &OUTER_SCF",
        f"        EPS_SCF {recipe.eps_scf:.3E}",
        f"        MAX_SCF {recipe.max_outer_scf}",
        "      &END OUTER_SCF",
        "      &PRINT",
        "        &RESTART OFF",
        "        &END RESTART",
        "      &END PRINT",
        "    &END SCF",
        *_exchange_correlation(recipe),
        # One empty orbital is enough for the gap; no cube is written.
        "    &PRINT",
        "      &MO_CUBES",
        "        NHOMO 1",
        "        NLUMO 1",
        "        WRITE_CUBE .FALSE.",
        "      &END MO_CUBES",
        "    &END PRINT",
        "  &END DFT",
    ]


def _exchange_correlation(recipe: LabelRecipe) -> list[str]:
    functional = [f"      &XC_FUNCTIONAL {recipe.functional}", "      &END XC_FUNCTIONAL"]
    dispersion = [
        "      &VDW_POTENTIAL",
        "        POTENTIAL_TYPE PAIR_POTENTIAL",
        "        &PAIR_POTENTIAL",
        f"          TYPE DFT{recipe.dispersion}",
        f"          REFERENCE_FUNCTIONAL {recipe.functional}",
        "          PARAMETER_FILE_NAME dftd3.dat",
        f"          R_CUTOFF {recipe.dispersion_cutoff_angstrom:g}",
        "        &END PAIR_POTENTIAL",
        "      &END VDW_POTENTIAL",
    ]
    if recipe.dispersion == "none":
        dispersion = []
    return ["    &XC", *functional, *dispersion, "    &END XC"]
