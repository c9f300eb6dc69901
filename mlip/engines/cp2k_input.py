"""The CP2K input of a single point: settings, ways to self-consistency, basis sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip.errors import InputError
from mlip.recipes.base import read_yaml
from mlip.recipes.label import Cp2kLevel, Species

SPECIES_TABLE = Path(__file__).with_name("cp2k_species.yaml")


def species_of(level: Cp2kLevel, elements: Sequence[str]) -> dict[str, Species]:
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
    known = {**table, **level.species}
    unknown = sorted(set(elements) - set(known))
    if unknown:
        raise InputError(
            f"No basis and potential for {', '.join(unknown)}; known: {', '.join(sorted(known))}. "
            f"Add to the level, with names from {', '.join(level.basis_set_files)} and "
            f"{level.potential_file} of CP2K: species: "
            f"{{{unknown[0]}: {{basis: DZVP-MOLOPT-SR-GTH, potential: GTH-PBE-q<N>}}}}"
        )
    return {element: known[element] for element in sorted(set(elements))}


def level_in_words(level: Cp2kLevel, elements: Sequence[str]) -> dict[str, str]:
    """Return the level setting by setting, under the names that ingest reads from an input."""
    sampling = f"as {level.sampling_width_angstrom:g} Angstrom"
    if level.kpoints is not None:
        sampling = "MONKHORST-PACK " + " ".join(map(str, level.kpoints))
    elif not level.sampling_width_angstrom:
        sampling = "Gamma"
    words = {
        "code": "CP2K",
        "functional": level.functional,
        "dispersion": f"DFT{level.dispersion}" if level.dispersion != "none" else "none",
        "cutoff_rydberg": f"{level.cutoff_rydberg:g}",
        "rel_cutoff_rydberg": f"{level.rel_cutoff_rydberg:g}",
        "eps_scf": f"{level.eps_scf:g}",
        "eps_default": f"{level.eps_default:g}",
        "smearing": "none",
        "kpoints": sampling,
        "spin_polarised": "False",
    }
    if level.dispersion != "none":
        words["dispersion_cutoff"] = f"{level.dispersion_cutoff_angstrom:g}"
    for element, entry in species_of(level, elements).items():
        words[f"basis {element}"] = entry.basis.upper()
        words[f"potential {element}"] = entry.potential.upper()
    return words


def kpoint_mesh(level: Cp2kLevel, cell: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return the k points along a, b and c; (1, 1, 1) is the Gamma point alone.

    Parameters
    ----------
    level : Cp2kLevel
    cell : ndarray, shape (3, 3)
        Cell vectors as rows, in Å.
    """
    if level.kpoints is not None:
        return level.kpoints
    # Distance between opposite faces: the inverse length of the reciprocal vector.
    widths = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    # A cell a hair narrower than asked is wide enough.
    counts = np.ceil(level.sampling_width_angstrom / widths - 0.05).astype(int)
    a, b, c = (max(1, int(count)) for count in counts)
    return a, b, c


def scf_methods(level: Cp2kLevel, cell: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the ways to self-consistency in the order in which they are tried.

    All reach the same minimum of the same functional; a second way is tried where the first
    does not converge. Orbital transformation knows the Gamma point only. With k points there is
    no second way: 120 damped steps after 60 of Broyden's took 11 to 22 minutes a frame of 64
    atoms and saved none of four; such frames have no gap.
    """
    gamma = kpoint_mesh(level, cell) == (1, 1, 1)
    return (DIAGONALISE, MINIMISE) if gamma else (DIAGONALISE,)


def single_point_input(
    level: Cp2kLevel,
    symbols: Sequence[str],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    *,
    method: str,
    max_scf: int,
) -> str:
    """Return the input of one energy, force and stress calculation, coordinates included.

    Parameters
    ----------
    level : Cp2kLevel
    symbols : sequence of str, length N
    positions : ndarray, shape (N, 3)
        In Å.
    cell : ndarray, shape (3, 3)
        Cell vectors as rows, in Å.
    method : str
        One of `scf_methods`.
    max_scf : int
        Steps after which the first method gives up; the others have five times as many.

    Raises
    ------
    InputError
        If an element has no basis or potential.
    """
    kinds = species_of(level, symbols)
    lines = [
        "&GLOBAL",
        "  PROJECT label",
        "  RUN_TYPE ENERGY_FORCE",
        "  PRINT_LEVEL LOW",
        "&END GLOBAL",
        "&FORCE_EVAL",
        "  METHOD Quickstep",
        "  STRESS_TENSOR ANALYTICAL",
        *_dft(level, kpoint_mesh(level, cell), method, max_scf),
        "  &SUBSYS",
        "    &CELL",
        *(f"      {name} {_triple(row)}" for name, row in zip("ABC", cell, strict=True)),
        *_reference_cell(level),
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


def _reference_cell(level: Cp2kLevel) -> list[str]:
    if level.reference_cell_angstrom is None:
        return []
    rows = zip("ABC", level.reference_cell_angstrom, strict=True)
    lines = [f"        {name} {_triple(np.array(row))}" for name, row in rows]
    return ["      &CELL_REF", *lines, "      &END CELL_REF"]


def _triple(row: NDArray[np.float64]) -> str:
    return " ".join(f"{value:18.12f}" for value in row)


def _dft(level: Cp2kLevel, mesh: tuple[int, int, int], method: str, max_scf: int) -> list[str]:
    kpoints: tuple[str, ...] = ()
    if mesh != (1, 1, 1):
        words = " ".join(map(str, mesh))
        kpoints = ("    &KPOINTS", f"      SCHEME MONKHORST-PACK {words}", "    &END KPOINTS")
    return [
        "  &DFT",
        *(f"    BASIS_SET_FILE_NAME {name}" for name in level.basis_set_files),
        f"    POTENTIAL_FILE_NAME {level.potential_file}",
        "    &MGRID",
        f"      CUTOFF {level.cutoff_rydberg:g}",
        f"      REL_CUTOFF {level.rel_cutoff_rydberg:g}",
        # Grids in steps of two instead of three: fewer Gaussians on a grid too fine for them.
        "      NGRIDS 6",
        "      PROGRESSION_FACTOR 2",
        "    &END MGRID",
        "    &QS",
        f"      EPS_DEFAULT {level.eps_default:.3E}",
        "    &END QS",
        *kpoints,
        "    &SCF",
        # Orbitals of another frame are no better start than atoms: 17 steps against 16.
        "      SCF_GUESS ATOMIC",
        f"      EPS_SCF {level.eps_scf:.3E}",
        *METHODS[method](level, max_scf),
        "      &PRINT",
        "        &RESTART OFF",
        "        &END RESTART",
        "      &END PRINT",
        "    &END SCF",
        *_exchange_correlation(level),
        *_gap(method),
        "  &END DFT",
    ]


def _diagonalise(level: Cp2kLevel, max_scf: int) -> list[str]:
    return [
        f"      MAX_SCF {max_scf}",
        "      ADDED_MOS 1",
        "      &DIAGONALIZATION",
        "        ALGORITHM STANDARD",
        "      &END DIAGONALIZATION",
        "      &MIXING",
        "        METHOD BROYDEN_MIXING",
        "        ALPHA 0.4",
        "        NBROYDEN 8",
        "      &END MIXING",
    ]


def _minimise(level: Cp2kLevel, max_scf: int) -> list[str]:
    inner = min(20, max_scf)
    # The preconditioner is made anew at every outer step. Below the true gap (hartree) its
    # estimate is safe.
    return [
        f"      MAX_SCF {inner}",
        "      &OT",
        "        MINIMIZER DIIS",
        "        PRECONDITIONER FULL_ALL",
        "        ENERGY_GAP 0.08",
        "      &END OT",
        "      &OUTER_SCF",
        f"        EPS_SCF {level.eps_scf:.3E}",
        f"        MAX_SCF {max(1, 5 * max_scf // inner)}",
        "      &END OUTER_SCF",
    ]


DIAGONALISE, MINIMISE = "diagonalisation, Broyden mixing", "orbital transformation, DIIS"
METHODS: dict[str, Callable[[Cp2kLevel, int], list[str]]] = {
    DIAGONALISE: _diagonalise,
    MINIMISE: _minimise,
}


def _exchange_correlation(level: Cp2kLevel) -> list[str]:
    functional = [f"      &XC_FUNCTIONAL {level.functional}", "      &END XC_FUNCTIONAL"]
    dispersion = [
        "      &VDW_POTENTIAL",
        "        POTENTIAL_TYPE PAIR_POTENTIAL",
        "        &PAIR_POTENTIAL",
        f"          TYPE DFT{level.dispersion}",
        f"          REFERENCE_FUNCTIONAL {level.functional}",
        "          PARAMETER_FILE_NAME dftd3.dat",
        f"          R_CUTOFF {level.dispersion_cutoff_angstrom:g}",
        "        &END PAIR_POTENTIAL",
        "      &END VDW_POTENTIAL",
    ]
    if level.dispersion == "none":
        dispersion = []
    return ["    &XC", *functional, *dispersion, "    &END XC"]


def _gap(method: str) -> list[str]:
    """Print what the gap is read from, with one empty orbital and without cubes."""
    if method == MINIMISE:
        return [
            "    &PRINT",
            "      &MO_CUBES",
            "        NHOMO 1",
            "        NLUMO 1",
            "        WRITE_CUBE .FALSE.",
            "      &END MO_CUBES",
            "    &END PRINT",
        ]
    return [
        "    &PRINT",
        "      &MO",
        "        EIGENVALUES .TRUE.",
        "        OCCUPATION_NUMBERS .TRUE.",
        "        &EACH",
        "          QS_SCF 0",  # once, at the end
        "        &END EACH",
        "      &END MO",
        "    &END PRINT",
    ]
