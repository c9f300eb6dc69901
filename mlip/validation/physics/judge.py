"""From the values of a committee and a reference to a finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlip.validation.finding import Finding, ReferenceKind, Verdict
from mlip.validation.thresholds import Threshold

RELATIVE = "relative"


def judged(
    subject: str,
    quantity: str,
    values: Sequence[float],
    reference: float,
    kind: ReferenceKind,
    threshold: Threshold,
    text: str,
) -> Finding:
    """Compare the mean over members with a reference.

    Parameters
    ----------
    subject, quantity : str
    values : sequence of float
        Of each member; not finite where a member gave nothing.
    reference : float
        0 where the values are errors already.
    kind : {'DFT', 'AIMD', 'experiment', 'none'}
    threshold : Threshold
        Largest difference, or largest fraction of the reference if its unit is 'relative'.
    text : str
        What was compared.

    Returns
    -------
    Finding
        Failed also where a member gave nothing: a committee is used as a whole.
    """
    value, spread = _over_members(values)
    limit = threshold.value * (abs(reference) if threshold.unit == RELATIVE else 1.0)
    complete = bool(np.isfinite(values).all())
    good = complete and value is not None and abs(value - reference) <= limit
    verdict: Verdict = "pass" if good else "fail"
    why = "" if complete else "fails because a member gave no value; "
    allowed = (
        f"allowed: {100 * threshold.value:g} %"
        if threshold.unit == RELATIVE
        else f"allowed: {threshold.value:g} {threshold.unit}"
    )
    return Finding(
        subject,
        quantity,
        value,
        reference,
        kind,
        threshold.value,
        verdict,
        f"{why}{text}; {allowed}{spread}.",
    )


def unjudged(
    subject: str,
    quantity: str,
    values: Sequence[float],
    why: str,
    *,
    reference: float | None = None,
    kind: ReferenceKind = "none",
) -> Finding:
    """Report the mean over members without a verdict, and why there is none."""
    value, spread = _over_members(values)
    return Finding(
        subject, quantity, value, reference, kind, None, "not assessed", f"{why}{spread}."
    )


def _over_members(values: Sequence[float]) -> tuple[float | None, str]:
    """Return the mean, and number and standard deviation of the members in words."""
    array = np.asarray(values, dtype=float)
    finite = array[np.isfinite(array)]
    lost = f"; {len(array) - len(finite)} of {len(array)} members gave no value"
    lost = lost if len(finite) < len(array) else ""
    if not len(finite):
        return None, lost
    if len(finite) == 1:
        return float(finite[0]), "; one member" + lost
    spread = f"; {len(finite)} members, spread {np.std(finite, ddof=1):.2g}"
    return float(finite.mean()), spread + lost
