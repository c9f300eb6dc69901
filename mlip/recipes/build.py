"""The recipe of `mlip build`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

Repeats = Annotated[int, Field(ge=1, le=200)]


class BuildRecipe(Recipe):
    """Which crystal, and how large.

    Attributes
    ----------
    crystal : str, optional
        Name of a shipped crystal, for example beta-Li3PS4.
    cif : str, optional
        A CIF file instead, relative to the recipe; every site fully occupied.
    supercell : tuple of int, optional
        Repeats of the conventional cell along a, b and c; 1, 1, 1 by default.
    minimum_atoms : int, optional
        Instead of `supercell`: repeat the thinnest direction until there are as many atoms.
    type_map : tuple of str
        Order of the LAMMPS types; that of the potential to be used.
    """

    crystal: str | None = None
    cif: str | None = None
    supercell: tuple[Repeats, Repeats, Repeats] | None = None
    minimum_atoms: int | None = Field(default=None, ge=1, le=20_000_000)
    type_map: tuple[str, ...] = Field(default=("Li", "P", "S"), min_length=1)

    @model_validator(mode="after")
    def _one_of_each(self) -> BuildRecipe:
        if (self.crystal is None) == (self.cif is None):
            raise ValueError("give either crystal (a name) or cif (a file)")
        if self.supercell is not None and self.minimum_atoms is not None:
            raise ValueError("give either supercell or minimum_atoms, not both")
        if len(set(self.type_map)) != len(self.type_map):
            raise ValueError(f"type_map repeats an element: {' '.join(self.type_map)}")
        return self
