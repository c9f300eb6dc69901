"""Recipe of `mlip label`: the settings of the first-principles single points."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mlip.recipes.base import Recipe


class Species(Recipe):
    """Basis and pseudopotential of one element, by their names in the CP2K data files.

    Keys
    ----
    basis : str
        Name in `basis_set_file`.
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


class LabelExecution(Recipe):
    """How a label is computed; it does not change the result and may differ between calls.

    Keys
    ----
    ranks : int, optional
        MPI ranks of one single point; every core by default. With fewer, as many single
        points as fit run side by side.
    threads : int
        Threads of each rank; ranks scale better.
    """

    ranks: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)


class LabelRecipe(Recipe):
    """PBE single points at the Gamma point with CP2K/Quickstep, neutral and closed-shell.

    Keys
    ----
    functional : 'PBE'
        Exchange and correlation.
    dispersion : 'D3(BJ)' or 'none'
        Pair dispersion with Becke-Johnson damping (Grimme, doi:10.1002/jcc.21759).
    dispersion_cutoff_angstrom : float
        Range of the dispersion sum; the force is cut there.
    cutoff_rydberg : float
        Plane-wave cutoff of the finest grid. Below 400 the forces of a rattled cell carry
        noise of 35 meV/Å (300) to 80 meV/Å (250).
    rel_cutoff_rydberg : float
        Cutoff of the grid level that a Gaussian is put on.
    eps_scf : float
        Convergence of the orbital gradient; forces converge with its square root.
    eps_default : float
        Precision of overlap and grid sums.
    max_scf, max_outer_scf : int
        Steps before the preconditioner is made anew, and how often that is done. Molten
        cells need 60 steps from atomic densities.
    energy_gap_hartree : float
        Estimate for the preconditioner: below the true gap is safe, far above it is not.
    basis_set_file, potential_file : str
        CP2K data files.
    species : dict
        Further elements, or other entries for known ones.
    execution : LabelExecution
    """

    functional: Literal["PBE"] = "PBE"
    dispersion: Literal["D3(BJ)", "none"] = "D3(BJ)"
    dispersion_cutoff_angstrom: float = Field(default=15.0, gt=0, le=50)
    cutoff_rydberg: float = Field(default=400.0, ge=50, le=5000)
    rel_cutoff_rydberg: float = Field(default=50.0, ge=10, le=500)
    eps_scf: float = Field(default=1.0e-6, gt=0, le=1e-3)
    eps_default: float = Field(default=1.0e-11, gt=0, le=1e-6)
    max_scf: int = Field(default=20, ge=1, le=1000)
    max_outer_scf: int = Field(default=15, ge=1, le=1000)
    energy_gap_hartree: float = Field(default=0.08, gt=0, le=2)
    basis_set_file: str = "BASIS_MOLOPT"
    potential_file: str = "GTH_POTENTIALS"
    species: dict[str, Species] = Field(default_factory=dict)
    execution: LabelExecution = LabelExecution()

    def settings(self) -> dict[str, Any]:
        """Return what the numbers depend on: everything except `execution`."""
        return {key: value for key, value in self.expanded().items() if key != "execution"}
