"""The protocol of `mlip md`: stages, temperatures and how often what is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe
from mlip.recipes.programme import Scheduled, quench_rate, schedule
from mlip.recipes.protocol_checks import first_fault
from mlip.recipes.stages import (
    AnyStage,
    Deform,
    Kelvin,
    Minimise,
    Npt,
    Nve,
    Nvt,
    Stage,
    TimestepFs,
)

__all__ = ["AnyStage", "Deform", "DenseStream", "Glass", "Minimise", "Npt", "Nve", "Nvt"]
__all__ += ["Protocol"]


class DenseStream(Recipe):
    """A second trajectory of every production stage, for what happens within picoseconds.

    Attributes
    ----------
    every_steps : int
    duration_ps : float
        From the start of the stage.
    """

    every_steps: int = Field(gt=0)
    duration_ps: float = Field(gt=0.0)


class Glass(Recipe):
    """What the provenance of a quenched glass is counted by.

    Attributes
    ----------
    melt_above_kelvin : float
        Time above it counts as time in the melt.
    glass_transition_kelvin : float
        Tg; time above 0.8 Tg, where a glass ages, and the rate at Tg are reported.
    minimise : Minimise
        How the final structure is taken to the bottom of its well for the energy.
    """

    melt_above_kelvin: Kelvin
    glass_transition_kelvin: Kelvin
    minimise: Minimise = Minimise(
        kind="minimise",
        name="inherent",
        force_tolerance_ev_per_angstrom=0.01,
        maximum_steps=2000,
    )


class Protocol(Recipe):
    """What `mlip md` does in each run.

    There is one run for each temperature, each ramp rate, each replica and each structure; more
    than one makes a directory of runs.

    Attributes
    ----------
    temperatures_kelvin : tuple of float
        Of the stages that have no temperature of their own.
    ramp_rates_kelvin_per_ps : tuple of float
        Of the ramps that have neither duration nor rate of their own.
    replicas : int
        Times that the whole protocol is repeated from its start, each with its own random
        numbers: replicas of a melt-quench are independent glasses.
    material : {'crystal', 'cubic-crystal', 'liquid', 'glass', 'glass-ceramic'}, optional
        What the sample is or becomes; barostats that are wrong for it are refused. Without it
        the choice of the barostat is not checked.
    member : int
        Which member of the committee drives, from 0; the others watch.
    untrusted : {'warn', 'stop'}
        What to do when a calibrated committee distrusts ten frames in a row: stop, or only say
        so in the summary and write the frames for labelling.
    timestep_fs : float
        1 fs suits Li-P-S up to about 1000 K.
    seed : int
        Of the velocities; run number n uses seed + n.
    glass : Glass, optional
        Adds the provenance of the glass to the summary: time in the melt, rate of the quench,
        time above 0.8 Tg, energy of the minimised final structure.
    thermo_every_steps, trajectory_every_steps, deviation_every_steps : int
        How often thermodynamics, positions and the committee's deviation are written.
    dense : DenseStream, optional
    restart_every_steps : int
        How much a kill can cost.
    """

    temperatures_kelvin: tuple[Kelvin, ...] = Field(min_length=1)
    ramp_rates_kelvin_per_ps: tuple[Annotated[float, Field(gt=0.0)], ...] = ()
    replicas: int = Field(default=1, ge=1, le=1000)
    material: Literal["crystal", "cubic-crystal", "liquid", "glass", "glass-ceramic"] | None = None
    member: int = Field(default=0, ge=0)
    untrusted: Literal["warn", "stop"] = "warn"
    timestep_fs: TimestepFs = 1.0
    seed: int = Field(default=1, gt=0, lt=10**8)
    stages: tuple[Stage, ...] = Field(min_length=1)
    glass: Glass | None = None
    thermo_every_steps: int = Field(default=50, gt=0)
    trajectory_every_steps: int = Field(default=50, gt=0)
    deviation_every_steps: int = Field(default=100, gt=0)
    dense: DenseStream | None = None
    restart_every_steps: int = Field(default=1000, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stage names must differ, found {', '.join(names)}")
        for key in ("temperatures_kelvin", "ramp_rates_kelvin_per_ps"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} has a value twice")
        open_ramps = [s for s in self.stages if isinstance(s, Npt | Nvt) and _takes_rate(s)]
        if self.ramp_rates_kelvin_per_ps and not open_ramps:
            raise ValueError("ramp_rates_kelvin_per_ps: every ramp has a length of its own")
        for temperature in self.temperatures_kelvin:
            for rate in self.ramp_rates_kelvin_per_ps or (None,):
                programme = self._schedule(temperature, rate)
                if fault := first_fault(programme, self.material):
                    raise ValueError(fault)
                if self.glass:
                    quench_rate(programme, self.glass.glass_transition_kelvin)
                if self.dense:
                    self._require_useful(self.dense, programme)
        return self

    def programme(self) -> tuple[Scheduled, ...]:
        """Return the time table of the first temperature and rate."""
        return self._schedule(
            self.temperatures_kelvin[0], next(iter(self.ramp_rates_kelvin_per_ps), None)
        )

    def singles(self) -> tuple[Protocol, ...]:
        """Return one protocol for each run: one temperature, one rate, one replica, own seed."""
        rates: list[tuple[float, ...]] = [(rate,) for rate in self.ramp_rates_kelvin_per_ps]
        found: list[Protocol] = []
        for _ in range(self.replicas):
            for rate in rates or [()]:
                for temperature in self.temperatures_kelvin:
                    change = {
                        "temperatures_kelvin": (temperature,),
                        "ramp_rates_kelvin_per_ps": rate,
                        "replicas": 1,
                        "seed": self.seed + len(found),
                    }
                    found.append(self.model_copy(update=change))
        return tuple(found)

    def run_names(self) -> tuple[str, ...]:
        """Return the directory names of `singles`: what differs between the runs."""
        rates = self.ramp_rates_kelvin_per_ps
        several = len(self.temperatures_kelvin) > 1
        return tuple(
            "_".join(
                [f"replica_{replica + 1}"] * (self.replicas > 1)
                + [f"{rate:g}K_per_ps"] * (len(rates) > 1)
                + [f"{temperature:g}K"] * several
            )
            for replica in range(self.replicas)
            for rate in rates or (0.0,)
            for temperature in self.temperatures_kelvin
        )

    def _schedule(self, temperature: float, rate: float | None) -> tuple[Scheduled, ...]:
        return schedule(
            self.stages,
            timestep_fs=self.timestep_fs,
            temperature_kelvin=temperature,
            ramp_rate_kelvin_per_ps=rate,
        )

    def _require_useful(self, dense: DenseStream, programme: tuple[Scheduled, ...]) -> None:
        if dense.every_steps >= self.trajectory_every_steps:
            raise ValueError(
                f"dense.every_steps {dense.every_steps} is no denser than "
                f"trajectory_every_steps {self.trajectory_every_steps}"
            )
        step_ps = min(part.timestep_fs for part in programme) / 1000.0
        if dense.duration_ps < dense.every_steps * step_ps:
            raise ValueError("dense.duration_ps is shorter than dense.every_steps")


def _takes_rate(stage: Npt | Nvt) -> bool:
    return stage.is_ramp and stage.duration_ps is None and stage.rate_kelvin_per_ps is None
