"""The recipe of `mlip validate`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe
from mlip.recipes.dynamics import DynamicsSettings
from mlip.recipes.physics import PhysicsSettings
from mlip.recipes.selection import TrustSettings


class AcceptanceLimits(Recipe):
    """Largest errors of the committee mean that are accepted; not set means no limit.

    Keys
    ----
    energy_rmse_mev_per_atom, force_rmse_mev_per_angstrom, virial_rmse_mev_per_atom
        Root-mean-square error on the split; above it the validation is refused (exit 3), so
        that a chain of commands stops before MD. What is good enough depends on the
        question, so there is no default.
    require_physics
        Whether a failed row of the physics table refuses the validation as well (exit 3).
        Rows that were not assessed do not.
    """

    energy_rmse_mev_per_atom: float | None = Field(default=None, gt=0)
    force_rmse_mev_per_angstrom: float | None = Field(default=None, gt=0)
    virial_rmse_mev_per_atom: float | None = Field(default=None, gt=0)
    require_physics: bool = False

    def error_limits(self) -> dict[str, float]:
        """Return the limits that are set, by the key of the error."""
        content = self.model_dump(exclude={"require_physics"})
        return {key: limit for key, limit in content.items() if limit is not None}


class ValidateRecipe(Recipe):
    """How a model is held against first-principles data; every key has a default.

    Keys
    ----
    split
        Frames that count as unseen: ``test``. ``valid`` only if it took no part in
        choosing the model.
    train_frames_per_system
        Training frames evaluated beside them, evenly spaced, to show over-fitting, if the model
        was trained on this set; 0 for none.
    parity_frames
        Frames of one system on which all engines must agree, the largest forces first.
    speed_atoms
        Atoms of the cell, cut from the data, on which speed and memory are measured by some
        steps of MD; 0 for no measurement.
    trust
        Which force errors are accurate enough, and how much data calibrates the committee's
        deviation; see `TrustSettings`.
    physics
        Crystals and paths held against first principles; see `PhysicsSettings`. None by default.
    dynamics
        Runs held against AIMD, stability and conservation; see `DynamicsSettings`. None by
        default.
    licence
        Of the model, for its card; else the first line of its LICENSE file is given.
    accept
        See `AcceptanceLimits`.
    """

    split: Literal["test", "valid"] = "test"
    train_frames_per_system: int = Field(default=200, ge=0)
    parity_frames: int = Field(default=2, ge=1, le=20)
    speed_atoms: int = Field(default=0, ge=0, le=100_000)
    trust: TrustSettings = TrustSettings()
    physics: PhysicsSettings | None = None
    dynamics: DynamicsSettings | None = None
    licence: str = ""
    accept: AcceptanceLimits = AcceptanceLimits()

    @model_validator(mode="after")
    def _physics_is_there_to_require(self) -> ValidateRecipe:
        if self.accept.require_physics and self.physics is None and self.dynamics is None:
            raise ValueError("accept.require_physics needs a physics or a dynamics section")
        return self
