"""Bond cutoffs from the rule table or from the pair distributions of the sample."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.anions.anion_rules import AnionRules
from analysis.errors import AnalysisError
from analysis.pairs.rdf import PairDistribution
from analysis.pairs.shells import find_first_shell


@dataclass(frozen=True)
class BondCutoff:
    """Largest bond length of a pair of elements, and where it comes from.

    Attributes
    ----------
    pair : str
        Such as ``P-S``.
    angstrom : float
    source : str
    """

    pair: str
    angstrom: float
    source: str


def table_cutoffs(
    rules: AnionRules, pairs: Sequence[PairDistribution] = ()
) -> tuple[BondCutoff, ...]:
    """Return the cutoffs of the table; the source names the minimum in g(r), where known."""
    found = []
    for one, other in rules.pairs:
        cutoff = rules.cutoffs_angstrom[one, other]
        minimum = _bond_minimum(one, other, cutoff, pairs)
        source = "rule table"
        if math.isfinite(minimum):
            source += f"; g(r) of the sample has its first minimum at {minimum:.2f} Angstrom"
        elif pairs:
            source += "; g(r) of the sample has no first peak at a bond length"
        found.append(BondCutoff(f"{one}-{other}", cutoff, source))
    return tuple(found)


def sample_cutoffs(
    rules: AnionRules, pairs: Sequence[PairDistribution]
) -> tuple[AnionRules, tuple[BondCutoff, ...]]:
    """Move every cutoff to the first minimum of the g(r) of its pair in the sample.

    Parameters
    ----------
    rules : AnionRules
    pairs : sequence of PairDistribution

    Returns
    -------
    rules : AnionRules
        With the new cutoffs.
    cutoffs : tuple of BondCutoff

    Raises
    ------
    AnalysisError
        If there is no pair distribution at all.

    Notes
    -----
    A first peak beyond the cutoff of the table is no bond but the next shell, such as the edge of
    a tetrahedron; such a pair keeps the cutoff of the table, and so does one without a minimum.
    """
    if not pairs:
        raise AnalysisError(
            "cutoffs at the first minimum of g(r) need pair distributions, found none; pass "
            "those of analysis.pairs.rdf.pair_distributions or take the cutoffs of the table."
        )
    cutoffs, found = dict(rules.cutoffs_angstrom), []
    for one, other in rules.pairs:
        minimum = _bond_minimum(one, other, cutoffs[one, other], pairs)
        source = "first minimum of g(r) of the sample"
        if math.isfinite(minimum):
            cutoffs[one, other] = minimum
        else:
            source = "rule table; g(r) of the sample has no first peak at a bond length"
        found.append(BondCutoff(f"{one}-{other}", cutoffs[one, other], source))
    return dataclasses.replace(rules, cutoffs_angstrom=cutoffs), tuple(found)


def _bond_minimum(
    one: str, other: str, cutoff_angstrom: float, pairs: Sequence[PairDistribution]
) -> float:
    for pair in pairs:
        if {pair.i, pair.j} == {one, other}:
            peak, minimum = find_first_shell(pair.r_angstrom, pair.g, pair.expected_pairs)
            return minimum if peak < cutoff_angstrom else math.nan
    return math.nan
