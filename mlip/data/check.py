"""The result of one check of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "warn", "fail", "undecided"]


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
