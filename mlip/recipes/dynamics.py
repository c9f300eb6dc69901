"""The dynamics part of the recipe of `mlip validate`: against AIMD, stability, conservation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe
from mlip.recipes.build import Repeats

RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Kelvin = Annotated[float, Field(gt=0.0, le=5000.0)]
# Two energies, ten steps apart, for each of the twenty blocks of the fit.
FEWEST_CONSERVED_STEPS = 400


class Peak(Recipe):
    """One band of the vibrational density of states whose position is compared.

    Keys
    ----
    name
        How it is called in the table.
    species
        Whose density of states is read. In a breathing mode the centre rests and only the
        ligands move: the symmetric P-S stretch of PS4 near 420 1/cm is seen in S, not in P.
    window_per_cm
        Where to look for the highest prominent peak.
    """

    name: str
    species: str
    window_per_cm: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Peak:
        low, high = self.window_per_cm
        if not 0.0 <= low < high:
            raise ValueError(f"window_per_cm runs from {low:g} to {high:g}; give low, then high")
        return self


class AimdReference(Recipe):
    """An ab initio trajectory that the potential has to repeat.

    Keys
    ----
    name
        Folder name and subject in the table.
    path
        CP2K run directory, run directory of ``mlip md``, or an extxyz or XDATCAR file (also
        compressed); relative to the recipe.
    temperature_kelvin
        At which the potential is run: the mean of the AIMD.
    frame_interval_fs
        Time between two stored frames; only for files, which do not carry it.
    skip_ps
        Of the start of the AIMD that is left out as equilibration.
    replicas
        Runs of the potential as long as the AIMD, with different velocities; their scatter says
        how much a single AIMD run can tell.
    equilibration_ps
        Thermostatted time before each replica.
    ensemble
        nvt, or nve after the thermostatted equilibration.
    timestep_fs
        Longest time step; shortened so that frames are as far apart as in the AIMD.
    peaks
        See `Peak`.
    resolution_per_cm
        Width that the density of states gives to a sharp line.
    highest_per_cm
        Highest vibration of the material; frames must follow it.
    """

    name: RunName
    path: str
    temperature_kelvin: Kelvin
    frame_interval_fs: float | None = Field(default=None, gt=0.0)
    skip_ps: float = Field(default=0.0, ge=0.0)
    replicas: int = Field(default=4, ge=3, le=50)
    equilibration_ps: float = Field(default=2.0, gt=0.0)
    ensemble: Literal["nvt", "nve"] = "nvt"
    timestep_fs: float = Field(default=1.0, gt=0.0, le=5.0)
    peaks: tuple[Peak, ...] = ()
    resolution_per_cm: float = Field(default=20.0, gt=0.0)
    highest_per_cm: float = Field(default=700.0, gt=0.0)


class Start(Recipe):
    """Where a run of the potential starts from.

    Keys
    ----
    crystal
        Name of a shipped crystal.
    structure
        A structure directory instead, relative to the recipe.
    supercell
        Repeats of it along a, b and c.
    """

    crystal: str | None = None
    structure: str | None = None
    supercell: tuple[Repeats, Repeats, Repeats] = (1, 1, 1)

    @model_validator(mode="after")
    def _one(self) -> Start:
        if (self.crystal is None) == (self.structure is None):
            raise ValueError("give either crystal (a name) or structure (a directory)")
        return self


class StabilityRun(Recipe):
    """A run that has to end as it began: no atoms lost, no distance never seen in training.

    Keys
    ----
    name
        Folder name and subject in the table.
    start
        See `Start`.
    temperature_kelvin
        Give this, or `hottest_training_factor`.
    hottest_training_factor
        Temperature as a multiple of the hottest of the training frames.
    duration_ps
        Time at that temperature, after a short minimisation.
    ensemble
        npt for crystals; nvt for a liquid, which may boil away at no pressure.
    pressure_gpa, barostat
        As in a protocol.
    timestep_fs
        Time step.
    intact_units
        Whether each atom must end in an anion of the kind that it started in (crystals, up to
        700 K).
    """

    name: RunName
    start: Start
    temperature_kelvin: Kelvin | None = None
    hottest_training_factor: float | None = Field(default=None, gt=0.0, le=5.0)
    duration_ps: float = Field(gt=0.0)
    ensemble: Literal["npt", "nvt"] = "npt"
    pressure_gpa: float = 1.0e-4
    barostat: Literal["iso", "aniso", "tri"] = "aniso"
    timestep_fs: float = Field(default=1.0, gt=0.0, le=5.0)
    intact_units: bool = False

    @model_validator(mode="after")
    def _one_temperature(self) -> StabilityRun:
        if (self.temperature_kelvin is None) == (self.hottest_training_factor is None):
            raise ValueError("give either temperature_kelvin or hottest_training_factor")
        return self


class ConservationRun(Recipe):
    """A run at constant energy, after a thermostatted start.

    Keys
    ----
    name
        Folder name and subject in the table.
    start
        See `Start`.
    temperature_kelvin
        Of the start.
    equilibration_ps
        Thermostatted time before.
    duration_ps
        Time at constant energy.
    timestep_fs
        The step that production runs are to use.
    """

    name: RunName = "nve"
    start: Start
    temperature_kelvin: Kelvin
    equilibration_ps: float = Field(default=2.0, gt=0.0)
    duration_ps: float = Field(default=20.0, gt=0.0)
    timestep_fs: float = Field(default=1.0, gt=0.0, le=5.0)

    @model_validator(mode="after")
    def _long_enough(self) -> ConservationRun:
        steps = self.duration_ps * 1000.0 / self.timestep_fs
        if steps < FEWEST_CONSERVED_STEPS:
            raise ValueError(
                f"duration_ps: {steps:.0f} steps are too few to fit a drift; expected at least "
                f"{FEWEST_CONSERVED_STEPS}"
            )
        return self


class DynamicsSettings(Recipe):
    """What a potential has to do in motion; empty lists test nothing.

    Keys
    ----
    aimd
        See `AimdReference`.
    stability
        See `StabilityRun`.
    nve
        See `ConservationRun`.
    seed
        Of all velocities.
    """

    aimd: tuple[AimdReference, ...] = ()
    stability: tuple[StabilityRun, ...] = ()
    nve: tuple[ConservationRun, ...] = ()
    seed: int = Field(default=1, gt=0, lt=10**6)

    @model_validator(mode="after")
    def _different_names(self) -> DynamicsSettings:
        for kind in ("aimd", "stability", "nve"):
            names = [entry.name for entry in getattr(self, kind)]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{kind} has two entries named {', '.join(twice)}")
        return self
