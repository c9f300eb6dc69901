"""Recipes of start structures made of a crystal and a glass: slab, nanograin, marked region."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

Shift = Annotated[float, Field(ge=0.0, lt=1.0)]
Angle = Annotated[float, Field(ge=-360.0, le=360.0)]


class Region(Recipe):
    """A slab of the cell.

    Attributes
    ----------
    axis : {'a', 'b', 'c'}
    low, high : float
        Fractional coordinates along the axis; low belongs to the slab, high does not.
    """

    axis: Literal["a", "b", "c"] = "c"
    low: float = Field(ge=0.0, lt=1.0)
    high: float = Field(gt=0.0, le=1.0)

    @model_validator(mode="after")
    def _ordered(self) -> Region:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self


class Sphere(Recipe):
    """A sphere in the cell.

    Attributes
    ----------
    radius_angstrom : float
    center : tuple of float
        Fractional coordinates.
    """

    radius_angstrom: float = Field(gt=0.0)
    center: tuple[Shift, Shift, Shift] = (0.5, 0.5, 0.5)


class Slab(Recipe):
    """A crystal and a glass stacked along one axis, with two interfaces.

    Attributes
    ----------
    crystal, glass : str
        Structure or run directories, or extxyz files (.gz or not), relative to the recipe: of a
        run its final structure.
    axis : {'a', 'b', 'c'}
        Axis of the stack, in both cells and in the result; the other two are lateral.
    crystal_fraction : float, optional
        Repeat the crystal along the axis as often as comes nearest to this share of the
        thickness; as it is by default.
    minimum_thickness_angstrom : float
        Of either phase; thinner is refused.
    largest_strain : float
        Of the glass, strained to the lateral vectors of the crystal; more is refused.
    registry : tuple of float, optional
        Lateral shift of the glass as fractions of the two lateral vectors, in the order a, b,
        c; drawn with the seed by default.
    """

    crystal: str
    glass: str
    axis: Literal["a", "b", "c"] = "c"
    crystal_fraction: float | None = Field(default=None, ge=0.03, le=0.97)
    minimum_thickness_angstrom: float = Field(default=25.0, gt=0.0)
    largest_strain: float = Field(default=0.05, gt=0.0, le=0.2)
    registry: tuple[Shift, Shift] | None = None


class Nanograin(Recipe):
    """A sphere of crystal in a glass, in place of as many atoms of each element.

    Attributes
    ----------
    crystal, glass : str
        Structure or run directories, or extxyz files (.gz or not), relative to the recipe: of a
        run its final structure.
    volume_fraction : float
        Of the grain, by the volume of its formula units in the crystal.
    center : tuple of float
        Fractional coordinates in the glass.
    rotation_degree : tuple of float, optional
        Rotation vector of the crystal (its axis times the angle) from the frame with a along x
        and b in the xy plane; drawn with the seed by default.
    """

    crystal: str
    glass: str
    volume_fraction: float = Field(ge=0.03, le=0.5)
    center: tuple[Shift, Shift, Shift] = (0.5, 0.5, 0.5)
    rotation_degree: tuple[Angle, Angle, Angle] | None = None
