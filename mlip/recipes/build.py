"""The recipe of `mlip build`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe

Repeats = Annotated[int, Field(ge=1, le=200)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Ratio = Annotated[float, Field(gt=0.0, le=100.0)]
Strain = Annotated[float, Field(ge=-0.3, le=0.3)]


class Packing(Recipe):
    """Rigid units placed at random in a periodic orthorhombic cell.

    Attributes
    ----------
    units : dict of str to int
        How many of each: names of shipped units (PS4, P2S7, ...) or elements for single atoms.
        The formal charges must sum to zero.
    density_g_cm3 : float
        It sets the volume of the cell.
    cell : 'cubic' or tuple of float
        Or the ratio of the lengths a, b and c.
    tolerance_angstrom : float
        No two atoms of different units are nearer; elements whose table of contact radii asks
        for more get more.
    """

    units: dict[str, Count] = Field(min_length=1)
    density_g_cm3: float = Field(gt=0.0, le=30.0)
    cell: Literal["cubic"] | tuple[Ratio, Ratio, Ratio] = "cubic"
    tolerance_angstrom: float = Field(default=2.0, ge=1.0, le=4.0)


class FrenkelPairs(Recipe):
    """Ions moved from their site into a void.

    Attributes
    ----------
    element : str
    count : int
    """

    element: str
    count: Count = 1


class Defects(Recipe):
    """Neutral defects, introduced in the order removed, moved, swapped.

    Attributes
    ----------
    removed_units : dict of str to int
        Neutral formula units taken away, for example {Li2S: 2}: atoms near each other.
    frenkel_pairs : FrenkelPairs, optional
    swapped_pairs : tuple of (str, str)
        One pair of antisites each: an atom of either element change places. The composition
        stays; the bonds between like atoms that this makes count in `formal_charge_e`.
    """

    removed_units: dict[str, Count] = Field(default_factory=dict)
    frenkel_pairs: FrenkelPairs | None = None
    swapped_pairs: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _different_elements(self) -> Defects:
        for one, other in self.swapped_pairs:
            if one == other:
                raise ValueError(f"swapping {one} with {other} changes nothing")
        return self


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


class Rattle(Recipe):
    """Random displacements of the atoms.

    Attributes
    ----------
    amplitude_angstrom : float
        Longest displacement; they fill the ball of this radius evenly.
    minimum_covalent_ratio : float
        A displacement that brings a pair nearer than this many times the sum of its covalent
        radii is drawn again.
    region : Region, optional
        Displace its atoms alone, and call them glass.
    """

    amplitude_angstrom: float = Field(gt=0.0, le=2.0)
    minimum_covalent_ratio: float = Field(default=0.85, ge=0.7, le=0.95)
    region: Region | None = None


class BuildRecipe(Recipe):
    """What to start from, how large, and how to disturb it.

    Order: start, supercell, density, strain, defects, rattle.

    Attributes
    ----------
    crystal : str, optional
        Name of a shipped crystal, for example beta-Li3PS4.
    cif : str, optional
        A CIF file instead, relative to the recipe; every site fully occupied.
    packing : Packing, optional
        Units packed at random instead.
    supercell : tuple of int, optional
        Repeats of the conventional cell along a, b and c; 1, 1, 1 by default.
    minimum_atoms : int, optional
        Instead of `supercell`: repeat the thinnest direction until there are as many atoms.
    density_g_cm3 : float, optional
        Scale the cell and the positions alike to this density.
    strain : tuple of float, optional
        Small-strain tensor xx, yy, zz, yz, xz, xy in the frame with a along x and b in the xy
        plane; components of the tensor, half the engineering shear strains.
    defects : Defects
    rattle : Rattle, optional
    seed : int
        Of everything random.
    type_map : tuple of str
        Order of the LAMMPS types; that of the potential to be used.
    """

    crystal: str | None = None
    cif: str | None = None
    packing: Packing | None = None
    supercell: tuple[Repeats, Repeats, Repeats] | None = None
    minimum_atoms: int | None = Field(default=None, ge=1, le=20_000_000)
    density_g_cm3: float | None = Field(default=None, gt=0.0, le=30.0)
    strain: tuple[Strain, Strain, Strain, Strain, Strain, Strain] | None = None
    defects: Defects = Defects()
    rattle: Rattle | None = None
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    type_map: tuple[str, ...] = Field(default=("Li", "P", "S"), min_length=1)

    @model_validator(mode="after")
    def _one_of_each(self) -> BuildRecipe:
        if sum(start is not None for start in (self.crystal, self.cif, self.packing)) != 1:
            raise ValueError(
                "give one of crystal (a name), cif (a file) and packing (units and a density)"
            )
        if self.packing is not None and self.density_g_cm3 is not None:
            raise ValueError("a packing has its own density_g_cm3; give that alone")
        if self.supercell is not None and self.minimum_atoms is not None:
            raise ValueError("give either supercell or minimum_atoms, not both")
        if len(set(self.type_map)) != len(self.type_map):
            raise ValueError(f"type_map repeats an element: {' '.join(self.type_map)}")
        return self
