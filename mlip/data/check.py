"""The result of one check of a data set, and of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlip.data.coverage import Condition
    from mlip.data.reference_energies import ReferenceEnergies

Verdict = Literal["pass", "warn", "fail", "undecided"]
# A check names this many frames.
SHOWN = 10


@dataclass(frozen=True)
class Check:
    """One line of the certificate.

    Attributes
    ----------
    name : str
    number : float or None
        What was measured; None if the data do not decide.
    unit : str
    threshold : float or None
        The limit that decides, None if there is none.
    verdict : {'pass', 'warn', 'fail', 'undecided'}
    frames : tuple of str
        The first frames concerned, as ``system:step``.
    text : str
        What it means, and what to do.
    """

    name: str
    number: float | None
    unit: str
    threshold: float | None
    verdict: Verdict
    frames: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Certificate:
    """What is known about a set.

    Attributes
    ----------
    verdict : {'pass', 'warn', 'fail'}
        The worst verdict of the checks; undecided ones do not count.
    checks : tuple of Check
    level : mapping
        First-principles settings that were recorded.
    coverage : tuple of Condition
        Compositions, phases, temperatures and densities of each side of the split.
    reference_energies : ReferenceEnergies
        One energy per element, fitted to the mean energies of the systems.
    neighbours : mapping of str to mapping of str to int
        By cut-off in Å ("6.0") and element: most neighbours of that element that any atom
        of a training frame has. Empty without training frames.
    smallest_distance_angstrom : mapping of str to float
        By pair ("Li-S") and for all of them ("all") in training frames, Å, up to 8 Å.
    notes : tuple of str
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    level: Mapping[str, str]
    coverage: tuple[Condition, ...]
    reference_energies: ReferenceEnergies
    neighbours: Mapping[str, Mapping[str, int]]
    smallest_distance_angstrom: Mapping[str, float]
    notes: tuple[str, ...]
