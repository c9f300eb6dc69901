"""Combinations of stages that are physically wrong, each with what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlip.recipes.base import Recipe, load_recipe
from mlip.recipes.programme import Scheduled
from mlip.recipes.stages import Deform, Minimise, Npt, Nvt, held_origin, purpose_of

LIMITS = Path(__file__).with_name("protocol_limits.yml")


class Limit(Recipe):
    """One number, its unit, and why it is what it is."""

    value: float
    unit: str
    reason: str


class ProtocolLimits(Recipe):
    """Everything in `protocol_limits.yml`."""

    hot: Limit
    longest_timestep_when_hot: Limit
    glass_ageing_share: Limit
    untrusted_share_of_a_quench: Limit
    atoms_of_the_untrusted_share: Limit
    bragg_intensity_of_a_melt: Limit
    least_bragg_intensity: Limit
    least_order_of_a_lattice: Limit


@dataclass(frozen=True)
class Place:
    """A stage in its surroundings, as the checks see it.

    Attributes
    ----------
    now : Scheduled
    earlier : tuple of Scheduled
        All stages before it.
    material : str or None
        What the protocol says the sample is.
    """

    now: Scheduled
    earlier: tuple[Scheduled, ...]
    material: str | None

    @property
    def moved(self) -> tuple[Scheduled, ...]:
        """Return the stages of dynamics before it."""
        return tuple(part for part in self.earlier if not isinstance(part.stage, Minimise))

    @property
    def produces(self) -> bool:
        """Return whether its frames are for analysis."""
        return purpose_of(self.now.stage) == "production"


def limits() -> ProtocolLimits:
    """Read the limits that come with the package."""
    return load_recipe(LIMITS, ProtocolLimits)


def first_fault(programme: Sequence[Scheduled], material: str | None) -> str:
    """Return what is wrong with the first wrong stage, or an empty string."""
    for n, now in enumerate(programme):
        place = Place(now, tuple(programme[:n]), material)
        for check in CHECKS:
            if fault := check(place):
                return f"{now.stage.name}: {fault}"
    return ""


def cautions(programme: Sequence[Scheduled]) -> tuple[str, ...]:
    """Return what is doubtful in a protocol but may be meant."""
    limit = limits()
    return tuple(
        f"{part.stage.name}: {part.timestep_fs:g} fs at {max(part.start_kelvin, part.end_kelvin):g}"
        f" K; above {limit.hot.value:g} K take at most {limit.longest_timestep_when_hot.value:g} fs"
        for part in programme
        if not isinstance(part.stage, Minimise)
        and max(part.start_kelvin, part.end_kelvin) > limit.hot.value
        and part.timestep_fs > limit.longest_timestep_when_hot.value * (1.0 + 1e-9)
    )


def _minimise_comes_first(place: Place) -> str:
    if isinstance(place.now.stage, Minimise) and place.moved:
        return "minimise can only come before dynamics"
    return ""


def _liquids_keep_their_shape(place: Place) -> str:
    stage = place.now.stage
    if not isinstance(stage, Npt) or place.material not in ("liquid", "glass"):
        return ""
    if stage.barostat not in ("aniso", "tri"):
        return ""
    return (
        f"barostat {stage.barostat} for a {place.material}: it does not resist a change of shape, "
        "and the cell flows away. Write barostat: iso (or normal_c to keep the lateral vectors)"
    )


def _glass_ceramics_do_not_shear(place: Place) -> str:
    stage = place.now.stage
    if isinstance(stage, Npt) and place.material == "glass-ceramic" and stage.barostat == "tri":
        return (
            "barostat tri for a glass-ceramic: its glass does not resist a shear. Write "
            "normal_a, normal_b or normal_c for a slab, iso for a grain in glass"
        )
    return ""


def _crystals_have_axes(place: Place) -> str:
    stage = place.now.stage
    if isinstance(stage, Npt) and place.material == "crystal" and stage.barostat == "iso":
        return (
            "barostat iso for a crystal: its axes do not expand alike, and stress stays behind. "
            "Write aniso or tri, or material: cubic-crystal if it is cubic"
        )
    return ""


def _production_is_steady(place: Place) -> str:
    if place.produces and place.now.is_ramp:
        return (
            "production along a ramp: averages need one temperature. Write purpose: equilibration"
        )
    return ""


def _production_moves_all_atoms(place: Place) -> str:
    if place.produces and held_origin(place.now.stage):
        return (
            "production with held atoms: their forces are not followed. Write purpose: "
            "equilibration, and produce in a stage without hold_origin"
        )
    return ""


def _production_follows_equilibration(place: Place) -> str:
    if not place.produces or not place.moved:
        return ""
    before = place.moved[-1]
    after = f"production directly after {before.stage.name}"
    hold = f"Put an npt or nvt (purpose: equilibration) at {place.now.start_kelvin:g} K between"
    if isinstance(before.stage, Deform):
        return f"{after}, a deformation. {hold}"
    if before.is_ramp:
        return f"{after}, a ramp. {hold}"
    if held_origin(before.stage):
        return f"{after}, which held the {held_origin(before.stage)}. {hold}"
    if before.end_kelvin != place.now.start_kelvin:
        return f"{after}, which ends at {before.end_kelvin:g} K. {hold}"
    return ""


def _production_has_the_mean_cell(place: Place) -> str:
    stage = place.now.stage
    pressure = [n for n, part in enumerate(place.moved) if isinstance(part.stage, Npt)]
    if not place.produces or not pressure:
        return ""
    source = place.moved[pressure[-1]]
    taken = [part.stage for part in place.moved[pressure[-1] + 1 :]] + [stage]
    first = next((part for part in taken if isinstance(part, Nvt | Deform)), None)
    if isinstance(first, Deform):
        return ""
    if not isinstance(first, Nvt) or first.cell == "keep":
        where = f"stage {first.name}" if isinstance(first, Nvt) else "an nvt stage before it"
        return (
            f"production in the cell of the last instant of {source.stage.name}, not at its "
            f"pressure. Write cell: mean in {where}"
        )
    if source.end_kelvin != place.now.start_kelvin:
        return (
            f"production at {place.now.start_kelvin:g} K in the mean cell of {source.stage.name} "
            f"at {source.end_kelvin:g} K. Put an npt at {place.now.start_kelvin:g} K before it"
        )
    return ""


def _mean_cells_are_of_steady_stages(place: Place) -> str:
    stage = place.now.stage
    if not isinstance(stage, Nvt) or stage.cell != "mean" or not place.moved:
        return ""
    before = place.moved[-1]
    if isinstance(before.stage, Npt) and before.is_ramp:
        return (
            f"cell: mean after the ramp {before.stage.name}, along which the cell changes. Put "
            "an npt at constant temperature between, or write cell: keep"
        )
    return ""


CHECKS: tuple[Callable[[Place], str], ...] = (
    _minimise_comes_first,
    _liquids_keep_their_shape,
    _glass_ceramics_do_not_shear,
    _crystals_have_axes,
    _production_is_steady,
    _production_moves_all_atoms,
    _mean_cells_are_of_steady_stages,
    _production_follows_equilibration,
    _production_has_the_mean_cell,
)
