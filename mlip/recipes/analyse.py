"""The recipe of `mlip analyse`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlip.recipes.base import Recipe


class ForeignTrajectory(Recipe):
    """What a trajectory file not made here does not carry itself.

    Attributes
    ----------
    timestep_fs : float
        Time between two stored frames, which is the time step of the simulation times the steps
        between stored frames: 100 for a step of 2 fs stored every 50 steps.
    temperature_kelvin : float
        Of the simulation.
    species : tuple of str, optional
        Elements, one an atom in the order of the file (of a LAMMPS dump: of the ids), or one a
        LAMMPS type; for files without names, such as LAMMPS dumps without a column `element`.
    charges : table of str to float, optional
        Charge of each element in elementary charges; for charge profiles.
    format : {extxyz, xdatcar, lammps-dump}, optional
        Where neither the name of the file nor its first line tell it.
    until_damage : bool
        Analyse the frames before a torn or unreadable one instead of stopping.
    """

    timestep_fs: float = Field(gt=0.0)
    temperature_kelvin: float = Field(gt=0.0)
    species: tuple[str, ...] | None = None
    charges: dict[str, float] | None = None
    format: Literal["extxyz", "xdatcar", "lammps-dump"] | None = None
    until_damage: bool = False


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
