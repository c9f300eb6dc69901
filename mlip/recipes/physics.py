"""Recipe section of `mlip validate`: static physics of crystals and of paths of ions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from mlip.recipes.base import Recipe

Repeat = Annotated[int, Field(ge=1, le=10)]
Length = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(gt=0, lt=180)]


class Measured(Recipe):
    """What experiment says about a crystal; every key may be left out.

    Keys
    ----
    cell : six numbers, optional
        a, b, c in Å; alpha, beta, gamma in degrees, in the setting of the structure.
    density_g_cm3 : float, optional
    bulk_modulus_gpa : float, optional
    source : str
        DOI or citation, temperature; printed in the findings.
    """

    cell: tuple[Length, Length, Length, Angle, Angle, Angle] | None = None
    density_g_cm3: float | None = Field(default=None, gt=0)
    bulk_modulus_gpa: float | None = Field(default=None, gt=0)
    source: str = ""


class CrystalCheck(Recipe):
    """One crystal.

    Keys
    ----
    name : str
        A shipped crystal, or how the one of `structure` is called. References call it so too.
    structure : str, optional
        Structure directory, CIF or extxyz to start from instead of the shipped crystal.
    reference : str, optional
        Labelled frames: directory or ``labels.extxyz`` of `mlip label`, made from structures of
        ``training_data/reference/make_physics_structures.py``.
    phonon_supercell : three integers
        Repeats along a, b and c where there are no labelled displacements, which bring theirs.
    experiment : Measured, optional
        Without it the cell of a shipped crystal counts as measured.
    """

    name: str = Field(pattern=r"^[^\s/;]+$")
    structure: str | None = None
    reference: str | None = None
    phonon_supercell: tuple[Repeat, Repeat, Repeat] = (2, 2, 2)
    experiment: Measured | None = None


class BarrierCheck(Recipe):
    """One path of an ion in a neutral cell.

    Keys
    ----
    name : str
        Also of the path in the labelled frames.
    reference : str, optional
        Labelled images, as for crystals. The potential is held against them image by image.
    ends : two paths, optional
        Relaxed by the potential and joined by an elastic band of its own; compared with nothing.
        Exactly one of `reference` and `ends` is given.
    images : int
        Of the band between `ends`, these included.
    """

    name: str = Field(pattern=r"^[^\s/;]+$")
    reference: str | None = None
    ends: tuple[str, str] | None = None
    images: int = Field(default=7, ge=3, le=31)

    @model_validator(mode="after")
    def _one_source(self) -> BarrierCheck:
        if (self.reference is None) == (self.ends is None):
            raise ValueError("expected either reference or ends")
        return self


class Relaxation(Recipe):
    """How the potential relaxes cells, positions and bands.

    Keys
    ----
    force_ev_per_angstrom : float
        Largest force that counts as relaxed.
    maximum_steps : int
        A relaxation that needs more counts as failed.
    """

    force_ev_per_angstrom: float = Field(default=0.005, gt=0, le=0.1)
    maximum_steps: int = Field(default=500, ge=1)


class PhysicsSettings(Recipe):
    """Static physics against first principles; every list may be empty.

    Keys
    ----
    crystals : list of CrystalCheck
    barriers : list of BarrierCheck
    equation_of_state, elastic_constants, phonons, relative_energies : bool
        What is computed for each crystal beside its relaxed cell. Relative energies are those
        of crystals of one composition.
    volume_strains : list of float
        Relative changes of the volume of the potential's own equation of state.
    elastic_strains : list of float
        Of each of the six components, both signs are taken; 0.001 to 0.03. Cells strained by
        less count as unstrained when the symmetry is looked for, which relaxations then impose.
    displacement_angstrom : float
        Of an atom for phonons.
    relaxation : Relaxation
    """

    crystals: tuple[CrystalCheck, ...] = ()
    barriers: tuple[BarrierCheck, ...] = ()
    equation_of_state: bool = True
    elastic_constants: bool = True
    phonons: bool = True
    relative_energies: bool = True
    volume_strains: tuple[float, ...] = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
    elastic_strains: tuple[float, ...] = (0.005, 0.01)
    displacement_angstrom: float = Field(default=0.01, gt=0, le=0.1)
    relaxation: Relaxation = Relaxation()

    @field_validator("volume_strains")
    @classmethod
    def _enough_volumes(cls, strains: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(strains)) < 5 or min(strains) >= 0 or max(strains) <= 0:
            raise ValueError("expected at least 5 different volumes on both sides of 0")
        if min(strains) < -0.3 or max(strains) > 0.3:
            raise ValueError("expected strains of the volume between -0.3 and 0.3")
        return strains

    @field_validator("elastic_strains")
    @classmethod
    def _small_strains(cls, strains: tuple[float, ...]) -> tuple[float, ...]:
        if not strains or min(strains) < 0.001 or max(strains) > 0.03:
            raise ValueError("expected strains from 0.001 to 0.03")
        return strains

    @model_validator(mode="after")
    def _different_names(self) -> PhysicsSettings:
        names = [crystal.name for crystal in self.crystals]
        names += [barrier.name for barrier in self.barriers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names must differ, found twice: {', '.join(twice)}")
        return self
