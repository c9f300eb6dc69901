"""Recipe of `mlip label`: the level of theory, and how a label is computed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag

from mlip.recipes.base import Recipe

Mesh = Annotated[int, Field(ge=1, le=50)]
Row = tuple[float, float, float]


class Species(Recipe):
    """Basis and pseudopotential of one element, by their names in the CP2K data files.

    Keys
    ----
    basis : str
        Name in one of `basis_set_files`.
    potential : str
        Name in `potential_file`, with the valence (``-q6``) written out: the short names
        mean another valence in another file, and the electrons are counted from it.
    """

    basis: str = Field(min_length=1)
    potential: str = Field(pattern=r"^\S+-q\d+$")

    @property
    def valence_electrons(self) -> int:
        """Return the number of electrons that this atom brings."""
        return int(self.potential.rpartition("-q")[2])


class Cp2kLevel(Recipe):
    """PBE with CP2K/Quickstep, neutral and closed-shell.

    What each setting costs and what it does to forces, energies and pressure of Li-P-S is
    measured in ``training_data/reference/dft_convergence.md``.

    Keys
    ----
    functional : 'PBE'
        Exchange and correlation.
    dispersion : 'D3(BJ)', 'D3' or 'none'
        Pair dispersion with Becke-Johnson damping (Grimme, doi:10.1002/jcc.21759) or with
        zero damping (doi:10.1063/1.3382344).
    dispersion_cutoff_angstrom : float
        Range of the dispersion sum; the force is cut there.
    cutoff_rydberg : float
        Plane-wave cutoff of the finest grid.
    rel_cutoff_rydberg : float
        Cutoff of the grid level that a Gaussian is put on.
    eps_scf : float
        Convergence of the density matrix (or of the orbital gradient, where the orbitals are
        minimised instead).
    eps_default : float
        Precision of overlap and grid sums.
    sampling_width_angstrom : float
        Each direction gets as many k points (Monkhorst-Pack) as make the cell at least so
        wide; a cell that wide by itself has the Gamma point alone, and 0 means it always.
    kpoints : tuple of int, optional
        A mesh along a, b and c instead, whatever the cell.
    reference_cell_angstrom : three rows of three numbers, optional
        Cell that fixes the number of grid points. With one for all volumes, an equation of
        state is smooth; without it the grid jumps from cell to cell.
    basis_set_files : tuple of str
        CP2K data files, searched in this order.
    potential_file : str
        CP2K data file.
    species : dict
        Further elements, or other entries for known ones.
    """

    engine: Literal["cp2k"] = "cp2k"
    functional: Literal["PBE"] = "PBE"
    dispersion: Literal["D3(BJ)", "D3", "none"] = "D3(BJ)"
    dispersion_cutoff_angstrom: float = Field(default=15.0, gt=0, le=50)
    cutoff_rydberg: float = Field(default=400.0, ge=50, le=5000)
    rel_cutoff_rydberg: float = Field(default=40.0, ge=10, le=500)
    eps_scf: float = Field(default=1.0e-4, gt=0, le=1e-3)
    eps_default: float = Field(default=1.0e-9, gt=0, le=1e-6)
    sampling_width_angstrom: float = Field(default=16.0, ge=0, le=100)
    kpoints: tuple[Mesh, Mesh, Mesh] | None = None
    reference_cell_angstrom: tuple[Row, Row, Row] | None = None
    basis_set_files: tuple[str, ...] = Field(default=("BASIS_MOLOPT",), min_length=1)
    potential_file: str = "GTH_POTENTIALS"
    species: dict[str, Species] = Field(default_factory=dict)


class AseLevel(Recipe):
    """Any ASE calculator with energy, forces and stress.

    Keys
    ----
    calculator : str
        Where it is imported from, ``module:name``, for example
        ``ase.calculators.lj:LennardJones``; a class or a function that returns one.
    parameters : dict
        Keyword arguments it is made with.
    """

    engine: Literal["ase"]
    calculator: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


def _engine(content: Any) -> str:
    """Return the name in a level; CP2K where none is given."""
    if isinstance(content, dict):
        return str(content.get("engine", "cp2k"))
    return str(getattr(content, "engine", "cp2k"))


Level = Annotated[
    Annotated[Cp2kLevel, Tag("cp2k")] | Annotated[AseLevel, Tag("ase")],
    Discriminator(
        _engine,
        custom_error_type="engine",
        custom_error_message="engine must be 'cp2k' or 'ase'",
    ),
]


class LabelExecution(Recipe):
    """How a label is computed; it does not change the result and may differ between calls.

    Keys
    ----
    ranks : int, optional
        MPI ranks of one calculation. With fewer than there are cores, as many calculations
        as fit run side by side, which gives more labels an hour; by default one rank each
        where there are frames enough to fill the cores, else every core.
    threads : int
        Threads of each rank; ranks scale better.
    max_scf : int
        Steps after which the self-consistency of the first attempt is given up; the second
        attempt, with another minimiser, gets five times as many.
    """

    ranks: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)
    max_scf: int = Field(default=60, ge=1, le=1000)


class LabelRecipe(Recipe):
    """Single points of first principles, or of any ASE calculator.

    Keys
    ----
    level : Cp2kLevel or AseLevel
        What the numbers depend on; ``engine: cp2k`` by default.
    execution : LabelExecution
    """

    level: Level = Cp2kLevel()
    execution: LabelExecution = LabelExecution()

    def settings(self) -> dict[str, Any]:
        """Return what the numbers depend on: everything except `execution`."""
        return {"level": self.level.expanded()}
