"""The recipe of `mlip validate`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlip.recipes.base import Recipe


class AcceptanceLimits(Recipe):
    """Largest errors of the committee mean that are accepted; not set means no limit.

    Keys
    ----
    energy_rmse_mev_per_atom, force_rmse_mev_per_angstrom, virial_rmse_mev_per_atom
        Root-mean-square error on the split; above it the validation is refused (exit 3), so
        that a chain of commands stops before MD. What is good enough depends on the
        question, so there is no default.
    """

    energy_rmse_mev_per_atom: float | None = Field(default=None, gt=0)
    force_rmse_mev_per_angstrom: float | None = Field(default=None, gt=0)
    virial_rmse_mev_per_atom: float | None = Field(default=None, gt=0)


class ValidateRecipe(Recipe):
    """How a model is held against first-principles data; every key has a default.

    Keys
    ----
    split
        Frames that count as unseen: ``test``. ``valid`` only if it took no part in
        choosing the model.
    train_frames_per_system
        Training frames evaluated beside them, evenly spaced, to show over-fitting; 0 for none.
    parity_frames
        Frames of one system on which all engines must agree, the largest forces first.
    accept
        See `AcceptanceLimits`.
    """

    split: Literal["test", "valid"] = "test"
    train_frames_per_system: int = Field(default=200, ge=0)
    parity_frames: int = Field(default=2, ge=1, le=20)
    accept: AcceptanceLimits = AcceptanceLimits()
