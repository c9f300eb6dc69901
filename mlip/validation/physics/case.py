"""A crystal under test: where it starts, what it is compared with, what each member made of it."""

from __future__ import annotations

from dataclasses import dataclass

from ase import Atoms

from mlip.engines.deepmd_statics import Statics
from mlip.recipes.physics import CrystalCheck, Measured
from mlip.validation.physics.frames import FrameSet, LabelledSet, Reference

NAN = float("nan")


@dataclass(frozen=True)
class CrystalCase:
    """A crystal, where its relaxation starts, and what it is compared with.

    Attributes
    ----------
    check : CrystalCheck
    start : Atoms
    reference : Reference or None
    shipped_cell : Measured or None
        Measured cell that comes with a shipped crystal.
    """

    check: CrystalCheck
    start: Atoms
    reference: Reference | None
    shipped_cell: Measured | None

    @property
    def name(self) -> str:
        """Return the subject of the findings."""
        return self.check.name

    @property
    def level(self) -> str:
        """Return the level of theory of the reference in words."""
        return self.reference.level if self.reference else "none"

    def labelled(self, kind: str) -> LabelledSet | None:
        """Return a set of the reference."""
        return self.reference.sets.get((self.name, kind)) if self.reference else None


@dataclass(frozen=True)
class OwnFrames:
    """Frames that a member made from its own relaxed crystal, and what it gives for them."""

    frames: FrameSet
    statics: Statics
