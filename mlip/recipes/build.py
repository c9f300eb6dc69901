"""The recipe of `mlip build`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mlip.recipes.base import Recipe
from mlip.recipes.composite import Nanograin, Region, Slab, Sphere
from mlip.recipes.ordering import Ordering, Orientation, Repeats

__all__ = [
    "BuildRecipe",
    "Defects",
    "FrenkelPairs",
    "Nanograin",
    "Ordering",
    "Orientation",
    "Packing",
    "Rattle",
    "Region",
    "Slab",
    "Sphere",
]

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Ratio = Annotated[float, Field(gt=0.0, le=100.0)]
Width = Annotated[float, Field(gt=0.0, le=10_000.0)]
Strain = Annotated[float, Field(ge=-0.3, le=0.3)]


class Packing(Recipe):
    """Rigid units placed at random in a periodic orthorhombic cell.

    Attributes
    ----------
    units : dict of str to int
        How many of each: names of shipped units (PS4, P2S7, ...) or elements for single atoms.
        The formal charges must sum to zero.
    li2s_fraction : float, optional
        Instead of `units`: mole fraction x of Li2S in x Li2S + (1 - x) P2S5. The units are
        those of the two neighbouring compositions of the table units.yml, by the lever rule.
    atoms : int, optional
        With `li2s_fraction`: about how many; the nearest number that meets the fraction.
    density_g_cm3 : float
        It sets the volume of the cell.
    cell : 'cubic' or tuple of float
        Or the ratio of the lengths a, b and c.
    tolerance_angstrom : float
        No two atoms of different units are nearer; elements whose table of contact radii asks
        for more get more.
    """

    units: dict[str, Count] = Field(default_factory=dict)
    li2s_fraction: float | None = Field(default=None, ge=0.5, le=0.95)
    atoms: Count | None = None
    density_g_cm3: float = Field(gt=0.0, le=30.0)
    cell: Literal["cubic"] | tuple[Ratio, Ratio, Ratio] = "cubic"
    tolerance_angstrom: float = Field(default=2.0, ge=1.0, le=4.0)

    @model_validator(mode="after")
    def _one_composition(self) -> Packing:
        if bool(self.units) == (self.li2s_fraction is not None):
            raise ValueError("give either units or li2s_fraction (with atoms)")
        if (self.li2s_fraction is None) != (self.atoms is None):
            raise ValueError("li2s_fraction and atoms belong together")
        return self


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

    Order: start, ordering, orientation, supercell, density, strain, defects, rattle, marking.

    Attributes
    ----------
    crystal : str, optional
        Name of a shipped crystal, for example beta-Li3PS4.
    cif : str, optional
        A CIF file instead, relative to the recipe; partly occupied sites need `ordering`.
    packing : Packing, optional
        Units packed at random instead.
    slab : Slab, optional
        Glass-ceramic instead: crystal and glass stacked.
    nanograin : Nanograin, optional
        Glass-ceramic instead: a sphere of crystal in glass.
    ordering : Ordering, optional
        Fill the partly occupied sites of the CIF, or of the shipped crystal (beta-Li3PS4).
    orientation : Orientation, optional
    supercell : tuple of int, optional
        Repeats of the (oriented, ordered) cell along a, b and c; 1, 1, 1 by default.
    minimum_atoms : int, optional
        Instead of `supercell`: repeat the thinnest direction until there are as many atoms.
    minimum_widths_angstrom : float or tuple of float, optional
        Instead of `supercell`: repeat until the distances of opposite faces along a, b and c
        are at least this; one number holds for all three.
    density_g_cm3 : float, optional
        Scale the cell and the positions alike to this density.
    strain : tuple of float, optional
        Small-strain tensor xx, yy, zz, yz, xz, xy in the frame with a along x and b in the xy
        plane; components of the tensor, half the engineering shear strains.
    defects : Defects
    rattle : Rattle, optional
    mark_glass : Region or Sphere, optional
        Units (anions whole) with their centre in it get the origin glass; nothing moves. A
        protocol that holds the atoms of origin crystal then melts this part alone.
    seed : int
        Of everything random.
    type_map : tuple of str
        Order of the LAMMPS types; that of the potential to be used.
    """

    crystal: str | None = None
    cif: str | None = None
    packing: Packing | None = None
    slab: Slab | None = None
    nanograin: Nanograin | None = None
    ordering: Ordering | None = None
    orientation: Orientation | None = None
    supercell: tuple[Repeats, Repeats, Repeats] | None = None
    minimum_atoms: int | None = Field(default=None, ge=1, le=20_000_000)
    minimum_widths_angstrom: Width | tuple[Width, Width, Width] | None = None
    density_g_cm3: float | None = Field(default=None, gt=0.0, le=30.0)
    strain: tuple[Strain, Strain, Strain, Strain, Strain, Strain] | None = None
    defects: Defects = Defects()
    rattle: Rattle | None = None
    mark_glass: Region | Sphere | None = None
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    type_map: tuple[str, ...] = Field(default=("Li", "P", "S"), min_length=1)

    @model_validator(mode="after")
    def _one_of_each(self) -> BuildRecipe:
        starts = ("crystal", "cif", "packing", "slab", "nanograin")
        if len(given := self._given(*starts)) != 1:
            raise ValueError(
                "give one of crystal (a name), cif (a file), packing (units and a density), slab "
                f"and nanograin (a crystal and a glass); found {', '.join(given) or 'none'}"
            )
        if self.packing is not None and self.density_g_cm3 is not None:
            raise ValueError("a packing has its own density_g_cm3; give that alone")
        sizes = self._given("supercell", "minimum_atoms", "minimum_widths_angstrom")
        if len(sizes) > 1:
            raise ValueError(f"give one size only, found {' and '.join(sizes)}")
        if len(set(self.type_map)) != len(self.type_map):
            raise ValueError(f"type_map repeats an element: {' '.join(self.type_map)}")
        lattice = self._given("ordering", "orientation")
        if lattice and given[0] not in ("crystal", "cif"):
            raise ValueError(f"{lattice[0]} needs a crystal or a cif")
        if given[0] in ("slab", "nanograin"):
            later = [*sizes, *self._given("density_g_cm3", "strain", "rattle", "mark_glass")]
            if self.defects != Defects():
                later.append("defects")
            if later:
                raise ValueError(
                    f"{', '.join(later)} would undo what a {given[0]} promises; apply it to the "
                    "crystal or the glass that it is made of"
                )
        if self.mark_glass is not None and self.packing is not None:
            raise ValueError("all of a packing is glass; mark_glass needs a crystal or a cif")
        return self

    def _given(self, *keys: str) -> list[str]:
        return [key for key in keys if getattr(self, key) is not None]
