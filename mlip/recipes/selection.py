"""Recipe parts: what deviation is trusted, and which explored frames are labelled."""

from __future__ import annotations

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe


class TrustSettings(Recipe):
    """Which expected force error is accurate enough, and which is beyond use.

    Attributes
    ----------
    accurate_error_ev_per_angstrom : float
        Length of the force error of an atom up to which the potential counts as accurate.
    failed_error_ev_per_angstrom : float
        From here on the frame itself is not believed and is not worth a label.
    minimum_frames, minimum_atoms : int
        Unseen frames, and atoms in them, that an element needs to be calibrated; with fewer
        its levels stay uncalibrated.
    """

    accurate_error_ev_per_angstrom: float = Field(default=0.15, gt=0, le=10)
    failed_error_ev_per_angstrom: float = Field(default=0.6, gt=0, le=100)
    minimum_frames: int = Field(default=3, ge=2)
    minimum_atoms: int = Field(default=20, ge=4)

    @model_validator(mode="after")
    def _failed_is_worse(self) -> TrustSettings:
        if self.failed_error_ev_per_angstrom <= self.accurate_error_ev_per_angstrom:
            raise ValueError(
                "failed_error_ev_per_angstrom must be larger than accurate_error_ev_per_angstrom"
            )
        return self


class SelectionSettings(Recipe):
    """How the frames of a round are chosen for labelling.

    Attributes
    ----------
    maximum_frames : int
        Labels of one round; what is affordable.
    spacing_ps : float
        Frames of one run are at least so far apart; nearer ones are one vibration and teach
        the same.
    minimum_density_g_cm3, maximum_density_g_cm3 : float
        Frames outside have evaporated or collapsed.
    """

    maximum_frames: int = Field(default=40, ge=1, le=100_000)
    spacing_ps: float = Field(default=0.5, ge=0)
    minimum_density_g_cm3: float = Field(default=1.0, ge=0)
    maximum_density_g_cm3: float = Field(default=3.0, gt=0)

    @model_validator(mode="after")
    def _window_is_open(self) -> SelectionSettings:
        if self.maximum_density_g_cm3 <= self.minimum_density_g_cm3:
            raise ValueError("maximum_density_g_cm3 must be larger than minimum_density_g_cm3")
        return self
