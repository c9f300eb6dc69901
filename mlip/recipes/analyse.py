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
    format : {extxyz, xdatcar, lammps-dump}, optional
        Where neither the name of the file nor its first line tell it.
    velocity_unit : {angstrom/ps, angstrom/fs, ase}, optional
        Unit of velocities in the file; by default that of LAMMPS `metal` units in a dump, of ASE
        in extxyz.
    until_damage : bool
        Analyse the frames before a torn or unreadable one instead of stopping.
    """

    timestep_fs: float = Field(gt=0.0)
    temperature_kelvin: float = Field(gt=0.0)
    species: tuple[str, ...] | None = None
    format: Literal["extxyz", "xdatcar", "lammps-dump"] | None = None
    velocity_unit: Literal["angstrom/ps", "angstrom/fs", "ase"] | None = None
    until_damage: bool = False


class MeasuredScattering(Recipe):
    """A measured curve that the simulated one is compared with.

    Attributes
    ----------
    path : str
        Table of x, y and, if known, the standard error of y; relative to the recipe.
    function : {S(Q), Q[S(Q)-1], G(r)}
    radiation : {neutron, xray}
    q_max_inverse_angstrom : float, optional
        Largest Q that was transformed to G(r); needed there.
    window : {none, lorch}
        Window of that transform.
    """

    path: str
    function: Literal["S(Q)", "Q[S(Q)-1]", "G(r)"]
    radiation: Literal["neutron", "xray"]
    q_max_inverse_angstrom: float | None = Field(default=None, gt=0.0)
    window: Literal["none", "lorch"] = "none"


class References(Recipe):
    """Runs of a bulk crystal and a bulk glass at the temperature of the sample.

    Attributes
    ----------
    crystal, glass : str
        Run directories, relative to the recipe.
    """

    crystal: str
    glass: str


class RunOrigin(Recipe):
    """What a run is a run of, where its manifest does not tell or is to be corrected.

    Attributes
    ----------
    material : str, optional
        Runs of one material are combined; by default that of the protocol, the composition and
        how the structure was made.
    sample : str, optional
        Repeats of one sample share it; independent samples, such as melt-quenches or orderings,
        do not. By default the melt-quench or the structure that the run goes back to.
    temperature_kelvin : float, optional
        By default that of the production stage, or of `foreign`.
    """

    material: str | None = Field(default=None, min_length=1, pattern=r"^[^/\s]+$")
    sample: str | None = Field(default=None, min_length=1)
    temperature_kelvin: float | None = Field(default=None, gt=0.0)


class AnalyseRecipe(Recipe):
    """What is computed from a trajectory.

    Attributes
    ----------
    mobile : str, optional
        Mobile element; Li by default where there is Li.
    charge_e : float
        Its charge in elementary charges.
    charges : table of str to float, optional
        Charge of each element in elementary charges, for charge profiles.
    axis : {a, b, c}, optional
        Normal of the layers for F(z) and profiles. By default the longest axis of a cell that
        was built from a crystal and a glass; no F(z) of other cells.
    measured : list of MeasuredScattering
    references : References, optional
        What F(z) and the order of atoms are measured against: 0 crystal, 1 glass.
    stage : str, optional
        Production stage of the runs, those of `references` among them; needed where one has
        several.
    foreign : ForeignTrajectory, optional
        Needed for trajectory files that are no run directories.
    runs : table of RunOrigin, optional
        By the name of the run: the last part of its path.
    """

    mobile: str | None = None
    charge_e: float = 1.0
    charges: dict[str, float] | None = None
    axis: Literal["a", "b", "c"] | None = None
    measured: tuple[MeasuredScattering, ...] = ()
    references: References | None = None
    stage: str | None = None
    foreign: ForeignTrajectory | None = None
    runs: dict[str, RunOrigin] | None = None
