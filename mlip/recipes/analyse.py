"""The recipe of `mlip analyse`."""

from __future__ import annotations

from pydantic import Field

from mlip.recipes.base import Recipe


class ForeignTrajectory(Recipe):
    """What a trajectory file not made here does not carry itself.

    Attributes
    ----------
    species : tuple of str, optional
        Element of each atom, for files without names.
    timestep_fs : float
        Time between two stored frames.
    temperature_kelvin : float
        Of the simulation.
    """

    species: tuple[str, ...] | None = None
    timestep_fs: float = Field(gt=0.0)
    temperature_kelvin: float = Field(gt=0.0)


class AnalyseRecipe(Recipe):
    """What is computed from a trajectory.

    Attributes
    ----------
    mobile : str, optional
        Mobile element; Li by default where there is Li.
    charge_e : float
        Its charge in elementary charges.
    foreign : ForeignTrajectory, optional
        Needed for trajectory files that are no run directories.
    """

    mobile: str | None = None
    charge_e: float = 1.0
    foreign: ForeignTrajectory | None = None
