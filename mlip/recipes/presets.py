"""The presets of `mlip train`: settings by name, with what they were measured to cost."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mlip.recipes.base import Recipe, read_yaml

TABLE = Path(__file__).with_name("presets.yml")


class Measured(Recipe):
    """What a preset costs and how good it gets; None where nobody measured it yet.

    Attributes
    ----------
    data, machine, command : str
        What it was measured on, and how to repeat it.
    hours : float
        Wall time of the whole committee.
    force_rmse_mev_per_angstrom, energy_rmse_mev_per_atom : float
        On the test split.
    """

    data: str | None
    machine: str | None
    hours: float | None
    force_rmse_mev_per_angstrom: float | None
    energy_rmse_mev_per_atom: float | None
    command: str | None

    def in_words(self) -> str:
        """Return cost and error in one line."""
        if self.hours is None:
            return "cost and error not yet measured"
        return (
            f"{self.hours:g} h on {self.machine}, force {self.force_rmse_mev_per_angstrom:g} meV/Å,"
            f" energy {self.energy_rmse_mev_per_atom:g} meV/atom ({self.data})"
        )


class Preset(Recipe):
    """One row of ``presets.yml``."""

    purpose: str
    settings: dict[str, Any]
    measured: Measured


@cache
def presets() -> dict[str, Preset]:
    """Return all presets by name."""
    return {name: Preset.model_validate(row) for name, row in read_yaml(TABLE).items()}


def with_preset(given: dict[str, Any]) -> dict[str, Any]:
    """Return raw settings with the values of their preset under what is given.

    A key given wins, section by section. A budget replaces the preset's steps, and another
    type of descriptor its descriptor.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    name = given.get("preset")
    if name is None:
        return given
    if not isinstance(name, str) or name not in presets():
        raise ValueError(f"preset: found {name!r}, expected one of {', '.join(presets())}")
    base = dict(presets()[name].settings)
    if given.get("budget_hours") is not None:
        base.pop("steps", None)
    descriptor = given.get("descriptor")
    if isinstance(descriptor, dict) and descriptor.get("type") not in (
        None,
        base["descriptor"]["type"],
    ):
        base.pop("descriptor")
    return _under(base, given)


def _under(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **given}
    for key in base.keys() & given.keys():
        if isinstance(base[key], dict) and isinstance(given[key], dict):
            merged[key] = _under(base[key], given[key])
    return merged
