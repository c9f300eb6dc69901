"""The result of one physical test of a potential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "not assessed"]
ReferenceKind = Literal["DFT", "AIMD", "experiment", "none"]


@dataclass(frozen=True)
class Finding:
    """One row of the physics table of the model card.

    Attributes
    ----------
    subject : str
        What was tested: a crystal, a run, a path.
    quantity : str
        Name with unit, for example ``bulk modulus (GPa)``.
    value : float or None
        Of the potential; None if it could not be had.
    reference : float or None
        What it is compared with; None if there is nothing.
    reference_kind : {'DFT', 'AIMD', 'experiment', 'none'}
        Where the reference comes from.
    limit : float or None
        The number that decided, from ``thresholds.yml``; None if there is none.
    verdict : {'pass', 'fail', 'not assessed'}
        'not assessed' without reference or limit; never a pass by default.
    text : str
        What was compared and what it means, or why it was not assessed.
    """

    subject: str
    quantity: str
    value: float | None
    reference: float | None
    reference_kind: ReferenceKind
    limit: float | None
    verdict: Verdict
    text: str
