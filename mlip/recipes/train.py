"""The recipe of `mlip train`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe
from mlip.recipes.descriptors import AnyDescriptor, Positive, SeE2A
from mlip.recipes.presets import with_preset


class LossPrefactors(Recipe):
    """Weights of energy, force and virial in the loss, at the first and the last step.

    The schedule follows the learning rate; forces lead, energies and virials end. Zero at both
    ends leaves energies or virials out; zero at one end alone is refused, since DeePMD-kit then
    leaves them out from the first step to the last.
    """

    energy_start: float = Field(default=0.02, ge=0.0)
    energy_end: float = Field(default=1.0, ge=0.0)
    force_start: float = Field(default=1000.0, gt=0.0)
    force_end: float = Field(default=1.0, gt=0.0)
    virial_start: float = Field(default=0.02, ge=0.0)
    virial_end: float = Field(default=1.0, ge=0.0)

    @model_validator(mode="after")
    def _both_or_neither(self) -> LossPrefactors:
        for name, start, end in (
            ("energy", self.energy_start, self.energy_end),
            ("virial", self.virial_start, self.virial_end),
        ):
            if (start == 0.0) != (end == 0.0):
                raise ValueError(
                    f"{name}_start and {name}_end: found {start:g} and {end:g}; with zero at one "
                    f"end DeePMD-kit ignores the {name} throughout. Give a small number instead, "
                    "or zero at both ends"
                )
        return self


class LearningRate(Recipe):
    """Fall of the learning rate from `start` to `stop` over the whole training.

    It follows half a wave of a cosine (Loshchilov and Hutter, arXiv 1608.03983, without
    restarts). The usual exponential fall spends most of its steps where little is learned:
    ``tests/benchmarks/optimiser.py`` compares them.
    """

    start: float = Field(default=1e-3, gt=0.0)
    stop: float = Field(default=1e-6, gt=0.0)

    @model_validator(mode="after")
    def _falls(self) -> LearningRate:
        if self.stop >= self.start:
            raise ValueError("stop must be smaller than start")
        return self


class ShortRangeRepulsion(Recipe):
    """Ziegler-Biersack-Littmark repulsion of nuclei in place of the network at short distance.

    An atom whose nearest neighbour (softly taken) is nearer than `inner_angstrom` feels the
    repulsion alone, from `outer_angstrom` on the network alone. `outer_angstrom` belongs below
    the smallest distance of the data, or the network is not used where it was taught.
    """

    inner_angstrom: float = Field(gt=0.1, le=5.0)
    outer_angstrom: float = Field(gt=0.1, le=5.0)

    @model_validator(mode="after")
    def _ordered(self) -> ShortRangeRepulsion:
        if self.inner_angstrom >= self.outer_angstrom:
            raise ValueError("inner_angstrom must be smaller than outer_angstrom")
        return self


class TrainSettings(Recipe):
    """How a committee is trained, whatever the data.

    Attributes
    ----------
    preset : str, optional
        'quick', 'standard' or 'production': values of ``mlip/recipes/presets.yml`` for what is
        not given here.
    steps : int, optional
        Optimiser steps of each member.
    budget_hours : float, optional
        Wall time for training the whole committee here, in place of `steps`: a short probe on
        the real data tells how many steps fit. One of the two is needed.
    committee_size : int
        Members; they differ in the seed. Two or more give a deviation during MD.
    seed : int
        Of the first member; the others count on from it.
    batch_atoms : int
        Frames of one system per step: as many as have this number of atoms together, at
        least one.
    precision : {'float32', 'float64'}
        Of the networks; positions and sums stay double.
    descriptor : SeE2A, SeAtten or Dpa3
        Chosen by `type`: se_e2_a (default), se_atten or dpa3.
    fitting_neurons : tuple of int
        Layers of the network from descriptor to energy.
    short_range_repulsion : ShortRangeRepulsion, optional
        Not with se_e2_a, which DeePMD-kit cannot combine with a pair table.
    learning_rate : LearningRate
    loss : LossPrefactors
    checkpoint_every_steps : int
        How much a kill can cost.
    report_every_steps : int
        How often the errors of a batch are written to ``lcurve.out``.
    compress : bool
        Tabulate the embedding nets: several times faster MD at 1e-4 eV/Å. By default where
        the descriptor can be compressed; dpa3 cannot.
    """

    preset: str | None = None
    steps: int | None = Field(default=None, gt=0)
    budget_hours: float | None = Field(default=None, gt=0.0)
    committee_size: int = Field(default=4, gt=0, le=16)
    seed: int = Field(default=1, ge=0, lt=2**31)
    batch_atoms: int = Field(default=32, gt=0)
    precision: Literal["float32", "float64"] = "float32"
    descriptor: AnyDescriptor = SeE2A()
    fitting_neurons: tuple[Positive, ...] = (120, 120, 120)
    short_range_repulsion: ShortRangeRepulsion | None = None
    loss: LossPrefactors = LossPrefactors()
    learning_rate: LearningRate = LearningRate()
    checkpoint_every_steps: int = Field(default=1000, gt=0)
    report_every_steps: int = Field(default=100, gt=0)
    compress: bool = True

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        filled = with_preset(given)
        descriptor = filled.get("descriptor")
        if isinstance(descriptor, dict) and descriptor.get("type") == "dpa3":
            filled = {"compress": False, **filled}
        return filled

    @model_validator(mode="after")
    def _possible(self) -> TrainSettings:
        if self.steps is None and self.budget_hours is None:
            raise ValueError("steps: missing. Give steps, budget_hours or a preset")
        if self.steps is not None and self.budget_hours is not None:
            raise ValueError("steps and budget_hours: found both, expected one of them")
        kind = self.descriptor.type
        if kind == "dpa3" and self.compress:
            raise ValueError("compress: dpa3 has no compressed form; set compress: false")
        repulsion = self.short_range_repulsion
        if repulsion is not None and kind == "se_e2_a":
            raise ValueError(
                "short_range_repulsion: DeePMD-kit combines a pair table only with descriptors "
                "that know elements by vectors; set descriptor.type: se_atten or dpa3"
            )
        if repulsion is not None and repulsion.outer_angstrom >= self.descriptor.cutoff_angstrom:
            raise ValueError("short_range_repulsion.outer_angstrom must be below the cutoff")
        return self

    def length(self) -> str:
        """Return how long each member is trained, in words."""
        return f"{self.steps} steps" if self.steps else f"{self.budget_hours:g} h for all"


class LearningCurveSettings(Recipe):
    """Error against the amount of data, for ``mlip train --learning-curve``.

    Attributes
    ----------
    fractions : tuple of float
        Of the training frames of every system; each part holds the smaller ones.
    committee_size : int
        Members trained on each part.
    resamples : int
        Of the test frames, for the error bars.
    """

    fractions: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = (0.125, 0.25, 0.5, 1.0)
    committee_size: int = Field(default=1, gt=0, le=16)
    resamples: int = Field(default=1000, ge=100)

    @model_validator(mode="after")
    def _ascending(self) -> LearningCurveSettings:
        if len(self.fractions) < 2 or list(self.fractions) != sorted(set(self.fractions)):
            raise ValueError("fractions must be two or more, each larger than the one before")
        return self


class TrainRecipe(TrainSettings):
    """What a committee is trained on, and how.

    Attributes
    ----------
    data : str
        Set directory made by `mlip ingest`, relative to the recipe.
    start_from : str, optional
        Model directory with the same elements and network, relative to the recipe: member n
        starts from its member n (fine-tuning). A smaller `learning_rate.start` is then yours
        to choose.
    learning_curve : LearningCurveSettings
        Used by ``--learning-curve`` alone.
    """

    data: str
    start_from: str | None = None
    learning_curve: LearningCurveSettings = LearningCurveSettings()
