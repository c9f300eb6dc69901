"""The protocol of `mlip md`: stages, temperatures and how often what is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Minimise(Recipe):
    """Conjugate-gradient minimisation of the positions in the fixed cell."""

    kind: Literal["minimise"]
    name: StageName = "minimise"
    force_tolerance_ev_per_angstrom: float = Field(default=0.02, gt=0.0)
    maximum_steps: int = Field(default=200, gt=0)


class Npt(Recipe):
    """Nose-Hoover dynamics at constant pressure.

    Attributes
    ----------
    barostat : {'iso', 'aniso', 'tri'}
        'aniso' (three lengths) suits orthorhombic crystals, 'tri' lower symmetry, 'iso'
        liquids and glasses.
    barostat_damping_ps, thermostat_damping_ps : float
        Relaxation times.
    """

    kind: Literal["npt"]
    name: StageName = "equilibrate"
    duration_ps: float = Field(gt=0.0)
    pressure_gpa: float = 1.0e-4
    barostat: Literal["iso", "aniso", "tri"]
    thermostat_damping_ps: float = Field(default=0.1, gt=0.0)
    barostat_damping_ps: float = Field(default=1.0, gt=0.0)


class Nvt(Recipe):
    """Nose-Hoover dynamics at constant volume.

    Attributes
    ----------
    purpose : {'equilibration', 'production'}
        Only production is analysed.
    cell : {'mean', 'keep'}
        'mean': the mean cell matrix of the second half of the last NPT stage, so that the
        run is at the wanted pressure and not at one instant's volume.
    """

    kind: Literal["nvt"]
    name: StageName = "produce"
    duration_ps: float = Field(gt=0.0)
    purpose: Literal["equilibration", "production"] = "production"
    cell: Literal["mean", "keep"] = "mean"
    thermostat_damping_ps: float = Field(default=0.1, gt=0.0)


class Nve(Recipe):
    """Dynamics at constant energy and volume, in the cell that the stage before left.

    It shows whether forces and energy belong together and whether the time step is short
    enough; heat the sample in an NVT stage before.

    Attributes
    ----------
    purpose : {'equilibration', 'production'}
        Only production is analysed.
    """

    kind: Literal["nve"]
    name: StageName = "conserve"
    duration_ps: float = Field(gt=0.0)
    purpose: Literal["equilibration", "production"] = "production"


Stage = Annotated[Minimise | Npt | Nvt | Nve, Field(discriminator="kind")]


class Protocol(Recipe):
    """What `mlip md` does at each temperature.

    Attributes
    ----------
    temperatures_kelvin : tuple of float
        One run each; more than one makes a directory of runs.
    timestep_fs : float
        1 fs suits Li-P-S up to about 1000 K.
    seed : int
        Of the velocities; temperature number n uses seed + n.
    thermo_every_steps, trajectory_every_steps, deviation_every_steps : int
        How often thermodynamics, positions and the committee's deviation are written.
    restart_every_steps : int
        How much a kill can cost.
    """

    temperatures_kelvin: tuple[Annotated[float, Field(gt=0.0, le=5000.0)], ...] = Field(
        min_length=1
    )
    timestep_fs: float = Field(default=1.0, gt=0.0, le=5.0)
    seed: int = Field(default=1, gt=0, lt=10**8)
    stages: tuple[Stage, ...] = Field(min_length=1)
    thermo_every_steps: int = Field(default=50, gt=0)
    trajectory_every_steps: int = Field(default=50, gt=0)
    deviation_every_steps: int = Field(default=100, gt=0)
    restart_every_steps: int = Field(default=1000, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stage names must differ, found {', '.join(names)}")
        if len(set(self.temperatures_kelvin)) < len(self.temperatures_kelvin):
            raise ValueError("temperatures_kelvin has a value twice")
        moved = False
        for stage in self.stages:
            if stage.kind == "minimise" and moved:
                raise ValueError(f"{stage.name}: minimise can only come before dynamics")
            moved = moved or stage.kind != "minimise"
        for stage in self.stages:
            if stage.kind != "minimise" and self.stage_steps(stage) < 1:
                raise ValueError(f"{stage.name}: duration_ps is shorter than one time step")
        return self

    def stage_steps(self, stage: Minimise | Npt | Nvt | Nve) -> int:
        """Return the number of dynamics steps of a stage; none for a minimisation."""
        if stage.kind == "minimise":
            return 0
        return round(stage.duration_ps * 1000.0 / self.timestep_fs)
