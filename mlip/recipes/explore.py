"""The recipe of `mlip explore`: states to be visited, and how the potential learns from them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe
from mlip.recipes.build import BuildRecipe
from mlip.recipes.ingest import Source
from mlip.recipes.label import LabelRecipe
from mlip.recipes.selection import SelectionSettings, TrustSettings
from mlip.recipes.train import TrainSettings

Name = Annotated[str, Field(min_length=1)]
Kelvin = Annotated[float, Field(gt=0.0, le=5000.0)]


class State(Recipe):
    """One state of matter that the potential shall know.

    Attributes
    ----------
    name : str
        Of its runs and systems.
    phase : str or tuple of str
        For example crystal, melt, glass, interface; kept with every frame. One for each
        temperature where they differ, as in a quench.
    structure : BuildRecipe
        Start structure, as for `mlip build`; paths in it are relative to this recipe.
    temperatures_kelvin : tuple of float
        Visited in this order, each from the end of the one before: several falling ones are
        a quench.
    duration_ps : float
        At each temperature.
    pressure_gpa : float, optional
        Constant-pressure runs; at constant volume without it.
    barostat : {'iso', 'aniso', 'tri'}
        Which lengths may change; 'iso' for liquids and glasses.
    from_round : int
        First round that visits it: a first potential survives crystals, not melts.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    phase: Name | tuple[Name, ...]
    structure: BuildRecipe
    temperatures_kelvin: tuple[Kelvin, ...] = Field(min_length=1)
    duration_ps: float = Field(gt=0.0)
    pressure_gpa: float | None = None
    barostat: Literal["iso", "aniso", "tri"] = "iso"
    from_round: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _a_phase_for_each_temperature(self) -> State:
        if len(self.phases) != len(self.temperatures_kelvin):
            raise ValueError(
                f"{self.name}: {len(self.phases)} phases for {len(self.temperatures_kelvin)} "
                "temperatures; give one phase, or one for each"
            )
        return self

    @property
    def phases(self) -> tuple[str, ...]:
        """Return the phase at each temperature."""
        if isinstance(self.phase, str):
            return (self.phase,) * len(self.temperatures_kelvin)
        return self.phase

    def visit_at(self, time_ps: float) -> int:
        """Return which temperature is visited at a time of the series; its end belongs to it."""
        number = math.ceil(time_ps / self.duration_ps - 1e-6) - 1
        return min(max(number, 0), len(self.temperatures_kelvin) - 1)


class Bootstrap(Recipe):
    """The first labels, where there is no data yet: start structures shaken and strained.

    Units packed at random are left to later rounds, since they have no gap before they relax.

    Attributes
    ----------
    frames_per_state : int
        At least three: one of them is for testing.
    rattle_angstrom : float
        Largest standard deviation of the random displacements; frames share out the range
        from a third of it.
    strain : float
        Largest change of a cell length, as a fraction, with either sign.
    """

    frames_per_state: int = Field(default=4, ge=3, le=1000)
    rattle_angstrom: float = Field(default=0.2, gt=0.0, le=1.0)
    strain: float = Field(default=0.03, ge=0.0, le=0.2)


class Sampling(Recipe):
    """How molecular dynamics visits a state.

    Attributes
    ----------
    timestep_fs : float
    frame_every_ps : float
        Time between the frames that the committee judges.
    minimise_steps : int
        Before the dynamics; packed and damaged structures need it.
    """

    timestep_fs: float = Field(default=1.0, gt=0.0, le=5.0)
    frame_every_ps: float = Field(default=0.1, gt=0.0)
    minimise_steps: int = Field(default=50, ge=1)


class ExploreRecipe(Recipe):
    """A learning loop: train, run, see where the committee disagrees, label, again.

    Attributes
    ----------
    type_map : tuple of str
        Elements in the order of the model's types.
    model : str, optional
        A finished potential to examine instead, relative to this recipe: its own MD visits the
        states once, `test_frames` are drawn from it evenly over the phases and labelled, nothing
        is learned.
    initial : tuple of Source
        Labelled data to begin with, as in `mlip ingest`; of the same level as `label`.
    also : tuple of Source
        Labelled data of other origin that join the loop's own labels, for example close contacts
        that MD never visits. May be added later: the next set has them.
    bootstrap : Bootstrap
        Used if there is no initial data.
    states : tuple of State
    sampling : Sampling
    trust : TrustSettings
    selection : SelectionSettings
    test_frames : int
        Frames labelled a round, drawn blindly from runs that training never sees: the errors
        and the trust levels rest on them.
    train : TrainSettings
        Of the rounds that have not begun to train; each model records its own.
    label : LabelRecipe
    accurate_share : float
        The loop has converged when in every state at least this share of the frames is
        accurate by the committee's calibrated deviation.
    maximum_rounds : int
        The loop ends here in any case. May be raised later.
    seed : int
        Of velocities, shaking and draws.
    """

    type_map: tuple[str, ...] = Field(min_length=1)
    model: str | None = None
    initial: tuple[Source, ...] = ()
    also: tuple[Source, ...] = ()
    bootstrap: Bootstrap = Bootstrap()
    states: tuple[State, ...] = Field(min_length=1)
    sampling: Sampling = Sampling()
    trust: TrustSettings = TrustSettings()
    selection: SelectionSettings = SelectionSettings()
    test_frames: int = Field(default=8, ge=1)
    train: TrainSettings = TrainSettings(preset="standard")
    label: LabelRecipe = LabelRecipe()
    accurate_share: float = Field(default=0.95, gt=0.0, le=1.0)
    maximum_rounds: int = Field(default=8, ge=1, le=1000)
    seed: int = Field(default=1, ge=1, lt=10**6)

    @model_validator(mode="after")
    def _consistent(self) -> ExploreRecipe:
        names = [state.name for state in self.states]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"states share a name: {', '.join(repeated)}")
        if self.train.committee_size < 2:
            raise ValueError("train.committee_size must be 2 or more: one member cannot disagree")
        if self.model is not None and (self.initial or self.also):
            raise ValueError(
                "initial and also are data to learn from; with a model nothing is learned"
            )
        if all(state.from_round > 1 for state in self.states):
            raise ValueError("no state is visited in the first round (from_round)")
        for state in self.states:
            if self.sampling.frame_every_ps > state.duration_ps:
                raise ValueError(f"{state.name}: duration_ps is shorter than frame_every_ps")
        return self

    def settings(self) -> dict[str, Any]:
        """Return what may not change between calls.

        All but the number of rounds, the labels a round asks for, the cores, data that join, and
        the training: data that grow may ask for more steps. A round that has begun to train ends
        with the settings it began with.
        """
        content = self.expanded()
        for name in ("also", "maximum_rounds", "test_frames", "train"):
            del content[name]
        del content["label"]["execution"], content["selection"]["maximum_frames"]
        return content
