"""Recipes of cells: ordered occupancies and orientation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

Repeats = Annotated[int, Field(ge=1, le=200)]
Miller = Annotated[int, Field(ge=-20, le=20)]


class Ordering(Recipe):
    """Partly occupied sites, sampled and ranked by the Ewald energy of formal charges.

    Attributes
    ----------
    index : int
        Rank of the ordering to build, counting different ones from the lowest energy: 0, 1, 2
        give three structures.
    supercell : tuple of int, optional
        Repeats of the conventional cell that are ordered as one; by default as many as give 120
        sites. The key of the same name outside repeats the ordered cell.
    draws : int
        Random occupations; each is also led downhill by exchanging occupants of equal sites.
    largest_deviation : float
        Of the share of a site that is filled from its occupancy.
    oxidation_states : dict of str to int
        Of elements that the shipped table lacks.
    """

    index: int = Field(default=0, ge=0, le=999)
    supercell: tuple[Repeats, Repeats, Repeats] | None = None
    draws: int = Field(default=200, ge=1, le=100_000)
    largest_deviation: float = Field(default=0.1, ge=0.0, lt=1.0)
    oxidation_states: dict[str, int] = Field(default_factory=dict)


class Orientation(Recipe):
    """Which directions of the crystal become the axes of the cell; one of the two.

    Attributes
    ----------
    axes : tuple, optional
        Crystal axes in the order in which they become a, b and c. An odd permutation turns the
        last one round, so that the cell stays right-handed.
    normal : tuple of int, optional
        Miller indices h, k, l of the plane that a and b shall span.
    """

    axes: tuple[Literal["a", "b", "c"], Literal["a", "b", "c"], Literal["a", "b", "c"]] | None = (
        None
    )
    normal: tuple[Miller, Miller, Miller] | None = None

    @model_validator(mode="after")
    def _one(self) -> Orientation:
        if (self.axes is None) == (self.normal is None):
            raise ValueError("give one of axes (a permutation of a, b, c) and normal (h, k, l)")
        if self.axes is not None and len(set(self.axes)) != 3:
            raise ValueError(f"axes names one twice: {' '.join(self.axes)}")
        if self.normal is not None and not any(self.normal):
            raise ValueError("normal 0 0 0 is no plane")
        return self
