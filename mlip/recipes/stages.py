"""The stages that a protocol of `mlip md` is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Kelvin = Annotated[float, Field(gt=0.0, le=5000.0)]
TimestepFs = Annotated[float, Field(gt=0.0, le=5.0)]
Origin = Literal["crystal", "glass", "interface"]
Purpose = Literal["equilibration", "production"]


class Minimise(Recipe):
    """Conjugate-gradient minimisation of the positions in the fixed cell.

    Attributes
    ----------
    hold_origin : {'crystal', 'glass', 'interface'}, optional
        Atoms of this origin stay where they are.
    """

    kind: Literal["minimise"]
    name: StageName = "minimise"
    force_tolerance_ev_per_angstrom: float = Field(default=0.02, gt=0.0)
    maximum_steps: int = Field(default=200, gt=0)
    hold_origin: Origin | None = None


class Heated(Recipe):
    """Length and temperature of a stage with a thermostat.

    With `temperature_kelvin` alone it is a hold, with `final_temperature_kelvin` as well a
    linear ramp; a falling ramp is a quench. A ramp is as long as `duration_ps` says, or as its
    `rate_kelvin_per_ps` takes; with neither it takes each of the protocol's
    `ramp_rates_kelvin_per_ps` in turn, one run each.

    Attributes
    ----------
    duration_ps : float, optional
    temperature_kelvin : float, optional
        At the start. The protocol's temperature of the run by default; for a ramp the
        temperature that the stage before ends at, if there is one.
    final_temperature_kelvin : float or 'run', optional
        At the end; 'run' is the protocol's temperature of the run.
    rate_kelvin_per_ps : float, optional
        Always positive.
    timestep_fs : float, optional
        The protocol's by default. A melt takes 0.5 to 1 fs.
    thermostat_damping_ps : float
        Relaxation time.
    """

    duration_ps: float | None = Field(default=None, gt=0.0)
    temperature_kelvin: Kelvin | None = None
    final_temperature_kelvin: Kelvin | Literal["run"] | None = None
    rate_kelvin_per_ps: float | None = Field(default=None, gt=0.0)
    timestep_fs: TimestepFs | None = None
    thermostat_damping_ps: float = Field(default=0.1, gt=0.0)

    @property
    def is_ramp(self) -> bool:
        """Return whether the temperature changes on purpose."""
        return self.final_temperature_kelvin is not None

    @model_validator(mode="after")
    def _one_length(self) -> Heated:
        if not self.is_ramp and self.rate_kelvin_per_ps is not None:
            raise ValueError("rate_kelvin_per_ps needs final_temperature_kelvin to go to")
        if self.duration_ps is not None and self.rate_kelvin_per_ps is not None:
            raise ValueError("a ramp takes duration_ps or rate_kelvin_per_ps, not both")
        if not self.is_ramp and self.duration_ps is None:
            raise ValueError("duration_ps: missing")
        return self


class Npt(Heated):
    """Dynamics at constant pressure.

    At a constant temperature it is Nosé-Hoover (Martyna, Tobias and Klein, J. Chem. Phys. 101,
    4177 (1994), doi 10.1063/1.467468); along a ramp the same barostat with the stochastic
    velocity rescaling of Bussi, Donadio and Parrinello (J. Chem. Phys. 126, 014101 (2007),
    doi 10.1063/1.2408420), since a Nosé-Hoover ramp under pressure cannot be resumed.

    Attributes
    ----------
    pressure_gpa : float
    barostat : {'iso', 'aniso', 'tri', 'normal_a', 'normal_b', 'normal_c'}
        What of the cell may change: 'iso' its volume (liquids, glasses, cubic crystals),
        'aniso' three lengths (orthorhombic crystals), 'tri' lengths and angles, 'normal_c' the
        length along c alone, under the stress along the normal of the ab plane (slabs, and a
        glass that has to keep the lateral vectors of a crystal).
    barostat_damping_ps : float
        Relaxation time.
    """

    kind: Literal["npt"]
    name: StageName = "equilibrate"
    pressure_gpa: float = 1.0e-4
    barostat: Literal["iso", "aniso", "tri", "normal_a", "normal_b", "normal_c"]
    barostat_damping_ps: float = Field(default=1.0, gt=0.0)


class Nvt(Heated):
    """Nosé-Hoover dynamics at constant volume.

    Attributes
    ----------
    purpose : {'equilibration', 'production'}
        Only production is analysed.
    cell : {'mean', 'keep'}
        'mean': the mean cell matrix of the second half of the last NPT stage, so that the
        run is at the wanted pressure and not at one instant's volume.
    hold_origin : {'crystal', 'glass', 'interface'}, optional
        Atoms of this origin of the structure do not move; the thermostat counts the others
        alone. They get velocities of their own when a later stage lets them go.
    """

    kind: Literal["nvt"]
    name: StageName = "produce"
    purpose: Purpose = "production"
    cell: Literal["mean", "keep"] = "mean"
    hold_origin: Origin | None = None


class Nve(Recipe):
    """Dynamics at constant energy and volume, in the cell that the stage before left.

    It shows whether forces and energy belong together and whether the time step is short
    enough; heat the sample in an NVT stage before.

    Attributes
    ----------
    purpose : {'equilibration', 'production'}
        Only production is analysed.
    timestep_fs : float, optional
        The protocol's by default.
    """

    kind: Literal["nve"]
    name: StageName = "conserve"
    duration_ps: float = Field(gt=0.0)
    purpose: Purpose = "production"
    timestep_fs: TimestepFs | None = None


class Deform(Recipe):
    """One length or tilt of the cell changes evenly, positions along, the rest of it fixed.

    The atoms are mapped into the new cell at every step, which suits solids; a Nosé-Hoover
    thermostat takes the heat. Its frames count as equilibration: they are not for transport.

    Attributes
    ----------
    component : {'x', 'y', 'z', 'xy', 'xz', 'yz'}
        Length along x, y or z, or shear of one axis along another.
    final_strain : float
        Engineering strain at the end: change over the first length; for a shear the change of
        the tilt over the first height.
    duration_ps, strain_rate_per_ps : float
        One of the two. The rate is a positive number.
    temperature_kelvin : float, optional
        The protocol's temperature of the run by default.
    timestep_fs : float, optional
    thermostat_damping_ps : float
    """

    kind: Literal["deform"]
    name: StageName = "deform"
    component: Literal["x", "y", "z", "xy", "xz", "yz"]
    final_strain: float = Field(gt=-0.9, le=2.0)
    duration_ps: float | None = Field(default=None, gt=0.0)
    strain_rate_per_ps: float | None = Field(default=None, gt=0.0)
    temperature_kelvin: Kelvin | None = None
    timestep_fs: TimestepFs | None = None
    thermostat_damping_ps: float = Field(default=0.1, gt=0.0)

    @model_validator(mode="after")
    def _one_length(self) -> Deform:
        if (self.duration_ps is None) == (self.strain_rate_per_ps is None):
            raise ValueError("deform takes either duration_ps or strain_rate_per_ps")
        if self.final_strain == 0.0:
            raise ValueError("final_strain is zero: use nvt")
        return self


AnyStage = Minimise | Npt | Nvt | Nve | Deform
Stage = Annotated[AnyStage, Field(discriminator="kind")]


def held_origin(stage: AnyStage) -> str | None:
    """Return the origin of the atoms that do not move in a stage."""
    return stage.hold_origin if isinstance(stage, Minimise | Nvt) else None


def purpose_of(stage: AnyStage) -> str:
    """Return what the frames of a stage are for: 'production' or 'equilibration'."""
    return stage.purpose if isinstance(stage, Nvt | Nve) else "equilibration"
