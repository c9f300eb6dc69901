"""The recipe of `mlip train`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

Positive = Annotated[int, Field(gt=0)]


class Descriptor(Recipe):
    """The se_e2_a descriptor (two-body embedding, smooth edition).

    Attributes
    ----------
    cutoff_angstrom, cutoff_smooth_angstrom : float
        Neighbours count up to the first; their weight falls to zero from the second on.
    embedding_neurons : tuple of int
        Layers of the embedding net.
    axis_neurons : int
        Columns of the embedding matrix that make the descriptor.
    maximum_neighbours : dict of str to int, optional
        Per element. By default 1.3 times the most that the training frames have, since
        melts and compressed frames have more than the data.
    """

    cutoff_angstrom: float = Field(default=6.0, gt=1.0, le=12.0)
    cutoff_smooth_angstrom: float = Field(default=0.5, gt=0.0)
    embedding_neurons: tuple[Positive, ...] = (25, 50, 100)
    axis_neurons: int = Field(default=16, gt=0)
    maximum_neighbours: dict[str, Positive] | None = None

    @model_validator(mode="after")
    def _smooth_inside_cutoff(self) -> Descriptor:
        if self.cutoff_smooth_angstrom >= self.cutoff_angstrom:
            raise ValueError("cutoff_smooth_angstrom must be smaller than cutoff_angstrom")
        return self


class LossPrefactors(Recipe):
    """Weights of energy, force and virial in the loss, at the first and the last step.

    The schedule follows the learning rate; forces lead, energies and virials end.
    """

    energy_start: float = Field(default=0.02, ge=0.0)
    energy_end: float = Field(default=1.0, ge=0.0)
    force_start: float = Field(default=1000.0, ge=0.0)
    force_end: float = Field(default=1.0, ge=0.0)
    virial_start: float = Field(default=0.02, ge=0.0)
    virial_end: float = Field(default=1.0, ge=0.0)


class LearningRate(Recipe):
    """Exponential decay from `start` to `stop` over the whole training."""

    start: float = Field(default=1e-3, gt=0.0)
    stop: float = Field(default=1e-6, gt=0.0)
    decay_steps: int = Field(default=500, gt=0)


class TrainSettings(Recipe):
    """How a committee is trained, whatever the data.

    Attributes
    ----------
    steps : int
        Optimiser steps of each member.
    committee_size : int
        Members; they differ in the seed. Two or more give a deviation during MD.
    seed : int
        Of the first member; the others count on from it.
    batch_frames : int
        Frames of one system per step.
    precision : {'float32', 'float64'}
        Of the networks; positions and sums stay double.
    checkpoint_every_steps : int
        How much a kill can cost.
    compress : bool
        Tabulate the embedding nets: several times faster MD at 1e-4 eV/Å.
    """

    steps: int = Field(gt=0)
    committee_size: int = Field(default=4, gt=0, le=16)
    seed: int = Field(default=1, ge=0, lt=2**31)
    batch_frames: int = Field(default=1, gt=0)
    precision: Literal["float32", "float64"] = "float32"
    descriptor: Descriptor = Descriptor()
    fitting_neurons: tuple[Positive, ...] = (120, 120, 120)
    loss: LossPrefactors = LossPrefactors()
    learning_rate: LearningRate = LearningRate()
    checkpoint_every_steps: int = Field(default=1000, gt=0)
    report_every_steps: int = Field(default=100, gt=0)
    compress: bool = True


class TrainRecipe(TrainSettings):
    """What a committee is trained on, and how.

    Attributes
    ----------
    data : str
        Set directory made by `mlip ingest`, relative to the recipe.
    """

    data: str
