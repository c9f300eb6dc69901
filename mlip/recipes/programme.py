"""The time table of a run: when each stage of a protocol begins, how long and how hot it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlip.recipes.stages import AnyStage, Deform, Heated, Minimise, Nve


@dataclass(frozen=True)
class Scheduled:
    """One stage with all that the protocol leaves to defaults filled in.

    Attributes
    ----------
    stage : Minimise, Npt, Nvt, Nve or Deform
    first_step, last_step : int
        Dynamics steps counted over the whole run.
    timestep_fs : float
    start_ps : float
        Time of the run at `first_step`.
    start_kelvin, end_kelvin : float
        Of the thermostat; of a minimisation and of constant energy the temperature before.
    """

    stage: AnyStage
    first_step: int
    last_step: int
    timestep_fs: float
    start_ps: float
    start_kelvin: float
    end_kelvin: float

    @property
    def steps(self) -> int:
        """Return the number of dynamics steps; none for a minimisation."""
        return self.last_step - self.first_step

    @property
    def duration_ps(self) -> float:
        """Return the time that the stage lasts."""
        return self.steps * self.timestep_fs / 1000.0

    @property
    def is_ramp(self) -> bool:
        """Return whether the thermostat goes from one temperature to another."""
        return isinstance(self.stage, Heated) and self.stage.is_ramp

    @property
    def rate_kelvin_per_ps(self) -> float:
        """Return the signed rate of the thermostat; negative for a quench."""
        return (self.end_kelvin - self.start_kelvin) / self.duration_ps


def schedule(
    stages: Sequence[AnyStage],
    *,
    timestep_fs: float,
    temperature_kelvin: float,
    ramp_rate_kelvin_per_ps: float | None,
) -> tuple[Scheduled, ...]:
    """Lay out the stages of one run.

    Parameters
    ----------
    stages : sequence of stages
    timestep_fs : float
        Of the stages that have none of their own.
    temperature_kelvin : float
        Of the stages that have none of their own.
    ramp_rate_kelvin_per_ps : float or None
        Of the ramps that have neither length nor rate.

    Raises
    ------
    ValueError
        If a ramp has no length, does not change the temperature, or a stage is shorter than a
        time step.
    """
    found: list[Scheduled] = []
    step, time_ps = 0, 0.0
    before: float | None = None
    for stage in stages:
        own = timestep_fs if isinstance(stage, Minimise) else stage.timestep_fs or timestep_fs
        start, end = _temperatures(stage, temperature_kelvin, before)
        duration = _duration_ps(stage, abs(end - start), ramp_rate_kelvin_per_ps)
        steps = round(duration * 1000.0 / own)
        if steps < 1 and not isinstance(stage, Minimise):
            raise ValueError(f"{stage.name}: duration_ps is shorter than one time step")
        found.append(Scheduled(stage, step, step + steps, own, time_ps, start, end))
        step += steps
        time_ps += steps * own / 1000.0
        before = before if isinstance(stage, Minimise) else end
    return tuple(found)


def time_above(programme: Sequence[Scheduled], kelvin: float) -> float:
    """Return for how long (ps) the thermostat is above a temperature."""
    total = 0.0
    for part in programme:
        low, high = sorted((part.start_kelvin, part.end_kelvin))
        if low == high:
            total += part.duration_ps * (low > kelvin)
        else:
            share = (high - kelvin) / (high - low)
            total += part.duration_ps * min(1.0, max(0.0, share))
    return total


def quench_through(programme: Sequence[Scheduled], kelvin: float) -> Scheduled:
    """Return the last ramp that falls through a temperature.

    Raises
    ------
    ValueError
        If no ramp falls through it.
    """
    for part in reversed(programme):
        if part.is_ramp and part.end_kelvin < kelvin < part.start_kelvin:
            return part
    raise ValueError(f"glass: no ramp falls through {kelvin:g} K, so there is no quench")


def quench_rate(programme: Sequence[Scheduled], kelvin: float) -> float:
    """Return how fast (K/ps, positive) the last falling ramp passes a temperature.

    Raises
    ------
    ValueError
        If no ramp falls through it.
    """
    # Whole time steps make the rate of the run differ in its last digits.
    return round(-quench_through(programme, kelvin).rate_kelvin_per_ps, 6)


def _temperatures(stage: AnyStage, run: float, before: float | None) -> tuple[float, float]:
    if isinstance(stage, Minimise | Nve):
        hot = run if before is None else before
        return hot, hot
    if isinstance(stage, Deform) or stage.final_temperature_kelvin is None:
        hot = stage.temperature_kelvin or run
        return hot, hot
    start = stage.temperature_kelvin or (run if before is None else before)
    end = run if stage.final_temperature_kelvin == "run" else stage.final_temperature_kelvin
    if start == end:
        raise ValueError(f"{stage.name}: a ramp from {start:g} K to {end:g} K; leave out its end")
    return start, end


def _duration_ps(stage: AnyStage, change_kelvin: float, ramp_rate: float | None) -> float:
    if isinstance(stage, Minimise):
        return 0.0
    if stage.duration_ps is not None:
        return stage.duration_ps
    if isinstance(stage, Deform):
        assert stage.strain_rate_per_ps is not None  # the stage has one of the two
        return abs(stage.final_strain) / stage.strain_rate_per_ps
    rate = stage.rate_kelvin_per_ps if isinstance(stage, Heated) else None
    rate = rate or ramp_rate
    if rate is None:
        raise ValueError(
            f"{stage.name}: a ramp takes duration_ps, rate_kelvin_per_ps, or "
            "ramp_rates_kelvin_per_ps of the protocol"
        )
    return change_kelvin / rate
